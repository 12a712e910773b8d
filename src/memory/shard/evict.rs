//! Eviction: the victims of a shard over its budget. Expired sessions first, then unvisited ones,
//! those with an owner last.
//!
//! The class decides before size and age, and the session about to be stored counts as one of its
//! class. So a session without an owner is refused if its place could only be made by evicting
//! sessions with an owner for more than the anonymous share. That is decided before anything is
//! evicted or written. A session with an owner is never refused.

use super::{RemovalCause, Removed, Shard, hash_of};
use crate::memory::weight::weight;
use crate::record::{Class, Record};
use crate::sync::Ordering;

/// The divisor for the share of a shard's budget that probation is sure of: a tenth, as in S3-FIFO.
const PROBATION_SHARE: usize = 10;

/// How many sessions get a second chance in one eviction. It bounds an insert to well under a
/// millisecond if every session was visited; after that a visited session is evicted all the same.
const MAX_SECOND_CHANCES: usize = 4096;

impl Shard {
    /// Evicts by the queues until the shard is within its budget; never the session in slot `keep`,
    /// which [`has_room`](Self::has_room) let in.
    #[cold]
    pub(super) fn evict(&mut self, keep: u32, removed: &mut Removed) {
        let mut chances = MAX_SECOND_CHANCES;
        while self.bytes() > self.room.budget {
            // None: only the session just written is left, and it is no larger than the shard.
            let Some(slot) = self.victim(keep, &mut chances) else { return };
            #[cfg(any(test, feature = "testing"))]
            self.note_victim(slot);
            self.remove_slot(slot, RemovalCause::Evicted, removed);
        }
    }

    /// Evicts by the queues until the shard is within a budget that became smaller.
    pub(in crate::memory) fn evict_surplus(&mut self, removed: &mut Removed) {
        self.evict(u32::MAX, removed);
    }

    /// Returns true if `next` may be stored, in the place of `current` if there is one, once other
    /// sessions were evicted. Removes expired sessions first. For a row that takes the shard over
    /// its budget.
    #[cold]
    pub(super) fn has_room(
        &mut self,
        next: &Record,
        current: Option<&Record>,
        now: u64,
        removed: &mut Removed,
    ) -> bool {
        let (bytes, before) = (weight(next), current.map_or(0, weight));
        let more = bytes.saturating_sub(before);
        self.evict_expired(more, now, removed);
        if next.is_owned() || self.bytes() + more <= self.room.budget {
            return true;
        }
        // Within its share, it may evict sessions with an owner. Beyond, only others without one.
        let owned_before = current.filter(|current| current.is_owned()).map_or(0, weight);
        let owned = self.queue.bytes_of(Class::Owned).saturating_sub(owned_before);
        !self.room.refuse_anonymous && (bytes <= self.room.anonymous_share || owned + bytes <= self.room.budget)
    }

    /// Checks that sessions without an owner are within their share when one with an owner is
    /// evicted.
    #[cfg(any(test, feature = "testing"))]
    fn note_victim(&mut self, slot: u32) {
        let owned = self.in_slot(slot).is_some_and(Record::is_owned);
        let anonymous = self.bytes() - self.queue.bytes_of(Class::Owned);
        self.wrong_victims += usize::from(owned && anonymous > self.room.anonymous_share);
    }

    fn evict_expired(&mut self, more: usize, now: u64, removed: &mut Removed) {
        let mut expired = Vec::new();
        while self.bytes() + more > self.room.budget && self.expiry.any_due(now) {
            expired.clear();
            let end = self.scan(0, usize::MAX, now, &mut expired);
            for handle in &expired {
                if self.bytes() + more > self.room.budget {
                    self.remove_expired(*handle, now, removed);
                }
            }
            if end.is_none() {
                self.expiry.settle();
            }
            if expired.is_empty() {
                return;
            }
        }
    }

    /// The queues in the order in which they give up a session. Those without an owner come first,
    /// down to their share.
    fn order(&self) -> [Class; 3] {
        let probation = self.queue.bytes_of(Class::Probation);
        let crowded = probation > self.room.budget / PROBATION_SHARE;
        let [first, second] = if crowded { [Class::Probation, Class::Main] } else { [Class::Main, Class::Probation] };
        let anonymous = probation + self.queue.bytes_of(Class::Main);
        if anonymous > self.room.anonymous_share {
            [first, second, Class::Owned]
        } else {
            [Class::Owned, first, second]
        }
    }

    /// The next victim. A visited session gets a second chance and moves: from probation to main,
    /// in main and among the owned to the newer end. Abandoned sessions in main are evicted before
    /// new ones in probation.
    fn victim(&mut self, keep: u32, chances: &mut usize) -> Option<u32> {
        if self.order()[0] == Class::Probation
            && let Some(left) = self.left_behind(keep)
        {
            return Some(left);
        }
        loop {
            let next = self.order().into_iter().find_map(|class| Some((class, self.queue.oldest(class, Some(keep))?)));
            let (class, slot) = next?;
            let record = self.in_slot(slot)?;
            if *chances == 0 || !record.state().visited.swap(false, Ordering::Relaxed) {
                return Some(slot);
            }
            *chances -= 1;
            record.state().turn.store(self.turns.last(), Ordering::Relaxed);
            self.move_to(slot, class, if class == Class::Owned { Class::Owned } else { Class::Main });
        }
    }

    /// Moves a session to the newer end of a queue.
    pub(super) fn move_to(&mut self, slot: u32, from: Class, to: Class) {
        let Some(record) = self.in_slot(slot) else { return };
        let bytes = weight(record);
        record.state().set_class(to);
        self.queue.move_to(slot, from, to, bytes);
    }

    fn remove_slot(&mut self, slot: u32, reason: RemovalCause, removed: &mut Removed) {
        if let Some(handle) = self.queue.handle(slot) {
            self.remove(hash_of(&self.hasher, handle), handle, reason, removed);
        }
    }
}
