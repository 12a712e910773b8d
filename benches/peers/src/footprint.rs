//! Many sessions at once: the memory they take, and the purge of the expired ones.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::{Row, scaled};
use crate::peer::Peer;
use crate::sessions::Id;

/// The resident memory of a process by which 100,000 sessions make it grow, for each of them.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub fn memory<P: Peer>() -> Vec<Row> {
    let ids = Id::many(scaled(100_000));
    let before = resident_kib();
    let _store = P::filled(&ids);
    let bytes = (resident_kib() - before) as f64 * 1024.0 / ids.len() as f64;
    vec![Row::new("memory of a session with 300 bytes of JSON", P::NAME, bytes, "B")]
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the resident memory");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

/// The purge of 10,000 expired sessions among a million, and the longest wait of a thread that
/// reads at the same time.
pub fn purge<P: Peer>() -> Vec<Row> {
    let ids = Id::many(scaled(1_000_000));
    let store = P::filled(&ids);
    let ttl = Duration::from_millis(20);
    ids.iter().step_by(100).for_each(|id| store.touch(id, ttl));
    // The coarse clock is up to 10 ms late.
    thread::sleep(2 * ttl);
    let live: Vec<Id> = ids.iter().enumerate().filter(|(number, _)| number % 100 != 0).map(|(_, id)| *id).collect();
    let (took, wait) = purge_beside_reads(&store, &Id::requests(&live, 1 << 20));
    assert_eq!(store.count(), live.len(), "{} did not purge the expired sessions", P::NAME);
    let millis = |title, time: Duration| Row::new(title, P::NAME, time.as_secs_f64() * 1e3, "ms");
    vec![millis("purging 10,000 of 1,000,000 sessions", took), millis("the longest read during that purge", wait)]
}

fn purge_beside_reads<P: Peer>(store: &P, requests: &[Id]) -> (Duration, Duration) {
    let (is_purging, is_done) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            for id in requests.iter().cycle() {
                let start = Instant::now();
                assert!(store.get(id).is_some(), "a live session is not there");
                if is_purging.load(Ordering::Relaxed) {
                    longest = longest.max(start.elapsed());
                }
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
            }
            longest
        });
        // Time for the reader to begin.
        thread::sleep(Duration::from_millis(50));
        is_purging.store(true, Ordering::Relaxed);
        let start = Instant::now();
        store.purge();
        let took = start.elapsed();
        is_done.store(true, Ordering::Relaxed);
        (took, reader.join().expect("a reader that found each session"))
    })
}
