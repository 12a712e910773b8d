//! The standing of a session at the end of a request, from which the cookie layer decides what to
//! send.

use std::time::{Duration, SystemTime};

use super::draft::NextId;
use super::{Ending, Session, Stage, State};
use crate::error::Result;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::{Identity, Presented, id_age, nanos};

/// The states of a session that the end of a request distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There was no look, so the store was not asked.
    Unloaded,
    /// Nothing is stored under its id yet.
    New,
    /// It was stored when it was last seen.
    Live,
    /// It ended elsewhere while this handle held it, or another request's login has just given it
    /// another id.
    Ended,
    /// It was destroyed here, and no new session was begun after that.
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
            Some(Stage::Gone(Ending::Elsewhere | Ending::Superseded)) => Standing::Ended,
            Some(Stage::Gone(Ending::Here)) => Standing::Destroyed,
            Some(Stage::Without(_)) => Standing::Without,
        }
    }

    /// Returns true if a cookie written at `written` is due to be sent again: as often as visits
    /// are noted, and when the timeout changes.
    pub(crate) fn cookie_due(&self, written: SystemTime) -> bool {
        let Ok(Some(record)) = self.stored_record() else { return false };
        // The cookie was written for another timeout.
        if self.draft.changes.timeout().is_some_and(|timeout| timeout != record.timeout()) {
            return true;
        }
        // A cookie from the future, written before the calendar was set back, says as little about
        // the time that the browser still keeps it.
        let age = self.context.clock.wall().duration_since(written).unwrap_or_else(|ahead| ahead.duration());
        let lease = self.context.lease();
        let full = lease.ttl(record, self.context.now());
        lease.touch_due(nanos(full), nanos(full.saturating_sub(age)))
    }

    /// The time that the session has left; none unless it is live.
    pub(crate) fn time_left(&self) -> Duration {
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) => self.left(live),
            _ => Duration::ZERO,
        }
    }

    /// Returns true if the client must receive an id even if the request failed: a commit of this
    /// handle gave the session one, or a timed renewal is pending, as far as the store can tell.
    pub(crate) fn owes_id(&self) -> bool {
        let Some(State { id, stage: Stage::Live(live) }) = self.state.get() else { return false };
        match live.presented {
            // A login in another request may have ended the renewal, or the client has the new id
            // by now.
            Presented::Renewing(_) => {
                let stored = self.peek(id, live).ok().and_then(std::result::Result::ok);
                stored.is_some_and(|stored| stored.presented != Presented::Previous)
            }
            Presented::Current => self.owes_id,
            Presented::Previous => false,
        }
    }

    /// Whether the session has a timeout of its own.
    pub(crate) fn has_own_timeout(&self) -> bool {
        self.draft
            .changes
            .timeout()
            .unwrap_or_else(|| self.stored_record().ok().flatten().and_then(Record::timeout))
            .is_some()
    }

    /// Asks the store whether the session still exists and has this id. Unsaved changes stay.
    pub(crate) fn is_current(&mut self) -> Result<bool> {
        if let Some(ending) = self.look_again()? {
            self.ended(ending);
        }
        Ok(self.standing() == Standing::Live && self.how_presented() != Presented::Previous)
    }

    /// Returns true if the client may receive its present id again: not shortly before or after the
    /// id is renewed.
    pub(crate) fn may_repeat_id(&self) -> Result<bool> {
        let (Some(age), Some(record)) = (self.id_age(), self.stored_record()?) else { return Ok(true) };
        Ok(self.context.policy.may_repeat(age, self.context.lease().ttl(record, self.context.now())))
    }

    /// The id that the client must have: the session's, or the one that a timed renewal announces.
    pub(crate) fn announced_id(&self) -> Result<SessionId> {
        Ok(match self.how_presented() {
            Presented::Renewing(new) => new,
            Presented::Current | Presented::Previous => self.id()?,
        })
    }

    /// The role of the id that opened the session.
    pub(crate) fn how_presented(&self) -> Presented {
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) => live.presented,
            _ => Presented::Current,
        }
    }

    /// Returns true if the next commit gives the session a new id.
    pub(crate) fn replaces_id(&self) -> bool {
        let sent = self.sent.as_ref().map(|sent| sent.commit.identity);
        self.draft.identity == NextId::New || matches!(sent, Some(Identity::Replace(_)))
    }

    /// Lets a timed renewal begin with the next commit.
    pub(crate) fn renew_on_time(&mut self) {
        if self.draft.identity == NextId::Same {
            self.draft.identity = NextId::Renewal;
        }
    }

    /// Returns true if a timed renewal is due under the policy.
    pub(crate) fn renewal_due(&self) -> bool {
        self.how_presented() == Presented::Current
            && !self.replaces_id()
            && self.id_age().is_some_and(|age| self.context.lease().renewal_due(age))
    }

    /// How long the session has had its id; `None` if its ids are not renewed.
    fn id_age(&self) -> Option<Duration> {
        if !self.context.policy.renews() {
            return None;
        }
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) if live.record().is_owned() => {
                Some(id_age(live.record(), self.context.now()))
            }
            _ => None,
        }
    }
}
