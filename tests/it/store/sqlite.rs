//! The example of a store in a database: the contract, its purge, and several processes.
#![cfg(feature = "testing")]

#[path = "../../../examples/store_sqlite.rs"]
#[allow(dead_code, reason = "its `main` is not called here")]
mod example;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::scratch::Folder;
use example::SqliteStore;
use lembro::{Clock, Commit, Lease, Login, Outcome, Owner, Owners as _, SessionId, Store as _};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn example_keeps_the_contract() {
    for report in example::check(&Folder::in_memory()) {
        assert!(report.is_kept(), "{report}");
        assert_eq!(report.skipped().count(), 0, "{report}");
    }
}

#[test]
fn purges_keep_epochs_rising() {
    let (folder, time) = (Folder::new(), Clock::manual());
    let store = SqliteStore::open(&folder.join("sessions"), &Clock::from(&time)).unwrap();
    let owner = Owner::new("ada").unwrap();
    let log_in = |minutes| {
        let (id, login) = (SessionId::random().unwrap(), Login::new(owner.clone()));
        let commit = Commit::create().unwrap().log_in(login);
        assert!(store.commit(&id, &commit, &Lease::new(minutes * MINUTE)).unwrap().is_done());
    };
    (1..4).for_each(log_in);
    time.advance(2 * MINUTE);
    assert_eq!((store.len().unwrap(), store.purge().unwrap(), store.purge().unwrap()), (1, 2, 0));
    // The row of an ended session stays until its deadline, with the reason.
    assert_eq!(store.destroy_all(&owner, None).unwrap(), 1);
    let ended = store.epoch(&owner).unwrap();
    time.advance(MINUTE);
    assert_eq!((store.len().unwrap(), store.purge().unwrap()), (0, 1));
    assert_eq!(store.epoch(&owner).unwrap(), ended);
    time.advance(DAY);
    store.purge().unwrap();
    assert!(store.epoch(&owner).unwrap() < ended);
    store.destroy_all(&owner, None).unwrap();
    assert!(store.epoch(&owner).unwrap() > ended);
}

/// The variables that pass the file and the id to a child process.
const FILE: &str = "LEMBRO_TEST_FILE";
const ID: &str = "LEMBRO_TEST_ID";
const TURNS: u32 = 40;

fn open(file: &Path) -> SqliteStore {
    SqliteStore::open(file, &Clock::system()).unwrap()
}

#[test]
fn race_processes_count_in_one_session() {
    let (folder, id) = (Folder::new(), SessionId::random().unwrap());
    let file = folder.join("sessions");
    let mut create = Commit::create().unwrap();
    create.changes.insert("", "count", &0).unwrap();
    assert!(open(&file).commit(&id, &create, &Lease::new(MINUTE)).unwrap().is_done());
    let this = std::env::current_exe().unwrap();
    let child = || {
        let mut child = Command::new(&this);
        child.args(["--exact", "store::sqlite::count_in_a_session", "--ignored"]);
        child.env(FILE, &file).env(ID, id.expose()).spawn().unwrap()
    };
    for mut child in [child(), child(), child()] {
        assert!(child.wait().unwrap().success());
    }
    let record = open(&file).get(&id).unwrap().unwrap().record;
    assert_eq!(record.get::<u32>("count").unwrap(), Some(3 * TURNS));
}

#[test]
#[ignore = "a child process of the test above"]
fn count_in_a_session() {
    let (Ok(file), Ok(id)) = (std::env::var(FILE), std::env::var(ID)) else { return };
    let (store, id): (_, SessionId) = (open(Path::new(&file)), id.parse().unwrap());
    let mut counted = 0;
    while counted < TURNS {
        let record = store.get(&id).unwrap().unwrap().record;
        let mut commit = Commit::exactly(record.version()).unwrap();
        commit.changes.insert("", "count", &(record.get::<u32>("count").unwrap().unwrap() + 1)).unwrap();
        match store.commit(&id, &commit, &Lease::new(MINUTE)).unwrap() {
            Outcome::Done(_) => counted += 1,
            Outcome::Changed => {}
            other => panic!("{other:?}"),
        }
    }
}
