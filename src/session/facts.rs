//! The facts at the end of a request, from which the cookie layer decides what to send.

use std::time::{Duration, UNIX_EPOCH};

use super::draft::{Draft, NextId};
use super::{Carrier, Session, Stage, State};
use crate::error::Result;
use crate::id::SessionId;
use crate::store::{Identity, Look, Lookup, Presented, Store, id_age, nanos};

/// What is known of a session when the handler is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// With the role of the id that opened it.
    pub(crate) stage: Stage<Presented, ()>,
    /// There is something to save.
    pub(crate) changed: bool,
    /// A timed renewal is due under the policy.
    pub(crate) renewal_due: bool,
    /// What the client has in its cookie.
    pub(crate) cookie: Client,
    /// What the client has in its token.
    pub(crate) token: Client,
}

/// The cookie, or the token, that the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// The client is told nothing in this way: the layer does not use it, or the request came in
    /// the other one.
    Unserved,
    /// None of ours.
    Without,
    /// One with another id than the session has, or will have after the save.
    Other,
    /// One with the session's id, that we would write otherwise now, and may.
    Stale,
    /// The right one, or as good as.
    Current,
}

impl Session {
    /// The session of a request that came over https, or not.
    pub(crate) fn over(self, https: bool) -> Self {
        Self { https, ..self }
    }

    /// Whether the request came over https.
    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// From here on no response announces a new id, so a login and `regenerate` are errors.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }

    /// The facts of a session in this stage. `persistent`: the browser is to keep the session's
    /// cookie when it is closed; `None`: the layer has no cookie.
    pub(crate) fn facts(
        &self,
        stage: Stage<Presented, ()>,
        persistent: Option<bool>,
        has_tokens: bool,
    ) -> Result<Facts> {
        Ok(Facts {
            stage,
            changed: self.is_changed(),
            renewal_due: self.renewal_due(),
            cookie: self.client(Carrier::Cookie, persistent)?,
            token: self.client(Carrier::Token, has_tokens.then_some(false))?,
        })
    }

    /// Whether an id is told in this carrier: in the one that opened the session. If none did: in a
    /// token only if the request brought no cookie, because what answers a request with a cookie
    /// must not give a script the id that is hidden from it; and in a cookie unless the request
    /// brought a token alone.
    pub(crate) fn is_told_in(&self, carrier: Carrier) -> bool {
        match self.opened_by.get().or(self.presented[0].map(|first| first.carrier)) {
            Some(presented) => presented == carrier,
            None => true,
        }
    }

    /// Returns true if the session was opened by a token in a header, which no browser sends by
    /// itself.
    pub(super) fn is_opened_by_token(&self) -> Result<bool> {
        self.state()?;
        Ok(self.opened_by.get() == Some(Carrier::Token))
    }

    /// The stage, without its data; `None`: there was no look.
    pub(crate) fn stage(&self) -> Option<Stage<Presented, ()>> {
        Some(match &self.state.get()?.stage {
            Stage::New => Stage::New,
            Stage::Live(live) => Stage::Live(live.presented),
            Stage::Ended(ending) => Stage::Ended(*ending),
            Stage::Without(_) => Stage::Without(()),
        })
    }

    /// `persistent`: see [`facts`](Self::facts); `None`: the layer does not use this carrier.
    fn client(&self, carrier: Carrier, persistent: Option<bool>) -> Result<Client> {
        let Some(persistent) = persistent.filter(|_| self.is_told_in(carrier)) else { return Ok(Client::Unserved) };
        let id = self.id()?;
        let is_current = |written: Option<u64>| match (persistent, written) {
            (false, None) => true,
            (true, Some(written)) => !self.cookie_due(written),
            _ => false,
        };
        let mut presented = self.presented.iter().flatten().filter(|presented| presented.carrier == carrier).peekable();
        let is_without = presented.peek().is_none();
        Ok(match presented.find(|presented| presented.id == id) {
            Some(_) if self.replaces_id() => Client::Other,
            Some(presented) if presented.well_signed && is_current(presented.written) => Client::Current,
            Some(_) if self.may_repeat_id()? => Client::Stale,
            Some(_) => Client::Current,
            None if is_without => Client::Without,
            None => Client::Other,
        })
    }

    /// Returns true if a cookie written at this time is due to be sent again: as often as visits
    /// are noted, and when the timeout changes.
    fn cookie_due(&self, written: u64) -> bool {
        let Ok(Some(record)) = self.stored_record() else { return false };
        let changes = &self.draft.changes;
        // The cookie was written for other limits.
        if changes.timeout().is_some_and(|timeout| timeout != record.timeout())
            || changes.remembered().is_some_and(|remembered| remembered != record.is_remembered())
        {
            return true;
        }
        let Some(written) = UNIX_EPOCH.checked_add(Duration::from_secs(written)) else { return true };
        // A cookie from the future, written before the calendar was set back, says as little about
        // the time that the browser still keeps it.
        let age = self.context.clock.wall().duration_since(written).unwrap_or_else(|ahead| ahead.duration());
        let lease = &self.context.lease;
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
        let is_owed = match live.presented {
            Presented::Renewing(_) => true,
            Presented::Current => self.owes_id,
            Presented::Previous => false,
        };
        // The session may have ended since, a login in another request may have ended the renewal,
        // or the client has the new id by now.
        is_owed
            && match self.peek_at(id, live) {
                Ok(stored) => stored.is_ok_and(|stored| stored.presented != Presented::Previous),
                // Only this response can announce the id of a commit.
                Err(_) => self.owes_id,
            }
    }

    /// Finds out whether a commit whose outcome is unknown gave the session an id, or began a timed
    /// renewal. A look tells, so nothing is written, not even that commit.
    pub(crate) fn settle_id(&mut self) {
        let (Some(sent), Some(State { id, stage })) = (&self.sent, self.state.get()) else { return };
        let (id, incarnation) = match (sent.commit.identity, sent.commit.begins(), stage) {
            (Identity::Replace(new), Some(begun), Stage::Live(_)) => (new, begun),
            (_, Some(begun), _) => (*id, begun),
            (Identity::Renew(_), None, Stage::Live(live)) => (*id, live.version),
            _ => return,
        };
        let found = self.context.store.look(&id, Look::Peek, &self.context.lease);
        if let Ok(Lookup::Found(stored)) = found
            && stored.record.version().is_same_incarnation(incarnation)
        {
            // A renewal that did not begin leaves the client the id that it has.
            self.owes_id |= sent.commit.begins().is_some();
            (self.draft, self.sent) = (Draft::default(), None);
            self.enter(id, self.live(stored));
        }
    }

    /// Asks the store whether the session still exists and has this id. Unsaved changes stay.
    pub(crate) fn is_current(&mut self) -> Result<bool> {
        if let Some(ending) = self.look_again()? {
            self.ended(ending);
        }
        Ok(matches!(self.stage(), Some(Stage::Live(Presented::Current | Presented::Renewing(_)))))
    }

    /// Returns true if the client may receive its present id again: not shortly before or after the
    /// id is renewed, and not by a request that is no visit.
    fn may_repeat_id(&self) -> Result<bool> {
        if self.first == Look::Peek && !self.is_changed() {
            return Ok(false);
        }
        let (Some(age), Some(record)) = (self.id_age(), self.stored_record()?) else { return Ok(true) };
        Ok(self.context.policy.may_repeat(age, self.context.lease.ttl(record, self.context.now())))
    }

    /// The id that the client of a live session must have: the session's, or the one that a timed
    /// renewal announces.
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
        let sent = self.sent.as_ref().map(|sent| sent.commit.identity);
        self.draft.identity == NextId::New || matches!(sent, Some(Identity::Replace(_)))
    }

    /// Lets a timed renewal begin with the next commit.
    pub(crate) fn renew_on_time(&mut self) {
        if self.draft.identity == NextId::Same {
            self.draft.identity = NextId::Renewal;
        }
    }

    /// Returns true if a timed renewal is due under the policy. A request that is no visit begins
    /// none, because that would prolong the session.
    fn renewal_due(&self) -> bool {
        matches!(self.stage(), Some(Stage::Live(Presented::Current)))
            && self.first != Look::Peek
            && !self.replaces_id()
            && self.id_age().is_some_and(|age| self.context.lease.renewal_due(age))
    }

    /// How long the session has had its id; `None` if its ids are not renewed.
    fn id_age(&self) -> Option<Duration> {
        if !self.context.policy.get_renew_after().is_some() {
            return None;
        }
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) if live.record(&self.context.lease).is_owned() => {
                Some(id_age(live.record(&self.context.lease), self.context.now()))
            }
            _ => None,
        }
    }
}
