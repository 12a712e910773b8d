//! Promise: a fault store fails when it is told to, before or after it did what it was asked, and
//! at no other time.

#![cfg(feature = "testing")]

use std::time::Duration;

use lembro::testing::{Call, FaultStore, PlainStore, When};
use lembro::{Clock, Commit, EndReason, Error, Lease, Login, Owner, SessionId, Store};

const LEASE: Lease = Lease::new(Duration::from_secs(3600));

fn store() -> FaultStore<PlainStore> {
    FaultStore::new(PlainStore::new(Clock::system()))
}

fn created(store: &impl Store) -> SessionId {
    let id = SessionId::random().unwrap();
    assert!(store.commit(&id, &Commit::create().unwrap(), &LEASE).unwrap().is_done());
    id
}

fn is_plain_failure(error: &Error) -> bool {
    error.is_store() && !error.is_unknown()
}

#[test]
fn the_nth_call_of_a_kind_fails_and_no_other() {
    let store = store();
    let id = created(&store);
    store.fail(Call::Visit, 2, When::Before);
    let visits: Vec<bool> = (0..4).map(|_| store.get(&id).is_ok() && store.visit(&id, &LEASE).is_ok()).collect();
    assert_eq!(visits, [true, false, true, true]);
    assert_eq!((store.calls(Call::Peek), store.calls(Call::Visit), store.calls(None)), (4, 4, 9));
}

#[test]
fn the_nth_of_all_calls_fails() {
    let store = store();
    let id = created(&store);
    store.fail(None, 3, When::Before);
    let calls = [store.get(&id).is_ok(), store.touch(&id, &LEASE).is_ok(), store.destroy(&id).is_ok()];
    assert_eq!(calls, [true, true, false]);
    assert!(store.get(&id).unwrap().is_some());
}

#[test]
fn what_fails_before_is_not_done_and_what_fails_after_is() {
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
fn a_read_whose_answer_is_lost_is_not_an_unknown_outcome() {
    let store = store();
    let id = created(&store);
    store.fail_all(None, When::After);
    assert!(is_plain_failure(&store.get(&id).unwrap_err()));
    assert!(is_plain_failure(&store.len().unwrap_err()));
    store.heal();
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn owners_fail_too() {
    let store = store();
    let (id, ada) = (SessionId::random().unwrap(), Owner::new("ada").unwrap());
    let create = Commit::create().unwrap().log_in(Login::new(ada.clone()));
    assert!(store.commit(&id, &create, &LEASE).unwrap().is_done());
    let owners = store.owners().unwrap();
    store.fail(Call::Owners, 1, When::After);
    assert!(owners.destroy_handle(id.handle(), Some(&ada), EndReason::Named).unwrap_err().is_unknown());
    assert_eq!(owners.count(&ada).unwrap(), 0);
    store.fail_all(Call::Owners, When::Before);
    assert!(owners.epoch(&ada).is_err() && owners.list(&ada).is_err() && owners.destroy_all(&ada, None).is_err());
    assert!(owners.why_ended(&id).is_err() && store.get(&id).is_ok());
    assert!(store.store().get(&id).unwrap().is_none());
}

#[test]
fn a_lost_commit_is_found_by_its_repeat() {
    let store = store();
    let id = created(&store);
    let version = store.get(&id).unwrap().unwrap().record.version();
    let mut commit = Commit::merge(version).unwrap();
    commit.changes.insert("", "n", &1).unwrap();
    store.fail(Call::Commit, 1, When::After);
    assert!(store.commit(&id, &commit, &LEASE).unwrap_err().is_unknown());
    let receipt = store.commit(&id, &commit.repeated(), &LEASE).unwrap().receipt().unwrap();
    assert_eq!(receipt.version, store.get(&id).unwrap().unwrap().record.version());
    assert_eq!(store.get(&id).unwrap().unwrap().record.get("n").unwrap(), Some(1));
}
