//! Saves: merged with those of other requests, refused without loss, and under an id that is free.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::session::{
    HOUR, MINUTE, load_again, manual_session, manual_sessions, manual_store, probed_session, probed_sessions,
    save_value, stored_session,
};
use lembro::{Saved, SessionId, Sessions, Store};

#[test]
fn emptied_new_session_is_not_stored() {
    let (sessions, store, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    session.insert("a", &1).unwrap();
    session.component("cart").insert("b", &1).unwrap();
    session.remove("a").unwrap();
    session.component("cart").clear().unwrap();
    session.set_timeout(MINUTE).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    assert_eq!(store.len().unwrap(), 0);

    // The timeout is kept until there is data to store.
    save_value(&mut session, "a", &2);
    assert_eq!(load_again(&sessions, &session).timeout().unwrap(), MINUTE);
}

#[test]
fn second_save_writes_nothing() {
    let (_, mut session, probe, ..) = probed_session();
    probe.calls.take();
    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    assert_eq!(probe.calls.happened(), []);

    save_value(&mut session, "page", "/");
    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    assert_eq!(probe.calls.happened(), [("commit", 1)]);
}

#[test]
fn failed_save_can_be_repeated() {
    // Of the models: the error event was never sent (L10), and a failure hung the response, or gave
    // the user a new session under the same id (S12, T11).
    let (sessions, probe, _) = probed_sessions();
    let errors = sessions.errors();
    let mut session = stored_session(&sessions);
    let id = session.id().unwrap();
    let mut new = sessions.generate().unwrap();
    new.insert("a", &1).unwrap();
    session.insert("b", &2).unwrap();

    probe.break_down(true);
    assert!(sessions.load(&id).unwrap_err().is_store());
    for failed in [&mut session, &mut new] {
        assert!(failed.save().unwrap_err().is_store());
        assert!(failed.is_changed());
        assert!(!failed.is_gone().unwrap());
    }
    assert!(session.touch().unwrap_err().is_store());
    assert!(session.reload().unwrap_err().is_store());
    assert!(session.log_out().unwrap_err().is_store());
    assert!(session.modify("b", |_: &mut Option<u8>| ()).unwrap_err().is_store());
    assert_eq!(session.id().unwrap(), id);
    assert_eq!(session.get::<i32>("b").unwrap(), Some(2));
    assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
    let reported: Vec<_> = errors.try_iter().map(|error| error.to_string()).collect();
    assert_eq!(reported, ["the store failed"; 7]);

    probe.break_down(false);
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(new.save().unwrap(), Saved::Written);
    assert_eq!(load_again(&sessions, &session).get::<i32>("b").unwrap(), Some(2));
    assert_eq!(load_again(&sessions, &new).get::<i32>("a").unwrap(), Some(1));
}

#[test]
fn taken_id_is_drawn_again() {
    let (store, _) = manual_store();
    let next = AtomicUsize::new(0);
    let sessions = Sessions::new(store)
        .id_source(move || Ok(SessionId::derive(&format!("id {}", next.fetch_add(1, Ordering::SeqCst) / 3))));
    for number in 0..5 {
        let mut session = sessions.generate().unwrap();
        save_value(&mut session, "number", &number);
        assert_eq!(load_again(&sessions, &session).get::<i32>("number").unwrap(), Some(number));
    }
    assert_eq!(sessions.store().len().unwrap(), 5);
}

#[test]
fn repeating_id_source_is_a_clear_error() {
    let (store, _) = manual_store();
    let draws = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = draws.clone();
    let id = SessionId::derive("always the same");
    let sessions = Sessions::new(store).id_source(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(id)
    });
    stored_session(&sessions);
    let mut second = sessions.generate().unwrap();
    second.insert("mine", &1).unwrap();
    draws.store(0, Ordering::SeqCst);

    let error = second.save().unwrap_err();
    assert!(error.is_taken());
    assert_eq!(error.to_string(), format!("session {}: the id is taken already", id.handle()));
    assert_eq!(draws.load(Ordering::SeqCst), 16);
    assert!(second.is_changed() && second.is_new().unwrap());
    let error = second.modify("mine", |_: &mut Option<i32>| ()).unwrap_err();
    assert_eq!(error.to_string(), format!("session {}: the id is taken already", id.handle()));
    assert_eq!(second.get::<i32>("mine").unwrap(), Some(1));
    assert_eq!(sessions.load(&id).unwrap().unwrap().get_str("user").unwrap().as_deref(), Some("ada"));
}

#[test]
fn overtaken_save_keeps_the_newer_timeout() {
    // One request gives the session a longer timeout while another one saves. The save must not
    // take it back.
    let (sessions, mut session, probe, time) = probed_session();
    let mut remember = load_again(&sessions, &session);
    remember.set_timeout(8 * HOUR).unwrap();
    probe.before_next_commit(move || assert_eq!(remember.save().unwrap(), Saved::Written));
    save_value(&mut session, "page", "/inbox");
    assert!(session.reload().unwrap());
    assert_eq!(session.timeout().unwrap(), 8 * HOUR);

    time.advance(7 * HOUR);
    let again = load_again(&sessions, &session);
    assert_eq!(again.get_str("page").unwrap().as_deref(), Some("/inbox"));
}

#[test]
fn overtaken_save_merges_in_one_commit() {
    let (sessions, mut session, probe, ..) = probed_session();
    let mut other = load_again(&sessions, &session);
    probe.calls.take();
    probe.before_next_commit(move || {
        save_value(&mut other, "theirs", &1);
    });
    save_value(&mut session, "mine", &1);
    assert_eq!(probe.calls.happened(), [("commit", 2)], "one of each handle");
    let again = load_again(&sessions, &session);
    assert_eq!((again.get("mine").unwrap(), again.get("theirs").unwrap()), (Some(1), Some(1)));
}

#[test]
fn touch_keeps_a_parallel_remember_me() {
    let (sessions, session, _, time) = manual_session();
    let mut working = load_again(&sessions, &session);
    let mut remember = load_again(&sessions, &session);
    remember.set_timeout(8 * HOUR).unwrap();
    assert_eq!(remember.save().unwrap(), Saved::Written);
    assert_eq!(working.touch().unwrap(), Saved::Written);
    time.advance(7 * HOUR);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_some());
}

#[test]
fn different_keys_merge_and_the_last_same_key_wins() {
    let (sessions, mut one, ..) = manual_session();
    let mut two = load_again(&sessions, &one);
    one.insert("left", &1).unwrap();
    one.insert("both", "one").unwrap();
    two.insert("right", &2).unwrap();
    two.insert("both", "two").unwrap();
    two.remove("user").unwrap();
    assert_eq!(one.save().unwrap(), Saved::Written);
    assert_eq!(two.save().unwrap(), Saved::Written);
    assert!(two.reload().unwrap());
    for handle in [&two, &load_again(&sessions, &one)] {
        let entries: Vec<_> = handle.iter().unwrap().map(|(key, value)| (key, value.get())).collect();
        assert_eq!(entries, [("both", "\"two\""), ("left", "1"), ("right", "2")]);
    }
}

#[test]
fn session_continues_from_its_save() {
    let (sessions, mut session, probe, ..) = probed_session();
    session.insert("cart", &1).unwrap();
    session.set_timeout(MINUTE).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    probe.calls.take();
    assert_eq!(session.timeout().unwrap(), MINUTE);
    assert_eq!(session.get::<i32>("cart").unwrap(), Some(1));
    session.insert("cart", &2).unwrap();
    session.insert("page", "/").unwrap();
    assert_eq!(session.get::<i32>("cart").unwrap(), Some(2));
    assert_eq!(session.save().unwrap(), Saved::Written);
    // The second save read nothing, and was not overtaken.
    assert_eq!(probe.calls.happened(), [("commit", 1)]);
    let stored = load_again(&sessions, &session);
    assert_eq!(stored.get::<i32>("cart").unwrap(), Some(2));
    assert_eq!(stored.get_str("page").unwrap().as_deref(), Some("/"));
    assert_eq!(stored.timeout().unwrap(), MINUTE);
    for key in stored.keys().unwrap() {
        assert_eq!(session.get::<serde_json::Value>(key).unwrap(), stored.get::<serde_json::Value>(key).unwrap());
    }
}

#[test]
fn dropped_session_changes_nothing() {
    let (sessions, session, ..) = manual_session();
    let mut dropped = load_again(&sessions, &session);
    dropped.insert("user", "bob").unwrap();
    dropped.clear().unwrap();
    drop(dropped);
    assert_eq!(load_again(&sessions, &session).get_str("user").unwrap().as_deref(), Some("ada"));
}
