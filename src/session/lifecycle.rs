//! The life of a session: reload, save, touch, destroy.

use super::commit::Next;
use super::draft::Draft;
use super::live::presented_after;
use super::{Ending, Session, Stage, State};
use crate::error::Result;
use crate::store::{Action, Commit, Identity, Lease, Outcome, Store};

/// What a [`save`](Session::save) or [`touch`](Session::touch) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It was written to the store.
    Written,
    /// There was nothing to write.
    Unchanged,
    /// The session has ended, here or elsewhere. Nothing was written.
    Gone,
    /// The store failed, and the [policy](crate::Policy::store_down) lets the request go on without
    /// a session. The client gets none.
    Nowhere,
}

impl Session {
    /// Reads what is stored now. Unsaved changes are discarded, a login too. `false`: the session
    /// has ended.
    ///
    /// For a handle that lives long, such as a WebSocket's: `reload` before a message is handled,
    /// `save` after it. It does not prolong the session; [`touch`](Self::touch) does. A
    /// [timed renewal](crate::Policy::renew_after) does not end such a handle; a login or
    /// `regenerate` elsewhere does.
    ///
    /// # Errors
    ///
    /// When the store failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// # session.insert("theme", "light")?;
    /// # session.save()?;
    /// let mut elsewhere = sessions.load(&session.id()?)?.expect("saved");
    /// elsewhere.insert("theme", "dark")?;
    /// elsewhere.save()?;
    ///
    /// assert_eq!(session.get_str("theme")?.as_deref(), Some("light"));
    /// assert!(session.reload()?);
    /// assert_eq!(session.get_str("theme")?.as_deref(), Some("dark"));
    ///
    /// elsewhere.destroy()?;
    /// assert!(!session.reload()?);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias = "load")]
    #[must_use = "a session that ended has nothing to read"]
    pub fn reload(&mut self) -> Result<bool> {
        // A commit whose outcome is still unknown is discarded with the rest; its caller has
        // received the error.
        let settled = self.settle();
        if settled.as_ref().is_err_and(|error| !error.is_unknown()) {
            settled?;
        }
        self.state()?;
        if let Some(ending) = self.look_again()? {
            self.ended(ending);
        }
        (self.draft, self.sent) = (Draft::default(), None);
        Ok(!self.is_gone()?)
    }

    /// Commits everything that was done to the session since the last save, in one step. Changed
    /// keys are merged into what is stored, a [login](Self::log_in) and a new id take effect, and
    /// the session is prolonged. The cookie layer does it at the end of a request; call it to
    /// commit earlier.
    ///
    /// If nothing changed, nothing is written. A new session without data is not stored. If the
    /// session ended elsewhere, the result is [`Saved::Gone`]: it stays ended, and unsaved changes
    /// are discarded. A login is not discarded: it begins a new session, with what this request put
    /// in.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`](crate::Error::is_size) when the session would be too large;
    /// [`Error::is_too_many_logins`](crate::Error::is_too_many_logins) when the policy's limit
    /// refuses the login; when the store failed. Nothing was written then, and unsaved changes
    /// stay, so the call can be repeated. If it [is unknown](crate::Error::is_unknown) whether the
    /// commit was carried out, the next call sends the same commit again before anything else, and
    /// it is not carried out twice.
    pub fn save(&mut self) -> Result<Saved> {
        if !self.is_loaded() && !self.changed() {
            return Ok(Saved::Unchanged);
        }
        let mut saved = Saved::Unchanged;
        if let Some(outcome) = self.settle()?
            && let Next::Saved(settled) = self.conclude(outcome)?
        {
            saved = settled;
        }
        loop {
            let outcome = match &self.state()?.stage {
                Stage::Gone(_) => return Ok(Saved::Gone),
                Stage::Without(_) => return Ok(Saved::Nowhere),
                Stage::New if self.draft.is_hollow(&self.draft.changes) => return Ok(saved),
                Stage::New => return self.create(None),
                Stage::Live(_) if self.draft.is_empty() => return Ok(saved),
                Stage::Live(live) => self.send(Commit::merge(live.version)?, None)?,
            };
            // Once more, as a new session.
            if let Next::Saved(saved) = self.conclude(outcome)? {
                return Ok(saved);
            }
        }
    }

    /// Prolongs the session now, without writing its data. A request's first look has done that
    /// already, if it was [due](crate::Policy::touch_after). For work that takes longer than the
    /// idle timeout, and for sockets.
    ///
    /// # Errors
    ///
    /// When the store failed.
    #[doc(alias("update", "resetMaxAge"))]
    pub fn touch(&mut self) -> Result<Saved> {
        if let Some(outcome) = self.settle()? {
            self.conclude(outcome)?;
        }
        let state = self.state()?;
        let id = state.id;
        let held = match &state.stage {
            Stage::New => return Ok(Saved::Unchanged),
            Stage::Gone(_) => return Ok(Saved::Gone),
            Stage::Without(_) => return Ok(Saved::Nowhere),
            Stage::Live(live) => live.version,
        };
        let outcome = self.context.store.apply(&id, &Action::Touch(Some(held)), &self.context.lease())?;
        let seen_at = self.context.clock.now();
        match (outcome, self.state.get_mut()) {
            (Outcome::Done(receipt), Some(State { stage: Stage::Live(live), .. })) => {
                (live.seen_at, live.ttl) = (seen_at, receipt.ttl);
                live.presented = presented_after(live.presented, receipt.announce);
                return Ok(Saved::Written);
            }
            (Outcome::Superseded, _) => self.ended(Ending::Superseded),
            _ => self.ended(Ending::Elsewhere),
        }
        Ok(Saved::Gone)
    }

    /// Ends the session: log out. When this returns, its data is gone from the store and its
    /// unsaved changes are discarded. No request under way can bring it back.
    ///
    /// # Errors
    ///
    /// When the store failed: the session may still be there.
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
    /// session.destroy()?;
    /// assert_eq!(session.get_str("user")?.as_deref(), None);
    /// assert_eq!(slow_request.save()?, Saved::Gone);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("logout", "flush"))]
    pub fn destroy(&mut self) -> Result<()> {
        let state = self.insist()?;
        // A commit whose outcome is unknown may have created the session or given it another id.
        let sent = self.sent.as_ref().map(|sent| sent.commit.identity);
        let held = if let Stage::Live(live) = &state.stage { Some(live.version) } else { None };
        if sent.is_some() || held.is_some() {
            let _ended = self.context.store.apply(&state.id, &Action::End(held), &Lease::UNLIMITED)?;
        }
        if let Some(Identity::Replace(new)) = sent {
            let _ended = self.context.store.destroy(&new)?;
        }
        self.ended(Ending::Here);
        Ok(())
    }
}
