//! The races of the invariants on the real code, under thousands of schedules: a model checker
//! decides at every lock and every atomic which thread goes on.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --test schedules --features testing`; `SCHEDULES` says how
//! many each test explores (500). A failure prints the schedule that led to it.
#![cfg(all(shuttle, feature = "testing"))]
#![expect(clippy::similar_names, reason = "what was saved is what saving gave")]

#[path = "it/support/key_values.rs"]
mod key_values;
#[path = "it/support/scratch.rs"]
mod scratch;
#[path = "it/support/steps.rs"]
mod steps;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lembro::{
    AtLimit, Changes, Clock, Commit, EndReason, Event, Identity, KeyValueStore, Lease, LembroOptions, LembroStore,
    Limit, Login, Lookup, ManualClock, Outcome, Presented, Record, SessionId, Store, Version,
};
use shuttle::thread;

use self::key_values::Map;
use self::scratch::Folder;
use self::steps::{
    create, create_owned, exactly, found, is_there, login, merge, new_id, owner, owners, presented, renew, renewed,
    renewing, replacement, save, touch, version_of,
};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const LEASE: Lease = Lease::new(HOUR);

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
fn one() -> (LembroStore, ManualClock, SessionId, Version) {
    let (store, time) = store();
    let id = new_id();
    assert!(create(&store, &id, &record(), HOUR).unwrap().is_done());
    let version = version_of(&store, &id);
    (store, time, id, version)
}

/// A store with one session of Ada in it, whose id is old enough to be renewed.
fn one_of_ada() -> (LembroStore, ManualClock, SessionId, Lease) {
    let (store, time) = store();
    let id = new_id();
    assert!(create_owned(&store, &id, &record(), "ada", HOUR).unwrap().is_done());
    time.advance(MINUTE);
    (store, time, id, renewing(HOUR, MINUTE))
}

fn put(key: &str) -> Changes {
    let mut changes = Changes::new();
    changes.insert("", key, &1).unwrap();
    changes
}

fn holds(record: &Record, key: &str) -> bool {
    record.get::<u32>(key).unwrap().is_some()
}

fn count(store: &LembroStore, name: &str) -> usize {
    owners(store).count(&owner(name)).unwrap()
}

/// A commit that logs Ada in under a limit of one.
fn limited(commit: Commit, at_limit: AtLimit) -> Commit {
    commit.log_in(Login { limit: Some(Limit { max: 1, at_limit }), ..login("ada") })
}

fn all<T: 'static>(threads: Vec<thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Adds one to a counter, as `modify` does: reads, compares and swaps, until nothing came in
/// between.
fn increment(store: &LembroStore, id: &SessionId) {
    loop {
        let record = found(store, id).record;
        let mut changes = Changes::new();
        changes.insert("", "visits", &(record.get::<u32>("visits").unwrap().unwrap_or(0) + 1)).unwrap();
        match exactly(store, id, &changes, HOUR, record.version()).unwrap() {
            Outcome::Done(_) => return,
            outcome => assert_eq!(outcome, Outcome::Changed),
        }
    }
}

// Invariant 3.
#[test]
fn a_destroyed_session_never_comes_back() {
    explore(|| {
        let (store, _, id, version) = one();
        let (saver, toucher, visitor, purger) = (store.clone(), store.clone(), store.clone(), store.clone());
        let others = vec![
            thread::spawn(move || _ = save(&saver, &id, &put("late"), HOUR, version).unwrap()),
            thread::spawn(move || _ = touch(&toucher, &id, HOUR * 2).unwrap()),
            thread::spawn(move || _ = visitor.visit(&id, &Lease::new(HOUR * 3)).unwrap()),
            thread::spawn(move || _ = purger.purge()),
        ];
        assert!(store.destroy(&id).unwrap().is_done());
        assert!(!is_there(&store, &id));
        all(others);
        assert!(!is_there(&store, &id));
        assert_eq!((store.len().unwrap(), store.bytes()), (0, 0));
        store.validate().unwrap();
    });
}

#[test]
fn a_commit_beside_an_end_by_handle_is_lost_with_the_session_or_comes_too_late_and_says_so() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let (version, saver, reader) = (version_of(&store, &id), store.clone(), store.clone());
        let saving = thread::spawn(move || save(&saver, &id, &put("late"), HOUR, version).unwrap());
        let looking = thread::spawn(move || reader.visit(&id, &lease).unwrap());
        let ended = owners(&store).destroy_handle(id.handle(), Some(&owner("ada")), EndReason::Named).unwrap();
        let saved = saving.join().unwrap();
        assert!(matches!(looking.join().unwrap(), Lookup::Found(_) | Lookup::Missing));
        // The receipt of the end says which version was the last.
        let last = saved.receipt().map_or(version, |receipt| receipt.version);
        assert_eq!(ended.receipt().unwrap().version, last);
        assert!(saved.is_done() || saved == Outcome::Gone);
        assert!(!is_there(&store, &id));
        assert_eq!(owners(&store).why_ended(&id).unwrap(), Some(EndReason::Named));
        assert_eq!((count(&store, "ada"), store.bytes()), (0, 0));
        store.validate().unwrap();
    });
}

#[test]
fn a_logout_beside_a_new_id_ends_the_session_or_comes_too_late_and_says_so() {
    explore(|| {
        let (store, _, id, version) = one();
        let (new, rotator) = (renewed(&id), store.clone());
        let rotating = thread::spawn(move || rotator.commit(&id, &replacement(version, &new), &LEASE).unwrap());
        let destroyed = store.destroy(&id).unwrap();
        let rotated = rotating.join().unwrap();
        match (destroyed, rotated) {
            (Outcome::Done(_), Outcome::Gone) => assert!(!is_there(&store, &new)),
            (Outcome::Superseded, Outcome::Done(_)) => assert!(is_there(&store, &new)),
            both => panic!("exactly one of them was first: {both:?}"),
        }
        assert!(!is_there(&store, &id));
        store.validate().unwrap();
    });
}

// Invariants 4 and 11.
#[test]
fn commits_of_different_keys_all_survive_beside_a_renewal() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let version = version_of(&store, &id);
        let mut threads: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|key| {
                let store = store.clone();
                thread::spawn(move || assert!(save(&store, &id, &put(key), HOUR, version).unwrap().is_done()))
            })
            .collect();
        let renewer = store.clone();
        threads.push(thread::spawn(move || {
            let commit = merge(&put("c"), version).identity(Identity::Renew(7));
            let announced = renewer.commit(&id, &commit, &lease).unwrap().receipt().unwrap().announce.unwrap();
            // The next request has the new id.
            assert!(renewer.visit(&announced, &lease).unwrap().found().is_some());
        }));
        all(threads);
        let stored = found(&store, &id);
        assert_eq!(stored.record.len(), 4);
        // A confirmation that a commit overtook is made up for by the next visit.
        if let Presented::Renewing(new) = stored.presented {
            assert!(store.visit(&new, &lease).unwrap().found().is_some());
        }
        assert_eq!(presented(&store, &id), Presented::Previous);
        store.validate().unwrap();
    });
}

#[test]
fn of_commits_that_compare_and_swap_exactly_one_is_done() {
    explore(|| {
        let (store, _, id, version) = one();
        let outcomes = all((0..3)
            .map(|number| {
                let store = store.clone();
                let key = format!("key {number}");
                thread::spawn(move || exactly(&store, &id, &put(&key), HOUR, version).unwrap())
            })
            .collect());
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_done()).count(), 1);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Changed).count(), 2);
        assert_eq!(found(&store, &id).record.len(), 2);
        assert_eq!(store.stats().saved, 1);
        store.validate().unwrap();
    });
}

#[test]
fn a_new_id_loses_no_acknowledged_commit_and_is_never_without_a_session() {
    explore(|| {
        let (store, _, id, version) = one();
        let (new, saver, reader) = (renewed(&id), store.clone(), store.clone());
        let saving = thread::spawn(move || save(&saver, &id, &put("late"), HOUR, version).unwrap());
        // In this order: once the old id is dead the new one works.
        let reading = thread::spawn(move || is_there(&reader, &id) || is_there(&reader, &new));
        assert!(store.commit(&id, &replacement(version, &new), &LEASE).unwrap().is_done());
        assert_eq!(store.visit(&id, &LEASE).unwrap(), Lookup::Superseded { recent: true });
        let saved = saving.join().unwrap();
        assert!(reading.join().unwrap());
        assert!(saved.is_done() || saved == Outcome::Superseded);
        assert_eq!(holds(&found(&store, &new).record, "late"), saved.is_done());
        store.validate().unwrap();
    });
}

#[test]
fn of_two_new_ids_at_once_exactly_one_is_done_and_the_other_is_told() {
    explore(|| {
        let (store, _, id, version) = one();
        let outcomes = all((0..2)
            .map(|_| {
                let (store, new) = (store.clone(), renewed(&id));
                thread::spawn(move || (store.commit(&id, &replacement(version, &new), &LEASE).unwrap(), new))
            })
            .collect());
        let (done, late): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(outcome, _)| outcome.is_done());
        assert_eq!((done.len(), late[0].0), (1, Outcome::Superseded));
        assert_eq!(presented(&store, &done[0].1), Presented::Current);
        assert!(!is_there(&store, &late[0].1));
    });
}

#[test]
fn renewals_at_once_agree_on_the_new_id() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let version = version_of(&store, &id);
        let announced = all((0..3)
            .map(|seed| {
                let store = store.clone();
                thread::spawn(move || {
                    let commit = merge(&put(&format!("key {seed}")), version).identity(Identity::Renew(seed));
                    store.commit(&id, &commit, &lease).unwrap().receipt().unwrap().announce.unwrap()
                })
            })
            .collect());
        assert!(announced.iter().all(|new| *new == announced[0]));
        assert_eq!(presented(&store, &id), Presented::Renewing(announced[0]));
        assert_eq!(found(&store, &announced[0]).record.len(), 4);
        store.validate().unwrap();
    });
}

#[test]
fn a_renewal_beside_looks_and_commits_loses_nothing_and_all_agree_on_the_id() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let new = renew(&store, &id, &lease);
        let version = version_of(&store, &id);
        let mut threads: Vec<_> = (0..2)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || {
                    let stored = store.visit(&new, &lease).unwrap().found().unwrap();
                    assert_eq!(stored.presented, Presented::Current);
                })
            })
            .collect();
        for key in ["a", "b"] {
            let store = store.clone();
            threads.push(thread::spawn(move || {
                let receipt = save(&store, &id, &put(key), HOUR, version).unwrap().receipt().unwrap();
                assert!(receipt.announce.is_none_or(|announced| announced == new));
            }));
        }
        let old = store.clone();
        threads.push(thread::spawn(move || {
            let presented = old.visit(&id, &lease).unwrap().found().unwrap().presented;
            assert!([Presented::Renewing(new), Presented::Previous].contains(&presented), "{presented:?}");
        }));
        all(threads);
        let stored = found(&store, &new);
        assert_eq!((stored.record.len(), stored.presented), (3, Presented::Current));
        assert!(holds(&stored.record, "a") && holds(&stored.record, "b"));
        // A visit that a commit overtook is confirmed by the next one.
        assert!(store.visit(&new, &lease).unwrap().found().is_some());
        assert_eq!(presented(&store, &id), Presented::Previous);
        assert_eq!(count(&store, "ada"), 1);
        store.validate().unwrap();
    });
}

#[test]
fn a_touch_beside_a_confirmation_is_not_lost() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let new = renew(&store, &id, &lease);
        // It would not prolong it.
        let lease = Lease { touch_after: MINUTE, ..lease };
        let (visitor, toucher) = (store.clone(), store.clone());
        let visiting = thread::spawn(move || assert!(visitor.visit(&new, &lease).unwrap().found().is_some()));
        let touching = thread::spawn(move || assert!(touch(&toucher, &new, HOUR + MINUTE / 2).unwrap().is_done()));
        visiting.join().unwrap();
        touching.join().unwrap();
        assert_eq!(found(&store, &new).ttl, HOUR + MINUTE / 2);
        store.validate().unwrap();
    });
}

#[test]
fn a_compare_and_swap_that_is_tried_again_never_loses_one() {
    explore(|| {
        let (store, _, id, _) = one();
        let threads = (0..3)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || increment(&store, &id))
            })
            .collect();
        all(threads);
        assert_eq!(found(&store, &id).record.get::<u32>("visits").unwrap(), Some(3));
    });
}

#[test]
fn a_session_that_was_touched_in_time_is_not_purged() {
    explore(|| {
        let (store, time, id, version) = one();
        time.advance(SECOND * 3599);
        let (toucher, purger, clock) = (store.clone(), store.clone(), time.clone());
        let touching = thread::spawn(move || touch(&toucher, &id, HOUR).unwrap());
        let purging = thread::spawn(move || purger.purge());
        let passing = thread::spawn(move || clock.advance(SECOND));
        let touched = touching.join().unwrap();
        purging.join().unwrap();
        passing.join().unwrap();
        assert_eq!(is_there(&store, &id), touched.is_done());
        let saved = save(&store, &id, &put("after"), HOUR, version).unwrap();
        assert_eq!(saved.is_done(), touched.is_done());
        store.validate().unwrap();
    });
}

#[test]
fn a_handle_whose_session_expires_is_given_to_another_or_prolonged_and_never_both() {
    explore(|| {
        let (store, time, id, _) = one();
        time.advance(SECOND * 3599);
        let other = renewed(&id);
        let (toucher, creator, clock) = (store.clone(), store.clone(), time.clone());
        let touching = thread::spawn(move || touch(&toucher, &id, HOUR).unwrap());
        let creating = thread::spawn(move || create(&creator, &other, &record(), HOUR).unwrap());
        let passing = thread::spawn(move || clock.advance(SECOND));
        let (touched, created) = (touching.join().unwrap(), creating.join().unwrap());
        passing.join().unwrap();
        assert!(!(touched.is_done() && created.is_done()), "{touched:?} {created:?}");
        assert_eq!((is_there(&store, &id), is_there(&store, &other)), (touched.is_done(), created.is_done()));
        store.validate().unwrap();
    });
}

// Invariant 6.
#[test]
fn a_full_store_keeps_its_bound_and_its_books() {
    explore(|| {
        let probe = store().0;
        probe.set(&new_id(), record(), HOUR).unwrap();
        // With a second secret and something to spare.
        let room = 3 * (probe.bytes() as u64 + 40);
        let options = LembroOptions::new().interval(0).shards(1).max_size(room).clock(&Clock::manual());
        let store = LembroStore::with_options(options).unwrap();
        let threads = (0..3)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || {
                    let (id, another) = (new_id(), new_id());
                    assert!(create(&store, &id, &record(), HOUR).unwrap().is_done());
                    let Some(stored) = store.get(&id).unwrap() else { return };
                    // It was evicted since then, or it is larger than before.
                    let commit = replacement(stored.record.version(), &renewed(&id));
                    let outcome = store.commit(&id, &commit, &LEASE).unwrap();
                    assert!(outcome.is_done() || outcome == Outcome::Gone);
                    assert!(create(&store, &another, &record(), HOUR).unwrap().is_done());
                    let _ = store.destroy(&another).unwrap();
                    assert!(store.bytes() as u64 <= store.stats().max_size as u64);
                })
            })
            .collect();
        all(threads);
        store.validate().unwrap();
    });
}

#[test]
fn a_commit_beside_an_eviction_is_done_or_gone_and_books_and_events_agree() {
    explore(|| {
        let probe = store().0;
        probe.set(&new_id(), record(), HOUR).unwrap();
        let options = LembroOptions::new().interval(0).shards(1).max_size(2 * probe.bytes() as u64 + 40);
        let store = LembroStore::with_options(options.clock(&Clock::manual())).unwrap();
        let events = store.events();
        let id = new_id();
        assert!(create(&store, &id, &record(), HOUR).unwrap().is_done());
        let version = version_of(&store, &id);
        let saver = store.clone();
        let saving = thread::spawn(move || save(&saver, &id, &put("late"), HOUR, version).unwrap());
        let mut threads: Vec<_> = (0..2)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || assert!(create(&store, &new_id(), &record(), HOUR).unwrap().is_done()))
            })
            .collect();
        let visitor = store.clone();
        threads.push(thread::spawn(move || _ = visitor.visit(&id, &LEASE).unwrap()));
        let saved = saving.join().unwrap();
        all(threads);
        assert!(saved.is_done() || saved == Outcome::Gone);
        let listed = store.all().unwrap().map(Result::unwrap).find(|listed| listed.handle == id.handle());
        assert!(listed.is_none_or(|listed| holds(&listed.stored.record, "late") == saved.is_done()));
        let stats = store.stats();
        let evicted = events.try_iter().filter(|event| matches!(event, Event::Evicted { .. })).count();
        assert_eq!((stats.evicted, stats.created - stats.evicted), (evicted as u64, stats.sessions as u64));
        store.validate().unwrap();
    });
}

#[test]
fn a_login_beside_log_out_everywhere_is_ended_or_not_let_in() {
    explore(|| {
        let (store, _, id, version) = one();
        let ada = owner("ada");
        let begun = owners(&store).epoch(&ada).unwrap();
        let new = renewed(&id);
        let threads = [Some(begun), None].map(|begun| {
            let store = store.clone();
            thread::spawn(move || {
                let login = Login { begun, ..login("ada") };
                let (id, commit) = match begun {
                    Some(_) => (id, replacement(version, &new)),
                    None => (new_id(), Commit::create().unwrap()),
                };
                let outcome = store.commit(&id, &commit.log_in(login), &LEASE).unwrap();
                assert!(outcome.is_done() || (begun.is_some() && outcome == Outcome::LoginRevoked), "{outcome:?}");
                (id, outcome)
            })
        });
        owners(&store).destroy_all(&ada, None).unwrap();
        let left = count(&store, "ada");
        let [(_, revocable), (later, _)] = threads.map(|thread| thread.join().unwrap());
        // The one that began before: ended or refused. The one that begins with its commit may come
        // after it.
        assert!(left <= 1);
        assert_eq!(count(&store, "ada"), usize::from(is_there(&store, &later)));
        assert!(!is_there(&store, &new));
        assert_eq!(is_there(&store, &id), revocable == Outcome::LoginRevoked);
        store.validate().unwrap();
    });
}

#[test]
fn a_commit_to_an_owned_session_beside_log_out_everywhere_brings_nothing_back() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let (version, new) = (version_of(&store, &id), renewed(&id));
        let (saver, rotator, renewer) = (store.clone(), store.clone(), store.clone());
        let threads = vec![
            thread::spawn(move || _ = save(&saver, &id, &put("late"), HOUR, version).unwrap()),
            thread::spawn(move || _ = rotator.commit(&id, &replacement(version, &new), &lease).unwrap()),
            thread::spawn(move || {
                let commit = Commit::merge(version).unwrap().identity(Identity::Renew(7));
                _ = renewer.commit(&id, &commit, &lease).unwrap();
            }),
        ];
        owners(&store).destroy_all(&owner("ada"), None).unwrap();
        assert_eq!(count(&store, "ada"), 0);
        all(threads);
        assert!(!is_there(&store, &id) && !is_there(&store, &new));
        assert_eq!((store.len().unwrap(), store.bytes()), (0, 0));
        store.validate().unwrap();
    });
}

#[test]
fn logins_of_one_owner_at_once_keep_the_limit() {
    for at_limit in [AtLimit::EndOldest, AtLimit::RefuseNewest] {
        explore(move || {
            let (store, _) = store();
            let threads = (0..3)
                .map(|_| {
                    let store = store.clone();
                    thread::spawn(move || {
                        let commit = limited(Commit::create().unwrap(), at_limit);
                        let outcome = store.commit(&new_id(), &commit, &LEASE).unwrap();
                        // At no instant two.
                        assert!(count(&store, "ada") <= 1);
                        assert!(outcome.is_done() || outcome == Outcome::AtLimit);
                        outcome.is_done()
                    })
                })
                .collect();
            let let_in = all(threads).into_iter().filter(|let_in| *let_in).count();
            assert_eq!(let_in, if at_limit == AtLimit::EndOldest { 3 } else { 1 });
            assert_eq!((count(&store, "ada"), store.len().unwrap()), (1, 1));
            store.validate().unwrap();
        });
    }
}

#[test]
fn logins_under_different_limits_at_once_leave_as_many_as_the_last_one_allows() {
    explore(|| {
        let (store, _) = store();
        for _ in 0..2 {
            assert!(create_owned(&store, &new_id(), &record(), "ada", HOUR).unwrap().is_done());
        }
        let threads = [1, 2, 3].map(|max| {
            let store = store.clone();
            thread::spawn(move || {
                let limit = Some(Limit { max, at_limit: AtLimit::EndOldest });
                let commit = Commit::create().unwrap().log_in(Login { limit, ..login("ada") });
                let id = new_id();
                assert!(store.commit(&id, &commit, &LEASE).unwrap().is_done());
                (max, id)
            })
        });
        let logins = threads.map(|thread| thread.join().unwrap());
        // The last to log in is there, and no more than it allows.
        let last = logins.iter().filter(|(_, id)| is_there(&store, id));
        let last = last.max_by_key(|(_, id)| found(&store, id).record.owner_since()).unwrap();
        assert!(count(&store, "ada") <= last.0);
        store.validate().unwrap();
    });
}

// A double click.
#[test]
fn two_logins_on_one_session_at_once_keep_the_limit_and_the_one_that_comes_too_late_is_told() {
    explore(|| {
        let (store, _, id, version) = one();
        let threads = (0..2)
            .map(|_| {
                let (store, new) = (store.clone(), renewed(&id));
                thread::spawn(move || {
                    let commit = limited(replacement(version, &new), AtLimit::EndOldest);
                    (store.commit(&id, &commit, &LEASE).unwrap(), new)
                })
            })
            .collect();
        let (done, late): (Vec<_>, Vec<_>) = all(threads).into_iter().partition(|(outcome, _)| outcome.is_done());
        assert_eq!((done.len(), late[0].0), (1, Outcome::Superseded));
        assert_eq!(presented(&store, &done[0].1), Presented::Current);
        assert_eq!((count(&store, "ada"), store.len().unwrap()), (1, 1));
        store.validate().unwrap();
    });
}

#[test]
fn logins_of_two_owners_on_one_session_leave_it_to_one_of_them_and_each_index_is_right() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let version = version_of(&store, &id);
        let threads: Vec<_> = ["ada", "grace"]
            .into_iter()
            .map(|name| {
                let (store, new) = (store.clone(), renewed(&id));
                thread::spawn(move || {
                    let commit = replacement(version, &new).with(put(name)).log_in(login(name));
                    store.commit(&id, &commit, &lease).unwrap().is_done()
                })
            })
            .collect();
        let ended = owners(&store).destroy_all(&owner("ada"), None).unwrap();
        let done = all(threads);
        let (ada, grace) = (count(&store, "ada"), count(&store, "grace"));
        assert_eq!(ada, 0);
        assert!(done.iter().filter(|done| **done).count() <= 1);
        // It was Ada's until Grace logged in: then it is hers and stays.
        assert_eq!((grace, ended), if done[1] { (1, 0) } else { (0, 1) });
        for listed in owners(&store).list(&owner("grace")).unwrap() {
            let record = listed.stored.record;
            assert!(holds(&record, "grace") && record.len() == 1, "nothing of Ada's is left");
        }
        store.validate().unwrap();
    });
}

#[test]
fn a_session_is_created_once_under_one_handle() {
    explore(|| {
        let (store, _) = store();
        let id = new_id();
        let outcomes = all((0..3)
            .map(|_| {
                let (store, id) = (store.clone(), renewed(&id));
                thread::spawn(move || create(&store, &id, &record(), HOUR).unwrap())
            })
            .collect());
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_done()).count(), 1);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Taken).count(), 2);
        assert_eq!(store.stats().created, 1);
        store.validate().unwrap();
    });
}

#[test]
fn a_set_without_time_ends_no_session_that_has_a_new_id_by_then() {
    explore(|| {
        let (store, _, id, version) = one();
        let (new, rotator) = (renewed(&id), store.clone());
        let rotating = thread::spawn(move || rotator.commit(&id, &replacement(version, &new), &LEASE).unwrap());
        let ended = store.set(&id, record(), Duration::ZERO);
        let rotated = rotating.join().unwrap();
        match (ended, rotated) {
            (Ok(()), Outcome::Gone) => assert_eq!(store.len().unwrap(), 0),
            (Err(error), Outcome::Done(_)) => assert!(error.is_taken() && is_there(&store, &new)),
            both => panic!("exactly one of them was first: {both:?}"),
        }
        assert_eq!(store.stats().created, 1);
        store.validate().unwrap();
    });
}

/// A store with files.
fn persisted(folder: &Folder, time: &ManualClock) -> LembroStore {
    let options = LembroOptions::new().interval(0).shards(1).clock(time).persist(folder.join("sessions"));
    LembroStore::with_options(options).unwrap()
}

/// The store is being closed: the change was refused, or it is not known whether it is in the
/// files.
fn unless_closed<T>(result: lembro::Result<T>) -> Option<T> {
    result.inspect_err(|error| assert!(error.is_store(), "{error}")).ok()
}

#[test]
fn a_crash_at_any_moment_keeps_what_was_acknowledged_and_brings_nothing_back() {
    explore(|| {
        let (folder, time) = (Folder::in_memory(), Clock::manual());
        let store = persisted(&folder, &time);
        let [id, ended, other] = [(); 3].map(|()| new_id());
        let (ada, new) = (owner("ada"), renewed(&id));
        for id in [id, other] {
            assert!(create(&store, &id, &record(), HOUR).unwrap().is_done());
        }
        assert!(create_owned(&store, &ended, &record(), "ada", HOUR).unwrap().is_done());
        let (version, other_version, ended_version) =
            (version_of(&store, &id), version_of(&store, &other), version_of(&store, &ended));
        let begun = Some(owners(&store).epoch(&ada).unwrap());
        let done = Arc::new([(); 4].map(|()| AtomicBool::new(false)));
        let note = |number: usize| {
            let done = Arc::clone(&done);
            move |outcome: Option<()>| _ = outcome.map(|()| done[number].store(true, Ordering::SeqCst))
        };
        let (saver, late, keeper, closer, ender) =
            (store.clone(), store.clone(), store.clone(), store.clone(), store.clone());
        let (saved, rotated, put_too, over) = (note(0), note(1), note(2), note(3));
        let threads = vec![
            thread::spawn(move || _ = unless_closed(save(&saver, &ended, &put("late"), HOUR, ended_version))),
            thread::spawn(move || {
                put_too(unless_closed(save(&late, &other, &put("one"), HOUR, other_version)).map(drop));
                let commit = Commit::create().unwrap().log_in(Login { begun, ..login("ada") });
                _ = unless_closed(late.commit(&new_id(), &commit, &LEASE));
            }),
            thread::spawn(move || {
                let mut both = put("one");
                both.insert("", "two", &2).unwrap();
                saved(unless_closed(save(&keeper, &id, &both, HOUR, version)).map(drop));
                rotated(unless_closed(keeper.commit(&id, &replacement(version, &new), &LEASE)).map(drop));
            }),
            // A compaction.
            thread::spawn(move || closer.close().unwrap()),
            thread::spawn(move || over(unless_closed(owners(&ender).destroy_all(&owner("ada"), None)).map(drop))),
        ];
        let mut images = Vec::new();
        let mut look = || {
            let known = done.each_ref().map(|done| done.load(Ordering::SeqCst));
            images.push((known, folder.image()));
        };
        for _ in 0..3 {
            look();
            thread::yield_now();
        }
        all(threads);
        look();
        for ([saved, rotated, put_too, over], image) in images {
            let again = persisted(&image, &time);
            let by_either: Vec<_> = [id, new].iter().filter_map(|id| again.get(id).unwrap()).collect();
            let [kept] = &by_either[..] else { panic!("{} ids open it", by_either.len()) };
            assert_eq!(holds(&kept.record, "one"), holds(&kept.record, "two"));
            assert!(!saved || holds(&kept.record, "one"));
            assert!(!rotated || !is_there(&again, &id));
            assert!(!put_too || holds(&found(&again, &other).record, "one"));
            assert!(!over || count(&again, "ada") == 0);
            again.validate().unwrap();
        }
    });
}

#[test]
fn first_looks_after_a_restart_lose_no_commit_no_touch_and_bring_nothing_back() {
    explore(|| {
        let (folder, time) = (Folder::in_memory(), Clock::manual());
        let (before, [id, other]) = (persisted(&folder, &time), [(); 2].map(|()| new_id()));
        for id in [id, other] {
            before.set(&id, record(), HOUR).unwrap();
        }
        let version = version_of(&before, &id);
        drop(before);
        let store = persisted(&folder, &time);
        let mut threads: Vec<_> = (0..2)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || {
                    assert!(is_there(&store, &id));
                    let _ = is_there(&store, &other);
                })
            })
            .collect();
        let (saver, toucher) = (store.clone(), store.clone());
        threads.push(thread::spawn(move || assert!(save(&saver, &id, &put("late"), HOUR, version).unwrap().is_done())));
        threads.push(thread::spawn(move || _ = touch(&toucher, &other, 2 * HOUR).unwrap()));
        assert!(store.destroy(&other).unwrap().is_done());
        all(threads);
        assert!(holds(&found(&store, &id).record, "late") && !is_there(&store, &other));
        assert!(touch(&store, &id, 2 * HOUR).unwrap().is_done());
        assert_eq!(found(&store, &id).ttl, 2 * HOUR);
        store.validate().unwrap();
    });
}

// On a backend of three methods. A session that would outlive its owner's entry is written under
// the owner's lock, too: its own is let go, and taken again behind that.
#[test]
fn on_three_methods_what_prolongs_or_logs_in_beside_log_out_everywhere_brings_nothing_back() {
    explore(|| {
        let store = Arc::new(KeyValueStore::with_clock(Map::default(), Clock::manual().restarted()));
        let (id, new, lease) = (new_id(), new_id(), Lease::new(HOUR * 9));
        assert!(create_owned(&store, &id, &record(), "ada", HOUR).unwrap().is_done());
        let (version, begun) = (version_of(&store, &id), owners(&store).epoch(&owner("ada")).unwrap());
        let entrance = Commit::create().unwrap().log_in(Login { begun: Some(begun), ..login("ada") });
        let (saver, visitor, entering) = (Arc::clone(&store), Arc::clone(&store), Arc::clone(&store));
        let saving = thread::spawn(move || save(&saver, &id, &put("late"), HOUR * 9, version).unwrap());
        let visiting = thread::spawn(move || visitor.visit(&id, &lease).unwrap().found().is_some());
        let entered = thread::spawn(move || entering.commit(&new, &entrance, &lease).unwrap());
        let ended = owners(&store).destroy_all(&owner("ada"), None).unwrap();
        let (saved, entered, _) = (saving.join().unwrap(), entered.join().unwrap(), visiting.join().unwrap());
        assert!(saved.is_done() || saved == Outcome::Gone);
        // The login was ended, or came too late.
        assert_eq!(ended, 1 + usize::from(entered.is_done()));
        assert!(entered.is_done() || entered == Outcome::LoginRevoked);
        assert!(![id, new].iter().any(|id| is_there(&store, id)));
        assert_eq!(owners(&store).count(&owner("ada")).unwrap(), 0);
    });
}

#[test]
fn on_three_methods_commits_of_different_keys_all_survive_and_a_destroyed_session_stays_so() {
    explore(|| {
        let store = Arc::new(KeyValueStore::with_clock(Map::default(), Clock::manual().restarted()));
        let id = new_id();
        assert!(create(&store, &id, &record(), HOUR).unwrap().is_done());
        let version = version_of(&store, &id);
        let saving = |key: &'static str| {
            let store = Arc::clone(&store);
            thread::spawn(move || save(&store, &id, &put(key), HOUR, version).unwrap().is_done())
        };
        assert!(all(vec![saving("a"), saving("b")]).into_iter().all(|is_done| is_done));
        assert_eq!(found(&store, &id).record.len(), 3);
        let late = vec![saving("c"), saving("d")];
        assert!(store.destroy(&id).unwrap().is_done());
        all(late);
        assert!(!is_there(&store, &id));
    });
}
