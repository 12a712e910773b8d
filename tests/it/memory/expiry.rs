//! Expiry: a session is invisible from the instant it expires, and a purge removes the expired
//! sessions and no others.

use std::time::Duration;

use lembro::{Clock, Event, Lease, LembroOptions, LembroStore, Lookup, ManualClock, Outcome, Record, SessionId, Store};

use crate::support::steps::{create, touch};

fn store() -> (LembroStore, ManualClock) {
    let time = Clock::manual();
    let options = LembroOptions::new().interval(0).max_size("64M").clock(&time);
    (LembroStore::with_options(options).unwrap(), time)
}

fn add(store: &LembroStore, ttl: Duration) -> SessionId {
    let id = SessionId::random().unwrap();
    assert!(create(store, &id, &Record::new(), ttl).unwrap().is_done());
    id
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn expired_session_is_invisible_at_once() {
    let (store, time) = store();
    let id = add(&store, secs(60));
    time.advance(Duration::from_nanos(59_999_999_999));
    assert_eq!(store.get(&id).unwrap().unwrap().ttl, Duration::from_nanos(1));
    assert_eq!(store.len().unwrap(), 1);
    time.advance(Duration::from_nanos(1));
    assert!(store.get(&id).unwrap().is_none());
    assert_eq!(touch(&store, &id, secs(60)).unwrap(), Outcome::Gone);
    assert_eq!(store.destroy(&id).unwrap(), Outcome::Gone);
    assert_eq!(store.visit(&id, &Lease::new(secs(60))).unwrap(), Lookup::Missing);
    assert_eq!((store.len().unwrap(), store.all().unwrap().count()), (0, 0));
    // It is still in memory, because nothing has removed it.
    assert_eq!(store.stats().sessions, 1);
}

#[test]
fn purge_removes_only_expired_sessions() {
    let (store, time) = store();
    let events = store.events();
    let short: Vec<_> = (0..100).map(|_| add(&store, secs(10))).collect();
    let long: Vec<_> = (0..100).map(|_| add(&store, secs(1_000))).collect();
    assert_eq!(store.purge(), 0);
    time.advance(secs(10));
    assert_eq!(store.purge(), 100);
    store.validate().unwrap();
    assert!(short.iter().all(|id| store.get(id).unwrap().is_none()));
    assert!(long.iter().all(|id| store.get(id).unwrap().is_some()));

    let events: Vec<_> = events.try_iter().take(102).collect();
    assert!(matches!(events[0], Event::Purged { sessions: 0, .. }));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Expired { .. })).count(), 100);
    assert!(matches!(events[101], Event::Purged { sessions: 100, .. }));
    let purge = store.stats().last_purge.unwrap();
    assert_eq!((purge.sessions, purge.at), (100, store.clock().wall()));
}

#[test]
fn purge_goes_by_the_latest_touch() {
    let (store, time) = store();
    let (longer, shorter) = (add(&store, secs(10)), add(&store, secs(1_000)));
    assert!(touch(&store, &longer, secs(500)).unwrap().is_done());
    assert!(touch(&store, &shorter, secs(5)).unwrap().is_done());
    store.validate().unwrap();
    time.advance(secs(20));
    assert_eq!(store.purge(), 1);
    store.validate().unwrap();
    assert!(store.get(&longer).unwrap().is_some() && store.get(&shorter).unwrap().is_none());
    time.advance(secs(480));
    assert_eq!(store.purge(), 1);
}

#[test]
fn purge_finds_one_of_100_000_sessions() {
    let (store, time) = store();
    let ids: Vec<_> = (0..100_000).map(|_| add(&store, secs(10))).collect();
    for id in &ids[1..] {
        assert!(touch(&store, id, secs(1_000)).unwrap().is_done());
    }
    time.advance(secs(10));
    assert_eq!((store.purge(), store.purge(), store.len().unwrap()), (1, 0, 99_999));
    store.validate().unwrap();
}

#[test]
fn endless_session_never_expires() {
    let (store, time) = store();
    let id = SessionId::random().unwrap();
    store.set(&id, Record::new(), Duration::MAX).unwrap();
    // The longest time that a lease allows.
    let century = add(&store, Duration::MAX);
    time.advance(secs(100 * 365 * 24 * 60 * 60 - 1));
    assert_eq!(store.purge(), 0);
    time.advance(secs(1));
    assert_eq!(store.purge(), 1);
    assert!(store.get(&id).unwrap().is_some() && store.get(&century).unwrap().is_none());
}

#[test]
fn race_touches_and_purges() {
    let (store, time) = store();
    let ids: Vec<_> = (0..2_000).map(|_| add(&store, secs(100))).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, ids) = (&store, &ids);
            scope.spawn(move || {
                for round in 0..20_u64 {
                    for id in ids.iter().skip(thread).step_by(4) {
                        // Longer and shorter in turn, so that both paths of the index run.
                        assert!(touch(store, id, secs(if round % 2 == 0 { 10_000 } else { 150 })).unwrap().is_done());
                    }
                }
            });
        }
        for _ in 0..50 {
            time.advance(secs(1));
            assert_eq!(store.purge(), 0);
        }
    });
    store.validate().unwrap();
    time.advance(secs(200));
    assert_eq!(store.purge(), 2_000);
    store.validate().unwrap();
}
