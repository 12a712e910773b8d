//! The format of a snapshot.
//!
//! ```text
//! file    = magic (8 bytes) · format (4) · taken_at (8) · base (8) · sum · chunk* · end
//! chunk   = length of its sessions, not 0 (8) · session* · sum
//! end     = 0 (8) · number of sessions in the file (8) · epoch (8) · sum
//! session = handle (8) · age (2) · flags (1) · length of the row (8) · row
//! row     = the bytes of an `Entry`, with instants on the calendar; they begin with their format
//! sum     = SHA-256 of everything before it in the file, other sums left out (32)
//! ```
//!
//! *Base* is the generation of the first journal that goes on from here. Numbers are big-endian.
//! Times are nanoseconds since 1970; the largest number is "never". A row
//! holds digests of secrets, which open nothing. *Age* is the place in the eviction queue. *Flags*
//! are the queue (2 bits) and whether the session was visited since its last examination.
//!
//! Every sum covers all bytes before it, so no change, omission, repetition or truncation goes
//! unnoticed. SHA-256 is a dependency already and costs little beside reading the records. A sum is
//! no signature: a process that may write the file can write another one.

use super::replay::Touches;
use crate::clock::Clock;
use crate::id::Handle;
use crate::memory::shard::{Copied, Kept};
use crate::record::{Class, NEVER, Record};
use crate::store::{Nonces, read_row, take, write_row};
use crate::sync::Ordering;

/// Not text, and damaged by every conversion of line ends.
pub(super) const MAGIC: [u8; 8] = *b"lembro\x1a\n";

/// A file of another format is refused.
pub(super) const FORMAT: u32 = 3;

pub(super) const SUM_BYTES: usize = 32;

/// A chunk is written when it is larger than this.
pub(super) const CHUNK_BYTES: usize = 128 * 1024;

/// The largest epoch and the largest generation that a file may hold, far beyond any real one: a
/// store that continues from it cannot overflow.
pub(super) const MAX_COUNT: u64 = u64::MAX / 2;

const CLASS: u8 = 0x03;
const VISITED: u8 = 0x04;

/// One instant on the store's clock and on the calendar, both in nanoseconds. It converts deadlines
/// from one to the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noon {
    pub(super) now: u64,
    pub(super) wall: u64,
}

impl Noon {
    pub(super) fn of(clock: &Clock) -> Self {
        Self { now: clock.nanos(), wall: clock.calendar_nanos() }
    }

    pub(super) fn on_calendar(self, deadline: u64) -> u64 {
        if deadline == NEVER { NEVER } else { self.wall.saturating_add(deadline.saturating_sub(self.now)) }
    }

    /// An instant in the past becomes the present one.
    pub(super) fn on_clock(self, instant: u64) -> u64 {
        if instant == NEVER { NEVER } else { self.now.saturating_add(instant.saturating_sub(self.wall)) }
    }
}

/// Appends one session to `bytes`.
pub(super) fn write_session(bytes: &mut Vec<u8>, session: &Copied, noon: Noon) {
    bytes.extend(session.record.state().handle.to_u64().to_be_bytes());
    bytes.extend(session.age.to_be_bytes());
    bytes.push(session.class as u8 | if session.visited { VISITED } else { 0 });
    write_row_of(bytes, &session.record, session.deadline, noon);
}

/// Appends the length of a row, and the row.
pub(super) fn write_row_of(bytes: &mut Vec<u8>, record: &Record, deadline: u64, noon: Noon) {
    let length = bytes.len();
    bytes.extend([0; 8]);
    write_row(bytes, record, &Nonces::NONE, deadline, |instant| noon.on_calendar(instant));
    let row = (bytes.len() - length - 8) as u64;
    bytes[length..length + 8].copy_from_slice(&row.to_be_bytes());
}

/// Reads the row of a session.
pub(super) fn read_record(row: &[u8], handle: Handle, noon: Noon) -> Option<Record> {
    read_row(row, handle, |instant| noon.on_clock(instant)).ok().map(|(record, _)| record)
}

/// Reads the next session of a chunk. `None`: the bytes are not a session. `Some(None)`: it has
/// expired.
pub(super) fn read_session(bytes: &mut &[u8], noon: Noon, touches: &Touches) -> Option<Option<Kept>> {
    let handle = Handle::from_u64(number(bytes)?);
    let age = u16::from_be_bytes(take(bytes)?);
    let [flags] = take(bytes)?;
    let class = *Class::ALL.get(usize::from(flags & CLASS))?;
    if flags & !(CLASS | VISITED) != 0 {
        return None;
    }
    let length = usize::try_from(number(bytes)?).ok()?;
    let (row, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let record = read_record(row, handle, noon)?;
    if !touches.keep(&record, noon) {
        return Some(None);
    }
    let state = record.state();
    state.set_class(class);
    state.visited.store(flags & VISITED != 0, Ordering::Relaxed);
    Some(Some(Kept { record, age }))
}

pub(super) fn number(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_be_bytes)
}
