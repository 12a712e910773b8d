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
    /// The session ended elsewhere, or here; nothing was written.
    Gone,
    /// The store failed, and the [policy](crate::Policy::store_down) says to go on without a
    /// session: the client gets none.
    Nowhere,
}

impl Session {
    /// Reads what is stored now; what was not saved is discarded, a login too. `false`: the session
    /// ended.
    ///
    /// For a handle that lives long, such as a WebSocket's: `reload` before a message is handled,
    /// `save` after it. It does not prolong the session; [`touch`](Self::touch) does. A
    /// [timed renewal](crate::Policy::renew_after) does not end such a handle; a login or `regenerate`
    /// elsewhere does.
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
    /// assert_eq!(session.get::<&str>("theme")?, Some("light"));
    /// assert!(session.reload()?);
    /// assert_eq!(session.get::<&str>("theme")?, Some("dark"));
    ///
    /// elsewhere.destroy()?;
    /// assert!(!session.reload()?);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias = "load")]
    #[must_use = "a session that ended has nothing to read"]
    pub fn reload(&mut self) -> Result<bool> {
        // A commit that still is not known to be done is discarded with the rest: its caller was
        // told.
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

    /// Commits everything that was done to the session since the last save, in one step: changed
    /// keys are merged into what is stored, a [login](Self::log_in) and a new id take effect, and
    /// the session is prolonged. The cookie layer does it at the end of a request; call it wherever
    /// it is needed earlier.
    ///
    /// If nothing changed, nothing is written. A new session that holds nothing is not stored. A
    /// session that ended elsewhere says [`Saved::Gone`] and stays ended; what was unsaved is
    /// discarded with it. A login is not: it begins a new session, with what this request put in.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`](crate::Error::is_size) when the session would be too large;
    /// [`Error::is_too_many_logins`](crate::Error::is_too_many_logins) when the policy's limit
    /// refuses the login; when the store failed. Nothing was written then, and what is unsaved
    /// stays, so it can be tried again. If it [is unknown](crate::Error::is_unknown) whether it was
    /// carried out, the next call sends the same commit once more, before anything else, and it is
    /// not carried out twice.
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
            // Again: as a new session.
            if let Next::Saved(saved) = self.conclude(outcome)? {
                return Ok(saved);
            }
        }
    }

    /// Prolongs the session now, without writing its data. A request's first look has done that
    /// already, if it was [due](crate::Policy::touch_after): for work that takes longer than the
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

    /// Ends the session: log out. Its data is gone from the store when this returns, its unsaved
    /// changes are discarded, and no request that is still under way can bring it back.
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
    /// assert_eq!(session.get::<&str>("user")?, None);
    /// assert_eq!(slow_request.save()?, Saved::Gone);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("logout", "flush"))]
    pub fn destroy(&mut self) -> Result<()> {
        let state = self.insist()?;
        // A commit of which it is not known whether it was carried out may have created the
        // session, or given it another id.
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
