//! How many instructions lembro's four hot paths take: a count that no busy machine disturbs, held against what it was.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench instructions` needs valgrind and the `gungraun-runner` of the version in
//! Cargo.toml, and fails when a path takes 5 % more than its baseline below. Whoever changes a path on purpose writes the new
//! figure down. Counts depend on the compiler; these are of Rust 1.95, x86-64.

#![allow(missing_docs, unused_qualifications, reason = "in what the macros write")]

use std::hint::black_box;
use std::time::Duration;

use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use lembro::{Changes, Expected, LembroOptions, LembroStore, Record, SessionId, Store as _};
use peers::stores::{Lembro, Peer as _};
use peers::work::Data;

const HOUR: Duration = Duration::from_secs(3600);

/// Operations in one run, so that the hash table's luck with the ids evens out.
const TIMES: usize = 1_000;

/// Instructions of one operation.
const GET: u64 = 263;
const TOUCH: u64 = 254;
const SAVE: u64 = 2_668;
const CREATE: u64 = 1_695;

/// The limit for a run: the baseline and 5 %.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions * TIMES as u64 * 105 / 100)]));
    config
}

struct Filled {
    store: LembroStore,
    sessions: Vec<(SessionId, Expected)>,
    changes: Changes,
    records: Vec<Record>,
}

/// A store that holds so many sessions, and as many that it does not.
fn filled() -> Filled {
    let store = LembroStore::with_options(LembroOptions::new().max_size("1G").interval(0)).unwrap();
    let record = |number| Lembro::prepare(&Data::new(number));
    let add = |number| {
        let id = SessionId::random().unwrap();
        assert!(store.create(&id, record(number), HOUR).unwrap().is_done());
        (id, Expected::Incarnation(store.get(&id).unwrap().unwrap().record.version()))
    };
    let sessions = (0..TIMES).map(add).collect();
    let mut changes = Changes::new();
    changes.insert("", "seen_at", &1_790_000_123_u64).unwrap();
    Filled { store, sessions, changes, records: (0..TIMES).map(record).collect() }
}

#[library_benchmark(config = at_most(GET), setup = filled)]
fn get(filled: Filled) -> Filled {
    for (id, _) in &filled.sessions {
        black_box(filled.store.get(black_box(id)).unwrap());
    }
    filled
}

#[library_benchmark(config = at_most(TOUCH), setup = filled)]
fn touch(filled: Filled) -> Filled {
    for (id, _) in &filled.sessions {
        let _ = black_box(filled.store.touch(black_box(id), HOUR).unwrap());
    }
    filled
}

#[library_benchmark(config = at_most(SAVE), setup = filled)]
fn save(filled: Filled) -> Filled {
    for (id, expected) in &filled.sessions {
        let _ = black_box(filled.store.save(black_box(id), &filled.changes, HOUR, *expected).unwrap());
    }
    filled
}

#[library_benchmark(config = at_most(CREATE), setup = filled)]
fn create(mut filled: Filled) -> Filled {
    for record in filled.records.drain(..) {
        let id = SessionId::random().unwrap();
        let _ = black_box(filled.store.create(black_box(&id), record, HOUR).unwrap());
    }
    filled
}

library_benchmark_group!(name = store, benchmarks = [get, touch, save, create]);

main!(library_benchmark_groups = store);
