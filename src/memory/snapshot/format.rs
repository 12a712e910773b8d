//! The bytes of a snapshot: what a file of sessions looks like.
//!
//! ```text
//! file    = magic (8 bytes) · format (4) · taken_at (8) · sum · chunk* · end
//! chunk   = length of its sessions, not 0 (8) · session* · sum
//! end     = 0 (8) · number of sessions in the file (8) · epoch (8) · sum
//! session = handle (8) · digest (16) · version (8) · deadline (8) · age (2) · flags (1)
//!           · [grace digest (16) · grace deadline (8)] · length of body (8) · body
//! body    = the bytes of a record, which say themselves what format they are of
//! sum     = SHA-256 of everything before it in the file, other sums left out (32)
//! ```
//!
//! Numbers are big-endian. Times are nanoseconds since 1970, the largest number is "never". A *digest* is the first half of the
//! SHA-256 of a session's secret: what is in the file opens nothing. *Age* is the place in the eviction queue.
//! *Flags*: the queue (2 bits), whether somebody came back lately, whether there is a grace.
//!
//! Every sum covers all that was written before, so nothing can be changed, left out, repeated or cut off unnoticed.
//! SHA-256 because it is here already and costs little beside reading the records; it is no signature: whoever may write
//! the file may write another one.

use crate::id::{Handle, Proof};
use crate::memory::shard::{Copied, Kept};
use crate::record::{Class, Record, Version};
use crate::sync::Ordering;

/// Not text, and damaged by whatever changes line ends.
pub(super) const MAGIC: [u8; 8] = *b"lembro\x1a\n";

/// A file of another format is refused.
pub(super) const FORMAT: u32 = 1;

pub(super) const SUM_BYTES: usize = 32;

/// A chunk is written when it is larger than this.
pub(super) const CHUNK_BYTES: usize = 128 * 1024;

/// No file of ours has a larger epoch; from here on a store can count as often as anybody logs out.
pub(super) const MAX_EPOCH: u64 = u64::MAX / 2;

const CLASS: u8 = 0x03;
const VISITED: u8 = 0x04;
const GRACE: u8 = 0x08;

const NEVER: u64 = u64::MAX;

/// The same instant on the store's clock and on the calendar, both in nanoseconds: turns deadlines of one into the other's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noon {
    pub(super) now: u64,
    pub(super) wall: u64,
}

impl Noon {
    pub(super) fn on_calendar(self, deadline: u64) -> u64 {
        if deadline == NEVER { NEVER } else { self.wall.saturating_add(deadline.saturating_sub(self.now)) }
    }

    /// `None`: it is over.
    fn on_clock(self, deadline: u64) -> Option<u64> {
        if deadline == NEVER {
            return Some(NEVER);
        }
        let left = deadline.checked_sub(self.wall).filter(|left| *left > 0)?;
        Some(self.now.saturating_add(left))
    }
}

/// Writes one session at the end of `bytes`.
pub(super) fn write_session(bytes: &mut Vec<u8>, session: &Copied, grace: Option<&(Proof, u64)>, noon: Noon) {
    let (state, body) = (session.record.state(), session.record.as_bytes());
    bytes.extend(state.handle.to_u64().to_be_bytes());
    bytes.extend(state.proof.digest());
    bytes.extend(state.version.to_u64().to_be_bytes());
    bytes.extend(noon.on_calendar(session.deadline).to_be_bytes());
    bytes.extend(session.age.to_be_bytes());
    let has = |part: bool, flag: u8| if part { flag } else { 0 };
    bytes.push(session.class as u8 | has(session.visited, VISITED) | has(grace.is_some(), GRACE));
    if let Some((proof, until)) = grace {
        bytes.extend(proof.digest());
        bytes.extend(noon.on_calendar(*until).to_be_bytes());
    }
    bytes.extend((body.len() as u64).to_be_bytes());
    bytes.extend_from_slice(body);
}

/// Reads the next session of a chunk. `None`: these are not the bytes of one.
pub(super) fn read_session(bytes: &mut &[u8], noon: Noon) -> Option<Read> {
    let handle = Handle::from_u64(number(bytes)?);
    let proof = Proof::Digest(take(bytes)?);
    let version = Version::from_u64(number(bytes)?);
    let deadline = number(bytes)?;
    let age = u16::from_be_bytes(take(bytes)?);
    let [flags] = take(bytes)?;
    let class = *Class::ALL.get(usize::from(flags & CLASS))?;
    if flags & !(CLASS | VISITED | GRACE) != 0 {
        return None;
    }
    let grace = if flags & GRACE == 0 { None } else { Some((Proof::Digest(take(bytes)?), number(bytes)?)) };
    let length = usize::try_from(number(bytes)?).ok()?;
    let (body, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let record = Record::from_bytes(body).ok()?;
    let Some(deadline) = noon.on_clock(deadline) else { return Some(Read::Expired) };
    let record = record.stamped(|state| {
        (state.handle, state.proof, state.version) = (handle, proof, version);
        state.deadline.store(deadline, Ordering::Relaxed);
        state.set_class(class);
        state.visited.store(flags & VISITED != 0, Ordering::Relaxed);
    });
    let grace = grace.and_then(|(proof, until)| Some(Box::new((proof, noon.on_clock(until)?))));
    Some(Read::Live(Kept { record, age, grace }))
}

/// A session as it was in a file.
pub(super) enum Read {
    Live(Kept),
    /// It would have ended by now.
    Expired,
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_be_bytes)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}
