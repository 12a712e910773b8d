//! `curves`: how lembro's cost grows with the number of sessions, with their size, and with the
//! number of threads.
//!
//! A bare `HashMap` stands beside the first, because cache misses grow with the working set of any
//! table.

use std::hint::black_box;
use std::time::{Duration, Instant};

use lembro::{Changes, Commit, LembroOptions, Store as _};

use super::{cycle, get, own_time, piece};
use crate::pairs::Quartiles;
use crate::rows::Row;
use crate::stores::{Bare, HOUR, Lembro, Peer, Room};
use crate::work::{Data, Id, Spread};

const ROUNDS: usize = 5;
const OPERATIONS: usize = 20_000;

fn best_of(mut work: impl FnMut() -> f64) -> f64 {
    Quartiles::of((0..ROUNDS).map(|_| work()).collect()).low
}

fn row(curve: &str, x: usize, what: &str, store: &str, value: f64, unit: &str) -> Row {
    Row::new("curves", format!("{curve}, {x}, {what}"), store, value, unit)
}

/// With so many sessions.
pub fn sessions(sessions: usize) -> Vec<Row> {
    let curve = "sessions";
    let ids = Id::many(sessions);
    let store = Lembro::new(Room::Plenty);
    let mut worst = Duration::ZERO;
    let mut all = Duration::ZERO;
    for (number, id) in ids.iter().enumerate() {
        let record = Lembro::prepare(&Data::new(number));
        let took = own_time(|| store.insert(id, record, HOUR));
        worst = worst.max(took);
        all += took;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let create = all.as_secs_f64() * 1e9 / sessions as f64;
    let draw = |count| Spread::Uniform.draw(&ids, count);
    let found = best_of(|| piece(OPERATIONS, 1, &draw, &|ids| get::serialized(&store, ids)));
    let requests = |count| (draw(count), crate::work::changes(count));
    let cycled = best_of(|| piece(OPERATIONS, 1, &requests, &|stream| cycle::requests(&store, stream)));
    let bare = Bare::filled(Room::Plenty, &ids, Data::new);
    let floor = best_of(|| piece(OPERATIONS, 1, &draw, &|ids| get::serialized(&bare, ids)));
    vec![
        row(curve, sessions, "get", "lembro", found, "ns"),
        row(curve, sessions, "get", "bare HashMap", floor, "ns"),
        row(curve, sessions, "cycle", "lembro", cycled, "ns"),
        row(curve, sessions, "create", "lembro", create, "ns"),
        row(curve, sessions, "worst create", "lembro", worst.as_secs_f64() * 1e3, "ms"),
    ]
}

/// With sessions of so many bytes of JSON. There are only few of them, so that their own size
/// matters and not their sum.
pub fn payload(bytes: usize) -> Vec<Row> {
    const SESSIONS: usize = 2_000;
    let store = Lembro::with(LembroOptions::new().max_size("1G").max_session_size("128K"));
    let ids = Id::many(SESSIONS);
    ids.iter().for_each(|id| store.insert(id, of_size(bytes), HOUR));
    let draw = |count| Spread::Uniform.draw(&ids, count);
    let found = best_of(|| piece(OPERATIONS, 1, &draw, &|ids| get::serialized(&store, ids)));
    let requests = |count| (draw(count), crate::work::changes(count));
    let cycled = best_of(|| piece(OPERATIONS, 1, &requests, &|stream| cycle::requests(&store, stream)));
    let created = best_of(|| {
        let fresh = Id::many(SESSIONS);
        let commits: Vec<_> = fresh.iter().map(|_| of_size(bytes)).collect();
        let start = Instant::now();
        for (id, commit) in fresh.iter().zip(commits) {
            store.insert(id, commit, HOUR);
        }
        let took = start.elapsed();
        fresh.iter().for_each(|id| assert!(black_box(store.0.destroy(&id.own)).unwrap().is_done()));
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let each = took.as_secs_f64() * 1e9 / SESSIONS as f64;
        each
    });
    [("get", found), ("cycle", cycled), ("create", created)]
        .into_iter()
        .map(|(what, value)| row("payload", bytes, what, "lembro", value, "ns"))
        .collect()
}

/// The keys that a request needs, and text up to the size.
fn of_size(bytes: usize) -> Commit {
    let small = r#"{"csrf":"","seen_at":1790000000,"user_id":7}"#.len();
    let mut changes = Changes::new();
    changes.insert("", "csrf", &"x".repeat(bytes.saturating_sub(small))).unwrap();
    changes.insert("", "seen_at", &crate::work::AT).unwrap();
    changes.insert("", "user_id", &7).unwrap();
    Commit::create().unwrap().with(changes)
}

/// With so many threads at work on 100,000 sessions: operations per second, of all of them
/// together.
pub fn threads(threads: usize) -> Vec<Row> {
    let ids = Id::many(100_000);
    let store = Lembro::filled(Room::Plenty, &ids, Data::new);
    let draw = |count| Spread::Uniform.draw(&ids, count);
    let requests = |count| (draw(count), crate::work::changes(count));
    let found = best_of(|| piece(OPERATIONS, threads, &draw, &|ids| get::throughput(&store, ids)));
    let cycled = best_of(|| piece(OPERATIONS, threads, &requests, &|stream| cycle::requests(&store, stream)));
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let rate = |nanos: f64| threads as f64 * 1e3 / nanos;
    vec![
        row("threads", threads, "get", "lembro", rate(found), "M/s"),
        row("threads", threads, "cycle", "lembro", rate(cycled), "M/s"),
    ]
}
