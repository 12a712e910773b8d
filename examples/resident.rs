//! The resident memory of a process for each byte that its store counts, by number of threads.
//!
//! Run `cargo run --release --example resident`, on Linux; arguments after `--` are libraries with
//! other allocators. The page `capacity` has the result.
//!
//! Threads create sessions of mixed sizes in a store of 64M until the store was filled eight times.
//! Each line is measured in its own process, because an allocator keeps memory that was freed.

use std::process::Command;
use std::time::Duration;

use lembro::{LembroOptions, LembroStore, Record, SessionId, Store};

/// How many times the store's `max_size` is written.
const FILLS: usize = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let Some(threads) = arguments.first().and_then(|threads| threads.parse().ok()) {
        println!("{}", measure(threads)?);
        return Ok(());
    }
    // Environment variables of the system's allocator and loader.
    let system = [("system", None), ("system, 2 arenas", Some(("MALLOC_ARENA_MAX", "2")))];
    let others = arguments.iter().map(|library| (library.as_str(), Some(("LD_PRELOAD", library.as_str()))));
    let allocators: Vec<_> = system.into_iter().chain(others).collect();
    println!("| threads | allocator | bytes() | resident, most | resident, at the end | times bytes() |");
    println!("|---|---|---|---|---|---|");
    for threads in [1, 2, 8] {
        for (allocator, variable) in &allocators {
            let mut command = Command::new(std::env::current_exe()?);
            let output = command.arg(threads.to_string()).envs(*variable).output()?;
            println!("| {threads} | {allocator} | {} |", String::from_utf8_lossy(&output.stdout).trim());
        }
    }
    Ok(())
}

fn measure(threads: u32) -> Result<String, Box<dyn std::error::Error>> {
    let store = LembroStore::with_options(LembroOptions::new().max_size("64M"))?;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let store = &store;
            scope.spawn(move || fill(store, thread, threads));
        }
    });
    let (bytes, most, now) = (store.bytes(), resident("VmHWM:")?, resident("VmRSS:")?);
    let percent = now * 100 / bytes;
    let mb = |bytes: usize| bytes / 1_000_000;
    Ok(format!("{} MB | {} MB | {} MB | {}.{:02}", mb(bytes), mb(most), mb(now), percent / 100, percent % 100))
}

/// Creates this thread's share, with pseudo-random sizes that are the same in each run.
fn fill(store: &LembroStore, thread: u32, threads: u32) {
    let (mut random, mut written) = (u64::from(thread) + 1, 0);
    let all = (64 << 20) * FILLS / threads as usize;
    while written < all {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let size = match (random >> 33) % 20 {
            0 => 16_000,
            1..4 => 4_000,
            _ => 300,
        } * (50 + usize::try_from((random >> 40) % 100).unwrap_or(0))
            / 100;
        let record: Record = [("data", "x".repeat(size))].into_iter().collect();
        let created = SessionId::random().and_then(|id| store.set(&id, record, DAY));
        written += if created.is_ok() { size } else { 1 };
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A figure of `/proc/self/status` in bytes.
fn resident(line: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let figure = status.lines().find_map(|text| text.strip_prefix(line)).ok_or("the system does not tell")?;
    let kilobytes: usize = figure.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
