//! Encoding shared by snapshot and journal: numbers, rows and changes.

use crate::clock::Clock;
use crate::id::{Digest, Handle};
use crate::record::{NEVER, Record, Version};
use crate::store::{EndReason, Nonces, read_row, take, write_row};

/// The largest epoch and the largest generation that a file may hold. They are far beyond any real
/// one, and a store that continues from them cannot overflow.
pub(super) const MAX_COUNT: u64 = u64::MAX / 2;

const PUT: u8 = 1;
const END: u8 = 2;
const TOUCH: u8 = 3;
const EPOCH: u8 = 4;
const OTHER_EPOCHS: u8 = 5;
const REASON: u8 = 6;

/// A reason is written as its index.
const REASONS: [EndReason; 3] = [EndReason::LoggedOutEverywhere, EndReason::Revoked, EndReason::Limit];

/// One instant on the store's clock and on the calendar, both in nanoseconds. It converts deadlines
/// from one to the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockAnchor {
    pub(super) clock: u64,
    pub(super) calendar: u64,
}

impl ClockAnchor {
    pub(super) fn of(clock: &Clock) -> Self {
        Self { clock: clock.nanos(), calendar: clock.calendar_nanos() }
    }

    pub(super) fn on_calendar(self, deadline: u64) -> u64 {
        if deadline == NEVER { NEVER } else { self.calendar.saturating_add(deadline.saturating_sub(self.clock)) }
    }

    /// Converts from the calendar to the store's clock. An instant in the past becomes the present.
    pub(super) fn on_clock(self, instant: u64) -> u64 {
        if instant == NEVER { NEVER } else { self.clock.saturating_add(instant.saturating_sub(self.calendar)) }
    }
}

/// Takes a big-endian number.
pub(super) fn number(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_be_bytes)
}

/// Takes a length, then as many bytes as it says.
pub(super) fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(bytes)?).ok()?;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

/// Appends the length of a row, and the row.
pub(super) fn write_record(bytes: &mut Vec<u8>, record: &Record, deadline: u64, anchor: ClockAnchor) {
    let length = bytes.len();
    bytes.extend([0; 8]);
    write_row(bytes, record, &Nonces::NONE, deadline, |instant| anchor.on_calendar(instant));
    let row = (bytes.len() - length - 8) as u64;
    bytes[length..length + 8].copy_from_slice(&row.to_be_bytes());
}

/// Reads a row, without its length.
pub(super) fn read_record(row: &[u8], handle: Handle, anchor: ClockAnchor) -> Option<Record> {
    read_row(row, handle, |instant| anchor.on_clock(instant)).ok().map(|(record, _)| record)
}

/// One change of the store. A journal has them in the order in which they were queued.
pub(in crate::memory) enum Mutation {
    Put(Record),
    End(Handle, Version),
    /// With the deadline on the store's clock.
    Touch(Handle, Version, u64),
    Epoch(Box<str>, u64),
    /// The epoch of all owners without an epoch of their own in the store.
    OtherEpochs(u64),
    Reason(Handle, Digest, EndReason),
}

impl Mutation {
    pub(super) fn write(&self, bytes: &mut Vec<u8>, anchor: ClockAnchor) {
        let numbers = |bytes: &mut Vec<u8>, kind: u8, numbers: &[u64]| {
            bytes.push(kind);
            numbers.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
        };
        match self {
            Self::Put(row) => {
                let deadline = row.state().deadline();
                numbers(bytes, PUT, &[row.state().handle.to_u64()]);
                write_record(bytes, row, deadline, anchor);
            }
            Self::End(handle, version) => numbers(bytes, END, &[handle.to_u64(), version.to_u64()]),
            Self::Touch(handle, version, deadline) => {
                numbers(bytes, TOUCH, &[handle.to_u64(), version.to_u64(), anchor.on_calendar(*deadline)]);
            }
            Self::Epoch(owner, epoch) => {
                numbers(bytes, EPOCH, &[*epoch, owner.len() as u64]);
                bytes.extend(owner.as_bytes());
            }
            Self::OtherEpochs(epoch) => numbers(bytes, OTHER_EPOCHS, &[*epoch]),
            Self::Reason(handle, digest, reason) => {
                numbers(bytes, REASON, &[handle.to_u64()]);
                bytes.extend(digest);
                bytes.push(*reason as u8);
            }
        }
    }
}

/// A change as it is in a journal. Its times are on the calendar.
pub(super) enum MutationRef<'a> {
    Put(Handle, &'a [u8]),
    End(Handle, Version),
    Touch(Handle, Version, u64),
    Epoch(&'a str, u64),
    OtherEpochs(u64),
    Reason(Handle, Digest, EndReason),
}

impl<'a> MutationRef<'a> {
    /// Takes the next change. `None`: the bytes are not a change.
    pub(super) fn read(bytes: &mut &'a [u8]) -> Option<Self> {
        let [kind] = take(bytes)?;
        let first = number(bytes)?;
        let handle = Handle::from_u64(first);
        match kind {
            PUT => Some(Self::Put(handle, part(bytes)?)),
            END => Some(Self::End(handle, Version::from_u64(number(bytes)?))),
            TOUCH => Some(Self::Touch(handle, Version::from_u64(number(bytes)?), number(bytes)?)),
            EPOCH => Some(Self::Epoch(str::from_utf8(part(bytes)?).ok()?, first)),
            OTHER_EPOCHS => Some(Self::OtherEpochs(first)),
            REASON => {
                let (digest, [reason]) = (take(bytes)?, take(bytes)?);
                Some(Self::Reason(handle, digest, *REASONS.get(usize::from(reason))?))
            }
            _ => None,
        }
    }
}
