//! Faults of the server and the network: every request ends in time, nothing acknowledged is lost,
//! and nothing is done twice.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Commit, Lease, SessionId, Store};

use crate::redis::fixture::{
    create, create_at, create_owned, done, lease, new_id, owner, put, record, save, version_of,
};
use crate::redis::server::proxy::{Fate, Proxy};
use crate::redis::server::{Server, StopOnDrop, soon, text_of};

const TIMEOUT: Duration = Duration::from_millis(500);

/// The timeout, a tenth of it, and the time that a busy machine takes to wake a thread.
const IN_TIME: Duration = Duration::from_millis(500 + 50 + 250);

fn store_at(url: String) -> RedisStore {
    let options = RedisOptions::new().url(url).timeout(TIMEOUT).retry_after("500ms");
    RedisStore::with_options(options).unwrap()
}

/// A server, the network in front of it, and a store at its other end.
fn proxied() -> (Server, Proxy, RedisStore) {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let store = store_at(network.url());
    (server, network, store)
}

/// Checks that `work` ends in time, and returns its result.
#[track_caller]
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    let took = began.elapsed();
    assert!(took < IN_TIME, "it took {took:?}");
    result
}

#[test]
fn killed_server_keeps_what_it_acknowledged() {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = store_at(server.url());
    let (kept, ended) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let (is_over, failures) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let _stop = StopOnDrop(&is_over);
        for _ in 0..6 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let id = new_id();
                    match in_time(|| create_at(&store, &id, &record())) {
                        Ok(outcome) => assert!(outcome.is_done()),
                        Err(error) => {
                            assert!(error.is_store());
                            failures.fetch_add(1, Ordering::SeqCst);
                            thread::sleep(Duration::from_millis(2));
                            continue;
                        }
                    }
                    if id.handle().to_u64().is_multiple_of(2) {
                        kept.lock().unwrap().push(id);
                    } else if in_time(|| store.destroy(&id)).is_ok() {
                        ended.lock().unwrap().push(id);
                    }
                }
            });
        }
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(700));
            server.kill();
            thread::sleep(Duration::from_millis(300));
            server.restart();
        }
        soon("the store recovers", || store.ping().is_ok());
    });
    let (kept, ended) = (kept.into_inner().unwrap(), ended.into_inner().unwrap());
    assert!(kept.len() > 50 && ended.len() > 50 && failures.into_inner() > 0, "{} {}", kept.len(), ended.len());
    for id in &kept {
        assert!(store.get(id).unwrap().is_some(), "acknowledged, and lost");
    }
    for id in &ended {
        assert!(store.get(id).unwrap().is_none(), "logged out, and back");
    }
}

#[test]
fn hanging_server_delays_one_request_at_a_time() {
    let server = Server::start();
    let store = store_at(server.url());
    let errors = store.errors();
    let id = create(&store);
    let frozen = server.freeze();
    let slow: usize = thread::scope(|scope| {
        let work = || {
            let (began, mut slow) = (Instant::now(), 0);
            while began.elapsed() < Duration::from_secs(3) {
                let asked = Instant::now();
                let error = in_time(|| store.get(&id)).unwrap_err();
                if asked.elapsed() > TIMEOUT / 2 {
                    slow += 1;
                } else {
                    assert!(text_of(&error).contains("not tried, for it failed a moment ago: "), "{}", text_of(&error));
                }
                thread::sleep(Duration::from_millis(5));
            }
            slow
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // First all eight requests waited, then one at a time, half a second after the last.
    assert!((8..=8 + 5).contains(&slow), "{slow} requests waited");
    drop(frozen);
    soon("the store recovers", || store.get(&id).is_ok_and(|found| found.is_some()));
    let reported = errors.try_iter().count();
    assert!((3..=4).contains(&reported), "{reported} errors in three seconds");
}

#[test]
fn closed_connections_cost_no_request() {
    let server = Server::start();
    let store = store_at(server.url());
    let id = create(&store);
    let kill = || {
        // Open several connections.
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| store.get(&id).unwrap());
            }
        });
        server.close_connections();
    };
    for round in 0..5 {
        for write in 0..4 {
            kill();
            match write {
                0 => drop(store.get(&id).unwrap().unwrap()),
                1 => drop(done(store.touch(&id, &lease()).unwrap())),
                2 => drop(done(save(&store, &id, &put("round", &round.to_string()), version_of(&store, &id)).unwrap())),
                _ => drop(create(&store)),
            }
        }
    }
}

/// A commit that adds one to the stored count, and the new count.
fn count(store: &RedisStore, id: &SessionId) -> (Commit, u64) {
    let record = store.get(id).unwrap().unwrap().record;
    let mut commit = Commit::exactly(record.version()).unwrap();
    let next = record.get::<u64>("count").unwrap().unwrap_or(0) + 1;
    commit.changes.insert("", "count", &next).unwrap();
    (commit, next)
}

#[test]
fn commit_with_a_lost_answer_is_not_done_twice() {
    let (_server, network, store) = proxied();
    let id = create(&store);
    for round in 1..=20 {
        let (commit, next) = count(&store, &id);
        assert_eq!(next, round);
        // The store sends the commit again, marked as a repeat.
        network.next_answer(Fate::Cut(0));
        done(store.commit(&id, &commit, &lease()).unwrap());
    }
}

#[test]
fn unanswered_commit_is_unknown_until_repeated() {
    let (_server, network, store) = proxied();
    let id = create(&store);
    for round in 1..=3 {
        let (commit, next) = count(&store, &id);
        assert_eq!(next, round);
        network.next_answer(Fate::Silence(0));
        let error = in_time(|| store.commit(&id, &commit, &lease())).unwrap_err();
        assert!(error.is_unknown() && error.is_store(), "{}", text_of(&error));
        soon("the store recovers", || store.ping().is_ok());
        // The commit was carried out, and its repeat changes nothing.
        let version = done(store.commit(&id, &commit.clone().repeated(), &lease()).unwrap()).version;
        assert_eq!(version, version_of(&store, &id));
    }
    // If no connection could be opened, nothing was sent.
    let nowhere = store_at("redis://127.0.0.1:1".to_owned());
    let error = nowhere.commit(&id, &Commit::create().unwrap(), &lease()).unwrap_err();
    assert!(error.is_store() && !error.is_unknown(), "{}", text_of(&error));
}

#[test]
fn login_with_lost_answers_counts_once() {
    let (_server, network, store) = proxied();
    create_owned(&store, "ada");
    for round in 2..10 {
        network.next_answer(Fate::Cut(round % 3));
        create_owned(&store, "ada");
        assert_eq!(store.owners().unwrap().count(&owner("ada")).unwrap(), round);
    }
}

#[test]
fn refused_visit_is_served_and_reported() {
    let short = Lease::new(Duration::from_secs(60));
    for (refusal, config) in [
        ("MISCONF", &["CONFIG", "SET", "save", "3600 1"][..]),
        ("NOREPLICAS", &["CONFIG", "SET", "min-replicas-to-write", "1"]),
        ("READONLY", &["REPLICAOF", "127.0.0.1", "1"]),
    ] {
        let server = Server::start();
        let store = store_at(server.url());
        let (id, errors) = (create(&store), store.errors());
        server.run(config);
        if refusal == "MISCONF" {
            // Saving fails, as with a full disk.
            std::fs::remove_dir_all(server.socket().parent().unwrap()).unwrap();
            server.run(&["BGSAVE"]);
            soon("saving fails", || {
                let info: String = server.query(&["INFO", "persistence"]);
                info.contains("rdb_last_bgsave_status:err")
            });
        }
        let found = store.visit(&id, &short).unwrap().found().expect("it is served");
        assert!(found.ttl <= Duration::from_secs(60));
        let reported = text_of(&errors.try_recv().expect("it is reported"));
        assert!(reported.contains("a visit was not noted: ") && reported.contains(refusal), "{reported}");
        let error = store.touch(&id, &short).unwrap_err();
        assert!(error.is_store() && !error.is_unknown(), "{}", text_of(&error));
        // A visit that is not due writes nothing, so it is not reported.
        let rarely = Lease { touch_after: Duration::from_secs(3600), ..lease() };
        assert!(store.visit(&id, &rarely).unwrap().found().is_some());
        assert!(errors.is_empty());
    }
}

#[test]
fn cut_answer_is_requested_again() {
    let (_server, network, store) = proxied();
    let id = create(&store);
    for length in [0, 1, 7, 12] {
        network.next_answer(Fate::Cut(length));
        assert!(in_time(|| store.get(&id)).unwrap().is_some(), "cut after {length} bytes");
        network.next_answer(Fate::Cut(length));
        let new = new_id();
        done(in_time(|| create_at(&store, &new, &record())).unwrap());
        assert!(store.get(&new).unwrap().is_some());
    }
    let connections = network.accepted();
    network.next_answer(Fate::Cut(0));
    store.get(&id).unwrap();
    assert_eq!(network.accepted(), connections + 1, "one connection was lost, and one was opened");
}

#[test]
fn stalled_answer_fails_in_time_and_is_dropped() {
    let (_server, network, store) = proxied();
    let ids: Vec<SessionId> = (0..4).map(|_| create(&store)).collect();
    for length in [0, 1, 7, 40] {
        network.next_answer(Fate::Silence(length));
        assert!(in_time(|| store.get(&ids[0])).unwrap_err().is_store());
        soon("the store recovers", || store.ping().is_ok());
        for id in &ids {
            assert!(store.get(id).unwrap().is_some());
        }
    }
}

#[test]
fn slow_network_fails_only_beyond_the_timeout() {
    let (_server, network, store) = proxied();
    let id = create(&store);
    network.delay(TIMEOUT / 5);
    assert!(in_time(|| store.get(&id)).unwrap().is_some());
    network.delay(TIMEOUT * 2);
    assert!(in_time(|| store.get(&id)).is_err());
    network.delay(Duration::ZERO);
    // The late answer is not taken for the answer to the next request.
    soon("the store recovers", || store.ping().is_ok());
    let other = create(&store);
    assert!(store.get(&other).unwrap().is_some());
    assert!(store.destroy(&id).unwrap().is_done());
}
