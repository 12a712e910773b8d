//! The instructions of lembro's four hot paths: counts that do not depend on the machine's load.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench instructions` needs valgrind and
//! the `gungraun-runner` of the version in Cargo.toml, and fails if a path takes 5 % more than its
//! baseline below. A change on purpose brings its new baseline. Counts depend on the compiler;
//! these are of Rust 1.95 on x86-64.

#![allow(missing_docs, unused_qualifications, reason = "in what the macros write")]

use std::hint::black_box;

use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use lembro::{Commit, LembroOptions, LembroStore, SessionId, Store as _};
use peers::peer::Peer as _;
use peers::sessions::Data;
use peers::stores::{LEASE, Lembro};

/// Operations in one run: enough to even out where ids happen to lie in the hash table.
const TIMES: usize = 1_000;

/// Instructions of one operation.
const GET: u64 = 314;
const VISIT: u64 = 421;
const MERGE: u64 = 2_861;
const CREATE: u64 = 5_306;

/// The limit for a run: the baseline and 5 %.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions * TIMES as u64 * 105 / 100)]));
    config
}

struct Filled {
    store: LembroStore,
    sessions: Vec<SessionId>,
    merges: Vec<Commit>,
    creations: Vec<Commit>,
}

/// A store with 1,000 sessions, a merge for each of them, and 1,000 creations.
fn filled() -> Filled {
    let store = LembroStore::with_options(LembroOptions::new().max_size("1G").interval(0)).unwrap();
    let creation = |number| Lembro::prepare(&Data::new(number));
    let add = |number| {
        let id = SessionId::random().unwrap();
        assert!(store.commit(&id, &creation(number), &LEASE).unwrap().is_done());
        id
    };
    let sessions: Vec<_> = (0..TIMES).map(add).collect();
    let merge = |id| {
        let mut merge = Commit::merge(store.get(id).unwrap().unwrap().record.version()).unwrap();
        merge.changes.insert("", "seen_at", &1_790_000_123_u64).unwrap();
        merge
    };
    let merges = sessions.iter().map(merge).collect();
    Filled { store, sessions, merges, creations: (0..TIMES).map(creation).collect() }
}

#[library_benchmark(config = at_most(GET), setup = filled)]
fn get(filled: Filled) -> Filled {
    for id in &filled.sessions {
        black_box(filled.store.get(black_box(id)).unwrap());
    }
    filled
}

#[library_benchmark(config = at_most(VISIT), setup = filled)]
fn visit(filled: Filled) -> Filled {
    for id in &filled.sessions {
        black_box(filled.store.visit(black_box(id), &LEASE).unwrap());
    }
    filled
}

#[library_benchmark(config = at_most(MERGE), setup = filled)]
fn merge(filled: Filled) -> Filled {
    for (id, merge) in filled.sessions.iter().zip(&filled.merges) {
        let _ = black_box(filled.store.commit(black_box(id), merge, &LEASE).unwrap());
    }
    filled
}

#[library_benchmark(config = at_most(CREATE), setup = filled)]
fn create(filled: Filled) -> Filled {
    for creation in &filled.creations {
        let id = SessionId::random().unwrap();
        let _ = black_box(filled.store.commit(black_box(&id), creation, &LEASE).unwrap());
    }
    filled
}

library_benchmark_group!(name = store, benchmarks = [get, visit, merge, create]);

main!(library_benchmark_groups = store);
