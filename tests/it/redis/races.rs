//! Races on a real server: no commit is lost, no login survives a logout everywhere, limits hold.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{AtLimit, Changes, Commit, EndReason, Epoch, Lease, Limit, Login, Outcome, SessionId, Store};

use crate::redis::fixture::{
    HOUR, create, create_logged_in, done, lease, log_in, new_id, owner, served_with, version_of,
};
use crate::redis::server::Server;

const THREADS: usize = 8;
const EACH: usize = 500;

/// Runs the same function on all threads at once, each with its number.
fn at_once(run: impl Fn(usize) + Sync) {
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (run, start) = (&run, &start);
            scope.spawn(move || {
                start.wait();
                run(thread);
            });
        }
    });
}

/// In four turns, because a session has at most 1,024 keys.
#[test]
fn race_saves_of_different_keys_all_survive() {
    const TURN: usize = EACH / 4;
    let (_server, store) = &served_with(RedisOptions::new().max_session_size("1M"));
    let id = create(store);
    let merge = |changes| {
        done(store.commit(&id, &Commit::merge(version_of(store, &id)).unwrap().with(changes), &lease()).unwrap())
    };
    for turn in 0..4 {
        let numbers = || turn * TURN..(turn + 1) * TURN;
        at_once(|thread| {
            for n in numbers() {
                let mut changes = Changes::new();
                changes.insert("", &format!("{thread}.{n}"), &n).unwrap();
                merge(changes);
            }
        });
        let record = store.get(&id).unwrap().unwrap().record;
        assert_eq!(record.len(), 1 + THREADS * TURN);
        let mut changes = Changes::new();
        for thread in 0..THREADS {
            for n in numbers() {
                let key = format!("{thread}.{n}");
                assert_eq!(record.get::<usize>(&key).unwrap(), Some(n));
                changes.remove("", &key).unwrap();
            }
        }
        merge(changes);
    }
}

#[test]
fn race_exact_commits_lose_no_count() {
    let (_server, store) = &served_with(RedisOptions::new().max_session_size("1M"));
    let id = create(store);
    at_once(|_| {
        for _ in 0..EACH {
            loop {
                let record = store.get(&id).unwrap().unwrap().record;
                let mut commit = Commit::exactly(record.version()).unwrap();
                let next = record.get::<usize>("count").unwrap().unwrap_or(0) + 1;
                commit.changes.insert("", "count", &next).unwrap();
                match store.commit(&id, &commit, &lease()).unwrap() {
                    Outcome::Changed => {}
                    outcome => {
                        done(outcome);
                        break;
                    }
                }
            }
        }
    });
    assert_eq!(store.get(&id).unwrap().unwrap().record.get::<usize>("count").unwrap(), Some(THREADS * EACH));
}

/// Creates the session for a login, or nothing if the login creates it.
type Prepare = fn(&RedisStore, &SessionId);
/// Logs in with the epoch at the password check. Returns the id from then on.
type LogIn = fn(&RedisStore, &SessionId, &str, Epoch) -> (SessionId, Outcome);

/// The number of rounds of a race: 200, or `LEMBRO_ROUNDS`.
fn rounds() -> usize {
    std::env::var("LEMBRO_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap())
}

/// Logs in while the owner logs out everywhere. No login whose password was checked before
/// survives.
fn logins_beside_destroy_all(with_except: bool, prepare: Prepare, log_in: LogIn) {
    const LOGINS: usize = 3;
    let (_server, store) = &served_with(RedisOptions::new().max_session_size("1M"));
    let owners = store.owners().unwrap();
    let outcomes = [const { AtomicUsize::new(0) }; 2];
    for round in 0..rounds() {
        // Most owners return, so their sets and epochs exist already.
        let name = &format!("owner {}", round % 7);
        let owner = &owner(name);
        let exempt = with_except.then(|| {
            let id = new_id();
            prepare(store, &id);
            let (id, outcome) = log_in(store, &id, name, owners.epoch(owner).unwrap());
            done(outcome);
            id
        });
        let ids: Vec<SessionId> = (0..LOGINS).map(|_| new_id()).collect();
        ids.iter().for_each(|id| prepare(store, id));
        let begun = owners.epoch(owner).unwrap();
        let start = Barrier::new(LOGINS + 1);
        thread::scope(|scope| {
            for id in &ids {
                let (start, outcomes) = (&start, &outcomes);
                scope.spawn(move || {
                    start.wait();
                    let (_, outcome) = log_in(store, id, name, begun);
                    outcomes[usize::from(outcome.is_done())].fetch_add(1, Ordering::Relaxed);
                });
            }
            start.wait();
            // Each round at another moment of the logins.
            (0..round % 5).for_each(|_| store.ping().unwrap());
            owners.destroy_all(owner, exempt.as_ref().map(SessionId::handle)).unwrap();
        });
        let left: Vec<_> = owners.list(owner).unwrap().iter().map(|listed| listed.handle).collect();
        assert_eq!(left, exempt.iter().map(SessionId::handle).collect::<Vec<_>>(), "round {round}");
        for id in &ids {
            let stored = store.get(id).unwrap();
            assert!(stored.is_none_or(|stored| stored.record.owner().is_none()), "round {round}: a login survived");
        }
        owners.destroy_all(owner, None).unwrap();
    }
    for listed in store.all().unwrap() {
        assert_eq!(listed.unwrap().stored.record.owner(), None, "a login that is in no set");
    }
    let [refused, accepted] = outcomes.map(AtomicUsize::into_inner);
    println!("{accepted} logins were accepted and ended, {refused} were refused");
    assert!(
        accepted > rounds() / 20 && refused > rounds() / 20,
        "hardly a race: {accepted} accepted, {refused} refused"
    );
}

fn create_empty(store: &RedisStore, id: &SessionId) {
    done(store.commit(id, &Commit::create().unwrap(), &lease()).unwrap());
}

fn log_in_by_commit(store: &RedisStore, id: &SessionId, name: &str, begun: Epoch) -> (SessionId, Outcome) {
    log_in(store, id, Login { begun: Some(begun), ..Login::new(owner(name)) }).unwrap()
}

fn create_by_login(store: &RedisStore, id: &SessionId, name: &str, begun: Epoch) -> (SessionId, Outcome) {
    (*id, create_logged_in(store, id, Login { begun: Some(begun), ..Login::new(owner(name)) }))
}

#[test]
fn race_no_login_survives_log_out_everywhere() {
    logins_beside_destroy_all(false, create_empty, log_in_by_commit);
}

#[test]
fn race_no_new_session_survives_log_out_everywhere() {
    logins_beside_destroy_all(false, |_, _| (), create_by_login);
}

#[test]
fn race_log_out_elsewhere_leaves_only_its_own_session() {
    logins_beside_destroy_all(true, create_empty, log_in_by_commit);
    logins_beside_destroy_all(true, |_, _| (), create_by_login);
}

/// A session logs in as another owner while its time is prolonged: the new owner's set has it.
#[test]
fn race_touched_session_is_in_the_set_of_its_new_owner() {
    let (server, store) = &served_with(RedisOptions::new().max_session_size("1M"));
    for round in 0..rounds() {
        let (id, outcome) = log_in(store, &create(store), Login::new(owner("ada"))).unwrap();
        done(outcome);
        let over = AtomicBool::new(false);
        let new = thread::scope(|scope| {
            scope.spawn(|| {
                for hours in 1.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // Each time longer than the sets hold it, until the id is superseded.
                    let _ = store.touch(&id, &Lease::new(HOUR * 3_u32.pow(hours % 8))).unwrap();
                }
            });
            let (new, outcome) = log_in(store, &id, Login::new(owner("bob"))).unwrap();
            over.store(true, Ordering::Relaxed);
            done(outcome);
            new
        });
        let left = store.get(&new).unwrap().unwrap().ttl;
        let indexed = indexed_for(server, "bob", &new);
        assert!(left <= indexed, "round {round}: lives for {left:?}, and bob's set holds it for {indexed:?}");
    }
}

/// Of parallel logins under a limit of three at most three survive, and a later one is among them.
#[test]
fn race_parallel_logins_respect_the_limit() {
    const LOGINS: usize = 6;
    let (_server, store) = &served_with(RedisOptions::new().max_session_size("1M"));
    let owners = store.owners().unwrap();
    for round in 0..rounds() {
        let name = &format!("owner {round}");
        let at_limit = if round % 2 == 0 { AtLimit::EndOldest } else { AtLimit::RefuseNewest };
        let start = Barrier::new(LOGINS);
        let login = || Login { limit: Some(Limit { max: 3, at_limit }), ..Login::new(owner(name)) };
        let create = || {
            let id = new_id();
            (id, create_logged_in(store, &id, login()))
        };
        let outcomes: Vec<(SessionId, Outcome)> = thread::scope(|scope| {
            let one = || {
                start.wait();
                create()
            };
            let threads: Vec<_> = (0..LOGINS).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let found = outcomes.iter().filter(|(id, _)| store.get(id).unwrap().is_some()).count();
        assert!((1..=3).contains(&found), "round {round}: {found}");
        assert_eq!(owners.count(&owner(name)).unwrap(), found);
        for (id, outcome) in &outcomes {
            let why = owners.end_reason(id).unwrap();
            match outcome {
                Outcome::Done(_) => assert!(store.get(id).unwrap().is_some() != (why == Some(EndReason::Limit))),
                outcome => assert_eq!(*outcome, Outcome::AtLimit),
            }
        }
        if at_limit == AtLimit::EndOldest {
            let (id, outcome) = create();
            done(outcome);
            assert!(store.get(&id).unwrap().is_some(), "the newest stays");
            assert!(owners.count(&owner(name)).unwrap() <= 3);
        } else {
            assert_eq!(found, 3, "round {round}");
        }
    }
}

/// How long the set of an owner holds a session.
fn indexed_for(server: &Server, owner: &str, id: &SessionId) -> Duration {
    let name: String = owner.bytes().map(|byte| format!("{byte:02x}")).collect();
    let (set, member) = (format!("lembro:{{owner:{name}}}:sessions"), id.handle().to_string());
    let until: u64 = server.query(&["ZSCORE", &set, &member]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Duration::from_millis(until).saturating_sub(now)
}
