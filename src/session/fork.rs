//! `Session` values that live longer than a request, such as a WebSocket's: fork, reload and step.

use super::Session;
use super::commit::Saved;
use super::draft::Draft;
use super::state::{Stage, State};
use crate::error::Result;
use crate::sync::Arc;

/// The result of a [`step`](Session::step).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "after `Ended` there is nothing more to do for this user"]
pub enum Step<R> {
    /// The work was done, and its changes are saved.
    Done(R),
    /// The session has ended, here or elsewhere. If it ended before the step, the work did not run.
    /// If it ended during the step, the work's changes are lost.
    Ended,
}

impl<R> Step<R> {
    /// Returns the result of the work, or `None` if the session has ended.
    pub fn done(self) -> Option<R> {
        match self {
            Self::Done(result) => Some(result),
            Self::Ended => None,
        }
    }
}

impl Session {
    /// Makes a second `Session` value for the same session, for another thread such as a
    /// WebSocket's or a long job's. Both values can read and change the session at the same time,
    /// and neither overwrites the other's keys with old data.
    ///
    /// Saves unsaved changes first. Returns `None` if no session is stored, because this one is new
    /// and empty or has ended. A login or [`regenerate`](Self::regenerate) on the fork is an error,
    /// because no response can announce the new id.
    ///
    /// # Errors
    ///
    /// Those of [`save`](Self::save).
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
        let state: State = self.require_store()?.clone();
        if !matches!(state.stage, Stage::Live(_)) {
            return Ok(None);
        }
        let forked = Self::unloaded(Arc::clone(&self.context), self.presented);
        Ok(Some(Self { state: state.into(), opened_by: self.opened_by.clone(), sealed: true, ..forked }))
    }

    /// Reads the session from the store again, and discards unsaved changes, including a login.
    /// Returns false if the session has ended.
    ///
    /// Use it on a `Session` that lives longer than a request, such as a WebSocket's;
    /// [`step`](Self::step) calls it first. A reload does not prolong the session;
    /// [`touch`](Self::touch) does. After a login or `regenerate` in another request, `reload`
    /// returns false. A [timed renewal](crate::Policy::renew_after) has no such effect.
    ///
    /// # Errors
    ///
    /// If the store fails.
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
        // If the outcome of a commit stays unknown, the commit is discarded like other unsaved
        // changes. Its caller has received the error.
        let resent = self.resend();
        if resent.as_ref().is_err_and(|error| !error.is_unknown()) {
            resent?;
        }
        self.state()?;
        let ending = self.refresh()?;
        // Discards the changes before `end`, which would report them as lost. The caller asked to
        // discard them.
        self.discard();
        if let Some(ending) = ending {
            self.end(ending);
        }
        Ok(!self.is_gone()?)
    }

    /// Reloads the session, runs `work`, and saves the changes that `work` made. Use it on a
    /// `Session` that lives longer than a request, such as that of a WebSocket or a streamed
    /// response.
    ///
    /// Each step sees what other requests changed since the last one. If the session has ended,
    /// here or elsewhere, the result is [`Step::Ended`]. If `work` fails, its changes are
    /// discarded, except those that `work` committed itself. A step that changes nothing does not
    /// prolong the session; [`touch`](Self::touch) does.
    ///
    /// # Errors
    ///
    /// Those of `work` and of [`save`](Self::save). If the save failed, call `save` again before
    /// the next step, which discards unsaved changes.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{LembroStore, Sessions, Step};
    ///
    /// let sessions = Sessions::new(LembroStore::new()?);
    /// let mut session = sessions.generate()?;
    /// session.insert("user", "ada")?;
    /// let mut own = session.fork()?.expect("it is stored");
    ///
    /// // What the thread of a socket does for each message:
    /// let mut hear = |message: &str| {
    ///     own.step(|session| {
    ///         session.insert("last_message", message)?;
    ///         Ok(format!("{} said {message}", session.get_str("user")?.unwrap_or_default()))
    ///     })
    /// };
    /// assert_eq!(hear("hello")?, Step::Done("ada said hello".to_owned()));
    /// session.log_out()?;
    /// assert_eq!(hear("is it on?")?, Step::Ended);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn step<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R>) -> Result<Step<R>> {
        if !self.reload()? {
            return Ok(Step::Ended);
        }
        // Discards only the draft. A commit by `work` whose outcome is unknown is kept and settled
        // later.
        let result = work(self).inspect_err(|_| self.draft = Draft::default())?;
        Ok(if self.save()? == Saved::Gone { Step::Ended } else { Step::Done(result) })
    }
}
