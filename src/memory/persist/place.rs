//! The place of a store's files: beside one path, for one process at a time.
//!
//! | file | content |
//! |---|---|
//! | `sessions` | the snapshot: all sessions, as they were at the last compaction |
//! | `sessions.journal.7` | what was committed and ended since; a compaction begins the next one |
//! | `sessions.lock` | empty; the process that uses the files holds its lock |
//! | `sessions.tmp` | the snapshot that is being written |

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::format::MAX_COUNT;

/// The fault of a file: completes "sessions in /path: …".
pub(super) type Problem = String;

pub(super) struct Place {
    target: PathBuf,
    /// Locked as long as it is open.
    lock: File,
}

impl Place {
    /// Finds the place and locks it.
    pub(super) fn claim(path: &Path) -> Result<Self, Problem> {
        let target = find(path)?;
        if fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
            return Err("it is not a file".to_owned());
        }
        let path = beside(&target, ".lock");
        let mut options = private();
        options.create(true).truncate(false);
        let lock = options.open(&path).map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { target, lock }),
            Err(TryLockError::WouldBlock) => {
                Err("another store uses it, in this process or in another one: give each store a path of its own"
                    .to_owned())
            }
            Err(TryLockError::Error(error)) => Err(format!("{} cannot be locked: {error}", path.display())),
        }
    }

    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Lets another store use the place.
    pub(super) fn release(&self) {
        // If this fails, the lock ends with the store.
        let _ = self.lock.unlock();
    }

    pub(super) fn journal(&self, generation: u64) -> PathBuf {
        beside(&self.target, &format!(".journal.{generation}"))
    }

    /// The generations of the journals that are there, in order.
    pub(super) fn journals(&self) -> io::Result<Vec<u64>> {
        let prefix = beside(&self.target, ".journal.");
        let prefix = prefix.file_name().unwrap_or_default().as_encoded_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir(folder(&self.target))? {
            let name = entry?.file_name();
            let number = name.as_encoded_bytes().strip_prefix(prefix).and_then(|number| str::from_utf8(number).ok());
            // A larger number is no journal that a store wrote.
            found.extend(number.and_then(|number| number.parse::<u64>().ok()).filter(|number| *number <= MAX_COUNT));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Makes a file that only its owner may read.
    pub(super) fn create(path: &Path) -> io::Result<File> {
        // An old file could have another mode, so it is removed first.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        private().create_new(true).open(path)
    }

    /// Writes the snapshot beside the present one. It is on the disk when this returns.
    pub(super) fn write_snapshot<T>(&self, write: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let path = beside(&self.target, ".tmp");
        let written = Self::create(&path).and_then(|file| {
            let written = write(&file)?;
            file.sync_all()?;
            Ok(written)
        });
        if written.is_err() {
            // The error that led here is the one to report.
            let _ = fs::remove_file(&path);
        }
        written
    }

    /// Puts the snapshot that was written in the place of the present one, in one step.
    pub(super) fn publish_snapshot(&self) -> io::Result<()> {
        fs::rename(beside(&self.target, ".tmp"), &self.target)?;
        self.sync_folder()
    }

    /// Flushes the folder, which holds the files' names. Elsewhere than on Unix a folder cannot be
    /// opened, and some file systems cannot flush one.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        if !cfg!(unix) {
            return Ok(());
        }
        match File::open(folder(&self.target))?.sync_all() {
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            other => other,
        }
    }

    /// Removes the journals before a generation. What cannot be removed is tried again at the next
    /// compaction.
    pub(super) fn remove_journals_before(&self, generation: u64) {
        for old in self.journals().unwrap_or_default().into_iter().take_while(|old| *old < generation) {
            let _ = fs::remove_file(self.journal(old));
        }
    }

    /// Copies all files, damaged as they are, to names that no store uses.
    pub(super) fn keep_aside(&self) -> io::Result<PathBuf> {
        let aside = (1..=u32::MAX)
            .map(|number| beside(&self.target, &format!(".damaged.{number}")))
            .find(|aside| fs::symlink_metadata(aside).is_err());
        let aside = aside.ok_or_else(|| io::Error::other("too many damaged files"))?;
        fs::create_dir(&aside)?;
        let journals = self.journals()?.into_iter().map(|generation| self.journal(generation));
        for file in journals.chain([self.target.clone()]).filter(|file| file.exists()) {
            // The mode is copied, too.
            fs::copy(&file, aside.join(file.file_name().unwrap_or_default()))?;
        }
        Ok(aside)
    }
}

/// Options for a file that only its owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The path without links. A link stays a link: the file that it points to is replaced.
fn find(path: &Path) -> Result<PathBuf, Problem> {
    match fs::canonicalize(path) {
        Ok(found) => return Ok(found),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(format!("it cannot be found: {error}")),
        Err(_) if fs::symlink_metadata(path).is_ok() => return Err("it is a link that leads nowhere".to_owned()),
        Err(_) => {}
    }
    let name = path.file_name().ok_or("it does not end in a file's name")?;
    let folder = folder(path);
    match fs::canonicalize(folder) {
        Ok(folder) => Ok(folder.join(name)),
        Err(error) => Err(format!("the folder {} cannot be used: {error}", folder.display())),
    }
}

fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(target);
    name.push(suffix);
    name.into()
}

fn folder(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
