//! Carries sessions out of the shards, one shard at a time, and into them again: for snapshots.

use super::Shards;
use crate::memory::shard::{Freed, Kept, ShardCopy, evicted};
use crate::memory::stats::count;
use crate::memory::weight::weight;

/// What became of sessions that were to come back.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::memory) struct Readmitted {
    pub(in crate::memory) sessions: usize,
    pub(in crate::memory) evicted: usize,
    pub(in crate::memory) refused: usize,
}

impl Shards {
    /// Copies one shard after the other, pointers only, and hands each copy on after its lock is released.
    pub(in crate::memory) fn copies<E>(&self, mut each: impl FnMut(&ShardCopy) -> Result<(), E>) -> Result<(), E> {
        let mut copy = ShardCopy::default();
        for cell in &self.cells {
            let now = self.now();
            cell.shard.read().copy(now, &mut copy);
            each(&copy)?;
        }
        Ok(())
    }

    /// Takes sessions back, the oldest of their queues first, so that the newest stay if there is not room for all.
    pub(in crate::memory) fn readmit(&self, mut sessions: Vec<Kept>) -> Readmitted {
        sessions.sort_by_key(|kept| kept.age);
        let now = self.now();
        let mut done = Readmitted::default();
        for kept in sessions {
            let (cell, hash) = self.cell(kept.record.state().handle);
            let mut freed = Freed::new();
            if weight(&kept.record) <= self.max_session_size && cell.shard.write().readmit(hash, kept, now, &mut freed)
            {
                done.sessions += 1;
            } else {
                count(&cell.counters.refused);
                done.refused += 1;
            }
            done.evicted += evicted(&freed);
            self.release(cell, freed);
        }
        done.sessions -= done.evicted;
        done
    }
}
