//! Failovers by Sentinels: every request ends in time, the store finds the new primary by itself,
//! and what the new primary acknowledged is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Commit, Saved, SessionId, Sessions, Store};

use crate::redis::fixture::{create, key_of, lease, new_id, put};
use crate::redis::server::sentinels::{FakeSentinel, NAME, SentinelSet, TIMEOUT, is_primary};
use crate::redis::server::{Server, StopOnDrop, freeze, signal, soon, text_of};

const IN_TIME: Duration = Duration::from_millis(800 + 80 + 250);

/// The result of one request.
struct Answer {
    id: SessionId,
    took: Duration,
    is_acknowledged: bool,
    at: Instant,
}

/// Creates sessions one after the other until `is_over`.
fn load(store: &RedisStore, is_over: &AtomicBool, answers: &Sender<Answer>) {
    let sessions = Sessions::new(store.clone());
    while !is_over.load(Ordering::SeqCst) {
        let (began, mut session) = (Instant::now(), sessions.generate().unwrap());
        session.insert("user", "ada").unwrap();
        let saved = session.save();
        let is_acknowledged = saved.is_ok_and(|saved| saved == Saved::Written);
        let (id, took) = (session.id().unwrap(), began.elapsed());
        answers.send(Answer { id, took, is_acknowledged, at: Instant::now() }).unwrap();
        if !is_acknowledged {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Sends requests from four threads while `disturb` causes a failover, and for two seconds after
/// it. Returns the answers, the instant of the failover, and the new primary.
fn under_load(set: &SentinelSet, disturb: impl FnOnce(usize)) -> (Vec<Answer>, Instant, usize) {
    let (store, is_over) = (set.store(), AtomicBool::new(false));
    let (sender, answers) = channel();
    let before = set.primary().unwrap();
    let (new_since, after) = thread::scope(|threads| {
        let stop = StopOnDrop(&is_over);
        for _ in 0..4 {
            let (store, is_over, sender) = (store.clone(), &is_over, sender.clone());
            threads.spawn(move || load(&store, is_over, &sender));
        }
        thread::sleep(Duration::from_secs(1));
        disturb(before);
        let after = set.await_failover(before);
        let since = Instant::now();
        thread::sleep(Duration::from_secs(2));
        drop(stop);
        (since, after)
    });
    drop(sender);
    (answers.into_iter().collect(), new_since, after)
}

/// Checks that every answer was in time, and that the new primary has all that it acknowledged.
fn check(set: &SentinelSet, (answers, new_since, after): &(Vec<Answer>, Instant, usize)) {
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap();
    assert!(slowest < IN_TIME, "an answer took {slowest:?}");
    let acknowledged = |answer: &&Answer| answer.is_acknowledged;
    // A request that began earlier may have been acknowledged by the old primary and lost.
    let by_the_new: Vec<_> =
        answers.iter().filter(acknowledged).filter(|answer| answer.at > *new_since + answer.took).collect();
    assert!(by_the_new.len() > 100, "{} sessions on the new primary", by_the_new.len());
    assert!(is_primary(&mut set.connect(*after)));
    let store = set.store();
    for answer in &by_the_new {
        if store.get(&answer.id).unwrap().is_none() {
            let seconds = answer.at.duration_since(*new_since).as_secs_f32();
            let primaries: Vec<_> = (0..3).filter(|number| !set.is_out(*number)).collect();
            panic!("lost, acknowledged {seconds} s after {after} took over; now it is {primaries:?}");
        }
    }
    let failed = answers.len() - answers.iter().filter(acknowledged).count();
    println!("{} requests, {failed} of them failed, the slowest took {slowest:?}", answers.len());
}

fn store_by(sentinels: &[&FakeSentinel]) -> RedisStore {
    let options = RedisOptions::new().sentinels(sentinels.iter().map(|one| one.url.clone())).timeout(TIMEOUT);
    RedisStore::with_options(options.retry_after("100ms")).unwrap()
}

#[test]
fn sentinel_that_names_a_replica_is_not_believed() {
    let primary = Server::start();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let (stale, right) = (FakeSentinel::new(replica.port), FakeSentinel::new(primary.port));
    let store = store_by(&[&stale, &right]);
    create(&store);
    let error = store_by(&[&stale]).get(&new_id()).unwrap_err();
    assert!(text_of(&error).contains("the server that a Sentinel named is not the primary"), "{}", text_of(&error));
}

#[test]
fn silent_sentinels_cost_their_share_of_time_once() {
    let primary = Server::start();
    let (silent, right) = ([0; 3].map(FakeSentinel::new), FakeSentinel::new(primary.port));
    let store = store_by(&[&silent[0], &silent[1], &silent[2], &right]);
    let began = Instant::now();
    let id = create(&store);
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    // For a new connection, the Sentinel that answered is asked first.
    for _ in 0..3 {
        primary.close_connections();
        let began = Instant::now();
        assert!(store.get(&id).unwrap().is_some());
        assert!(began.elapsed() < TIMEOUT / 4, "{:?}", began.elapsed());
    }
    assert_eq!(silent.each_ref().map(|one| one.asked.load(Ordering::SeqCst)), [1; 3]);
    assert_eq!(right.asked.load(Ordering::SeqCst), 4);

    let began = Instant::now();
    let error = store_by(&[&silent[0], &silent[1]]).get(&id).unwrap_err();
    assert!(error.is_store() && began.elapsed() < IN_TIME, "{}", text_of(&error));
}

#[test]
fn sent_commit_is_unknown_if_no_primary_is_found_then() {
    let primary = Server::start();
    let sentinel = FakeSentinel::new(primary.port);
    let store = store_by(&[&sentinel]);
    create(&store);
    sentinel.names.store(1, Ordering::SeqCst);
    primary.close_connections();
    let commit = Commit::create().unwrap().with(put("key", "value"));
    let error = store.commit(&new_id(), &commit, &lease()).unwrap_err();
    assert!(error.is_unknown() && text_of(&error).contains("not to you"), "{}", text_of(&error));
}

#[test]
fn all_connections_to_a_silent_primary_are_dropped() {
    let (old, new) = (Server::start(), Server::start());
    let sentinel = FakeSentinel::new(old.port);
    let store = store_by(&[&sentinel]);
    let id = create(&store);
    // The pause makes each thread open a connection of its own.
    old.run(&["CLIENT", "PAUSE", "300"]);
    thread::scope(|threads| (0..6).for_each(|_| drop(threads.spawn(|| store.get(&id).unwrap()))));
    assert!(sentinel.asked.load(Ordering::SeqCst) > 2, "several connections");
    let _frozen = old.freeze();
    assert!(store.get(&id).unwrap_err().is_store());
    sentinel.names.store(new.port, Ordering::SeqCst);
    // One request timed out. After the pause the next one is served.
    let began = Instant::now();
    soon("the new primary", || store.get(&id).is_ok_and(|found| found.is_none()));
    assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
}

#[test]
#[ignore = "takes long; .ci/full runs it"]
fn failover_after_the_primary_died() {
    let mut set = SentinelSet::start();
    let pid = set.servers[0].id();
    let outcome = under_load(&set, |_| signal("KILL", pid));
    check(&set, &outcome);
    // The old primary returns as a primary until the Sentinels make it a replica.
    set.servers[0].restart();
    let store = set.store();
    for _ in 0..50 {
        let id = create(&store);
        let found: bool = redis::cmd("EXISTS").arg(key_of(&id)).query(&mut set.connect(outcome.2)).unwrap();
        assert!(found, "written to a server that is not the primary");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "takes long; .ci/full runs it"]
fn failover_after_the_primary_fell_silent() {
    let set = SentinelSet::start();
    let mut frozen = None;
    let outcome = under_load(&set, |before| frozen = Some(set.servers[before].freeze()));
    check(&set, &outcome);
    drop(frozen);
}

#[test]
#[ignore = "takes long; .ci/full runs it"]
fn failover_that_an_administrator_starts() {
    let set = SentinelSet::start();
    let outcome = under_load(&set, |_| {
        let mut link = redis::Client::open(set.sentinels[1].url()).unwrap().get_connection().unwrap();
        redis::cmd("SENTINEL").arg("FAILOVER").arg(NAME).exec(&mut link).unwrap();
    });
    check(&set, &outcome);
}

#[test]
#[ignore = "takes long; .ci/full runs it"]
fn one_answering_sentinel_is_enough() {
    let mut set = SentinelSet::start();
    let store = set.store();
    let id = create(&store);
    let _silent = freeze(set.sentinels[0].process.id());
    set.sentinels[1].process.kill().unwrap();
    // A store without a connection, whose first Sentinel is silent and whose second is down.
    let began = Instant::now();
    let fresh = set.store();
    assert!(fresh.get(&id).unwrap().is_some());
    assert!(began.elapsed() < IN_TIME);
    // If no Sentinel answers, the request fails in time.
    set.sentinels[2].process.kill().unwrap();
    let began = Instant::now();
    let error = set.store().get(&id).unwrap_err();
    assert!(error.is_store() && began.elapsed() < IN_TIME, "{}", text_of(&error));
}

#[test]
#[ignore = "takes long; .ci/full runs it"]
fn wrong_name_or_password_is_reported_and_not_unknown() {
    let set = SentinelSet::start();
    let commit = Commit::create().unwrap().with(put("key", "value"));
    for (options, expected) in [
        (set.options().primary("shoe"), "a Sentinel does not know a primary of this name"),
        (set.options().password("wrong"), "Password authentication failed"),
    ] {
        let store = RedisStore::with_options(options).unwrap();
        let error = store.commit(&new_id(), &commit, &lease()).unwrap_err();
        assert!(error.is_store() && !error.is_unknown(), "{}", text_of(&error));
        let text = text_of(&error);
        assert!(text.contains(expected) && text.contains("by sentinels at 127.0.0.1:"), "{text}");
        assert!(!text.contains("sentinels@") && !text.contains("wrong"), "{text}");
    }
}
