//! The time of peek, visit and commit on Redis, beside a bare GET or SET of the same bytes.
//!
//! `cargo bench --bench redis --features redis` starts its own server on this machine, where a
//! round trip is shortest: over a network the ratios are closer to one. Both sides of a ratio
//! alternate, so that a busy machine slows both down. It also prints the memory of a session and
//! its indexes.

#[path = "../tests/it/redis/server/mod.rs"]
mod redis_server;
mod sample;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use divan::{Bencher, black_box};
use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Changes, Commit, Lease, Login, Owner, SessionId, Store, Version};
use redis::Connection;

use self::redis_server::Server;

const HOUR: Duration = Duration::from_secs(3600);
/// Each visit prolongs.
const LEASE: Lease = Lease { lifetime: Some(Duration::from_secs(24 * 60 * 60)), ..Lease::new(HOUR) };

const THREADS: [usize; 2] = [1, 4];

fn main() {
    let bench = Bench::get();
    divan::main();
    bench.ratios();
    bench.sizes();
    // A static is never dropped, so the server is stopped here.
    bench.stop();
}

/// A new session with the sample's keys.
fn creation() -> Commit {
    Commit::create().unwrap().with(Changes::from(&sample::record(4711)))
}

struct Bench {
    server: Server,
    store: RedisStore,
    id: SessionId,
    version: Version,
    changes: Changes,
    /// The same session as one value, and a pool of connections for the bare commands.
    bytes: Vec<u8>,
    idle: Receiver<Connection>,
    free: Sender<Connection>,
}

impl Bench {
    fn get() -> &'static Self {
        static BENCH: OnceLock<Bench> = OnceLock::new();
        BENCH.get_or_init(|| {
            let server = Server::start();
            let store = RedisStore::with_options(RedisOptions::new().url(server.url())).unwrap();
            let id = SessionId::random().unwrap();
            let receipt = store.commit(&id, &creation(), &LEASE).unwrap().receipt().expect("a new id");
            let mut changes = Changes::new();
            changes.insert("", "seen_at", &1_790_000_123_u64).unwrap();
            let (free, idle) = bounded(16);
            (0..16).for_each(|_| free.send(server.connect()).unwrap());
            let bytes = sample::record(4711).as_bytes().to_vec();
            let bench = Self { server, store, id, version: receipt.version, changes, bytes, idle, free };
            bench.raw_set();
            bench
        })
    }

    fn raw<T>(&self, run: impl FnOnce(&mut Connection) -> T) -> T {
        let mut link = self.idle.recv_timeout(HOUR).unwrap();
        let done = run(&mut link);
        self.free.send(link).unwrap();
        done
    }

    fn raw_get(&self) {
        let bytes: Vec<u8> = self.raw(|link| redis::cmd("GET").arg("raw").query(link).unwrap());
        assert_eq!(bytes.len(), self.bytes.len());
    }

    fn raw_set(&self) {
        self.raw(|link| redis::cmd("SET").arg("raw").arg(&self.bytes).arg("PX").arg(3_600_000).exec(link).unwrap());
    }

    fn peek(&self) {
        black_box(self.store.get(&self.id).unwrap().unwrap());
    }

    fn visit(&self) {
        black_box(self.store.visit(&self.id, &LEASE).unwrap().found().unwrap());
    }

    fn commit(&self) {
        let commit = Commit::merge(self.version).unwrap().with(self.changes.clone());
        assert!(self.store.commit(&self.id, &commit, &LEASE).unwrap().is_done());
    }

    /// A session of this owner, with the sample's keys.
    fn log_in(&self, owner: &str) {
        let login = Login::new(Owner::new(owner).unwrap());
        let id = SessionId::random().unwrap();
        assert!(self.store.commit(&id, &creation().log_in(login), &LEASE).unwrap().is_done());
    }

    fn ratios(&self) {
        let pair = |name: &str, ours: fn(&Self), raw: fn(&Self)| {
            // Slices of a hundred, so that a disturbance hits both.
            let mut ratios: Vec<f64> = (0..101)
                .map(|_| {
                    let took = |run: fn(&Self)| {
                        let start = Instant::now();
                        (0..100).for_each(|_| run(self));
                        start.elapsed().as_secs_f64()
                    };
                    took(ours) / took(raw)
                })
                .collect();
            ratios.sort_by(f64::total_cmp);
            println!(
                "{name}: {:.2}  (of 101 ratios nine in ten are in {:.2}..{:.2})",
                ratios[50], ratios[5], ratios[95]
            );
        };
        println!("\nratios, one thread:");
        pair("peek   / raw GET", Self::peek, Self::raw_get);
        pair("visit  / raw SET", Self::visit, Self::raw_set);
        pair("commit / raw SET", Self::commit, Self::raw_set);
    }

    /// Prints the figures of the guide's section on memory.
    fn sizes(&self) {
        let link = &mut self.server.connect();
        let mut usage = |key: &str| {
            let usage: usize = redis::cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0).query(link).unwrap();
            usage
        };
        println!("\nbytes of memory:");
        println!("a session: {}", usage(&format!("lembro:{{{}}}", self.id.handle())));
        for number in 0..2_000 {
            self.log_in(&format!("user{}", number / 1_000));
        }
        let index: usize = (0..16).map(|part| usage(&format!("lembro:{{index:{part}}}"))).sum();
        println!("its place in the index: {}", index / 2_001);
        let owner = |name: &str, what: &str| {
            let name: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("lembro:{{owner:{name}}}:{what}")
        };
        println!("its place in the list of its owner: {}", usage(&owner("user1", "sessions")) / 1_000);
        self.log_in("one");
        println!("the list of an owner with one session: {}", usage(&owner("one", "sessions")));
        self.store.owners().unwrap().destroy_all(&Owner::new("one").unwrap(), None).unwrap();
        println!("an owner's epochs: {}", usage(&owner("one", "epoch")) + usage(&owner("one", "next")));
    }

    fn stop(&self) {
        redis::cmd("SHUTDOWN").arg("NOSAVE").exec(&mut self.server.connect()).unwrap_err();
    }
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 200)]
fn raw_get(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Bench::get().raw_get());
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 200)]
fn peek(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Bench::get().peek());
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 200)]
fn raw_set(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Bench::get().raw_set());
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 200)]
fn visit(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Bench::get().visit());
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 200)]
fn commit_of_one_key(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Bench::get().commit());
}
