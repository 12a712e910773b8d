//! The shards together: finds the one for a handle, takes its lock, and reports and frees what left it afterwards.
//!
//! Never two shards' locks at once, and nothing but pointer swaps under a write lock: records are built before it is
//! taken and dropped after it is released.

mod owners;
mod purge;
mod rewrite;
mod transfer;
mod whole;

use std::time::Duration;

use crossbeam_utils::CachePadded;
use foldhash::fast::RandomState;

use super::endings::{Endings, Epochs};
use super::options::Config;
use super::shard::{Found, Freed, Made, Reason, Room, Shard, hash_of};
use super::snapshot;
use super::stats::{Counters, Purge, count};
use super::weight::weight;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{Event, Hub};
use crate::id::{Handle, Proof, SessionId};
use crate::record::{Epoch, Record};
use crate::store::{Outcome, Stored};
use crate::sync::{Mutex, Ordering, RwLock};

pub(super) struct Shards {
    cells: Box<[CachePadded<Cell>]>,
    hasher: RandomState,
    pub(super) max_size: usize,
    /// Of each shard.
    room: Room,
    max_session_size: usize,
    pub(super) clock: Clock,
    pub(super) events: Hub<Event>,
    pub(super) errors: Hub<Error>,
    /// Apart from the events, whose queues a flood can fill.
    pub(super) purges: Hub<Purge>,
    pub(super) epochs: Epochs,
    pub(super) endings: Endings,
    pub(super) snapshots: snapshot::Log,
    last_purge: Mutex<Option<Purge>>,
}

struct Cell {
    shard: RwLock<Shard>,
    counters: Counters,
}

impl Shards {
    pub(super) fn new(config: &Config) -> Self {
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
            endings: Endings::default(),
            snapshots: snapshot::Log::default(),
            last_purge: Mutex::new(None),
        }
    }

    pub(super) fn get(&self, id: &SessionId) -> Option<Stored> {
        let (cell, hash) = self.cell(id.handle());
        let now = self.now();
        let shard = cell.shard.read();
        match shard.find(hash, id, now) {
            Found::Live { record, current } => {
                shard.visit(record);
                let ttl = left(record, now);
                let record = record.clone();
                drop(shard);
                if current && record.state().id().is_none() {
                    self.learn(id, &record);
                }
                count(&cell.counters.hits);
                return Some(Stored::new(record, ttl).in_grace(!current));
            }
            Found::DeadId => {
                drop(shard);
                self.dead_id_used(cell, id);
            }
            Found::Nothing => {
                drop(shard);
                self.events.publish(|| Event::UnknownId { handle: id.handle() });
            }
        }
        count(&cell.counters.misses);
        None
    }

    /// `begun`: only if a login of that epoch still counts.
    pub(super) fn create(
        &self,
        id: &SessionId,
        record: Record,
        ttl: Duration,
        begun: Option<Epoch>,
    ) -> Result<Outcome> {
        let record = self.stamped(id.handle(), Proof::of(id), record.admit(self.clock.wall())?)?;
        let (cell, hash) = self.cell(id.handle());
        let now = self.now();
        record.state().deadline.store(deadline(now, ttl), Ordering::Relaxed);
        let mut freed = Freed::new();
        let made = if ttl.is_zero() {
            match cell.shard.read().find(hash, id, now) {
                Found::Nothing => Made::Done,
                Found::Live { .. } | Found::DeadId => Made::Taken,
            }
        } else {
            let mut shard = cell.shard.write();
            if self.epochs.allow(begun.and_then(|begun| Some((record.owner()?, begun)))) {
                shard.create(hash, record, now, &mut freed)
            } else {
                Made::Late
            }
        };
        self.release(cell, freed);
        match made {
            Made::Done => {
                count(&cell.counters.created);
                Ok(Outcome::Done)
            }
            Made::Taken => Ok(Outcome::Conflict),
            Made::Late => Ok(Outcome::Gone),
            Made::Refused => Err(self.turn_away(cell, id)),
        }
    }

    pub(super) fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
        let record = self.stamped(id.handle(), Proof::of(id), record.admit_anew(self.clock.wall())?)?;
        let (cell, hash) = self.cell(id.handle());
        let now = self.now();
        record.state().deadline.store(deadline(now, ttl), Ordering::Relaxed);
        let mut freed = Freed::new();
        let made = {
            let mut shard = cell.shard.write();
            match shard.find(hash, id, now) {
                Found::DeadId | Found::Live { current: false, .. } => Made::Taken,
                Found::Nothing if ttl.is_zero() => Made::Done,
                Found::Nothing => shard.create(hash, record, now, &mut freed),
                Found::Live { .. } => {
                    shard.remove(hash, id.handle(), Reason::Replaced, &mut freed);
                    if !ttl.is_zero() {
                        shard.begin(hash, record, now, &mut freed);
                    }
                    Made::Done
                }
            }
        };
        self.release(cell, freed);
        match made {
            Made::Done => {
                count(&cell.counters.created);
                Ok(())
            }
            Made::Taken | Made::Late => Err(Error::conflict(id.handle())),
            Made::Refused => Err(self.turn_away(cell, id)),
        }
    }

    pub(super) fn touch(&self, id: &SessionId, ttl: Duration) -> Outcome {
        let (cell, hash) = self.cell(id.handle());
        let now = self.now();
        let shard = cell.shard.read();
        let touched = match shard.find(hash, id, now) {
            Found::Live { record, .. } => shard.touch(record, deadline(now, ttl), now),
            Found::Nothing => false,
            Found::DeadId => {
                drop(shard);
                self.dead_id_used(cell, id);
                return Outcome::Gone;
            }
        };
        drop(shard);
        if !touched {
            return Outcome::Gone;
        }
        count(&cell.counters.touched);
        Outcome::Done
    }

    pub(super) fn destroy(&self, id: &SessionId) -> Outcome {
        let (cell, hash) = self.cell(id.handle());
        let now = self.now();
        let mut freed = Freed::new();
        let mut shard = cell.shard.write();
        let (there, dead) = match shard.find(hash, id, now) {
            Found::Live { .. } => (true, false),
            Found::DeadId => (false, true),
            Found::Nothing => (false, false),
        };
        if there {
            shard.remove(hash, id.handle(), Reason::Destroyed, &mut freed);
        }
        drop(shard);
        if dead {
            self.dead_id_used(cell, id);
        }
        self.release(cell, freed);
        if there { Outcome::Done } else { Outcome::Gone }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), String> {
        for (number, cell) in self.cells.iter().enumerate() {
            let shard = cell.shard.write();
            shard.validate().map_err(|problem| format!("shard {number}: {problem}"))?;
            if let Some(stray) =
                shard.iter().find(|record| !std::ptr::eq(self.cell(record.state().handle).0, &raw const **cell))
            {
                return Err(format!("session {} is in the wrong shard", stray.state().handle));
            }
        }
        Ok(())
    }

    /// The record with the id written into its block, unless it is too large to be kept.
    fn stamped(&self, handle: Handle, proof: Proof, record: Record) -> Result<Record> {
        let bytes = weight(&record);
        if bytes > self.max_session_size {
            count(&self.cell(handle).0.counters.refused);
            self.events.publish(|| Event::Refused { handle, bytes });
            let max = self.max_session_size;
            return Err(Error::limit(format!("session {handle}: {bytes} bytes, max_session_size is {max}")));
        }
        Ok(record.stamped(|state| (state.handle, state.proof) = (handle, proof)))
    }

    /// There is no room for a new session, and the options say that nobody is to make any.
    fn turn_away(&self, cell: &Cell, id: &SessionId) -> Error {
        count(&cell.counters.turned_away);
        self.events.publish(|| Event::TurnedAway { handle: id.handle() });
        Error::full()
    }

    /// An id whose secret is not, or no longer, that of its session: somebody may have stolen it.
    fn dead_id_used(&self, cell: &Cell, id: &SessionId) {
        count(&cell.counters.dead_ids);
        self.events.publish(|| Event::DeadIdUsed { handle: id.handle() });
    }

    /// Counts, reports and drops what left a shard, now that its lock is released.
    fn release(&self, cell: &Cell, freed: impl IntoIterator<Item = (Record, Reason)>) {
        for (record, reason) in freed {
            let (handle, bytes) = (record.state().handle, weight(&record));
            let (counter, event) = match reason {
                Reason::Replaced => continue,
                Reason::Expired => (&cell.counters.expired, Event::Expired { handle, bytes }),
                Reason::Destroyed => (&cell.counters.destroyed, Event::Destroyed { handle, bytes }),
                Reason::Evicted => {
                    let owned = record.is_owned();
                    if owned {
                        count(&cell.counters.evicted_owned);
                    }
                    (&cell.counters.evicted, Event::Evicted { handle, bytes, owned })
                }
            };
            count(counter);
            self.events.publish(|| event);
        }
    }

    fn cell(&self, handle: Handle) -> (&Cell, u64) {
        let hash = hash_of(&self.hasher, handle);
        // The table below uses the lower half.
        let index = (hash >> 32) as usize & (self.cells.len() - 1);
        (&self.cells[index], hash)
    }

    fn now(&self) -> u64 {
        nanos(self.clock.now())
    }
}

/// Further away than any clock goes: never. No time at all: over for whoever looks, even if they read the clock earlier.
fn deadline(now: u64, ttl: Duration) -> u64 {
    if ttl.is_zero() { 0 } else { now.saturating_add(nanos(ttl)) }
}

fn left(record: &Record, now: u64) -> Duration {
    Duration::from_nanos(record.state().deadline.load(Ordering::Relaxed).saturating_sub(now))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
