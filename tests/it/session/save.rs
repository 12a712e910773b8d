//! Saving: once, merged with what others saved, refused without loss, and under an id that is free.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::session::{
    HOUR, MINUTE, load_again, manual_sessions, manual_store, probed_sessions, stored_session,
};
use lembro::{Saved, SessionId, Sessions, Store};

#[test]
fn a_session_of_which_nothing_remains_is_not_stored() {
    let (sessions, store, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    session.insert("a", &1).unwrap();
    session.component("cart").insert("b", &1).unwrap();
    session.remove("a").unwrap();
    session.component("cart").clear().unwrap();
    session.set_timeout(MINUTE).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    assert_eq!(store.len().unwrap(), 0);

    // The timeout was kept for when there is something to store.
    session.insert("a", &2).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(load_again(&sessions, &session).timeout().unwrap(), MINUTE);
}

#[test]
fn a_second_save_without_changes_writes_nothing() {
    // FEATURES 21: only changed sessions are saved.
    let (sessions, probe, _) = probed_sessions();
    let mut session = stored_session(&sessions);
    probe.calls.take();
    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    assert_eq!(probe.calls.happened(), []);

    session.insert("page", "/").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    assert_eq!(probe.calls.happened(), [("commit", 1)]);
}

#[test]
fn a_failing_store_leaves_the_changes_in_place_and_a_retry_works() {
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
        assert!(failed.changed());
        assert!(!failed.is_gone().unwrap());
    }
    assert!(session.touch().unwrap_err().is_store());
    assert!(session.reload().unwrap_err().is_store());
    assert!(session.log_out().unwrap_err().is_store());
    assert!(session.modify("b", |_: &mut Option<u8>| ()).unwrap_err().is_store());
    assert_eq!(session.id().unwrap(), id);
    assert_eq!(session.get::<i32>("b").unwrap(), Some(2));
    assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
    // Each failure reached the channel, too, and once: FEATURES 5.
    let reported: Vec<_> = errors.try_iter().map(|error| error.to_string()).collect();
    assert_eq!(reported, ["the store failed"; 7]);

    probe.break_down(false);
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(new.save().unwrap(), Saved::Written);
    assert_eq!(load_again(&sessions, &session).get::<i32>("b").unwrap(), Some(2));
    assert_eq!(load_again(&sessions, &new).get::<i32>("a").unwrap(), Some(1));
}

#[test]
fn a_taken_id_is_drawn_again_and_the_session_says_which_one_it_got() {
    // FEATURES 15: an id source of one's own.
    let (store, _) = manual_store();
    let next = AtomicUsize::new(0);
    let sessions = Sessions::new(store)
        .id_source(move || Ok(SessionId::derive(&format!("id {}", next.fetch_add(1, Ordering::SeqCst) / 3))));
    for number in 0..5 {
        let mut session = sessions.generate().unwrap();
        session.insert("number", &number).unwrap();
        assert_eq!(session.save().unwrap(), Saved::Written);
        assert_eq!(load_again(&sessions, &session).get::<i32>("number").unwrap(), Some(number));
    }
    assert_eq!(sessions.store().len().unwrap(), 5);
}

#[test]
fn a_source_that_repeats_itself_ends_in_a_clear_error_and_the_data_stays() {
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
    assert!(second.changed() && second.is_new().unwrap());
    let error = second.modify("mine", |_: &mut Option<i32>| ()).unwrap_err();
    assert_eq!(error.to_string(), format!("session {}: the id is taken already", id.handle()));
    assert_eq!(second.get::<i32>("mine").unwrap(), Some(1));
    assert_eq!(sessions.load(&id).unwrap().unwrap().get_str("user").unwrap().as_deref(), Some("ada"));
}

#[test]
fn a_save_that_is_overtaken_keeps_the_timeout_that_overtook_it() {
    // "Remember me" in one request while another one saves: the session must not fall back to an
    // hour.
    let (sessions, probe, time) = probed_sessions();
    let mut session = stored_session(&sessions);
    let mut remember = load_again(&sessions, &session);
    remember.set_timeout(8 * HOUR).unwrap();
    probe.before_next_commit(move || assert_eq!(remember.save().unwrap(), Saved::Written));
    session.insert("page", "/inbox").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert!(session.reload().unwrap());
    assert_eq!(session.timeout().unwrap(), 8 * HOUR);

    time.advance(7 * HOUR);
    let again = load_again(&sessions, &session);
    assert_eq!(again.get_str("page").unwrap().as_deref(), Some("/inbox"));
}

#[test]
fn a_save_that_is_overtaken_lands_in_one_commit_and_both_survive() {
    let (sessions, probe, _) = probed_sessions();
    let mut session = stored_session(&sessions);
    let mut other = load_again(&sessions, &session);
    probe.calls.take();
    probe.before_next_commit(move || {
        other.insert("theirs", &1).unwrap();
        assert_eq!(other.save().unwrap(), Saved::Written);
    });
    session.insert("mine", &1).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(probe.calls.happened(), [("commit", 2)], "one of theirs and one of mine");
    let again = load_again(&sessions, &session);
    assert_eq!((again.get("mine").unwrap(), again.get("theirs").unwrap()), (Some(1), Some(1)));
}

#[test]
fn a_touch_beside_another_requests_remember_me_takes_nothing_back() {
    let (sessions, _, time) = manual_sessions();
    let session = stored_session(&sessions);
    let mut working = load_again(&sessions, &session);
    let mut remember = load_again(&sessions, &session);
    remember.set_timeout(8 * HOUR).unwrap();
    assert_eq!(remember.save().unwrap(), Saved::Written);
    assert_eq!(working.touch().unwrap(), Saved::Written);
    time.advance(7 * HOUR);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_some());
}

#[test]
fn two_handles_that_change_different_keys_both_survive_and_of_the_same_key_the_last() {
    // FEATURES 27: only the changed keys are written.
    let (sessions, _, _) = manual_sessions();
    let mut one = stored_session(&sessions);
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
fn a_session_goes_on_from_what_it_saved() {
    let (sessions, probe, _) = probed_sessions();
    let mut session = stored_session(&sessions);
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
    // Nothing was read again, and nobody was first.
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
fn a_session_dropped_without_save_changed_nothing() {
    let (sessions, _, _) = manual_sessions();
    let session = stored_session(&sessions);
    let mut dropped = load_again(&sessions, &session);
    dropped.insert("user", "bob").unwrap();
    dropped.clear().unwrap();
    drop(dropped);
    assert_eq!(load_again(&sessions, &session).get_str("user").unwrap().as_deref(), Some("ada"));
}
