//! Copies of a shard for lists and snapshots, and the restoring of a session from a file.

use std::ops::Range;

use super::{InsertOutcome, Removed, Shard, class_after};
use crate::record::{Class, Record};
use crate::store::is_expired;
use crate::sync::Ordering;

/// A copy of a shard's live sessions: a pointer to each record, and the values that can change. It
/// is reused for the next shard, so that little is allocated under a lock.
#[derive(Default)]
pub(in crate::memory) struct ShardCopy {
    pub(in crate::memory) sessions: Vec<SnapshotEntry>,
    /// The age of the session in each slot.
    ages: Vec<u16>,
    layout: u32,
}

pub(in crate::memory) struct SnapshotEntry {
    pub(in crate::memory) record: Record,
    pub(in crate::memory) deadline: u64,
    /// The position in its queue, scaled so that queues of any length can be merged: 0 for the
    /// oldest session, near 65,535 for the newest.
    pub(in crate::memory) age: u16,
    pub(in crate::memory) class: Class,
    pub(in crate::memory) visited: bool,
}

/// A session from a file. Its deadline, class and visited flag are in the record's state.
pub(in crate::memory) struct RestoredEntry {
    pub(in crate::memory) record: Record,
    pub(in crate::memory) age: u16,
}

/// The progress of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::memory) enum CopyStep {
    More,
    Done,
    /// The sessions got new slots since the copy began.
    Restart,
}

impl Shard {
    /// Begins a copy by noting the age of each session.
    pub(in crate::memory) fn begin_copy(&self, copy: &mut ShardCopy) {
        copy.layout = self.layout;
        copy.sessions.clear();
        copy.ages.clear();
        copy.ages.resize(self.queues.slots(), 0);
        for class in Class::ALL {
            let sessions = self.queues.len_of(class).max(1);
            for (position, slot) in self.queues.iter(class).enumerate() {
                copy.ages[slot as usize] = u16::try_from((position << 16) / sessions).unwrap_or(u16::MAX);
            }
        }
    }

    /// Continues a copy with the sessions in these slots. A session keeps its slot between two
    /// steps, so none is left out or copied twice.
    pub(in crate::memory) fn copy(&self, slots: Range<u32>, now: u64, copy: &mut ShardCopy) -> CopyStep {
        if copy.layout != self.layout {
            return CopyStep::Restart;
        }
        let end = slots.end;
        for slot in slots {
            let Some(record) = self.in_slot(slot) else { continue };
            let state = record.state();
            // A free slot can have the handle of a session that is now in another slot.
            if state.slot.load(Ordering::Relaxed) != slot || is_expired(record, now) {
                continue;
            }
            copy.sessions.push(SnapshotEntry {
                record: record.clone(),
                deadline: state.deadline(),
                // A slot that was added since the copy began belongs to a new session.
                age: copy.ages.get(slot as usize).copied().unwrap_or(u16::MAX),
                class: state.class(),
                visited: state.visited.load(Ordering::Relaxed),
            });
        }
        if (end as usize) < self.queues.slots() { CopyStep::More } else { CopyStep::Done }
    }

    /// Adds a session from a file at the newer end of the queue it was in.
    /// [`InsertOutcome::Conflict`]: its handle is taken.
    pub(in crate::memory) fn restore(
        &mut self,
        hash: u64,
        record: Record,
        now: u64,
        removed: &mut Removed,
    ) -> InsertOutcome {
        let state = record.state();
        if self.by_handle(hash, state.handle).is_some() {
            return InsertOutcome::Conflict;
        }
        state.set_class(class_after(state.class(), record.is_owned()));
        self.insert(hash, record, now, removed)
    }
}
