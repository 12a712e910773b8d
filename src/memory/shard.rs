//! One shard: a table of rows, their queues, their expiry index and their bytes. It knows no lock
//! and no channel.
//!
//! Removed records are returned to the caller, which drops and reports them after unlocking.

mod copy;
mod evict;
mod owned;
mod tidy;
mod turns;
#[cfg(any(test, feature = "testing"))]
mod validate;

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

pub(super) use self::copy::{Copied, Copying, Kept, ShardCopy, evicted};
use self::owned::Owned;
use self::turns::Turns;
use super::expiry::{BATCH, Due, Expiry};
use super::queue::Queue;
use super::table::Table;
use super::weight::weight;
use crate::id::Handle;
use crate::record::{Class, Record};
use crate::store::is_expired;
use crate::sync::Ordering;

/// Rows that were removed from the shard, with the cause. Nearly always at most one.
pub(super) type Removed = SmallVec<[(Record, RemovalCause); 1]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RemovalCause {
    Expired,
    Evicted,
    Destroyed,
    /// The next row of the same session took its place.
    Replaced,
}

/// The outcome of storing a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InsertOutcome {
    Done,
    /// The stored row is not the one that the next one was worked out from.
    Overtaken,
    /// There is no room that a session without an owner may take. What was stored stays.
    Refused,
}

pub(super) struct Shard {
    table: Table<Record>,
    queue: Queue,
    expiry: Expiry,
    owned: Owned,
    turns: Turns,
    hasher: RandomState,
    room: Room,
    /// Changes whenever all sessions are removed or get new slots.
    layout: u32,
    /// How many sessions with an owner were evicted while those without one had more than their
    /// share: a bug.
    #[cfg(any(test, feature = "testing"))]
    wrong_victims: usize,
}

/// The budget of a shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) budget: usize,
    /// The bytes that sessions without an owner are sure of. Beyond them they evict each other
    /// only.
    pub(super) anonymous_share: usize,
    /// Beyond the budget, sessions without an owner evict none: a new or larger one is refused.
    pub(super) refuse_anonymous: bool,
}

impl Shard {
    pub(super) fn new(room: Room, hasher: RandomState) -> Self {
        Self {
            table: Table::new(),
            queue: Queue::new(),
            expiry: Expiry::new(),
            owned: Owned::default(),
            turns: Turns::new(),
            hasher,
            room,
            layout: 0,
            #[cfg(any(test, feature = "testing"))]
            wrong_victims: 0,
        }
    }

    /// Puts `empty` in this shard's place and returns the shard as it was.
    pub(super) fn give_way_to(&mut self, mut empty: Self) -> Self {
        // A copy under way must start over: it would hold sessions of before and after.
        empty.layout = self.layout.wrapping_add(1);
        std::mem::replace(self, empty)
    }

    pub(super) fn set_budget(&mut self, budget: usize) {
        self.room.budget = budget;
    }

    pub(super) fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many sessions have an owner, and how many bytes they count for.
    pub(super) fn owned(&self) -> (usize, usize) {
        (self.owned.len(), self.queue.bytes_of(Class::Owned))
    }

    /// Every row, including expired ones.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Record> {
        self.table.iter()
    }

    /// How many sessions are live. Only the sessions with a due tick are examined one by one.
    pub(super) fn count_live(&self, now: u64) -> usize {
        let mut due = Due::new();
        self.expiry.due(0, usize::MAX, usize::MAX, now, &mut due);
        let live = due.into_iter().filter(|slot| self.in_slot(*slot).is_some_and(|record| !is_expired(record, now)));
        self.expiry.count_later(now) + live.count()
    }

    /// Stores `next`, or nothing, in the place of `current`, the live row that was read under this
    /// handle at `now`, if the shard still has that row. The pointers are compared, not the
    /// versions. `removed` is empty before.
    pub(super) fn swap(
        &mut self,
        hash: u64,
        handle: Handle,
        current: Option<&Record>,
        next: Option<Record>,
        now: u64,
        removed: &mut Removed,
    ) -> InsertOutcome {
        if let Some(current) = current {
            let Some(next) = next else {
                self.remove_if(hash, |row| row.same_block(current), RemovalCause::Destroyed, removed);
                // The row that was there, if it was this one, is among the removed.
                return if removed.is_empty() { InsertOutcome::Overtaken } else { InsertOutcome::Done };
            };
            return self.replace(hash, current, next, now, removed);
        }
        match self.by_handle(hash, handle) {
            None => {}
            Some(there) if is_expired(there, now) => self.remove(hash, handle, RemovalCause::Expired, removed),
            // A touch that began earlier may have prolonged it.
            Some(_) => return InsertOutcome::Overtaken,
        }
        let Some(next) = next else { return InsertOutcome::Done };
        self.begin(hash, next, now, removed)
    }

    /// Adds a new session. The handle is free.
    fn begin(&mut self, hash: u64, record: Record, now: u64, removed: &mut Removed) -> InsertOutcome {
        let state = record.state();
        let class = if record.is_owned() { Class::Owned } else { Class::Probation };
        state.set_class(class);
        state.visited.store(false, Ordering::Relaxed);
        self.insert(hash, record, now, removed)
    }

    /// Adds a session to the queue that its block names. The handle is free.
    fn insert(&mut self, hash: u64, record: Record, now: u64, removed: &mut Removed) -> InsertOutcome {
        let bytes = weight(&record);
        let crowded = self.bytes() + bytes > self.room.budget;
        if crowded && !self.has_room(&record, None, now, removed) {
            return InsertOutcome::Refused;
        }
        let state = record.state();
        let (class, handle) = (state.class(), state.handle);
        let slot = self.queue.push(class, handle, bytes);
        state.slot.store(slot, Ordering::Relaxed);
        state.turn.store(self.turns.last(), Ordering::Relaxed);
        self.expiry.file(slot, state.deadline.load(Ordering::Relaxed));
        if record.is_owned() {
            self.owned.change(&self.hasher, slot, None, record.owner());
        }
        self.table.insert(hash, record);
        if crowded {
            self.evict(slot, removed);
        }
        InsertOutcome::Done
    }

    /// Stores the next row of a session in the place of the current one, if that is there.
    fn replace(&mut self, hash: u64, current: &Record, next: Record, now: u64, removed: &mut Removed) -> InsertOutcome {
        let (old_weight, new_weight) = (weight(current), weight(&next));
        // While the row is stored, its bytes are among the shard's.
        let crowded = self.bytes() + new_weight > self.room.budget + old_weight;
        if crowded
            && self.table.find(hash, |row| row.same_block(current)).is_some()
            && !self.has_room(&next, Some(current), now, removed)
        {
            return InsertOutcome::Refused;
        }
        let Some(place) = self.table.find_mut(hash, |row| row.same_block(current)) else {
            return InsertOutcome::Overtaken;
        };
        let (old, new) = (place.state(), next.state());
        let slot = old.slot.load(Ordering::Relaxed);
        let (before, after) = (old.deadline.load(Ordering::Relaxed), new.deadline.load(Ordering::Relaxed));
        new.slot.store(slot, Ordering::Relaxed);
        new.visited.store(old.visited.load(Ordering::Relaxed), Ordering::Relaxed);
        new.turn.store(old.turn.load(Ordering::Relaxed), Ordering::Relaxed);
        let class = old.class();
        let next_class = class_after(class, next.is_owned());
        new.set_class(next_class);
        if place.is_owned() || next.is_owned() {
            self.owned.change(&self.hasher, slot, place.owner(), next.owner());
        }
        removed.push((std::mem::replace(place, next), RemovalCause::Replaced));
        self.queue.reweigh(class, old_weight, new_weight);
        if class != next_class {
            self.queue.move_to(slot, class, next_class, new_weight);
        }
        if after < before {
            self.expiry.lower(slot, after);
        }
        if crowded {
            self.evict(slot, removed);
        }
        InsertOutcome::Done
    }

    /// Moves the deadline of a session. Runs under the read lock, because deadline and expiry index
    /// are atomics.
    pub(super) fn touch(&self, record: &Record, deadline: u64) {
        let state = record.state();
        let before = state.deadline.swap(deadline, Ordering::SeqCst);
        if deadline < before {
            self.expiry.lower(state.slot.load(Ordering::Relaxed), deadline);
        }
    }

    pub(super) fn remove(&mut self, hash: u64, handle: Handle, reason: RemovalCause, removed: &mut Removed) {
        self.remove_if(hash, |record| record.state().handle == handle, reason, removed);
    }

    fn remove_if(&mut self, hash: u64, is_it: impl Fn(&Record) -> bool, reason: RemovalCause, removed: &mut Removed) {
        let Some(record) = self.table.remove(hash, is_it) else { return };
        let state = record.state();
        let slot = state.slot.load(Ordering::Relaxed);
        self.queue.remove(slot, state.class(), weight(&record));
        self.expiry.unfile(slot);
        if record.is_owned() {
            self.owned.change(&self.hasher, slot, record.owner(), None);
        }
        removed.push((record, reason));
    }

    /// Examines due sessions from slot `from` on, under the read lock: collects the expired ones
    /// and files the others again. At most `window` slots and [`BATCH`] sessions. Returns where to
    /// go on, `None` at the end.
    pub(super) fn scan(&self, from: usize, window: usize, now: u64, expired: &mut Vec<Handle>) -> Option<usize> {
        let mut due = Due::new();
        let next = self.expiry.due(from, window, BATCH, now, &mut due);
        // Slot, handle and row are one cache miss each, one after the other. Each step is done for
        // the whole batch before the next one, so that the misses of a step overlap.
        let hash = |handle| hash_of(&self.hasher, handle);
        let handles: SmallVec<[_; BATCH]> = due.iter().map(|slot| self.queue.handle(*slot)).collect();
        let likely: SmallVec<[_; BATCH]> =
            handles.iter().map(|handle| self.table.find(hash((*handle)?), |_| true)).collect();
        for ((slot, handle), likely) in due.into_iter().zip(handles).zip(likely) {
            let Some(handle) = handle else { continue };
            let is_it = |record: &&Record| record.state().handle == handle;
            let Some(record) = likely.filter(is_it).or_else(|| self.by_handle(hash(handle), handle)) else { continue };
            if is_expired(record, now) {
                expired.push(handle);
            } else {
                self.expiry.refile(slot, || record.state().deadline.load(Ordering::SeqCst));
            }
        }
        next
    }

    /// Removes a session if it is still expired.
    pub(super) fn remove_expired(&mut self, handle: Handle, now: u64, removed: &mut Removed) {
        let is_it = |record: &Record| record.state().handle == handle && is_expired(record, now);
        self.remove_if(hash_of(&self.hasher, handle), is_it, RemovalCause::Expired, removed);
    }

    /// The live session with this handle.
    #[inline]
    pub(super) fn live(&self, hash: u64, handle: Handle, now: u64) -> Option<&Record> {
        self.by_handle(hash, handle).filter(|record| !is_expired(record, now))
    }

    /// The row of a handle, even if it is expired.
    #[inline]
    pub(super) fn by_handle(&self, hash: u64, handle: Handle) -> Option<&Record> {
        self.table.find(hash, |record| record.state().handle == handle)
    }

    fn in_slot(&self, slot: u32) -> Option<&Record> {
        let handle = self.queue.handle(slot)?;
        self.by_handle(hash_of(&self.hasher, handle), handle)
    }
}

/// The queue of a session after a commit.
fn class_after(class: Class, owned: bool) -> Class {
    match (class, owned) {
        (_, true) => Class::Owned,
        // The session lost its owner but has been in use, so it does not start over in probation.
        (Class::Owned, false) => Class::Main,
        (class, false) => class,
    }
}

pub(super) fn hash_of(hasher: &RandomState, handle: Handle) -> u64 {
    // As one number: hashing the same bytes as a slice costs more.
    hasher.hash_one(handle.to_u64())
}
