//! Eviction: the choice of victims when a shard is over its budget.
//!
//! Expired sessions are removed first. After that, the class of a session counts before its size
//! and age: sessions without an owner are evicted until they use no more than the anonymous share,
//! and only then sessions with an owner. Within a class, a session that was visited since its last
//! examination gets a second chance (SIEVE).
//!
//! If a session without an owner is larger than the anonymous share and does not fit beside the
//! sessions with an owner, it is refused before a live session is evicted or anything is written. A
//! session with an owner is never refused.

use super::{RemovalCause, Removed, Shard};
use crate::memory::queue::charge;
use crate::record::{Class, Record};
use crate::sync::Ordering;

/// The divisor for the share of a shard's budget that probation can keep: a tenth, as in S3-FIFO.
const PROBATION_SHARE: usize = 10;

/// How many sessions get a second chance in one eviction. This bounds an insert to well under a
/// millisecond, even if every session was visited. After that, visited sessions are evicted, too.
const MAX_SECOND_CHANCES: usize = 4096;

/// How many sessions in main are examined in the search for one abandoned session. The limit bounds
/// the time of an insert.
const MAX_EXAMINED: usize = 16;

impl Shard {
    /// Notes a visit to a session. Runs under the read lock.
    pub(in crate::memory) fn visit(&self, record: &Record) {
        let state = record.state();
        if !state.visited.load(Ordering::Relaxed) {
            state.visited.store(true, Ordering::Relaxed);
        }
        if state.class() == Class::Main {
            self.aging.visit(record);
        }
    }

    /// Evicts until the shard is within its budget, but never the session in slot `keep`, which
    /// [`make_room`](Self::make_room) admitted.
    #[cold]
    pub(super) fn evict(&mut self, keep: u32, removed: &mut Removed) {
        let mut chances = MAX_SECOND_CHANCES;
        while self.bytes() > self.limits.budget {
            // Never `None`, because the session in `keep` alone does not exceed the budget.
            let Some(slot) = self.victim(keep, &mut chances) else { return };
            #[cfg(any(test, feature = "testing"))]
            self.check_victim(slot);
            if let Some(handle) = self.queues.handle(slot) {
                self.remove(self.hash_of(handle), handle, RemovalCause::Evicted, removed);
            }
        }
    }

    /// Evicts until the shard is within a budget that became smaller.
    pub(in crate::memory) fn evict_surplus(&mut self, removed: &mut Removed) {
        self.evict(u32::MAX, removed);
    }

    /// Removes expired sessions if the shard would be over its budget with `next` in the place of
    /// `current`. Returns true if `next` may be stored, even if the caller then evicts other
    /// sessions.
    #[cold]
    pub(super) fn make_room(
        &mut self,
        next: &Record,
        current: Option<&Record>,
        now: u64,
        removed: &mut Removed,
    ) -> bool {
        let (bytes, before) = (charge(next), current.map_or(0, charge));
        let more = bytes.saturating_sub(before);
        self.evict_expired(more, now, removed);
        if next.is_owned() || self.bytes() + more <= self.limits.budget {
            return true;
        }
        // If `next` is within the anonymous share, it may evict sessions with an owner. If it is
        // larger, it may evict only sessions without one.
        let owned_before = current.filter(|current| current.is_owned()).map_or(0, charge);
        let owned = self.queues.bytes_of(Class::Owned).saturating_sub(owned_before);
        !self.limits.refuse_anonymous && (bytes <= self.limits.anonymous_share || owned + bytes <= self.limits.budget)
    }

    /// Counts wrong victims. A victim with an owner is wrong while sessions without one have more
    /// than their share.
    #[cfg(any(test, feature = "testing"))]
    fn check_victim(&mut self, slot: u32) {
        let owned = self.in_slot(slot).is_some_and(Record::is_owned);
        let anonymous = self.bytes() - self.queues.bytes_of(Class::Owned);
        self.wrong_victims += usize::from(owned && anonymous > self.limits.anonymous_share);
    }

    fn evict_expired(&mut self, more: usize, now: u64, removed: &mut Removed) {
        let mut expired = Vec::new();
        while self.bytes() + more > self.limits.budget && self.expiry.is_any_due(now) {
            expired.clear();
            let end = self.scan(0, usize::MAX, now, &mut expired);
            for handle in &expired {
                if self.bytes() + more > self.limits.budget {
                    self.remove_expired(*handle, now, removed);
                }
            }
            if end.is_none() {
                self.expiry.recompute_earliest();
            }
            if expired.is_empty() {
                return;
            }
        }
    }

    /// The classes in the order in which their sessions are evicted.
    fn eviction_order(&self) -> [Class; 3] {
        let probation = self.queues.bytes_of(Class::Probation);
        let is_probation_full = probation > self.limits.budget / PROBATION_SHARE;
        let [first, second] =
            if is_probation_full { [Class::Probation, Class::Main] } else { [Class::Main, Class::Probation] };
        let anonymous = probation + self.queues.bytes_of(Class::Main);
        if anonymous > self.limits.anonymous_share {
            [first, second, Class::Owned]
        } else {
            [Class::Owned, first, second]
        }
    }

    /// The next victim. A visited session gets a second chance: from probation it moves to main,
    /// and in the other classes it moves to the newer end of its queue. Abandoned sessions in main
    /// are evicted before new ones in probation.
    fn victim(&mut self, keep: u32, chances: &mut usize) -> Option<u32> {
        if self.eviction_order()[0] == Class::Probation
            && let Some(abandoned) = self.next_abandoned(keep)
        {
            return Some(abandoned);
        }
        loop {
            let mut order = self.eviction_order().into_iter();
            let (class, slot) = order.find_map(|class| Some((class, self.queues.oldest(class, Some(keep))?)))?;
            let record = self.in_slot(slot)?;
            if *chances == 0 || !record.state().visited.swap(false, Ordering::Relaxed) {
                return Some(slot);
            }
            *chances -= 1;
            record.state().generation.store(self.aging.last_generation(), Ordering::Relaxed);
            self.move_to(slot, class, if class == Class::Owned { Class::Owned } else { Class::Main });
        }
    }

    /// An abandoned session in main, if one is among the next to be examined.
    fn next_abandoned(&mut self, keep: u32) -> Option<u32> {
        self.aging.advance(self.queues.len_of(Class::Main));
        for _ in 0..MAX_EXAMINED.min(self.aging.unexamined) {
            self.aging.unexamined -= 1;
            let slot = self.queues.oldest(Class::Main, Some(keep))?;
            if self.aging.is_abandoned(self.in_slot(slot)?) {
                return Some(slot);
            }
            self.move_to(slot, Class::Main, Class::Main);
        }
        None
    }

    /// Moves a session to the newer end of a queue.
    fn move_to(&mut self, slot: u32, from: Class, to: Class) {
        let Some(record) = self.in_slot(slot) else { return };
        let bytes = charge(record);
        record.state().set_class(to);
        self.queues.move_to(slot, from, to, bytes);
    }
}
