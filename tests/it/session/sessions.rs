//! `Sessions` on any store: creation from data, id sources, events and errors, clocks.

use std::sync::{Arc, Mutex};

use crate::support::session::{HOUR, RowStore, load_again, manual_sessions, manual_store, save_value, stored_session};
use lembro::{
    Action, Clock, Commit, Error, Event, Lease, LembroStore, Look, Lookup, Outcome, Policy, Record, Result, Saved,
    SessionId, Sessions, Store,
};

/// A store with the two required methods and a clock, and without optional methods.
struct Smallest(RowStore);

impl Store for Smallest {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        self.0.look(id, how, lease)
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        self.0.apply(id, action, lease)
    }

    fn clock(&self) -> Clock {
        self.0.clock()
    }
}

#[test]
fn custom_store_serves_all_of_a_sessions_life() {
    let time = Clock::manual();
    let sessions = Sessions::new(Smallest(RowStore::new(&time)));
    let mut session = sessions.generate().unwrap();
    save_value(&mut session, "user", "ada");
    let before = session.id().unwrap();
    session.regenerate().unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert!(sessions.load(&before).unwrap().is_none());

    let mut other = load_again(&sessions, &session);
    other.component("cart").insert("items", &1).unwrap();
    assert_eq!(other.save().unwrap(), Saved::Written);
    save_value(&mut session, "theme", "dark");
    assert!(session.reload().unwrap());
    assert_eq!(session.component("cart").get::<u8>("items").unwrap(), Some(1));
    assert_eq!(session.modify("count", |count: &mut Option<u8>| *count = Some(1)).unwrap(), Some(()));
    assert_eq!(load_again(&sessions, &session).len().unwrap(), 3);

    session.log_out().unwrap();
    other.insert("late", &1).unwrap();
    assert_eq!(other.save().unwrap(), Saved::Gone);

    let id = SessionId::derive("given");
    let given = sessions.create_session(&id, Record::new()).unwrap();
    assert!(sessions.create_session(&id, Record::new()).unwrap_err().is_taken());
    time.advance(HOUR);
    assert!(sessions.load(&given.id().unwrap()).unwrap().is_none());
    sessions.create_session(&id, Record::new()).unwrap();

    let unsupported = |error: Error| {
        assert!(error.is_unsupported());
        error.to_string()
    };
    let store = sessions.store();
    assert_eq!(unsupported(store.len().unwrap_err()), "this store does not support counting its sessions");
    assert_eq!(unsupported(store.clear().unwrap_err()), "this store does not support clearing itself");
    assert_eq!(unsupported(store.all().err().unwrap()), "this store does not support listing its sessions");
}

#[test]
fn create_session_from_data() {
    let (sessions, store, _) = manual_sessions();
    let id = SessionId::derive("s:J7mR2vXq9cW4hT8yB3nL6kPz");
    let data: Record = [("user", "ada"), ("theme", "dark")].into_iter().collect();
    let mut session = sessions.create_session(&id, data).unwrap();
    assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
    assert_eq!(session.id().unwrap(), id);
    assert!(!session.is_new().unwrap() && !session.is_changed());
    assert_eq!(store.len().unwrap(), 1);
    save_value(&mut session, "more", &1);
    assert_eq!(sessions.load(&id).unwrap().unwrap().keys().unwrap().collect::<Vec<_>>(), ["more", "theme", "user"]);
}

#[test]
fn create_session_under_a_given_id() {
    // R7, of the models: creating a session under a known id emptied the existing one.
    let (sessions, store, time) = manual_sessions();
    let id = SessionId::derive("given");
    let mut session = sessions.create_session(&id, Record::new()).unwrap();
    assert!(session.is_empty().unwrap());
    assert_eq!(store.len().unwrap(), 1, "it is stored although it is empty");

    let taken = sessions.create_session(&id, [("user", "mallory")].into_iter().collect()).unwrap_err();
    assert!(taken.is_taken());
    assert_eq!(taken.to_string(), format!("session {}: the id is taken already", id.handle()));
    assert_eq!(store.commit(&id, &Commit::create().unwrap(), &Lease::new(HOUR)).unwrap(), Outcome::Taken);
    assert!(sessions.load(&id).unwrap().unwrap().is_empty().unwrap());
    save_value(&mut session, "still", "mine");

    let error = "not an id".parse::<SessionId>().unwrap_err();
    assert!(error.is_id());
    assert_eq!(error.to_string(), "session id: id has 9 bytes, expected 32");

    let big: Record = [("big", "x".repeat(70_000))].into_iter().collect();
    assert!(sessions.create_session(&SessionId::derive("big"), big).unwrap_err().is_size());
    let long: Record = [("k".repeat(256), 1)].into_iter().collect();
    assert!(sessions.create_session(&SessionId::derive("long"), long).unwrap_err().is_size());
    assert_eq!(store.len().unwrap(), 1);

    // An id is free again when its session has expired.
    time.advance(HOUR);
    sessions.create_session(&id, Record::new()).unwrap();
}

#[test]
fn ids_are_random_unless_a_source_is_given() {
    let (store, _) = manual_store();
    let sessions = Sessions::new(store);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1_000 {
        assert!(seen.insert(sessions.generate().unwrap().id().unwrap().expose()));
    }
    let ids = Mutex::new(0);
    let own = sessions.clone().id_source(move || {
        let mut number = ids.lock().unwrap();
        *number += 1;
        Ok(SessionId::derive(&format!("order {number}")))
    });
    assert_eq!(own.generate().unwrap().id().unwrap(), SessionId::derive("order 1"));
    assert_eq!(own.generate().unwrap().id().unwrap(), SessionId::derive("order 2"));
    // The first `Sessions` keeps its own source.
    assert_ne!(sessions.generate().unwrap().id().unwrap(), SessionId::derive("order 3"));
    assert_eq!(own.generate().unwrap().id().unwrap(), SessionId::derive("order 3"));
}

#[test]
fn failing_id_source_changes_nothing() {
    let (store, _) = manual_store();
    let broken = Arc::new(Mutex::new(false));
    let switch = broken.clone();
    let sessions = Sessions::new(store)
        .id_source(move || if *switch.lock().unwrap() { Err(Error::store("no entropy")) } else { SessionId::random() });
    let mut session = stored_session(&sessions);
    let id = session.id().unwrap();
    *broken.lock().unwrap() = true;
    assert!(sessions.generate().unwrap_err().is_store());
    session.regenerate().unwrap();
    session.insert("a", &1).unwrap();
    assert!(session.save().unwrap_err().is_store());
    assert_eq!((session.id().unwrap(), session.is_changed()), (id, true));
    assert!(sessions.load(&id).unwrap().is_some(), "the old id is still the session's");
    *broken.lock().unwrap() = false;
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_ne!(session.id().unwrap(), id);
    assert_eq!(load_again(&sessions, &session).get::<i32>("a").unwrap(), Some(1));
}

#[test]
fn unknown_ids_and_failures_are_published() {
    let (sessions, probe, time) = crate::support::session::probed_sessions();
    let (events, errors) = (sessions.events(), sessions.errors());
    let id = stored_session(&sessions).id().unwrap();
    assert!(sessions.load(&id).unwrap().is_some());
    assert!(events.is_empty());
    time.advance(HOUR);
    assert!(sessions.load(&id).unwrap().is_none());
    assert_eq!(events.try_recv(), Ok(Event::UnknownId { handle: id.handle() }));
    probe.break_down(true);
    let returned = sessions.load(&id).unwrap_err();
    let reported = errors.try_recv().unwrap();
    assert_eq!(reported.to_string(), returned.to_string());
    assert_eq!(std::error::Error::source(&reported).unwrap().to_string(), "unplugged");
    assert!(events.is_empty() && errors.is_empty());
}

#[test]
fn two_policies_on_one_store() {
    let (store, time) = manual_store();
    let long = Sessions::with_policy(store.clone(), Policy::new().timeout(8 * HOUR)).unwrap();
    let short = Sessions::new(store);
    let (one, two) = (stored_session(&long), stored_session(&short));
    assert_eq!((long.policy(), short.policy()), (&Policy::new().timeout(8 * HOUR), &Policy::new()));
    time.advance(HOUR);
    assert!(long.load(&one.id().unwrap()).unwrap().is_some());
    assert!(short.load(&two.id().unwrap()).unwrap().is_none());
}

#[test]
fn sessions_use_the_clock_of_their_store() {
    let (sessions, _, time) = manual_sessions();
    let before = sessions.clock().now();
    time.advance(HOUR);
    assert_eq!(sessions.clock().now(), before + HOUR);
}

#[test]
fn store_behind_a_pointer_is_a_store() {
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    let (store, _) = manual_store();
    let boxed: Box<dyn Store> = Box::new(Arc::new(store.clone()));
    let sessions = Sessions::new(boxed);
    let session = stored_session(&sessions);
    assert!(sessions.clone().load(&session.id().unwrap()).unwrap().is_some());
    assert_eq!((sessions.store().len().unwrap(), store.len().unwrap()), (1, 1));
    is_shared::<Sessions>();
    is_shared::<LembroStore>();
}
