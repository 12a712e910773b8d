//! `LembroStore`: sessions in memory, in sharded maps behind reader-writer locks, with a reaper and a byte budget.
//!
//! ```text
//! mod       the handle: what users see
//!   reaper    the thread that purges at an interval
//!   options   what can be set, checked in one place
//!   snapshot  all sessions in a file, and a store that begins with them
//!     format    the bytes of that file
//!     writer    .. written, chunk by chunk
//!     reader    .. read, and believed only if the sums are right
//!     draft     a file beside another one that takes its place in one step
//!   watch     what somebody holds who reports on a store and must not keep it alive
//!   shards    finds the shard for a handle, takes its lock; reports and frees afterwards
//!     apply     actions: the next row of a session in the place of the current one
//!     purge     removes what is expired, in small steps
//!     owners    the sessions of one owner
//!     transfer  sessions on their way out, to a list or a file, and in again
//!     whole     all shards as one: listed, counted, emptied
//!     endings   when owners logged out everywhere, and why ids are dead
//!     stats     counters and figures
//!     shard     one table of records with its queue and index; knows no lock
//!       table     finds a session by its hash
//!       evict     who has to go when there is no room
//!       turns     who has left, by how often the others were visited meanwhile
//!       queue     eviction order and bytes, as lists through a slab
//!       copy      what a list or a snapshot takes, and how it comes back
//!       tidy      gives back what is no longer needed
//!       owned     whose sessions they are, as a hash per slot
//!       expiry    who can have expired, as one number per slot
//!       weight    what a session counts for
//! ```
//!
//! What happens over `max_size`: expired sessions go first. Then there are three queues. A new session starts in
//! *probation*, which is sure of a tenth of the memory; when it is its turn to go and somebody came back to it
//! meanwhile, it moves to *main*; there, too, whoever was visited since the last time is passed over once. Reads only
//! set a bit and note the turn, so there is no list to lock for them. That is S3-FIFO (Yang et al., SOSP '23) without its ghost queue: a
//! flood of sessions that nobody comes back to passes through a tenth of the memory and leaves the rest alone, where an
//! LRU would be washed out. What S3-FIFO lacks for sessions is an end: in main those who have left would gather until nothing but that
//! tenth is left to newcomers. So main grows old by the visits to it, and who was left behind goes before anybody new. Sessions with an
//! owner, somebody logged in, are the third queue. They go when the others are down to the share that is theirs in any
//! case, and not before.
//!
//! A snapshot goes from shard to shard. Under a shard's read lock it first reads the order of the queues, then
//! copies pointers and deadlines, of a thousand sessions at a time, and writes after it let go; so it is not the picture of one instant, but each session in it
//! is whole. A session that comes back from a file is known by half of the SHA-256 of its secret, until the first request
//! that proves it brings the secret along.

mod endings;
mod expiry;
mod options;
mod queue;
mod reaper;
mod shard;
mod shards;
mod snapshot;
mod stats;
mod table;
#[cfg(feature = "metrics")]
mod watch;
mod weight;

use std::fmt;
use std::path::{Path, PathBuf};

use crossbeam_channel::Receiver;

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

/// Sessions in memory, for one process: bounded, purged, and safe to use from any number of threads.
///
/// A clone is another handle on the same store. When the last handle is dropped, the reaper thread is stopped and joined
/// and the sessions are gone.
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
/// assert_eq!(stored.record.get::<&str>("user")?, Some("ada"));
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias = "MemoryStore")]
pub struct LembroStore {
    // Dropped first: if the thread outlived this handle's hold on the shards, it would be the one to free them, and
    // waiting for it would be waiting for that.
    reaper: Arc<Reaper>,
    shards: Arc<Shards>,
    on_close: Option<Arc<PathBuf>>,
}

impl LembroStore {
    /// A store with the default options: purges every 60 seconds, holds a mebibyte.
    ///
    /// It is ready when this returns.
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
    /// [`Error::is_option`] when one of them is wrong, with its name and value; [`Error::is_background`] when the reaper's
    /// thread cannot be started; [`Error::is_snapshot`] when the file to [`restore`](LembroOptions::restore) is there but is not a
    /// whole, sound snapshot.
    pub fn with_options(options: LembroOptions) -> Result<Self> {
        let config = options.resolve()?;
        let shards = Arc::new(Shards::new(&config));
        if let Some(path) = &config.restore {
            snapshot::restore(&shards, path, config.on_bad_snapshot)?;
        }
        let reaper = match config.interval {
            None => Reaper::none(),
            Some(interval) => {
                let (purged, reported) = (Arc::clone(&shards), Arc::clone(&shards));
                let purge = move |stop: &reaper::Stop| {
                    purged.purge(|| stop.is_requested());
                };
                Reaper::start(interval, purge, move |error| reported.errors.publish(|| error))?
            }
        };
        Ok(Self { shards, reaper: Arc::new(reaper), on_close: config.snapshot_on_close.map(Arc::new) })
    }

    /// Removes every expired session from memory now; how many there were. The reaper does the same at its interval.
    ///
    /// No reader waits for it longer than for one write of its own.
    #[doc(alias = "reap")]
    pub fn purge(&self) -> usize {
        self.shards.purge(|| false)
    }

    /// Writes all live sessions to a file that [`LembroOptions::restore`] reads: for a restart that logs nobody out.
    ///
    /// The file is written beside `path`, brought to the disk, and then takes its place in one step: whatever happens
    /// meanwhile, a `kill -9` included, `path` is the old file or the new one, whole. It is readable by its owner only
    /// (mode 0600, on Unix), and although that holds the users' data, it holds **no usable id**: of each secret half its SHA-256.
    ///
    /// Requests go on. A request waits at most while the order of one shard's queues is read, or the pointers of a thousand
    /// sessions are copied (`cargo bench --bench snapshot` shows the longest waits); the data itself is written without any lock. So this is not the picture of one instant: a session that changes meanwhile is in the file
    /// as it was before or after. What survives: entries, components, owners, timeouts, versions, the time left,
    /// superseded and pending ids, and the order in which sessions are evicted. Counters and [why sessions ended](Owners::why_ended) do not.
    ///
    /// **What happens after a snapshot, a later restore undoes: a logout too.** Take it when the server has stopped
    /// serving ([`snapshot_on_close`](LembroOptions::snapshot_on_close)). Whoever also takes one every few minutes, against
    /// crashes, chooses between that many minutes of logouts and all logins.
    ///
    /// # Errors
    ///
    /// [`Error::is_snapshot`] when it cannot be written, with the path and the reason. The old file stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lembro::{LembroOptions, LembroStore, Record, SessionId, Store};
    ///
    /// # let path = std::env::temp_dir().join(format!("lembro-doc-snapshot-{}", std::process::id()));
    /// let (store, id) = (LembroStore::new()?, SessionId::random()?);
    /// store.set(&id, [("user", "ada")].into_iter().collect(), Duration::from_secs(3600))?;
    /// let written = store.snapshot(&path)?;
    /// assert_eq!(written.sessions, 1);
    ///
    /// // The next process.
    /// let store = LembroStore::with_options(LembroOptions::new().restore(&path))?;
    /// let stored = store.get(&id)?.expect("the cookie still opens it");
    /// assert_eq!(stored.record.get::<&str>("user")?, Some("ada"));
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("dump", "persist"))]
    pub fn snapshot(&self, path: impl AsRef<Path>) -> Result<Snapshot> {
        snapshot::write(&self.shards, path.as_ref())
    }

    /// Bytes that the sessions take, as they count for `max_size`: within 8 % of what the allocator gave out for them.
    #[doc(alias = "size")]
    pub fn bytes(&self) -> usize {
        self.shards.bytes()
    }

    /// The figures at this moment.
    pub fn stats(&self) -> Stats {
        self.shards.stats()
    }

    /// Subscribes to what happens in the store from now on.
    ///
    /// Each subscriber has a queue of 1,024 events. What does not fit is dropped and counted
    /// ([`Stats::events_missed`]); nobody ever waits for a slow subscriber.
    #[doc(alias = "on")]
    pub fn events(&self) -> Receiver<Event> {
        self.shards.events.subscribe()
    }

    /// Subscribes to errors that happen in the background from now on, where no caller is waiting for a result.
    ///
    /// A queue of 1,024 errors, as for [`events`](Self::events).
    #[doc(alias = "on_error")]
    pub fn errors(&self) -> Receiver<Error> {
        self.shards.errors.subscribe()
    }

    /// For those who report on the store from now on, until it is gone.
    #[cfg(feature = "metrics")]
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(&self.shards)
    }

    /// Stops the reaper and waits until its thread is gone, then writes the [snapshot](Self::snapshot) that
    /// [`snapshot_on_close`](LembroOptions::snapshot_on_close) asks for. Every handle goes on working, without a purge at an interval.
    ///
    /// Dropping the last handle stops the reaper too, but writes nothing: nobody would learn that it failed, it is seldom known
    /// which thread is the last, and a process that exits may not drop it at all.
    ///
    /// # Errors
    ///
    /// [`Error::is_snapshot`] when the snapshot cannot be written. The old file stays, the reaper is stopped.
    pub fn close(&self) -> Result<()> {
        self.reaper.stop();
        match &self.on_close {
            Some(path) => self.snapshot(&**path).map(drop),
            None => Ok(()),
        }
    }

    /// Recomputes every counter, every queue and every index, and compares them with what the store keeps. For tests.
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

    fn destroy(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        Ok(self.shards.destroy_handle(handle, owner, reason))
    }

    fn destroy_all(&self, owner: &Owner, except: Option<&SessionId>) -> Result<usize> {
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
