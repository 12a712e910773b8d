//! The shape of the public types: what can be sent, shared, boxed and compared.

use std::sync::Arc;
use std::time::Duration;

use crate::support::session::{save_value, stored_session};
use lembro::{
    Action, Changes, Clock, Commit, Entry, Epoch, Error, Event, Handle, Lease, LembroOptions, LembroStore, Login,
    Lookup, ManualClock, Now, Outcome, Owner, Owners, Policy, Receipt, Record, Saved, Session, SessionId, Sessions,
    Stats, Store, Stored, Version, Write,
};

fn send<T: Send + 'static>() {}
fn shared<T: Send + Sync + 'static>() {}

#[test]
fn all_types_but_a_session_are_shared() {
    shared::<(Changes, Clock, Error, Event, Handle, LembroOptions, LembroStore, ManualClock, Outcome, Policy)>();
    shared::<(Action<'_>, Commit, Entry, Epoch, Lease, Login, Lookup, Now, Owner, Receipt, Write)>();
    shared::<(Record, SessionId, Stats, Stored, Version)>();
    shared::<Box<dyn Store>>();
    shared::<&dyn Owners>();
    shared::<(Saved, Sessions)>();
    #[cfg(feature = "metrics")]
    shared::<lembro::metrics::Metrics>();
    send::<Session>();
}

#[test]
fn ids_lookups_and_outcomes_are_small() {
    assert_eq!((size_of::<Handle>(), size_of::<SessionId>(), size_of::<Version>()), (8, 24, 8));
    assert!(size_of::<Lookup>() <= 64);
    assert!(size_of::<Outcome>() <= 64);
    assert!(size_of::<Error>() == size_of::<usize>());
}

#[test]
fn store_works_behind_any_pointer() {
    let store = LembroStore::new().unwrap();
    let boxed: Box<dyn Store> = Box::new(store.clone());
    let counted: Arc<dyn Store> = Arc::new(boxed);
    let (id, lease) = (SessionId::random().unwrap(), Lease::new(Duration::from_secs(60)));
    assert!(counted.commit(&id, &Commit::create().unwrap(), &lease).unwrap().is_done());
    assert!(counted.visit(&id, &lease).unwrap().found().is_some());
    assert_eq!((counted.len().unwrap(), counted.all().unwrap().count(), store.len().unwrap()), (1, 1, 1));
    assert_eq!(counted.owners().unwrap().count(&Owner::new("ada").unwrap()).unwrap(), 0);
    assert!(counted.destroy(&id).unwrap().is_done());
    assert!(store.is_empty().unwrap());
}

#[test]
fn sessions_work_behind_any_pointer() {
    let store = LembroStore::new().unwrap();
    let counted: Arc<dyn Store> = Arc::new(Box::new(store.clone()));
    let sessions = Sessions::new(counted);
    stored_session(&sessions);
    assert_eq!(store.len().unwrap(), 1);
    assert_eq!(sessions.store().len().unwrap(), 1);
}

#[test]
fn session_works_in_another_thread() {
    let sessions = Sessions::new(LembroStore::new().unwrap());
    let mut session = sessions.generate().unwrap();
    session.insert("here", &1).unwrap();
    let moved = std::thread::spawn(move || {
        save_value(&mut session, "there", &2);
        session
    });
    let id = moved.join().unwrap().id().unwrap();
    assert_eq!(sessions.load(&id).unwrap().unwrap().keys().unwrap().collect::<Vec<_>>(), ["here", "there"]);
}
