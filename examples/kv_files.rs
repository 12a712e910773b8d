//! `KeyValue` on a folder: sessions as files, and the contract suite run against them.
//!
//! Run `cargo run --example kv_files --features testing`. Copy `Files` into your server for
//! sessions that outlive one process.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lembro::{Clock, Error, KeyValue, KeyValueStore, Result, testing};

/// A folder of entries, for one process at a time. No other user may read the folder, because the
/// files contain the sessions' data.
pub(crate) struct Files {
    folder: PathBuf,
    /// Held while a file is renamed or purged, so that a purge never removes a newer file.
    rename_lock: Mutex<()>,
}

impl Files {
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, rename_lock: Mutex::default() })
    }

    /// Removes files that expired an hour ago, and files that a crash left behind. Call it from
    /// time to time.
    #[allow(dead_code, reason = "called by a server and by the tests")]
    pub(crate) fn purge(&self) -> io::Result<()> {
        let limit = SystemTime::now() - Duration::from_secs(60 * 60);
        for file in fs::read_dir(&self.folder)? {
            let _lock = self.rename_lock.lock().unwrap_or_else(PoisonError::into_inner);
            let path = file?.path();
            if fs::metadata(&path).and_then(|data| data.modified()).is_ok_and(|until| until < limit) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn replace(&self, path: &Path, bytes: &[u8], ttl: Duration) -> io::Result<()> {
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        // A file's date is its deadline.
        file.set_modified(SystemTime::now() + ttl)?;
        // A rename of a complete file: no reader finds it half written, and a killed process loses
        // nothing. A power failure may undo the last changes, because the folder is not synced.
        file.sync_all()?;
        let _lock = self.rename_lock.lock().unwrap_or_else(PoisonError::into_inner);
        fs::rename(new, path)
    }
}

fn found<T>(done: io::Result<T>) -> Result<Option<T>> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        done => done.map(Some).map_err(Error::store),
    }
}

impl KeyValue for Files {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        found(fs::read(self.folder.join(key)))
    }

    fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<()> {
        self.replace(&self.folder.join(key), bytes, ttl).map_err(Error::store)
    }

    fn remove(&self, key: &str) -> Result<()> {
        found(fs::remove_file(self.folder.join(key))).map(drop)
    }
}

fn main() -> io::Result<()> {
    let (time, folders) = (Clock::manual(), AtomicU32::new(0));
    let all = std::env::temp_dir().join(format!("lembro-files-{}", std::process::id()));
    let report = testing::check(&time, || {
        let folder = all.join(folders.fetch_add(1, Ordering::Relaxed).to_string());
        KeyValueStore::with_clock(Files::open(folder).expect("a folder is made"), &time)
    });
    fs::remove_dir_all(all)?;
    println!("{report}");
    assert!(report.is_kept());
    Ok(())
}
