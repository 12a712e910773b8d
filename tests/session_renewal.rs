//! Renewal by hand: the old id works for its grace and no longer, renews nothing, and nobody's work is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod session_support;

use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use lembro::{Event, LembroStore, ManualClock, Outcome, Policy, Record, Saved, Session, SessionId, Sessions, Store};
use session_support::{
    HOUR, MINUTE, Probe, SECOND, ends_soon, load_again, manual_sessions, manual_store, probed_sessions, stored_session,
    validate,
};

/// What somebody does with a session.
type Use = fn(&mut Session);

/// Under a policy that renews ids, so that the note of it is kept.
fn renewing_sessions() -> (Sessions, LembroStore, ManualClock) {
    let (store, time) = manual_store();
    let policy = Policy::new().renew_after(15 * MINUTE);
    (Sessions::with_policy(store.clone(), policy).unwrap(), store, time)
}

/// A stored session whose id was renewed, and a handle with the old id that does not know it.
fn renewed(sessions: &Sessions) -> (Session, Session) {
    let mut session = stored_session(sessions);
    let old = load_again(sessions, &session);
    assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Done);
    assert_ne!(session.id().unwrap(), old.id().unwrap());
    (session, old)
}

fn keys(session: &Session) -> Vec<String> {
    session.keys().unwrap().map(ToOwned::to_owned).collect()
}

#[test]
fn in_its_grace_the_old_id_reads_saves_touches_and_modifies() {
    let (sessions, store, time) = manual_sessions();
    let (session, mut old) = renewed(&sessions);
    time.advance(MINUTE.saturating_sub(SECOND));

    let mut late = load_again(&sessions, &old);
    assert_eq!(late.get::<&str>("user").unwrap(), Some("ada"));
    late.insert("late", &1).unwrap();
    assert_eq!(late.save().unwrap(), Saved::Written);
    old.insert("slow", &2).unwrap();
    assert_eq!(old.save().unwrap(), Saved::Written);
    assert_eq!(old.modify("count", |count: &mut Option<u32>| *count = Some(3)).unwrap(), Some(()));
    assert_eq!(keys(&load_again(&sessions, &session)), ["count", "late", "slow", "user"]);

    assert_eq!(old.touch().unwrap(), Saved::Written);
    assert_eq!(store.get(&session.id().unwrap()).unwrap().unwrap().ttl, HOUR);
    assert_eq!(old.reload().unwrap(), Outcome::Done);
    validate(&store);
}

#[test]
fn in_its_grace_the_old_id_destroys_and_the_new_one_is_gone() {
    let (sessions, store, _) = manual_sessions();
    let (mut session, mut old) = renewed(&sessions);
    old.destroy().unwrap();
    session.insert("late", &1).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Gone);
    assert_eq!(store.len().unwrap(), 0);
    validate(&store);
}

#[test]
fn in_its_grace_the_old_id_renews_nothing_and_keeps_what_is_unsaved() {
    let (sessions, store, _) = manual_sessions();
    let (session, mut unaware) = renewed(&sessions);
    let mut aware = load_again(&sessions, &unaware);
    for old in [&mut unaware, &mut aware] {
        let id = old.id().unwrap();
        old.insert("unsaved", &1).unwrap();
        assert_eq!(old.renew(MINUTE).unwrap(), Outcome::Conflict);
        assert_eq!(old.renew(Duration::ZERO).unwrap(), Outcome::Conflict);
        assert_eq!((old.id().unwrap(), old.get("unsaved").unwrap()), (id, Some(1)));
        assert_eq!(old.save().unwrap(), Saved::Written);
    }
    assert!(load_again(&sessions, &session).contains_key("unsaved").unwrap());
    assert_eq!((store.len().unwrap(), store.stats().dead_ids), (1, 0));
}

#[test]
fn in_its_grace_the_old_id_regenerates_into_a_new_session_and_the_old_one_is_untouched() {
    let (sessions, store, _) = manual_sessions();
    let (session, mut unaware) = renewed(&sessions);
    let mut aware = load_again(&sessions, &unaware);
    let before = store.get(&session.id().unwrap()).unwrap().unwrap();
    for old in [&mut unaware, &mut aware] {
        old.regenerate().unwrap();
        assert!(old.is_new().unwrap());
        assert_ne!(old.handle().unwrap(), session.handle().unwrap());
        assert_eq!(old.get::<String>("user").unwrap(), None, "what the session held stays with it");
        old.insert("user", "grace").unwrap();
        assert_eq!(old.save().unwrap(), Saved::Written);
    }
    assert_eq!(store.get(&session.id().unwrap()).unwrap().unwrap(), before);
    assert_eq!(store.len().unwrap(), 3);
}

#[test]
fn after_its_grace_the_old_id_is_dead_for_everything_and_each_use_is_reported() {
    let uses: [(&str, Use); 8] = [
        ("save", |old| {
            old.insert("late", &1).unwrap();
            assert_eq!(old.save().unwrap(), Saved::Gone);
        }),
        ("modify", |old| assert_eq!(old.modify("late", |late: &mut Option<u32>| *late = Some(1)).unwrap(), None)),
        ("touch", |old| assert_eq!(old.touch().unwrap(), Saved::Gone)),
        ("reload", |old| assert_eq!(old.reload().unwrap(), Outcome::Gone)),
        ("renew", |old| assert_eq!(old.renew(MINUTE).unwrap(), Outcome::Gone)),
        ("regenerate", |old| old.regenerate().unwrap()),
        ("destroy", |old| old.destroy().unwrap()),
        ("nothing", |_| {}),
    ];
    for (what, use_it) in uses {
        let (sessions, store, time) = manual_sessions();
        let (session, mut old) = renewed(&sessions);
        let (id, old_id) = (session.id().unwrap(), old.id().unwrap());
        time.advance(MINUTE);
        let (events, before) = (store.events(), store.get(&id).unwrap().unwrap());

        use_it(&mut old);
        assert!(sessions.load(&old_id).unwrap().is_none(), "{what}");

        let reports: Vec<_> = events.try_iter().collect();
        assert!(reports.iter().all(|event| *event == Event::DeadIdUsed { handle: id.handle() }), "{what}: {reports:?}");
        assert_eq!(store.stats().dead_ids, reports.len() as u64, "{what}");
        assert!(
            reports.len() >= if what == "nothing" { 1 } else { 2 },
            "{what} and the load are reported: {reports:?}"
        );
        assert_eq!(store.get(&id).unwrap().unwrap(), before, "{what} left the session alone");
        assert_eq!(store.len().unwrap(), 1, "{what}");
    }
}

#[test]
fn the_grace_is_over_at_the_instant_it_ends_and_a_grace_of_zero_is_none() {
    let (sessions, _, time) = manual_sessions();
    let (_, old) = renewed(&sessions);
    time.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
    assert!(sessions.load(&old.id().unwrap()).unwrap().is_some());
    time.advance(Duration::from_nanos(1));
    assert!(sessions.load(&old.id().unwrap()).unwrap().is_none());

    let mut session = stored_session(&sessions);
    let before = session.id().unwrap();
    assert_eq!(session.renew(Duration::ZERO).unwrap(), Outcome::Done);
    assert!(sessions.load(&before).unwrap().is_none());
}

#[test]
fn unknown_ids_are_reported_and_counted_as_misses_so_that_guessing_shows() {
    let (sessions, store, _) = manual_sessions();
    let (told_by_the_store, told_by_sessions) = (store.events(), sessions.events());
    let guesses: Vec<_> = (0..100).map(|_| SessionId::random().unwrap()).collect();
    for guess in &guesses {
        assert!(sessions.load(guess).unwrap().is_none());
    }
    let expected: Vec<_> = guesses.iter().map(|guess| Event::UnknownId { handle: guess.handle() }).collect();
    assert_eq!(told_by_the_store.try_iter().collect::<Vec<_>>(), expected);
    assert_eq!(told_by_sessions.try_iter().collect::<Vec<_>>(), expected);
    assert_eq!((store.stats().misses, store.stats().dead_ids), (100, 0));

    // Somebody who has seen a handle, in a log, and guesses at the secret.
    let victim = stored_session(&sessions).id().unwrap();
    for guess in &guesses {
        assert!(sessions.load(&victim.renewed(guess)).unwrap().is_none());
    }
    let expected = vec![Event::DeadIdUsed { handle: victim.handle() }; 100];
    assert_eq!(told_by_the_store.try_iter().collect::<Vec<_>>(), expected);
    assert_eq!((store.stats().misses, store.stats().dead_ids), (200, 100));
    assert!(sessions.load(&victim).unwrap().is_some());
}

#[test]
fn of_many_renewals_at_once_exactly_one_is_done_and_nobody_loses_anything() {
    ends_soon(|| {
        for _ in 0..300 {
            let (sessions, store, time) = renewing_sessions();
            let id = stored_session(&sessions).id().unwrap();
            let (start, winner) = (Barrier::new(4), Mutex::new(None));
            thread::scope(|scope| {
                for number in 0..4 {
                    let (sessions, start, winner) = (&sessions, &start, &winner);
                    scope.spawn(move || {
                        let mut session = sessions.load(&id).unwrap().unwrap();
                        session.insert(&format!("before {number}"), &number).unwrap();
                        start.wait();
                        match session.renew(MINUTE).unwrap() {
                            Outcome::Done => {
                                let before = winner.lock().unwrap().replace(session.id().unwrap());
                                assert_eq!(before, None, "two renewals are done");
                            }
                            outcome => assert_eq!((outcome, session.id().unwrap()), (Outcome::Conflict, id)),
                        }
                        session.insert(&format!("after {number}"), &number).unwrap();
                        assert_eq!(session.save().unwrap(), Saved::Written);
                    });
                }
            });
            let new = winner.into_inner().unwrap().expect("one renewal is done");
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
fn saves_by_the_old_id_beside_renewals_lose_nothing() {
    ends_soon(|| {
        let store = LembroStore::new().unwrap();
        let sessions = Sessions::new(store.clone());
        for _ in 0..500 {
            let mut session = stored_session(&sessions);
            // A merge takes the longer the more there is to copy: room for the renewal to come in between.
            session.insert("ballast", &"x".repeat(20_000)).unwrap();
            session.save().unwrap();
            let start = Barrier::new(3);
            thread::scope(|scope| {
                for name in ["a", "b"] {
                    let mut old = load_again(&sessions, &session);
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        for number in 0..8 {
                            old.insert(&format!("{name}{number}"), &number).unwrap();
                            assert_eq!(old.save().unwrap(), Saved::Written);
                        }
                    });
                }
                start.wait();
                session.insert("renewed", &true).unwrap();
                assert_eq!(session.renew(HOUR).unwrap(), Outcome::Done);
                assert_eq!(session.save().unwrap(), Saved::Written);
            });
            assert_eq!(load_again(&sessions, &session).len().unwrap(), 19);
            validate(&store);
            store.clear().unwrap();
        }
    });
}

#[test]
fn a_renewal_keeps_data_unsaved_changes_timeout_handle_age_and_time_left() {
    let (sessions, store, time) = renewing_sessions();
    let mut session = stored_session(&sessions);
    session.set_timeout(2 * HOUR).unwrap();
    session.component("cart").insert("items", &["tea"]).unwrap();
    session.save().unwrap();
    time.advance(20 * MINUTE);
    session.insert("unsaved", &1).unwrap();
    let (handle, ends, before) =
        (session.handle().unwrap(), session.expires_at().unwrap(), store.get(&session.id().unwrap()).unwrap().unwrap());

    assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Done);
    assert_eq!((session.handle().unwrap(), session.expires_at().unwrap()), (handle, ends));
    assert_eq!((session.timeout().unwrap(), session.get("unsaved").unwrap()), (2 * HOUR, Some(1)));
    assert_eq!(store.get(&session.id().unwrap()).unwrap().unwrap(), before, "to the last byte, and the version");

    session.save().unwrap();
    let after = store.get(&session.id().unwrap()).unwrap().unwrap();
    assert_eq!((after.record.created_at(), after.record.timeout()), (before.record.created_at(), Some(2 * HOUR)));
    assert_eq!(
        load_again(&sessions, &session).component("cart").get::<Vec<String>>("items").unwrap().unwrap(),
        ["tea"]
    );
}

#[test]
fn a_renewal_does_not_prolong_the_lifetime() {
    let (sessions, store, time) = renewing_sessions();
    let mut session = stored_session(&sessions);
    for _ in 0..47 {
        time.advance(30 * MINUTE);
        assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Done);
        assert_eq!(session.save().unwrap(), Saved::Written);
    }
    time.advance(30 * MINUTE);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none(), "24 hours are over");
    assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Gone);
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn a_new_session_keeps_its_id_and_stays_empty() {
    let (sessions, store, _) = renewing_sessions();
    let mut session = sessions.generate().unwrap();
    let id = session.id().unwrap();
    assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Done);
    assert!(session.is_new().unwrap() && !session.changed());
    assert_eq!((session.id().unwrap(), session.save().unwrap()), (id, Saved::Unchanged));
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn a_session_that_ended_is_not_renewed_and_what_is_unsaved_is_dropped() {
    let (sessions, store, time) = renewing_sessions();
    let mut destroyed = stored_session(&sessions);
    let mut elsewhere = load_again(&sessions, &destroyed);
    destroyed.destroy().unwrap();
    let mut expired = stored_session(&sessions);
    time.advance(HOUR);
    for session in [&mut destroyed, &mut elsewhere, &mut expired] {
        session.insert("unsaved", &1).unwrap();
        assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Gone);
        assert!(session.is_gone().unwrap());
        assert_eq!(session.save().unwrap(), Saved::Gone);
        assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Gone);
    }
    assert_eq!(elsewhere.len().unwrap() + expired.len().unwrap(), 0);
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn the_note_of_a_renewal_never_shows_among_the_sessions_own_keys() {
    let (sessions, _, _) = renewing_sessions();
    let mut session = stored_session(&sessions);
    assert!(session.renew(MINUTE).unwrap().is_done());
    for _ in 0..2 {
        assert_eq!((keys(&session), session.len().unwrap()), (vec!["user".to_owned()], 1));
        assert_eq!(session.iter().unwrap().count(), 1);
        assert!(!session.contains_key("id_since").unwrap());
        session.save().unwrap();
    }
    let mut only_renewed = sessions.create_session(&SessionId::random().unwrap(), Record::new()).unwrap();
    assert!(only_renewed.renew(MINUTE).unwrap().is_done());
    only_renewed.save().unwrap();
    assert!(load_again(&sessions, &only_renewed).is_empty().unwrap());
}

#[test]
fn without_a_policy_that_renews_nothing_is_noted() {
    let (sessions, _, _) = manual_sessions();
    let mut session = stored_session(&sessions);
    assert!(session.renew(MINUTE).unwrap().is_done());
    session.regenerate().unwrap();
    assert!(!session.changed());
}

#[test]
fn clearing_a_session_after_a_renewal_does_no_harm() {
    let (sessions, store, _) = renewing_sessions();
    let (mut session, mut old) = renewed(&sessions);
    session.clear().unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Done);
    session.insert("user", "grace").unwrap();
    session.clear().unwrap();
    session.save().unwrap();
    assert!(load_again(&sessions, &session).is_empty().unwrap());
    assert_eq!(old.reload().unwrap(), Outcome::Gone, "two renewals old");
    validate(&store);
}

#[test]
fn a_store_that_fails_at_the_rotation_leaves_the_old_id_good() {
    let (sessions, probe, _) = probed_sessions();
    let mut session = stored_session(&sessions);
    let id = session.id().unwrap();
    session.insert("unsaved", &1).unwrap();
    probe.break_down(true);
    assert!(session.renew(MINUTE).unwrap_err().is_store());
    assert!(session.regenerate().unwrap_err().is_store());
    probe.break_down(false);
    assert_eq!((session.id().unwrap(), session.save().unwrap()), (id, Saved::Written));
    assert!(load_again(&sessions, &session).contains_key("unsaved").unwrap());
    assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Done);
}

#[test]
fn a_renewal_that_another_overtakes_in_the_last_moment_is_a_conflict_and_a_logout_is_final() {
    let (store, time) = manual_store();
    let probe = Probe::new(store.clone());
    let sessions = Sessions::new(probe.clone());
    // Past the probe, so that its hook is the loser's.
    let beside = Sessions::new(store.clone());

    let mut session = stored_session(&sessions);
    let mut first = load_again(&beside, &session);
    session.insert("unsaved", &1).unwrap();
    probe.before_next_rotate(move || assert_eq!(first.renew(MINUTE).unwrap(), Outcome::Done));
    assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Conflict);
    assert_eq!(session.save().unwrap(), Saved::Written);
    time.advance(MINUTE);
    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    assert_eq!(session.touch().unwrap(), Saved::Gone);

    let mut session = stored_session(&sessions);
    let mut logout = load_again(&beside, &session);
    probe.before_next_rotate(move || logout.destroy().unwrap());
    assert_eq!(session.renew(MINUTE).unwrap(), Outcome::Gone);
    assert!(session.is_gone().unwrap() && sessions.load(&session.id().unwrap()).unwrap().is_none());
}
