//! Sessions in a folder, one file for each, through the three methods of `KeyValue`, and the
//! contract suite run against it: `cargo run --example kv_files --features testing`.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lembro::{Clock, Error, KeyValue, KeyValueStore, Result, testing};

/// One process at a time, and a folder that no other user can read: the files hold what the
/// sessions hold.
pub(crate) struct Files {
    folder: PathBuf,
    /// Held while a file takes its place, so that no new one is purged in the place of an old one.
    placing: Mutex<()>,
}

impl Files {
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, placing: Mutex::default() })
    }

    /// Removes files whose time was over an hour ago, and what a crash left of a `set`. Call it
    /// from time to time.
    #[allow(dead_code, reason = "a server does, and the test of this file")]
    pub(crate) fn purge(&self) -> io::Result<()> {
        let limit = SystemTime::now() - Duration::from_secs(60 * 60);
        for file in fs::read_dir(&self.folder)? {
            let _lock = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
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
        // The date of a file is the end of its time.
        file.set_modified(SystemTime::now() + ttl)?;
        // So no file is ever found half written. A killed process loses nothing; after a power
        // failure the last changes may be undone, unless the folder is synced, too.
        file.sync_all()?;
        let _lock = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
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
