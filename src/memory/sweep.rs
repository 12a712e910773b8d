//! Sweeps over all shards, in small steps: the purge, copies for lists and snapshots, and sums.

use std::hint::black_box;

use super::expiry::BATCH;
use super::persist::commit_log::CommitLog;
use super::routing::{LockedShard, ShardedStore};
use super::shard::Removed;
use super::shard::copy::{CopyStep, ShardCopy};
use super::stats::{Purge, Stats};
use crate::clock::stopwatch;
use crate::event::Event;
use crate::id::Handle;

/// How many slots a purge scans under one read lock.
const SCAN_SLOTS: usize = 4096;

/// How many slots are copied under one read lock. A request waits at most for one such step, or for
/// `begin_copy`, which walks the queues of one shard but takes less time for each session.
const COPY_SLOTS: u32 = 1024;

impl ShardedStore {
    /// Removes every expired session and returns how many there were. Stops between two batches if
    /// `is_stopped` returns true.
    pub(super) fn purge(&self, is_stopped: impl Fn() -> bool) -> usize {
        let elapsed = stopwatch();
        self.clock.notice_suspend();
        // All batches share one buffer, because the allocator would sort the freed blocks before it
        // allocates another.
        let (mut sessions, mut expired, mut removed) = (0, Vec::with_capacity(BATCH), Removed::with_capacity(BATCH));
        for locked in &self.shards {
            let mut from = Some(0);
            while let Some(start) = from.filter(|_| !is_stopped()) {
                expired.clear();
                from = locked.shard.read().scan(start, SCAN_SLOTS, self.clock_now(), &mut expired);
                sessions += self.remove_expired(locked, &expired, &mut removed);
            }
            let now = self.clock_now();
            if locked.shard.read().needs_maintenance(now) {
                locked.shard.write().maintain();
            }
            if is_stopped() {
                break;
            }
        }
        let took = elapsed();
        let purge = Purge { at: self.clock.wall(), took, sessions };
        *self.last_purge.lock() = Some(purge);
        self.purges.publish(|| purge);
        // Evictions are reported at most once a minute, so the last ones may be left to report.
        self.report_owned_evictions();
        self.events.publish(|| Event::Purged { sessions, took });
        sessions
    }

    /// Removes one batch. No reader waits for longer than one batch takes.
    fn remove_expired(&self, locked: &LockedShard, handles: &[Handle], removed: &mut Removed) -> usize {
        if handles.is_empty() {
            return 0;
        }
        let now = self.clock_now();
        let mut shard = locked.shard.write();
        for handle in handles {
            shard.remove_expired(*handle, now, removed);
        }
        drop(shard);
        let count = removed.len();
        // To free a block, the allocator reads the end of it. If the ends are read here, one after
        // the other with nothing in between, their cache misses overlap.
        black_box(removed.iter().filter(|(record, _)| record.as_bytes().last() == Some(&0)).count());
        self.report_removed(locked, removed.drain(..));
        count
    }

    /// Copies the record pointers of each shard in turn, and calls `each` without a lock.
    pub(super) fn copy_all<E>(&self, mut each: impl FnMut(&ShardCopy) -> Result<(), E>) -> Result<(), E> {
        let mut copy = ShardCopy::default();
        for locked in &self.shards {
            self.copy(locked, &mut copy);
            each(&copy)?;
        }
        Ok(())
    }

    /// Copies a shard, a few sessions at a time.
    pub(super) fn copy(&self, locked: &LockedShard, copy: &mut ShardCopy) {
        while self.try_copy(locked, copy) == CopyStep::Restart {}
    }

    fn try_copy(&self, locked: &LockedShard, copy: &mut ShardCopy) -> CopyStep {
        locked.shard.read().begin_copy(copy);
        let mut slots = 0..COPY_SLOTS;
        loop {
            copy.sessions.reserve(COPY_SLOTS as usize);
            let now = self.clock_now();
            let step = locked.shard.read().copy(slots.clone(), now, copy);
            if step != CopyStep::More {
                return step;
            }
            slots = slots.end..slots.end.saturating_add(COPY_SLOTS);
        }
    }

    pub(super) fn count_live(&self) -> usize {
        let now = self.clock_now();
        self.shards.iter().map(|locked| locked.shard.read().count_live(now)).sum()
    }

    pub(super) fn stats(&self) -> Stats {
        let (journal_bytes, persist_failing) = self.log.as_ref().map(CommitLog::state).unwrap_or_default();
        let mut stats = Stats {
            max_size: self.max_size,
            events_missed: self.events.missed() + self.errors.missed(),
            last_purge: *self.last_purge.lock(),
            last_snapshot: *self.last_snapshot.lock(),
            restored: *self.restored.lock(),
            journal_bytes,
            persist_failing,
            ..Stats::default()
        };
        for locked in &self.shards {
            let shard = locked.shard.read();
            stats.sessions += shard.len();
            stats.bytes += shard.bytes();
            let (owned_sessions, owned_bytes) = shard.owned();
            stats.owned_sessions += owned_sessions;
            stats.owned_bytes += owned_bytes;
            drop(shard);
            stats.add(&locked.counters);
        }
        stats
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), String> {
        for (number, locked) in self.shards.iter().enumerate() {
            let shard = locked.shard.write();
            shard.validate().map_err(|problem| format!("shard {number}: {problem}"))?;
            let is_stray = |record: &&crate::record::Record| {
                !std::ptr::eq(self.locate(record.state().handle).0, &raw const **locked)
            };
            if let Some(stray) = shard.rows().find(is_stray) {
                return Err(format!("session {} is in the wrong shard", stray.state().handle));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::id::SessionId;
    use crate::memory::{LembroOptions, LembroStore};
    use crate::store::{Commit, Lease, Look, Store};

    fn create(store: &LembroStore, seconds: u64) -> SessionId {
        let (id, lease) = (SessionId::random().unwrap(), Lease::new(Duration::from_secs(seconds)));
        assert!(store.commit(&id, &Commit::create().unwrap(), &lease).unwrap().is_done());
        id
    }

    // A machine cannot be suspended in a test.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn purge_counts_the_time_that_the_machine_was_suspended() {
        use crate::clock::tests::{alone, pretend_suspend};

        let _alone = alone();
        let store = LembroStore::with_options(LembroOptions::new().interval(0)).unwrap();
        let ids = [4, 3600].map(|seconds| create(&store, seconds));
        let is_there = |id: &SessionId| store.look(id, Look::Peek, &Lease::UNLIMITED).unwrap().found().is_some();
        assert!(ids.iter().all(is_there));
        pretend_suspend(Duration::from_secs(5));
        assert_eq!(store.purge(), 1);
        assert_eq!(ids.each_ref().map(is_there), [false, true]);
        store.validate().unwrap();
    }

    // A test of the public API would meet the race with a purge too seldom.
    #[test]
    fn copy_restarts_after_a_compaction_and_after_a_clear() {
        let time = Clock::manual();
        let options = LembroOptions::new().shards(1).interval(0).clock(&time);
        let store = LembroStore::with_options(options).unwrap();
        let live = 100;
        for number in 0..COPY_SLOTS + live {
            // Those beyond the first step are live at the purge.
            create(&store, if number < COPY_SLOTS { 60 } else { 3600 });
        }
        let (inner, mut copy) = (&store.store, ShardCopy::default());
        let locked = &inner.shards[0];
        locked.shard.read().begin_copy(&mut copy);
        assert_eq!(locked.shard.read().copy(0..COPY_SLOTS, 0, &mut copy), CopyStep::More);
        time.advance(Duration::from_secs(60));
        store.purge();
        store.validate().unwrap();
        assert_eq!(locked.shard.read().copy(COPY_SLOTS..2 * COPY_SLOTS, 0, &mut copy), CopyStep::Restart);
        assert_eq!(inner.try_copy(locked, &mut copy), CopyStep::Done);
        assert_eq!(copy.sessions.len(), live as usize);
        locked.shard.read().begin_copy(&mut copy);
        store.clear().unwrap();
        assert_eq!(locked.shard.read().copy(0..COPY_SLOTS, 0, &mut copy), CopyStep::Restart);
        assert_eq!((inner.try_copy(locked, &mut copy), copy.sessions.len()), (CopyStep::Done, 0));
    }
}
