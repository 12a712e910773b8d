//! The workloads, one file each. Every one of them runs in a process of its own for every store.

pub mod churn;
pub mod create;
pub mod curves;
pub mod cycle;
pub mod get;
pub mod growth;
pub mod purge;
pub mod survival;
pub mod whole;

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::pairs::side_by_side;
use crate::work::{Id, Spread};

/// The longest a piece of work may take, whoever does it, in nanoseconds.
const PATIENCE: f64 = 30e6;

/// Waits that are long enough to ask whose they were.
const LONG: Duration = Duration::from_micros(50);

/// How long a piece of work took, of which nothing waits for another thread. If that was long, what counts is the thread's time
/// on the processor: a host that gives the processor to somebody else for some milliseconds is no part of the work.
fn own_time(work: impl FnOnce()) -> Duration {
    let on_processor = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let (before, start) = (on_processor(), Instant::now());
    work();
    let took = start.elapsed();
    if took < LONG { took } else { took.min(on_processor().saturating_sub(before)) }
}

/// A number as the results show it.
pub(crate) fn short(sessions: usize) -> String {
    match sessions {
        1_000_000.. => format!("{}M", sessions / 1_000_000),
        1_000.. => format!("{}k", sessions / 1_000),
        _ => sessions.to_string(),
    }
}

/// `1 thread`, `2 threads`.
pub(crate) fn threads_of(threads: usize) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

/// How many operations of a store fit into a piece of work: fewer of a slow one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between the bounds")]
fn operations(most: usize, threads: usize, operation: &dyn Fn(&Id), ids: &[Id], spread: Spread) -> usize {
    let sample = spread.draw(ids, 300);
    let start = Instant::now();
    sample.iter().for_each(operation);
    let each = start.elapsed().as_secs_f64() * 1e9 / 300.0;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let fit = PATIENCE / each / threads as f64;
    (fit as usize).clamp(500.min(most), most)
}

/// Nanoseconds per operation and thread: some operations that nobody measures, then `count` in each thread, on fresh
/// streams of requests.
#[expect(clippy::cast_precision_loss, reason = "counts of operations")]
fn piece<R: Sync>(count: usize, threads: usize, draw: &dyn Fn(usize) -> R, work: &(dyn Fn(&R) + Sync)) -> f64 {
    work(&draw(count / 4));
    let streams: Vec<R> = (0..threads).map(|_| draw(count)).collect();
    let works = streams.iter().map(|stream| Box::new(|| work(stream)) as Box<dyn FnOnce() + Send>);
    side_by_side(works.collect()).as_secs_f64() * 1e9 / count as f64
}
