//! Measuring on a machine that others use too: pairs of neighbouring runs, a control, and medians.
//!
//! A disturbance hits neighbouring runs alike, so only the ratio of neighbours counts. The store
//! that runs in every pair would still have an advantage, because its sessions are in the
//! processor's caches. Therefore a second instance of it, the control, runs as rarely as the peer,
//! and each ratio is divided by the control's.

use std::env;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The environment variable for a run that only shows that everything works.
pub const QUICK: &str = "LEMBRO_QUICK";

/// The argument that makes a process do one workload for one store.
pub const ONE: &str = "--one";

/// One figure of one store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What was measured, as the results name it.
    pub title: String,
    /// The store.
    pub store: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// The figure as a multiple of lembro's, if they were measured in pairs.
    pub ratio: Option<Quartiles>,
}

impl Row {
    /// A figure by itself.
    pub fn new(title: &str, store: &str, value: f64, unit: &str) -> Self {
        Self { title: title.into(), store: store.into(), value, unit: unit.into(), ratio: None }
    }
}

/// The median of several figures and the quartiles around it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Quartiles {
    /// A quarter of the figures are below.
    pub low: f64,
    /// Half of the figures are below.
    pub median: f64,
    /// Three quarters of the figures are below.
    pub high: f64,
}

impl Quartiles {
    /// Of at least one figure.
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |quarter: usize| figures[(figures.len() - 1) * quarter / 4];
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

fn is_quick() -> bool {
    env::var_os(QUICK).is_some()
}

/// The count, or a twentieth of it in a quick run.
pub fn scaled(count: usize) -> usize {
    if is_quick() { count / 20 } else { count }
}

/// Lets lembro run beside its control, then beside a peer, in alternating order. Each closure does
/// a piece of work and returns its nanoseconds per operation. Two rows: lembro's, and the peer's.
pub fn compare(
    title: &str,
    peer_name: &str,
    mut base: impl FnMut() -> f64,
    mut control: impl FnMut() -> f64,
    mut peer: impl FnMut() -> f64,
) -> Vec<Row> {
    // With nine figures the quartiles are figures, too.
    let rounds = if is_quick() { 1 } else { 9 };
    let (mut base_times, mut peer_times) = (Vec::new(), Vec::new());
    let (mut control_ratios, mut peer_ratios) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut beside = |other: &mut dyn FnMut() -> f64| {
            let first = if round % 2 == 0 { None } else { Some(other()) };
            let of_base = base();
            base_times.push(of_base);
            let of_other = first.unwrap_or_else(other);
            (of_other, of_other / of_base)
        };
        control_ratios.push(beside(&mut control).1);
        let (time, ratio) = beside(&mut peer);
        peer_times.push(time);
        peer_ratios.push(ratio);
    }
    let correction = Quartiles::of(control_ratios).median;
    let ratio = Quartiles::of(peer_ratios.into_iter().map(|ratio| ratio / correction).collect());
    // The lower quartile of a time is the one that other programs disturb least.
    let row = |store, times| Row::new(title, store, Quartiles::of(times).low, "ns");
    vec![row("lembro", base_times), Row { ratio: Some(ratio), ..row(peer_name, peer_times) }]
}

/// Nanoseconds per operation and thread: `count` operations in each thread, on fresh streams of
/// requests, after some that are not timed.
#[expect(clippy::cast_precision_loss, reason = "counts of operations")]
pub fn piece<R: Sync>(count: usize, threads: usize, draw: impl Fn(usize) -> R, work: impl Fn(&R) + Sync) -> f64 {
    work(&draw(count / 4));
    let streams: Vec<R> = (0..threads).map(|_| draw(count)).collect();
    side_by_side(&streams, work).as_secs_f64() * 1e9 / count as f64
}

/// Works on each stream, the first one in this thread and each other one in a thread of its own;
/// the time from the first start to the last end.
fn side_by_side<R: Sync>(streams: &[R], work: impl Fn(&R) + Sync) -> Duration {
    let ready = AtomicUsize::new(0);
    let run = |stream| {
        ready.fetch_add(1, Ordering::SeqCst);
        // Not a `Barrier`, because waking from one takes as long as many operations.
        while ready.load(Ordering::SeqCst) < streams.len() {
            thread::yield_now();
        }
        let start = Instant::now();
        work(stream);
        (start, Instant::now())
    };
    let run = &run;
    thread::scope(|scope| {
        let others: Vec<_> = streams[1..].iter().map(|stream| scope.spawn(move || run(stream))).collect();
        let (mut first, mut last) = run(&streams[0]);
        for other in others {
            let (start, end) = other.join().expect("work that does not panic");
            (first, last) = (first.min(start), last.max(end));
        }
        last - first
    })
}

/// The rows of one workload for one store, from a process of its own. What a large store leaves
/// behind in the allocator would slow the next one down.
pub fn in_a_process(work: &str, store: &str) -> Vec<Row> {
    let mut child = Command::new(env::current_exe().expect("a path to this program"));
    let output = child.args([ONE, work, store]).stderr(Stdio::inherit()).output().expect("the program starts");
    assert!(output.status.success(), "{work} {store} failed");
    serde_json::from_slice(&output.stdout).expect("rows")
}
