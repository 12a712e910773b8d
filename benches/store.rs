//! What the store's four everyday operations cost: get, visit, commit of one key, create, with one
//! thread and with two.
//!
//! `cargo bench` prints nanoseconds per operation. The lookups are independent of each other, so
//! the processor overlaps them: figures for throughput, not for one request's wait. On a shared
//! machine compare within one run only.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use divan::{Bencher, black_box};
use lembro::{Changes, Commit, Lease, LembroOptions, LembroStore, SessionId, Store, Version};

mod sample;

const THREADS: [usize; 2] = [1, 2];
/// Each visit prolongs.
const LEASE: Lease =
    Lease { lifetime: Some(Duration::from_secs(24 * 60 * 60)), ..Lease::new(Duration::from_secs(3600)) };
const SESSIONS: usize = 100_000;

fn main() {
    divan::main();
}

fn options() -> LembroOptions {
    LembroOptions::new().max_size("4G").interval(0)
}

struct Filled {
    store: LembroStore,
    sessions: Vec<(SessionId, Version)>,
    next: AtomicUsize,
}

impl Filled {
    /// A store with 100,000 sessions, the same one for all benchmarks.
    fn get() -> &'static Self {
        static FILLED: OnceLock<Filled> = OnceLock::new();
        FILLED.get_or_init(|| {
            let store = LembroStore::with_options(options()).unwrap();
            let add = |number| {
                let id = SessionId::random().unwrap();
                store.set(&id, sample::record(number), LEASE.idle).unwrap();
                (id, store.get(&id).unwrap().unwrap().record.version())
            };
            let sessions = (0..SESSIONS).map(add).collect();
            Self { store, sessions, next: AtomicUsize::new(0) }
        })
    }

    /// The sessions in an order that no cache can guess: a step that is prime to their number.
    fn next(&self) -> &(SessionId, Version) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.sessions[turn.wrapping_mul(61_803) % SESSIONS]
    }
}

/// The loop alone: what to subtract.
#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 10_000)]
fn baseline(bencher: Bencher<'_, '_>) {
    let filled = Filled::get();
    bencher.bench(|| black_box(filled.next().0));
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 10_000)]
fn get(bencher: Bencher<'_, '_>) {
    let filled = Filled::get();
    bencher.bench(|| filled.store.get(black_box(&filled.next().0)));
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 10_000)]
fn get_and_read_two_keys(bencher: Bencher<'_, '_>) {
    let filled = Filled::get();
    bencher.bench(|| {
        let stored = filled.store.get(black_box(&filled.next().0)).unwrap().unwrap();
        (stored.record.get::<u64>("user_id").unwrap(), stored.record.get_str("csrf").unwrap().map(|text| text.len()))
    });
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 10_000)]
fn visit(bencher: Bencher<'_, '_>) {
    let filled = Filled::get();
    bencher.bench(|| filled.store.visit(black_box(&filled.next().0), &LEASE));
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 10_000)]
fn commit_one_key(bencher: Bencher<'_, '_>) {
    let filled = Filled::get();
    bencher.bench(|| {
        let (id, version) = filled.next();
        let mut merge = Commit::merge(*version).unwrap();
        merge.changes.insert("", "seen_at", black_box(&1_790_000_001_u64)).unwrap();
        filled.store.commit(id, &merge, &LEASE)
    });
}

/// A new session with seven keys.
fn creation() -> Commit {
    Commit::create().unwrap().with(Changes::from(&sample::record(1)))
}

/// With a fresh id; the changes are there beforehand. Evicts nothing: the store has room.
#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 2_000)]
fn create(bencher: Bencher<'_, '_>) {
    let store = LembroStore::with_options(options()).unwrap();
    bencher.with_inputs(creation).bench_refs(|creation| {
        let id = SessionId::random().unwrap();
        store.commit(black_box(&id), creation, &LEASE)
    });
}

/// The same in a store that is full: each create evicts another session.
#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 2_000)]
fn create_when_full(bencher: Bencher<'_, '_>) {
    let store = LembroStore::with_options(LembroOptions::new().max_size("16M").interval(0)).unwrap();
    bencher.with_inputs(creation).bench_refs(|creation| {
        let id = SessionId::random().unwrap();
        store.commit(black_box(&id), creation, &LEASE)
    });
}
