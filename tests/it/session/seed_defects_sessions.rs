//! Defects of the sessions of simpleS (S1 to S14), express-ts-session (T1 to T12) and RAIN (R1 to R9)
//! that this crate does not have. Those of cookies and responses are tested with the cookie layer.

use std::collections::HashSet;

use crate::support::session::{HOUR, MINUTE, load_again, manual_sessions, manual_store, stored_session, validate};
use lembro::{Commit, Lease, Outcome, Policy, Record, Saved, SessionId, Sessions, Store};

#[test]
fn load_returns_exactly_the_saved_data() {
    // S1 and S2: after a reload the data was gone, and the session's own fields stood in its place.
    let (sessions, _, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    session.insert("n", &1).unwrap();
    session.save().unwrap();
    for _ in 0..3 {
        assert!(session.reload().unwrap());
        assert_eq!(session.keys().unwrap().collect::<Vec<_>>(), ["n", "user"]);
        let n = session.get::<u32>("n").unwrap().unwrap();
        session.insert("n", &(n + 1)).unwrap();
        session.save().unwrap();
    }
    assert_eq!(load_again(&sessions, &session).get::<u32>("n").unwrap(), Some(4));
}

#[test]
fn save_leaves_nothing_to_save() {
    // S4 and R5: `changed` and the lists of changed keys were never cleared, so a second save undid
    // another's work.
    let (sessions, _, _) = manual_sessions();
    let mut one = stored_session(&sessions);
    let mut two = load_again(&sessions, &one);
    one.insert("v", &1).unwrap();
    one.remove("user").unwrap();
    assert_eq!(one.save().unwrap(), Saved::Written);
    assert!(!one.is_changed());
    two.insert("v", &2).unwrap();
    two.insert("user", "bob").unwrap();
    assert_eq!(two.save().unwrap(), Saved::Written);

    assert_eq!(one.save().unwrap(), Saved::Unchanged);
    one.insert("else", &1).unwrap();
    assert_eq!(one.save().unwrap(), Saved::Written);
    let again = load_again(&sessions, &one);
    assert_eq!(again.get::<u8>("v").unwrap(), Some(2));
    assert_eq!(again.get_str("user").unwrap().as_deref(), Some("bob"));
}

#[test]
fn save_after_destroy_brings_nothing_back() {
    // S5, T5 and R6: the automatic save at the end brought the session back, or threw and hung the
    // response.
    let (sessions, store, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    let mut slow = load_again(&sessions, &session);
    session.insert("changed", &1).unwrap();
    session.component("cart").insert("changed", &1).unwrap();
    session.log_out().unwrap();
    session.insert("later", &1).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Gone);
    slow.component("cart").insert("late", &1).unwrap();
    assert_eq!(slow.save().unwrap(), Saved::Gone);
    assert_eq!(slow.save().unwrap(), Saved::Gone);
    assert_eq!((store.len().unwrap(), store.bytes()), (0, 0));
    // A second logout and an unknown id are no errors.
    session.log_out().unwrap();
    slow.log_out().unwrap();
    assert_eq!(store.destroy(&SessionId::random().unwrap()).unwrap(), Outcome::Gone);
}

#[test]
fn new_id_leaves_no_old_one_valid() {
    // S6 and R9: the id from before the login went on to work (session fixation).
    let (sessions, store, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    let mut ids = vec![session.id().unwrap()];
    for _ in 0..5 {
        session.regenerate().unwrap();
        assert_eq!(session.save().unwrap(), Saved::Written);
        for old in &ids {
            assert!(store.get(old).unwrap().is_none());
            assert!(!store.touch(old, &Lease::new(HOUR)).unwrap().is_done());
            assert!(sessions.load(old).unwrap().is_none());
        }
        ids.push(session.id().unwrap());
    }
    assert_eq!(ids.iter().map(SessionId::expose).collect::<HashSet<_>>().len(), 6);
    assert_eq!(store.len().unwrap(), 1);
    // A handle from before the last new id can do nothing either.
    let mut stale = load_again(&sessions, &session);
    session.regenerate().unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    stale.insert("user", "mallory").unwrap();
    assert_eq!(stale.save().unwrap(), Saved::Gone);
    assert_eq!(load_again(&sessions, &session).get_str("user").unwrap().as_deref(), Some("ada"));
    validate(&store);
}

#[test]
fn login_after_logout_has_a_fresh_id() {
    // R9: re-login wiped and recreated the same id.
    let (sessions, _, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    let before = session.id().unwrap();
    session.log_out().unwrap();
    session.regenerate().unwrap();
    session.insert("user", "ada").unwrap();
    session.save().unwrap();
    assert_ne!(session.id().unwrap(), before);
    assert_ne!(session.handle().unwrap(), before.handle());
}

#[test]
fn update_never_revives_an_expired_session() {
    // S8: update() brought an expired session back.
    let (sessions, store, time) = manual_sessions();
    let mut session = stored_session(&sessions);
    let id = session.id().unwrap();
    time.advance(HOUR);
    assert_eq!(store.touch(&id, &Lease::new(HOUR)).unwrap(), Outcome::Gone);
    assert_eq!(session.touch().unwrap(), Saved::Gone);
    assert!(store.get(&id).unwrap().is_none());
    // S13: an expired session is not served, even before it is purged.
    assert_eq!((store.stats().sessions, store.len().unwrap()), (1, 0));
}

#[test]
fn default_session_expires_and_is_purged() {
    // S3, S13, T11, R1: without a configured timeout sessions stayed for ever.
    let (sessions, store, time) = manual_sessions();
    for _ in 0..100 {
        stored_session(&sessions);
    }
    time.advance(HOUR);
    assert_eq!(store.purge(), 100);
    assert_eq!((store.stats().sessions, store.bytes()), (0, 0));
}

#[test]
fn timeout_is_what_it_says() {
    // S9, T8: an hour became 41 days, a day became a thousand.
    let (sessions, store, time) = manual_sessions();
    let mut session = stored_session(&sessions);
    session.set_timeout(20 * MINUTE).unwrap();
    session.save().unwrap();
    assert_eq!(store.get(&session.id().unwrap()).unwrap().unwrap().ttl, 20 * MINUTE);
    let left = session.expires_at().unwrap().unwrap().duration_since(lembro::Clock::from(&time).wall());
    assert_eq!(left.unwrap(), 20 * MINUTE);
}

#[test]
fn late_connection_overwrites_only_its_changes() {
    // S10: a WebSocket that closed wrote its whole old copy over what HTTP requests had done.
    let (sessions, _, _) = manual_sessions();
    let mut http = stored_session(&sessions);
    http.insert("cart", &1).unwrap();
    http.save().unwrap();
    let mut socket = load_again(&sessions, &http);
    socket.insert("room", "a").unwrap();
    http.insert("cart", &2).unwrap();
    http.save().unwrap();
    assert_eq!(socket.save().unwrap(), Saved::Written);
    let again = load_again(&sessions, &http);
    assert_eq!((again.get::<u8>("cart").unwrap(), again.get_str("room").unwrap().as_deref()), (Some(2), Some("a")));
}

#[test]
fn settings_of_two_applications_are_separate() {
    // S11, T4, E4: a child's settings changed its parent's, and one user's touch changed the cookies
    // of all.
    let (store, _) = manual_store();
    let parent = Sessions::new(store.clone());
    let child = Sessions::with_policy(store, Policy::new().timeout(5 * MINUTE)).unwrap();
    let (mut one, two) = (stored_session(&parent), stored_session(&parent));
    one.set_timeout(10 * MINUTE).unwrap();
    one.save().unwrap();
    assert_eq!(two.timeout().unwrap(), HOUR);
    assert_eq!(stored_session(&child).timeout().unwrap(), 5 * MINUTE);
    assert_eq!(stored_session(&parent).timeout().unwrap(), HOUR);
}

#[test]
fn failing_store_is_an_error_not_no_session() {
    // S12, T11's `get`: a failure hung the response, or gave the user a new session under the same
    // id.
    let (sessions, probe, _) = crate::support::session::probed_sessions();
    let mut session = stored_session(&sessions);
    probe.break_down(true);
    assert!(sessions.load(&session.id().unwrap()).unwrap_err().is_store());
    session.insert("a", &1).unwrap();
    assert!(session.save().unwrap_err().is_store());
    probe.break_down(false);
    assert_eq!(session.save().unwrap(), Saved::Written);
}

#[test]
fn unknown_id_is_never_adopted() {
    // T1, T2: an unknown id from a cookie was taken over and even signed.
    let (sessions, store, _) = manual_sessions();
    let planted = SessionId::derive("attacker");
    assert!(sessions.load(&planted).unwrap().is_none());
    let mut session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    session.save().unwrap();
    assert_ne!(session.id().unwrap(), planted);
    assert!(store.get(&planted).unwrap().is_none());
    // The right handle with a made-up secret is no session either.
    let guess = session.id().unwrap().renewed(&planted);
    assert!(sessions.load(&guess).unwrap().is_none());
    assert_eq!(store.destroy(&guess).unwrap(), Outcome::Gone);
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn parallel_requests_save_only_their_changes() {
    // T3: a hash shared by all requests made an unchanged one write its old copy back.
    let (sessions, _, _) = manual_sessions();
    let mut first = stored_session(&sessions);
    let mut slow = load_again(&sessions, &first);
    let mut third = stored_session(&sessions);
    third.insert("other", &1).unwrap();
    first.insert("n", &2).unwrap();
    assert_eq!(first.save().unwrap(), Saved::Written);
    assert_eq!(third.save().unwrap(), Saved::Written);
    assert_eq!(slow.save().unwrap(), Saved::Unchanged);
    assert_eq!(slow.touch().unwrap(), Saved::Written);
    assert_eq!(load_again(&sessions, &first).get::<u8>("n").unwrap(), Some(2));
}

#[test]
fn every_byte_of_an_id_is_random() {
    // T9: ids came from `Math.random`, and the last byte always equalled the fourth.
    let ids: Vec<String> = (0..1_000).map(|_| SessionId::random().unwrap().expose()).collect();
    for place in 0..32 {
        let seen: HashSet<u8> = ids.iter().map(|id| id.as_bytes()[place]).collect();
        assert_eq!(seen.len(), 64, "place {place}");
        for other in 0..place {
            let same = ids.iter().filter(|id| id.as_bytes()[place] == id.as_bytes()[other]).count();
            assert!(same < 60, "places {other} and {place} go together: {same} of 1000");
        }
    }
}

#[test]
fn load_returns_the_session_and_touch_prolongs_it() {
    // T12: load() resolved to nothing, touch did nothing.
    let (sessions, store, time) = manual_sessions();
    let id = stored_session(&sessions).id().unwrap();
    let mut loaded = sessions.load(&id).unwrap().expect("it is there");
    assert_eq!(loaded.get_str("user").unwrap().as_deref(), Some("ada"));
    time.advance(30 * MINUTE);
    assert_eq!(loaded.touch().unwrap(), Saved::Written);
    assert_eq!(store.get(&id).unwrap().unwrap().ttl, HOUR);
    assert_eq!((store.len().unwrap(), store.all().unwrap().count()), (1, 1)); // T11: neither existed
}

#[test]
fn unsaved_changes_are_invisible_to_others() {
    // R2: two holders shared one live object, and saw each other's unsaved changes.
    let (sessions, store, _) = manual_sessions();
    let mut one = stored_session(&sessions);
    let two = load_again(&sessions, &one);
    one.insert("user", "bob").unwrap();
    one.component("cart").insert("a", &1).unwrap();
    assert_eq!(two.get_str("user").unwrap().as_deref(), Some("ada"));
    assert_eq!(load_again(&sessions, &one).len().unwrap(), 1);
    // A record read by hand is a copy, too.
    let kept = store.get(&one.id().unwrap()).unwrap().unwrap().record;
    one.save().unwrap();
    assert_eq!(kept.get_str("user").unwrap().as_deref(), Some("ada"));
    assert_eq!(two.get_str("user").unwrap().as_deref(), Some("ada"), "until it is reloaded");
}

#[test]
fn key_removed_and_set_again_is_set() {
    // R3: removals were applied last, so the new value was lost.
    let (sessions, _, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    assert!(session.remove("user").unwrap());
    session.insert("user", "bob").unwrap();
    session.save().unwrap();
    assert_eq!(load_again(&sessions, &session).get_str("user").unwrap().as_deref(), Some("bob"));
    // A key that is set and removed again is removed.
    session.insert("user", "eve").unwrap();
    assert!(session.remove("user").unwrap());
    session.save().unwrap();
    assert!(!load_again(&sessions, &session).contains_key("user").unwrap());
}

#[test]
fn key_set_after_a_clear_stays() {
    // R4: removeAll(), set(), save() stored nothing.
    let (sessions, _, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    session.component("cart").insert("old", &1).unwrap();
    session.save().unwrap();
    session.component("cart").clear().unwrap();
    session.component("cart").insert("a", &9).unwrap();
    session.save().unwrap();
    assert_eq!(load_again(&sessions, &session).component("cart").keys().unwrap().collect::<Vec<_>>(), ["a"]);
    session.clear().unwrap();
    session.insert("a", &9).unwrap();
    session.save().unwrap();
    let mut again = load_again(&sessions, &session);
    assert_eq!(again.keys().unwrap().collect::<Vec<_>>(), ["a"]);
    assert!(again.component("cart").is_empty().unwrap());
}

#[test]
fn create_never_overwrites_a_session() {
    // R7: createNewSession(id) silently emptied an existing session.
    let (sessions, store, _) = manual_sessions();
    let id = SessionId::derive("known elsewhere");
    let mut session = sessions.create(&id, Record::new()).unwrap();
    session.insert("user", "ada").unwrap();
    session.save().unwrap();
    let error = sessions.create(&id, Record::new()).unwrap_err();
    assert!(error.is_taken());
    assert_eq!(store.commit(&id, &Commit::create().unwrap(), &Lease::new(HOUR)).unwrap(), Outcome::Taken);
    assert_eq!(sessions.load(&id).unwrap().unwrap().get_str("user").unwrap().as_deref(), Some("ada"));
    session.insert("still", "mine").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
}
