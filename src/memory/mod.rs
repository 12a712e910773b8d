//! `LembroStore`: sessions in memory, bounded and purged, and optionally kept in files.
//!
//! ```text
//! mod          the public type `LembroStore`
//! options      the options, checked in one place
//! stats        counters and figures
//! store        looks and actions: the trait `Store`
//! save         computes the next row of a session without a lock, and swaps it in
//! owners       the sessions of one owner: the trait `Owners`
//! revocations  the owners' epochs, and why the last ended sessions ended
//! routing      finds the shard of a handle and locks it; reports removed records after unlocking
//! sweep        purges, copies and sums over all shards
//! reaper       a thread that works at an interval
//! shard        a table of rows with their queues and indexes; knows no lock
//!   evict        chooses victims when the shard is over its budget
//!   aging        tells abandoned sessions in main from those between two visits
//!   expire       removes expired sessions, and shrinks a shard that is mostly empty
//!   owner_index  the slots of an owner's sessions
//!   copy         copies rows for lists and snapshots, and restores them
//!   validate     recomputes everything, in tests
//! table        finds a row by its hash
//! queue        the eviction queues and their bytes, as lists in one slab
//! expiry       the expiry index: for each slot, a time before which its session cannot expire
//! persist      the sessions in files: a snapshot, and a journal of the changes since
//!   commit_log   queues changes under the shards' locks, and writes them in groups
//!   compaction   writes a snapshot, begins the next journal, and retries after failures
//!   recovery     reads the files at the start
//!   replay       carries out the journal's changes on a new store
//!   snapshot     the snapshot's bytes, written and read
//!   journal      the journal's frames, written and read
//!   encoding     the rows and changes as bytes
//!   files        the files' names, and the lock for one process at a time
//! ```
//!
//! A commit computes the session's next row without a lock and swaps the pointer under the write
//! lock. If the stored row has changed since, the commit starts over. A login holds its owner's
//! gate, a striped mutex, so the logins of one owner and "log out everywhere" run one after the
//! other. A visit prolongs the session at the first look, under the read lock: deadline, visited
//! bit and generation are atomics in the row's header. A session that was rotated has a second
//! secret after its body and is charged 32 bytes more.
//!
//! If a write would exceed `max_size`, expired sessions are removed first. If that frees too
//! little, sessions are evicted from three queues. A new session starts in *probation*, which keeps
//! its sessions while it takes at most a tenth of the memory and main has any. If the session is
//! visited before its eviction, it moves to *main*, where a session that was visited since its last
//! examination gets a second chance. That is S3-FIFO (Yang et al., SOSP '23) without its ghost
//! queue: a flood of sessions that are never visited again passes through probation and leaves main
//! alone, where an LRU would lose its working set. S3-FIFO alone would let abandoned sessions fill
//! main. So main has generations, which advance with the visits to its sessions. A session without
//! a visit for many generations counts as abandoned, and is evicted before new ones. Sessions with
//! an owner are in the third queue. They are evicted only while sessions without an owner take no
//! more than their share. A session without an owner is refused if it is larger than that share and
//! does not fit beside the sessions with an owner.
//!
//! With [`persist`](LembroOptions::persist), a change is queued for the journal under its shard's
//! lock and written after the release, before the request is answered. A snapshot copies one shard
//! after the other. Under the shard's read lock, the snapshot reads the order of the queues, and
//! then copies the pointers and deadlines of a thousand slots at a time. The file is written
//! without a lock. The files contain only the digest of a secret. After a restart, the first
//! request that opens a session presents the secret itself, and the store keeps it in memory.

mod expiry;
mod options;
mod owners;
mod persist;
mod queue;
mod reaper;
mod revocations;
mod routing;
mod save;
mod shard;
mod stats;
mod store;
mod sweep;
mod table;

use std::fmt;

use crossbeam_channel::Receiver;

pub use self::options::{LembroOptions, WhenFull};
use self::persist::commit_log::CommitLog;
use self::persist::compaction::UPKEEP_INTERVAL;
pub use self::persist::{FileSync, OnDamage, OnWriteError};
use self::reaper::Reaper;
use self::routing::ShardedStore;
pub use self::stats::{Purge, Restored, Snapshot, Stats};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::sync::Arc;

/// Sessions in memory, for one process: bounded, purged, and safe to use from any number of
/// threads.
///
/// Clones share one store. When the last clone is dropped, the background threads are stopped and
/// joined, and the sessions are freed.
///
/// # Forks
///
/// If the process forks, for example to daemonize, make the store in the child that serves. A store
/// that was made before the fork is a copy in the child: neither process sees the other's commits.
/// The copy has no reaper thread, so the memory of expired sessions is freed when room is needed
/// and by [`purge`](Self::purge). The copy can be used, closed and dropped if no other thread of
/// the parent used the store at the moment of the fork. Otherwise a lock can stay held for ever.
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
    // The first field is dropped first: the drop joins the threads, so no thread frees the
    // sessions.
    threads: Arc<[Reaper; 2]>,
    store: Arc<ShardedStore>,
}

impl LembroStore {
    /// Makes a store with the default options: it purges every 60 seconds and holds a mebibyte.
    ///
    /// # Errors
    ///
    /// [`Error::is_background`] if the reaper's thread cannot be started.
    pub fn new() -> Result<Self> {
        Self::with_options(LembroOptions::new())
    }

    /// Makes a store with these options.
    ///
    /// # Errors
    ///
    /// - [`Error::is_option`] if an option is wrong; the message has its name and value;
    /// - [`Error::is_background`] if a thread cannot be started;
    /// - [`Error::is_persist`] if the files of [`persist`](LembroOptions::persist) are damaged, in
    ///   use, or cannot be written.
    #[expect(clippy::needless_pass_by_value, reason = "as every builder")]
    pub fn with_options(options: LembroOptions) -> Result<Self> {
        options.check()?;
        let mut store = ShardedStore::new(&options);
        if let Some(files) = options.persist_config() {
            store.log = Some(CommitLog::open(&store, files)?);
        }
        let store = Arc::new(store);
        let start = |what, interval, work: fn(&ShardedStore, &dyn Fn() -> bool)| {
            let (worked, reported) = (Arc::clone(&store), Arc::clone(&store));
            let work = move |is_stopped: &dyn Fn() -> bool| work(&worked, is_stopped);
            Reaper::start(what, interval, work, move |error| reported.errors.publish(|| error))
        };
        let purge = |store: &ShardedStore, is_stopped: &dyn Fn() -> bool| {
            store.purge(is_stopped);
        };
        let upkeep = |store: &ShardedStore, _: &dyn Fn() -> bool| {
            if let Some(log) = &store.log {
                log.upkeep(store);
            }
        };
        let reaper =
            options.get_interval().map_or(Ok(Reaper::default()), |interval| start("a purge", interval, purge))?;
        // The model checker cannot let a thread wait for a time.
        let has_upkeep = store.log.is_some() && !cfg!(shuttle);
        let upkeep =
            if has_upkeep { start("the journal's upkeep", UPKEEP_INTERVAL, upkeep)? } else { Reaper::default() };
        Ok(Self { store, threads: Arc::new([reaper, upkeep]) })
    }

    /// Removes every expired session from memory now and returns how many there were. The reaper
    /// does the same at its interval.
    ///
    /// The purge holds a lock for a small batch at a time, so a request waits for it no longer than
    /// for a few writes.
    #[doc(alias = "reap")]
    pub fn purge(&self) -> usize {
        self.store.purge(|| false)
    }

    /// The memory that all sessions take, in bytes. `max_size` bounds this sum, which differs by at
    /// most 8 % from the memory that the allocator handed out for the sessions.
    #[doc(alias = "size")]
    pub fn bytes(&self) -> usize {
        self.store.shards.iter().map(|locked| locked.shard.read().bytes()).sum()
    }

    /// The store's figures at this moment.
    pub fn stats(&self) -> Stats {
        self.store.stats()
    }

    /// Subscribes to the store's events from now on.
    ///
    /// Each subscriber has a queue of 1,024 events. An event that does not fit is dropped and
    /// counted ([`Stats::events_missed`]), so a slow subscriber never blocks the store. Subscribe
    /// once, not for each request: a dropped receiver takes half a kilobyte until the next event.
    #[doc(alias = "on")]
    pub fn events(&self) -> Receiver<Event> {
        self.store.events.subscribe()
    }

    /// Subscribes to background errors, which no caller receives, from now on. The queue has the
    /// same limits as that of [`events`](Self::events).
    ///
    /// If sessions with an owner are evicted, an error gives their number and the options to
    /// change, at most once a minute.
    #[doc(alias = "on_error")]
    pub fn errors(&self) -> Receiver<Error> {
        self.store.errors.subscribe()
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn stats_handle(&self) -> StatsHandle {
        StatsHandle { store: Arc::downgrade(&self.store), purges: self.store.purges.subscribe() }
    }

    /// Stops the background threads and waits until they have ended. With
    /// [`persist`](LembroOptions::persist), it then writes a last snapshot, so that the next start
    /// is short, and releases the files.
    ///
    /// Every clone can still be used, but expired sessions are no longer purged at an interval.
    /// With `persist`, looks still succeed. Changes of sessions are refused. With
    /// [`OnWriteError::Continue`] they are made, in memory alone.
    ///
    /// Dropping the last clone also stops the threads, but writes no snapshot. Every acknowledged
    /// change is in the journal, which the next start reads, as after a crash.
    ///
    /// # Errors
    ///
    /// [`Error::is_persist`] if the snapshot cannot be written. The threads are stopped also then,
    /// and the journal contains every acknowledged change.
    pub fn close(&self) -> Result<()> {
        self.threads.iter().for_each(Reaper::stop);
        self.store.log.as_ref().map_or(Ok(()), |log| log.close(&self.store))
    }

    /// Recomputes every counter, queue and index, and compares the results with the stored values.
    /// For tests.
    ///
    /// # Errors
    ///
    /// A sentence about the first difference, which is a bug in lembro.
    #[cfg(any(test, feature = "testing"))]
    pub fn validate(&self) -> Result<(), String> {
        self.store.validate()
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

/// A weak reference to a store, for the metrics. It does not keep the store alive.
#[cfg(feature = "metrics")]
pub(crate) struct StatsHandle {
    store: std::sync::Weak<ShardedStore>,
    /// Receives each purge from now on. The channel closes when the store is dropped, which wakes
    /// the waiting thread.
    pub(crate) purges: Receiver<Purge>,
}

#[cfg(feature = "metrics")]
impl StatsHandle {
    /// The figures at this moment, or `None` if the store was dropped.
    pub(crate) fn stats(&self) -> Option<Stats> {
        self.store.upgrade().map(|store| store.stats())
    }

    /// Publishes an error to the subscribers of the store's background errors.
    pub(crate) fn report(&self, error: &Error) {
        if let Some(store) = self.store.upgrade() {
            store.errors.publish(|| error.clone());
        }
    }
}
