//! The expiry index: one tick per slot, a lower bound of when the slot's session can expire.
//!
//! A session's deadline is an atomic in its row, and a touch moves it under the read lock. The tick
//! that is *filed* here says "not before". A touch that prolongs leaves the tick as it is; one that
//! shortens the deadline lowers it. A purge scans the ticks, which lie one after the other in
//! memory, examines only the sessions whose tick is due, and files those again that were touched
//! since. Beside a timing wheel this costs a scan. In return a touch that prolongs costs nothing,
//! no reader waits for the scan, and there are no stale entries.

use smallvec::SmallVec;

use crate::sync::{AtomicU32, Ordering};

/// The most sessions that one scan examines before the lock is released.
pub(super) const BATCH: usize = 64;

/// Slots that are due.
pub(super) type Due = SmallVec<[u32; BATCH]>;

/// A tick covers 2^27 ns, 134 ms. A `u32` of ticks is 18 years; later deadlines saturate.
const TICK_SHIFT: u32 = 27;

/// The tick of a slot without a session.
const EMPTY: u32 = u32::MAX;

/// The tick that a time in nanoseconds falls into.
pub(super) fn tick(nanos: u64) -> u32 {
    u32::try_from(nanos >> TICK_SHIFT).unwrap_or(EMPTY - 1).min(EMPTY - 1)
}

#[derive(Debug)]
pub(super) struct Expiry {
    /// The tick of each slot.
    filed: Vec<AtomicU32>,
    /// No slot has a smaller tick: if this is not due, no slot is.
    earliest: AtomicU32,
}

impl Expiry {
    pub(super) fn new() -> Self {
        Self { filed: Vec::new(), earliest: AtomicU32::new(EMPTY) }
    }

    /// Files a session that has just got its slot.
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

    /// Clears the tick of a session that loses its slot.
    pub(super) fn unfile(&mut self, slot: u32) {
        *self.filed[slot as usize].get_mut() = EMPTY;
    }

    /// Lowers a session's tick after its deadline came closer, so that a scan finds it in time.
    ///
    /// Runs beside [`refile`](Self::refile) under the shard's read lock. Both write first and then
    /// read what the other one wrote, in one order for all threads, so at least one of them sees
    /// both.
    pub(super) fn lower(&self, slot: u32, deadline: u64) {
        let tick = tick(deadline);
        self.filed[slot as usize].fetch_min(tick, Ordering::SeqCst);
        self.earliest.fetch_min(tick, Ordering::SeqCst);
    }

    /// Files a due session that was touched since by its present deadline, which `deadline` reads.
    pub(super) fn refile(&self, slot: u32, deadline: impl Fn() -> u64) {
        let filed = &self.filed[slot as usize];
        filed.store(tick(deadline()), Ordering::SeqCst);
        filed.fetch_min(tick(deadline()), Ordering::SeqCst);
    }

    /// Returns true if a session can have expired by `now`.
    pub(super) fn any_due(&self, now: u64) -> bool {
        self.earliest.load(Ordering::SeqCst) <= tick(now)
    }

    /// Collects up to `most` due slots from `from` on; returns where to go on, `None` at the end.
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

    /// Recomputes the smallest tick, after a scan found nothing more that is due.
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
