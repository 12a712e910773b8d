//! What every session of an application shares: the store, the policy, the source of ids, and who listens.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::{Event, Hub};
use crate::id::SessionId;
use crate::policy::Policy;
use crate::record::{Changes, Epoch, Record, Times};
use crate::store::{Outcome, Owners, Store};
use crate::sync::Arc;

/// How often a new id is drawn when the one before was taken. With random ids one draw is enough for the age of the
/// universe; with an application's own source it may not be.
const MAX_DRAWS: usize = 16;

pub(crate) type IdSource = Arc<dyn Fn() -> Result<SessionId> + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) policy: Policy,
    pub(crate) ids: IdSource,
    pub(crate) clock: crate::clock::Clock,
    pub(crate) events: Hub<Event>,
    pub(crate) errors: Hub<Error>,
}

impl Shared {
    /// How long a session lives on if it is saved or touched now.
    pub(crate) fn ttl(&self, (created_at, own_timeout): Times) -> Duration {
        self.policy.ttl(created_at, own_timeout, self.clock.wall())
    }

    /// The record that a new session begins with; `None` if it would hold nothing, for that is not stored.
    pub(crate) fn begin(&self, changes: &Changes) -> Result<Option<Record>> {
        let now = self.clock.wall();
        let record = changes.apply(&Record::created(now))?;
        if record.is_empty() && record.owner().is_none() {
            return Ok(None);
        }
        // Admitted here, so that the session knows the version that the store will give it.
        record.admit(now).map(Some)
    }

    /// Stores a new session, under another id if the first is taken. The id it got; `None` if it begins with a login, of the
    /// epoch `begun`, that does not count any more.
    pub(crate) fn create(&self, first: SessionId, record: &Record, begun: Option<Epoch>) -> Result<Option<SessionId>> {
        let mut id = first;
        for _ in 0..MAX_DRAWS {
            let (record, ttl) = (record.clone(), self.ttl(record.times()));
            let created = match begun.and_then(|begun| Some((self.store.owners()?, begun))) {
                Some((owners, begun)) => owners.create_owned(&id, record, ttl, begun),
                None => self.store.create(&id, record, ttl),
            };
            match self.seen(created)? {
                Outcome::Done => return Ok(Some(id)),
                Outcome::Gone => return Ok(None),
                Outcome::Conflict => id = (self.ids)()?,
            }
        }
        Err(Error::conflict(id.handle()))
    }

    /// The store's powers over owners, for `what` cannot be done without.
    pub(crate) fn owners(&self, what: &'static str) -> Result<&dyn Owners> {
        self.store.owners().ok_or_else(|| Error::unsupported(what))
    }

    /// Reports a store's failure to those who watch the error channel, on its way to the caller.
    pub(crate) fn seen<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            error.note_report();
            self.errors.publish(|| error.clone());
        }
        result
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("policy", &self.policy).field("clock", &self.clock).finish_non_exhaustive()
    }
}
