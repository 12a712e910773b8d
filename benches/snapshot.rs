//! What a warm restart costs: time and size of a snapshot, how long requests wait while it is
//! written, and the time to restore it.
//!
//! `cargo bench --bench snapshot` prints a table for 1,000,000 sessions of 300 bytes of JSON;
//! `cargo bench --bench snapshot -- 50000` for so many. Reads and writes go on in a thread of their
//! own while the snapshot is taken; their worst waits are shown beside the worst without a
//! snapshot, which is what the machine itself does to them.

use std::env;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lembro::{LembroOptions, LembroStore, SessionId, Store};

mod sample;

const HOUR: Duration = Duration::from_secs(3600);

/// The longest `get` and the longest `touch` while `work` runs.
fn worst_waits(store: &LembroStore, ids: &[SessionId], work: impl FnOnce()) -> (Duration, Duration) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let (mut read, mut written) = (Duration::ZERO, Duration::ZERO);
            for id in ids.iter().cycle().step_by(7919) {
                let start = Instant::now();
                assert!(store.get(id).unwrap().is_some());
                read = read.max(start.elapsed());
                // Takes the write lock.
                let (start, passing) = (Instant::now(), SessionId::random().unwrap());
                store.set(&passing, sample::record(0), HOUR).unwrap();
                assert!(store.destroy(&passing).unwrap().is_done());
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

fn main() {
    // Cargo adds `--bench`.
    let sessions = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let path = env::temp_dir().join(format!("lembro-bench-{}", std::process::id()));
    let options = LembroOptions::new().interval(0).max_size("4G");
    let store = LembroStore::with_options(options.clone()).unwrap();
    let mut text = 0;
    let ids: Vec<_> = (0..sessions).map(|_| SessionId::random().unwrap()).collect();
    for (number, id) in ids.iter().enumerate() {
        let record = sample::record(number);
        // Its JSON: each key in quotes with a colon and a comma, and braces around all of it.
        text += 1 + record.entries().map(|(_, key, value)| key.len() + value.get().len() + 4).sum::<usize>() as u64;
        store.set(id, record, HOUR).unwrap();
    }

    let mut written = None;
    let (read, wrote) = worst_waits(&store, &ids, || written = Some(store.snapshot(&path).unwrap()));
    let written = written.unwrap();
    let (idle_read, idle_wrote) = worst_waits(&store, &ids, || thread::sleep(written.took));
    let quiet = store.snapshot(&path).unwrap();
    drop(store);
    let store = LembroStore::with_options(options.restore(&path)).unwrap();
    let restored = store.stats().restored.unwrap();
    let began = Instant::now();
    assert!(ids.iter().all(|id| store.get(id).unwrap().is_some()));
    let first = began.elapsed();
    let began = Instant::now();
    assert!(ids.iter().all(|id| store.get(id).unwrap().is_some()));
    let second = began.elapsed();
    fs::remove_file(&path).unwrap();

    #[expect(clippy::cast_precision_loss, reason = "a ratio of numbers far below 2^52")]
    let ratio = written.bytes as f64 / text as f64;
    let each = |span: Duration| span / u32::try_from(sessions).unwrap_or(u32::MAX);
    println!("sessions                          {sessions}");
    println!("file                              {} bytes, {ratio:.2} x their JSON ({text})", written.bytes);
    println!("snapshot, store in use            {:?}", written.took);
    println!("snapshot, store idle              {:?}", quiet.took);
    println!("worst get meanwhile               {read:?} (without a snapshot {idle_read:?})");
    println!("worst set + destroy meanwhile  {wrote:?} (without a snapshot {idle_wrote:?})");
    println!("restore                           {:?} for {} sessions", restored.took, restored.sessions);
    println!("first get of each, by digest      {:?}", each(first));
    println!("second get of each, by secret     {:?}", each(second));
}
