//! What a session on Redis costs beside a bare GET or SET of the same bytes: load, save of one key, touch.
//!
//! `cargo bench --bench redis --features redis` starts its own server on this machine, where a round trip is as short as it
//! gets: over a network the ratios are closer to one. They are taken in turns, so that a busy machine slows down both.

#[path = "../tests/redis_server/mod.rs"]
mod redis_server;
mod sample;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use divan::{Bencher, black_box};
use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Changes, Expected, Outcome, SessionId, Store};
use redis::Connection;

use self::redis_server::Server;

const HOUR: Duration = Duration::from_secs(3600);
const THREADS: [usize; 2] = [1, 4];

fn main() {
    let bench = Bench::get();
    divan::main();
    bench.ratios();
    bench.sizes();
    // A static is not dropped, and a server is not left behind.
    bench.stop();
}

struct Bench {
    server: Server,
    store: RedisStore,
    id: SessionId,
    expected: Expected,
    changes: Changes,
    /// The same session as one value, and a pool to get it over.
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
            assert_eq!(store.create(&id, sample::record(4711), HOUR).unwrap(), Outcome::Done);
            let expected = Expected::Incarnation(store.get(&id).unwrap().unwrap().record.version());
            let mut changes = Changes::new();
            changes.insert("", "seen_at", &1_790_000_123_u64).unwrap();
            let (free, idle) = bounded(16);
            (0..16).for_each(|_| free.send(server.connect()).unwrap());
            let bytes = sample::record(4711).as_bytes().to_vec();
            let bench = Self { server, store, id, expected, changes, bytes, idle, free };
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

    fn load(&self) {
        black_box(self.store.get(&self.id).unwrap().unwrap());
    }

    fn save(&self) {
        assert_eq!(self.store.save(&self.id, &self.changes, HOUR, self.expected).unwrap(), Outcome::Done);
    }

    fn touch(&self) {
        assert_eq!(self.store.touch(&self.id, HOUR).unwrap(), Outcome::Done);
    }

    fn ratios(&self) {
        let pair = |name: &str, ours: fn(&Self), raw: fn(&Self)| {
            // A hundred of each in turn: what disturbs, disturbs both.
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
        pair("load  / raw GET", Self::load, Self::raw_get);
        pair("save  / raw SET", Self::save, Self::raw_set);
        pair("touch / raw SET", Self::touch, Self::raw_set);
    }

    /// What the guide says about memory.
    fn sizes(&self) {
        let link = &mut self.server.connect();
        let mut usage = |key: &str| {
            let usage: usize = redis::cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0).query(link).unwrap();
            usage
        };
        println!("\nbytes of memory:");
        println!("a session: {}", usage(&format!("lembro:{{{}}}", self.id.handle())));
        for number in 0..2_000 {
            let mut changes = Changes::new();
            changes.set_owner(Some(&format!("user{}", number / 1_000))).unwrap();
            let record = changes.apply(&sample::record(4711)).unwrap();
            assert_eq!(self.store.create(&SessionId::random().unwrap(), record, HOUR).unwrap(), Outcome::Done);
        }
        let index: usize = (0..16).map(|part| usage(&format!("lembro:{{index:{part}}}"))).sum();
        println!("its place in the index: {}", index / 2_001);
        let owner = |name: &str, what: &str| {
            let name: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("lembro:{{owner:{name}}}:{what}")
        };
        println!("its place in the list of its owner: {}", usage(&owner("user1", "sessions")) / 1_000);
        let mut changes = Changes::new();
        changes.set_owner(Some("one")).unwrap();
        let record = changes.apply(&sample::record(4711)).unwrap();
        assert_eq!(self.store.create(&SessionId::random().unwrap(), record, HOUR).unwrap(), Outcome::Done);
        println!("the list of an owner with one session: {}", usage(&owner("one", "sessions")));
        self.store.owners().unwrap().destroy_of("one", None).unwrap();
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
fn load(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Bench::get().load());
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 200)]
fn raw_set(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Bench::get().raw_set());
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 200)]
fn save_of_one_key(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Bench::get().save());
}

#[divan::bench(threads = THREADS, sample_count = 50, sample_size = 200)]
fn touch(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Bench::get().touch());
}
