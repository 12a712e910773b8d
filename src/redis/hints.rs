//! Hints: which sessions were visited so lately that a visit has nothing to note, and the time.
//!
//! A visit without a script costs the server half of one with. A hint only says which is tried
//! first: the rule judges what was read, and if there is something to note after all, the script
//! follows.
//!
//! The server's clock is a hint, too: it is read once in a second, and goes on by this process'
//! monotonic clock in between.

use crate::id::Handle;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// How many sessions are known, at most; one takes the place of another by chance.
const SLOTS: usize = 4096;

/// A slot: the upper half of the handle, and the second until which the hint holds.
pub(super) struct Hints {
    slots: Box<[AtomicU64]>,
}

impl Hints {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Returns true if no visit to this session is due in this second of the clock.
    pub(super) fn is_quiet(&self, handle: Handle, second: u64) -> bool {
        let hint = self.slot(handle).load(Ordering::Relaxed);
        hint >> 32 == handle.to_u64() >> 32 && second < hint & 0xffff_ffff
    }

    /// Notes that no visit is due before this second; 0: that it is not known.
    pub(super) fn note(&self, handle: Handle, second: u64) {
        let hint = handle.to_u64() >> 32 << 32 | second.min(0xffff_ffff);
        self.slot(handle).store(hint, Ordering::Relaxed);
    }

    fn slot(&self, handle: Handle) -> &AtomicU64 {
        // The remainder fits, and handles are random.
        &self.slots[usize::try_from(handle.to_u64() % SLOTS as u64).unwrap_or(0)]
    }
}

const MILLI: u64 = 1_000_000;

/// For how long a reading of the server's clock is good.
const GOOD_FOR: u64 = 1_000 * MILLI;

/// A reading that took longer is used once: it may be wrong by so much.
const MOST_OFF: u64 = 10 * MILLI;

/// The monotonic instant at which the server's clock was read, and its milliseconds.
#[derive(Default)]
pub(super) struct ServerTime(Mutex<Option<(u64, u64)>>);

impl ServerTime {
    /// The server's time at this instant, if it was read lately.
    pub(super) fn at(&self, instant: u64) -> Option<u64> {
        let (read, now) = (*self.0.lock())?;
        let since = instant.checked_sub(read).filter(|since| *since < GOOD_FOR)?;
        Some(now.saturating_add(since / MILLI))
    }

    /// Notes the server's time, which was asked for and answered at these instants. It counts as of
    /// the first: an id is not good for longer than the server's clock says.
    pub(super) fn learn(&self, asked: u64, answered: u64, now: u64) {
        if answered.saturating_sub(asked) <= MOST_OFF {
            *self.0.lock() = Some((asked, now));
        }
    }
}
