//! Statistics: the counters of the shards, and the figures that a store returns.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::sync::{AtomicU64, Ordering};

/// Declares a counter for each of these fields of `Stats`, and a method that adds them up.
macro_rules! counters {
    ($($name:ident),*) => {
        /// The counters of one shard. They are beside the shard's lock in memory, so that counting
        /// reads no further cache line.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: AtomicU64,)*
            /// Looks that prolonged a session. Each is both a hit and a touch. One counter serves
            /// for both, because an increment takes as long as a lock.
            pub(super) prolonged: AtomicU64,
        }

        impl Stats {
            pub(super) fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.load(Ordering::Relaxed);)*
                let prolonged = counters.prolonged.load(Ordering::Relaxed);
                self.hits += prolonged;
                self.touched += prolonged;
            }
        }
    };
}

counters!(
    hits,
    misses,
    superseded,
    created,
    saved,
    touched,
    destroyed,
    expired,
    evicted,
    evicted_owned,
    turned_away,
    refused
);

pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

pub(super) fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

/// The figures of a [`LembroStore`](crate::LembroStore) at one moment, from
/// [`stats`](crate::LembroStore::stats). Present numbers are `usize`. Counts since the start and
/// lengths of files are `u64`. serde can serialize the figures.
///
/// # Examples
///
/// ```
/// use lembro::LembroStore;
///
/// let stats = LembroStore::new()?.stats();
/// assert_eq!((stats.sessions, stats.bytes), (0, 0));
/// println!("{}", serde_json::to_string(&stats).unwrap());
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions in memory, including expired ones that are not purged yet.
    pub sessions: usize,
    /// The bytes of `max_size` that these sessions use.
    pub bytes: usize,
    /// The option `max_size`, in bytes.
    pub max_size: usize,
    /// Sessions with an owner: those of users who are logged in.
    pub owned_sessions: usize,
    /// The bytes of `max_size` that sessions with an owner use.
    pub owned_bytes: usize,
    /// Looks that found a session.
    pub hits: u64,
    /// Looks that found no session, because the session had expired or ended, or because the id was
    /// superseded or a guess. A sudden rise can mean that ids are being guessed.
    pub misses: u64,
    /// Looks with a superseded id that came too late for a request in flight. The id may be stolen.
    pub superseded: u64,
    /// Sessions created, by commits and `set`.
    pub created: u64,
    /// Commits that were merged into a stored session.
    pub saved: u64,
    /// Visits and touches that moved a session's deadline.
    pub touched: u64,
    /// Sessions destroyed, by `destroy` and `clear`.
    pub destroyed: u64,
    /// Sessions removed because they had expired.
    pub expired: u64,
    /// Sessions removed to free memory.
    pub evicted: u64,
    /// How many of the evicted sessions had an owner.
    pub evicted_owned: u64,
    /// Sessions without an owner, new or larger than before, that were refused because the store
    /// was full: see [`WhenFull`](crate::WhenFull).
    pub turned_away: u64,
    /// Sessions refused because they were too large.
    pub refused: u64,
    /// Events and errors that did not fit into a subscriber's queue.
    pub events_missed: u64,
    /// The last purge.
    pub last_purge: Option<Purge>,
    /// The last compaction of the files, if the store [persists](crate::LembroOptions::persist).
    pub last_snapshot: Option<Snapshot>,
    /// The restart from files, if the store found any.
    pub restored: Option<Restored>,
    /// The length of the journal since the last compaction, in bytes.
    pub journal_bytes: u64,
    /// True while the files cannot be written. Until they can, changes of sessions fail or are made
    /// in memory only: see [`OnWriteError`](crate::OnWriteError).
    pub persist_failing: bool,
}

/// One purge of expired sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Purge {
    /// When the purge ended. serde writes milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub at: SystemTime,
    /// How long it took. serde writes seconds and nanoseconds.
    pub took: Duration,
    /// How many sessions it removed.
    pub sessions: usize,
}

/// One compaction of a store's files: the snapshot that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// When the compaction began. serde writes milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub at: SystemTime,
    /// How long it took. serde writes seconds and nanoseconds.
    pub took: Duration,
    /// How many sessions the snapshot holds.
    pub sessions: usize,
    /// The size of the snapshot.
    pub bytes: u64,
}

/// The restart of a store from its files: how many sessions were restored, and why others were
/// not. See [`LembroOptions::persist`](crate::LembroOptions::persist).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Restored {
    /// When the snapshot was taken. serde writes milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub taken_at: SystemTime,
    /// How long reading the files took. serde writes seconds and nanoseconds.
    pub took: Duration,
    /// How many sessions were restored.
    pub sessions: usize,
    /// How many changes after the snapshot were read from the journal.
    pub changes: u64,
    /// How many sessions of the snapshot had expired by the restart.
    pub expired: usize,
    /// How many were evicted because `max_size` is less than what the files hold.
    pub evicted: usize,
    /// How many were refused because they are larger than `max_session_size`.
    pub refused: usize,
}

fn unix_millis<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_u64(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Counts evictions of sessions with an owner, because each logs a user out for lack of memory. The
/// number is reported at most once a minute.
#[derive(Default)]
pub(super) struct OwnedEvictions {
    unreported: AtomicU64,
    /// The earliest time of the next report, in nanoseconds of the store's clock.
    next_report: AtomicU64,
}

impl OwnedEvictions {
    pub(super) fn add(&self, evicted: u64) {
        self.unreported.fetch_add(evicted, Ordering::Relaxed);
    }

    /// Returns the number to report if a report is due. If several threads ask at once, only one of
    /// them gets the number.
    pub(super) fn take_due(&self, now: u64) -> Option<u64> {
        const MINUTE: u64 = 60 * 1_000_000_000;
        let next = self.next_report.load(Ordering::Relaxed);
        if self.unreported.load(Ordering::Relaxed) == 0 || now < next {
            return None;
        }
        let after = now.saturating_add(MINUTE);
        self.next_report.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(self.unreported.swap(0, Ordering::Relaxed)).filter(|evicted| *evicted > 0)
    }
}
