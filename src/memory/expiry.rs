//! The expiry index: one small number per slot, a lower bound of when its session can expire, scanned from end to end.
//!
//! A session's deadline is an atomic in its record, and a touch only raises that. The number here is *filed*: it says "not
//! before". A purge reads the numbers, one after the other in memory, looks only at the sessions whose number is due, and files those
//! anew that were touched since. Beside a timing wheel this costs a scan, and in turn no reader ever waits for it, a
//! touch costs nothing, and there are no stale entries.

use smallvec::SmallVec;

use crate::sync::{AtomicU32, Ordering};

/// How many sessions a scan looks at before it lets others have their turn.
pub(super) const BATCH: usize = 64;

/// Slots that are due.
pub(super) type Due = SmallVec<[u32; BATCH]>;

/// A filed number covers 2^27 ns, 134 ms: a `u32` of them is 18 years, and what is later is filed as that.
const TICK_SHIFT: u32 = 27;

/// Filed for a slot without a session.
const EMPTY: u32 = u32::MAX;

/// The tick that a time in nanoseconds falls into.
pub(super) fn tick(nanos: u64) -> u32 {
    u32::try_from(nanos >> TICK_SHIFT).unwrap_or(EMPTY - 1).min(EMPTY - 1)
}

#[derive(Debug)]
pub(super) struct Expiry {
    /// By slot.
    filed: Vec<AtomicU32>,
    /// No slot has a smaller number: if this is not due, nothing is.
    earliest: AtomicU32,
}

impl Expiry {
    pub(super) fn new() -> Self {
        Self { filed: Vec::new(), earliest: AtomicU32::new(EMPTY) }
    }

    /// Files a session that just got its slot.
    pub(super) fn file(&mut self, slot: u32, deadline: u64) {
        let index = slot as usize;
        if index >= self.filed.len() {
            if index >= self.filed.capacity() {
                self.filed.reserve_exact((index / 4).max(16));
            }
            self.filed.resize_with(index + 1, || AtomicU32::new(EMPTY));
        }
        let tick = tick(deadline);
        *self.filed[index].get_mut() = tick;
        let earliest = self.earliest.get_mut();
        *earliest = tick.min(*earliest);
    }

    /// Forgets a session that loses its slot.
    pub(super) fn unfile(&mut self, slot: u32) {
        *self.filed[slot as usize].get_mut() = EMPTY;
    }

    /// The deadline came closer: the session must not be found later than that.
    ///
    /// Runs beside [`refile`](Self::refile) under the shard's read lock. Both write first and then look at what the
    /// other one wrote, in one order that all threads agree on, so at least one of them sees both.
    pub(super) fn lower(&self, slot: u32, deadline: u64) {
        let tick = tick(deadline);
        self.filed[slot as usize].fetch_min(tick, Ordering::SeqCst);
        self.earliest.fetch_min(tick, Ordering::SeqCst);
    }

    /// A due session turned out to have been touched: files it by its deadline now, which `deadline` reads.
    pub(super) fn refile(&self, slot: u32, deadline: impl Fn() -> u64) {
        let filed = &self.filed[slot as usize];
        filed.store(tick(deadline()), Ordering::SeqCst);
        filed.fetch_min(tick(deadline()), Ordering::SeqCst);
    }

    /// Whether any session can have expired by `now`.
    pub(super) fn any_due(&self, now: u64) -> bool {
        self.earliest.load(Ordering::SeqCst) <= tick(now)
    }

    /// Up to `most` slots from `from` on that are due, and where to go on: `None` at the end.
    pub(super) fn due(&self, from: usize, window: usize, most: usize, now: u64, slots: &mut Due) -> Option<usize> {
        let now = tick(now);
        let end = from.saturating_add(window).min(self.filed.len());
        for (index, filed) in self.filed.get(from..end).unwrap_or_default().iter().enumerate() {
            if filed.load(Ordering::Relaxed) <= now {
                slots.push(u32::try_from(from + index).unwrap_or(EMPTY));
                if slots.len() == most {
                    return Some(from + index + 1);
                }
            }
        }
        (end < self.filed.len()).then_some(end)
    }

    /// How many slots hold sessions that cannot have expired by `now`.
    pub(super) fn count_later(&self, now: u64) -> usize {
        let now = tick(now);
        self.filed
            .iter()
            .map(|filed| filed.load(Ordering::Relaxed))
            .filter(|filed| (now + 1..EMPTY).contains(filed))
            .count()
    }

    /// Works out the smallest number anew, after a scan found nothing (more) that is due.
    pub(super) fn settle(&mut self) {
        *self.earliest.get_mut() = self.filed.iter_mut().map(|filed| *filed.get_mut()).min().unwrap_or(EMPTY);
    }

    /// Checks one slot: filed no later than its deadline if it has a session, `EMPTY` if not.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self, slot: u32, deadline: Option<u64>) -> Result<(), String> {
        let filed = self.filed.get(slot as usize).map_or(EMPTY, |filed| filed.load(Ordering::SeqCst));
        let earliest = self.earliest.load(Ordering::SeqCst);
        match deadline {
            None if filed != EMPTY => Err(format!("free slot {slot} is filed under {filed}")),
            Some(deadline) if filed > tick(deadline) => {
                Err(format!("slot {slot} is filed under {filed}, after its deadline"))
            }
            Some(_) if earliest > filed => {
                Err(format!("slot {slot} is filed under {filed}, the earliest is {earliest}"))
            }
            _ => Ok(()),
        }
    }
}
