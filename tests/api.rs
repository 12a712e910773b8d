//! The shape of the public types: what can be sent, shared, boxed and compared.

use std::sync::Arc;

use lembro::{
    Changes, Clock, Commit, Entry, Error, Event, Handle, Lease, LembroOptions, LembroStore, Lookup, ManualClock,
    Outcome, Owner, Policy, Record, Saved, Session, SessionId, Sessions, Stats, Store, Stored, Version,
};

fn send<T: Send + 'static>() {}
fn shared<T: Send + Sync + 'static>() {}

#[test]
fn everything_crosses_threads_and_all_but_a_session_is_shared_between_them() {
    shared::<(Changes, Clock, Error, Event, Handle, LembroOptions, LembroStore, ManualClock, Outcome, Policy)>();
    shared::<(Record, Saved, SessionId, Sessions, Stats, Stored, Version)>();
    shared::<(Commit, Entry, Lease, Lookup, Owner)>();
    shared::<Box<dyn Store>>();
    send::<Session>();
}

#[test]
fn a_store_works_behind_any_pointer() {
    let store = LembroStore::new().unwrap();
    let boxed: Box<dyn Store> = Box::new(store.clone());
    let counted: Arc<dyn Store> = Arc::new(boxed);
    let sessions = Sessions::new(counted);
    let mut session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(store.len().unwrap(), 1);
    assert_eq!(sessions.store().len().unwrap(), 1);
}

#[test]
fn a_session_moves_to_another_thread_and_works_there() {
    let sessions = Sessions::new(LembroStore::new().unwrap());
    let mut session = sessions.generate().unwrap();
    session.insert("here", &1).unwrap();
    let moved = std::thread::spawn(move || {
        session.insert("there", &2).unwrap();
        session.save().unwrap();
        session
    });
    let id = moved.join().unwrap().id().unwrap();
    assert_eq!(sessions.load(&id).unwrap().unwrap().keys().unwrap().collect::<Vec<_>>(), ["here", "there"]);
}
