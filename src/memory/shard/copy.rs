//! What a snapshot takes out of a shard at one instant, and how a session comes back from one.

use std::collections::HashMap;

use super::{Freed, Reason, Retired, Shard, class_after, is_expired};
use crate::id::{Handle, Proof};
use crate::record::{Class, Record};
use crate::sync::Ordering;

/// The live sessions of a shard: pointers, and what moves on beside them. Used again for the next shard, so that nothing
/// is allocated under its lock but once.
#[derive(Default)]
pub(in crate::memory) struct ShardCopy {
    pub(in crate::memory) sessions: Vec<Copied>,
    /// Ids in their grace, with its end.
    pub(in crate::memory) grace: HashMap<Handle, (Proof, u64)>,
    /// By slot.
    ages: Vec<u16>,
}

pub(in crate::memory) struct Copied {
    pub(in crate::memory) record: Record,
    pub(in crate::memory) deadline: u64,
    /// Where it stands in its queue: the oldest at 0, the newest near 65,535, so that queues of any length can be joined.
    pub(in crate::memory) age: u16,
    pub(in crate::memory) class: Class,
    pub(in crate::memory) visited: bool,
}

/// A session on its way back. Its block already says everything else.
pub(in crate::memory) struct Kept {
    pub(in crate::memory) record: Record,
    pub(in crate::memory) age: u16,
    /// An id in its grace, with its end. Boxed: few have one.
    pub(in crate::memory) grace: Option<Box<(Proof, u64)>>,
}

impl Shard {
    pub(in crate::memory) fn copy(&self, now: u64, copy: &mut ShardCopy) {
        copy.ages.clear();
        copy.ages.resize(self.queue.slots(), 0);
        for class in Class::ALL {
            let sessions = self.queue.len_of(class).max(1);
            for (place, slot) in self.queue.iter(class).enumerate() {
                copy.ages[slot as usize] = u16::try_from((place << 16) / sessions).unwrap_or(u16::MAX);
            }
        }
        copy.sessions.clear();
        copy.sessions.extend(self.table.iter().filter(|record| !is_expired(record, now)).map(|record| {
            let state = record.state();
            Copied {
                record: record.clone(),
                deadline: state.deadline.load(Ordering::Relaxed),
                age: copy.ages[state.slot.load(Ordering::Relaxed) as usize],
                class: state.class(),
                visited: state.visited.load(Ordering::Relaxed),
            }
        }));
        let in_grace = self.retired.iter().filter(|(_, old)| old.until > now);
        copy.grace.clear();
        copy.grace.extend(in_grace.map(|(handle, old)| (*handle, (old.proof, old.until))));
    }

    /// Adds a session that was in a file, at the newer end of the queue it was in. `false`: its handle is taken.
    pub(in crate::memory) fn readmit(&mut self, hash: u64, kept: Kept, now: u64, freed: &mut Freed) -> bool {
        let Kept { record, grace, .. } = kept;
        let handle = record.state().handle;
        if self.by_handle(hash, handle).is_some() {
            return false;
        }
        record.state().set_class(class_after(record.state().class(), record.is_owned()));
        if let Some(grace) = grace {
            let (proof, until) = *grace;
            self.retired.insert(handle, Retired { proof, until });
        }
        self.insert(hash, record, now, freed);
        true
    }
}

/// How many sessions had to go.
pub(in crate::memory) fn evicted(freed: &Freed) -> usize {
    freed.iter().filter(|(_, reason)| *reason == Reason::Evicted).count()
}
