//! The files of a store: their names, and the lock that keeps other stores from using them.
//!
//! | file | content |
//! |---|---|
//! | `sessions` | the snapshot: all sessions at the last compaction |
//! | `sessions.journal.7` | the changes since; a compaction begins the next journal |
//! | `sessions.lock` | empty; the process that uses the files holds its lock |
//! | `sessions.tmp` | the snapshot that is being written |
//! | `sessions.damaged.1` | a folder with a copy of damaged files, for a person to look at |

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::encoding::MAX_COUNT;

/// A problem with the files, as a clause that follows "sessions in /path: ".
pub(super) type Problem = String;

pub(super) struct StoreFiles {
    snapshot: PathBuf,
    /// Locked while it is open.
    lock: File,
}

impl StoreFiles {
    /// Locks the files beside this path.
    pub(super) fn lock(path: &Path) -> Result<Self, Problem> {
        let snapshot = resolve_links(path)?;
        if fs::metadata(&snapshot).is_ok_and(|found| !found.is_file()) {
            return Err("it is not a file".to_owned());
        }
        let path = beside(&snapshot, ".lock");
        let mut options = private_file();
        options.create(true).truncate(false);
        let lock = options.open(&path).map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { snapshot, lock }),
            Err(TryLockError::WouldBlock) => {
                Err("another store uses it, in this process or in another one: give each store a path of its own"
                    .to_owned())
            }
            Err(TryLockError::Error(error)) => Err(format!("{} cannot be locked: {error}", path.display())),
        }
    }

    pub(super) fn snapshot(&self) -> &Path {
        &self.snapshot
    }

    /// Lets another store use the files.
    pub(super) fn unlock(&self) {
        // If this fails, the lock is released when its last handle is closed.
        let _ = self.lock.unlock();
    }

    pub(super) fn journal(&self, generation: u64) -> PathBuf {
        beside(&self.snapshot, &format!(".journal.{generation}"))
    }

    /// The generations of the journals that exist, in order.
    pub(super) fn journals(&self) -> io::Result<Vec<u64>> {
        let prefix = beside(&self.snapshot, ".journal.");
        let prefix = prefix.file_name().unwrap_or_default().as_encoded_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir(folder(&self.snapshot))? {
            let name = entry?.file_name();
            let number = name.as_encoded_bytes().strip_prefix(prefix).and_then(|number| str::from_utf8(number).ok());
            // A file with a larger number was not written by a store.
            found.extend(number.and_then(|number| number.parse::<u64>().ok()).filter(|number| *number <= MAX_COUNT));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Creates a file that only its owner may read.
    pub(super) fn create(path: &Path) -> io::Result<File> {
        // Opening an existing file would keep its mode, so the file is removed first.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        private_file().create_new(true).open(path)
    }

    /// Writes the next snapshot beside the present one, and flushes it to the disk.
    pub(super) fn write_snapshot<T>(&self, write: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let path = beside(&self.snapshot, ".tmp");
        let written = Self::create(&path).and_then(|file| {
            let written = write(&file)?;
            file.sync_all()?;
            Ok(written)
        });
        if written.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_file(&path);
        }
        written
    }

    /// Replaces the present snapshot by the one that was written, in one step.
    pub(super) fn publish_snapshot(&self) -> io::Result<()> {
        fs::rename(beside(&self.snapshot, ".tmp"), &self.snapshot)?;
        self.sync_folder()
    }

    /// Flushes the folder, which holds the files' names. Only Unix can open a folder, and some file
    /// systems cannot flush one.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        if !cfg!(unix) {
            return Ok(());
        }
        match File::open(folder(&self.snapshot))?.sync_all() {
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            other => other,
        }
    }

    /// Removes the journals before a generation. If one cannot be removed, the next compaction
    /// tries again.
    pub(super) fn remove_journals_before(&self, generation: u64) {
        for old in self.journals().unwrap_or_default().into_iter().take_while(|old| *old < generation) {
            let _ = fs::remove_file(self.journal(old));
        }
    }

    /// Copies the snapshot and the journals, of which at least one is damaged, to a new folder.
    pub(super) fn copy_damaged(&self) -> io::Result<PathBuf> {
        let folder = (1..=u32::MAX)
            .map(|number| beside(&self.snapshot, &format!(".damaged.{number}")))
            .find(|folder| fs::symlink_metadata(folder).is_err());
        let folder = folder.ok_or_else(|| io::Error::other("too many damaged files"))?;
        fs::create_dir(&folder)?;
        let journals = self.journals()?.into_iter().map(|generation| self.journal(generation));
        for file in journals.chain([self.snapshot.clone()]).filter(|file| file.exists()) {
            fs::copy(&file, folder.join(file.file_name().unwrap_or_default()))?;
        }
        Ok(folder)
    }
}

/// Options for a file that only its owner may read.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The path without links. A snapshot replaces the file that a link points to, not the link.
fn resolve_links(path: &Path) -> Result<PathBuf, Problem> {
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

impl Drop for StoreFiles {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process between its fork and its exec has a copy
        // of the handle.
        self.unlock();
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::StoreFiles;

    #[test]
    fn lock_ends_with_the_store_in_spite_of_a_childs_copy() {
        let folder = std::env::temp_dir().join(format!("lembro-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = StoreFiles::lock(&folder.join("sessions")).unwrap();
        let copy = files.lock.try_clone().unwrap();
        assert!(StoreFiles::lock(&folder.join("sessions")).is_err());
        drop(files);
        assert!(StoreFiles::lock(&folder.join("sessions")).is_ok());
        drop(copy);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
