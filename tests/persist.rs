//! Persistence: what was acknowledged is there after a restart, and what ended is not.

mod scratch;
mod steps;

use std::fs;
use std::time::Duration;

use lembro::{LembroOptions, LembroStore, Store};

use self::scratch::Folder;
use self::steps::{create_owned, new_id, owner, owners};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_store_that_was_not_closed_has_all_its_sessions_again() {
    let folder = Folder::new();
    let options = LembroOptions::new().persist(folder.join("sessions"));
    let store = LembroStore::with_options(options.clone()).unwrap();
    let ids: Vec<_> = (0..100).map(|_| new_id()).collect();
    for id in &ids {
        assert!(create_owned(&store, id, &[("user", "ada")].into_iter().collect(), "ada", HOUR).unwrap().is_done());
    }
    for id in &ids[..50] {
        assert!(store.destroy(id).unwrap().is_done());
    }
    let other = folder.join("copy");
    fs::create_dir(&other).unwrap();
    for name in folder.names() {
        if name != "copy" {
            fs::copy(folder.join(&name), other.join(&name)).unwrap();
        }
    }
    let error = LembroStore::with_options(options).unwrap_err();
    assert!(error.is_persist(), "{error}");
    println!("{error} {:?}", folder.names());
    let again = LembroStore::with_options(LembroOptions::new().persist(other.join("sessions"))).unwrap();
    assert_eq!(again.len().unwrap(), 50);
    assert_eq!(again.stats().restored.unwrap().changes, 150);
    assert_eq!(owners(&again).destroy_all(&owner("ada"), None).unwrap(), 50);
    drop(again);
    let again = LembroStore::with_options(LembroOptions::new().persist(other.join("sessions"))).unwrap();
    assert_eq!(again.len().unwrap(), 0);
    assert_eq!(store.len().unwrap(), 50);
    again.close().unwrap();
    assert!(again.set(&new_id(), lembro::Record::new(), HOUR).unwrap_err().is_persist());
}
