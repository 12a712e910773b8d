//! Timed renewals, as handles see them: both ids open the session for a while, parallel renewals
//! agree, and no work is lost.

use std::collections::HashSet;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::session::{
    HOUR, MINUTE, SECOND, ends_soon, load_again, manual_session, manual_sessions, manual_store, probed_session,
    save_login, save_value, stored_session, validate,
};
use lembro::{
    Commit, Event, Identity, Lease, LembroStore, ManualClock, Policy, Presented, Saved, Session, SessionId, Sessions,
    Store,
};

/// An operation of a handle.
type Use = fn(&mut Session);

const AGE: Duration = Duration::from_secs(15 * 60);

const LEASE: Lease = Lease { renew_after: Some(AGE), grace: MINUTE, ..Lease::new(HOUR) };

/// Sessions under a policy that renews the ids of logged-in sessions.
fn renewing_sessions() -> (Sessions, LembroStore, ManualClock) {
    let (store, time) = manual_store();
    let policy = Policy::new().renew_after(AGE).grace(MINUTE);
    (Sessions::with_policy(store.clone(), policy).unwrap(), store, time)
}

fn logged_in(sessions: &Sessions) -> Session {
    let mut session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    save_login(&mut session, "user-42");
    session
}

/// Asks for a renewal, as the cookie layer does at the end of a request. Returns the id to
/// announce, if there is one.
fn renew(sessions: &Sessions, id: &SessionId) -> Option<SessionId> {
    let store = sessions.store();
    let version = store.get(id).unwrap().expect("it is stored").record.version();
    let seed = u64::from_le_bytes(SessionId::random().unwrap().expose().as_bytes()[..8].try_into().unwrap());
    let commit = Commit::merge(version).unwrap().with_identity(Identity::Renew(seed));
    store.commit(id, &commit, &LEASE).unwrap().receipt().expect("it is done").announce
}

/// A session whose id was renewed, and a handle that still has the old id.
fn renewed(sessions: &Sessions, time: &ManualClock) -> (Session, Session) {
    let session = logged_in(sessions);
    time.advance(AGE);
    let old = load_again(sessions, &session);
    let new = renew(sessions, &old.id().unwrap()).expect("it is due");
    assert_ne!(new, old.id().unwrap());
    (sessions.load(&new).unwrap().expect("the new id opens it"), old)
}

fn keys(session: &Session) -> Vec<String> {
    session.keys().unwrap().map(ToOwned::to_owned).collect()
}

#[test]
fn old_id_works_in_its_grace() {
    let (sessions, store, time) = renewing_sessions();
    let (session, mut old) = renewed(&sessions, &time);
    time.advance(MINUTE.saturating_sub(SECOND));

    let mut late = load_again(&sessions, &old);
    assert_eq!(late.get_str("user").unwrap().as_deref(), Some("ada"));
    save_value(&mut late, "late", &1);
    save_value(&mut old, "slow", &2);
    assert_eq!(old.modify("count", |count: &mut Option<u32>| *count = Some(3)).unwrap(), Some(()));
    assert_eq!(keys(&load_again(&sessions, &session)), ["count", "late", "slow", "user"]);

    assert_eq!(old.touch().unwrap(), Saved::Written);
    assert_eq!(store.get(&session.id().unwrap()).unwrap().unwrap().ttl, HOUR);
    assert!(old.reload().unwrap());
    validate(&store);
}

#[test]
fn old_id_destroys_in_its_grace() {
    let (sessions, store, time) = renewing_sessions();
    let (mut session, mut old) = renewed(&sessions, &time);
    old.log_out().unwrap();
    session.insert("late", &1).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Gone);
    assert_eq!(store.len().unwrap(), 0);
    validate(&store);
}

#[test]
fn old_id_renews_nothing_in_its_grace() {
    let (sessions, store, time) = renewing_sessions();
    let (session, old) = renewed(&sessions, &time);
    assert_eq!(renew(&sessions, &old.id().unwrap()), None);
    let found = store.get(&old.id().unwrap()).unwrap().unwrap();
    assert_eq!(found.presented, Presented::Previous);
    assert_eq!(store.get(&session.id().unwrap()).unwrap().unwrap().presented, Presented::Current);
    assert_eq!((store.len().unwrap(), store.stats().superseded), (1, 0));
}

#[test]
fn old_id_is_reported_after_its_grace() {
    for looks in 1..4 {
        let (sessions, store, time) = renewing_sessions();
        let (session, old) = renewed(&sessions, &time);
        let (id, old_id) = (session.id().unwrap(), old.id().unwrap());
        time.advance(MINUTE);
        let (told, before) = (sessions.events(), store.get(&id).unwrap().unwrap());

        for _ in 0..looks {
            assert!(sessions.load(&old_id).unwrap().is_none());
        }
        let reports: Vec<_> = told.try_iter().collect();
        assert_eq!(reports, vec![Event::SupersededId { handle: id.handle() }; looks]);
        assert_eq!(store.stats().superseded, looks as u64);
        assert_eq!(store.get(&id).unwrap().unwrap(), before, "the session is left alone");
        assert_eq!(store.len().unwrap(), 1);
    }
}

#[test]
fn handle_outlives_timed_renewals() {
    let uses: [(&str, Use); 5] = [
        ("reload", |held| assert!(held.reload().unwrap())),
        ("touch", |held| assert_eq!(held.touch().unwrap(), Saved::Written)),
        ("modify", |held| assert!(held.modify("count", |count: &mut Option<u32>| *count = Some(1)).unwrap().is_some())),
        ("save", |held| {
            save_value(held, "late", &1);
        }),
        ("all of it", |held| {
            assert!(held.reload().unwrap());
            save_value(held, "late", &1);
            assert_eq!(held.touch().unwrap(), Saved::Written);
        }),
    ];
    for (what, use_it) in uses {
        let (sessions, store, time) = renewing_sessions();
        let mut held = logged_in(&sessions);
        let (first, events) = (held.id().unwrap(), store.events());
        let mut id = first;
        for _ in 0..2 {
            time.advance(AGE);
            id = renew(&sessions, &id).expect("it is due");
            sessions.load(&id).unwrap().expect("it is presented").insert("seen", &1).unwrap();
            time.advance(MINUTE);
            use_it(&mut held);
            assert_eq!(held.get_str("user").unwrap().as_deref(), Some("ada"), "{what}");
        }
        assert_eq!((held.id().unwrap(), events.try_iter().count()), (first, 0), "{what}");
        assert!(sessions.load(&first).unwrap().is_none(), "{what}: the id itself opens nothing");

        held.log_out().unwrap();
        assert!(sessions.load(&id).unwrap().is_none(), "{what}");
        assert_eq!(store.len().unwrap(), 0, "{what}: a logout by the handle ends the session");
        validate(&store);
    }
}

#[test]
fn destroy_others_after_the_grace_spares_itself() {
    let (sessions, store, time) = renewing_sessions();
    let mut session = logged_in(&sessions);
    let mut socket = session.fork().unwrap().expect("it is stored");
    time.advance(AGE);
    let id = renew(&sessions, &session.id().unwrap()).expect("it is due");
    assert!(sessions.load(&id).unwrap().is_some());
    time.advance(MINUTE);
    assert!(sessions.load(&socket.id().unwrap()).unwrap().is_none(), "the grace is over");

    let others = [(); 3].map(|()| logged_in(&sessions).id().unwrap());
    assert_eq!(socket.destroy_others().unwrap(), others.len());
    assert!(sessions.load(&id).unwrap().is_some(), "its own session lives");
    for other in others {
        assert!(sessions.load(&other).unwrap().is_none());
    }
    assert!(socket.reload().unwrap());
    validate(&store);
}

#[test]
fn login_elsewhere_ends_a_renewed_handle() {
    let logins: [Use; 2] =
        [|elsewhere| elsewhere.log_in("user-42").unwrap(), |elsewhere| elsewhere.regenerate().unwrap()];
    for log_in in logins {
        let (sessions, store, time) = renewing_sessions();
        let (mut elsewhere, mut held) = renewed(&sessions, &time);
        let mut touching = load_again(&sessions, &held);
        let mut leaving = load_again(&sessions, &held);
        time.advance(MINUTE);
        log_in(&mut elsewhere);
        assert_eq!(elsewhere.save().unwrap(), Saved::Written);

        assert!(!held.reload().unwrap());
        assert_eq!(touching.touch().unwrap(), Saved::Gone);
        leaving.log_out().unwrap();
        assert_eq!(store.len().unwrap(), 1, "the session of the login is left alone");
        assert!(elsewhere.reload().unwrap());
    }
}

#[test]
fn work_under_an_ended_grace_is_not_lost() {
    let (sessions, store, time) = renewing_sessions();
    let (session, mut old) = renewed(&sessions, &time);
    old.insert("slow", &1).unwrap();
    time.advance(10 * MINUTE);
    assert_eq!(old.save().unwrap(), Saved::Written);
    assert_eq!(load_again(&sessions, &session).get("slow").unwrap(), Some(1));
    validate(&store);
}

#[test]
fn grace_ends_at_its_instant() {
    let (sessions, _, time) = renewing_sessions();
    let (_, old) = renewed(&sessions, &time);
    time.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
    assert!(sessions.load(&old.id().unwrap()).unwrap().is_some());
    time.advance(Duration::from_nanos(1));
    assert!(sessions.load(&old.id().unwrap()).unwrap().is_none());
}

#[test]
fn both_ids_work_until_the_new_one_is_presented() {
    let (sessions, store, time) = renewing_sessions();
    let session = logged_in(&sessions);
    let old = session.id().unwrap();
    time.advance(AGE);
    let new = renew(&sessions, &old).unwrap();
    for _ in 0..10 {
        time.advance(20 * MINUTE);
        // The first response, which announced it, was lost.
        assert_eq!(store.get(&old).unwrap().unwrap().presented, Presented::Renewing(new));
        assert_eq!(store.touch(&old, &LEASE).unwrap().receipt().unwrap().announce, Some(new));
    }
    assert!(sessions.load(&new).unwrap().is_some());
    assert_eq!(store.get(&old).unwrap().unwrap().presented, Presented::Previous);
}

#[test]
fn unknown_ids_are_reported_and_counted() {
    let (sessions, store, _) = manual_sessions();
    let told = sessions.events();
    let guesses: Vec<_> = (0..100).map(|_| SessionId::random().unwrap()).collect();
    for guess in &guesses {
        assert!(sessions.load(guess).unwrap().is_none());
    }
    let expected: Vec<_> = guesses.iter().map(|guess| Event::UnknownId { handle: guess.handle() }).collect();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), expected);
    assert_eq!((store.stats().misses, store.stats().superseded), (100, 0));

    // Guesses at the secret of a live session, whose handle stands in a log.
    let victim = stored_session(&sessions).id().unwrap();
    for guess in &guesses {
        assert!(sessions.load(&victim.renewed(guess)).unwrap().is_none());
    }
    let expected = vec![Event::UnknownId { handle: victim.handle() }; 100];
    assert_eq!(told.try_iter().collect::<Vec<_>>(), expected);
    assert_eq!((store.stats().misses, store.stats().superseded), (200, 0));
    assert!(sessions.load(&victim).unwrap().is_some());
}

#[test]
fn race_renewals_agree_on_one_new_id() {
    ends_soon(|| {
        for _ in 0..300 {
            let (sessions, store, time) = renewing_sessions();
            let id = logged_in(&sessions).id().unwrap();
            time.advance(AGE);
            let (start, announced) = (Barrier::new(4), Mutex::new(HashSet::new()));
            thread::scope(|scope| {
                for number in 0..4 {
                    let (sessions, start, announced) = (&sessions, &start, &announced);
                    scope.spawn(move || {
                        let mut session = sessions.load(&id).unwrap().unwrap();
                        session.insert(&format!("before {number}"), &number).unwrap();
                        start.wait();
                        let new = renew(sessions, &id).expect("each is told");
                        announced.lock().unwrap().insert(new.expose());
                        save_value(&mut session, &format!("after {number}"), &number);
                    });
                }
            });
            let announced = announced.into_inner().unwrap();
            assert_eq!(announced.len(), 1, "the same id");
            let new: SessionId = announced.iter().next().unwrap().parse().unwrap();
            for id in [new, id] {
                assert_eq!(sessions.load(&id).unwrap().expect("both ids work").len().unwrap(), 9);
            }
            time.advance(MINUTE);
            assert!(sessions.load(&id).unwrap().is_none() && sessions.load(&new).unwrap().is_some());
            validate(&store);
        }
    });
}

#[test]
fn race_saves_by_the_old_id_lose_nothing() {
    ends_soon(|| {
        let (sessions, store, time) = renewing_sessions();
        for _ in 0..300 {
            let mut session = logged_in(&sessions);
            // A large session takes long to merge, so that the renewal comes in between.
            save_value(&mut session, "ballast", &"x".repeat(20_000));
            time.advance(AGE);
            let id = session.id().unwrap();
            let start = Barrier::new(3);
            let new = thread::scope(|scope| {
                for name in ["a", "b"] {
                    let mut old = load_again(&sessions, &session);
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        for number in 0..8 {
                            save_value(&mut old, &format!("{name}{number}"), &number);
                        }
                    });
                }
                start.wait();
                let new = renew(&sessions, &id).unwrap();
                assert!(sessions.load(&new).unwrap().is_some());
                new
            });
            assert_eq!(sessions.load(&new).unwrap().unwrap().len().unwrap(), 18);
            validate(&store);
            store.clear().unwrap();
        }
    });
}

#[test]
fn renewal_keeps_the_rest_of_the_session() {
    let (sessions, store, time) = renewing_sessions();
    let mut session = logged_in(&sessions);
    session.set_timeout(2 * HOUR).unwrap();
    session.component("cart").insert("items", &["tea"]).unwrap();
    session.save().unwrap();
    time.advance(20 * MINUTE);
    let before = store.get(&session.id().unwrap()).unwrap().unwrap().record;
    session.insert("unsaved", &1).unwrap();

    let new = renew(&sessions, &session.id().unwrap()).unwrap();
    assert_eq!((new.handle(), session.get("unsaved").unwrap()), (session.handle().unwrap(), Some(1)));
    assert_eq!(session.save().unwrap(), Saved::Written);
    let mut after = sessions.load(&new).unwrap().unwrap();
    assert_eq!((after.timeout().unwrap(), after.get("unsaved").unwrap()), (2 * HOUR, Some(1)));
    assert_eq!(after.component("cart").get::<Vec<String>>("items").unwrap().unwrap(), ["tea"]);
    let after = store.get(&new).unwrap().unwrap().record;
    assert_eq!(
        (after.created_at(), after.owner(), after.owner_since()),
        (before.created_at(), before.owner(), before.owner_since())
    );
}

#[test]
fn renewal_does_not_prolong_the_lifetime() {
    let (sessions, store, time) = renewing_sessions();
    let mut id = logged_in(&sessions).id().unwrap();
    for _ in 0..47 {
        time.advance(30 * MINUTE);
        assert!(sessions.load(&id).unwrap().is_some());
        id = renew(&sessions, &id).expect("due");
        assert!(sessions.load(&id).unwrap().is_some());
    }
    time.advance(30 * MINUTE);
    assert!(sessions.load(&id).unwrap().is_none(), "24 hours are over");
    store.purge();
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn renewal_note_is_out_of_the_keys_reach() {
    let (sessions, store, time) = renewing_sessions();
    let (mut session, _) = renewed(&sessions, &time);
    let since = sessions.clock().wall();
    assert_eq!((keys(&session), session.len().unwrap()), (vec!["user".to_owned()], 1));
    assert!(session.component("lembro").is_empty().unwrap());
    time.advance(MINUTE);
    session.clear().unwrap();
    session.component("lembro").insert("id_since", &1).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    let record = store.get(&session.id().unwrap()).unwrap().unwrap().record;
    assert_eq!(record.id_since(), Some(since));
    assert_eq!(record.owner(), Some("user-42"), "the owner, too, is out of reach");
    validate(&store);
}

#[test]
fn no_renewal_note_without_such_a_policy() {
    let (_, mut session, store, time) = manual_session();
    time.advance(MINUTE);
    session.regenerate().unwrap();
    session.save().unwrap();
    let record = store.get(&session.id().unwrap()).unwrap().unwrap().record;
    assert_eq!(record.id_since(), record.created_at());
}

#[test]
fn failed_renewal_leaves_the_old_id_valid() {
    let (sessions, mut session, probe, ..) = probed_session();
    let id = session.id().unwrap();
    session.regenerate().unwrap();
    session.insert("unsaved", &1).unwrap();
    probe.break_down(true);
    assert!(session.save().unwrap_err().is_store());
    probe.break_down(false);
    assert_eq!(session.id().unwrap(), id);
    assert!(sessions.load(&id).unwrap().is_some(), "the client's cookie works");
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_ne!(session.id().unwrap(), id);
    assert!(load_again(&sessions, &session).contains_key("unsaved").unwrap());
}

#[test]
fn too_large_commit_leaves_the_old_id_valid() {
    let (sessions, mut session, ..) = manual_session();
    let id = session.id().unwrap();
    session.regenerate().unwrap();
    session.insert("big", &"x".repeat(100_000)).unwrap();
    assert!(session.save().unwrap_err().is_size());
    assert_eq!(session.id().unwrap(), id);
    assert_eq!(sessions.load(&id).unwrap().unwrap().get_str("user").unwrap().as_deref(), Some("ada"));
}
