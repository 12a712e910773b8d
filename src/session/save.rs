//! Writes to the store: save, touch and log out. Also attaches another session to this `Session`.

use super::Session;
use super::commit::{FollowUp, Saved};
use super::state::{Ending, Stage, State, presented_after};
use crate::error::Result;
use crate::store::{Action, Commit, Identity, Lease, Outcome, Store};

impl Session {
    /// Commits everything that was done to the session since the last save, in one step: changed
    /// keys are merged into what is stored, a [login](Self::log_in) and a new id take effect, and
    /// the session is prolonged. The cookie layer saves at the end of a request; call `save` to
    /// commit earlier.
    ///
    /// If nothing changed, nothing is written. A new session without data is not stored. If the
    /// session ended elsewhere, it stays ended: unsaved changes are discarded, and the result is
    /// [`Saved::Gone`]. A login is not discarded: it begins a new session with what this request
    /// put in.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`](crate::Error::is_size) if the session would be too large;
    /// [`Error::is_too_many_logins`](crate::Error::is_too_many_logins) if the policy's limit
    /// refuses the login; or if the store fails. In these cases nothing was written, and unsaved
    /// changes stay, so the call can be repeated.
    ///
    /// [`Error::is_unknown`](crate::Error::is_unknown) if the store cannot tell whether the commit
    /// was carried out. The next call sends the same commit again before anything else, and it is
    /// not carried out twice.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Saved, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// let mut session = sessions.generate()?;
    /// assert_eq!(session.save()?, Saved::Unchanged);
    /// session.insert("user", "ada")?;
    /// assert_eq!(session.save()?, Saved::Written);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn save(&mut self) -> Result<Saved> {
        if !self.is_loaded() && !self.is_changed() {
            return Ok(Saved::Unchanged);
        }
        let mut saved = Saved::Unchanged;
        if let Some(FollowUp::Finished(settled)) = self.settle()? {
            saved = settled;
        }
        loop {
            let outcome = match &self.state()?.stage {
                // Changes made after a logout go into the session that `regenerate` begins.
                Stage::Ended(Ending::Here) => return Ok(Saved::Gone),
                Stage::Ended(ending) => {
                    self.end(*ending);
                    return Ok(Saved::Gone);
                }
                Stage::StoreUnavailable(_) => return Ok(Saved::Skipped),
                Stage::New if self.draft.is_empty_with(&self.draft.changes) => return Ok(saved),
                Stage::New => return self.create(None),
                Stage::Live(_) if self.draft.is_empty() => return Ok(saved),
                Stage::Live(live) => self.send(Commit::merge(live.version)?, None)?,
            };
            if let FollowUp::Finished(saved) = self.follow(outcome)? {
                return Ok(saved);
            }
        }
    }

    /// Prolongs the session now, without writing its data. Use `touch` in a WebSocket, and during
    /// work that takes longer than the idle timeout. Other handlers need no `touch`, because a
    /// request's first look prolongs the session if that is [due](crate::Policy::touch_after).
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Saved, Sessions};
    /// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
    /// session.insert("user", "ada")?;
    /// session.save()?;
    /// assert_eq!(session.touch()?, Saved::Written);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("update", "resetMaxAge"))]
    pub fn touch(&mut self) -> Result<Saved> {
        self.settle()?;
        let state = self.state()?;
        let id = state.id;
        let held = match &state.stage {
            Stage::New => return Ok(Saved::Unchanged),
            Stage::Ended(_) => return Ok(Saved::Gone),
            Stage::StoreUnavailable(_) => return Ok(Saved::Skipped),
            Stage::Live(live) => live.version,
        };
        let outcome = self.context.store.apply(&id, &Action::Touch(Some(held)), &self.context.lease)?;
        let seen_at = self.context.clock.now();
        match (outcome, self.state.get_mut()) {
            (Outcome::Done(receipt), Some(State { stage: Stage::Live(live), .. })) => {
                (live.seen_at, live.ttl) = (seen_at, receipt.ttl);
                live.presented = presented_after(live.presented, receipt.announce);
                return Ok(Saved::Written);
            }
            (Outcome::Superseded, _) => self.end(Ending::Superseded),
            _ => self.end(Ending::Elsewhere),
        }
        Ok(Saved::Gone)
    }

    /// Logs out: ends the session, and every other live session whose id the request presented.
    /// When this returns, the store has removed the data of these sessions, and unsaved changes are
    /// discarded. No request in flight can restore a session that has ended. The response removes
    /// the client's cookie.
    ///
    /// A browser presents several ids if cookies of the same name were set for several paths or
    /// domains. If only one of these sessions ended, another would keep the user logged in. An id
    /// that a login or [`regenerate`](Self::regenerate) has superseded ends no session.
    ///
    /// # Errors
    ///
    /// If the store fails. Then the session may still be live.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Saved, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// # session.insert("user", "ada")?;
    /// # session.save()?;
    /// let mut slow_request = sessions.load(&session.id()?)?.expect("saved");
    /// slow_request.insert("last_page", "/inbox")?;
    ///
    /// session.log_out()?;
    /// assert_eq!(session.get_str("user")?, None);
    /// assert_eq!(slow_request.save()?, Saved::Gone);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("destroy", "logout", "flush"))]
    pub fn log_out(&mut self) -> Result<()> {
        let state = self.require_store()?;
        let (id, store) = (state.id, &self.context.store);
        // A commit whose outcome is unknown may have created the session or given it another id.
        let unknown = self.unknown.as_ref().map(|unknown| unknown.commit.identity);
        let held = if let Stage::Live(live) = &state.stage { Some(live.version) } else { None };
        if unknown.is_some() || held.is_some() {
            let _ended = store.apply(&id, &Action::End(held), &Lease::UNLIMITED)?;
        }
        if let Some(Identity::Replace(new)) = unknown {
            let _ended = store.destroy(&new)?;
        }
        // If a revoked login ended the session for this `Session` value only, the id still opens
        // the stored session.
        for other in self.presented.iter().flatten().filter(|presented| held.is_none() || presented.id != id) {
            let _ended = store.destroy(&other.id)?;
        }
        self.end(Ending::Here);
        Ok(())
    }

    /// Replaces this session by `other`, such as one that
    /// [`create_session`](crate::Sessions::create_session) made. The response announces the id of
    /// `other`. Unsaved changes of this session are discarded.
    ///
    /// # Errors
    ///
    /// [`Error::is_late`](crate::Error::is_late) on a [fork](Self::fork), and after the end of the
    /// request.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Record, SessionId, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// let id = SessionId::derive("known to another system");
    /// session.attach(sessions.create_session(&id, Record::new())?)?;
    /// assert_eq!(session.id()?, id);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn attach(&mut self, other: Self) -> Result<()> {
        self.check_open("attaching a session")?;
        let Self { state, draft, unknown, .. } = other;
        (self.state, self.draft, self.unknown, self.owes_id) = (state, draft, unknown, true);
        Ok(())
    }
}
