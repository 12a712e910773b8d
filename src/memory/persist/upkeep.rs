//! The upkeep of a store's files: flushes, compactions, attempts after a failure, and the close.

use std::fs::{self, File};
use std::io;

use super::changes::Mutation;
use super::format::Noon;
use super::journal::Journal;
use super::writer::Writer;
use super::{CLOSED, FAILING, FileSync, NotWritten, Persist, Retry, Snapshot, WHOLE};
use crate::clock::stopwatch;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::memory::shards::Shards;
use crate::sync::{Arc, Ordering};

/// A journal is compacted when it is longer than the snapshot and than this.
const MIN_COMPACTION: u64 = 1 << 20;

/// The longest pause between two attempts to write again, in turns of the upkeep.
const MAX_PAUSE: u64 = 8;

impl Persist {
    /// Begins the next journal, writes a snapshot, and removes the journals before.
    pub(super) fn compact(&self, shards: &Shards) -> Result<()> {
        let (elapsed, at) = (stopwatch(), self.clock.wall());
        let unwritable = |error: io::Error| Error::persist(&self.path, format!("they cannot be written: {error}"));
        self.is_ours().map_err(unwritable)?;
        let (old, queued) = self.begin_journal(shards).map_err(unwritable)?;
        let generation = self.generation.load(Ordering::SeqCst);
        if let Some(old) = old {
            // What it has is read at the next start if this snapshot is not finished.
            old.sync_data().map_err(unwritable)?;
        }
        let (sessions, bytes) = self
            .place
            .write_snapshot(|file| write_snapshot(shards, file, Noon::of(&self.clock), generation))
            .map_err(unwritable)?;
        // What the snapshot has seen must be in the journal before the snapshot counts.
        self.flush_all().map_err(unwritable)?;
        self.place.publish_snapshot().map_err(unwritable)?;
        self.snapshot_bytes.store(bytes, Ordering::Relaxed);
        {
            let queue = self.queue.lock();
            if queue.is_open && self.health.compare_exchange(FAILING, WHOLE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            {
                self.written.fetch_max(queued, Ordering::SeqCst);
            }
        }
        self.place.remove_journals_before(generation);
        let snapshot = Snapshot { at, took: elapsed(), sessions, bytes };
        *shards.last_snapshot.lock() = Some(snapshot);
        shards.events.publish(|| Event::Snapshot { sessions, bytes, took: snapshot.took });
        Ok(())
    }

    /// Writes what is queued to the old journal and begins the next one, unless the old one was
    /// begun by an attempt that failed later. Returns the old one, and the number of the last
    /// change before.
    fn begin_journal(&self, shards: &Shards) -> io::Result<(Option<Arc<File>>, u64)> {
        let is_begun = || self.health.load(Ordering::SeqCst) == FAILING && self.queue.lock().is_open;
        if is_begun() {
            return Ok((None, self.queued.load(Ordering::SeqCst)));
        }
        let generation = self.generation.load(Ordering::SeqCst) + 1;
        let mut next = Journal::create(&self.place, generation)?;
        let mut journal = self.journal.lock();
        if journal.is_some() {
            // If it fails, the snapshot has these changes.
            let _ = self.write(&mut journal, self.sync == FileSync::Always);
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
            // What is remembered from here on is queued, too.
            if let Err(error) = next.append(&remembered(shards), Noon::of(&self.clock)) {
                let _ = self.fail(&error);
                return Err(error);
            }
            next.is_dirty = true;
            self.journal_bytes.store(next.length, Ordering::Relaxed);
        }
        Ok((old, queued))
    }

    /// Writes and flushes what is queued.
    fn flush_all(&self) -> io::Result<()> {
        let mut journal = self.journal.lock();
        let _ = self.write(&mut journal, false);
        if !self.queue.lock().is_open {
            return Err(io::Error::other("the journal failed again"));
        }
        drop(journal);
        self.flush()
    }

    /// Flushes the journal without its lock, so that requests go on writing to it.
    fn flush(&self) -> io::Result<()> {
        let file = self.journal.lock().as_mut().filter(|journal| journal.is_dirty).map(|journal| {
            // With `sync: always` it stays dirty for the requests that wait for it.
            journal.is_dirty = self.sync == FileSync::Always;
            journal.file()
        });
        file.map_or(Ok(()), |file| file.sync_data())
    }

    /// Writes what is queued, flushes it if that is due, compacts a long journal, and tries again
    /// after a failure.
    pub(in crate::memory) fn upkeep(&self, shards: &Shards) {
        let mut turn = self.turn.lock();
        let done = match self.health.load(Ordering::SeqCst) {
            CLOSED => return,
            FAILING if turn.wait > 0 => {
                turn.wait -= 1;
                return;
            }
            FAILING => self.compact(shards),
            _ => self.tidy(shards),
        };
        match done {
            Ok(()) => *turn = Retry::default(),
            Err(error) => {
                let pause = (turn.pause * 2).clamp(1, MAX_PAUSE);
                *turn = Retry { pause, wait: pause - 1 };
                shards.errors.publish(|| error);
            }
        }
    }

    fn tidy(&self, shards: &Shards) -> Result<()> {
        if let Err(NotWritten { found: Some(error) }) = self.settle() {
            return Err(error);
        }
        let flushed = match self.sync {
            FileSync::EverySecond => self.flush(),
            FileSync::Never | FileSync::Always => Ok(()),
        };
        if let Err(error) = flushed.and_then(|()| self.find_journal()) {
            return self.fail(&error).map_or(Ok(()), Err);
        }
        let snapshot = self.snapshot_bytes.load(Ordering::Relaxed);
        if self.journal_bytes.load(Ordering::Relaxed) > snapshot.max(MIN_COMPACTION) {
            self.compact(shards)
        } else {
            Ok(())
        }
    }

    /// A journal that was removed, perhaps with its folder, can be written on, and is not found at
    /// the next start.
    fn find_journal(&self) -> io::Result<()> {
        fs::metadata(self.place.journal(self.generation.load(Ordering::SeqCst)))
            .map(drop)
            .map_err(|error| io::Error::new(error.kind(), format!("the journal is not where it was: {error}")))
    }

    /// Compacts once more and lets go of the files. From then on nothing is written.
    pub(in crate::memory) fn close(&self, shards: &Shards) -> Result<()> {
        let _turn = self.turn.lock();
        if self.health.load(Ordering::SeqCst) == CLOSED {
            return Ok(());
        }
        let compacted = self.compact(shards);
        let mut journal = self.journal.lock();
        // What was committed since, by requests that were still under way.
        let _ = self.write(&mut journal, true);
        self.health.store(CLOSED, Ordering::SeqCst);
        self.queue.lock().is_open = false;
        *journal = None;
        // A child of a fork has the same lock.
        if self.is_ours().is_ok() {
            self.place.release();
        }
        compacted
    }
}

/// What a store remembers of ended sessions, for the first frame of a journal.
fn remembered(shards: &Shards) -> Vec<Mutation> {
    let (others, owners) = shards.epochs.known();
    let others = (others > 0 || !owners.is_empty()).then_some(Mutation::Others(others));
    let epochs = owners.into_iter().map(|(owner, epoch)| Mutation::Epoch(owner, epoch));
    let whys = shards.endings.all().into_iter();
    let whys = whys.map(|(handle, secret, reason)| Mutation::Why(handle, secret.digest(), reason));
    others.into_iter().chain(epochs).chain(whys).collect()
}

fn write_snapshot(shards: &Shards, file: &File, noon: Noon, base: u64) -> io::Result<(usize, u64)> {
    let mut writer = Writer::begin(file, noon, base)?;
    shards.copies(|shard| writer.shard(shard))?;
    // The epoch is read last, because one that is too high is safe.
    writer.finish(shards.epochs.current().to_u64())
}
