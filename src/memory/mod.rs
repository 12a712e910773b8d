//! `LembroStore`: sessions in memory, in sharded tables behind reader-writer locks, with a reaper
//! and a byte budget.
//!
//! ```text
//! mod         the handle: what users see
//!   reaper    the thread that purges at an interval
//!   options   the options, checked in one place
//!   persist   the sessions in files: a snapshot, and a journal of what changed since
//!     place     the files' names, and the lock for one process at a time
//!     upkeep    flushes and compacts them in the background, and closes them
//!     start     reads them, and says what is wrong with them
//!     journal   the journal's frames, written and read
//!     changes   the changes in them
//!     format    the snapshot's bytes
//!     writer    writes it, chunk by chunk
//!     reader    reads it, chunk by chunk, and checks every sum
//!     replay    what of the snapshot may fit, and the journal's changes on a new store
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
//! With [`persist`](LembroOptions::persist), a change is queued for the journal under its shard's
//! lock and written after the release, before the request is answered. A snapshot copies one shard
//! after the other: under the shard's read lock it reads the order of the queues, then copies the
//! pointers and deadlines of a thousand slots at a time; it writes the file without a lock. A
//! session that was read from a file has only the digest of its secret, until the first request
//! that opens it brings the secret.

mod endings;
mod expiry;
mod options;
mod persist;
mod queue;
mod reaper;
mod shard;
mod shards;
mod shortage;
mod stats;
mod table;
#[cfg(feature = "metrics")]
mod watch;
mod weight;

use std::fmt;

use crossbeam_channel::{Receiver, Sender};

pub use self::options::{LembroOptions, WhenFull};
pub use self::persist::{FileSync, OnDamage, OnWriteError, Restored, Snapshot};
use self::persist::{Persist, UPKEEP};
use self::reaper::Reaper;
use self::shards::Shards;
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
    // Dropped before `shards`: the threads must not be those that free them, because the drop of
    // `threads` waits for them.
    threads: Arc<[Reaper; 2]>,
    shards: Arc<Shards>,
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
    /// [`Error::is_background`] when a thread cannot be started; [`Error::is_persist`] when the
    /// files of [`persist`](LembroOptions::persist) are damaged, in use or cannot be written.
    pub fn with_options(options: LembroOptions) -> Result<Self> {
        let mut config = options.resolve()?;
        let mut shards = Shards::new(&config);
        if let Some(files) = config.persist.take() {
            shards.persist = Some(Persist::open(&shards, files)?);
        }
        let shards = Arc::new(shards);
        let start = |interval, what, work: fn(&Shards, &dyn Fn() -> bool)| {
            let (worked, reported) = (Arc::clone(&shards), Arc::clone(&shards));
            let work = move |is_stopped: &dyn Fn() -> bool| work(&worked, is_stopped);
            Reaper::start(what, interval, work, move |error| reported.errors.publish(|| error))
        };
        let purge = |shards: &Shards, is_stopped: &dyn Fn() -> bool| {
            shards.purge(is_stopped);
        };
        let reaper = config.interval.map_or(Ok(Reaper::default()), |interval| start(interval, "a purge", purge))?;
        let keeper = match &shards.persist {
            // A model checker cannot let a thread wait for a time.
            Some(_) if !cfg!(shuttle) => start(UPKEEP, "the journal's upkeep", |shards, _| {
                if let Some(persist) = &shards.persist {
                    persist.upkeep(shards);
                }
            })?,
            _ => Reaper::default(),
        };
        Ok(Self { shards, threads: Arc::new([reaper, keeper]) })
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

    /// Stops the background threads and waits until they are gone. With
    /// [`persist`](LembroOptions::persist), it then writes a last snapshot, so that the next start
    /// is short, and lets go of the files.
    ///
    /// Every handle goes on working, without a purge at an interval. With `persist` looks go on,
    /// and what would change a session is refused, or with
    /// [`OnWriteError::Continue`] changes memory alone.
    ///
    /// Dropping the last handle stops the threads too. What was acknowledged is in the files then,
    /// too, as after a crash; the next start reads the journal.
    ///
    /// # Errors
    ///
    /// [`Error::is_persist`] when the snapshot cannot be written. The journal has what it would
    /// have, and the threads are stopped.
    pub fn close(&self) -> Result<()> {
        self.threads.iter().for_each(Reaper::stop);
        self.shards.persist.as_ref().map_or(Ok(()), |persist| persist.close(&self.shards))
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
        self.shards.clear()
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
        self.shards.end_handle(handle, owner, reason)
    }

    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        self.shards.destroy_all(owner, except)
    }

    fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
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
