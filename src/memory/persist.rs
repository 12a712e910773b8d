//! Persistence: a snapshot of all sessions, and a journal of what was committed and ended since, so
//! that a restart or a crash logs no user out and brings no ended session back.
//!
//! Every change is queued under the lock of its shard, so the queue has the changes of a session in
//! their order. After the lock was released, the request *settles*: one of the waiting threads
//! writes all that is queued, with one system call, and the others find their changes written.
//!
//! A compaction begins a new journal, writes a snapshot, and removes the journals before. All
//! changes that the snapshot can have seen are in the snapshot or in the new journal, in order and
//! as whole rows. So a start reads the snapshot, carries out the journals after it, and has the
//! sessions as they were.
//!
//! If the journal cannot be written, a part of the changes is in memory only. The store is
//! *failing* until a compaction has succeeded: the snapshot that it writes has those changes, too.

mod changes;
mod format;
mod journal;
mod place;
mod reader;
mod replay;
mod start;
mod upkeep;
mod writer;

use std::io;
use std::mem;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::Serialize;

pub(super) use self::changes::Mutation;
use self::format::Noon;
use self::journal::Journal;
use self::place::{Place, Problem};
use super::shards::Shards;
use super::stats::unix_millis;
use crate::clock::{Clock, stopwatch};
use crate::error::{Error, Result};
use crate::sync::{AtomicU8, AtomicU64, Mutex, Ordering};
use crate::units::choice;

/// How often the journal's thread looks after it.
pub(super) const UPKEEP: Duration = Duration::from_secs(1);

/// The compaction of a store's files: the snapshot that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// When it began. serde writes milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub at: SystemTime,
    /// How long it took. serde writes seconds and nanoseconds.
    pub took: Duration,
    /// How many sessions the snapshot holds.
    pub sessions: usize,
    /// The size of the snapshot.
    pub bytes: u64,
}

/// What became of the sessions in the files that a store began with: see
/// [`LembroOptions::persist`](crate::LembroOptions::persist).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Restored {
    /// When the snapshot was taken. serde writes milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub taken_at: SystemTime,
    /// How long reading the files took. serde writes seconds and nanoseconds.
    pub took: Duration,
    /// How many sessions are in the store again.
    pub sessions: usize,
    /// How many changes since the snapshot were read from the journal.
    pub changes: u64,
    /// How many sessions of the snapshot had expired.
    pub expired: usize,
    /// How many were evicted, because `max_size` is less than what the files hold.
    pub evicted: usize,
    /// How many are larger than `max_session_size` is now.
    pub refused: usize,
}

/// When a change is flushed to the disk: the option [`sync`](crate::LembroOptions::sync).
///
/// Whatever it says, a change is handed to the operating system before the request that made it is
/// answered, so a crash of the process, `kill -9` included, loses nothing that was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileSync {
    /// When the operating system likes, usually within half a minute. If the computer loses its
    /// power, the changes since then are lost, logouts included.
    Never,
    /// Once a second, in the background. If the computer loses its power, the changes of the last
    /// second or two are lost, logouts included.
    #[default]
    EverySecond,
    /// Before the request that made the change is answered. What was acknowledged survives a loss
    /// of power, if the disk keeps what it says it has.
    Always,
}

choice!(FileSync, "sync", ["never" => Never, "every_second" => EverySecond, "always" => Always]);

/// What happens at the start if the files of a store are damaged: the option
/// [`on_damage`](crate::LembroOptions::on_damage).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDamage {
    /// No store is made: [`with_options`](crate::LembroStore::with_options) returns the error, and
    /// the files stay as they are.
    #[default]
    Refuse,
    /// The store begins with what is whole. The damaged files are copied to a folder beside them,
    /// and the first subscriber to [`errors`](crate::LembroStore::errors) is told. Changes that
    /// were in the damaged part are lost, logouts among them.
    Salvage,
}

choice!(OnDamage, "on_damage", ["refuse" => Refuse, "salvage" => Salvage]);

/// What happens to requests while the files of a store cannot be written: the option
/// [`on_write_error`](crate::LembroOptions::on_write_error).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnWriteError {
    /// Commits and logouts fail with [`Error::is_store`] before they change anything. Looks go on.
    #[default]
    Refuse,
    /// Sessions change in memory alone. If the process ends before the files can be written again,
    /// these changes are lost, logouts among them.
    Continue,
}

choice!(OnWriteError, "on_write_error", ["refuse" => Refuse, "continue" => Continue]);

#[derive(PartialEq)]
pub(super) struct PersistConfig {
    pub(super) path: PathBuf,
    pub(super) sync: FileSync,
    pub(super) on_damage: OnDamage,
    pub(super) on_write_error: OnWriteError,
}

const WHOLE: u8 = 0;
const FAILING: u8 = 1;
const CLOSED: u8 = 2;

pub(super) struct Persist {
    place: Place,
    path: PathBuf,
    sync: FileSync,
    on_write_error: OnWriteError,
    clock: Clock,
    /// The process that may write.
    process: u32,
    /// [`WHOLE`], [`FAILING`] or [`CLOSED`].
    health: AtomicU8,
    queue: Mutex<Queue>,
    /// The number of the last change that was queued.
    queued: AtomicU64,
    /// All changes up to this number are in the files.
    written: AtomicU64,
    /// `None` before the first compaction.
    journal: Mutex<Option<Journal>>,
    /// The last generation that has a journal.
    generation: AtomicU64,
    /// Held by a compaction.
    turn: Mutex<Retry>,
    /// The length of the present journal.
    journal_bytes: AtomicU64,
    /// The length of the last snapshot.
    snapshot_bytes: AtomicU64,
}

#[derive(Default)]
struct Queue {
    changes: Vec<Mutation>,
    /// False while the journal cannot be written: the next compaction writes what is in memory.
    is_open: bool,
}

/// When a failing store tries again.
#[derive(Default)]
struct Retry {
    pause: u64,
    wait: u64,
}

/// A change is in memory and not in the files.
pub(super) struct NotWritten {
    /// The error, if this call was the first to meet it.
    pub(super) found: Option<Error>,
}

impl Persist {
    /// Claims the files, fills a new store with their sessions, and begins to write.
    pub(super) fn open(shards: &Shards, config: PersistConfig) -> Result<Self> {
        let refuse = |problem: Problem| Error::persist(&config.path, problem);
        let place = Place::claim(&config.path).map_err(refuse)?;
        let elapsed = stopwatch();
        let (damage, last) =
            start::load(shards, &place, config.on_damage == OnDamage::Salvage, elapsed).map_err(refuse)?;
        if let Some(problem) = damage {
            let aside =
                place.keep_aside().map_err(|error| refuse(format!("{problem}, and no copy can be kept: {error}")))?;
            let kept =
                format!("{problem}; what is whole was read, and the files as they were are in {}", aside.display());
            shards.errors.leave(refuse(kept));
        }
        let persist = Self {
            place,
            sync: config.sync,
            on_write_error: config.on_write_error,
            clock: shards.clock.clone(),
            process: std::process::id(),
            health: AtomicU8::new(FAILING),
            queue: Mutex::default(),
            queued: AtomicU64::new(0),
            written: AtomicU64::new(0),
            journal: Mutex::new(None),
            generation: AtomicU64::new(last),
            turn: Mutex::default(),
            journal_bytes: AtomicU64::new(0),
            snapshot_bytes: AtomicU64::new(0),
            path: config.path,
        };
        // This tries the place: a snapshot is written, and takes the place of the old one.
        if let Err(error) = persist.compact(shards) {
            if config.on_write_error == OnWriteError::Refuse {
                return Err(error);
            }
            shards.errors.leave(error);
        }
        Ok(persist)
    }

    /// Queues a change. Called under the lock of its shard if the order matters.
    pub(super) fn queue(&self, change: Mutation) {
        let mut queue = self.queue.lock();
        self.queued.fetch_add(1, Ordering::SeqCst);
        if queue.is_open {
            queue.changes.push(change);
        }
    }

    /// Refuses a change while it could not be written.
    pub(super) fn check(&self) -> Result<()> {
        if self.health.load(Ordering::SeqCst) == WHOLE || self.on_write_error == OnWriteError::Continue {
            return Ok(());
        }
        let problem = if self.health.load(Ordering::SeqCst) == CLOSED {
            "the store is closed, so nothing more is written"
        } else {
            "they cannot be written at present, so no session is changed"
        };
        Err(Error::persist(&self.path, problem))
    }

    /// Waits until everything that is queued so far is in the journal, and on the disk if `sync`
    /// asks for it.
    pub(super) fn settle(&self) -> std::result::Result<(), NotWritten> {
        let queued = self.queued.load(Ordering::SeqCst);
        if self.written.load(Ordering::SeqCst) >= queued {
            return Ok(());
        }
        let mut journal = self.journal.lock();
        if self.written.load(Ordering::SeqCst) >= queued {
            return Ok(());
        }
        self.write(&mut journal, self.sync == FileSync::Always)
    }

    /// Writes what is queued if no other thread does so already, and flushes nothing.
    pub(super) fn settle_later(&self) -> std::result::Result<(), NotWritten> {
        self.journal.try_lock().map_or(Ok(()), |mut journal| self.write(&mut journal, false))
    }

    fn write(&self, journal: &mut Option<Journal>, sync: bool) -> std::result::Result<(), NotWritten> {
        let unwritten = || NotWritten { found: None };
        let Some(journal) = journal.as_mut().filter(|_| self.health.load(Ordering::SeqCst) != CLOSED) else {
            return Err(unwritten());
        };
        let (changes, queued) = {
            let mut queue = self.queue.lock();
            (mem::replace(&mut queue.changes, mem::take(&mut journal.spare)), self.queued.load(Ordering::SeqCst))
        };
        journal.is_dirty |= !changes.is_empty();
        let mut written = Ok(());
        if !changes.is_empty() {
            written = self.is_ours().and_then(|()| journal.append(&changes, Noon::of(&self.clock)));
            self.journal_bytes.store(journal.length, Ordering::Relaxed);
        }
        if sync && journal.is_dirty {
            written = written.and_then(|()| journal.file().sync_data());
            journal.is_dirty = false;
        }
        if let Err(error) = written {
            return Err(NotWritten { found: self.fail(&error) });
        }
        journal.keep(changes);
        if self.health.load(Ordering::SeqCst) != WHOLE {
            // Changes before these are in memory alone.
            return Err(unwritten());
        }
        if self.sync != FileSync::Always || !journal.is_dirty {
            self.written.store(queued, Ordering::SeqCst);
        }
        Ok(())
    }

    /// A child of the process that made the store has the same file open.
    fn is_ours(&self) -> io::Result<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(io::Error::other("the store was made before this process was forked: make it after that"))
    }

    /// From now on the store is failing. Returns the error if it was not before.
    fn fail(&self, error: &io::Error) -> Option<Error> {
        let mut queue = self.queue.lock();
        (queue.is_open, queue.changes) = (false, Vec::new());
        let before = self.health.compare_exchange(WHOLE, FAILING, Ordering::SeqCst, Ordering::SeqCst);
        let then = match self.on_write_error {
            OnWriteError::Refuse => "until they can be written again, no session is changed",
            OnWriteError::Continue => "until they can be written again, sessions change in memory alone",
        };
        before.is_ok().then(|| Error::persist(&self.path, format!("they cannot be written: {error}; {then}")))
    }

    /// The length of the journal, in bytes, and whether the files cannot be written at present.
    pub(super) fn state(&self) -> (u64, bool) {
        (self.journal_bytes.load(Ordering::Relaxed), self.health.load(Ordering::SeqCst) == FAILING)
    }

    pub(super) fn goes_on(&self) -> bool {
        self.on_write_error == OnWriteError::Continue
    }
}

impl Drop for Persist {
    fn drop(&mut self) {
        // Touches may still be queued. There is no caller to tell of an error.
        let _ = self.settle();
    }
}
