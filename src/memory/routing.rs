//! Routing: the shards behind their locks, and the reports of the records removed from them.
//!
//! No two shard locks are held at once. A commit computes its new row before it takes the write
//! lock, only swaps pointers under the lock, and drops the old row after the release. A commit that
//! lost the race repeatedly computes its row under the lock.

use std::fmt::Display;

use crossbeam_utils::CachePadded;
use foldhash::fast::RandomState;

use super::options::{LembroOptions, WhenFull};
use super::persist::commit_log::CommitLog;
use super::persist::encoding::Mutation;
use super::queue::charge;
use super::revocations::{Epochs, RecentEnds};
use super::shard::{RemovalCause, Removed, Shard, ShardLimits, hash_of};
use super::stats::{Counters, OwnedEvictions, Purge, Restored, Snapshot, count};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{Broadcast, Event};
use crate::id::Handle;
use crate::record::Record;
use crate::sync::{Mutex, RwLock};

/// How many owners can log in at the same time.
const GATES: usize = 64;

/// Everything that the clones of one [`LembroStore`](super::LembroStore) share.
pub(super) struct ShardedStore {
    pub(super) shards: Box<[CachePadded<LockedShard>]>,
    pub(super) hasher: RandomState,
    pub(super) max_size: usize,
    pub(super) limits: ShardLimits,
    pub(super) max_session_size: usize,
    pub(super) clock: Clock,
    pub(super) events: Broadcast<Event>,
    pub(super) errors: Broadcast<Error>,
    /// Separate from the events, because a flood of events can fill a subscriber's queue.
    pub(super) purges: Broadcast<Purge>,
    pub(super) epochs: Epochs,
    /// Held by logins and by "log out everywhere", so that those of one owner run one after the
    /// other.
    pub(super) gates: Box<[CachePadded<Mutex<()>>]>,
    pub(super) recent_ends: RecentEnds,
    pub(super) last_purge: Mutex<Option<Purge>>,
    pub(super) last_snapshot: Mutex<Option<Snapshot>>,
    pub(super) restored: Mutex<Option<Restored>>,
    /// The store's files, if it has any.
    pub(super) log: Option<CommitLog>,
    owned_evictions: OwnedEvictions,
}

pub(super) struct LockedShard {
    pub(super) shard: RwLock<Shard>,
    pub(super) counters: Counters,
}

impl ShardedStore {
    /// An empty store. The options must have been checked.
    pub(super) fn new(options: &LembroOptions) -> Self {
        let clock = options.get_clock().clone();
        clock.notice_suspend();
        let hasher = RandomState::default();
        let budget = options.get_max_size() / options.get_shards();
        let limits = ShardLimits {
            budget,
            anonymous_share: budget / 100 * options.get_anonymous_share(),
            refuse_anonymous: options.get_when_full() == WhenFull::RefuseAnonymous,
        };
        let shard = |_| {
            let shard = RwLock::new(Shard::new(limits, hasher.clone()));
            CachePadded::new(LockedShard { shard, counters: Counters::default() })
        };
        Self {
            shards: (0..options.get_shards()).map(shard).collect(),
            hasher,
            max_size: options.get_max_size(),
            limits,
            max_session_size: options.get_max_session_size(),
            clock,
            events: Broadcast::new(),
            errors: Broadcast::new(),
            purges: Broadcast::new(),
            epochs: Epochs::default(),
            gates: (0..GATES).map(|_| CachePadded::new(Mutex::new(()))).collect(),
            recent_ends: RecentEnds::default(),
            last_purge: Mutex::new(None),
            last_snapshot: Mutex::new(None),
            restored: Mutex::new(None),
            log: None,
            owned_evictions: OwnedEvictions::default(),
        }
    }

    /// The shard of a handle, and the handle's hash.
    pub(super) fn locate(&self, handle: Handle) -> (&LockedShard, u64) {
        let hash = hash_of(&self.hasher, handle);
        // The upper half of the hash. The table uses the lower one.
        let index = (hash >> 32) as usize & (self.shards.len() - 1);
        (&self.shards[index], hash)
    }

    /// The present, in nanoseconds of the store's clock.
    pub(super) fn clock_now(&self) -> u64 {
        self.clock.nanos()
    }

    /// Refuses a row that is larger than `max_session_size`.
    pub(super) fn check_size(&self, locked: &LockedShard, row: &Record) -> Result<()> {
        let (bytes, max) = (charge(row), self.max_session_size);
        if bytes <= max {
            return Ok(());
        }
        let handle = row.state().handle;
        count(&locked.counters.refused);
        self.events.publish(|| Event::Refused { handle, bytes });
        Err(Error::size(format!("session {handle}: {bytes} bytes, max_session_size is {max}")))
    }

    /// Counts, reports and drops the records that were removed from a shard, after its lock was
    /// released.
    pub(super) fn report_removed(
        &self,
        locked: &LockedShard,
        removed: impl IntoIterator<Item = (Record, RemovalCause)>,
    ) {
        let counters = &locked.counters;
        let mut owned_evictions = 0;
        for (record, cause) in removed {
            let (handle, bytes) = (record.state().handle, charge(&record));
            let (counter, event) = match cause {
                RemovalCause::Replaced => continue,
                RemovalCause::Expired => (&counters.expired, Event::Expired { handle, bytes }),
                RemovalCause::Destroyed => (&counters.destroyed, Event::Destroyed { handle, bytes }),
                RemovalCause::Evicted => {
                    let owned = record.is_owned();
                    if owned {
                        count(&counters.evicted_owned);
                        owned_evictions += 1;
                    }
                    (&counters.evicted, Event::Evicted { handle, bytes, owned })
                }
            };
            count(counter);
            self.events.publish(|| event);
        }
        if owned_evictions > 0 {
            self.owned_evictions.add(owned_evictions);
            self.report_owned_evictions();
        }
    }

    /// Reports evictions of sessions with an owner, if that is due and a subscriber listens.
    pub(super) fn report_owned_evictions(&self) {
        if let Some(evicted) =
            self.errors.has_subscribers().then(|| self.owned_evictions.take_due(self.clock_now())).flatten()
        {
            let max_size = self.max_size;
            self.errors.publish(|| {
                Error::background(format!(
                    "sessions with an owner were evicted for want of memory ({evicted} since the last such error): \
                     raise max_size, which is {max_size} bytes, or lower anonymous_share"
                ))
            });
        }
    }

    /// Queues a change for the journal, if the store has files.
    pub(super) fn queue(&self, change: impl FnOnce() -> Mutation) {
        if let Some(log) = &self.log {
            log.queue(change());
        }
    }

    /// Moves a session's deadline. Runs under the read lock.
    pub(super) fn prolong(&self, shard: &Shard, row: &Record, deadline: u64) {
        shard.touch(row, deadline);
        self.queue(|| Mutation::Touch(row.state().handle, row.version(), deadline));
    }

    /// Queues the ends of destroyed and evicted sessions for the journal. Otherwise a restart would
    /// restore an evicted session, even after a logout, which found no session to end.
    pub(super) fn queue_ends(&self, removed: &Removed) {
        for (row, cause) in removed {
            if matches!(cause, RemovalCause::Destroyed | RemovalCause::Evicted) {
                self.queue(|| Mutation::End(row.state().handle, row.version()));
            }
        }
    }

    /// Refuses a change that could not be written to the files.
    pub(super) fn check_writable(&self) -> Result<()> {
        self.log.as_ref().map_or(Ok(()), CommitLog::check_writable)
    }

    /// Waits until all queued changes are written. If that fails and the store does not continue in
    /// memory, the error says that the change of `what` may be lost.
    pub(super) fn wait_written(&self, what: impl Display) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let Err(not_written) = log.wait_written() else { return Ok(()) };
        let cause = not_written.first_error.inspect(|error| self.errors.publish(|| error.clone()));
        if log.continues_in_memory() {
            return Ok(());
        }
        let unknown = Error::unknown(what);
        Err(match cause {
            Some(cause) => unknown.caused_by(cause),
            None => unknown,
        })
    }

    /// Writes what is queued, unless another thread is writing.
    #[cold]
    pub(super) fn try_write(&self) {
        if let Some(Err(not_written)) = self.log.as_ref().map(CommitLog::try_write)
            && let Some(error) = not_written.first_error
        {
            self.errors.publish(|| error);
        }
    }
}
