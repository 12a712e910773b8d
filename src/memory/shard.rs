//! A shard: rows in a hash table, with their eviction queues and indexes, and without a lock.
//!
//! Removed records are returned to the caller, which reports and drops them after unlocking.

mod aging;
pub(super) mod copy;
mod evict;
mod expire;
mod owner_index;
#[cfg(any(test, feature = "testing"))]
mod validate;

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use self::aging::Aging;
use self::owner_index::OwnerIndex;
use super::expiry::ExpiryIndex;
use super::queue::{EvictionQueues, charge};
use super::table::Table;
use crate::id::Handle;
use crate::record::{Class, Record};
use crate::store::is_expired;
use crate::sync::Ordering;

/// Records that were removed from the shard, with the cause. Nearly always at most one.
pub(super) type Removed = SmallVec<[(Record, RemovalCause); 1]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RemovalCause {
    Expired,
    Evicted,
    Destroyed,
    /// The next row of the same session is stored in its place.
    Replaced,
}

/// The outcome of storing a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InsertOutcome {
    Done,
    /// The stored row is not the one that the next one was computed from.
    Conflict,
    /// There is no room for a session without an owner. The stored row stays.
    Refused,
}

pub(super) struct Shard {
    table: Table<Record>,
    queues: EvictionQueues,
    expiry: ExpiryIndex,
    owners: OwnerIndex,
    aging: Aging,
    hasher: RandomState,
    limits: ShardLimits,
    /// Changes when all sessions are removed or get new slots.
    layout: u32,
    /// See [`check_victim`](Self::check_victim).
    #[cfg(any(test, feature = "testing"))]
    wrong_victims: usize,
}

/// The limits of a shard, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShardLimits {
    pub(super) budget: usize,
    /// The bytes guaranteed to sessions without an owner. Beyond them, they evict only each other.
    pub(super) anonymous_share: usize,
    /// Whether a full shard refuses a session without an owner that is new or grows.
    pub(super) refuse_anonymous: bool,
}

impl Shard {
    pub(super) fn new(limits: ShardLimits, hasher: RandomState) -> Self {
        Self {
            table: Table::new(),
            queues: EvictionQueues::new(),
            expiry: ExpiryIndex::new(),
            owners: OwnerIndex::default(),
            aging: Aging::new(),
            hasher,
            limits,
            layout: 0,
            #[cfg(any(test, feature = "testing"))]
            wrong_victims: 0,
        }
    }

    /// Empties the shard and returns it as it was.
    pub(super) fn take(&mut self) -> Self {
        let mut empty = Self::new(self.limits, self.hasher.clone());
        // A copy under way starts over, because it would mix sessions from before and after.
        empty.layout = self.layout.wrapping_add(1);
        std::mem::replace(self, empty)
    }

    pub(super) fn set_budget(&mut self, budget: usize) {
        self.limits.budget = budget;
    }

    pub(super) fn bytes(&self) -> usize {
        self.queues.bytes()
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many sessions have an owner, and how many bytes they count for.
    pub(super) fn owned(&self) -> (usize, usize) {
        (self.owners.len(), self.queues.bytes_of(Class::Owned))
    }

    /// Every row, expired ones included.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Record> {
        self.table.iter()
    }

    /// Stores `next` in the place of `current` if the shard still has that row (the pointers are
    /// compared, not the versions). `current`: the live row that was read under this handle at
    /// `now`, or `None` if there was none. If `next` is `None`, the row is removed. The caller
    /// passes an empty `removed`.
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
                return if removed.is_empty() { InsertOutcome::Conflict } else { InsertOutcome::Done };
            };
            return self.replace(hash, current, next, now, removed);
        }
        match self.by_handle(hash, handle) {
            None => {}
            Some(stored) if is_expired(stored, now) => self.remove(hash, handle, RemovalCause::Expired, removed),
            // A touch that began before `now` may have prolonged it.
            Some(_) => return InsertOutcome::Conflict,
        }
        let Some(next) = next else { return InsertOutcome::Done };
        self.create(hash, next, now, removed)
    }

    /// Adds a new session. The handle is free.
    fn create(&mut self, hash: u64, record: Record, now: u64, removed: &mut Removed) -> InsertOutcome {
        let state = record.state();
        let class = if record.is_owned() { Class::Owned } else { Class::Probation };
        state.set_class(class);
        state.visited.store(false, Ordering::Relaxed);
        self.insert(hash, record, now, removed)
    }

    /// Adds a session to the queue of its class. The handle is free.
    fn insert(&mut self, hash: u64, record: Record, now: u64, removed: &mut Removed) -> InsertOutcome {
        let bytes = charge(&record);
        let is_crowded = self.bytes() + bytes > self.limits.budget;
        if is_crowded && !self.make_room(&record, None, now, removed) {
            return InsertOutcome::Refused;
        }
        let state = record.state();
        let (class, handle) = (state.class(), state.handle);
        let slot = self.queues.push(class, handle, bytes);
        state.slot.store(slot, Ordering::Relaxed);
        state.generation.store(self.aging.last_generation(), Ordering::Relaxed);
        self.expiry.set(slot, state.deadline());
        if record.is_owned() {
            self.owners.change(&self.hasher, slot, None, record.owner());
        }
        self.table.insert(hash, record);
        if is_crowded {
            self.evict(slot, removed);
        }
        InsertOutcome::Done
    }

    /// Stores the next row of a session in the place of the current one, if that is still stored.
    fn replace(&mut self, hash: u64, current: &Record, next: Record, now: u64, removed: &mut Removed) -> InsertOutcome {
        let (old_charge, new_charge) = (charge(current), charge(&next));
        // The shard's bytes include those of the current row.
        let is_crowded = self.bytes() + new_charge > self.limits.budget + old_charge;
        if is_crowded
            && self.table.find(hash, |row| row.same_block(current)).is_some()
            && !self.make_room(&next, Some(current), now, removed)
        {
            return InsertOutcome::Refused;
        }
        let Some(stored) = self.table.find_mut(hash, |row| row.same_block(current)) else {
            return InsertOutcome::Conflict;
        };
        let (old, new) = (stored.state(), next.state());
        let slot = old.slot.load(Ordering::Relaxed);
        let (before, after) = (old.deadline(), new.deadline());
        new.slot.store(slot, Ordering::Relaxed);
        new.visited.store(old.visited.load(Ordering::Relaxed), Ordering::Relaxed);
        new.generation.store(old.generation.load(Ordering::Relaxed), Ordering::Relaxed);
        let class = old.class();
        let next_class = class_after(class, next.is_owned());
        new.set_class(next_class);
        if stored.is_owned() || next.is_owned() {
            self.owners.change(&self.hasher, slot, stored.owner(), next.owner());
        }
        removed.push((std::mem::replace(stored, next), RemovalCause::Replaced));
        self.queues.recharge(class, old_charge, new_charge);
        if class != next_class {
            self.queues.move_to(slot, class, next_class, new_charge);
        }
        if after < before {
            self.expiry.lower(slot, after);
        }
        if is_crowded {
            self.evict(slot, removed);
        }
        InsertOutcome::Done
    }

    /// Moves the deadline of a session. Deadline and expiry index are atomics, so the read lock is
    /// enough.
    pub(super) fn touch(&self, record: &Record, deadline: u64) {
        let state = record.state();
        let before = state.deadline.swap(deadline, Ordering::SeqCst);
        if deadline < before {
            self.expiry.lower(state.slot.load(Ordering::Relaxed), deadline);
        }
    }

    pub(super) fn remove(&mut self, hash: u64, handle: Handle, cause: RemovalCause, removed: &mut Removed) {
        self.remove_if(hash, |record| record.state().handle == handle, cause, removed);
    }

    fn remove_if(&mut self, hash: u64, is_it: impl Fn(&Record) -> bool, cause: RemovalCause, removed: &mut Removed) {
        let Some(record) = self.table.remove(hash, is_it) else { return };
        let state = record.state();
        let slot = state.slot.load(Ordering::Relaxed);
        self.queues.remove(slot, state.class(), charge(&record));
        self.expiry.clear(slot);
        if record.is_owned() {
            self.owners.change(&self.hasher, slot, record.owner(), None);
        }
        removed.push((record, cause));
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

    /// The live sessions of an owner.
    pub(super) fn owned_by<'s>(&'s self, owner: &'s str, now: u64) -> impl Iterator<Item = &'s Record> {
        let records = self.owners.candidates(&self.hasher, owner).filter_map(|slot| self.in_slot(slot));
        records.filter(move |record| !is_expired(record, now) && record.owner() == Some(owner))
    }

    fn in_slot(&self, slot: u32) -> Option<&Record> {
        let handle = self.queues.handle(slot)?;
        self.by_handle(self.hash_of(handle), handle)
    }

    fn hash_of(&self, handle: Handle) -> u64 {
        hash_of(&self.hasher, handle)
    }
}

/// How many sessions were evicted.
pub(super) fn count_evicted(removed: &Removed) -> usize {
    removed.iter().filter(|(_, cause)| *cause == RemovalCause::Evicted).count()
}

/// The queue of a session after a commit or a restart.
fn class_after(class: Class, owned: bool) -> Class {
    match (class, owned) {
        (_, true) => Class::Owned,
        // The session lost its owner. It has been in use, so it does not start in probation.
        (Class::Owned, false) => Class::Main,
        (class, false) => class,
    }
}

pub(super) fn hash_of(hasher: &RandomState, handle: Handle) -> u64 {
    // Hashing the same bytes as a slice costs more.
    hasher.hash_one(handle.to_u64())
}
