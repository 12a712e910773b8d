//! The report of a shortage: sessions with an owner were evicted, so users were logged out for want
//! of memory. At most one report a minute, with their number since the last one.

use crate::sync::{AtomicU64, Ordering};

const MINUTE: u64 = 60 * 1_000_000_000;

#[derive(Default)]
pub(super) struct Shortage {
    /// How many were evicted since the last report.
    evicted: AtomicU64,
    /// When the next report may follow, on the store's clock.
    next: AtomicU64,
}

impl Shortage {
    pub(super) fn note(&self, evicted: u64) {
        self.evicted.fetch_add(evicted, Ordering::Relaxed);
    }

    /// How many to report now. `None`: there is nothing to report, or it was done within the last
    /// minute.
    pub(super) fn due(&self, now: u64) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        if self.evicted.load(Ordering::Relaxed) == 0 || now < next {
            return None;
        }
        // Of several threads one reports.
        let after = now.saturating_add(MINUTE);
        self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(self.evicted.swap(0, Ordering::Relaxed)).filter(|evicted| *evicted > 0)
    }
}
