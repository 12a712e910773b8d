//! A temporary file beside the target, which takes the target's place when it is whole and on the
//! disk.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::id::random_bytes;

/// Files of processes that were killed are removed when they are older than this, longer than any
/// write takes.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

const SUFFIX: &str = ".tmp";

/// Removed when it is dropped, unless it was published.
pub(super) struct Draft {
    path: PathBuf,
    target: PathBuf,
    file: File,
    published: bool,
}

impl Draft {
    /// Creates a file that will take the place of `target`. From the start only its owner may read
    /// it.
    pub(super) fn of(target: &Path) -> io::Result<Self> {
        // If the target is a symbolic link, the file that it points to is replaced, not the link.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        // A directory or a device is never replaced.
        if fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("it is not a file"));
        }
        let number = random_bytes().map(u64::from_be_bytes).map_err(io::Error::other)?;
        let mut name = prefix(&target)?;
        name.push(format!("{number:016x}{SUFFIX}"));
        let path = target.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        Ok(Self { path, target, file, published: false })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Puts the file in the target's place, in one step. The content is on the disk before that
    /// step, and the rename after it.
    pub(super) fn publish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.target)?;
        self.published = true;
        sync_folder(folder(&self.target))
    }

    /// Removes the files that killed processes left behind. If a removal fails, the next snapshot
    /// tries again.
    pub(super) fn sweep(target: &Path, now: SystemTime) {
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let (Ok(prefix), Ok(entries)) = (prefix(&target), fs::read_dir(folder(&target))) else { return };
        for entry in entries.flatten() {
            let changed = entry.metadata().and_then(|found| found.modified());
            let age = changed.ok().and_then(|changed| now.duration_since(changed).ok()).unwrap_or_default();
            if age > ABANDONED && is_draft(&entry.file_name(), &prefix) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // The error that led here is the one to report.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The common start of the names of a target's temporary files.
fn prefix(target: &Path) -> io::Result<OsString> {
    let name = target.file_name().ok_or_else(|| io::Error::other("it does not end in a file's name"))?;
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    Ok(prefix)
}

fn is_draft(name: &OsStr, prefix: &OsStr) -> bool {
    let number = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
    let number = number.and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    number.is_some_and(|number| number.len() == 16 && number.iter().all(u8::is_ascii_hexdigit))
}

fn folder(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Flushes the directory, which holds the rename. Elsewhere than on Unix a directory cannot be
/// opened, and some file systems cannot flush one.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}
