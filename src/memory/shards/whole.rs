//! All shards as one: listed, counted, measured and cleared, one after the other.

use super::{Shards, left};
use crate::error::Result;
use crate::event::Event;
use crate::memory::persist::{Mutation, Persist};
use crate::memory::shard::{Copied, Shard, ShardCopy};
use crate::memory::stats::{Stats, count_many};
use crate::store::{Listed, Stored};

impl Shards {
    /// The live sessions. Pointers are copied, a few at a time, so that no write waits for long.
    pub(in crate::memory) fn all(&self) -> impl Iterator<Item = Listed> + '_ {
        self.cells.iter().flat_map(|cell| {
            let mut copy = ShardCopy::default();
            self.copy(cell, &mut copy);
            let now = self.clock_now();
            copy.sessions.into_iter().filter_map(move |Copied { record, .. }| {
                let (handle, id, ttl) = (record.state().handle, record.state().id(), left(&record, now));
                let stored = Stored::new(record, ttl);
                (!ttl.is_zero()).then(|| Listed { id, ..Listed::new(handle, stored) })
            })
        })
    }

    pub(in crate::memory) fn len(&self) -> usize {
        let now = self.clock_now();
        self.cells.iter().map(|cell| cell.shard.read().count_live(now)).sum()
    }

    pub(in crate::memory) fn bytes(&self) -> usize {
        self.cells.iter().map(|cell| cell.shard.read().bytes()).sum()
    }

    pub(in crate::memory) fn clear(&self) -> Result<()> {
        self.check_files()?;
        let mut sessions = 0;
        for cell in &self.cells {
            let empty = Shard::new(self.room, self.hasher.clone());
            let full = cell.shard.write().give_way_to(empty);
            sessions += full.len();
            count_many(&cell.counters.destroyed, full.len());
            if let Some(persist) = &self.persist {
                full.rows().for_each(|row| persist.queue(Mutation::End(row.state().handle, row.version())));
            }
            drop(full);
        }
        self.events.publish(|| Event::Cleared { sessions });
        self.settle("(all)")
    }

    pub(in crate::memory) fn stats(&self) -> Stats {
        let (journal_bytes, persist_failing) = self.persist.as_ref().map(Persist::state).unwrap_or_default();
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
        for cell in &self.cells {
            let shard = cell.shard.read();
            stats.sessions += shard.len();
            stats.bytes += shard.bytes();
            let (owned_sessions, owned_bytes) = shard.owned();
            stats.owned_sessions += owned_sessions;
            stats.owned_bytes += owned_bytes;
            drop(shard);
            stats.add(&cell.counters);
        }
        stats
    }
}
