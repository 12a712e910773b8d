//! Copies of a shard for lists and snapshots, some slots at a time, and the return of a session
//! from a file.

use std::ops::Range;

use super::{InsertOutcome, RemovalCause, Removed, Shard, class_after};
use crate::record::{Class, Record};
use crate::store::is_expired;
use crate::sync::Ordering;

/// A copy of a shard's live sessions: the pointers, and the values beside them that go on changing.
/// It is reused for the next shard, so that little is allocated under a lock.
#[derive(Default)]
pub(in crate::memory) struct ShardCopy {
    pub(in crate::memory) sessions: Vec<Copied>,
    /// The place in the queue of each slot.
    ages: Vec<u16>,
    layout: u32,
}

pub(in crate::memory) struct Copied {
    pub(in crate::memory) record: Record,
    pub(in crate::memory) deadline: u64,
    /// The place in its queue: 0 for the oldest, near 65,535 for the newest, so that queues of any
    /// length can be merged.
    pub(in crate::memory) age: u16,
    pub(in crate::memory) class: Class,
    pub(in crate::memory) visited: bool,
}

/// A session that returns from a file. Its block holds everything else.
pub(in crate::memory) struct Kept {
    pub(in crate::memory) record: Record,
    pub(in crate::memory) age: u16,
}

/// The progress of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::memory) enum Copying {
    More,
    Done,
    Void,
}

impl Shard {
    /// Begins a copy: notes the place of each session in its queue.
    pub(in crate::memory) fn begin_copy(&self, copy: &mut ShardCopy) {
        copy.layout = self.layout;
        copy.sessions.clear();
        copy.ages.clear();
        copy.ages.resize(self.queue.slots(), 0);
        for class in Class::ALL {
            let sessions = self.queue.len_of(class).max(1);
            for (place, slot) in self.queue.iter(class).enumerate() {
                copy.ages[slot as usize] = u16::try_from((place << 16) / sessions).unwrap_or(u16::MAX);
            }
        }
    }

    /// Continues a copy with the sessions in these slots. A session keeps its slot, so none is left
    /// out or copied twice. If all sessions got new slots since the copy began, it is void.
    pub(in crate::memory) fn copy(&self, slots: Range<u32>, now: u64, copy: &mut ShardCopy) -> Copying {
        if copy.layout != self.layout {
            return Copying::Void;
        }
        let end = slots.end;
        for slot in slots {
            let Some(record) = self.in_slot(slot) else { continue };
            let state = record.state();
            // The handle in a free slot may be that of a session that is in another slot now.
            if state.slot.load(Ordering::Relaxed) != slot || is_expired(record, now) {
                continue;
            }
            copy.sessions.push(Copied {
                record: record.clone(),
                deadline: state.deadline.load(Ordering::Relaxed),
                // A slot that was added since belongs to a new session.
                age: copy.ages.get(slot as usize).copied().unwrap_or(u16::MAX),
                class: state.class(),
                visited: state.visited.load(Ordering::Relaxed),
            });
        }
        if (end as usize) < self.queue.slots() { Copying::More } else { Copying::Done }
    }

    /// Adds a session from a file, at the newer end of the queue it was in. `Overtaken`: its handle
    /// is taken.
    pub(in crate::memory) fn readmit(
        &mut self,
        hash: u64,
        kept: Kept,
        now: u64,
        removed: &mut Removed,
    ) -> InsertOutcome {
        let Kept { record, .. } = kept;
        let handle = record.state().handle;
        if self.by_handle(hash, handle).is_some() {
            return InsertOutcome::Overtaken;
        }
        record.state().set_class(class_after(record.state().class(), record.is_owned()));
        self.insert(hash, record, now, removed)
    }
}

/// How many sessions were evicted.
pub(in crate::memory) fn evicted(removed: &Removed) -> usize {
    removed.iter().filter(|(_, reason)| *reason == RemovalCause::Evicted).count()
}
