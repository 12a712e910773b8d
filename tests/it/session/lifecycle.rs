//! The stages of a session: unloaded, new, live, ended.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::session::{
    HOUR, MINUTE, SECOND, load_again, manual_session, manual_sessions, probed_session, probed_sessions, save_login,
    save_value, stored_session, validate,
};
use lembro::{Lease, LembroStore, Outcome, Record, Saved, Session, SessionId, Sessions, Store};

#[test]
fn session_is_new_until_saved_with_data() {
    let (sessions, store, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    assert!(session.is_new().unwrap() && !session.is_gone().unwrap() && !session.is_changed());
    assert_eq!(session.expires_at().unwrap(), None);

    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    assert_eq!(session.touch().unwrap(), Saved::Unchanged);
    assert!(session.reload().unwrap());
    assert_eq!(store.len().unwrap(), 0);

    session.insert("user", "ada").unwrap();
    assert!(session.is_changed());
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert!(!session.is_new().unwrap() && !session.is_changed());
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn session_reads_the_store_once() {
    let (sessions, probe, _) = probed_sessions();
    let id = stored_session(&sessions).id().unwrap();
    probe.calls.take();
    let session = sessions.load(&id).unwrap().unwrap();
    for _ in 0..10 {
        assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
        assert!(session.contains_key("user").unwrap() && !session.is_empty().unwrap());
    }
    assert_eq!(probe.calls.happened(), [("visit", 1)]);
}

#[test]
fn getters_agree_on_all_handles() {
    let (sessions, session, store, time) = manual_session();
    let again = load_again(&sessions, &session);
    assert_eq!(again.id().unwrap(), session.id().unwrap());
    assert_eq!(again.handle().unwrap(), session.id().unwrap().handle());
    assert_eq!(again.timeout().unwrap(), HOUR);
    let clock = lembro::Clock::from(&time);
    assert_eq!(again.expires_at().unwrap(), Some(clock.wall() + HOUR));
    assert_eq!(again.expires_at().unwrap(), session.expires_at().unwrap());
    assert!(!again.is_changed());
    assert_eq!(again.store().len().unwrap(), store.len().unwrap());

    time.advance(10 * MINUTE);
    assert_eq!(again.expires_at().unwrap(), Some(clock.wall() + 50 * MINUTE));
}

#[test]
fn load_of_an_unknown_id_draws_no_id() {
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
fn regenerate_takes_effect_with_the_save() {
    let (sessions, mut session, store, time) = manual_session();
    let before = session.id().unwrap();
    time.advance(MINUTE);
    session.insert("unsaved", &1).unwrap();
    let expires = session.expires_at().unwrap();
    session.regenerate().unwrap();
    assert!(session.is_changed());
    assert_eq!((session.id().unwrap(), session.expires_at().unwrap()), (before, expires), "nothing has changed yet");
    assert!(sessions.load(&before).unwrap().is_some());

    assert_eq!(session.save().unwrap(), Saved::Written);
    let after = session.id().unwrap();
    assert_eq!(after.handle(), before.handle());
    assert_ne!(after, before);
    assert!(sessions.load(&before).unwrap().is_none(), "at once");
    let again = sessions.load(&after).unwrap().unwrap();
    assert_eq!(again.get_str("user").unwrap().as_deref(), Some("ada"));
    assert_eq!(again.get::<i32>("unsaved").unwrap(), Some(1));
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn unsaved_regenerate_changes_nothing() {
    let (sessions, session, ..) = manual_session();
    let mut dropped = load_again(&sessions, &session);
    dropped.regenerate().unwrap();
    drop(dropped);
    assert_eq!(load_again(&sessions, &session).get_str("user").unwrap().as_deref(), Some("ada"));

    let mut reloaded = load_again(&sessions, &session);
    reloaded.regenerate().unwrap();
    assert!(reloaded.reload().unwrap() && !reloaded.is_changed());
    assert_eq!(reloaded.save().unwrap(), Saved::Unchanged);
    assert_eq!(reloaded.id().unwrap(), session.id().unwrap());
}

#[test]
fn new_session_keeps_its_id_at_a_regenerate() {
    let (sessions, store, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    let id = session.id().unwrap();
    session.regenerate().unwrap();
    assert!(session.is_new().unwrap() && session.is_changed());
    assert_eq!((session.save().unwrap(), store.len().unwrap()), (Saved::Unchanged, 0));
    session.insert("user", "ada").unwrap();
    assert_eq!((session.save().unwrap(), session.id().unwrap()), (Saved::Written, id));
}

#[test]
fn early_commit_carries_the_new_id() {
    type Act = fn(&mut Session);
    let commits: [(&str, Act); 2] = [
        ("save", |session| assert_eq!(session.save().unwrap(), Saved::Written)),
        ("modify", |session| {
            session.modify("count", |count: &mut Option<u32>| *count = Some(1)).unwrap().expect("alive");
        }),
    ];
    for (what, commit) in commits {
        let (sessions, mut session, probe, ..) = probed_session();
        let before = session.id().unwrap();
        session.regenerate().unwrap();
        session.insert("role", "admin").unwrap();
        probe.calls.take();
        commit(&mut session);
        assert!(probe.calls.happened().contains(&("commit", 1)), "{what}: one commit");
        assert!(!session.is_changed() && session.id().unwrap() != before, "{what}");
        assert!(sessions.load(&before).unwrap().is_none(), "{what}");
        assert_eq!(load_again(&sessions, &session).get_str("role").unwrap().as_deref(), Some("admin"), "{what}");
    }
}

#[test]
fn reload_discards_unsaved_changes() {
    let (sessions, mut session, ..) = manual_session();
    let mut elsewhere = load_again(&sessions, &session);
    save_value(&mut elsewhere, "theme", "dark");

    session.insert("user", "bob").unwrap();
    assert_eq!(session.get::<String>("theme").unwrap(), None);
    assert!(session.reload().unwrap());
    assert!(!session.is_changed());
    assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
    assert_eq!(session.get_str("theme").unwrap().as_deref(), Some("dark"));

    session.insert("user", "bob").unwrap();
    elsewhere.log_out().unwrap();
    assert!(!session.reload().unwrap());
    assert!(session.is_gone().unwrap() && !session.is_changed());
    assert_eq!(session.get::<String>("user").unwrap(), None);

    let mut new = sessions.generate().unwrap();
    new.insert("a", &1).unwrap();
    assert!(new.reload().unwrap());
    assert!(new.is_new().unwrap() && !new.is_changed() && new.is_empty().unwrap());
}

#[test]
fn debug_shows_no_value_and_no_secret() {
    let (sessions, mut session, ..) = manual_session();
    session.insert("password", "hunter2").unwrap();
    let component = format!("{:?}", session.component("hidden"));
    let text = format!("{session:?} {component} {sessions:?}");
    assert!(text.contains("live") && text.contains(&session.handle().unwrap().to_string()), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("ada"), "{text}");
    assert!(!text.contains(&session.id().unwrap().expose()[11..]), "{text}");
}

#[test]
fn logout_and_new_session_within_one_request() {
    // R9, of the models: a login after a logout kept the id.
    let (sessions, mut session, store, ..) = manual_session();
    let before = session.id().unwrap();
    session.insert("unsaved", &1).unwrap();

    session.log_out().unwrap();
    assert!(session.is_gone().unwrap() && !session.is_changed());
    assert_eq!(session.get::<String>("user").unwrap(), None);
    assert_eq!((session.len().unwrap(), session.expires_at().unwrap()), (0, None));
    assert_eq!(session.save().unwrap(), Saved::Gone);
    assert_eq!(session.touch().unwrap(), Saved::Gone);
    assert!(!session.reload().unwrap());

    session.regenerate().unwrap();
    assert!(session.is_new().unwrap());
    assert_eq!(session.get::<String>("user").unwrap(), None);
    save_value(&mut session, "user", "bob");
    assert_ne!(session.handle().unwrap(), before.handle());
    assert!(sessions.load(&before).unwrap().is_none());
    assert_eq!(load_again(&sessions, &session).get_str("user").unwrap().as_deref(), Some("bob"));
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn insert_after_logout_goes_into_the_next_session() {
    let (_, mut session, store, ..) = manual_session();
    session.log_out().unwrap();
    session.insert("flash", "Logged out.").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Gone);
    assert_eq!(store.len().unwrap(), 0);

    session.regenerate().unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(session.keys().unwrap().collect::<Vec<_>>(), ["flash"]);
}

#[test]
fn ended_session_leaves_nothing_to_the_next() {
    for end in [Session::save, Session::touch] {
        let (sessions, mut session, store, ..) = manual_session();
        let mut slow = load_again(&sessions, &session);
        slow.insert("role", "admin").unwrap();
        session.log_out().unwrap();

        assert!(!slow.is_gone().unwrap(), "it has not asked the store yet");
        assert_eq!(end(&mut slow).unwrap(), Saved::Gone);
        assert!(slow.is_gone().unwrap() && !slow.is_changed());
        assert_eq!(slow.get::<String>("role").unwrap(), None);
        assert_eq!(slow.iter().unwrap().count(), 0);

        slow.regenerate().unwrap();
        assert_eq!(slow.save().unwrap(), Saved::Unchanged);
        assert_eq!(store.len().unwrap(), 0);
    }
}

#[test]
fn regenerate_on_a_gone_session_begins_a_new_one() {
    let (sessions, mut session, ..) = manual_session();
    let mut login = load_again(&sessions, &session);
    session.log_out().unwrap();
    login.insert("user", "bob").unwrap();
    login.regenerate().unwrap();
    assert_eq!(login.save().unwrap(), Saved::Written);
    assert_ne!(login.handle().unwrap(), session.handle().unwrap());
    assert_eq!(load_again(&sessions, &login).keys().unwrap().collect::<Vec<_>>(), ["user"]);
}

#[test]
fn request_in_flight_beside_a_login_stores_nothing() {
    let (sessions, mut login, store, time) = manual_session();
    let mut beside = load_again(&sessions, &login);
    let old = login.id().unwrap();
    save_login(&mut login, "user-42");

    // A request that has loaded the session before the login is refused.
    beside.insert("late", &1).unwrap();
    beside.regenerate().unwrap();
    assert_eq!(beside.save().unwrap(), Saved::Gone);
    beside.regenerate().unwrap();
    beside.insert("late", &1).unwrap();
    assert_eq!(beside.save().unwrap(), Saved::Gone);
    assert_eq!(store.len().unwrap(), 1);

    // A request that loads it after the login finds nothing.
    assert!(sessions.load(&old).unwrap().is_none());
    time.advance(MINUTE);
    assert!(sessions.load(&old).unwrap().is_none());
    assert_eq!(load_again(&sessions, &login).keys().unwrap().collect::<Vec<_>>(), ["user"]);
}

#[test]
fn another_incarnation_is_gone_for_old_handles() {
    let (sessions, store, _) = manual_sessions();
    let id = SessionId::derive("known elsewhere");
    let first = sessions.create_session(&id, Record::new()).unwrap();
    let hold = || sessions.load(&id).unwrap().unwrap();
    let (mut saving, mut reloading, mut modifying) = (hold(), hold(), hold());
    // The next session begins with the same data, and is another one.
    let data = store.get(&id).unwrap().unwrap().record;
    drop(first);
    assert!(store.destroy(&id).unwrap().is_done());
    let second = sessions.create_session(&id, data).unwrap();

    saving.insert("user", "mallory").unwrap();
    assert_eq!(saving.save().unwrap(), Saved::Gone);
    assert!(!reloading.reload().unwrap());
    assert_eq!(modifying.modify("user", |user: &mut Option<String>| *user = None).unwrap(), None);
    assert!(modifying.is_gone().unwrap());
    assert_eq!(load_again(&sessions, &second).len().unwrap(), 0);
}

#[test]
fn save_does_not_bring_an_expired_session_back() {
    // Of the models: an update brought an expired session back (S8), an expired session was served
    // until it was purged (S13), and without a configured timeout sessions stayed for ever (S3,
    // T11, R1).
    let (sessions, mut session, store, time) = manual_session();
    let mut touched = load_again(&sessions, &session);
    session.insert("late", &1).unwrap();
    time.advance(HOUR.saturating_sub(SECOND));
    // `load` would be a visit.
    assert!(store.get(&session.id().unwrap()).unwrap().is_some());
    time.advance(SECOND);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());
    assert_eq!(store.touch(&session.id().unwrap(), &Lease::new(HOUR)).unwrap(), Outcome::Gone);
    assert_eq!(touched.touch().unwrap(), Saved::Gone);
    assert_eq!(session.save().unwrap(), Saved::Gone);
    assert_eq!((store.len().unwrap(), store.all().unwrap().count(), store.stats().sessions), (0, 0, 1));
    assert_eq!((store.purge(), store.stats().sessions, store.bytes()), (1, 0, 0));
    validate(&store);
}

#[test]
fn owners_changes_go_into_no_anonymous_session() {
    for end in [Session::save, |session: &mut Session| {
        let counted = session.modify("count", |count: &mut Option<u32>| *count = Some(1))?;
        Ok(if counted.is_some() { Saved::Written } else { Saved::Gone })
    }] {
        let (sessions, mut session, store, ..) = manual_session();
        save_login(&mut session, "user-42");
        session.regenerate().unwrap();
        session.insert("role", "admin").unwrap();
        assert_eq!(sessions.owner("user-42").unwrap().destroy_all().unwrap(), 1);
        assert_eq!(end(&mut session).unwrap(), Saved::Gone);
        assert_eq!(session.get::<String>("role").unwrap(), None);
        assert_eq!(store.len().unwrap(), 0);
    }
}
