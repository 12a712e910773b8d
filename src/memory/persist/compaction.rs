//! Compaction, which writes the next snapshot and begins the next journal, and the upkeep of the
//! files in the background.

use std::fs::{self, File};
use std::io;
use std::time::Duration;

use super::FileSync;
use super::commit_log::{Backoff, CLOSED, CommitLog, FAILING, HEALTHY, NotWritten};
use super::encoding::{ClockAnchor, Mutation};
use super::journal::Journal;
use super::snapshot::SnapshotWriter;
use crate::clock::stopwatch;
use crate::error::Result;
use crate::event::Event;
use crate::memory::routing::ShardedStore;
use crate::memory::stats::Snapshot;
use crate::sync::{Arc, Ordering};

pub(in crate::memory) const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A journal is compacted when it is longer than the snapshot and longer than this many bytes.
const MIN_COMPACTION: u64 = 1 << 20;

/// The longest pause between two attempts to write again, in rounds of the upkeep.
const MAX_PAUSE: u64 = 8;

impl CommitLog {
    /// Begins the next journal, writes a snapshot, and removes the earlier journals.
    pub(super) fn compact(&self, store: &ShardedStore) -> Result<()> {
        let (elapsed, at) = (stopwatch(), self.clock.wall());
        let (sessions, bytes) =
            self.write_files(store).map_err(|error| self.error(format!("they cannot be written: {error}")))?;
        let snapshot = Snapshot { at, took: elapsed(), sessions, bytes };
        *store.last_snapshot.lock() = Some(snapshot);
        store.events.publish(|| Event::Snapshot { sessions, bytes, took: snapshot.took });
        Ok(())
    }

    /// Returns how many sessions the snapshot holds, and its size in bytes.
    fn write_files(&self, store: &ShardedStore) -> io::Result<(usize, u64)> {
        self.check_process()?;
        let (old, queued) = self.begin_journal(store)?;
        let generation = self.generation.load(Ordering::SeqCst);
        if let Some(old) = old {
            // The old journal is flushed, because the next start reads it if this snapshot is not
            // finished.
            old.sync_data()?;
        }
        let (sessions, bytes) = self.files.write_snapshot(|file| {
            let mut writer = SnapshotWriter::begin(file, ClockAnchor::of(&self.clock), generation)?;
            store.copy_all(|shard| writer.shard(shard))?;
            // The epoch is read after the sessions, because an epoch that is too high for them is
            // safe.
            writer.finish(store.epochs.current().to_u64())
        })?;
        // Changes that are in the snapshot must be in the journal before the snapshot is used.
        self.flush_all()?;
        self.files.publish_snapshot()?;
        self.snapshot_bytes.store(bytes, Ordering::Relaxed);
        {
            let queue = self.queue.lock();
            if queue.is_open
                && self.health.compare_exchange(FAILING, HEALTHY, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            {
                self.written.fetch_max(queued, Ordering::SeqCst);
            }
        }
        self.files.remove_journals_before(generation);
        Ok((sessions, bytes))
    }

    /// Writes the queued changes to the old journal and begins the next one, unless an earlier
    /// compaction began it and then failed. Returns the old journal's file if there is one, and the
    /// number of the last queued change.
    fn begin_journal(&self, store: &ShardedStore) -> io::Result<(Option<Arc<File>>, u64)> {
        let is_begun = || self.health.load(Ordering::SeqCst) == FAILING && self.queue.lock().is_open;
        if is_begun() {
            return Ok((None, self.queued.load(Ordering::SeqCst)));
        }
        let generation = self.generation.load(Ordering::SeqCst) + 1;
        let mut next = Journal::create(&self.files, generation)?;
        let mut journal = self.journal.lock();
        if journal.is_some() {
            // If this write fails, the changes still get into the snapshot.
            let _ = self.write(&mut journal, self.config.sync == FileSync::Always);
        }
        next.begin(journal.as_ref().map_or(0, |journal| journal.length))?;
        let old = journal.replace(next).map(|old| old.file());
        self.generation.store(generation, Ordering::SeqCst);
        let queued = {
            let mut queue = self.queue.lock();
            queue.is_open = true;
            self.queued.load(Ordering::SeqCst)
        };
        if let Some(next) = &mut *journal {
            // The queue is open, so later revocations are queued and none is lost.
            if let Err(error) = next.append(&revocations(store), ClockAnchor::of(&self.clock)) {
                let _ = self.fail(&error);
                return Err(error);
            }
            next.is_dirty = true;
            self.journal_bytes.store(next.length, Ordering::Relaxed);
        }
        Ok((old, queued))
    }

    /// Writes the queued changes and flushes the journal.
    fn flush_all(&self) -> io::Result<()> {
        let mut journal = self.journal.lock();
        let _ = self.write(&mut journal, false);
        if !self.queue.lock().is_open {
            return Err(io::Error::other("the journal failed again"));
        }
        drop(journal);
        self.flush()
    }

    /// Flushes the journal without its lock, so that requests can write to it.
    fn flush(&self) -> io::Result<()> {
        let file = self.journal.lock().as_mut().filter(|journal| journal.is_dirty).map(|journal| {
            // With `FileSync::Always` the journal stays dirty, because each request that waits for
            // a flush flushes the journal itself.
            journal.is_dirty = self.config.sync == FileSync::Always;
            journal.file()
        });
        file.map_or(Ok(()), |file| file.sync_data())
    }

    /// Writes the queued changes, flushes them with [`FileSync::EverySecond`], and compacts a long
    /// journal. After a failure it compacts, to write everything again.
    pub(in crate::memory) fn upkeep(&self, store: &ShardedStore) {
        let mut backoff = self.backoff.lock();
        let done = match self.health.load(Ordering::SeqCst) {
            CLOSED => return,
            FAILING if backoff.left > 0 => {
                backoff.left -= 1;
                return;
            }
            FAILING => self.compact(store),
            _ => self.maintain(store),
        };
        match done {
            Ok(()) => *backoff = Backoff::default(),
            Err(error) => {
                let pause = (backoff.pause * 2).clamp(1, MAX_PAUSE);
                *backoff = Backoff { pause, left: pause - 1 };
                store.errors.publish(|| error);
            }
        }
    }

    fn maintain(&self, store: &ShardedStore) -> Result<()> {
        if let Err(NotWritten { first_error: Some(error) }) = self.wait_written() {
            return Err(error);
        }
        let flushed = match self.config.sync {
            FileSync::EverySecond => self.flush(),
            FileSync::Never | FileSync::Always => Ok(()),
        };
        if let Err(error) = flushed.and_then(|()| self.check_journal_exists()) {
            return self.fail(&error).map_or(Ok(()), Err);
        }
        let snapshot = self.snapshot_bytes.load(Ordering::Relaxed);
        if self.journal_bytes.load(Ordering::Relaxed) > snapshot.max(MIN_COMPACTION) {
            self.compact(store)
        } else {
            Ok(())
        }
    }

    /// Checks that the journal still has its path. If the file or its folder was removed, writes
    /// still succeed, but the next start does not find the journal.
    fn check_journal_exists(&self) -> io::Result<()> {
        fs::metadata(self.files.journal(self.generation.load(Ordering::SeqCst)))
            .map(drop)
            .map_err(|error| io::Error::new(error.kind(), format!("the journal is not where it was: {error}")))
    }

    /// Compacts once more and releases the files. From then on nothing is written.
    pub(in crate::memory) fn close(&self, store: &ShardedStore) -> Result<()> {
        let _no_upkeep = self.backoff.lock();
        if self.health.load(Ordering::SeqCst) == CLOSED {
            return Ok(());
        }
        let compacted = self.compact(store);
        let mut journal = self.journal.lock();
        // Requests that are still under way may have queued changes since the compaction.
        let _ = self.write(&mut journal, true);
        self.health.store(CLOSED, Ordering::SeqCst);
        self.queue.lock().is_open = false;
        *journal = None;
        // A forked child shares the lock and must not release it.
        if self.check_process().is_ok() {
            self.files.unlock();
        }
        compacted
    }
}

/// Returns the epochs and end reasons that a store remembers. A journal begins with them.
fn revocations(store: &ShardedStore) -> Vec<Mutation> {
    let (others, owners) = store.epochs.all();
    let others = (others > 0 || !owners.is_empty()).then_some(Mutation::OtherEpochs(others));
    let epochs = owners.into_iter().map(|(owner, epoch)| Mutation::Epoch(owner, epoch));
    let ends = store.recent_ends.all().into_iter();
    let reasons = ends.map(|(handle, secret, reason)| Mutation::Reason(handle, secret.digest(), reason));
    others.into_iter().chain(epochs).chain(reasons).collect()
}
