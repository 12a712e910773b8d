//! Where a session stands when a request ends, for the cookie layer to decide what follows.

use std::time::{Duration, SystemTime};

use super::{Session, Stage, State};
use crate::error::Result;
use crate::record::Record;
use crate::store::Outcome;

/// The states of a session, as the end of a request tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody looked, so the store was not asked.
    Unloaded,
    /// Nothing is stored under its id yet.
    New,
    /// It was stored when it was last seen.
    Live,
    /// It ended elsewhere while we held it.
    Ended,
    /// It was destroyed here, and nothing was begun after that.
    Destroyed,
    /// The store failed, and the request went on without a session.
    Without,
}

impl Session {
    pub(crate) fn standing(&self) -> Standing {
        match self.state.get().map(|state| &state.stage) {
            None => Standing::Unloaded,
            Some(Stage::New) => Standing::New,
            Some(Stage::Live(_)) => Standing::Live,
            Some(Stage::Gone { asked: false }) => Standing::Ended,
            Some(Stage::Gone { asked: true }) => Standing::Destroyed,
            Some(Stage::Without(_)) => Standing::Without,
        }
    }

    /// Whether a visit without changes is to be noted in the store.
    pub(crate) fn touch_due(&self) -> bool {
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) => {
                self.shared.policy.touch_due(self.shared.ttl(live.times()), self.left(live))
            }
            _ => false,
        }
    }

    /// Whether a cookie that was written then is to be renewed: as often as visits are noted, and when the timeout changes.
    pub(crate) fn cookie_due(&self, written: SystemTime) -> bool {
        let Ok(Some(record)) = self.stored_record() else { return false };
        // It was written for another timeout.
        if self.changes.timeout().is_some_and(|timeout| timeout != record.timeout()) {
            return true;
        }
        // One from the future, written before the clock was set back, tells as little about what the browser has left.
        let age = self.shared.clock.wall().duration_since(written).unwrap_or_else(|ahead| ahead.duration());
        let full = self.shared.ttl(record.times());
        self.shared.policy.touch_due(full, full.saturating_sub(age))
    }

    /// The time that the session has left; none unless it is live.
    pub(crate) fn time_left(&self) -> Duration {
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) => self.left(live),
            _ => Duration::ZERO,
        }
    }

    /// Whether it is live under an id that this handle gave it, so that nobody else can have told the client.
    pub(crate) fn was_rotated(&self) -> bool {
        self.rotated && self.standing() == Standing::Live
    }

    /// Whether the session has a timeout of its own.
    pub(crate) fn has_own_timeout(&self) -> bool {
        self.changes
            .timeout()
            .unwrap_or_else(|| self.stored_record().ok().flatten().and_then(Record::timeout))
            .is_some()
    }

    /// Whether this handle came by an id that was rotated away and has its grace, as far as is known.
    pub(crate) fn in_grace(&self) -> bool {
        matches!(self.state.get(), Some(State { stage: Stage::Live(live), .. }) if live.in_grace)
    }

    /// Whether the session is still there and has this id: the store is asked. What is unsaved stays.
    pub(crate) fn is_current(&mut self) -> Result<bool> {
        Ok(self.look_again()? && !self.in_grace())
    }

    /// Whether the policy wants this id renewed now.
    pub(crate) fn renewal_due(&self) -> Result<bool> {
        Ok(self.id_age()?.is_some_and(|age| self.shared.policy.renewal_due(age)))
    }

    /// Whether the client may be given the id that it has once more: not shortly before or after it is renewed.
    pub(crate) fn may_repeat_id(&self) -> Result<bool> {
        let (Some(age), Some(record)) = (self.id_age()?, self.stored_record()?) else { return Ok(true) };
        Ok(self.shared.policy.may_repeat(age, self.shared.ttl(record.times())))
    }

    /// How long the session has had its id; none if that does not matter, or is not known.
    fn id_age(&self) -> Result<Option<Duration>> {
        if !self.shared.policy.renews() || self.standing() != Standing::Live {
            return Ok(None);
        }
        // An id from the future (the clock was set back) is not old.
        Ok(self.id_since()?.and_then(|since| self.shared.clock.wall().duration_since(since).ok()))
    }

    /// Notes that the id changes now. To be saved before [`renew_on_time`](Self::renew_on_time): if the request breaks off
    /// in between, the old id stays good.
    pub(crate) fn note_renewal(&mut self) -> Result<()> {
        self.note_new_id()
    }

    /// Renews the id with the policy's grace.
    pub(crate) fn renew_on_time(&mut self) -> Result<Outcome> {
        self.renew_id(self.shared.policy.renewal_grace())
    }
}
