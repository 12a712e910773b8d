//! Transfer: copies sessions out of the shards for lists and snapshots, one shard at a time, and
//! restores them.

use super::{Cell, Shards};
use crate::id::Handle;
use crate::memory::shard::{Copying, InsertOutcome, Kept, RemovalCause, Removed, ShardCopy, evicted};
use crate::memory::stats::{count, count_many};
use crate::memory::weight::weight;
use crate::record::{Record, Version};

/// How many slots are copied under one read lock. No request waits longer than for that, or for a
/// walk along the queues of one shard, which costs less for each session.
const COPY_SLOTS: u32 = 1024;

/// The counts of a restore.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::memory) struct Readmitted {
    pub(in crate::memory) sessions: usize,
    pub(in crate::memory) evicted: usize,
    pub(in crate::memory) refused: usize,
}

/// The counts of what was read from journals.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::memory) struct Replayed {
    pub(in crate::memory) changes: u64,
    pub(in crate::memory) evicted: usize,
    pub(in crate::memory) refused: usize,
}

impl Shards {
    /// Copies one shard after the other, pointers only, and hands each copy on without holding a
    /// lock.
    pub(in crate::memory) fn copies<E>(&self, mut each: impl FnMut(&ShardCopy) -> Result<(), E>) -> Result<(), E> {
        let mut copy = ShardCopy::default();
        for cell in &self.cells {
            self.copy(cell, &mut copy);
            each(&copy)?;
        }
        Ok(())
    }

    /// Copies a shard, a few sessions at a time.
    pub(super) fn copy(&self, cell: &Cell, copy: &mut ShardCopy) {
        while self.try_to_copy(cell, copy) == Copying::Void {}
    }

    fn try_to_copy(&self, cell: &Cell, copy: &mut ShardCopy) -> Copying {
        cell.shard.read().begin_copy(copy);
        let mut slots = 0..COPY_SLOTS;
        loop {
            copy.sessions.reserve(COPY_SLOTS as usize);
            let now = self.clock_now();
            let copying = cell.shard.read().copy(slots.clone(), now, copy);
            if copying != Copying::More {
                return copying;
            }
            slots = slots.end..slots.end.saturating_add(COPY_SLOTS);
        }
    }

    /// Carries out a commit of a journal: this row is the present one of its handle, or none.
    pub(in crate::memory) fn replay_put(&self, handle: Handle, row: Option<Record>, done: &mut Replayed) {
        let (cell, hash) = self.cell(handle);
        let (now, mut removed) = (self.clock_now(), Removed::new());
        let fits = row.as_ref().is_none_or(|row| weight(row) <= self.max_session_size);
        if !fits {
            count(&cell.counters.refused);
            done.refused += 1;
        }
        let mut shard = cell.shard.write();
        let current = shard.by_handle(hash, handle).cloned();
        let outcome = shard.swap(hash, handle, current.as_ref(), row.filter(|_| fits), now, &mut removed);
        if outcome == InsertOutcome::Refused {
            // The row before it is older than what was acknowledged.
            shard.remove(hash, handle, RemovalCause::Evicted, &mut removed);
        }
        drop(shard);
        // The first victim may have been the session itself.
        let evicted = evicted(&removed).max(usize::from(outcome == InsertOutcome::Refused));
        done.evicted += evicted;
        count_many(&cell.counters.evicted, evicted);
    }

    /// Carries out the end of an incarnation.
    pub(in crate::memory) fn replay_end(&self, handle: Handle, version: Version) {
        let (cell, hash) = self.cell(handle);
        let mut removed = Removed::new();
        let mut shard = cell.shard.write();
        if shard.by_handle(hash, handle).is_some_and(|row| row.version().is_same_incarnation(version)) {
            shard.remove(hash, handle, RemovalCause::Destroyed, &mut removed);
        }
    }

    /// Carries out a touch of an incarnation.
    pub(in crate::memory) fn replay_touch(&self, handle: Handle, version: Version, deadline: u64) {
        let (cell, hash) = self.cell(handle);
        let shard = cell.shard.read();
        if let Some(row) = shard.by_handle(hash, handle).filter(|row| row.version().is_same_incarnation(version)) {
            shard.touch(row, deadline);
        }
    }

    /// Gives each shard twice its room while files are read. A journal begins before the snapshot
    /// that it goes on from: sessions that had ended by then are there once more until their ends
    /// are read, beside those that came after them, and must evict none.
    pub(in crate::memory) fn begin_load(&self) {
        self.cells.iter().for_each(|cell| cell.shard.write().set_budget(2 * self.room.budget));
    }

    /// Evicts what is too much. Returns how many sessions.
    pub(in crate::memory) fn end_load(&self) -> usize {
        let mut surplus = 0;
        for cell in &self.cells {
            let mut removed = Removed::new();
            let mut shard = cell.shard.write();
            shard.set_budget(self.room.budget);
            shard.evict_surplus(&mut removed);
            drop(shard);
            surplus += evicted(&removed);
            self.release(cell, removed);
        }
        surplus
    }

    /// Counts sessions that were evicted before they came to a shard.
    pub(in crate::memory) fn note_evicted(&self, sessions: usize) {
        if let Some(cell) = self.cells.first() {
            count_many(&cell.counters.evicted, sessions);
        }
    }

    /// Restores sessions, oldest first, so that the newest stay if there is not room for all.
    pub(in crate::memory) fn readmit(&self, mut sessions: Vec<Kept>) -> Readmitted {
        sessions.sort_by_key(|kept| kept.age);
        let now = self.clock_now();
        let mut done = Readmitted::default();
        for kept in sessions {
            let (cell, hash) = self.cell(kept.record.state().handle);
            let mut removed = Removed::new();
            let outcome = if weight(&kept.record) <= self.max_session_size {
                cell.shard.write().readmit(hash, kept, now, &mut removed)
            } else {
                InsertOutcome::Overtaken
            };
            done.sessions -= evicted(&removed);
            done.evicted += evicted(&removed);
            match outcome {
                InsertOutcome::Done => done.sessions += 1,
                // The first victim of its class was the session itself.
                InsertOutcome::Refused => {
                    count(&cell.counters.evicted);
                    done.evicted += 1;
                }
                InsertOutcome::Overtaken => {
                    count(&cell.counters.refused);
                    done.refused += 1;
                }
            }
            self.release(cell, removed);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::id::SessionId;
    use crate::memory::LembroOptions;
    use crate::store::{Action, Commit, Lease};

    // From outside, this race with a purge is lost too seldom to be tested.
    #[test]
    fn a_copy_is_begun_again_when_a_mass_purge_gives_all_sessions_other_slots_and_when_all_are_removed() {
        let time = Clock::manual();
        let options = LembroOptions::new().shards(1).clock(&time);
        let shards = Shards::new(&options.resolve().unwrap());
        let [minute, hour] = [60, 3600].map(Duration::from_secs);
        let kept = 100;
        for number in 0..COPY_SLOTS + kept {
            // The last ones are beyond the first slots, and are live at the purge.
            let ttl = if number < COPY_SLOTS { minute } else { hour };
            let (id, create) = (SessionId::random().unwrap(), Commit::create().unwrap());
            assert!(shards.apply(&id, &Action::Commit(&create), &Lease::new(ttl)).unwrap().is_done());
        }
        let (cell, mut copy) = (&shards.cells[0], ShardCopy::default());
        cell.shard.read().begin_copy(&mut copy);
        assert_eq!(cell.shard.read().copy(0..COPY_SLOTS, 0, &mut copy), Copying::More);
        time.advance(minute);
        shards.purge(|| false);
        shards.validate().unwrap();
        assert_eq!(cell.shard.read().copy(COPY_SLOTS..2 * COPY_SLOTS, 0, &mut copy), Copying::Void);
        assert_eq!(shards.try_to_copy(cell, &mut copy), Copying::Done);
        assert_eq!(copy.sessions.len(), kept as usize);
        cell.shard.read().begin_copy(&mut copy);
        shards.clear().unwrap();
        assert_eq!(cell.shard.read().copy(0..COPY_SLOTS, 0, &mut copy), Copying::Void);
        assert_eq!((shards.try_to_copy(cell, &mut copy), copy.sessions.len()), (Copying::Done, 0));
    }
}
