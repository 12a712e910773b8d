//! Commits of a session: sends the draft, and applies the store's answer.

use super::draft::{Draft, NextId, SentCommit};
use super::live::{self, Committed, Live, presented_after};
use super::{Ending, Saved, Session, Stage};
use crate::error::{Error, Result};
use crate::record::{Changes, Record, Version};
use crate::store::{Commit, Expect, Identity, Outcome, Presented, Receipt, Store, preview};

/// How often another id is drawn when one is taken. With random ids one draw is enough; with an
/// application's own source it may not be.
const MAX_DRAWS: usize = 16;

/// What a session does after an outcome.
pub(super) enum Next {
    Saved(Saved),
    /// Commits the draft once more: on a newer version, or as a session under another id.
    Again,
}

impl Session {
    /// Sends the draft in a commit, with `changes` in place of its own, if there are any.
    ///
    /// `Done` updates this handle. After every other outcome, and after an error, the draft is as
    /// it was before. A commit whose outcome is unknown is kept.
    pub(super) fn send(&mut self, mut commit: Commit, changes: Option<Changes>) -> Result<Outcome> {
        let id = self.id()?;
        if let Some(stored) = self.stored_record()? {
            live::check(changes.as_ref().unwrap_or(&self.draft.changes), stored)?;
        }
        self.draft.complete(&mut commit, &id, &self.context)?;
        let own = std::mem::take(&mut self.draft.changes);
        let kept = if let Some(changes) = changes {
            commit.changes = changes;
            Some(own)
        } else {
            commit.changes = own;
            None
        };
        match self.context.store.commit(&id, &commit, &self.context.lease) {
            Ok(Outcome::Done(receipt)) => {
                self.draft = Draft::default();
                self.carry_over(commit, &receipt);
                Ok(Outcome::Done(receipt))
            }
            Err(error) if error.is_unknown() => {
                self.draft.changes = kept.unwrap_or_else(|| commit.changes.clone());
                self.keep(commit);
                Err(error)
            }
            other => {
                self.draft.changes = kept.unwrap_or(commit.changes);
                other
            }
        }
    }

    /// Creates the session, under another id if the first is taken.
    pub(super) fn create(&mut self, changes: Option<&Changes>) -> Result<Saved> {
        for _ in 0..MAX_DRAWS {
            let outcome = match self.send(Commit::create()?, changes.cloned()) {
                Err(error) if error.is_store() && self.context.policy.goes_on_without() && !self.is_login() => {
                    self.sent = None;
                    self.enter(self.id()?, Stage::Without(error));
                    return Ok(Saved::Nowhere);
                }
                other => other?,
            };
            if let Next::Saved(saved) = self.conclude(outcome)? {
                return Ok(saved);
            }
        }
        Err(Error::taken(self.handle()?))
    }

    /// Sends the commit whose outcome is unknown again, if there is one.
    pub(super) fn settle(&mut self) -> Result<Option<Outcome>> {
        let Some(sent) = self.sent.take() else { return Ok(None) };
        let id = self.id()?;
        let outcome = self.context.store.commit(&id, &sent.commit, &self.context.lease);
        match outcome {
            Ok(Outcome::Done(receipt)) => self.carry_over(sent.commit, &receipt),
            Err(error) if !(error.is_size() || error.is_full()) => {
                self.sent = Some(sent);
                if error.is_unknown() {
                    return Err(error);
                }
                // The store's error in other words, which has been reported.
                let unknown = Error::unknown(id.handle()).caused_by(error);
                unknown.note_report();
                return Err(unknown);
            }
            // The store has answered: the commit was not carried out.
            Ok(_) | Err(_) => self.draft = sent.draft.then(std::mem::take(&mut self.draft)),
        }
        outcome.map(Some)
    }

    /// Decides what follows from the outcome of a commit.
    pub(super) fn conclude(&mut self, outcome: Outcome) -> Result<Next> {
        let ending = match outcome {
            Outcome::Done(_) => return Ok(Next::Saved(Saved::Written)),
            Outcome::Changed => return Ok(Next::Again),
            Outcome::Taken => return self.begin().map(|()| Next::Again),
            Outcome::AtLimit => {
                let limit = self.draft.login.as_ref().and_then(|login| login.limit);
                return Err(Error::too_many_logins(limit.map_or(0, |limit| limit.max)));
            }
            Outcome::Superseded => Ending::Superseded,
            Outcome::Gone | Outcome::LoginRevoked => Ending::Elsewhere,
        };
        if outcome == Outcome::LoginRevoked {
            self.ended(ending);
        }
        self.outlive(ending)
    }

    /// Continues after the session has ended. A login goes into a new session with the whole draft,
    /// and so does `regenerate` on an anonymous session, unless a login in another request has just
    /// given the client a new id. What was put into an owner's session goes into no anonymous one:
    /// it may be rights, and the owner was logged out.
    pub(super) fn outlive(&mut self, ending: Ending) -> Result<Next> {
        let is_login = self.draft.login.is_some();
        let is_owned = self.read().is_some_and(|record| record.is_owned());
        if !is_login && (ending == Ending::Superseded || self.draft.identity != NextId::New || is_owned) {
            self.ended(ending);
            return Ok(Next::Saved(Saved::Gone));
        }
        if ending == Ending::Superseded {
            // Two logins at once, as after a double click: the second session keeps what this
            // request has read from an anonymous session, but no owner's data.
            if let Some(record) = self.stored_record()?.filter(|record| !record.is_owned()) {
                self.draft.changes = Changes::from(&self.draft.changes.apply(record)?);
            }
        }
        self.begin().map(|()| Next::Again)
    }

    /// Begins a new session with the draft, under an id of its own.
    pub(super) fn begin(&mut self) -> Result<()> {
        let id = (self.context.ids)()?;
        self.enter(id, Stage::New);
        Ok(())
    }

    /// Keeps a commit whose outcome is unknown, with its draft.
    fn keep(&mut self, commit: Commit) {
        let (read, now) = (self.read(), self.context.now());
        let draft = std::mem::take(&mut self.draft);
        let record = preview(read.as_ref(), &commit, &self.context.lease, now, Version::default());
        let record = record.unwrap_or_else(|_| read.unwrap_or_default());
        self.sent = Some(Box::new(SentCommit { commit: commit.repeated(), draft, record }));
    }

    /// Updates this handle after a commit was carried out.
    fn carry_over(&mut self, commit: Commit, receipt: &Receipt) {
        let (read, now) = (self.read(), self.context.now());
        let Some(state) = self.state.get_mut() else { return };
        let before = match &state.stage {
            Stage::Live(live) => live.presented,
            Stage::New | Stage::Ended(_) | Stage::Without(_) => Presented::Current,
        };
        let is_new = commit.expect() == Expect::Absent;
        let presented = match commit.identity {
            Identity::Replace(new) if !is_new => {
                state.id = new;
                self.owes_id = true;
                Presented::Current
            }
            _ => presented_after(before, receipt.announce),
        };
        self.owes_id |= is_new;
        state.stage = Stage::Live(Live::committed(Committed { read, commit, now }, receipt, presented));
    }

    /// The record that was last read of a stored session.
    fn read(&self) -> Option<Record> {
        match self.state.get().map(|state| &state.stage) {
            Some(Stage::Live(live)) => Some(live.record(&self.context.lease).clone()),
            _ => None,
        }
    }

    /// Returns true for a login or a `regenerate`, one whose outcome is unknown too.
    fn is_login(&self) -> bool {
        let sent = self.sent.as_ref().map(|sent| &sent.draft);
        let is_login = |draft: &Draft| draft.identity == NextId::New || draft.login.is_some();
        sent.into_iter().chain([&self.draft]).any(is_login)
    }
}
