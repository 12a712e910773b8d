//! The life of a session: peek, reload, save, touch, fork, log out.

use super::commit::Next;
use super::draft::Draft;
use super::live::presented_after;
use super::{Ending, Session, Stage, State};
use crate::error::Result;
use crate::store::{Action, Commit, Identity, Lease, Look, Outcome, Store};
use crate::sync::Arc;
use crate::units::choice;

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

choice!(Saved, "saved", ["written" => Written, "unchanged" => Unchanged, "gone" => Gone, "nowhere" => Nowhere]);

impl Session {
    /// Makes this request no visit, if it has not looked at the session yet: it reads the session
    /// and does not prolong it. For a page that polls, so that the idle timeout ends the session of
    /// a user who left the page open (OWASP ASVS 5.0, 7.3.1).
    ///
    /// A commit still prolongs the session; so does [`touch`](Self::touch).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "web")] {
    /// use lembro::web::{RequestHead, SessionLayer};
    /// # use lembro::LembroStore;
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let mut session = layer.load(RequestHead::default());
    /// let unread = session.peek().get::<u32>("unread")?.unwrap_or(0);
    /// # assert_eq!(unread, 0);
    /// # }
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn peek(&mut self) -> &mut Self {
        self.first = Look::Peek;
        self
    }

    /// A second handle on the same session, for another thread: a WebSocket's, or a long piece of
    /// work. It reads and changes the session beside this one, and both keep their work.
    ///
    /// Saves what is unsaved first. `None`: no session is stored, because this one is new and empty
    /// or has ended. A login or [`regenerate`](Self::regenerate) on the second handle is an error,
    /// because no response can announce the new id.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// session.insert("job", "running")?;
    /// let mut own = session.fork()?.expect("it is stored");
    /// let worker = std::thread::spawn(move || {
    ///     own.insert("job", "done")?;
    ///     own.save()
    /// });
    /// worker.join().unwrap()?;
    /// assert!(session.reload()?);
    /// assert_eq!(session.get_str("job")?.as_deref(), Some("done"));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias = "clone")]
    pub fn fork(&mut self) -> Result<Option<Self>> {
        self.save()?;
        let state = self.insist()?.clone();
        if !matches!(state.stage, Stage::Live(_)) {
            return Ok(None);
        }
        let forked = Self::unloaded(Arc::clone(&self.context), self.presented);
        Ok(Some(Self { state: state.into(), opened_by: self.opened_by.clone(), sealed: true, ..forked }))
    }

    /// Goes on with another session in place of this one, such as one that
    /// [`create`](crate::Sessions::create) made: the response announces its id.
    /// Unsaved changes of this one are discarded.
    ///
    /// # Errors
    ///
    /// [`Error::is_late`](crate::Error::is_late) on a handle for another thread, and after the end
    /// of the request.
    pub fn attach(&mut self, other: Self) -> Result<()> {
        self.check_open("attaching a session")?;
        let Self { state, draft, sent, .. } = other;
        (self.state, self.draft, self.sent, self.owes_id) = (state, draft, sent, true);
        Ok(())
    }

    /// Reads what is stored now. Unsaved changes are discarded, a login too. `false`: the session
    /// has ended.
    ///
    /// For a handle that lives long, such as a WebSocket's; [`step`](Self::step) does it before
    /// each message. It does not prolong the session; [`touch`](Self::touch) does. A
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
    /// elsewhere.log_out()?;
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
        let ending = self.look_again()?;
        // Discarded by the caller, so not lost.
        (self.draft, self.sent) = (Draft::default(), None);
        if let Some(ending) = ending {
            self.ended(ending);
        }
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
        if !self.is_loaded() && !self.is_changed() {
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
                // What is put in after a logout is for the session that `regenerate` begins.
                Stage::Ended(Ending::Here) => return Ok(Saved::Gone),
                Stage::Ended(ending) => {
                    self.ended(*ending);
                    return Ok(Saved::Gone);
                }
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
            Stage::Ended(_) => return Ok(Saved::Gone),
            Stage::Without(_) => return Ok(Saved::Nowhere),
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
            (Outcome::Superseded, _) => self.ended(Ending::Superseded),
            _ => self.ended(Ending::Elsewhere),
        }
        Ok(Saved::Gone)
    }

    /// Logs out: ends the session, and every other live session whose id the request presented.
    /// When this returns, their data is gone from the store, and unsaved changes are discarded. No
    /// request under way can bring a session back. At the end of the request the client's cookie is
    /// removed.
    ///
    /// A browser presents several ids if cookies of the same name were set for several paths or
    /// domains. Ending only one of them would leave the user logged in by another. An id that a
    /// login or [`regenerate`](Self::regenerate) has superseded opens no session, so it ends none.
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
    /// session.log_out()?;
    /// assert_eq!(session.get_str("user")?, None);
    /// assert_eq!(slow_request.save()?, Saved::Gone);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("destroy", "logout", "flush"))]
    pub fn log_out(&mut self) -> Result<()> {
        let state = self.insist()?;
        let (id, store) = (state.id, &self.context.store);
        // A commit whose outcome is unknown may have created the session or given it another id.
        let sent = self.sent.as_ref().map(|sent| sent.commit.identity);
        let held = if let Stage::Live(live) = &state.stage { Some(live.version) } else { None };
        if sent.is_some() || held.is_some() {
            let _ended = store.apply(&id, &Action::End(held), &Lease::UNLIMITED)?;
        }
        if let Some(Identity::Replace(new)) = sent {
            let _ended = store.destroy(&new)?;
        }
        // The id of a session that ended for this handle only, because its login was revoked, still
        // opens it.
        for other in self.presented.iter().flatten().filter(|presented| held.is_none() || presented.id != id) {
            let _ended = store.destroy(&other.id)?;
        }
        self.ended(Ending::Here);
        Ok(())
    }
}
