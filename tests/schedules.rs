//! Races under a model checker, which decides at every lock and every atomic which thread runs
//! next.
//!
//! Command: `RUSTFLAGS="--cfg shuttle" cargo test --test schedules --features testing`. Each test
//! explores 500 schedules, or as many as the variable `SCHEDULES` says. A failure prints its
//! schedule.
#![cfg(all(shuttle, feature = "testing"))]

#[path = "it/support/key_values.rs"]
mod key_values;
#[path = "it/support/scratch.rs"]
mod scratch;
#[allow(dead_code, reason = "it uses a part of it")]
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

/// Explores schedules: half at random, half with few switches of threads (PCT).
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

/// A store with one session of Ada, whose id is old enough for a renewal.
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

/// A thread with a handle of its own on the store.
fn beside<S: Clone + Send + 'static, T: Send + 'static>(
    store: &S,
    work: impl FnOnce(&S) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let store = store.clone();
    thread::spawn(move || work(&store))
}

fn all<T: 'static>(threads: Vec<thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Adds one to a counter as `modify` does: it compares and swaps until it succeeds.
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
fn destroyed_session_never_comes_back() {
    explore(|| {
        let (store, _, id, version) = one();
        let others = vec![
            beside(&store, move |store| _ = save(store, &id, &put("late"), HOUR, version).unwrap()),
            beside(&store, move |store| _ = touch(store, &id, HOUR * 2).unwrap()),
            beside(&store, move |store| _ = store.visit(&id, &Lease::new(HOUR * 3)).unwrap()),
            beside(&store, |store| _ = store.purge()),
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
fn commit_beside_an_end_is_lost_or_refused() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let version = version_of(&store, &id);
        let saving = beside(&store, move |store| save(store, &id, &put("late"), HOUR, version).unwrap());
        let looking = beside(&store, move |store| store.visit(&id, &lease).unwrap());
        let ended = owners(&store).destroy_handle(id.handle(), Some(&owner("ada")), EndReason::Revoked).unwrap();
        let saved = saving.join().unwrap();
        assert!(matches!(looking.join().unwrap(), Lookup::Found(_) | Lookup::Missing));
        // The receipt of the end has the last version.
        let last = saved.receipt().map_or(version, |receipt| receipt.version);
        assert_eq!(ended.receipt().unwrap().version, last);
        assert!(saved.is_done() || saved == Outcome::Gone);
        assert!(!is_there(&store, &id));
        assert_eq!(owners(&store).end_reason(&id).unwrap(), Some(EndReason::Revoked));
        assert_eq!((count(&store, "ada"), store.bytes()), (0, 0));
        store.validate().unwrap();
    });
}

#[test]
fn logout_beside_a_new_id_ends_or_is_told() {
    explore(|| {
        let (store, _, id, version) = one();
        let new = renewed(&id);
        let rotating = beside(&store, move |store| store.commit(&id, &replacement(version, &new), &LEASE).unwrap());
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
fn commits_of_different_keys_survive_a_renewal() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let version = version_of(&store, &id);
        let mut threads: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|key| {
                beside(&store, move |store| {
                    assert!(save(store, &id, &put(key), HOUR, version).unwrap().is_done());
                })
            })
            .collect();
        threads.push(beside(&store, move |store| {
            let commit = merge(&put("c"), version).with_identity(Identity::Renew(7));
            let announced = store.commit(&id, &commit, &lease).unwrap().receipt().unwrap().announce.unwrap();
            // The next request has the new id.
            assert!(store.visit(&announced, &lease).unwrap().found().is_some());
        }));
        all(threads);
        let stored = found(&store, &id);
        assert_eq!(stored.record.len(), 4);
        // If a commit overtook the confirmation, the next visit confirms.
        if let Presented::Renewing(new) = stored.presented {
            assert!(store.visit(&new, &lease).unwrap().found().is_some());
        }
        assert_eq!(presented(&store, &id), Presented::Previous);
        store.validate().unwrap();
    });
}

#[test]
fn one_compare_and_swap_is_done() {
    explore(|| {
        let (store, _, id, version) = one();
        let outcomes = all((0..3)
            .map(|number| {
                let key = format!("key {number}");
                beside(&store, move |store| exactly(store, &id, &put(&key), HOUR, version).unwrap())
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
fn new_id_loses_no_commit() {
    explore(|| {
        let (store, _, id, version) = one();
        let new = renewed(&id);
        let saving = beside(&store, move |store| save(store, &id, &put("late"), HOUR, version).unwrap());
        // In this order: once the old id is superseded, the new one works.
        let reading = beside(&store, move |store| is_there(store, &id) || is_there(store, &new));
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
fn one_of_two_new_ids_is_done() {
    explore(|| {
        let (store, _, id, version) = one();
        let outcomes = all((0..2)
            .map(|_| {
                let new = renewed(&id);
                beside(&store, move |store| (store.commit(&id, &replacement(version, &new), &LEASE).unwrap(), new))
            })
            .collect());
        let (done, late): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(outcome, _)| outcome.is_done());
        assert_eq!((done.len(), late[0].0), (1, Outcome::Superseded));
        assert_eq!(presented(&store, &done[0].1), Presented::Current);
        assert!(!is_there(&store, &late[0].1));
    });
}

#[test]
fn parallel_renewals_agree_on_the_new_id() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let version = version_of(&store, &id);
        let announced = all((0..3)
            .map(|seed| {
                beside(&store, move |store| {
                    let commit = merge(&put(&format!("key {seed}")), version).with_identity(Identity::Renew(seed));
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
fn renewal_beside_commits_loses_nothing() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let new = renew(&store, &id, &lease);
        let version = version_of(&store, &id);
        let mut threads: Vec<_> = (0..2)
            .map(|_| {
                beside(&store, move |store| {
                    let stored = store.visit(&new, &lease).unwrap().found().unwrap();
                    assert_eq!(stored.presented, Presented::Current);
                })
            })
            .collect();
        for key in ["a", "b"] {
            threads.push(beside(&store, move |store| {
                let receipt = save(store, &id, &put(key), HOUR, version).unwrap().receipt().unwrap();
                assert!(receipt.announce.is_none_or(|announced| announced == new));
            }));
        }
        threads.push(beside(&store, move |store| {
            let presented = store.visit(&id, &lease).unwrap().found().unwrap().presented;
            assert!([Presented::Renewing(new), Presented::Previous].contains(&presented), "{presented:?}");
        }));
        all(threads);
        let stored = found(&store, &new);
        assert_eq!((stored.record.len(), stored.presented), (3, Presented::Current));
        assert!(holds(&stored.record, "a") && holds(&stored.record, "b"));
        // If a commit overtook the visit, the next one confirms.
        assert!(store.visit(&new, &lease).unwrap().found().is_some());
        assert_eq!(presented(&store, &id), Presented::Previous);
        assert_eq!(count(&store, "ada"), 1);
        store.validate().unwrap();
    });
}

#[test]
fn touch_beside_a_confirmation_is_not_lost() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let new = renew(&store, &id, &lease);
        // The visit does not prolong the session.
        let lease = Lease { touch_after: MINUTE, ..lease };
        all(vec![
            beside(&store, move |store| assert!(store.visit(&new, &lease).unwrap().found().is_some())),
            beside(&store, move |store| assert!(touch(store, &new, HOUR + MINUTE / 2).unwrap().is_done())),
        ]);
        assert_eq!(found(&store, &new).ttl, HOUR + MINUTE / 2);
        store.validate().unwrap();
    });
}

#[test]
fn repeated_compare_and_swap_loses_none() {
    explore(|| {
        let (store, _, id, _) = one();
        all((0..3).map(|_| beside(&store, move |store| increment(store, &id))).collect());
        assert_eq!(found(&store, &id).record.get::<u32>("visits").unwrap(), Some(3));
    });
}

#[test]
fn session_touched_in_time_is_not_purged() {
    explore(|| {
        let (store, time, id, version) = one();
        time.advance(SECOND * 3599);
        let touching = beside(&store, move |store| touch(store, &id, HOUR).unwrap());
        let purging = beside(&store, LembroStore::purge);
        let passing = beside(&time, |time| time.advance(SECOND));
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
fn expired_handle_is_reused_or_prolonged() {
    explore(|| {
        let (store, time, id, _) = one();
        time.advance(SECOND * 3599);
        let other = renewed(&id);
        let touching = beside(&store, move |store| touch(store, &id, HOUR).unwrap());
        let creating = beside(&store, move |store| create(store, &other, &record(), HOUR).unwrap());
        let passing = beside(&time, |time| time.advance(SECOND));
        let (touched, created) = (touching.join().unwrap(), creating.join().unwrap());
        passing.join().unwrap();
        assert!(!(touched.is_done() && created.is_done()), "{touched:?} {created:?}");
        assert_eq!((is_there(&store, &id), is_there(&store, &other)), (touched.is_done(), created.is_done()));
        store.validate().unwrap();
    });
}

// Invariant 6.
#[test]
fn full_store_keeps_bound_and_counters() {
    explore(|| {
        let probe = store().0;
        probe.set(&new_id(), record(), HOUR).unwrap();
        // With room for second secrets.
        let room = 3 * (probe.bytes() as u64 + 40);
        let options = LembroOptions::new().interval(0).shards(1).max_size(room).clock(&Clock::manual());
        let store = LembroStore::with_options(options).unwrap();
        let threads = (0..3)
            .map(|_| {
                beside(&store, |store| {
                    let (id, another) = (new_id(), new_id());
                    assert!(create(store, &id, &record(), HOUR).unwrap().is_done());
                    let Some(stored) = store.get(&id).unwrap() else { return };
                    // It can be evicted by now.
                    let commit = replacement(stored.record.version(), &renewed(&id));
                    let outcome = store.commit(&id, &commit, &LEASE).unwrap();
                    assert!(outcome.is_done() || outcome == Outcome::Gone);
                    assert!(create(store, &another, &record(), HOUR).unwrap().is_done());
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
fn commit_beside_an_eviction_is_done_or_gone() {
    explore(|| {
        let probe = store().0;
        probe.set(&new_id(), record(), HOUR).unwrap();
        let options = LembroOptions::new().interval(0).shards(1).max_size(2 * probe.bytes() as u64 + 40);
        let store = LembroStore::with_options(options.clock(&Clock::manual())).unwrap();
        let events = store.events();
        let id = new_id();
        assert!(create(&store, &id, &record(), HOUR).unwrap().is_done());
        let version = version_of(&store, &id);
        let saving = beside(&store, move |store| save(store, &id, &put("late"), HOUR, version).unwrap());
        let add = |store: &LembroStore| assert!(create(store, &new_id(), &record(), HOUR).unwrap().is_done());
        let visit = move |store: &LembroStore| _ = store.visit(&id, &LEASE).unwrap();
        let threads = vec![beside(&store, add), beside(&store, add), beside(&store, visit)];
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
fn login_beside_log_out_everywhere() {
    explore(|| {
        let (store, _, id, version) = one();
        let ada = owner("ada");
        let begun = owners(&store).epoch(&ada).unwrap();
        let new = renewed(&id);
        let threads = [Some(begun), None].map(|begun| {
            beside(&store, move |store| {
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
        // The login that began before is ended or refused. The other one can begin after it.
        assert!(left <= 1);
        assert_eq!(count(&store, "ada"), usize::from(is_there(&store, &later)));
        assert!(!is_there(&store, &new));
        assert_eq!(is_there(&store, &id), revocable == Outcome::LoginRevoked);
        store.validate().unwrap();
    });
}

#[test]
fn commit_beside_log_out_everywhere() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let (version, new) = (version_of(&store, &id), renewed(&id));
        let threads = vec![
            beside(&store, move |store| _ = save(store, &id, &put("late"), HOUR, version).unwrap()),
            beside(&store, move |store| _ = store.commit(&id, &replacement(version, &new), &lease).unwrap()),
            beside(&store, move |store| {
                let commit = Commit::merge(version).unwrap().with_identity(Identity::Renew(7));
                _ = store.commit(&id, &commit, &lease).unwrap();
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
fn parallel_logins_keep_the_limit() {
    for at_limit in [AtLimit::EndOldest, AtLimit::RefuseNewest] {
        explore(move || {
            let (store, _) = store();
            let threads = (0..3)
                .map(|_| {
                    beside(&store, move |store| {
                        let commit = limited(Commit::create().unwrap(), at_limit);
                        let outcome = store.commit(&new_id(), &commit, &LEASE).unwrap();
                        // Never two at once.
                        assert!(count(store, "ada") <= 1);
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
fn parallel_logins_obey_the_last_limit() {
    explore(|| {
        let (store, _) = store();
        for _ in 0..2 {
            assert!(create_owned(&store, &new_id(), &record(), "ada", HOUR).unwrap().is_done());
        }
        let threads = [1, 2, 3].map(|max| {
            beside(&store, move |store| {
                let limit = Some(Limit { max, at_limit: AtLimit::EndOldest });
                let commit = Commit::create().unwrap().log_in(Login { limit, ..login("ada") });
                let id = new_id();
                assert!(store.commit(&id, &commit, &LEASE).unwrap().is_done());
                (max, id)
            })
        });
        let logins = threads.map(|thread| thread.join().unwrap());
        // The last login is there, and no more sessions than its limit allows.
        let last = logins.iter().filter(|(_, id)| is_there(&store, id));
        let last = last.max_by_key(|(_, id)| found(&store, id).record.owner_since()).unwrap();
        assert!(count(&store, "ada") <= last.0);
        store.validate().unwrap();
    });
}

// A double click.
#[test]
fn double_click_keeps_the_limit() {
    explore(|| {
        let (store, _, id, version) = one();
        let threads = (0..2)
            .map(|_| {
                let new = renewed(&id);
                beside(&store, move |store| {
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
fn logins_of_two_owners_leave_one() {
    explore(|| {
        let (store, _, id, lease) = one_of_ada();
        let version = version_of(&store, &id);
        let threads: Vec<_> = ["ada", "grace"]
            .into_iter()
            .map(|name| {
                let new = renewed(&id);
                beside(&store, move |store| {
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
        // The session is Grace's once she has logged in, and stays.
        assert_eq!((grace, ended), if done[1] { (1, 0) } else { (0, 1) });
        for listed in owners(&store).list(&owner("grace")).unwrap() {
            let record = listed.stored.record;
            assert!(holds(&record, "grace") && record.len() == 1, "no data of Ada is left");
        }
        store.validate().unwrap();
    });
}

#[test]
fn session_is_created_once_per_handle() {
    explore(|| {
        let (store, _) = store();
        let id = new_id();
        let outcomes = all((0..3)
            .map(|_| {
                let id = renewed(&id);
                beside(&store, move |store| create(store, &id, &record(), HOUR).unwrap())
            })
            .collect());
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_done()).count(), 1);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Taken).count(), 2);
        assert_eq!(store.stats().created, 1);
        store.validate().unwrap();
    });
}

#[test]
fn zero_ttl_ends_no_renewed_session() {
    explore(|| {
        let (store, _, id, version) = one();
        let new = renewed(&id);
        let rotating = beside(&store, move |store| store.commit(&id, &replacement(version, &new), &LEASE).unwrap());
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

/// `None` if the store was closed: the change was refused, or it is unknown whether it is in the
/// files.
fn unless_closed<T>(result: lembro::Result<T>) -> Option<T> {
    result.inspect_err(|error| assert!(error.is_store(), "{error}")).ok()
}

#[test]
fn crash_keeps_acknowledged_changes() {
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
        let (saved, rotated, put_too, over) = (note(0), note(1), note(2), note(3));
        let threads = vec![
            beside(&store, move |store| {
                _ = unless_closed(save(store, &ended, &put("late"), HOUR, ended_version));
            }),
            beside(&store, move |store| {
                put_too(unless_closed(save(store, &other, &put("one"), HOUR, other_version)).map(drop));
                let commit = Commit::create().unwrap().log_in(Login { begun, ..login("ada") });
                _ = unless_closed(store.commit(&new_id(), &commit, &LEASE));
            }),
            beside(&store, move |store| {
                let mut both = put("one");
                both.insert("", "two", &2).unwrap();
                saved(unless_closed(save(store, &id, &both, HOUR, version)).map(drop));
                rotated(unless_closed(store.commit(&id, &replacement(version, &new), &LEASE)).map(drop));
            }),
            // A compaction.
            beside(&store, |store| store.close().unwrap()),
            beside(&store, move |store| over(unless_closed(owners(store).destroy_all(&owner("ada"), None)).map(drop))),
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
fn first_looks_after_a_restart_lose_nothing() {
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
                beside(&store, move |store| {
                    assert!(is_there(store, &id));
                    let _ = is_there(store, &other);
                })
            })
            .collect();
        threads.push(beside(&store, move |store| {
            assert!(save(store, &id, &put("late"), HOUR, version).unwrap().is_done());
        }));
        threads.push(beside(&store, move |store| _ = touch(store, &other, 2 * HOUR).unwrap()));
        assert!(store.destroy(&other).unwrap().is_done());
        all(threads);
        assert!(holds(&found(&store, &id).record, "late") && !is_there(&store, &other));
        assert!(touch(&store, &id, 2 * HOUR).unwrap().is_done());
        assert_eq!(found(&store, &id).ttl, 2 * HOUR);
        store.validate().unwrap();
    });
}

// A session that would outlive its owner's entry is written under the owner's lock, too. Its own
// lock is released and taken again after that one.
#[test]
fn key_value_log_out_everywhere_is_final() {
    explore(|| {
        let store = Arc::new(KeyValueStore::with_clock(Map::default(), Clock::manual().restarted()));
        let (id, new, lease) = (new_id(), new_id(), Lease::new(HOUR * 9));
        assert!(create_owned(&store, &id, &record(), "ada", HOUR).unwrap().is_done());
        let (version, begun) = (version_of(&store, &id), owners(&store).epoch(&owner("ada")).unwrap());
        let entrance = Commit::create().unwrap().log_in(Login { begun: Some(begun), ..login("ada") });
        let saving = beside(&store, move |store| save(store, &id, &put("late"), HOUR * 9, version).unwrap());
        let visiting = beside(&store, move |store| store.visit(&id, &lease).unwrap().found().is_some());
        let entered = beside(&store, move |store| store.commit(&new, &entrance, &lease).unwrap());
        let ended = owners(&store).destroy_all(&owner("ada"), None).unwrap();
        let (saved, entered, _) = (saving.join().unwrap(), entered.join().unwrap(), visiting.join().unwrap());
        assert!(saved.is_done() || saved == Outcome::Gone);
        // The login was ended or refused.
        assert_eq!(ended, 1 + usize::from(entered.is_done()));
        assert!(entered.is_done() || entered == Outcome::LoginRevoked);
        assert!(![id, new].iter().any(|id| is_there(&store, id)));
        assert_eq!(owners(&store).count(&owner("ada")).unwrap(), 0);
    });
}

#[test]
fn key_value_commits_all_survive() {
    explore(|| {
        let store = Arc::new(KeyValueStore::with_clock(Map::default(), Clock::manual().restarted()));
        let id = new_id();
        assert!(create(&store, &id, &record(), HOUR).unwrap().is_done());
        let version = version_of(&store, &id);
        let saving = |key: &'static str| {
            beside(&store, move |store| save(store, &id, &put(key), HOUR, version).unwrap().is_done())
        };
        assert!(all(vec![saving("a"), saving("b")]).into_iter().all(|is_done| is_done));
        assert_eq!(found(&store, &id).record.len(), 3);
        let late = vec![saving("c"), saving("d")];
        assert!(store.destroy(&id).unwrap().is_done());
        all(late);
        assert!(!is_there(&store, &id));
    });
}
