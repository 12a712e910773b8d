//! The inputs of the cookie layer's decision at the end of a request.

use std::time::{Duration, UNIX_EPOCH};

use super::Session;
use super::draft::NextId;
use super::state::{Carrier, Stage, State};
use crate::error::Result;
use crate::id::SessionId;
use crate::store::{Identity, Look, Lookup, Presented, Store, id_age, nanos};

/// The inputs of the decision, after the handler has returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs {
    /// The stage of the session. A live stage holds the role of the id that opened the session.
    pub(crate) stage: Stage<Presented, ()>,
    /// True if the session has changes to save.
    pub(crate) changed: bool,
    /// True if a timed renewal is due under the policy.
    pub(crate) renewal_due: bool,
    /// The state of the client's cookie.
    pub(crate) cookie: Credential,
    /// The state of the client's token.
    pub(crate) token: Credential,
}

/// The state of the client's cookie or token, compared with the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// The response announces no id in this carrier, because the layer does not use this carrier,
    /// or the request's id came in the other one.
    NotUsed,
    /// The request presented no cookie or token of this layer.
    Missing,
    /// Its id is not the session's id, or the save replaces the session's id.
    Other,
    /// It has the session's id, but its signature or its times are out of date, and the layer may
    /// write it again.
    Stale,
    /// It has the session's id and need not, or must not, be written again.
    Current,
}

impl Session {
    /// Notes whether the request came over https.
    pub(crate) fn over(self, https: bool) -> Self {
        Self { https, ..self }
    }

    /// Returns true if the request came over https.
    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// Makes later logins and calls of `regenerate` and `attach` fail, because no response
    /// announces a new id any more.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }

    /// The inputs for a session in this stage. `persistent` is true if a closed browser keeps the
    /// session's cookie, and `None` if the layer has no cookie.
    pub(crate) fn inputs(
        &self,
        stage: Stage<Presented, ()>,
        persistent: Option<bool>,
        has_tokens: bool,
    ) -> Result<Inputs> {
        Ok(Inputs {
            stage,
            changed: self.is_changed(),
            renewal_due: self.renewal_due(),
            cookie: self.credential(Carrier::Cookie, persistent)?,
            token: self.credential(Carrier::Token, has_tokens.then_some(false))?,
        })
    }

    /// Returns true if the response announces an id in this carrier. An id is announced in the
    /// carrier that opened the session. If no id opened it, the carrier of the first presented id
    /// is used, or both carriers if the request presented no id. So a request with a cookie is
    /// never answered with a token, which would give a script the id that `HttpOnly` hides from it.
    pub(crate) fn announces_in(&self, carrier: Carrier) -> bool {
        match self.opened_by.get().or(self.presented[0].map(|first| first.carrier)) {
            Some(presented) => presented == carrier,
            None => true,
        }
    }

    /// Returns true if a token in a header opened the session. A browser never sends such a header
    /// by itself.
    pub(super) fn is_opened_by_token(&self) -> Result<bool> {
        self.state()?;
        Ok(self.opened_by.get() == Some(Carrier::Token))
    }

    /// The stage without its data; `None` before the first look.
    pub(crate) fn stage(&self) -> Option<Stage<Presented, ()>> {
        Some(match &self.state.get()?.stage {
            Stage::New => Stage::New,
            Stage::Live(live) => Stage::Live(live.presented),
            Stage::Ended(ending) => Stage::Ended(*ending),
            Stage::StoreUnavailable(_) => Stage::StoreUnavailable(()),
        })
    }

    /// Compares the client's cookie or token with the session. `persistent` is as in
    /// [`inputs`](Self::inputs), and `None` if the layer does not use this carrier.
    fn credential(&self, carrier: Carrier, persistent: Option<bool>) -> Result<Credential> {
        let Some(persistent) = persistent.filter(|_| self.announces_in(carrier)) else {
            return Ok(Credential::NotUsed);
        };
        let id = self.id()?;
        let is_current = |written: Option<u64>| match (persistent, written) {
            (false, None) => true,
            (true, Some(written)) => !self.is_cookie_due(written),
            _ => false,
        };
        let mut presented = self.presented.iter().flatten().filter(|presented| presented.carrier == carrier).peekable();
        let is_missing = presented.peek().is_none();
        Ok(match presented.find(|presented| presented.id == id) {
            Some(_) if self.replaces_id() => Credential::Other,
            Some(presented) if presented.well_signed && is_current(presented.written) => Credential::Current,
            Some(_) if self.may_repeat_id()? => Credential::Stale,
            Some(_) => Credential::Current,
            None if is_missing => Credential::Missing,
            None => Credential::Other,
        })
    }

    /// Returns true if a cookie that was written at this time must be sent again: it was written
    /// `touch_after` ago, or the draft changes the session's limits.
    fn is_cookie_due(&self, written: u64) -> bool {
        let Ok(Some(record)) = self.stored_record() else { return false };
        let changes = &self.draft.changes;
        if changes.timeout().is_some_and(|timeout| timeout != record.timeout())
            || changes.remembered().is_some_and(|remembered| remembered != record.is_remembered())
        {
            return true;
        }
        let Some(written) = UNIX_EPOCH.checked_add(Duration::from_secs(written)) else { return true };
        // If `written` is in the future, the calendar was set back since. The difference then
        // counts as the cookie's age, because the cookie's expiry is wrong by as much.
        let age = self.context.clock.wall().duration_since(written).unwrap_or_else(|ahead| ahead.duration());
        let lease = &self.context.lease;
        let full = lease.ttl(record, self.context.now());
        lease.touch_due(nanos(full), nanos(full.saturating_sub(age)))
    }

    /// The time that the session has left. Zero unless it is live.
    pub(crate) fn time_left(&self) -> Duration {
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) => self.remaining(live),
            _ => Duration::ZERO,
        }
    }

    /// Returns true if the response must announce an id even if the request failed: a commit of
    /// this `Session` gave the session its id, or a timed renewal is pending. Asks the store
    /// whether the client still needs this id.
    pub(crate) fn owes_id(&self) -> bool {
        let Some(State { id, stage: Stage::Live(live) }) = self.state.get() else { return false };
        let is_owed = match live.presented {
            Presented::Renewing(_) => true,
            Presented::Current => self.owes_id,
            Presented::Previous => false,
        };
        // Since the last look, the session may have ended, a login in another request may have
        // ended the renewal, or the client may have presented the new id.
        is_owed
            && match self.peek_held(id, live) {
                Ok(stored) => stored.is_ok_and(|stored| stored.presented != Presented::Previous),
                // If the store fails, an id from a commit is still announced, because no other
                // response can announce it.
                Err(_) => self.owes_id,
            }
    }

    /// Finds out by a look whether a commit whose outcome is unknown gave the session an id or
    /// began a timed renewal. The commit is not sent again, so nothing is written.
    pub(crate) fn resolve_unknown_id(&mut self) {
        let (Some(unknown), Some(State { id, stage })) = (&self.unknown, self.state.get()) else { return };
        let (id, incarnation) = match (unknown.commit.identity, unknown.commit.begins(), stage) {
            (Identity::Replace(new), Some(begun), Stage::Live(_)) => (new, begun),
            (_, Some(begun), _) => (*id, begun),
            (Identity::Renew(_), None, Stage::Live(live)) => (*id, live.version),
            _ => return,
        };
        let found = self.context.store.look(&id, Look::Peek, &self.context.lease);
        if let Ok(Lookup::Found(stored)) = found
            && stored.record.version().is_same_incarnation(incarnation)
        {
            // If the commit asked for a renewal that did not begin, the client keeps its id.
            self.owes_id |= unknown.commit.begins().is_some();
            self.discard();
            self.set_state(id, self.loaded(stored));
        }
    }

    /// Asks the store whether the session still exists under this id. Unsaved changes stay.
    pub(crate) fn is_current(&mut self) -> Result<bool> {
        if let Some(ending) = self.refresh()? {
            self.end(ending);
        }
        Ok(matches!(self.stage(), Some(Stage::Live(Presented::Current | Presented::Renewing(_)))))
    }

    /// Returns true if the response may announce the present id again. Returns false shortly before
    /// a renewal, and for a peek without changes.
    fn may_repeat_id(&self) -> Result<bool> {
        if self.first_look == Look::Peek && !self.is_changed() {
            return Ok(false);
        }
        let (Some(age), Some(record)) = (self.id_age(), self.stored_record()?) else { return Ok(true) };
        Ok(self.context.policy.may_repeat(age, self.context.lease.ttl(record, self.context.now())))
    }

    /// The id that the client of a live session must use: the session's, or that of a pending timed
    /// renewal.
    pub(crate) fn announced_id(&self) -> Option<SessionId> {
        match self.state.get()? {
            State { stage: Stage::Live(live), id } => Some(match live.presented {
                Presented::Renewing(new) => new,
                Presented::Current | Presented::Previous => *id,
            }),
            _ => None,
        }
    }

    /// Returns true if the next commit gives the session a new id.
    fn replaces_id(&self) -> bool {
        let unknown = self.unknown.as_ref().map(|unknown| unknown.commit.identity);
        self.draft.identity == NextId::New || matches!(unknown, Some(Identity::Replace(_)))
    }

    /// Makes the next commit begin a timed renewal, unless it gives the session a new id.
    pub(crate) fn begin_renewal(&mut self) {
        if self.draft.identity == NextId::Same {
            self.draft.identity = NextId::Renewal;
        }
    }

    /// Returns true if a timed renewal is due under the policy. A peek begins no renewal, because
    /// the commit of a renewal would prolong the session.
    fn renewal_due(&self) -> bool {
        matches!(self.stage(), Some(Stage::Live(Presented::Current)))
            && self.first_look != Look::Peek
            && !self.replaces_id()
            && self.id_age().is_some_and(|age| self.context.lease.renewal_due(age))
    }

    /// The age of the session's id. `None` if the policy renews no ids, or the session is not live
    /// or has no owner.
    fn id_age(&self) -> Option<Duration> {
        self.context.policy.get_renew_after()?;
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) if live.record(&self.context.lease).is_owned() => {
                Some(id_age(live.record(&self.context.lease), self.context.now()))
            }
            _ => None,
        }
    }
}
