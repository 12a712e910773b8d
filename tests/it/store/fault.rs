//! The fault store: it fails at the chosen calls, before or after carrying them out.

#![cfg(feature = "testing")]

use std::time::Duration;

use lembro::testing::{Call, FaultStore, PlainStore, When};
use lembro::{Changes, Clock, EndReason, Error, Lease, Record, SessionId, Store};

use crate::support::steps::{create, create_owned, found, merge, new_id, owner, version_of};

const LEASE: Lease = Lease::new(Duration::from_secs(3600));

fn store() -> FaultStore<PlainStore> {
    FaultStore::new(PlainStore::new(Clock::system()))
}

fn created(store: &impl Store) -> SessionId {
    let id = new_id();
    assert!(create(store, &id, &Record::new(), LEASE.idle).unwrap().is_done());
    id
}

fn is_plain_failure(error: &Error) -> bool {
    error.is_store() && !error.is_unknown()
}

#[test]
fn nth_call_of_a_kind_fails() {
    let store = store();
    let id = created(&store);
    store.fail(Call::Visit, 2, When::Before);
    let visits: Vec<bool> = (0..4).map(|_| store.get(&id).is_ok() && store.visit(&id, &LEASE).is_ok()).collect();
    assert_eq!(visits, [true, false, true, true]);
    assert_eq!((store.calls(Call::Peek), store.calls(Call::Visit), store.calls(None)), (4, 4, 9));
}

#[test]
fn nth_of_all_calls_fails() {
    let store = store();
    let id = created(&store);
    store.fail(None, 3, When::Before);
    let calls = [store.get(&id).is_ok(), store.touch(&id, &LEASE).is_ok(), store.destroy(&id).is_ok()];
    assert_eq!(calls, [true, true, false]);
    assert!(store.get(&id).unwrap().is_some());
}

#[test]
fn failures_before_and_after_the_call() {
    for (when, is_done) in [(When::Before, false), (When::After, true)] {
        let store = store();
        let id = created(&store);
        store.fail(Call::End, 1, when);
        let error = store.destroy(&id).unwrap_err();
        assert_eq!((error.is_unknown(), is_plain_failure(&error)), (is_done, !is_done));
        assert_eq!(store.get(&id).unwrap().is_none(), is_done);
    }
}

#[test]
fn lost_read_is_no_unknown_outcome() {
    let store = store();
    let id = created(&store);
    store.fail_all(None, When::After);
    assert!(is_plain_failure(&store.get(&id).unwrap_err()));
    assert!(is_plain_failure(&store.len().unwrap_err()));
    store.heal();
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn calls_on_owners_fail_too() {
    let store = store();
    let (id, ada) = (new_id(), owner("ada"));
    assert!(create_owned(&store, &id, &Record::new(), "ada", LEASE.idle).unwrap().is_done());
    let owners = store.owners().unwrap();
    store.fail(Call::Owners, 1, When::After);
    assert!(owners.destroy_handle(id.handle(), Some(&ada), EndReason::Revoked).unwrap_err().is_unknown());
    assert_eq!(owners.count(&ada).unwrap(), 0);
    store.fail_all(Call::Owners, When::Before);
    assert!(owners.epoch(&ada).is_err() && owners.list(&ada).is_err() && owners.destroy_all(&ada, None).is_err());
    assert!(owners.end_reason(&id).is_err() && store.get(&id).is_ok());
    assert!(store.store().get(&id).unwrap().is_none());
}

#[test]
fn repeat_finds_its_lost_commit() {
    let store = store();
    let id = created(&store);
    let mut commit = merge(&Changes::new(), version_of(&store, &id));
    commit.changes.insert("", "n", &1).unwrap();
    store.fail(Call::Commit, 1, When::After);
    assert!(store.commit(&id, &commit, &LEASE).unwrap_err().is_unknown());
    let receipt = store.commit(&id, &commit.repeated(), &LEASE).unwrap().receipt().unwrap();
    let record = found(&store, &id).record;
    assert_eq!((receipt.version, record.get("n").unwrap()), (record.version(), Some(1)));
}
