//! Measuring fairly on a machine that others use too: in pairs, with a control, and the ratios' medians.
//!
//! What disturbs one run disturbs the run right beside it, so only the ratio of neighbours counts. One of the two would still be
//! at an advantage: the store that runs beside everybody has its sessions in the processor's caches. So a second instance of it,
//! the control, runs as rarely as the peer, and every ratio is divided by the control's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The middle of several figures, and the quarters around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    /// A quarter of the figures are below.
    pub low: f64,
    /// Half of them.
    pub median: f64,
    /// Three quarters of them.
    pub high: f64,
}

impl Quartiles {
    /// Of so many figures; `NaN` of none.
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |quarter: usize| match figures.len() {
            0 => f64::NAN,
            len => {
                let place = (len - 1) * quarter;
                let (left, rest) = (figures[place / 4], place % 4);
                if rest == 0 {
                    left
                } else {
                    #[expect(clippy::cast_precision_loss, reason = "1 to 3")]
                    let share = rest as f64 / 4.0;
                    left + (figures[place / 4 + 1] - left) * share
                }
            }
        };
        Self { low: at(1), median: at(2), high: at(3) }
    }

    /// Every figure divided by the same number.
    #[must_use]
    pub fn divided_by(self, divisor: f64) -> Self {
        Self { low: self.low / divisor, median: self.median / divisor, high: self.high / divisor }
    }
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// The base's time; the lower quartile, which neighbours disturb least.
    pub base: f64,
    /// The peer's.
    pub peer: f64,
    /// The peer's time in the base's, corrected by the control.
    pub ratio: Quartiles,
}

/// Runs base and control, then base and peer, so many times, in changing order. Each of them does a piece of work and
/// says how long it took.
pub fn compare(
    rounds: usize,
    base: &mut dyn FnMut() -> f64,
    control: &mut dyn FnMut() -> f64,
    peer: &mut dyn FnMut() -> f64,
) -> Compared {
    let (mut base_times, mut peer_times) = (Vec::new(), Vec::new());
    let (mut control_ratios, mut peer_ratios) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut beside = |other: &mut dyn FnMut() -> f64| {
            let (of_base, of_other);
            if round % 2 == 0 {
                of_base = base();
                of_other = other();
            } else {
                of_other = other();
                of_base = base();
            }
            base_times.push(of_base);
            (of_other, of_other / of_base)
        };
        control_ratios.push(beside(control).1);
        let (time, ratio) = beside(peer);
        peer_times.push(time);
        peer_ratios.push(ratio);
    }
    Compared {
        base: Quartiles::of(base_times).low,
        peer: Quartiles::of(peer_times).low,
        ratio: Quartiles::of(peer_ratios).divided_by(Quartiles::of(control_ratios).median),
    }
}

/// Lets each piece of work run in a thread of its own, all from the same moment; the time until the last has finished.
pub fn side_by_side(mut works: Vec<Box<dyn FnOnce() + Send + '_>>) -> Duration {
    if works.len() == 1 {
        let work = works.remove(0);
        let start = Instant::now();
        work();
        return start.elapsed();
    }
    let (waiting, threads) = (AtomicUsize::new(0), works.len());
    // Not a `Barrier`: waking from one takes longer than some of the works do.
    let run = |work: Box<dyn FnOnce() + Send>| {
        waiting.fetch_add(1, Ordering::SeqCst);
        while waiting.load(Ordering::SeqCst) < threads {
            thread::yield_now();
        }
        let start = Instant::now();
        work();
        (start, Instant::now())
    };
    let run = &run;
    let spans: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = works.into_iter().map(|work| scope.spawn(move || run(work))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a work that panicked")).collect()
    });
    let first = spans.iter().map(|span| span.0).min().expect("at least one thread");
    let last = spans.iter().map(|span| span.1).max().expect("at least one thread");
    last - first
}
