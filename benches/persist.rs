//! The cost of sessions that outlive the process, on each kind of store.
//!
//! `cargo bench --bench persist --features redis,testing` prints a table of looks and commits with
//! one and with eight threads, then the compaction and the start of a store with 1,000,000 sessions
//! of 300 bytes of JSON; a number after `--` is another count. The files are in the folder
//! `LEMBRO_BENCH_FOLDER`, or in the one for temporary files, whose disk `sync: always` and `SQLite`
//! measure. The stores alternate in short slices, so that a busy machine slows all of them down.

#[path = "../examples/kv_files.rs"]
#[allow(dead_code, reason = "its main is not run")]
mod kv_files;
#[path = "../examples/kv_sqlite.rs"]
#[allow(dead_code, reason = "its main is not run")]
mod kv_sqlite;
#[path = "../examples/store_sqlite.rs"]
#[allow(dead_code, reason = "its main is not run")]
mod store_sqlite;

#[path = "../tests/it/redis/server/mod.rs"]
mod redis_server;
mod sample;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{
    Changes, Clock, Commit, FileSync, KeyValueStore, Lease, LembroOptions, LembroStore, OnWriteError, SessionId, Store,
    Version,
};

use self::kv_files::Files;
use self::kv_sqlite::Sqlite;
use self::store_sqlite::SqliteStore;

const HOUR: Duration = Duration::from_secs(3600);
const SLICE: Duration = Duration::from_millis(200);
const ROUNDS: usize = 7;
const THREADS: [usize; 2] = [1, 8];

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let parent = env::var_os("LEMBRO_BENCH_FOLDER").map_or_else(env::temp_dir, PathBuf::from);
        let path = parent.join(format!("lembro-bench-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn options(&self, name: &str) -> LembroOptions {
        LembroOptions::new().interval(0).max_size("4G").persist(self.0.join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn main() {
    // Cargo adds `--bench`.
    let sessions = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let folder = Folder::new();
    requests(&folder);
    restart(&folder, sessions);
}

/// One store, with a session for each thread.
struct Candidate {
    name: &'static str,
    store: Box<dyn Store>,
    sessions: Vec<(SessionId, Version)>,
}

impl Candidate {
    fn new(name: &'static str, store: impl Store) -> Self {
        let session = |number| {
            let id = SessionId::random().unwrap();
            let create = Commit::create().unwrap().with(Changes::from(&sample::record(number)));
            let receipt = store.commit(&id, &create, &Lease::new(HOUR)).unwrap().receipt().unwrap();
            (id, receipt.version)
        };
        let sessions = (0..8).map(session).collect();
        Self { name, store: Box::new(store), sessions }
    }

    /// The microseconds of one operation in one of `threads` threads.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn measure(&self, threads: usize, operation: impl Fn(&dyn Store, &SessionId, Version) + Sync) -> f64 {
        let start = Instant::now();
        let done: usize = thread::scope(|scope| {
            let counts: Vec<_> = self.sessions[..threads]
                .iter()
                .map(|(id, version)| {
                    let operation = &operation;
                    scope.spawn(move || {
                        let mut count = 0;
                        while start.elapsed() < SLICE {
                            operation(&*self.store, id, *version);
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            counts.into_iter().map(|count| count.join().unwrap()).sum()
        });
        start.elapsed().as_secs_f64() * 1e6 * threads as f64 / done as f64
    }
}

fn look(store: &dyn Store, id: &SessionId, _: Version) {
    assert!(store.visit(id, &Lease::new(HOUR)).unwrap().found().is_some());
}

fn commit(store: &dyn Store, id: &SessionId, version: Version) {
    let mut changes = Changes::new();
    changes.insert("", "seen_at", &1_790_000_123_u64).unwrap();
    let commit = Commit::merge(version).unwrap().with(changes);
    assert!(store.commit(id, &commit, &Lease::new(HOUR)).unwrap().is_done());
}

fn requests(folder: &Folder) {
    let server = redis_server::Server::start();
    let persisted = |name: &'static str, sync| {
        Candidate::new(name, LembroStore::with_options(folder.options(name).sync(sync)).unwrap())
    };
    let candidates = [
        Candidate::new("memory", LembroStore::new().unwrap()),
        persisted("sync: never", FileSync::Never),
        persisted("sync: every_second", FileSync::EverySecond),
        persisted("sync: always", FileSync::Always),
        Candidate::new("KeyValue, files", KeyValueStore::new(Files::open(folder.0.join("files")).unwrap())),
        Candidate::new("KeyValue, SQLite", KeyValueStore::new(Sqlite::open(&folder.0.join("kv")).unwrap())),
        Candidate::new("Store on SQLite", SqliteStore::open(&folder.0.join("sqlite"), &Clock::system()).unwrap()),
        Candidate::new("Redis", RedisStore::with_options(RedisOptions::new().url(server.url())).unwrap()),
    ];
    println!("{:<20} {:>12} {:>12} {:>12} {:>12}", "microseconds", "look x1", "look x8", "commit x1", "commit x8");
    let mut figures = vec![[const { Vec::new() }; 4]; candidates.len()];
    for _ in 0..ROUNDS {
        for (candidate, figures) in candidates.iter().zip(&mut figures) {
            for (number, threads) in THREADS.into_iter().enumerate() {
                figures[number].push(candidate.measure(threads, look));
                figures[2 + number].push(candidate.measure(threads, commit));
            }
        }
    }
    for (candidate, mut figures) in candidates.iter().zip(figures) {
        let medians = figures.each_mut().map(|figures| {
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        });
        let [a, b, c, d] = medians;
        println!("{:<20} {a:>12.2} {b:>12.2} {c:>12.2} {d:>12.2}", candidate.name);
    }
}

/// The longest look and the longest commit while `work` runs.
fn longest_waits(store: &LembroStore, ids: &[SessionId], work: impl FnOnce()) -> (Duration, Duration) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let (mut read, mut written) = (Duration::ZERO, Duration::ZERO);
            for id in ids.iter().cycle().step_by(7919) {
                let start = Instant::now();
                let found = store.get(id).unwrap().unwrap();
                read = read.max(start.elapsed());
                let start = Instant::now();
                commit(store, id, found.record.version());
                written = written.max(start.elapsed());
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
            (read, written)
        });
        work();
        done.store(true, Ordering::Relaxed);
        requests.join().unwrap()
    })
}

fn restart(folder: &Folder, sessions: usize) {
    // `Continue`, because the measurement commits after `close`.
    let options = folder.options("sessions").sync(FileSync::Never).on_write_error(OnWriteError::Continue);
    let store = LembroStore::with_options(options.clone()).unwrap();
    let ids: Vec<_> = (0..sessions).map(|_| SessionId::random().unwrap()).collect();
    for (number, id) in ids.iter().enumerate() {
        store.set(id, sample::record(number), HOUR).unwrap();
    }
    let mut took = Duration::ZERO;
    let (read, wrote) = longest_waits(&store, &ids, || {
        let start = Instant::now();
        store.close().unwrap();
        took = start.elapsed();
    });
    drop(store);
    let start = Instant::now();
    let store = LembroStore::with_options(options.clone()).unwrap();
    let from_snapshot = start.elapsed();
    let restored = store.stats().restored.unwrap();
    let (idle_read, idle_wrote) = longest_waits(&store, &ids, || thread::sleep(took));
    for id in &ids {
        let found = store.get(id).unwrap().unwrap();
        commit(&store, id, found.record.version());
    }
    let journal = store.stats().journal_bytes;
    drop(store);
    let start = Instant::now();
    let store = LembroStore::with_options(options).unwrap();
    let from_journal = start.elapsed();
    let changes = store.stats().restored.unwrap().changes;
    println!();
    println!("sessions                             {}", restored.sessions);
    println!("compaction, store in use             {took:?}");
    println!("longest look during it               {read:?} (otherwise {idle_read:?})");
    println!("longest commit during it             {wrote:?} (otherwise {idle_wrote:?})");
    println!("start from the snapshot              {from_snapshot:?}, of which reading it {:?}", restored.took);
    println!("start with a journal beside it       {from_journal:?}, {changes} changes, last journal {journal} bytes");
}
