//! What a session counts for against `max_size`: its block, and its share of what finds and orders it.
//!
//! The block is exact. Around it every session has, per shard,
//!
//! - a fifth of a line of 64 bytes in a table that is between 57 and 85 % full: 15 to 23 bytes, 19 on average;
//! - a queue node of 16 bytes and an expiry tick of 4, in slabs that grow by a quarter: 20 to 25, 22 on average.
//!
//! The average of that is a constant here, so that a session's weight never changes while it lies still. The test
//! `memory_accounting` holds the sum against what the allocator gave out.

use crate::record::Record;

/// The share of table, queue and index, in bytes.
pub(super) const OVERHEAD: usize = 41;

/// The share of the owner index of a session that has an owner: 8 bytes in a tree whose nodes are two thirds full.
pub(super) const OWNED: usize = 18;

/// What a session counts for.
pub(super) fn weight(record: &Record) -> usize {
    record.size() + OVERHEAD + if record.is_owned() { OWNED } else { 0 }
}
