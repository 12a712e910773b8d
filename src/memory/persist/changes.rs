//! The changes of a journal: what they are in memory, and the bytes of their entries.

use super::format::{Noon, number, write_row_of};
use crate::id::{Digest, Handle};
use crate::record::{Record, Version};
use crate::store::{EndReason, take};
use crate::sync::Ordering;

const PUT: u8 = 1;
const ENDED: u8 = 2;
const TOUCH: u8 = 3;
const EPOCH: u8 = 4;
const OTHERS: u8 = 5;
const WHY: u8 = 6;

/// A reason is written as its place here.
const REASONS: [EndReason; 3] = [EndReason::Everywhere, EndReason::Named, EndReason::Limit];

/// One change of the store.
pub(in crate::memory) enum Mutation {
    Put(Record),
    End(Handle, Version),
    /// With its deadline on the store's clock.
    Touch(Handle, Version, u64),
    Epoch(Box<str>, u64),
    /// The epoch of owners that are not remembered.
    Others(u64),
    Why(Handle, Digest, EndReason),
}

impl Mutation {
    pub(super) fn write(&self, bytes: &mut Vec<u8>, noon: Noon) {
        let numbers = |bytes: &mut Vec<u8>, kind: u8, numbers: &[u64]| {
            bytes.push(kind);
            numbers.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
        };
        match self {
            Self::Put(row) => {
                let deadline = row.state().deadline.load(Ordering::Relaxed);
                numbers(bytes, PUT, &[row.state().handle.to_u64()]);
                write_row_of(bytes, row, deadline, noon);
            }
            Self::End(handle, version) => numbers(bytes, ENDED, &[handle.to_u64(), version.to_u64()]),
            Self::Touch(handle, version, deadline) => {
                numbers(bytes, TOUCH, &[handle.to_u64(), version.to_u64(), noon.on_calendar(*deadline)]);
            }
            Self::Epoch(owner, epoch) => {
                numbers(bytes, EPOCH, &[*epoch, owner.len() as u64]);
                bytes.extend(owner.as_bytes());
            }
            Self::Others(epoch) => numbers(bytes, OTHERS, &[*epoch]),
            Self::Why(handle, digest, reason) => {
                numbers(bytes, WHY, &[handle.to_u64()]);
                bytes.extend(digest);
                bytes.push(*reason as u8);
            }
        }
    }
}

/// One entry, as it was read. Its times are on the calendar.
pub(super) enum ReadMutation<'a> {
    Put(Handle, &'a [u8]),
    End(Handle, Version),
    Touch(Handle, Version, u64),
    Epoch(&'a str, u64),
    Others(u64),
    Why(Handle, Digest, EndReason),
}

impl<'a> ReadMutation<'a> {
    /// Takes the next entry off. `None`: the bytes are none.
    pub(super) fn read(bytes: &mut &'a [u8]) -> Option<Self> {
        let [kind] = take(bytes)?;
        let first = number(bytes)?;
        let handle = Handle::from_u64(first);
        match kind {
            PUT => Some(Self::Put(handle, Self::part(bytes)?)),
            ENDED => Some(Self::End(handle, Version::from_u64(number(bytes)?))),
            TOUCH => Some(Self::Touch(handle, Version::from_u64(number(bytes)?), number(bytes)?)),
            EPOCH => Some(Self::Epoch(str::from_utf8(Self::part(bytes)?).ok()?, first)),
            OTHERS => Some(Self::Others(first)),
            WHY => {
                let (digest, [reason]) = (take(bytes)?, take(bytes)?);
                Some(Self::Why(handle, digest, *REASONS.get(usize::from(reason))?))
            }
            _ => None,
        }
    }

    /// Takes a length off, and so many bytes.
    fn part(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let length = usize::try_from(number(bytes)?).ok()?;
        let (part, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(part)
    }
}
