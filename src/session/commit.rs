//! Commits of a session: sends the draft and acts on the store's answer.

use super::Session;
use super::draft::{Draft, NextId, UnknownCommit};
use super::state::{AppliedCommit, Ending, LoadedSession, Stage, check_key_count, presented_after};
use crate::error::{Error, Result};
use crate::record::{Changes, Record, Version};
use crate::store::{Commit, Expect, Identity, Outcome, Presented, Receipt, Store, preview};
use crate::units::choice;

/// How many ids are drawn for a new session before `create` fails because each was taken. A random
/// id is never taken in practice; an id from the application's own source may be.
const MAX_DRAWS: usize = 16;

/// The result of a [`save`](Session::save) or a [`touch`](Session::touch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The changes or the new deadline were written to the store.
    Written,
    /// There was nothing to write.
    Unchanged,
    /// The session has ended, here or elsewhere. Nothing was written.
    Gone,
    /// The store failed, and the [policy](crate::Policy::store_down) lets the request go on without
    /// a session. Nothing was written, and the client gets no cookie.
    Skipped,
}

choice!(Saved, "saved", ["written" => Written, "unchanged" => Unchanged, "gone" => Gone, "skipped" => Skipped]);

/// The next step after a commit.
pub(super) enum FollowUp {
    Finished(Saved),
    /// The draft is committed once more: on a newer version, or as a session under another id.
    Retry,
}

impl Session {
    /// Sends the draft in a commit. `changes`, if there are any, take the place of the draft's.
    ///
    /// After `Done`, this `Session` is updated. If the outcome is unknown, the commit and its draft
    /// are kept. After every other outcome or error, the draft is as it was before.
    pub(super) fn send(&mut self, mut commit: Commit, changes: Option<Changes>) -> Result<Outcome> {
        let id = self.id()?;
        if let Some(stored) = self.stored_record()? {
            check_key_count(changes.as_ref().unwrap_or(&self.draft.changes), stored)?;
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
                self.apply_receipt(commit, &receipt);
                Ok(Outcome::Done(receipt))
            }
            Err(error) if error.is_unknown() => {
                self.draft.changes = kept.unwrap_or_else(|| commit.changes.clone());
                self.keep_unknown(commit);
                Err(error)
            }
            other => {
                self.draft.changes = kept.unwrap_or(commit.changes);
                other
            }
        }
    }

    /// Creates the session. If its id is taken, draws another one.
    pub(super) fn create(&mut self, changes: Option<&Changes>) -> Result<Saved> {
        for _ in 0..MAX_DRAWS {
            let outcome = match self.send(Commit::create()?, changes.cloned()) {
                Err(error)
                    if error.is_store() && self.context.policy.goes_on_without() && !self.replaces_or_logs_in() =>
                {
                    self.unknown = None;
                    self.set_state(self.id()?, Stage::StoreUnavailable(error));
                    return Ok(Saved::Skipped);
                }
                other => other?,
            };
            if let FollowUp::Finished(saved) = self.follow(outcome)? {
                return Ok(saved);
            }
        }
        Err(Error::taken(self.handle()?))
    }

    /// If the outcome of a commit is unknown, sends that commit again and follows the new outcome.
    /// Returns `None` if there was no such commit.
    pub(super) fn settle(&mut self) -> Result<Option<FollowUp>> {
        match self.resend()? {
            Some(outcome) => self.follow(outcome).map(Some),
            None => Ok(None),
        }
    }

    /// If the outcome of a commit is unknown, sends that commit again.
    pub(super) fn resend(&mut self) -> Result<Option<Outcome>> {
        let Some(unknown) = self.unknown.take() else { return Ok(None) };
        let id = self.id()?;
        let outcome = self.context.store.commit(&id, &unknown.commit, &self.context.lease);
        match outcome {
            Ok(Outcome::Done(receipt)) => self.apply_receipt(unknown.commit, &receipt),
            Err(error) if !(error.is_size() || error.is_full()) => {
                self.unknown = Some(unknown);
                if error.is_unknown() {
                    return Err(error);
                }
                // The store has already published the wrapped error.
                let wrapped = Error::unknown(id.handle()).caused_by(error);
                wrapped.note_report();
                return Err(wrapped);
            }
            // The store answered that the commit was not carried out.
            Ok(_) | Err(_) => self.draft = unknown.draft.then(std::mem::take(&mut self.draft)),
        }
        outcome.map(Some)
    }

    /// Decides what follows from the outcome of a commit.
    pub(super) fn follow(&mut self, outcome: Outcome) -> Result<FollowUp> {
        let ending = match outcome {
            Outcome::Done(_) => return Ok(FollowUp::Finished(Saved::Written)),
            Outcome::Changed => return Ok(FollowUp::Retry),
            Outcome::Taken => return self.begin_new(),
            Outcome::AtLimit => {
                let limit = self.draft.login.as_ref().and_then(|login| login.limit);
                return Err(Error::too_many_logins(limit.map_or(0, |limit| limit.max)));
            }
            Outcome::Superseded => Ending::Superseded,
            Outcome::Gone | Outcome::LoginRevoked => Ending::Elsewhere,
        };
        if outcome == Outcome::LoginRevoked {
            self.end(ending);
        }
        self.continue_after(ending)
    }

    /// Ends the session, or continues the draft in a new one. A login is always continued.
    /// `regenerate` on an anonymous session is continued, unless a login in another request has
    /// just superseded its id. Changes to an owner's session are not continued in an anonymous one,
    /// because the owner was logged out and the changes may grant rights.
    pub(super) fn continue_after(&mut self, ending: Ending) -> Result<FollowUp> {
        let is_login = self.draft.login.is_some();
        let is_owned = self.last_read().is_some_and(|record| record.is_owned());
        if !is_login && (ending == Ending::Superseded || self.draft.identity != NextId::New || is_owned) {
            self.end(ending);
            return Ok(FollowUp::Finished(Saved::Gone));
        }
        if ending == Ending::Superseded {
            // Two logins ran at once, as after a double click. The second session keeps the data
            // that this request read from an anonymous session, but no owner's data.
            if let Some(record) = self.stored_record()?.filter(|record| !record.is_owned()) {
                self.draft.changes = Changes::from(&self.draft.changes.apply(record)?);
            }
        }
        self.begin_new()
    }

    /// Begins a new session under a new id. The new session takes over the draft.
    pub(super) fn begin_new(&mut self) -> Result<FollowUp> {
        let id = (self.context.ids)()?;
        self.set_state(id, Stage::New);
        Ok(FollowUp::Retry)
    }

    /// Keeps a commit whose outcome is unknown, with its draft.
    fn keep_unknown(&mut self, commit: Commit) {
        let (read, now) = (self.last_read(), self.context.now());
        let draft = std::mem::take(&mut self.draft);
        let record = preview(read.as_ref(), &commit, &self.context.lease, now, Version::default());
        let record = record.unwrap_or_else(|_| read.unwrap_or_default());
        self.unknown = Some(Box::new(UnknownCommit { commit: commit.repeated(), draft, record }));
    }

    /// Updates this `Session` after a commit was carried out.
    fn apply_receipt(&mut self, commit: Commit, receipt: &Receipt) {
        let (read, now) = (self.last_read(), self.context.now());
        let Some(state) = self.state.get_mut() else { return };
        let before = match &state.stage {
            Stage::Live(live) => live.presented,
            Stage::New | Stage::Ended(_) | Stage::StoreUnavailable(_) => Presented::Current,
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
        let applied = AppliedCommit { read, commit, now };
        state.stage = Stage::Live(LoadedSession::after(applied, receipt, presented));
    }

    /// The record of a stored session, as it was last read or committed.
    fn last_read(&self) -> Option<Record> {
        match self.state.get().map(|state| &state.stage) {
            Some(Stage::Live(live)) => Some(live.record(&self.context.lease).clone()),
            _ => None,
        }
    }

    /// Returns true if the draft, or the commit whose outcome is unknown, is a login or a
    /// `regenerate`.
    fn replaces_or_logs_in(&self) -> bool {
        let unknown = self.unknown.as_ref().map(|unknown| &unknown.draft);
        let is_one = |draft: &Draft| draft.identity == NextId::New || draft.login.is_some();
        unknown.into_iter().chain([&self.draft]).any(is_one)
    }
}
