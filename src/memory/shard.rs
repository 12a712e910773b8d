//! One shard: a table of records, their queue, their expiry index and their bytes. It knows no lock and no channel.
//!
//! What leaves a shard is handed out alive, in a [`Freed`], so that it is dropped and reported after the lock is released.

mod copy;
mod evict;
mod owned;
mod tidy;
mod turns;
#[cfg(any(test, feature = "testing"))]
mod validate;

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

pub(super) use self::copy::{Copied, Copying, Kept, ShardCopy, evicted};
use self::owned::Owned;
use self::turns::Turns;
use super::expiry::{BATCH, Due, Expiry};
use super::queue::Queue;
use super::table::Table;
use super::weight::{RETIRED, weight};
use crate::id::{Handle, Proof, SessionId};
use crate::record::{Class, Record};
use crate::sync::Ordering;

/// Sessions on their way out of memory, with the reason. Nearly always at most one.
pub(super) type Freed = SmallVec<[(Record, Reason); 1]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Expired,
    Evicted,
    Destroyed,
    /// By the next version of itself.
    Replaced,
}

/// What an id led to.
pub(super) enum Found<'a> {
    /// A live session. `current`: by its current id, not by one in its grace.
    Live {
        record: &'a Record,
        current: bool,
    },
    /// A live session that has another secret.
    DeadId,
    Nothing,
}

/// What became of a session that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Done,
    /// Its handle belongs to a live one.
    Taken,
    /// Its owner has logged out everywhere since its login began.
    Late,
    /// There is no room, and nobody is to make any.
    Refused,
}

struct Retired {
    proof: Proof,
    until: u64,
}

pub(super) struct Shard {
    table: Table<Record>,
    queue: Queue,
    expiry: Expiry,
    owned: Owned,
    turns: Turns,
    /// Ids that were rotated away and still have their grace. Few: most shards never have one.
    retired: HashMap<Handle, Retired, RandomState>,
    hasher: RandomState,
    room: Room,
    /// Another number whenever all sessions are given new slots.
    layout: u32,
}

/// How much a shard may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) budget: usize,
    /// What sessions without an owner are sure of.
    pub(super) anonymous_share: usize,
    /// Beyond the budget new ones of them are refused.
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
            retired: HashMap::with_hasher(hasher.clone()),
            hasher,
            room,
            layout: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.queue.bytes() + self.retired.len() * RETIRED
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many sessions have an owner, and what they count for.
    pub(super) fn owned(&self) -> (usize, usize) {
        (self.owned.len(), self.queue.bytes_of(Class::Owned))
    }

    /// Every session, expired ones too.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.table.iter()
    }

    /// How many sessions are live. Only those near their end are looked at one by one.
    pub(super) fn count_live(&self, now: u64) -> usize {
        let mut due = Due::new();
        self.expiry.due(0, usize::MAX, usize::MAX, now, &mut due);
        let live = due.into_iter().filter(|slot| self.in_slot(*slot).is_some_and(|record| !is_expired(record, now)));
        self.expiry.count_later(now) + live.count()
    }

    /// Finds a live session by its id.
    pub(super) fn find(&self, hash: u64, id: &SessionId, now: u64) -> Found<'_> {
        let Some(record) = self.live(hash, id.handle(), now) else { return Found::Nothing };
        if record.state().proof.accepts(id) {
            return Found::Live { record, current: true };
        }
        match self.retired.get(&id.handle()) {
            Some(old) if old.until > now && old.proof.accepts(id) => Found::Live { record, current: false },
            _ => Found::DeadId,
        }
    }

    /// Adds a session, if its handle is free and there is room for it.
    pub(super) fn create(&mut self, hash: u64, record: Record, now: u64, freed: &mut Freed) -> Made {
        let handle = record.state().handle;
        if let Some(taken) = self.by_handle(hash, handle) {
            if !is_expired(taken, now) {
                return Made::Taken;
            }
            self.remove(hash, handle, Reason::Expired, freed);
        }
        if self.room.refuse_anonymous && !record.is_owned() && !self.has_room(weight(&record), now, freed) {
            return Made::Refused;
        }
        self.begin(hash, record, now, freed);
        Made::Done
    }

    /// Adds a session whose handle is free, as a new one.
    pub(super) fn begin(&mut self, hash: u64, record: Record, now: u64, freed: &mut Freed) {
        let state = record.state();
        let class = if record.is_owned() { Class::Owned } else { Class::Probation };
        state.set_class(class);
        state.visited.store(false, Ordering::Relaxed);
        self.insert(hash, record, now, freed);
    }

    /// Adds a session whose handle is free, to the queue that its block names.
    fn insert(&mut self, hash: u64, record: Record, now: u64, freed: &mut Freed) {
        let state = record.state();
        let (class, handle) = (state.class(), state.handle);
        let slot = self.queue.push(class, handle, weight(&record));
        state.slot.store(slot, Ordering::Relaxed);
        state.turn.store(self.turns.last(), Ordering::Relaxed);
        self.expiry.file(slot, state.deadline.load(Ordering::Relaxed));
        if record.is_owned() {
            self.owned.change(&self.hasher, slot, None, record.owner());
        }
        self.table.insert(hash, record);
        self.evict(slot, now, freed);
    }

    /// Puts the next version of a session in its place, if `current` is still what is stored and live. `deadline`: a new one, else it
    /// keeps the one it has.
    pub(super) fn replace(
        &mut self,
        hash: u64,
        current: &Record,
        next: Record,
        deadline: Option<u64>,
        now: u64,
        freed: &mut Freed,
    ) -> bool {
        let Some(place) = self.table.find_mut(hash, |record| record.same_block(current)) else { return false };
        if is_expired(place, now) {
            return false;
        }
        let (old, new) = (place.state(), next.state());
        let slot = old.slot.load(Ordering::Relaxed);
        let before = old.deadline.load(Ordering::Relaxed);
        let after = deadline.unwrap_or(before);
        new.slot.store(slot, Ordering::Relaxed);
        new.visited.store(old.visited.load(Ordering::Relaxed), Ordering::Relaxed);
        new.turn.store(old.turn.load(Ordering::Relaxed), Ordering::Relaxed);
        new.deadline.store(after, Ordering::Relaxed);
        let class = old.class();
        let next_class = class_after(class, next.is_owned());
        new.set_class(next_class);
        if place.is_owned() || next.is_owned() {
            self.owned.change(&self.hasher, slot, place.owner(), next.owner());
        }
        let (old_weight, new_weight) = (weight(place), weight(&next));
        freed.push((std::mem::replace(place, next), Reason::Replaced));
        self.queue.reweigh(class, old_weight, new_weight);
        if class != next_class {
            self.queue.move_to(slot, class, next_class, new_weight);
        }
        if after < before {
            self.expiry.lower(slot, after);
        }
        self.evict(slot, now, freed);
        true
    }

    /// Keeps an id that was rotated away usable until then. Zero grace forgets an older one, too.
    pub(super) fn retire(&mut self, id: &SessionId, until: Option<u64>, freed: &mut Freed, now: u64) {
        match until {
            None => drop(self.retired.remove(&id.handle())),
            Some(until) => drop(self.retired.insert(id.handle(), Retired { proof: Proof::of(id), until })),
        }
        let kept = self.by_handle(hash_of(&self.hasher, id.handle()), id.handle());
        if let Some(slot) = kept.map(|record| record.state().slot.load(Ordering::Relaxed)) {
            self.evict(slot, now, freed);
        }
    }

    /// Moves a session's end. Under the read lock: the deadline and what is filed are atomics. `false`: another touch has
    /// ended it meanwhile, and this one must not undo that.
    pub(super) fn touch(&self, record: &Record, deadline: u64, now: u64) -> bool {
        let state = record.state();
        let live = |before: u64| (before > now).then_some(deadline);
        let Ok(before) = state.deadline.fetch_update(Ordering::SeqCst, Ordering::SeqCst, live) else { return false };
        if deadline < before {
            self.expiry.lower(state.slot.load(Ordering::Relaxed), deadline);
        }
        true
    }

    pub(super) fn remove(&mut self, hash: u64, handle: Handle, reason: Reason, freed: &mut Freed) {
        self.remove_if(hash, |record| record.state().handle == handle, reason, freed);
    }

    fn remove_if(&mut self, hash: u64, is_it: impl Fn(&Record) -> bool, reason: Reason, freed: &mut Freed) {
        let Some(record) = self.table.remove(hash, is_it) else { return };
        let state = record.state();
        let slot = state.slot.load(Ordering::Relaxed);
        self.queue.remove(slot, state.class(), weight(&record));
        self.expiry.unfile(slot);
        if record.is_owned() {
            self.owned.change(&self.hasher, slot, record.owner(), None);
        }
        if !self.retired.is_empty() {
            self.retired.remove(&state.handle);
        }
        freed.push((record, reason));
    }

    /// Looks at due sessions from slot `from` on, under the read lock: names the expired, files the others anew. At most
    /// `window` slots and [`BATCH`] sessions; where to go on, `None` at the end.
    pub(super) fn scan(&self, from: usize, window: usize, now: u64, expired: &mut Vec<Handle>) -> Option<usize> {
        let mut due = Due::new();
        let next = self.expiry.due(from, window, BATCH, now, &mut due);
        // From slot to handle to session is one cache miss after the other. Each step is taken for all of them before the
        // next one, so that the misses of a step overlap.
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

    /// Removes a session if it is (still) expired.
    pub(super) fn remove_expired(&mut self, handle: Handle, now: u64, freed: &mut Freed) {
        let is_it = |record: &Record| record.state().handle == handle && is_expired(record, now);
        self.remove_if(hash_of(&self.hasher, handle), is_it, Reason::Expired, freed);
    }

    /// The live session with this handle.
    #[inline]
    pub(super) fn live(&self, hash: u64, handle: Handle, now: u64) -> Option<&Record> {
        self.by_handle(hash, handle).filter(|record| !is_expired(record, now))
    }

    #[inline]
    fn by_handle(&self, hash: u64, handle: Handle) -> Option<&Record> {
        self.table.find(hash, |record| record.state().handle == handle)
    }

    fn in_slot(&self, slot: u32) -> Option<&Record> {
        let handle = self.queue.handle(slot)?;
        self.by_handle(hash_of(&self.hasher, handle), handle)
    }
}

/// The list a session belongs to after a save that did or did not leave it with an owner.
fn class_after(class: Class, owned: bool) -> Class {
    match (class, owned) {
        (_, true) => Class::Owned,
        // Logged out but kept: it has been used, so it does not start over.
        (Class::Owned, false) => Class::Main,
        (class, false) => class,
    }
}

fn is_expired(record: &Record, now: u64) -> bool {
    record.state().deadline.load(Ordering::Relaxed) <= now
}

pub(super) fn hash_of(hasher: &RandomState, handle: Handle) -> u64 {
    // As one word: hashing the same bytes as a slice costs more.
    hasher.hash_one(handle.to_u64())
}
