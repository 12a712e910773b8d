//! The time of get, visit, commit and create in memory, and of three of them on a `KeyValue`.
//!
//! `cargo bench --bench store` prints the time of an operation with one thread and with two. The
//! lookups do not depend on each other, so the processor overlaps them: the figures are throughput,
//! not the wait of one request. On a shared machine, compare only within one run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, RwLock};
use std::time::Duration;

use divan::{Bencher, black_box};
use lembro::{
    Changes, Commit, KeyValue, KeyValueStore, Lease, LembroOptions, LembroStore, Outcome, Result, SessionId, Store,
    Version,
};

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

struct Filled<S> {
    store: S,
    sessions: Vec<(SessionId, Version)>,
    next: AtomicUsize,
}

/// The store in memory with 100,000 sessions, the same one for all benchmarks.
fn filled() -> &'static Filled<LembroStore> {
    static FILLED: OnceLock<Filled<LembroStore>> = OnceLock::new();
    FILLED.get_or_init(|| Filled::new(LembroStore::with_options(options()).unwrap()))
}

impl<S: Store> Filled<S> {
    fn new(store: S) -> Self {
        let add = |number| {
            let id = SessionId::random().unwrap();
            store.set(&id, sample::record(number), LEASE.idle).unwrap();
            (id, store.get(&id).unwrap().unwrap().record.version())
        };
        let sessions = (0..SESSIONS).map(add).collect();
        Self { store, sessions, next: AtomicUsize::new(0) }
    }

    /// A commit of one key to the next session.
    fn commit_one_key(&self) -> Result<Outcome> {
        let (id, version) = self.next();
        let mut merge = Commit::merge(*version).unwrap();
        merge.changes.insert("", "seen_at", black_box(&1_790_000_001_u64)).unwrap();
        self.store.commit(id, &merge, &LEASE)
    }

    /// The next session, in an order that no cache predicts: the step is prime to their number.
    fn next(&self) -> &(SessionId, Version) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        &self.sessions[number.wrapping_mul(61_803) % SESSIONS]
    }
}

/// The loop alone, to be subtracted from the others.
#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 10_000)]
fn baseline(bencher: Bencher<'_, '_>) {
    let filled = filled();
    bencher.bench(|| black_box(filled.next().0));
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 10_000)]
fn get(bencher: Bencher<'_, '_>) {
    let filled = filled();
    bencher.bench(|| filled.store.get(black_box(&filled.next().0)));
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 10_000)]
fn get_and_read_two_keys(bencher: Bencher<'_, '_>) {
    let filled = filled();
    bencher.bench(|| {
        let stored = filled.store.get(black_box(&filled.next().0)).unwrap().unwrap();
        (stored.record.get::<u64>("user_id").unwrap(), stored.record.get_str("csrf").unwrap().map(|text| text.len()))
    });
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 10_000)]
fn visit(bencher: Bencher<'_, '_>) {
    let filled = filled();
    bencher.bench(|| filled.store.visit(black_box(&filled.next().0), &LEASE));
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 10_000)]
fn commit_one_key(bencher: Bencher<'_, '_>) {
    let filled = filled();
    bencher.bench(|| filled.commit_one_key());
}

/// A new session with seven keys.
fn creation() -> Commit {
    Commit::create().unwrap().with(Changes::from(&sample::record(1)))
}

/// A create with a fresh id, in a store that evicts nothing. The changes are made beforehand.
#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 2_000)]
fn create(bencher: Bencher<'_, '_>) {
    let store = LembroStore::with_options(options()).unwrap();
    bencher.with_inputs(creation).bench_refs(|creation| {
        let id = SessionId::random().unwrap();
        store.commit(black_box(&id), creation, &LEASE)
    });
}

/// The same in a full store, in which each create evicts a session.
#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 2_000)]
fn create_when_full(bencher: Bencher<'_, '_>) {
    let store = LembroStore::with_options(LembroOptions::new().max_size("16M").interval(0)).unwrap();
    bencher.with_inputs(creation).bench_refs(|creation| {
        let id = SessionId::random().unwrap();
        store.commit(black_box(&id), creation, &LEASE)
    });
}

/// A backend without I/O: what is left is the cost of `KeyValueStore`.
#[derive(Default)]
struct Map(RwLock<HashMap<String, Vec<u8>>>);

impl KeyValue for Map {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.read().unwrap().get(key).cloned())
    }
    fn set(&self, key: &str, bytes: &[u8], _: Duration) -> Result<()> {
        self.0.write().unwrap().insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }
    fn remove(&self, key: &str) -> Result<()> {
        self.0.write().unwrap().remove(key);
        Ok(())
    }
}

fn key_value() -> &'static Filled<KeyValueStore<Map>> {
    static FILLED: OnceLock<Filled<KeyValueStore<Map>>> = OnceLock::new();
    FILLED.get_or_init(|| Filled::new(KeyValueStore::new(Map::default())))
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 2_000)]
fn key_value_get(bencher: Bencher<'_, '_>) {
    let filled = key_value();
    bencher.bench(|| filled.store.get(black_box(&filled.next().0)));
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 2_000)]
fn key_value_visit(bencher: Bencher<'_, '_>) {
    let filled = key_value();
    bencher.bench(|| filled.store.visit(black_box(&filled.next().0), &LEASE));
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 2_000)]
fn key_value_commit_one_key(bencher: Bencher<'_, '_>) {
    let filled = key_value();
    bencher.bench(|| filled.commit_one_key());
}
