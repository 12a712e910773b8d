//! The commit log: a queue of changes, and the group commit that writes it to the journal.

use std::io;
use std::mem;
use std::result;

use super::encoding::{ClockAnchor, Mutation};
use super::files::StoreFiles;
use super::journal::Journal;
use super::{FileSync, OnWriteError, PersistConfig};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::sync::{AtomicU8, AtomicU64, Mutex, Ordering};

pub(super) const HEALTHY: u8 = 0;
/// Some changes are in memory alone.
pub(super) const FAILING: u8 = 1;
/// Nothing is written any more.
pub(super) const CLOSED: u8 = 2;

pub(in crate::memory) struct CommitLog {
    pub(super) files: StoreFiles,
    pub(super) config: PersistConfig,
    pub(super) clock: Clock,
    /// The process that may write.
    process: u32,
    /// [`HEALTHY`], [`FAILING`] or [`CLOSED`].
    pub(super) health: AtomicU8,
    pub(super) queue: Mutex<ChangeQueue>,
    /// The number of the last change that was queued.
    pub(super) queued: AtomicU64,
    /// All changes up to this number are in the files.
    pub(super) written: AtomicU64,
    /// `None` before the first compaction.
    pub(super) journal: Mutex<Option<Journal>>,
    /// The number of the last journal. A compaction begins the next one.
    pub(super) generation: AtomicU64,
    /// Held by a compaction in the background.
    pub(super) backoff: Mutex<Backoff>,
    /// The length of the present journal.
    pub(super) journal_bytes: AtomicU64,
    /// The length of the last snapshot.
    pub(super) snapshot_bytes: AtomicU64,
}

/// The changes that are not in the journal yet.
#[derive(Default)]
pub(super) struct ChangeQueue {
    changes: Vec<Mutation>,
    /// False while the journal cannot be written. The next compaction then writes the sessions in
    /// memory.
    pub(super) is_open: bool,
}

/// The pause of a failing store before its next attempt, in rounds of the upkeep.
#[derive(Default)]
pub(super) struct Backoff {
    pub(super) pause: u64,
    pub(super) left: u64,
}

/// The failure to write a change, which is in memory and not in the files.
pub(in crate::memory) struct NotWritten {
    /// The error, if this call was the first to meet it.
    pub(in crate::memory) first_error: Option<Error>,
}

impl CommitLog {
    /// Makes a log without a journal. `generation`: the number of the last journal.
    pub(super) fn new(files: StoreFiles, config: PersistConfig, clock: Clock, generation: u64) -> Self {
        Self {
            files,
            config,
            clock,
            process: std::process::id(),
            health: AtomicU8::new(FAILING),
            queue: Mutex::default(),
            queued: AtomicU64::new(0),
            written: AtomicU64::new(0),
            journal: Mutex::new(None),
            generation: AtomicU64::new(generation),
            backoff: Mutex::default(),
            journal_bytes: AtomicU64::new(0),
            snapshot_bytes: AtomicU64::new(0),
        }
    }

    /// Queues a change. If its order matters, the caller holds the lock of its shard.
    pub(in crate::memory) fn queue(&self, change: Mutation) {
        let mut queue = self.queue.lock();
        self.queued.fetch_add(1, Ordering::SeqCst);
        if queue.is_open {
            queue.changes.push(change);
        }
    }

    /// Refuses a change that could not be written.
    pub(in crate::memory) fn check_writable(&self) -> Result<()> {
        let problem = match self.health.load(Ordering::SeqCst) {
            _ if self.continues_in_memory() => return Ok(()),
            HEALTHY => return Ok(()),
            CLOSED => "the store is closed, so nothing more is written",
            _ => "they cannot be written at present, so no session is changed",
        };
        Err(self.error(problem))
    }

    /// Waits until all changes queued so far are in the journal, and with [`FileSync::Always`] on
    /// the disk.
    pub(in crate::memory) fn wait_written(&self) -> result::Result<(), NotWritten> {
        let queued = self.queued.load(Ordering::SeqCst);
        let is_written = || self.written.load(Ordering::SeqCst) >= queued;
        if is_written() {
            return Ok(());
        }
        let mut journal = self.journal.lock();
        if is_written() {
            return Ok(());
        }
        self.write(&mut journal, self.config.sync == FileSync::Always)
    }

    /// Writes the queued changes without a flush, unless another thread is writing.
    pub(in crate::memory) fn try_write(&self) -> result::Result<(), NotWritten> {
        self.journal.try_lock().map_or(Ok(()), |mut journal| self.write(&mut journal, false))
    }

    /// Writes the queued changes, and with `sync` flushes them to the disk.
    pub(super) fn write(&self, journal: &mut Option<Journal>, sync: bool) -> result::Result<(), NotWritten> {
        let not_written = || NotWritten { first_error: None };
        let Some(journal) = journal.as_mut().filter(|_| self.health.load(Ordering::SeqCst) != CLOSED) else {
            return Err(not_written());
        };
        let (changes, queued) = {
            let mut queue = self.queue.lock();
            (mem::replace(&mut queue.changes, mem::take(&mut journal.spare_queue)), self.queued.load(Ordering::SeqCst))
        };
        journal.is_dirty |= !changes.is_empty();
        let mut written = Ok(());
        if !changes.is_empty() {
            written = self.check_process().and_then(|()| journal.append(&changes, ClockAnchor::of(&self.clock)));
            self.journal_bytes.store(journal.length, Ordering::Relaxed);
        }
        if sync && journal.is_dirty {
            written = written.and_then(|()| journal.file().sync_data());
            journal.is_dirty = false;
        }
        if let Err(error) = written {
            return Err(NotWritten { first_error: self.fail(&error) });
        }
        journal.recycle(changes);
        if self.health.load(Ordering::SeqCst) != HEALTHY {
            // Earlier changes are in memory alone.
            return Err(not_written());
        }
        if self.config.sync != FileSync::Always || !journal.is_dirty {
            self.written.store(queued, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Refuses to write in a child of the process that made the store, because both have the same
    /// file open.
    pub(super) fn check_process(&self) -> io::Result<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(io::Error::other("the store was made before this process was forked: make it after that"))
    }

    /// Marks the store as failing. Returns the error if the store was healthy before.
    pub(super) fn fail(&self, error: &io::Error) -> Option<Error> {
        let mut queue = self.queue.lock();
        (queue.is_open, queue.changes) = (false, Vec::new());
        let before = self.health.compare_exchange(HEALTHY, FAILING, Ordering::SeqCst, Ordering::SeqCst);
        let consequence =
            if self.continues_in_memory() { "sessions change in memory alone" } else { "no session is changed" };
        before.is_ok().then(|| {
            self.error(format!("they cannot be written: {error}; until they can be written again, {consequence}"))
        })
    }

    /// The length of the journal in bytes, and whether the store is failing.
    pub(in crate::memory) fn state(&self) -> (u64, bool) {
        (self.journal_bytes.load(Ordering::Relaxed), self.health.load(Ordering::SeqCst) == FAILING)
    }

    pub(in crate::memory) fn continues_in_memory(&self) -> bool {
        self.config.on_write_error == OnWriteError::Continue
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> Error {
        Error::persist(&self.config.path, problem.into())
    }
}

impl Drop for CommitLog {
    fn drop(&mut self) {
        // Touches may still be queued. No caller is left to receive an error.
        let _ = self.wait_written();
    }
}
