//! `LembroStore`: sessions in memory, in sharded tables behind reader-writer locks, with a reaper
//! and a byte budget.
//!
//! ```text
//! mod         the handle: what users see
//!   reaper    the thread that purges at an interval
//!   options   the options, checked in one place
//!   snapshot  all sessions in a file, and a store that begins with them
//!     format    the bytes of that file
//!     writer    writes it, chunk by chunk
//!     reader    reads it, chunk by chunk, and checks every sum
//!     draft     a temporary file that takes the target's place in one step
//!   watch     a weak handle for the metrics, which does not keep the store alive
//!   shards    routes a handle to its shard and locks it; reports and frees after unlocking
//!     apply     actions: works out the next row without a lock and swaps it in
//!     purge     removes expired sessions, in small steps
//!     owners    the sessions of one owner
//!     transfer  copies sessions out for lists and snapshots, and restores them
//!     whole     all shards as one: listed, counted, cleared
//!     endings   the owners' epochs, and why sessions were ended
//!     stats     counters and figures
//!     shortage  the report that sessions with an owner were evicted
//!     shard     one table of rows with its queues and indexes; knows no lock
//!       table     finds a row by its hash
//!       evict     picks victims when the shard is over its budget
//!       turns     ages the sessions in main by the visits to the others
//!       queue     the eviction queues and their bytes, as lists in one slab
//!       copy      copies rows for lists and snapshots, and restores them
//!       tidy      shrinks a shard that has become mostly empty
//!       owned     the owner index: a hash of the owner for each slot
//!       expiry    the expiry index: a tick for each slot
//!       weight    the bytes that a session counts for
//!       validate  recomputes everything, for tests
//! ```
//!
//! A commit works out the session's next row without a lock and swaps the pointer in under the
//! write lock. If the stored row has changed since, it starts over. A login holds its owner's gate,
//! a striped mutex, so the logins of one owner and "log out everywhere" run one after the other. A
//! visit prolongs the session at the first look, under the read lock: deadline, visited bit and
//! turn are atomics in the row's header. A session that was rotated has a second secret behind its
//! body and counts 32 bytes more.
//!
//! Over `max_size`, expired sessions are removed first. After them victims come from three queues.
//! A new session starts in *probation*, which is sure of a tenth of the memory. If it is visited
//! before it becomes the victim, it moves to *main*, where a session that was visited since its
//! last examination gets a second chance. That is S3-FIFO (Yang et al., SOSP '23) without its ghost
//! queue: a flood of sessions that are never visited again passes through probation and leaves main
//! alone, where an LRU would lose its working set. S3-FIFO alone would let abandoned sessions fill
//! main. So main ages by the visits to its sessions, and abandoned sessions in main are evicted
//! before new ones. Sessions with an owner are the third queue, whose sessions are evicted only
//! when those without an owner are down to their share. The session about to be stored counts as
//! one of its class: without an owner and without room that its class may take, it is refused.
//!
//! A snapshot copies one shard after the other. Under the shard's read lock it reads the order of
//! the queues, then copies the pointers and deadlines of a thousand slots at a time; it writes the
//! file without a lock. A session that was read from a file has only the digest of its secret,
//! until the first request that opens it brings the secret.

mod endings;
mod expiry;
mod options;
mod queue;
mod reaper;
mod shard;
mod shards;
mod shortage;
mod snapshot;
mod stats;
mod table;
#[cfg(feature = "metrics")]
mod watch;
mod weight;

use std::fmt;
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender};

pub use self::options::{LembroOptions, WhenFull};
use self::reaper::Reaper;
use self::shards::Shards;
pub use self::snapshot::{BadSnapshot, Restored, Snapshot};
pub use self::stats::{Purge, Stats};
#[cfg(feature = "metrics")]
pub(crate) use self::watch::Watch;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::{Handle, SessionId};
use crate::store::{Action, EndReason, Epoch, Lease, Listed, Listing, Look, Lookup, Outcome, Owner, Owners, Store};
use crate::sync::Arc;

/// Sessions in memory, for one process: bounded, purged, and safe to use from any number of
/// threads.
///
/// A clone is another handle on the same store. When the last handle is dropped, the reaper thread
/// is stopped and joined and the sessions are freed.
///
/// **Make it after the process has forked**, if it does: in the process that serves, after
/// daemonizing. In a child that was forked later it is a copy: what one process commits, the other
/// does not see, and there is no reaper thread, so memory of expired sessions is freed when room is
/// needed and by [`purge`](Self::purge). The copy can be used, closed and dropped if no other
/// thread of the parent used the store at the moment of the fork; one that did leaves its lock held
/// for ever.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::{LembroOptions, LembroStore, Record, SessionId, Store};
///
/// let store = LembroStore::with_options(LembroOptions::new().interval("5m").max_size("4M"))?;
/// let id = SessionId::random()?;
/// store.set(&id, [("user", "ada")].into_iter().collect(), Duration::from_secs(3600))?;
/// let stored = store.get(&id)?.expect("stored a moment ago");
/// assert_eq!(stored.record.get_str("user")?.as_deref(), Some("ada"));
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias = "MemoryStore")]
pub struct LembroStore {
    // Dropped before `shards`: the reaper's thread must not be the one that frees them, because the
    // drop of `reaper` waits for that thread.
    reaper: Arc<Reaper>,
    shards: Arc<Shards>,
    on_close: Option<Arc<PathBuf>>,
}

impl LembroStore {
    /// A store with the default options: purges every 60 seconds, holds a mebibyte.
    ///
    /// # Errors
    ///
    /// [`Error::is_background`] when the reaper's thread cannot be started.
    pub fn new() -> Result<Self> {
        Self::with_options(LembroOptions::new())
    }

    /// A store with options of your own.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] when an option is wrong, with its name and value;
    /// [`Error::is_background`] when the reaper's thread cannot be started; [`Error::is_snapshot`]
    /// when the file to [`restore`](LembroOptions::restore) exists but is not a whole, sound
    /// snapshot.
    pub fn with_options(options: LembroOptions) -> Result<Self> {
        let config = options.resolve()?;
        let shards = Arc::new(Shards::new(&config));
        if let Some(path) = &config.restore {
            snapshot::restore(&shards, path, config.on_bad_snapshot)?;
        }
        let reaper = match config.interval {
            None => Reaper::default(),
            Some(interval) => {
                let (purged, reported) = (Arc::clone(&shards), Arc::clone(&shards));
                let purge = move |is_stopped: &dyn Fn() -> bool| {
                    purged.purge(is_stopped);
                };
                Reaper::start(interval, purge, move |error| reported.errors.publish(|| error))?
            }
        };
        Ok(Self { shards, reaper: Arc::new(reaper), on_close: config.snapshot_on_close.map(Arc::new) })
    }

    /// Removes every expired session from memory now and returns how many there were. The reaper
    /// does the same at its interval.
    ///
    /// The purge takes each lock for a small batch only, so a reader waits for it no longer than
    /// for a few writes.
    #[doc(alias = "reap")]
    pub fn purge(&self) -> usize {
        self.shards.purge(|| false)
    }

    /// Writes all live sessions to a file that [`LembroOptions::restore`] reads, so that a restart
    /// logs no user out.
    ///
    /// The file is written beside `path`, flushed to the disk, and then takes the place of `path`
    /// in one step. Whatever interrupts it, a `kill -9` included, `path` is the old file or the new
    /// one, whole. Only the file's owner may read it (mode 0600, on Unix). It holds the users' data
    /// but **no usable id**: of each secret it has half of the SHA-256.
    ///
    /// Requests go on. A request waits at most while the order of one shard's queues is read, or
    /// while the pointers of a thousand slots are copied (`cargo bench --bench snapshot` shows the
    /// longest waits). The data is written without a lock. So the file is not the picture of one
    /// instant: a session that changes during the snapshot is in the file as it was before or after
    /// the change. The file keeps the rows (entries, components, owners, timeouts, labels,
    /// versions, deadlines, superseded and pending ids) and the order in which sessions are
    /// evicted. It does not keep the counters and [why sessions ended](Owners::why_ended).
    ///
    /// **A restore undoes what happened after the snapshot, logouts included.** Take the snapshot
    /// when the server has stopped serving
    /// ([`snapshot_on_close`](LembroOptions::snapshot_on_close)). With another one every few
    /// minutes, a crash loses the logouts since the last; without, it loses all logins.
    ///
    /// # Errors
    ///
    /// [`Error::is_snapshot`] when it cannot be written, with the path and the reason. The old file
    /// stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lembro::{LembroOptions, LembroStore, Record, SessionId, Store};
    ///
    /// # let name = format!("lembro-doc-snapshot-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let (store, id) = (LembroStore::new()?, SessionId::random()?);
    /// store.set(&id, [("user", "ada")].into_iter().collect(), Duration::from_secs(3600))?;
    /// let written = store.snapshot(&path)?;
    /// assert_eq!(written.sessions, 1);
    ///
    /// // The next process.
    /// let store = LembroStore::with_options(LembroOptions::new().restore(&path))?;
    /// let stored = store.get(&id)?.expect("the cookie still opens it");
    /// assert_eq!(stored.record.get_str("user")?.as_deref(), Some("ada"));
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("dump", "persist"))]
    pub fn snapshot(&self, path: impl AsRef<Path>) -> Result<Snapshot> {
        snapshot::write(&self.shards, path.as_ref())
    }

    /// The bytes that the sessions count for, as `max_size` bounds them: within 8 % of what the
    /// allocator gave out for them.
    #[doc(alias = "size")]
    pub fn bytes(&self) -> usize {
        self.shards.bytes()
    }

    /// The figures at this moment.
    pub fn stats(&self) -> Stats {
        self.shards.stats()
    }

    /// Subscribes to the store's events from now on.
    ///
    /// Each subscriber has a queue of 1,024 events. What does not fit is dropped and counted
    /// ([`Stats::events_missed`]), so a slow subscriber never blocks the store. A subscription that
    /// was dropped keeps half a kilobyte until the next message of its channel: subscribe once, not
    /// for each request.
    #[doc(alias = "on")]
    pub fn events(&self) -> Receiver<Event> {
        self.shards.events.subscribe()
    }

    /// Subscribes to errors in the background from now on: those that no caller receives.
    ///
    /// One of them, at most once a minute, says how many sessions with an owner were evicted for
    /// want of memory, and which options to change.
    ///
    /// A queue of 1,024 errors, and once, as for [`events`](Self::events).
    #[doc(alias = "on_error")]
    pub fn errors(&self) -> Receiver<Error> {
        self.shards.errors.subscribe()
    }

    /// A weak handle for the metrics, valid until the store is gone.
    #[cfg(feature = "metrics")]
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(&self.shards)
    }

    /// Stops the reaper and waits until its thread is gone, then writes the
    /// [snapshot](Self::snapshot) that [`snapshot_on_close`](LembroOptions::snapshot_on_close) asks
    /// for. Every handle goes on working, without a purge at an interval.
    ///
    /// Dropping the last handle stops the reaper too, but writes no snapshot: a drop cannot return
    /// an error, it is seldom known which thread drops the last handle, and a process that exits
    /// may not drop it at all.
    ///
    /// # Errors
    ///
    /// [`Error::is_snapshot`] when the snapshot cannot be written. The old file stays, the reaper
    /// is stopped.
    pub fn close(&self) -> Result<()> {
        self.reaper.stop();
        match &self.on_close {
            Some(path) => self.snapshot(&**path).map(drop),
            None => Ok(()),
        }
    }

    /// Recomputes every counter, every queue and every index, and compares them with what the store
    /// keeps. For tests.
    ///
    /// # Errors
    ///
    /// A sentence about the first thing that does not add up: a bug in lembro.
    #[cfg(any(test, feature = "testing"))]
    pub fn validate(&self) -> Result<(), String> {
        self.shards.validate()
    }
}

impl Store for LembroStore {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        Ok(self.shards.look(id, how, lease))
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        self.shards.apply(id, action, lease)
    }

    fn all(&self) -> Result<Listing<'_>> {
        Ok(Box::new(self.shards.all().map(Ok)))
    }

    fn len(&self) -> Result<usize> {
        Ok(self.shards.len())
    }

    fn clear(&self) -> Result<()> {
        self.shards.clear();
        Ok(())
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn clock(&self) -> Clock {
        self.shards.clock.clone()
    }

    fn send_events(&self, to: Sender<Event>) {
        self.shards.events.add(to);
    }

    fn send_errors(&self, to: Sender<Error>) {
        self.shards.errors.add(to);
    }
}

impl Owners for LembroStore {
    fn epoch(&self, _owner: &Owner) -> Result<Epoch> {
        Ok(self.shards.epochs.current())
    }

    fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
        Ok(self.shards.list(owner.as_str()))
    }

    fn count(&self, owner: &Owner) -> Result<usize> {
        Ok(self.shards.count_of(owner.as_str()))
    }

    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        Ok(self.shards.destroy_handle(handle, owner, reason))
    }

    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        Ok(self.shards.destroy_all(owner, except))
    }

    fn why_ended(&self, id: &SessionId) -> Result<Option<EndReason>> {
        Ok(self.shards.endings.why(id))
    }
}

impl fmt::Debug for LembroStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("LembroStore")
            .field("sessions", &stats.sessions)
            .field("bytes", &stats.bytes)
            .field("max_size", &stats.max_size)
            .finish_non_exhaustive()
    }
}
