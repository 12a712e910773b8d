//! Puts the next version of a session in the place of the current one: saves and new ids.

use std::time::Duration;

use super::{Shards, deadline};
use crate::error::Result;
use crate::id::SessionId;
use crate::memory::shard::{Found, Freed, Shard};
use crate::memory::stats::count;
use crate::record::{Changes, Epoch, Expected, Fit, Record};
use crate::store::Outcome;

/// How often a merge is tried outside the lock before it is done under it. Each defeat means that another save succeeded.
const OPTIMISTIC_ATTEMPTS: usize = 8;

impl Shards {
    pub(in super::super) fn save(
        &self,
        id: &SessionId,
        changes: &Changes,
        ttl: Duration,
        expected: Expected,
    ) -> Result<Outcome> {
        let swap = Swap { ttl: Some(ttl), login: changes.login(), ..Swap::default() };
        let outcome = self.rewrite(id, &swap, |current| {
            Ok(match expected.fits(current) {
                Fit::Yes => {
                    let (handle, proof) = (id.handle(), current.state().proof);
                    Next::Record(self.stamped(handle, proof, changes.apply(current)?)?)
                }
                Fit::Changed => Next::Outcome(Outcome::Conflict),
                Fit::Another => Next::Outcome(Outcome::Gone),
            })
        })?;
        if outcome.is_done() {
            count(&self.cell(id.handle()).0.counters.saved);
        }
        Ok(outcome)
    }

    pub(in super::super) fn rotate(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Result<Outcome> {
        new.check_renews(id)?;
        self.rewrite(id, &Swap { retire: Some(grace), ..Swap::default() }, |current| {
            // An id in its grace may finish what it began, not begin anew.
            if !current.state().is_opened_by(id) {
                return Ok(Next::Outcome(Outcome::Gone));
            }
            Ok(Next::Record(current.clone().stamped(|state| state.set_id(new))))
        })
    }

    /// A session that was restored from a file has just been opened by its id: from now on the id is compared with its
    /// secret. If the session has changed meanwhile, the next visit will do.
    #[cold]
    pub(in super::super) fn learn(&self, id: &SessionId, restored: &Record) {
        let (cell, hash) = self.cell(id.handle());
        let known = restored.clone().stamped(|state| state.set_id(id));
        let mut freed = Freed::new();
        cell.shard.write().replace(hash, restored, known, None, self.now(), &mut freed);
        self.release(cell, freed);
    }

    /// Puts the next version of a session in the place of the current one. It is made outside the lock, from what is
    /// stored; if somebody else was first, it is made again.
    fn rewrite(&self, id: &SessionId, swap: &Swap<'_>, make: impl Fn(&Record) -> Result<Next>) -> Result<Outcome> {
        let (cell, hash) = self.cell(id.handle());
        for attempt in 0.. {
            let now = self.now();
            let mut freed = Freed::new();
            // The last resort keeps the lock from here on, so it cannot be overtaken again.
            let mut held = (attempt >= OPTIMISTIC_ATTEMPTS).then(|| cell.shard.write());
            let found = match &held {
                Some(shard) => live(shard, hash, id, now),
                None => live(&cell.shard.read(), hash, id, now),
            };
            let current = match found {
                Ok(current) => current,
                Err(dead) => {
                    drop(held);
                    if dead {
                        self.dead_id_used(cell, id);
                    }
                    return Ok(Outcome::Gone);
                }
            };
            let next = match make(&current)? {
                Next::Record(next) => next,
                Next::Outcome(outcome) => return Ok(outcome),
            };
            let mut shard = held.take().unwrap_or_else(|| cell.shard.write());
            // Read again: this is the instant at which it happens, and a touch may have ended the session by now.
            let now = self.now();
            if !self.epochs.allow(swap.login) {
                return Ok(Outcome::Gone);
            }
            let deadline = swap.ttl.map(|ttl| deadline(now, ttl));
            let swapped = shard.replace(hash, &current, next, deadline, now, &mut freed);
            if let (true, Some(grace)) = (swapped, swap.retire) {
                let until = (!grace.is_zero()).then(|| self::deadline(now, grace));
                shard.retire(id, until, &mut freed, now);
            }
            drop(shard);
            self.release(cell, freed);
            if swapped {
                return Ok(Outcome::Done);
            }
        }
        Ok(Outcome::Gone)
    }
}

/// What else happens at the instant of the swap.
#[derive(Default)]
struct Swap<'a> {
    /// The session's time begins anew.
    ttl: Option<Duration>,
    /// For how long the old id stays usable.
    retire: Option<Duration>,
    /// Only if this login still counts.
    login: Option<(&'a str, Epoch)>,
}

enum Next {
    Record(Record),
    Outcome(Outcome),
}

/// The live session; if there is none, whether the id was a dead one.
fn live(shard: &Shard, hash: u64, id: &SessionId, now: u64) -> Result<Record, bool> {
    match shard.find(hash, id, now) {
        Found::Live { record, .. } => Ok(record.clone()),
        Found::DeadId => Err(true),
        Found::Nothing => Err(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::LembroOptions;

    // From outside this is a race that is lost once in a blue moon.
    #[test]
    fn learning_a_secret_overwrites_no_save_and_brings_nobody_back() {
        let shards = Shards::new(&LembroOptions::new().resolve().unwrap());
        let (id, hour) = (SessionId::random().unwrap(), Duration::from_secs(3600));
        shards.set(&id, Record::new(), hour).unwrap();
        let restored = shards.get(&id).unwrap().record;
        let mut changes = Changes::new();
        changes.insert("", "user", "ada").unwrap();
        let expected = Expected::Exactly(restored.version());
        assert!(shards.save(&id, &changes, hour, expected).unwrap().is_done());
        shards.learn(&id, &restored);
        assert_eq!(shards.get(&id).unwrap().record.get::<&str>("user").unwrap(), Some("ada"));

        let restored = shards.get(&id).unwrap().record;
        assert!(shards.destroy(&id).is_done());
        shards.learn(&id, &restored);
        assert!(shards.get(&id).is_none());
        shards.validate().unwrap();
    }
}
