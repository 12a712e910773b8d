//! A temporary folder for one test, removed at its end.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        Self::under(&std::env::temp_dir())
    }

    /// In memory, if the system has such a folder: for a test that flushes files thousands of
    /// times.
    pub(crate) fn in_memory() -> Self {
        let shared = Path::new("/dev/shm");
        if shared.is_dir() { Self::under(shared) } else { Self::new() }
    }

    fn under(folder: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("lembro-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A copy of its files, as a crash would leave them. If a store is writing them, every change
    /// that was acknowledged before the call is in the copy.
    pub(crate) fn image(&self) -> Self {
        let state = || {
            let is_lasting = |name: &String| ![".tmp", ".lock"].iter().any(|end| name.ends_with(end));
            let mut files = self.names();
            files.retain(|name| is_lasting(name) && self.join(name).is_file());
            // The newest journal first, so that the earlier ones are whole.
            files.sort_by_key(|name| std::cmp::Reverse((name.len(), name.clone())));
            let snapshot = fs::metadata(self.join("sessions")).and_then(|found| Ok((found.len(), found.modified()?)));
            (files, snapshot.ok())
        };
        loop {
            let (before, copy) = (state(), Self::in_memory());
            let is_copied = before.0.iter().all(|name| fs::copy(self.join(name), copy.join(name)).is_ok());
            if is_copied && state() == before {
                return copy;
            }
        }
    }

    /// The names of the files in it.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
