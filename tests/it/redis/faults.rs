//! Promise: whatever happens to the server or the network, every request has an answer in time,
//! nothing acknowledged is lost, and nothing is done twice.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Commit, EndReason, Error, Lease, Record, SessionId, Store};

use crate::redis::behind::{create, create_at, create_owned, done, lease, owner, put, save, seen};
use crate::redis::server::proxy::{Fate, Proxy};
use crate::redis::server::{Over, Server, soon, told};

const TTL: Duration = Duration::from_secs(600);
const TIMEOUT: Duration = Duration::from_millis(500);

/// The timeout, a tenth of it, and what a busy machine takes to wake a thread.
const IN_TIME: Duration = Duration::from_millis(500 + 50 + 250);

fn store_at(url: String) -> RedisStore {
    let options = RedisOptions::new().url(url).timeout(TIMEOUT).retry_after("500ms");
    RedisStore::with_options(options).unwrap()
}

fn record() -> Record {
    [("key", "value")].into_iter().collect()
}

/// What `work` gives, which it must do in time.
#[track_caller]
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    let took = began.elapsed();
    assert!(took < IN_TIME, "it took {took:?}");
    result
}

#[test]
fn a_killed_server_that_comes_back_has_all_it_acknowledged_and_nothing_that_was_ended() {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = store_at(server.url());
    let (kept, ended) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let (is_over, failures) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let _over = Over(&is_over);
        for _ in 0..6 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let id = SessionId::random().unwrap();
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
        soon("it works again by itself", || store.ping().is_ok());
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
fn a_server_that_hangs_costs_one_request_its_timeout_and_the_others_nothing() {
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
                    assert!(told(&error).contains("not tried, for it failed a moment ago: "), "{}", told(&error));
                }
                thread::sleep(Duration::from_millis(5));
            }
            slow
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // All eight were under way when it stopped; then one at a time, and half a second between two.
    assert!((8..=8 + 5).contains(&slow), "{slow} requests waited");
    drop(frozen);
    soon("it works again by itself", || store.get(&id).is_ok_and(|found| found.is_some()));
    let reported = errors.try_iter().count();
    assert!((3..=4).contains(&reported), "{reported} errors in three seconds");
}

#[test]
fn connections_that_the_server_closes_cost_no_request() {
    let server = Server::start();
    let store = store_at(server.url());
    let id = create(&store);
    let kill = || {
        // Several connections lie idle.
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| store.get(&id).unwrap());
            }
        });
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).exec(&mut server.connect()).unwrap();
    };
    for round in 0..5 {
        for write in 0..4 {
            kill();
            match write {
                0 => drop(store.get(&id).unwrap().unwrap()),
                1 => drop(done(store.touch(&id, &lease()).unwrap())),
                2 => drop(done(save(&store, &id, &put("round", &round.to_string()), seen(&store, &id)).unwrap())),
                _ => drop(create(&store)),
            }
        }
    }
}

/// Counts once more, whatever was stored.
fn count(store: &RedisStore, id: &SessionId) -> (Commit, u64) {
    let record = store.get(id).unwrap().unwrap().record;
    let mut commit = Commit::exactly(record.version()).unwrap();
    let next = record.get::<u64>("count").unwrap().unwrap_or(0) + 1;
    commit.changes.insert("", "count", &next).unwrap();
    (commit, next)
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_carried_out_twice() {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let store = store_at(network.url());
    let id = create(&store);
    for round in 1..=20 {
        let (commit, next) = count(&store, &id);
        assert_eq!(next, round);
        // What is sent over the next connection says that it was sent before.
        network.next_answer(Fate::Cut(0));
        done(store.commit(&id, &commit, &lease()).unwrap());
    }
}

#[test]
fn a_commit_whose_answer_does_not_come_is_unknown_and_its_repeat_tells() {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let store = store_at(network.url());
    let id = create(&store);
    for round in 1..=3 {
        let (commit, next) = count(&store, &id);
        assert_eq!(next, round);
        network.next_answer(Fate::Silence(0));
        let error = in_time(|| store.commit(&id, &commit, &lease())).unwrap_err();
        assert!(error.is_unknown() && error.is_store(), "{}", told(&error));
        soon("it works again by itself", || store.ping().is_ok());
        // It was carried out, and is not carried out again.
        let version = done(store.commit(&id, &commit.clone().repeated(), &lease()).unwrap()).version;
        assert_eq!(version, seen(&store, &id));
    }
    // A server that is not there was sent nothing.
    let nobody = store_at("redis://127.0.0.1:1".to_owned());
    let error = nobody.commit(&id, &Commit::create().unwrap(), &lease()).unwrap_err();
    assert!(error.is_store() && !error.is_unknown(), "{}", told(&error));
}

#[test]
fn a_login_whose_answers_are_lost_is_one_login() {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let store = store_at(network.url());
    create_owned(&store, "ada");
    for round in 2..10 {
        network.next_answer(Fate::Cut(round % 3));
        create_owned(&store, "ada");
        assert_eq!(store.owners().unwrap().count(&owner("ada")).unwrap(), round);
    }
}

#[test]
fn a_visit_that_the_server_does_not_note_is_served_and_reported() {
    let short = Lease::new(Duration::from_secs(60));
    for (refusal, config) in [
        ("MISCONF", &["CONFIG", "SET", "save", "3600 1"][..]),
        ("NOREPLICAS", &["CONFIG", "SET", "min-replicas-to-write", "1"]),
        ("READONLY", &["REPLICAOF", "127.0.0.1", "1"]),
    ] {
        let server = Server::start();
        let store = store_at(server.url());
        let (id, errors, link) = (create(&store), store.errors(), &mut server.connect());
        redis::cmd(config[0]).arg(&config[1..]).exec(link).unwrap();
        if refusal == "MISCONF" {
            // As when the disk is full: nothing can be saved.
            std::fs::remove_dir_all(server.socket().parent().unwrap()).unwrap();
            redis::cmd("BGSAVE").exec(link).unwrap();
            soon("saving fails", || {
                let info: String = redis::cmd("INFO").arg("persistence").query(&mut server.connect()).unwrap();
                info.contains("rdb_last_bgsave_status:err")
            });
        }
        let found = store.visit(&id, &short).unwrap().found().expect("it is served");
        assert!(found.ttl <= Duration::from_secs(60));
        let reported = told(&errors.try_recv().expect("it is reported"));
        assert!(reported.contains("a visit was not noted: ") && reported.contains(refusal), "{reported}");
        let error = store.touch(&id, &short).unwrap_err();
        assert!(error.is_store() && !error.is_unknown(), "{}", told(&error));
        // A visit that has nothing to note is none of the server's business.
        let rarely = Lease { touch_after: Duration::from_secs(3600), ..lease() };
        assert!(store.visit(&id, &rarely).unwrap().found().is_some());
        assert!(errors.is_empty());
    }
}

#[track_caller]
fn refused(error: &Error) {
    assert!(error.is_store());
    assert!(told(error).contains("OOM"), "{}", told(error));
}

#[test]
fn a_full_server_refuses_what_is_new_and_still_reads_and_ends() {
    let server = Server::with(&["--maxmemory-policy", "noeviction"]);
    let store = store_at(server.url());
    let owners = store.owners().unwrap();
    let owned = |name| create_owned(&store, name);
    let [logged_out, everywhere, spared, by_handle] = [create(&store), owned("ada"), owned("ada"), create(&store)];
    let mut link = server.connect();
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut link).unwrap();
    let keys = || redis::cmd("DBSIZE").query::<usize>(&mut server.connect()).unwrap();
    let before = keys();

    for _ in 0..10 {
        refused(&create_at(&store, &SessionId::random().unwrap(), &record()).unwrap_err());
        refused(&store.set(&SessionId::random().unwrap(), record(), TTL).unwrap_err());
    }
    let found = store.get(&spared).unwrap().unwrap();
    refused(&save(&store, &spared, &put("more", "x"), found.record.version()).unwrap_err());
    assert_eq!(keys(), before, "what was refused is not there");
    assert_eq!(store.get(&spared).unwrap().unwrap().record, found.record, "nor half of it");
    assert!(store.touch(&spared, &lease()).unwrap().is_done());

    assert!(store.destroy(&logged_out).unwrap().is_done());
    assert!(owners.destroy_handle(by_handle.handle(), None, EndReason::Named).unwrap().is_done());
    assert_eq!(owners.destroy_all(&owner("ada"), Some(spared.handle())).unwrap(), 1);
    for id in [&logged_out, &by_handle, &everywhere] {
        assert!(store.get(id).unwrap().is_none());
    }
    assert!(store.get(&spared).unwrap().is_some());
    assert_eq!(owners.why_ended(&everywhere).unwrap(), Some(EndReason::Everywhere));

    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).exec(&mut link).unwrap();
    create(&store);
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_again() {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let store = store_at(network.url());
    let id = create(&store);
    // In the answer to the note before it, too.
    for length in [0, 1, 7, 12] {
        network.next_answer(Fate::Cut(length));
        assert!(in_time(|| store.get(&id)).unwrap().is_some(), "cut after {length} bytes");
        network.next_answer(Fate::Cut(length));
        let new = SessionId::random().unwrap();
        done(in_time(|| create_at(&store, &new, &record())).unwrap());
        assert!(store.get(&new).unwrap().is_some());
    }
    // Twice in a row is one too often.
    let connections = network.accepted();
    network.next_answer(Fate::Cut(0));
    store.get(&id).unwrap();
    assert_eq!(network.accepted(), connections + 1, "one connection was lost, and one made");
}

#[test]
fn an_answer_that_stops_halfway_ends_in_time_and_is_nobody_elses() {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let store = store_at(network.url());
    let ids: Vec<SessionId> = (0..4).map(|_| create(&store)).collect();
    for length in [0, 1, 7, 40] {
        network.next_answer(Fate::Silence(length));
        assert!(in_time(|| store.get(&ids[0])).unwrap_err().is_store());
        soon("it works again by itself", || store.ping().is_ok());
        for id in &ids {
            assert!(store.get(id).unwrap().is_some());
        }
    }
}

#[test]
fn a_slow_network_is_no_failure_until_it_is_too_slow() {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let store = store_at(network.url());
    let id = create(&store);
    network.delay(TIMEOUT / 5);
    assert!(in_time(|| store.get(&id)).unwrap().is_some());
    network.delay(TIMEOUT * 2);
    assert!(in_time(|| store.get(&id)).is_err());
    network.delay(Duration::ZERO);
    // The late answer to the last question is not taken for the answer to the next.
    soon("it works again by itself", || store.ping().is_ok());
    let other = create(&store);
    assert!(store.get(&other).unwrap().is_some());
    assert!(store.destroy(&id).unwrap().is_done());
}
