//! The purge: removes expired sessions from one shard after the other, in small steps.

use std::hint::black_box;

use super::{Cell, Shards};
use crate::clock::stopwatch;
use crate::event::Event;
use crate::id::Handle;
use crate::memory::expiry::BATCH;
use crate::memory::shard::Removed;
use crate::memory::stats::Purge;

/// How many slots a purge scans under one read lock.
const SCAN_SLOTS: usize = 4096;

impl Shards {
    /// Removes every expired session and returns how many there were. `stop` is asked between
    /// batches.
    pub(in crate::memory) fn purge(&self, stop: impl Fn() -> bool) -> usize {
        let elapsed = stopwatch();
        self.clock.notice_suspend();
        // One buffer each for all batches: a new one would make the allocator sort the freed blocks
        // first.
        let (mut sessions, mut expired, mut removed) = (0, Vec::with_capacity(BATCH), Removed::with_capacity(BATCH));
        for cell in &self.cells {
            let mut from = Some(0);
            while let Some(start) = from.filter(|_| !stop()) {
                expired.clear();
                from = cell.shard.read().scan(start, SCAN_SLOTS, self.clock_now(), &mut expired);
                sessions += self.remove_expired(cell, &expired, &mut removed);
            }
            let now = self.clock_now();
            if cell.shard.read().wants_tidying(now) {
                cell.shard.write().tidy();
            }
            if stop() {
                break;
            }
        }
        let took = elapsed();
        let purge = Purge { at: self.clock.wall(), took, sessions };
        *self.last_purge.lock() = Some(purge);
        self.purges.publish(|| purge);
        // What was evicted within a minute of the last report.
        self.report_shortage();
        self.events.publish(|| Event::Purged { sessions, took });
        sessions
    }

    /// Removes one batch. No reader waits longer than for one of these.
    fn remove_expired(&self, cell: &Cell, handles: &[Handle], removed: &mut Removed) -> usize {
        if handles.is_empty() {
            return 0;
        }
        let now = self.clock_now();
        let mut shard = cell.shard.write();
        for handle in handles {
            shard.remove_expired(*handle, now, removed);
        }
        drop(shard);
        let count = removed.len();
        // The allocator keeps its records at the end of a block. Read one after the other with
        // nothing in between, these cache misses overlap; in `release` each block would wait for
        // its own.
        black_box(removed.iter().filter(|(record, _)| record.as_bytes().last() == Some(&0)).count());
        self.release(cell, removed.drain(..));
        count
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::tests::{alone, pretend_suspend};
    use crate::id::SessionId;
    use crate::memory::LembroOptions;
    use crate::store::{Action, Commit, Lease, Look};

    // A machine cannot be suspended in a test.
    #[test]
    fn a_session_whose_time_ran_out_while_the_machine_slept_ends_with_the_next_purge() {
        let _alone = alone();
        let shards = Shards::new(&LembroOptions::new().resolve().unwrap());
        let ids = [4, 3600].map(|seconds| {
            let (id, lease) = (SessionId::random().unwrap(), Lease::new(Duration::from_secs(seconds)));
            let create = Commit::create().unwrap();
            assert!(shards.apply(&id, &Action::Commit(&create), &lease).unwrap().is_done());
            id
        });
        let is_there = |id: &SessionId| shards.look(id, Look::Peek, &Lease::UNLIMITED).found().is_some();
        assert!(ids.iter().all(is_there));
        pretend_suspend(Duration::from_secs(5));
        assert_eq!(shards.purge(|| false), 1);
        assert_eq!(ids.each_ref().map(is_there), [false, true]);
        shards.validate().unwrap();
    }
}
