//! The states of a session: unloaded, new, live, gone, and what each of them does.

mod session_support;

use std::sync::atomic::{AtomicUsize, Ordering};

use lembro::{LembroStore, Outcome, Policy, Record, Saved, Session, SessionId, Sessions, Store};
use session_support::{
    HOUR, MINUTE, SECOND, load_again, manual_sessions, manual_store, probed_sessions, stored_session,
};

#[test]
fn a_new_session_is_new_until_it_is_saved_with_something_in_it() {
    let (sessions, store, _) = manual_sessions();
    let mut session = sessions.generate().unwrap(); // FEATURES 14: generate, on any store
    assert!(session.is_new().unwrap() && !session.is_gone().unwrap() && !session.changed());
    assert_eq!(session.expires_at().unwrap(), None);

    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    assert_eq!(session.touch().unwrap(), Saved::Unchanged);
    assert_eq!(session.reload().unwrap(), Outcome::Done);
    assert_eq!(store.len().unwrap(), 0);

    session.insert("user", "ada").unwrap();
    assert!(session.changed());
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert!(!session.is_new().unwrap() && !session.changed());
    assert_eq!(store.len().unwrap(), 1);
}

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
    assert_eq!(probe.calls.happened(), [("save", 1)]);
}

#[test]
fn a_session_reads_the_store_once() {
    let (sessions, probe, _) = probed_sessions();
    let id = stored_session(&sessions).id().unwrap();
    probe.calls.take();
    let session = sessions.load(&id).unwrap().unwrap();
    for _ in 0..10 {
        assert_eq!(session.get::<&str>("user").unwrap(), Some("ada"));
        assert!(session.contains_key("user").unwrap() && !session.is_empty().unwrap());
    }
    assert_eq!(probe.calls.happened(), [("get", 1)]);
}

#[test]
fn a_stored_session_has_the_same_answers_everywhere() {
    // FEATURES 19: id, changed, timeout, expiration, store.
    let (sessions, store, time) = manual_sessions();
    let session = stored_session(&sessions);
    let again = load_again(&sessions, &session);
    assert_eq!(again.id().unwrap(), session.id().unwrap());
    assert_eq!(again.handle().unwrap(), session.id().unwrap().handle());
    assert_eq!(again.timeout().unwrap(), HOUR);
    let clock = lembro::Clock::from(&time);
    assert_eq!(again.expires_at().unwrap(), Some(clock.wall() + HOUR));
    assert_eq!(again.expires_at().unwrap(), session.expires_at().unwrap());
    assert!(!again.changed());
    assert_eq!(again.store().len().unwrap(), store.len().unwrap());

    time.advance(10 * MINUTE);
    assert_eq!(again.expires_at().unwrap(), Some(clock.wall() + 50 * MINUTE));
}

#[test]
fn a_load_that_finds_nothing_is_none_and_uses_no_id_up() {
    // FEATURES 14: load.
    let drawn = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = drawn.clone();
    let sessions = Sessions::new(LembroStore::new().unwrap()).id_source(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        SessionId::random()
    });
    assert!(sessions.load(&SessionId::random().unwrap()).unwrap().is_none());
    assert_eq!(drawn.load(Ordering::SeqCst), 0);
}

#[test]
fn log_out_and_log_in_work_within_one_request() {
    let (sessions, store, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    let before = session.id().unwrap();
    session.insert("unsaved", &1).unwrap();

    session.destroy().unwrap(); // FEATURES 23: destroy
    assert!(session.is_gone().unwrap() && !session.changed());
    assert_eq!(session.get::<String>("user").unwrap(), None);
    assert_eq!((session.len().unwrap(), session.expires_at().unwrap()), (0, None));
    assert_eq!(session.save().unwrap(), Saved::Gone);
    assert_eq!(session.touch().unwrap(), Saved::Gone);
    assert_eq!(session.reload().unwrap(), Outcome::Gone);

    session.regenerate().unwrap();
    assert!(session.is_new().unwrap());
    assert_eq!(session.get::<String>("user").unwrap(), None);
    session.insert("user", "bob").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_ne!(session.handle().unwrap(), before.handle());
    assert!(sessions.load(&before).unwrap().is_none());
    assert_eq!(load_again(&sessions, &session).get::<&str>("user").unwrap(), Some("bob"));
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn what_is_put_into_a_destroyed_session_goes_into_the_next_one_only() {
    let (sessions, store, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    session.destroy().unwrap();
    session.insert("flash", "Logged out.").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Gone);
    assert_eq!(store.len().unwrap(), 0);

    session.regenerate().unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(session.keys().unwrap().collect::<Vec<_>>(), ["flash"]);
}

#[test]
fn a_session_that_ended_elsewhere_shows_nothing_and_leaves_nothing_to_the_next() {
    for end in [Session::save, Session::touch] {
        let (sessions, store, _) = manual_sessions();
        let mut session = stored_session(&sessions);
        let mut slow = load_again(&sessions, &session);
        slow.insert("role", "admin").unwrap();
        session.destroy().unwrap();

        assert!(!slow.is_gone().unwrap(), "nobody told it yet");
        assert_eq!(end(&mut slow).unwrap(), Saved::Gone);
        assert!(slow.is_gone().unwrap() && !slow.changed());
        assert_eq!(slow.get::<String>("role").unwrap(), None);
        assert_eq!(slow.iter().unwrap().count(), 0);

        slow.regenerate().unwrap();
        assert_eq!(slow.save().unwrap(), Saved::Unchanged);
        assert_eq!(store.len().unwrap(), 0);
    }
}

#[test]
fn regenerate_on_a_session_that_turns_out_to_be_gone_begins_a_new_one() {
    let (sessions, _, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    let mut login = load_again(&sessions, &session);
    session.destroy().unwrap();
    login.insert("user", "bob").unwrap();
    login.regenerate().unwrap();
    assert!(login.is_new().unwrap());
    assert_eq!(login.save().unwrap(), Saved::Written);
    assert_ne!(login.handle().unwrap(), session.handle().unwrap());
    assert_eq!(load_again(&sessions, &login).keys().unwrap().collect::<Vec<_>>(), ["user"]);
}

#[test]
fn regenerate_keeps_data_handle_and_unsaved_changes_and_kills_the_old_id() {
    // FEATURES 23: generate; 14: regenerate.
    let (sessions, store, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    let (before, expires) = (session.id().unwrap(), session.expires_at().unwrap());
    session.insert("unsaved", &1).unwrap();
    session.regenerate().unwrap();
    let after = session.id().unwrap();
    assert_eq!(after.handle(), before.handle());
    assert_ne!(after, before);
    assert!(session.changed());
    assert_eq!(session.expires_at().unwrap(), expires);
    assert!(sessions.load(&before).unwrap().is_none(), "at once, not at the end of the request");
    assert_eq!(session.save().unwrap(), Saved::Written);
    let again = sessions.load(&after).unwrap().unwrap();
    assert_eq!(again.get::<&str>("user").unwrap(), Some("ada"));
    assert_eq!(again.get::<i32>("unsaved").unwrap(), Some(1));
    assert_eq!(store.len().unwrap(), 1);
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
    assert!(session.regenerate().unwrap_err().is_store());
    assert!(session.destroy().unwrap_err().is_store());
    assert!(session.modify("b", |_: &mut Option<u8>| ()).unwrap_err().is_store());
    assert_eq!(session.id().unwrap(), id);
    assert_eq!(session.get::<i32>("b").unwrap(), Some(2));
    assert_eq!(session.get::<&str>("user").unwrap(), Some("ada"));
    // Each failure reached the channel, too: FEATURES 5.
    let reported: Vec<_> = errors.try_iter().map(|error| error.to_string()).collect();
    assert_eq!(reported, ["the store failed"; 8]);

    probe.break_down(false);
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(new.save().unwrap(), Saved::Written);
    assert_eq!(load_again(&sessions, &session).get::<i32>("b").unwrap(), Some(2));
    assert_eq!(load_again(&sessions, &new).get::<i32>("a").unwrap(), Some(1));
}

#[test]
fn reload_discards_what_is_unsaved_and_tells_when_the_session_is_gone() {
    // FEATURES 22: load and save by hand.
    let (sessions, _, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    let mut elsewhere = load_again(&sessions, &session);
    elsewhere.insert("theme", "dark").unwrap();
    elsewhere.save().unwrap();

    session.insert("user", "bob").unwrap();
    assert_eq!(session.get::<String>("theme").unwrap(), None);
    assert_eq!(session.reload().unwrap(), Outcome::Done);
    assert!(!session.changed());
    assert_eq!(session.get::<&str>("user").unwrap(), Some("ada"));
    assert_eq!(session.get::<&str>("theme").unwrap(), Some("dark"));

    session.insert("user", "bob").unwrap();
    elsewhere.destroy().unwrap();
    assert_eq!(session.reload().unwrap(), Outcome::Gone);
    assert!(session.is_gone().unwrap() && !session.changed());
    assert_eq!(session.get::<String>("user").unwrap(), None);

    let mut new = sessions.generate().unwrap();
    new.insert("a", &1).unwrap();
    assert_eq!(new.reload().unwrap(), Outcome::Done);
    assert!(new.is_new().unwrap() && !new.changed() && new.is_empty().unwrap());
}

#[test]
fn another_session_under_the_same_id_is_gone_for_the_holder_of_the_old_one() {
    let (sessions, store, _) = manual_sessions();
    let id = SessionId::derive("known elsewhere");
    let first = sessions.create_session(&id, Record::new()).unwrap();
    let hold = || sessions.load(&id).unwrap().unwrap();
    let (mut saving, mut reloading, mut modifying) = (hold(), hold(), hold());
    // Its very data is what the next one begins with: still another session.
    let data = store.get(&id).unwrap().unwrap().record;
    drop(first);
    assert_eq!(store.destroy(&id).unwrap(), Outcome::Done);
    let second = sessions.create_session(&id, data).unwrap();

    saving.insert("user", "mallory").unwrap();
    assert_eq!(saving.save().unwrap(), Saved::Gone);
    assert_eq!(reloading.reload().unwrap(), Outcome::Gone);
    assert_eq!(modifying.modify("user", |user: &mut Option<String>| *user = None).unwrap(), None);
    assert!(modifying.is_gone().unwrap());
    assert_eq!(load_again(&sessions, &second).len().unwrap(), 0);
}

#[test]
fn an_expired_session_is_gone_and_a_save_does_not_bring_it_back() {
    let (sessions, store, time) = manual_sessions();
    let mut session = stored_session(&sessions);
    session.insert("late", &1).unwrap();
    time.advance(HOUR - SECOND);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_some());
    time.advance(SECOND);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());
    assert_eq!(session.save().unwrap(), Saved::Gone);
    assert_eq!((store.len().unwrap(), store.all().unwrap().count()), (0, 0));
    store.purge();
    session_support::validate(&store);
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
    assert!(error.is_conflict());
    assert_eq!(error.to_string(), format!("session {}: the id is taken already", id.handle()));
    assert_eq!(draws.load(Ordering::SeqCst), 16);
    assert!(second.changed() && second.is_new().unwrap());
    let error = second.modify("mine", |_: &mut Option<i32>| ()).unwrap_err();
    assert_eq!(error.to_string(), format!("session {}: the id is taken already", id.handle()));
    assert_eq!(second.get::<i32>("mine").unwrap(), Some(1));
    assert_eq!(sessions.load(&id).unwrap().unwrap().get::<&str>("user").unwrap(), Some("ada"));
}

#[test]
fn a_save_that_is_overtaken_keeps_the_timeout_that_overtook_it() {
    // "Remember me" in one request while another one saves: the session must not fall back to an hour.
    let (sessions, probe, time) = probed_sessions();
    let mut session = stored_session(&sessions);
    let mut remember = load_again(&sessions, &session);
    remember.set_timeout(8 * HOUR).unwrap();
    probe.before_next_save(move || assert_eq!(remember.save().unwrap(), Saved::Written));
    session.insert("page", "/inbox").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(session.timeout().unwrap(), 8 * HOUR);

    time.advance(7 * HOUR);
    let again = load_again(&sessions, &session);
    assert_eq!(again.get::<&str>("page").unwrap(), Some("/inbox"));
}

#[test]
fn a_save_that_is_overtaken_again_and_again_still_lands() {
    let (sessions, probe, _) = probed_sessions();
    let mut session = stored_session(&sessions);
    overtake(&sessions, &probe, session.id().unwrap(), 20);
    session.insert("mine", &1).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    let again = load_again(&sessions, &session);
    assert_eq!(again.get::<i32>("mine").unwrap(), Some(1));
    assert!(again.get::<i32>("theirs").unwrap().is_some());
}

/// Has somebody else save first, for so many saves in a row.
fn overtake(sessions: &Sessions, probe: &session_support::Probe, id: SessionId, times: i32) {
    if times == 0 {
        return;
    }
    let (sessions, probe_again) = (sessions.clone(), probe.clone());
    probe.before_next_save(move || {
        let mut other = sessions.load(&id).unwrap().unwrap();
        other.insert("theirs", &times).unwrap();
        assert_eq!(other.save().unwrap(), Saved::Written);
        overtake(&sessions, &probe_again, id, times - 1);
    });
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
    // What the store merged is what the handle reads from now on.
    for handle in [&two, &load_again(&sessions, &one)] {
        let entries: Vec<_> = handle.iter().unwrap().map(|(key, value)| (key, value.get())).collect();
        assert_eq!(entries, [("both", "\"two\""), ("left", "1"), ("right", "2")]);
    }
}

#[test]
fn a_session_moves_to_another_thread() {
    // FEATURES 24: a WebSocket's thread holds its own handle.
    fn is_send<T: Send>() {}
    is_send::<Session>();
    let (sessions, _, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    let id = session.id().unwrap();
    std::thread::spawn(move || {
        session.insert("socket", &true).unwrap();
        assert_eq!(session.save().unwrap(), Saved::Written);
    })
    .join()
    .unwrap();
    assert_eq!(sessions.load(&id).unwrap().unwrap().get::<bool>("socket").unwrap(), Some(true));
}

#[test]
fn a_session_dropped_without_save_changed_nothing() {
    let (sessions, _, _) = manual_sessions();
    let session = stored_session(&sessions);
    let mut dropped = load_again(&sessions, &session);
    dropped.insert("user", "bob").unwrap();
    dropped.clear().unwrap();
    drop(dropped);
    assert_eq!(load_again(&sessions, &session).get::<&str>("user").unwrap(), Some("ada"));
}

#[test]
fn debug_shows_the_state_and_no_value_and_no_secret() {
    let (sessions, _, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    session.insert("password", "hunter2").unwrap();
    let component = format!("{:?}", session.component("hidden"));
    let text = format!("{session:?} {component} {sessions:?}");
    assert!(text.contains("live") && text.contains(&session.handle().unwrap().to_string()), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("ada"), "{text}");
    assert!(!text.contains(&session.id().unwrap().expose()[11..]), "{text}");
}

#[test]
fn a_policy_that_cannot_work_is_refused_where_sessions_are_made() {
    let (store, _) = manual_store();
    let error = Sessions::with_policy(store, Policy::new().timeout(std::time::Duration::ZERO)).unwrap_err();
    assert!(error.is_option());
}
