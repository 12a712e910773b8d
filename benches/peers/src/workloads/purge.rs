//! `purge`: removing the expired one in a hundred from a million sessions, and what a thread that reads meanwhile notices of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lembro::{Clock, LembroOptions};

use crate::rows::Row;
use crate::stores::{HOUR, Lembro, Peer, Room};
use crate::work::{Data, Id, Spread};

/// Long enough for the thread that reads to be at it.
const RUN_UP: Duration = Duration::from_millis(50);

/// How long sessions that are touched later live at first.
const AT_FIRST: Duration = Duration::from_secs(60);

/// One in a hundred of so many sessions expires, the others were never touched.
pub fn run<P: Peer>(sessions: usize) -> Vec<Row> {
    let ids = Id::many(sessions);
    let store = P::filled(Room::Plenty, &ids, Data::new);
    let short = Duration::from_millis(20);
    for id in ids.iter().step_by(100) {
        store.touch(id, short);
    }
    // The coarse clock is up to 10 ms late.
    thread::sleep(short + Duration::from_millis(20));
    measured(&store, &ids, "1 % expired")
}

/// The same when the 99 others were prolonged since, of lembro: whoever files sessions by expiry finds each of them in the wrong place.
pub fn touched(sessions: usize) -> Vec<Row> {
    let ids = Id::many(sessions);
    // By hand, because no machine fills the store in a time that is known beforehand.
    let clock = Clock::manual();
    let store = Lembro::with(LembroOptions::new().max_size("16G").clock(&clock));
    for (number, id) in ids.iter().enumerate() {
        store.insert(id, Lembro::prepare(&Data::new(number)), AT_FIRST);
    }
    for (number, id) in ids.iter().enumerate() {
        if number % 100 != 0 {
            store.touch(id, HOUR);
        }
    }
    clock.advance(AT_FIRST);
    measured(&store, &ids, "1 % expired, all others touched")
}

fn measured<P: Peer>(store: &P, ids: &[Id], case: &str) -> Vec<Row> {
    let living: Vec<Id> = ids.iter().enumerate().filter(|(number, _)| number % 100 != 0).map(|(_, id)| *id).collect();
    let requests = Spread::Uniform.draw(&living, 1 << 20);
    let done = AtomicBool::new(false);
    let (took, waits) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut waits = Vec::with_capacity(1 << 22);
            for id in requests.iter().cycle() {
                let start = Instant::now();
                assert!(store.get(id).is_some(), "a living session is not there");
                waits.push((start, start.elapsed()));
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
            waits
        });
        thread::sleep(RUN_UP);
        let start = Instant::now();
        store.purge();
        let end = Instant::now();
        done.store(true, Ordering::Relaxed);
        let waits = reader.join().expect("a reader that found everything");
        let meanwhile = waits.into_iter().filter(|(at, wait)| *at + *wait > start && *at < end).map(|(_, wait)| wait);
        (end - start, meanwhile.collect::<Vec<_>>())
    });
    assert_eq!(store.count(), living.len(), "{} did not purge what was expired", P::NAME);
    let mut waits: Vec<f64> = waits.into_iter().map(|wait| wait.as_secs_f64() * 1e6).collect();
    waits.sort_by(f64::total_cmp);
    let at = |thousandths: usize| waits[(waits.len() - 1) * thousandths / 1000];
    let row = |what: &str, value, unit| Row::new("purge", format!("{case}, {what}"), P::NAME, value, unit);
    vec![
        row("time", took.as_secs_f64() * 1e3, "ms"),
        row("a read, p50", at(500), "us"),
        row("a read, p99.9", at(999), "us"),
        row("a read, worst", at(1000), "us"),
    ]
}
