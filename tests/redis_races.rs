//! Promise: what many threads do at once on a real server adds up, and a logout everywhere leaves no login over.
#![cfg(feature = "redis")]

mod redis_server;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Changes, Epoch, Expected, Outcome, Record, Saved, SessionId, Sessions, Store};

use self::redis_server::Server;

const THREADS: usize = 8;
const EACH: usize = 500;
const HOUR: Duration = Duration::from_secs(3600);

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

/// A stored session, and its id.
fn stored(sessions: &Sessions) -> SessionId {
    let mut session = sessions.generate().unwrap();
    session.insert("first", &true).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    session.id().unwrap()
}

/// In four turns, since a session has 1,024 keys at most.
#[test]
fn eight_threads_save_five_hundred_keys_each_in_one_session_and_all_are_kept() {
    const TURN: usize = EACH / 4;
    let server = Server::start();
    let sessions = Sessions::new(store(&server));
    let id = stored(&sessions);
    for turn in 0..4 {
        let numbers = || turn * TURN..(turn + 1) * TURN;
        at_once(|thread| {
            let mut session = sessions.load(&id).unwrap().unwrap();
            for n in numbers() {
                session.insert(&format!("{thread}.{n}"), &n).unwrap();
                assert_eq!(session.save().unwrap(), Saved::Written);
            }
        });
        let mut session = sessions.load(&id).unwrap().unwrap();
        assert_eq!(session.len().unwrap(), 1 + THREADS * TURN);
        for thread in 0..THREADS {
            for n in numbers() {
                let key = format!("{thread}.{n}");
                assert_eq!(session.get::<usize>(&key).unwrap(), Some(n));
                session.remove(&key).unwrap();
            }
        }
        assert_eq!(session.save().unwrap(), Saved::Written);
    }
}

#[test]
fn eight_threads_that_modify_one_counter_five_hundred_times_each_reach_4000() {
    let server = Server::start();
    let sessions = Sessions::new(store(&server));
    let id = stored(&sessions);
    at_once(|_| {
        let mut session = sessions.load(&id).unwrap().unwrap();
        for _ in 0..EACH {
            let counted = session.modify("count", |count: &mut Option<usize>| *count.get_or_insert(0) += 1);
            assert_eq!(counted.unwrap(), Some(()));
        }
    });
    let session = sessions.load(&id).unwrap().unwrap();
    assert_eq!(session.get::<usize>("count").unwrap(), Some(THREADS * EACH));
}

fn login(owner: &str, begun: Epoch) -> Changes {
    let mut changes = Changes::new();
    changes.set_owner(Some(owner)).unwrap();
    changes.expect_epoch(begun);
    changes
}

/// A session of its own for a login that is to come, or only its id.
type Prepare = fn(&RedisStore, &SessionId);
/// Lets a session log in with what the password check began with.
type LogIn = fn(&RedisStore, &SessionId, &str, Epoch) -> Outcome;

/// How often a race is run: two hundred times, or as `LEMBRO_ROUNDS` says.
fn rounds() -> usize {
    std::env::var("LEMBRO_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap())
}

/// Logins whose passwords were checked before somebody logs out everywhere, again and again: none of them is left over.
fn logins_beside_destroy_of(with_except: bool, prepare: Prepare, log_in: LogIn) {
    const LOGINS: usize = 3;
    let server = Server::start();
    let store = &store(&server);
    let owners = store.owners().unwrap();
    let outcomes = [const { AtomicUsize::new(0) }; 2];
    for round in 0..rounds() {
        // Most owners come again: their sets and epochs are there already.
        let owner = &format!("owner {}", round % 7);
        let spared = with_except.then(|| {
            let id = SessionId::random().unwrap();
            prepare(store, &id);
            assert_eq!(log_in(store, &id, owner, owners.epoch(owner).unwrap()), Outcome::Done);
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
                    let outcome = log_in(store, id, owner, begun);
                    outcomes[usize::from(outcome.is_done())].fetch_add(1, Ordering::Relaxed);
                });
            }
            start.wait();
            // At another moment of the logins each time.
            (0..round % 5).for_each(|_| store.ping().unwrap());
            owners.destroy_of(owner, spared.as_ref()).unwrap();
        });
        let left: Vec<_> = owners.sessions_of(owner).unwrap().iter().map(|listed| listed.handle).collect();
        assert_eq!(left, spared.iter().map(SessionId::handle).collect::<Vec<_>>(), "round {round}");
        for id in &ids {
            let stored = store.get(id).unwrap();
            assert!(stored.is_none_or(|stored| stored.record.owner().is_none()), "round {round}: a login is left over");
        }
        owners.destroy_of(owner, None).unwrap();
    }
    for listed in store.all().unwrap() {
        assert_eq!(listed.unwrap().stored.record.owner(), None, "a login that no set knew");
    }
    let [refused, let_in] = outcomes.map(AtomicUsize::into_inner);
    println!("{let_in} logins were let in and ended, {refused} were not let in");
    assert!(let_in > rounds() / 20 && refused > rounds() / 20, "hardly a race: {let_in} let in, {refused} not");
}

fn an_empty_session(store: &RedisStore, id: &SessionId) {
    assert_eq!(store.create(id, Record::new(), HOUR).unwrap(), Outcome::Done);
}

fn log_in_by_save(store: &RedisStore, id: &SessionId, owner: &str, begun: Epoch) -> Outcome {
    let Some(seen) = store.get(id).unwrap() else { return Outcome::Gone };
    let expected = Expected::Incarnation(seen.record.version());
    store.save(id, &login(owner, begun), HOUR, expected).unwrap()
}

fn begin_with_a_login(store: &RedisStore, id: &SessionId, owner: &str, begun: Epoch) -> Outcome {
    let record = login(owner, begun).apply(&Record::new()).unwrap();
    store.owners().unwrap().create_owned(id, record, HOUR, begun).unwrap()
}

#[test]
fn of_logins_beside_log_out_everywhere_none_is_left_over() {
    logins_beside_destroy_of(false, an_empty_session, log_in_by_save);
}

#[test]
fn of_new_sessions_that_begin_with_a_login_beside_log_out_everywhere_none_is_left_over() {
    logins_beside_destroy_of(false, |_, _| (), begin_with_a_login);
}

#[test]
fn beside_logins_log_out_everywhere_else_leaves_its_own_session_and_no_other() {
    logins_beside_destroy_of(true, an_empty_session, log_in_by_save);
    logins_beside_destroy_of(true, |_, _| (), begin_with_a_login);
}

/// A session that logs in as somebody else while its time is prolonged: the set of its last owner knows it.
#[test]
fn a_session_that_changes_hands_while_it_is_touched_is_found_by_its_last_owner() {
    let server = Server::start();
    let store = &store(&server);
    let owners = store.owners().unwrap();
    for round in 0..rounds() {
        let id = SessionId::random().unwrap();
        an_empty_session(store, &id);
        let begun = owners.epoch("ada").unwrap();
        assert_eq!(log_in_by_save(store, &id, "ada", begun), Outcome::Done);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for hours in 1.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // Beyond what the sets know each time.
                    assert_eq!(store.touch(&id, HOUR * 3_u32.pow(hours % 8)).unwrap(), Outcome::Done);
                }
            });
            assert_eq!(log_in_by_save(store, &id, "bob", owners.epoch("bob").unwrap()), Outcome::Done);
            over.store(true, Ordering::Relaxed);
        });
        let left = store.get(&id).unwrap().unwrap().ttl;
        let known = known_for(&server, "bob", &id);
        assert!(left <= known, "round {round}: lives for {left:?}, and bob's set knows it for {known:?}");
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
