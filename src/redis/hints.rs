//! Hints that save work: the time until which visits to a session write nothing, and the server's
//! time.
//!
//! A visit without a script costs the server half as much as one with a script. A hint only decides
//! whether the visit is first tried without the script. The rule then judges the row that was read.
//! If the visit must write after all, the script runs next.
//!
//! The server's clock is read at most once a second. In between, its time is computed with the
//! monotonic clock of this process.

use crate::id::Handle;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// The maximum number of hints. Sessions with the same slot overwrite each other's hints.
const SLOTS: usize = 4096;

/// For each slot, the upper half of the handle and the second until which visits write nothing.
pub(super) struct Hints {
    slots: Box<[AtomicU64]>,
}

impl Hints {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Returns true if a hint says that a visit to this session in this second writes nothing.
    pub(super) fn is_quiet(&self, handle: Handle, second: u64) -> bool {
        let hint = self.slot(handle).load(Ordering::Relaxed);
        hint >> 32 == handle.to_u64() >> 32 && second < hint & 0xffff_ffff
    }

    /// Sets the second until which visits to this session write nothing. 0 means unknown.
    pub(super) fn set(&self, handle: Handle, second: u64) {
        let hint = handle.to_u64() >> 32 << 32 | second.min(0xffff_ffff);
        self.slot(handle).store(hint, Ordering::Relaxed);
    }

    fn slot(&self, handle: Handle) -> &AtomicU64 {
        // The remainder fits into `usize`. Handles are random, so slots are used evenly.
        &self.slots[usize::try_from(handle.to_u64() % SLOTS as u64).unwrap_or(0)]
    }
}

const MILLI: u64 = 1_000_000;

/// How long a reading of the server's clock is used, in nanoseconds.
const MAX_AGE: u64 = 1_000 * MILLI;

/// The maximum duration of a reading, in nanoseconds. A reading may be wrong by its duration, so a
/// longer one is not stored.
const MAX_ERROR: u64 = 10 * MILLI;

/// The monotonic instant at which the server's clock was read, and the milliseconds that it showed.
#[derive(Default)]
pub(super) struct ServerTime(Mutex<Option<(u64, u64)>>);

impl ServerTime {
    /// The server's time at this instant, if a reading is young enough.
    pub(super) fn at(&self, instant: u64) -> Option<u64> {
        let (read, now) = (*self.0.lock())?;
        let since = instant.checked_sub(read).filter(|since| *since < MAX_AGE)?;
        Some(now.saturating_add(since / MILLI))
    }

    /// Stores a reading that was requested and answered at these instants. The reading is dated to
    /// the first instant, so that the computed time is never behind the server's clock and no id is
    /// valid for too long.
    pub(super) fn set(&self, asked: u64, answered: u64, now: u64) {
        if answered.saturating_sub(asked) <= MAX_ERROR {
            *self.0.lock() = Some((asked, now));
        }
    }
}
