//! Promise: what many threads do at once on a real server adds up, and a logout everywhere leaves
//! no login over.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{AtLimit, Changes, Commit, EndReason, Epoch, Lease, Limit, Login, Outcome, SessionId, Store};

use crate::redis::behind::{HOUR, create, done, lease, log_in, owner, seen};
use crate::redis::server::Server;

const THREADS: usize = 8;
const EACH: usize = 500;

/// A store with time enough for a machine that is busy with other tests.
fn store(server: &Server) -> RedisStore {
    RedisStore::with_options(RedisOptions::new().url(server.url()).timeout("10s").max_session_size("1M")).unwrap()
}

/// Runs the same on so many threads at once, each with its number.
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

/// In four turns, since a session has 1,024 keys at most.
#[test]
fn eight_threads_save_five_hundred_keys_each_in_one_session_and_all_are_kept() {
    const TURN: usize = EACH / 4;
    let server = Server::start();
    let store = &store(&server);
    let id = create(store);
    let merge =
        |changes| done(store.commit(&id, &Commit::merge(seen(store, &id)).unwrap().with(changes), &lease()).unwrap());
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
fn eight_threads_that_count_five_hundred_times_each_reach_4000() {
    let server = Server::start();
    let store = &store(&server);
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

/// A session of its own for a login that is to come, or only its id.
type Prepare = fn(&RedisStore, &SessionId);
/// Lets a session log in with what the password check began with; its id from then on.
type LogIn = fn(&RedisStore, &SessionId, &str, Epoch) -> (SessionId, Outcome);

/// How often a race is run: two hundred times, or as `LEMBRO_ROUNDS` says.
fn rounds() -> usize {
    std::env::var("LEMBRO_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap())
}

/// Logins whose passwords were checked before the owner logs out everywhere, again and again: none
/// of them is left over.
fn logins_beside_destroy_all(with_except: bool, prepare: Prepare, log_in: LogIn) {
    const LOGINS: usize = 3;
    let server = Server::start();
    let store = &store(&server);
    let owners = store.owners().unwrap();
    let outcomes = [const { AtomicUsize::new(0) }; 2];
    for round in 0..rounds() {
        // Most owners come again: their sets and epochs are there already.
        let name = &format!("owner {}", round % 7);
        let owner = &owner(name);
        let spared = with_except.then(|| {
            let id = SessionId::random().unwrap();
            prepare(store, &id);
            let (id, outcome) = log_in(store, &id, name, owners.epoch(owner).unwrap());
            done(outcome);
            id
        });
        let ids: Vec<SessionId> = (0..LOGINS).map(|_| SessionId::random().unwrap()).collect();
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
            // At another moment of the logins each time.
            (0..round % 5).for_each(|_| store.ping().unwrap());
            owners.destroy_all(owner, spared.as_ref().map(SessionId::handle)).unwrap();
        });
        let left: Vec<_> = owners.list(owner).unwrap().iter().map(|listed| listed.handle).collect();
        assert_eq!(left, spared.iter().map(SessionId::handle).collect::<Vec<_>>(), "round {round}");
        for id in &ids {
            let stored = store.get(id).unwrap();
            assert!(stored.is_none_or(|stored| stored.record.owner().is_none()), "round {round}: a login is left over");
        }
        owners.destroy_all(owner, None).unwrap();
    }
    for listed in store.all().unwrap() {
        assert_eq!(listed.unwrap().stored.record.owner(), None, "a login that no set knew");
    }
    let [refused, let_in] = outcomes.map(AtomicUsize::into_inner);
    println!("{let_in} logins were let in and ended, {refused} were not let in");
    assert!(let_in > rounds() / 20 && refused > rounds() / 20, "hardly a race: {let_in} let in, {refused} not");
}

fn an_empty_session(store: &RedisStore, id: &SessionId) {
    done(store.commit(id, &Commit::create().unwrap(), &lease()).unwrap());
}

fn log_in_by_commit(store: &RedisStore, id: &SessionId, name: &str, begun: Epoch) -> (SessionId, Outcome) {
    log_in(store, id, Login { begun: Some(begun), ..Login::new(owner(name)) }).unwrap()
}

fn begin_with_a_login(store: &RedisStore, id: &SessionId, name: &str, begun: Epoch) -> (SessionId, Outcome) {
    let login = Commit::create().unwrap().log_in(Login { begun: Some(begun), ..Login::new(owner(name)) });
    (*id, store.commit(id, &login, &lease()).unwrap())
}

#[test]
fn of_logins_beside_log_out_everywhere_none_is_left_over() {
    logins_beside_destroy_all(false, an_empty_session, log_in_by_commit);
}

#[test]
fn of_new_sessions_that_begin_with_a_login_beside_log_out_everywhere_none_is_left_over() {
    logins_beside_destroy_all(false, |_, _| (), begin_with_a_login);
}

#[test]
fn beside_logins_log_out_everywhere_else_leaves_its_own_session_and_no_other() {
    logins_beside_destroy_all(true, an_empty_session, log_in_by_commit);
    logins_beside_destroy_all(true, |_, _| (), begin_with_a_login);
}

/// A session that logs in as another user while its time is prolonged: the set of its last owner
/// knows it.
#[test]
fn a_session_that_changes_hands_while_it_is_touched_is_found_by_its_last_owner() {
    let server = Server::start();
    let store = &store(&server);
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
                    // Beyond what the sets know each time, until it has a new id.
                    let _ = store.touch(&id, &Lease::new(HOUR * 3_u32.pow(hours % 8))).unwrap();
                }
            });
            let (new, outcome) = log_in(store, &id, Login::new(owner("bob"))).unwrap();
            over.store(true, Ordering::Relaxed);
            done(outcome);
            new
        });
        let left = store.get(&new).unwrap().unwrap().ttl;
        let known = known_for(&server, "bob", &new);
        assert!(left <= known, "round {round}: lives for {left:?}, and bob's set knows it for {known:?}");
    }
}

/// Logins at once under a limit of three: never are more than three found, and the newest of them
/// are.
#[test]
fn of_many_logins_at_once_no_more_than_the_limit_are_left() {
    const LOGINS: usize = 6;
    let server = Server::start();
    let store = &store(&server);
    let owners = store.owners().unwrap();
    for round in 0..rounds() {
        let name = &format!("owner {round}");
        let at_limit = if round % 2 == 0 { AtLimit::EndOldest } else { AtLimit::RefuseNewest };
        let start = Barrier::new(LOGINS);
        let login = || Login { limit: Some(Limit { max: 3, at_limit }), ..Login::new(owner(name)) };
        let create = || {
            let id = SessionId::random().unwrap();
            (id, store.commit(&id, &Commit::create().unwrap().log_in(login()), &lease()).unwrap())
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
            let why = owners.why_ended(id).unwrap();
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

/// How long the set of an owner is going to know a session.
fn known_for(server: &Server, owner: &str, id: &SessionId) -> Duration {
    let name: String = owner.bytes().map(|byte| format!("{byte:02x}")).collect();
    let (set, member) = (format!("lembro:{{owner:{name}}}:sessions"), id.handle().to_string());
    let until: u64 = redis::cmd("ZSCORE").arg(set).arg(member).query(&mut server.connect()).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Duration::from_millis(until).saturating_sub(now)
}
