//! Expiry index: each slot has a tick, a coarse time that is not after its session's deadline.
//!
//! A session's deadline is an atomic in its row, and a touch changes the deadline under the read
//! lock. A touch that prolongs the session does not change the tick. A touch that shortens the
//! deadline lowers the tick. A purge scans the ticks, which are contiguous in memory, and examines
//! only the sessions whose tick is due. If such a session is not expired, the purge raises its
//! tick.
//!
//! A timing wheel would need no scan. But with the scan, a touch that prolongs does not write to
//! this index, no reader waits, and there are no stale entries.

use smallvec::SmallVec;

use crate::sync::{AtomicU32, Ordering};

/// The most sessions that one scan examines before the lock is released.
pub(super) const BATCH: usize = 64;

/// Slots whose tick is due.
pub(super) type DueSlots = SmallVec<[u32; BATCH]>;

/// A tick is 2^27 ns, 134 ms. A `u32` counts 18 years of ticks; later deadlines saturate.
const TICK_SHIFT: u32 = 27;

/// The tick of a slot without a session.
const EMPTY: u32 = u32::MAX;

/// Rounds nanoseconds down to ticks.
fn tick(nanos: u64) -> u32 {
    u32::try_from(nanos >> TICK_SHIFT).unwrap_or(EMPTY - 1).min(EMPTY - 1)
}

#[derive(Debug)]
pub(super) struct ExpiryIndex {
    /// The tick of each slot.
    ticks: Vec<AtomicU32>,
    /// A lower bound of all ticks. If this tick is not due, no slot is due.
    earliest: AtomicU32,
}

impl ExpiryIndex {
    pub(super) fn new() -> Self {
        Self { ticks: Vec::new(), earliest: AtomicU32::new(EMPTY) }
    }

    /// Sets the tick of a slot that was given to a session.
    pub(super) fn set(&mut self, slot: u32, deadline: u64) {
        let index = slot as usize;
        if index >= self.ticks.len() {
            if index >= self.ticks.capacity() {
                self.ticks.reserve_exact((index / 4).max(16));
            }
            self.ticks.resize_with(index + 1, || AtomicU32::new(EMPTY));
        }
        let tick = tick(deadline);
        *self.ticks[index].get_mut() = tick;
        let earliest = self.earliest.get_mut();
        *earliest = tick.min(*earliest);
    }

    /// Clears the tick of a slot whose session was removed.
    pub(super) fn clear(&mut self, slot: u32) {
        *self.ticks[slot as usize].get_mut() = EMPTY;
    }

    /// Lowers a tick after a deadline was shortened, so that a scan finds the session in time.
    ///
    /// This method and [`reschedule`](Self::reschedule) can run at the same time under the shard's
    /// read lock. A touch writes the deadline before this method lowers the tick, and `reschedule`
    /// raises the tick before it reads the deadline again. All of these accesses are `SeqCst`, so
    /// at least one of the methods lowers the raised tick again.
    pub(super) fn lower(&self, slot: u32, deadline: u64) {
        let tick = tick(deadline);
        self.ticks[slot as usize].fetch_min(tick, Ordering::SeqCst);
        self.earliest.fetch_min(tick, Ordering::SeqCst);
    }

    /// Raises the tick of a due session that was touched. `deadline` returns the session's
    /// deadline.
    pub(super) fn reschedule(&self, slot: u32, deadline: impl Fn() -> u64) {
        let stored = &self.ticks[slot as usize];
        stored.store(tick(deadline()), Ordering::SeqCst);
        stored.fetch_min(tick(deadline()), Ordering::SeqCst);
    }

    /// Returns true if a session can have expired by `now`.
    pub(super) fn is_any_due(&self, now: u64) -> bool {
        self.earliest.load(Ordering::SeqCst) <= tick(now)
    }

    /// Examines up to `window` slots from `from` on. Adds the due ones to `slots`, and stops when
    /// `slots` holds `most`. Returns the slot to continue from, `None` at the end.
    pub(super) fn due(&self, from: usize, window: usize, most: usize, now: u64, slots: &mut DueSlots) -> Option<usize> {
        let now = tick(now);
        let end = from.saturating_add(window).min(self.ticks.len());
        for (index, tick) in self.ticks.get(from..end).unwrap_or_default().iter().enumerate() {
            if tick.load(Ordering::Relaxed) <= now {
                slots.push(u32::try_from(from + index).unwrap_or(EMPTY));
                if slots.len() == most {
                    return Some(from + index + 1);
                }
            }
        }
        (end < self.ticks.len()).then_some(end)
    }

    /// How many slots hold sessions that cannot have expired by `now`.
    pub(super) fn count_not_due(&self, now: u64) -> usize {
        let later = tick(now) + 1..EMPTY;
        self.ticks.iter().filter(|tick| later.contains(&tick.load(Ordering::Relaxed))).count()
    }

    /// Recomputes `earliest`, after a scan of all slots.
    pub(super) fn recompute_earliest(&mut self) {
        *self.earliest.get_mut() = self.ticks.iter_mut().map(|tick| *tick.get_mut()).min().unwrap_or(EMPTY);
    }

    /// Checks that a slot's tick is not after its deadline, or is `EMPTY` without a deadline.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self, slot: u32, deadline: Option<u64>) -> Result<(), String> {
        let stored = self.ticks.get(slot as usize).map_or(EMPTY, |tick| tick.load(Ordering::SeqCst));
        let earliest = self.earliest.load(Ordering::SeqCst);
        match deadline {
            None if stored != EMPTY => Err(format!("free slot {slot} has the tick {stored}")),
            Some(deadline) if stored > tick(deadline) => {
                Err(format!("slot {slot} has the tick {stored}, after its deadline"))
            }
            Some(_) if earliest > stored => {
                Err(format!("slot {slot} has the tick {stored}, the earliest is {earliest}"))
            }
            _ => Ok(()),
        }
    }
}
