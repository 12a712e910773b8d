//! Promise: a store on a backend of three methods keeps the whole contract, owners included, also
//! over a restart.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod key_values;
#[path = "../examples/kv_files.rs"]
#[allow(dead_code, reason = "its `main` is not called here")]
mod kv_files;
#[path = "../examples/kv_sqlite.rs"]
#[allow(dead_code, reason = "its `main` is not called here")]
mod kv_sqlite;
mod scratch;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use key_values::Map;
use kv_files::Files;
use kv_sqlite::Sqlite;
use lembro::testing;
use lembro::{Clock, KeyValue, KeyValueStore, ManualClock, Store};
use scratch::Folder;

/// The rules that need a list of all sessions, which three methods cannot give.
const SKIPPED: [&str; 5] = [
    "expired sessions are neither counted nor listed",
    "all lists and len counts every live session once",
    "sessions that their owner ended are neither counted nor listed",
    "lists give out the ids that open the sessions, or none, and those of owners none",
    "clear destroys every session",
];

#[track_caller]
fn keeps<S: Store>(time: &ManualClock, store: impl Fn() -> S) {
    let report = testing::check(time, store);
    assert!(report.is_kept(), "{report}");
    assert_eq!(report.skipped().map(|(rule, _)| rule.name()).collect::<Vec<_>>(), SKIPPED);
}

/// Runs it on one store, and on one that is opened again before each call. `data` makes new, empty
/// data; what it returns opens a backend on them.
#[track_caller]
fn keeps_reopened_too<K: KeyValue, D: Fn() -> K + Send + Sync + 'static>(data: impl Fn(&ManualClock) -> D) {
    let time = Clock::manual();
    keeps(&time, || KeyValueStore::with_clock(data(&time)(), &time));
    keeps(
        &time,
        testing::reopened(&time, || {
            let open = data(&time);
            move |clock: &Clock| KeyValueStore::with_clock(open(), clock.clone())
        }),
    );
}

fn shared(map: Map) -> impl Fn() -> Arc<Map> {
    let map = Arc::new(map);
    move || Arc::clone(&map)
}

#[test]
fn on_a_map_that_keeps_everything_the_contract_holds() {
    keeps_reopened_too(|_| shared(Map::default()));
}

#[test]
fn on_a_map_that_drops_each_entry_when_its_time_is_over_the_contract_holds() {
    keeps_reopened_too(|time| shared(Map::punctual(time)));
}

/// Paths that were not used before, in a folder in memory.
struct Paths(Folder, AtomicU32);

impl Paths {
    fn new() -> Self {
        Self(Folder::in_memory(), AtomicU32::new(0))
    }

    fn next(&self) -> PathBuf {
        self.0.join(self.1.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

#[test]
fn on_files_in_a_folder_the_contract_holds() {
    let paths = Paths::new();
    keeps_reopened_too(|_| {
        let folder = paths.next();
        move || Files::open(folder.clone()).unwrap()
    });
}

#[test]
fn on_a_table_of_a_database_the_contract_holds() {
    let paths = Paths::new();
    keeps_reopened_too(|_| {
        let file = paths.next();
        move || Sqlite::open(&file).unwrap()
    });
}

#[test]
fn the_examples_remove_what_is_over_and_nothing_else() {
    let (folder, hour) = (Folder::new(), Duration::from_secs(60 * 60));
    let files = Files::open(folder.to_path_buf()).unwrap();
    for key in ["over", "kept"] {
        files.set(key, b"bytes", hour).unwrap();
    }
    let ago = |span| SystemTime::now() - span;
    File::options().append(true).open(folder.join("over")).unwrap().set_modified(ago(2 * hour)).unwrap();
    fs::write(folder.join("crashed.new"), b"half").unwrap();
    files.purge().unwrap();
    assert_eq!(folder.names(), ["crashed.new", "kept"]);
    File::options().append(true).open(folder.join("crashed.new")).unwrap().set_modified(ago(2 * hour)).unwrap();
    files.purge().unwrap();
    assert_eq!(folder.names(), ["kept"]);

    let sqlite = Sqlite::open(Path::new(":memory:")).unwrap();
    sqlite.set("over", b"bytes", Duration::ZERO).unwrap();
    sqlite.set("kept", b"bytes", hour).unwrap();
    assert_eq!(sqlite.purge().unwrap(), 1);
    assert_eq!((sqlite.get("over").unwrap(), sqlite.get("kept").unwrap()), (None, Some(b"bytes".to_vec())));
}
