//! Maintenance of a shard: frees the memory of tables that have become too large.

use super::Shard;
use super::owned::Owned;
use crate::memory::expiry::Expiry;
use crate::memory::queue::Queue;
use crate::memory::weight::weight;
use crate::record::Class;
use crate::sync::Ordering;

impl Shard {
    /// Runs after a purge: frees memory if most of it is empty.
    pub(in crate::memory) fn tidy(&mut self) {
        if self.wants_compaction() {
            self.compact();
        }
        self.expiry.settle();
    }

    /// Returns true if [`tidy`](Self::tidy) has anything to do.
    pub(in crate::memory) fn wants_tidying(&self, now: u64) -> bool {
        self.wants_compaction() || self.expiry.any_due(now)
    }

    fn wants_compaction(&self) -> bool {
        // Eight times too large, and more than a page of pointers.
        self.queue.slots() > 512 && self.table.len() < self.queue.slots() / 8
    }

    /// Gives the sessions new slots without gaps, in the order of their queues.
    fn compact(&mut self) {
        let mut queue = Queue::new();
        let mut expiry = Expiry::new();
        let mut owned = Owned::default();
        for class in Class::ALL {
            for old in self.queue.iter(class) {
                let Some(record) = self.in_slot(old) else { continue };
                let state = record.state();
                let slot = queue.push(class, state.handle, weight(record));
                state.slot.store(slot, Ordering::Relaxed);
                expiry.file(slot, state.deadline.load(Ordering::Relaxed));
                owned.change(&self.hasher, slot, None, record.owner());
            }
        }
        (self.queue, self.expiry, self.owned) = (queue, expiry, owned);
        self.layout = self.layout.wrapping_add(1);
        self.table.shrink();
    }
}
