//! The charge of a session against `max_size`: its block, and its share of the structures that find
//! and order it.
//!
//! The block is exact, the second secret of a session that was rotated included. Around it every
//! session has, per shard,
//!
//! - a fifth of a line of 64 bytes in a table that is between 57 and 85 % full: 15 to 23 bytes, 19
//!   on average;
//! - a queue node of 16 bytes and an expiry tick of 4, in slabs that grow by a quarter: 20 to 25,
//!   22 on average.
//!
//! That average is a constant, so a session's charge changes only when its block does. A session
//! with 300 bytes of JSON counts about 418 bytes. The test `memory/accounting` holds the sum
//! against what the allocator gave out.

use crate::record::Record;

/// The share of table, queues and expiry index, in bytes.
pub(super) const OVERHEAD: usize = 41;

/// The share of the owner index for a session with an owner: 8 bytes in a tree whose nodes are two
/// thirds full.
pub(super) const OWNED: usize = 18;

/// The bytes that a session counts for.
pub(super) fn weight(record: &Record) -> usize {
    record.size() + OVERHEAD + if record.is_owned() { OWNED } else { 0 }
}
