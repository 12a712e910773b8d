//! Expiry of a shard's sessions, and the shrinking of a shard that is mostly empty.

use smallvec::SmallVec;

use super::owner_index::OwnerIndex;
use super::{RemovalCause, Removed, Shard};
use crate::id::Handle;
use crate::memory::expiry::{BATCH, DueSlots, ExpiryIndex};
use crate::memory::queue::{EvictionQueues, charge};
use crate::record::{Class, Record};
use crate::store::is_expired;
use crate::sync::Ordering;

impl Shard {
    /// How many sessions are live. Only the sessions with a due tick are examined one by one.
    pub(in crate::memory) fn count_live(&self, now: u64) -> usize {
        let mut due = DueSlots::new();
        self.expiry.due(0, usize::MAX, usize::MAX, now, &mut due);
        let live = due.into_iter().filter(|slot| self.in_slot(*slot).is_some_and(|record| !is_expired(record, now)));
        self.expiry.count_not_due(now) + live.count()
    }

    /// Examines due sessions from slot `from` on, under the read lock. Collects the expired ones
    /// and reschedules the others. Stops after `window` slots or [`BATCH`] sessions. Returns the
    /// slot to continue from, `None` at the end.
    pub(in crate::memory) fn scan(
        &self,
        from: usize,
        window: usize,
        now: u64,
        expired: &mut Vec<Handle>,
    ) -> Option<usize> {
        let mut due = DueSlots::new();
        let next = self.expiry.due(from, window, BATCH, now, &mut due);
        // To reach a session, the slot, the handle and the row are read, with one cache miss each.
        // Each read is done for the whole batch before the next, so that its misses overlap.
        let handles: SmallVec<[_; BATCH]> = due.iter().map(|slot| self.queues.handle(*slot)).collect();
        let candidates: SmallVec<[_; BATCH]> =
            handles.iter().map(|handle| self.table.find(self.hash_of((*handle)?), |_| true)).collect();
        for ((slot, handle), candidate) in due.into_iter().zip(handles).zip(candidates) {
            let Some(handle) = handle else { continue };
            let is_it = |record: &&Record| record.state().handle == handle;
            let found = candidate.filter(is_it).or_else(|| self.by_handle(self.hash_of(handle), handle));
            let Some(record) = found else { continue };
            if is_expired(record, now) {
                expired.push(handle);
            } else {
                self.expiry.reschedule(slot, || record.state().deadline.load(Ordering::SeqCst));
            }
        }
        next
    }

    /// Removes a session if it is still expired.
    pub(in crate::memory) fn remove_expired(&mut self, handle: Handle, now: u64, removed: &mut Removed) {
        let is_it = |record: &Record| record.state().handle == handle && is_expired(record, now);
        self.remove_if(self.hash_of(handle), is_it, RemovalCause::Expired, removed);
    }

    /// Runs after a purge. Frees memory if most of the shard is empty.
    pub(in crate::memory) fn maintain(&mut self) {
        if self.is_mostly_empty() {
            self.compact();
        }
        self.expiry.recompute_earliest();
    }

    /// Returns true if [`maintain`](Self::maintain) has anything to do.
    pub(in crate::memory) fn needs_maintenance(&self, now: u64) -> bool {
        self.is_mostly_empty() || self.expiry.is_any_due(now)
    }

    fn is_mostly_empty(&self) -> bool {
        // A shard of few slots is not worth the work.
        self.queues.slots() > 512 && self.table.len() < self.queues.slots() / 8
    }

    /// Gives the sessions new slots without gaps, in the order of their queues.
    fn compact(&mut self) {
        let mut queues = EvictionQueues::new();
        let mut expiry = ExpiryIndex::new();
        let mut owners = OwnerIndex::default();
        for class in Class::ALL {
            for old in self.queues.iter(class) {
                let Some(record) = self.in_slot(old) else { continue };
                let state = record.state();
                let slot = queues.push(class, state.handle, charge(record));
                state.slot.store(slot, Ordering::Relaxed);
                expiry.set(slot, state.deadline());
                owners.change(&self.hasher, slot, None, record.owner());
            }
        }
        (self.queues, self.expiry, self.owners) = (queues, expiry, owners);
        self.layout = self.layout.wrapping_add(1);
        self.table.shrink();
    }
}
