//! Sessions that ended, here or elsewhere: they show nothing and store nothing.

use crate::support::session::{HOUR, MINUTE, SECOND, load_again, manual_sessions, stored_session};
use lembro::{Record, Saved, Session, SessionId, Store};

#[test]
fn logout_and_new_session_within_one_request() {
    let (sessions, store, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    let before = session.id().unwrap();
    session.insert("unsaved", &1).unwrap();

    session.log_out().unwrap(); // FEATURES 23: destroy
    assert!(session.is_gone().unwrap() && !session.is_changed());
    assert_eq!(session.get::<String>("user").unwrap(), None);
    assert_eq!((session.len().unwrap(), session.expires_at().unwrap()), (0, None));
    assert_eq!(session.save().unwrap(), Saved::Gone);
    assert_eq!(session.touch().unwrap(), Saved::Gone);
    assert!(!session.reload().unwrap());

    session.regenerate().unwrap();
    assert!(session.is_new().unwrap());
    assert_eq!(session.get::<String>("user").unwrap(), None);
    session.insert("user", "bob").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_ne!(session.handle().unwrap(), before.handle());
    assert!(sessions.load(&before).unwrap().is_none());
    assert_eq!(load_again(&sessions, &session).get_str("user").unwrap().as_deref(), Some("bob"));
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn insert_after_logout_goes_into_the_next_session() {
    let (sessions, store, _) = manual_sessions();
    let mut session = stored_session(&sessions);
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
        let (sessions, store, _) = manual_sessions();
        let mut session = stored_session(&sessions);
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
    let (sessions, _, _) = manual_sessions();
    let mut session = stored_session(&sessions);
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
    let (sessions, store, time) = manual_sessions();
    let mut login = stored_session(&sessions);
    let mut beside = load_again(&sessions, &login);
    let old = login.id().unwrap();
    login.log_in("user-42").unwrap();
    assert_eq!(login.save().unwrap(), Saved::Written);

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
    let first = sessions.create(&id, Record::new()).unwrap();
    let hold = || sessions.load(&id).unwrap().unwrap();
    let (mut saving, mut reloading, mut modifying) = (hold(), hold(), hold());
    // The next session begins with the same data, and is another one.
    let data = store.get(&id).unwrap().unwrap().record;
    drop(first);
    assert!(store.destroy(&id).unwrap().is_done());
    let second = sessions.create(&id, data).unwrap();

    saving.insert("user", "mallory").unwrap();
    assert_eq!(saving.save().unwrap(), Saved::Gone);
    assert!(!reloading.reload().unwrap());
    assert_eq!(modifying.modify("user", |user: &mut Option<String>| *user = None).unwrap(), None);
    assert!(modifying.is_gone().unwrap());
    assert_eq!(load_again(&sessions, &second).len().unwrap(), 0);
}

#[test]
fn save_does_not_bring_an_expired_session_back() {
    let (sessions, store, time) = manual_sessions();
    let mut session = stored_session(&sessions);
    session.insert("late", &1).unwrap();
    time.advance(HOUR.saturating_sub(SECOND));
    // `load` would be a visit.
    assert!(store.get(&session.id().unwrap()).unwrap().is_some());
    time.advance(SECOND);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());
    assert_eq!(session.save().unwrap(), Saved::Gone);
    assert_eq!((store.len().unwrap(), store.all().unwrap().count()), (0, 0));
    store.purge();
    crate::support::session::validate(&store);
}

#[test]
fn owners_changes_go_into_no_anonymous_session() {
    for end in [Session::save, |session: &mut Session| {
        let counted = session.modify("count", |count: &mut Option<u32>| *count = Some(1))?;
        Ok(if counted.is_some() { Saved::Written } else { Saved::Gone })
    }] {
        let (sessions, store, _) = manual_sessions();
        let mut session = stored_session(&sessions);
        session.log_in("user-42").unwrap();
        session.save().unwrap();
        session.regenerate().unwrap();
        session.insert("role", "admin").unwrap();
        assert_eq!(sessions.owner("user-42").unwrap().destroy_all().unwrap(), 1);
        assert_eq!(end(&mut session).unwrap(), Saved::Gone);
        assert_eq!(session.get::<String>("role").unwrap(), None);
        assert_eq!(store.len().unwrap(), 0);
    }
}
