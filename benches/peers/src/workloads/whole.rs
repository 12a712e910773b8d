//! `whole`: what concerns all sessions of a full lembro store at once, and how long others wait meanwhile.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lembro::Store as _;

use crate::rows::Row;
use crate::stores::{HOUR, Lembro, Peer, Room};
use crate::work::{Data, Id, Spread};

/// The longest that a login and a logout took together while something was done, and how long that took.
fn meanwhile(store: &Lembro, ids: &[Id], work: impl FnOnce()) -> (Duration, Duration, Duration) {
    let done = AtomicBool::new(false);
    let requests = Spread::Uniform.draw(ids, 1 << 16);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let (mut read, mut written) = (Duration::ZERO, Duration::ZERO);
            for id in requests.iter().cycle() {
                let start = Instant::now();
                black_box(store.get(id));
                read = read.max(start.elapsed());
                let passing = (Lembro::fresh(), Lembro::prepare(&Data::new(0)));
                let start = Instant::now();
                store.insert(&passing.0, passing.1, HOUR);
                // `clear` may have been first.
                let _ = store.0.destroy(&passing.0.own).unwrap();
                written = written.max(start.elapsed());
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
            (read, written)
        });
        thread::sleep(Duration::from_millis(20));
        let start = Instant::now();
        work();
        let took = start.elapsed();
        done.store(true, Ordering::Relaxed);
        let (read, written) = other.join().expect("the other thread");
        (took, read, written)
    })
}

/// Of a store with so many sessions.
pub fn run(sessions: usize) -> Vec<Row> {
    let ids = Id::many(sessions);
    let store = Lembro::filled(Room::Plenty, &ids, Data::new);
    let mut rows = Vec::new();
    let mut add = |what: &str, (took, read, written): (Duration, Duration, Duration)| {
        let mut row = |detail: &str, span: Duration, scale: f64, unit| {
            let case = format!("{what} of {}{detail}", super::short(sessions));
            rows.push(Row::new("whole", case, Lembro::NAME, span.as_secs_f64() * scale, unit));
        };
        row("", took, 1e3, "ms");
        row(", worst read", read, 1e6, "us");
        row(", worst login and logout", written, 1e6, "us");
    };
    // What the machine itself does to a request while its other processor is busy.
    let unrelated = meanwhile(&store, &ids, || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(600) {
            black_box(Data::new(0));
        }
    });
    add("other work for 600 ms, in a store", unrelated);
    add("len", meanwhile(&store, &ids, || _ = black_box(store.0.len().unwrap())));
    add("stats", meanwhile(&store, &ids, || _ = black_box(store.0.stats().sessions)));
    let all = meanwhile(&store, &ids, || {
        let listed = store.0.all().unwrap().map(|listed| listed.unwrap().stored.record.len()).sum::<usize>();
        assert!(listed >= 7 * sessions, "{listed} keys");
    });
    add("all", all);
    add("clear", meanwhile(&store, &ids, || store.0.clear().unwrap()));
    let full = Lembro::filled(Room::Plenty, &ids, Data::new);
    let start = Instant::now();
    drop(full);
    let dropped = start.elapsed();
    rows.push(Row::new(
        "whole",
        format!("drop of {}", super::short(sessions)),
        Lembro::NAME,
        dropped.as_secs_f64() * 1e3,
        "ms",
    ));
    rows
}
