//! The races of the invariants on the real code, under thousands of schedules: a model checker decides at every lock and
//! every atomic which thread goes on.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --test schedules --features testing`; `SCHEDULES` says how many each test explores
//! (500). A failure prints the schedule that led to it.
#![cfg(all(shuttle, feature = "testing"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

mod scratch;

use std::sync::Arc;
use std::time::Duration;

use lembro::{
    AtLimit, Changes, Clock, Expected, LembroOptions, LembroStore, ManualClock, Outcome, Owners, Policy, Record, Saved,
    SessionId, Sessions, Store,
};
use shuttle::thread;

use self::scratch::Folder;

const HOUR: Duration = Duration::from_secs(3600);

/// Explores schedules: half of them at random, half with few changes of thread at the worst places.
fn explore(race: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("SCHEDULES").map_or(500, |number| number.parse().unwrap());
    let race = Arc::new(race);
    let again = Arc::clone(&race);
    shuttle::check_random(move || race(), schedules / 2);
    shuttle::check_pct(move || again(), schedules - schedules / 2, 3);
}

fn store() -> (LembroStore, ManualClock) {
    let time = Clock::manual();
    let options = LembroOptions::new().interval(0).shards(1).clock(&time);
    (LembroStore::with_options(options).unwrap(), time)
}

fn record() -> Record {
    [("user", "ada")].into_iter().collect()
}

/// A store with one session in it.
fn one() -> (LembroStore, ManualClock, SessionId, Record) {
    let (store, time) = store();
    let id = SessionId::random().unwrap();
    assert!(store.create(&id, record(), HOUR).unwrap().is_done());
    let record = store.get(&id).unwrap().unwrap().record;
    (store, time, id, record)
}

fn put(key: &str) -> Changes {
    let mut changes = Changes::new();
    changes.insert("", key, &1).unwrap();
    changes
}

fn holds(record: &Record, key: &str) -> bool {
    record.get::<u32>(key).unwrap().is_some()
}

fn renewed(id: &SessionId) -> SessionId {
    id.renewed(&SessionId::random().unwrap())
}

fn all<T: 'static>(threads: Vec<thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

// Invariant 3.
#[test]
fn a_destroyed_session_never_comes_back() {
    explore(|| {
        let (store, _, id, seen) = one();
        let (saver, toucher, purger) = (store.clone(), store.clone(), store.clone());
        let version = seen.version();
        let others = vec![
            thread::spawn(move || drop(saver.save(&id, &put("late"), HOUR, Expected::Incarnation(version)).unwrap())),
            thread::spawn(move || drop(toucher.touch(&id, HOUR * 2).unwrap())),
            thread::spawn(move || drop(purger.purge())),
        ];
        assert!(store.destroy(&id).unwrap().is_done());
        assert!(store.get(&id).unwrap().is_none());
        all(others);
        assert!(store.get(&id).unwrap().is_none());
        assert_eq!((store.len().unwrap(), store.bytes()), (0, 0));
        store.validate().unwrap();
    });
}

#[test]
fn a_logout_beside_a_new_id_ends_the_session_or_comes_too_late_and_says_so() {
    explore(|| {
        let (store, _, id, _) = one();
        let (new, rotator) = (renewed(&id), store.clone());
        let rotating = thread::spawn(move || rotator.rotate(&id, &new, Duration::ZERO).unwrap());
        let destroyed = store.destroy(&id).unwrap();
        let rotated = rotating.join().unwrap();
        assert_ne!(destroyed, rotated, "exactly one of them was first");
        assert!(store.get(&id).unwrap().is_none());
        assert_eq!(store.get(&new).unwrap().is_some(), rotated.is_done());
        store.validate().unwrap();
    });
}

// Invariants 4 and 11.
#[test]
fn saves_of_different_keys_all_survive_beside_a_new_id_with_grace() {
    explore(|| {
        let (store, _, id, seen) = one();
        let expected = Expected::Incarnation(seen.version());
        let mut threads: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|key| {
                let store = store.clone();
                thread::spawn(move || assert!(store.save(&id, &put(key), HOUR, expected).unwrap().is_done()))
            })
            .collect();
        let (new, rotator) = (renewed(&id), store.clone());
        threads.push(thread::spawn(move || assert!(rotator.rotate(&id, &new, HOUR).unwrap().is_done())));
        all(threads);
        let stored = store.get(&new).unwrap().unwrap().record;
        assert_eq!(stored.len(), 3);
        assert!(store.get(&id).unwrap().unwrap().in_grace);
        store.validate().unwrap();
    });
}

#[test]
fn a_regenerate_loses_no_acknowledged_save_and_is_never_without_a_session() {
    explore(|| {
        let (store, _, id, seen) = one();
        let (new, saver, reader) = (renewed(&id), store.clone(), store.clone());
        let expected = Expected::Incarnation(seen.version());
        let saving = thread::spawn(move || saver.save(&id, &put("late"), HOUR, expected).unwrap());
        let reading = thread::spawn(move || {
            // In this order: once the old id is dead the new one works.
            reader.get(&id).unwrap().is_some() || reader.get(&new).unwrap().is_some()
        });
        assert!(store.rotate(&id, &new, Duration::ZERO).unwrap().is_done());
        assert!(store.get(&id).unwrap().is_none());
        let saved = saving.join().unwrap();
        assert!(reading.join().unwrap());
        let record = store.get(&new).unwrap().unwrap().record;
        assert_eq!(holds(&record, "late"), saved.is_done());
        store.validate().unwrap();
    });
}

#[test]
fn of_two_renewals_at_once_exactly_one_is_done() {
    explore(|| {
        let (store, _, id, _) = one();
        let outcomes = all((0..2)
            .map(|_| {
                let (store, new) = (store.clone(), renewed(&id));
                thread::spawn(move || (store.rotate(&id, &new, HOUR).unwrap(), new))
            })
            .collect());
        let done: Vec<_> = outcomes.iter().filter(|(outcome, _)| outcome.is_done()).collect();
        assert_eq!(done.len(), 1);
        assert!(store.get(&done[0].1).unwrap().is_some_and(|stored| !stored.in_grace));
    });
}

#[test]
fn modify_never_loses_one() {
    explore(|| {
        let (store, _, id, _) = one();
        let sessions = Sessions::new(store);
        let threads = (0..3)
            .map(|_| {
                let mut session = sessions.load(&id).unwrap().unwrap();
                thread::spawn(move || {
                    session
                        .modify("visits", |visits: &mut Option<u32>| *visits.get_or_insert(0) += 1)
                        .unwrap()
                        .unwrap();
                })
            })
            .collect();
        all(threads);
        assert_eq!(sessions.load(&id).unwrap().unwrap().get::<u32>("visits").unwrap(), Some(3));
    });
}

#[test]
fn a_session_that_was_touched_in_time_is_not_purged() {
    explore(|| {
        let (store, time, id, seen) = one();
        time.advance(HOUR - Duration::from_secs(1));
        let (toucher, purger) = (store.clone(), store.clone());
        let touching = thread::spawn(move || toucher.touch(&id, HOUR).unwrap());
        let purging = thread::spawn(move || purger.purge());
        let clock = time.clone();
        let passing = thread::spawn(move || clock.advance(Duration::from_secs(1)));
        let touched = touching.join().unwrap();
        purging.join().unwrap();
        passing.join().unwrap();
        assert_eq!(store.get(&id).unwrap().is_some(), touched.is_done());
        let saved = store.save(&id, &put("after"), HOUR, Expected::Incarnation(seen.version())).unwrap();
        assert_eq!(saved, touched);
        store.validate().unwrap();
    });
}

// Invariant 6.
#[test]
fn a_full_store_keeps_its_bound_and_its_books() {
    explore(|| {
        let probe = store().0;
        probe.set(&SessionId::random().unwrap(), record(), HOUR).unwrap();
        let room = 3 * probe.bytes() as u64;
        let options = LembroOptions::new().interval(0).shards(1).max_size(room).clock(&Clock::manual());
        let store = LembroStore::with_options(options).unwrap();
        let threads = (0..3)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || {
                    let id = SessionId::random().unwrap();
                    assert!(store.create(&id, record(), HOUR).unwrap().is_done());
                    let Some(stored) = store.get(&id).unwrap() else { return };
                    let version = stored.record.version();
                    let _ = store.save(&id, &Changes::new(), HOUR, Expected::Incarnation(version)).unwrap();
                    let another = SessionId::random().unwrap();
                    assert!(store.create(&another, record(), HOUR).unwrap().is_done());
                    let _ = store.destroy(&id).unwrap();
                    assert!(store.bytes() as u64 <= store.stats().max_size as u64);
                })
            })
            .collect();
        all(threads);
        store.validate().unwrap();
    });
}

#[test]
fn a_login_beside_log_out_everywhere_is_ended_or_not_let_in() {
    explore(|| {
        let (store, _, id, _) = one();
        let sessions = Sessions::new(store.clone());
        let mut session = sessions.load(&id).unwrap().unwrap();
        session.set_owner("ada").unwrap();
        let login = thread::spawn(move || session.save().unwrap());
        sessions.destroy_of("ada", None).unwrap();
        let _: Saved = login.join().unwrap();
        assert_eq!(store.count_of("ada").unwrap(), 0);
        assert!(sessions.load(&id).unwrap().is_none_or(|session| session.owner().unwrap().is_none()));
        store.validate().unwrap();
    });
}

#[test]
fn a_save_of_an_owned_session_beside_log_out_everywhere_brings_nothing_back() {
    explore(|| {
        let (store, _, id, _) = one();
        let sessions = Sessions::new(store.clone());
        let mut session = sessions.load(&id).unwrap().unwrap();
        session.set_owner("ada").unwrap();
        assert_eq!(session.save().unwrap(), Saved::Written);
        let (rotator, new) = (store.clone(), renewed(&id));
        let threads = vec![
            thread::spawn(move || {
                session.insert("late", &true).unwrap();
                drop(session.save().unwrap());
            }),
            thread::spawn(move || drop(rotator.rotate(&id, &new, HOUR).unwrap())),
        ];
        sessions.destroy_of("ada", None).unwrap();
        all(threads);
        assert!(store.get(&id).unwrap().is_none() && store.get(&new).unwrap().is_none());
        assert_eq!(store.len().unwrap(), 0);
        store.validate().unwrap();
    });
}

#[test]
fn logins_at_once_keep_the_limit() {
    for at_limit in [AtLimit::EndOldest, AtLimit::RefuseNewest] {
        let race = move || {
            let (store, _) = store();
            let policy = Policy::new().max_per_owner(1).at_limit(at_limit);
            let sessions = Arc::new(Sessions::with_policy(store.clone(), policy).unwrap());
            let threads = (0..2)
                .map(|_| {
                    let sessions = Arc::clone(&sessions);
                    thread::spawn(move || {
                        let mut session = sessions.generate().unwrap();
                        session.set_owner("ada").unwrap();
                        session.save().is_ok_and(|saved| saved == Saved::Written)
                    })
                })
                .collect();
            let let_in = all(threads).into_iter().filter(|let_in| *let_in).count();
            let left = store.count_of("ada").unwrap();
            match at_limit {
                AtLimit::EndOldest => assert_eq!(left, 1),
                // Of two at once both may be refused.
                AtLimit::RefuseNewest => assert!(left == let_in && left <= 1),
            }
            store.validate().unwrap();
        };
        explore(race);
    }
}

#[test]
fn a_session_is_created_once_under_one_handle() {
    explore(|| {
        let (store, _) = store();
        let id = SessionId::random().unwrap();
        let outcomes = all((0..3)
            .map(|_| {
                let (store, id) = (store.clone(), renewed(&id));
                thread::spawn(move || store.create(&id, record(), HOUR).unwrap())
            })
            .collect());
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_done()).count(), 1);
        assert!(outcomes.iter().all(|outcome| *outcome != Outcome::Gone));
        store.validate().unwrap();
    });
}

#[test]
fn a_snapshot_holds_whole_sessions_and_none_that_was_ended_before() {
    let folder = Folder::new();
    let path = folder.join("sessions");
    let race = move || {
        let (store, time, id, _) = one();
        let sessions = Sessions::new(store.clone());
        let mut ended = sessions.generate().unwrap();
        ended.set_owner("ada").unwrap();
        assert_eq!(ended.save().unwrap(), Saved::Written);
        let mut late = sessions.generate().unwrap();
        late.set_owner("ada").unwrap();
        let mut kept = sessions.load(&id).unwrap().unwrap();
        let (rotator, new) = (store.clone(), renewed(&id));
        let threads = vec![
            thread::spawn(move || {
                ended.insert("late", &1).unwrap();
                drop(ended.save().unwrap());
            }),
            thread::spawn(move || drop(late.save().unwrap())),
            thread::spawn(move || {
                kept.insert("one", &1).unwrap();
                kept.insert("two", &2).unwrap();
                drop(kept.save().unwrap());
                drop(rotator.rotate(&id, &new, Duration::ZERO).unwrap());
            }),
        ];
        sessions.destroy_of("ada", None).unwrap();
        store.snapshot(&path).unwrap();
        all(threads);

        let options = LembroOptions::new().interval(0).shards(1).clock(&time).restore(&path);
        let restored = LembroStore::with_options(options).unwrap();
        assert_eq!(restored.count_of("ada").unwrap(), 0);
        let by_either: Vec<_> = [id, new].iter().filter_map(|id| restored.get(id).unwrap()).collect();
        let [kept] = &by_either[..] else { panic!("{} ids open it", by_either.len()) };
        assert_eq!(holds(&kept.record, "one"), holds(&kept.record, "two"));
        restored.validate().unwrap();
    };
    explore(race);
}
