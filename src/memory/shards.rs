//! The shards together: routes a handle to its shard, takes the lock, and reports and frees the
//! removed records after unlocking.
//!
//! No two shard locks are held at once. Under a write lock a commit only swaps pointers: its row is
//! built before the lock is taken, and the row before it is dropped after the release. Only a
//! commit that lost the race repeatedly builds its row under the lock.

mod apply;
mod owners;
mod purge;
mod transfer;
mod whole;

use std::time::Duration;

use crossbeam_utils::CachePadded;
use foldhash::fast::RandomState;

pub(super) use self::transfer::Replayed;
use super::endings::{Endings, Epochs};
use super::options::StoreConfig;
use super::persist::{Mutation, Persist, Restored, Snapshot};
use super::shard::{RemovalCause, Removed, Room, Shard, hash_of};
use super::shortage::Shortage;
use super::stats::{Counters, Purge, count};
use super::weight::weight;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{Event, Hub};
use crate::id::{Handle, SessionId};
use crate::record::Record;
use crate::store::{self, Lease, Look, Lookup, Now, Sight, Stored};
use crate::sync::{Mutex, Ordering, RwLock};

/// How many owners can log in at the same time.
const GATES: usize = 64;

pub(super) struct Shards {
    cells: Box<[CachePadded<Cell>]>,
    hasher: RandomState,
    pub(super) max_size: usize,
    /// The budget of each shard.
    room: Room,
    max_session_size: usize,
    pub(super) clock: Clock,
    pub(super) events: Hub<Event>,
    pub(super) errors: Hub<Error>,
    /// Apart from the events, because a flood can fill their queues.
    pub(super) purges: Hub<Purge>,
    pub(super) epochs: Epochs,
    /// Held by logins and by "log out everywhere", so that those of one owner run one after the
    /// other.
    gates: Box<[CachePadded<Mutex<()>>]>,
    pub(super) endings: Endings,
    pub(super) last_snapshot: Mutex<Option<Snapshot>>,
    pub(super) restored: Mutex<Option<Restored>>,
    /// The store's files, if it has any.
    pub(super) persist: Option<Persist>,
    shortage: Shortage,
    last_purge: Mutex<Option<Purge>>,
}

#[cold]
fn not_found(cell: &Cell, sight: Sight) -> Lookup {
    count(&cell.counters.misses);
    let Sight::Superseded { recent } = sight else { return Lookup::Missing };
    // Later than a request in flight can arrive: possibly a stolen id.
    if !recent {
        count(&cell.counters.superseded);
    }
    Lookup::Superseded { recent }
}

struct Cell {
    shard: RwLock<Shard>,
    counters: Counters,
}

impl Shards {
    pub(super) fn new(config: &StoreConfig) -> Self {
        config.clock.notice_suspend();
        let hasher = RandomState::default();
        let room = Room {
            budget: config.max_size / config.shards,
            anonymous_share: config.anonymous_share,
            refuse_anonymous: config.refuse_anonymous,
        };
        let cell = |_| {
            let shard = Shard::new(room, hasher.clone());
            CachePadded::new(Cell { shard: RwLock::new(shard), counters: Counters::default() })
        };
        Self {
            cells: (0..config.shards).map(cell).collect(),
            hasher,
            max_size: config.max_size,
            room,
            max_session_size: config.max_session_size,
            clock: config.clock.clone(),
            events: Hub::new(),
            errors: Hub::new(),
            purges: Hub::new(),
            epochs: Epochs::default(),
            gates: (0..GATES).map(|_| CachePadded::new(Mutex::new(()))).collect(),
            endings: Endings::default(),
            last_snapshot: Mutex::new(None),
            restored: Mutex::new(None),
            persist: None,
            shortage: Shortage::default(),
            last_purge: Mutex::new(None),
        }
    }

    pub(super) fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Lookup {
        let (cell, hash) = self.cell(id.handle());
        let now = self.now(how, lease);
        let shard = cell.shard.read();
        let Some(row) = shard.by_handle(hash, id.handle()) else {
            drop(shard);
            return not_found(cell, Sight::Missing);
        };
        let seen = store::look(row, id, how, lease, now);
        let Sight::Found(opened) = seen.sight else {
            drop(shard);
            return not_found(cell, seen.sight);
        };
        if let Some(deadline) = seen.touch {
            self.prolong(&shard, row, deadline);
        }
        shard.visit(row);
        let mut record = row.clone();
        drop(shard);
        let is_queued = seen.touch.is_some() || seen.next.is_some();
        match seen.next {
            Some(next) => {
                self.reseat(cell, hash, &record, next.clone(), now, Some(Mutation::Put));
                record = next;
            }
            None if record.state().id().is_none() => self.learn(id, &record, now),
            None => {}
        }
        if is_queued && self.persist.is_some() {
            self.settle_later();
        }
        count(if seen.touch.is_some() { &cell.counters.prolonged } else { &cell.counters.hits });
        Lookup::Found(Stored { record, ttl: seen.ttl, presented: opened.presented(id) })
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), String> {
        for (number, cell) in self.cells.iter().enumerate() {
            let shard = cell.shard.write();
            shard.validate().map_err(|problem| format!("shard {number}: {problem}"))?;
            if let Some(stray) =
                shard.rows().find(|record| !std::ptr::eq(self.cell(record.state().handle).0, &raw const **cell))
            {
                return Err(format!("session {} is in the wrong shard", stray.state().handle));
            }
        }
        Ok(())
    }

    /// Refuses a row that is larger than the options allow.
    fn check_size(&self, cell: &Cell, row: &Record) -> Result<()> {
        let (bytes, max) = (weight(row), self.max_session_size);
        if bytes <= max {
            return Ok(());
        }
        let handle = row.state().handle;
        count(&cell.counters.refused);
        self.events.publish(|| Event::Refused { handle, bytes });
        Err(Error::size(format!("session {handle}: {bytes} bytes, max_session_size is {max}")))
    }

    /// The error for a session that is refused because there is no room that it may take.
    fn turn_away(&self, cell: &Cell, handle: Handle) -> Error {
        count(&cell.counters.turned_away);
        self.events.publish(|| Event::TurnedAway { handle });
        Error::full()
    }

    /// Counts, reports and drops the rows that were removed from a shard, after its lock was
    /// released.
    fn release(&self, cell: &Cell, removed: impl IntoIterator<Item = (Record, RemovalCause)>) {
        let mut owned_victims = 0;
        for (record, reason) in removed {
            let handle = record.state().handle;
            let (counter, event) = match reason {
                RemovalCause::Replaced => continue,
                RemovalCause::Expired => (&cell.counters.expired, Event::Expired { handle, bytes: weight(&record) }),
                RemovalCause::Destroyed => {
                    (&cell.counters.destroyed, Event::Destroyed { handle, bytes: weight(&record) })
                }
                RemovalCause::Evicted => {
                    let owned = record.is_owned();
                    if owned {
                        count(&cell.counters.evicted_owned);
                        owned_victims += 1;
                    }
                    (&cell.counters.evicted, Event::Evicted { handle, bytes: weight(&record), owned })
                }
            };
            count(counter);
            self.events.publish(|| event);
        }
        if owned_victims > 0 {
            self.shortage.note(owned_victims);
            self.report_shortage();
        }
    }

    /// Reports sessions with an owner that were evicted, if that is due and a subscriber listens.
    fn report_shortage(&self) {
        if let Some(evicted) = self.errors.is_heard().then(|| self.shortage.due(self.clock_now())).flatten() {
            let max_size = self.max_size;
            self.errors.publish(|| {
                Error::background(format!(
                    "sessions with an owner were evicted for want of memory ({evicted} since the last such error): \
                     raise max_size, which is {max_size} bytes, or lower anonymous_share"
                ))
            });
        }
    }

    /// Moves a session's deadline, under the read lock.
    fn prolong(&self, shard: &Shard, row: &Record, deadline: u64) {
        shard.touch(row, deadline);
        if let Some(persist) = &self.persist {
            persist.queue(Mutation::Touch(row.state().handle, row.version(), deadline));
        }
    }

    /// Queues the ends of these rows for the journal. Those that were evicted have ended, too:
    /// otherwise a logout would find nothing to end, and a restart would bring the session back.
    fn note_ends(&self, removed: &Removed) {
        let Some(persist) = &self.persist else { return };
        for (row, cause) in removed {
            if matches!(cause, RemovalCause::Destroyed | RemovalCause::Evicted) {
                persist.queue(Mutation::End(row.state().handle, row.version()));
            }
        }
    }

    /// Refuses a change that could not be written.
    fn check_files(&self) -> Result<()> {
        self.persist.as_ref().map_or(Ok(()), Persist::check)
    }

    /// Waits until all changes so far are written. Without that, it is not known whether the change
    /// of this session outlives the process.
    pub(super) fn settle(&self, what: impl std::fmt::Display) -> Result<()> {
        let Some(persist) = &self.persist else { return Ok(()) };
        let Err(not_written) = persist.settle() else { return Ok(()) };
        let cause = not_written.found.inspect(|error| self.errors.publish(|| error.clone()));
        if persist.goes_on() {
            return Ok(());
        }
        let unknown = Error::unknown(what);
        Err(cause.map_or_else(|| unknown.clone(), |cause| unknown.clone().caused_by(cause)))
    }

    /// Writes what is queued, if no other thread does.
    #[cold]
    fn settle_later(&self) {
        if let Some(Err(not_written)) = self.persist.as_ref().map(Persist::settle_later)
            && let Some(error) = not_written.found
        {
            self.errors.publish(|| error);
        }
    }

    fn cell(&self, handle: Handle) -> (&Cell, u64) {
        let hash = hash_of(&self.hasher, handle);
        // The upper half of the hash; the table uses the lower one.
        let index = (hash >> 32) as usize & (self.cells.len() - 1);
        (&self.cells[index], hash)
    }

    /// The instant of a look. A peek reads the calendar only if the lease needs it, because that
    /// takes as long as finding the session.
    fn now(&self, how: Look, lease: &Lease) -> Now {
        if how == Look::Visit || lease.needs_calendar() {
            Now::of(&self.clock)
        } else {
            Now { clock: self.clock_now(), calendar_ms: 0 }
        }
    }

    fn clock_now(&self) -> u64 {
        self.clock.nanos()
    }
}

fn left(record: &Record, now: u64) -> Duration {
    Duration::from_nanos(record.state().deadline.load(Ordering::Relaxed).saturating_sub(now))
}
