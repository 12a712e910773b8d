//! One step of a handle that lives long: reload, work, save.

use super::draft::Draft;
use super::{Saved, Session};
use crate::error::Result;

/// What a [`step`](Session::step) came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "after `Ended` there is nothing more to do for this user"]
pub enum Step<R> {
    /// The work was done, and what it changed is saved.
    Done(R),
    /// The session ended, here or elsewhere: before the step, and the work was not begun, or during
    /// it, and what it changed is lost.
    Ended,
}

impl<R> Step<R> {
    /// What the work returned, if the session has not ended.
    pub fn done(self) -> Option<R> {
        match self {
            Self::Done(result) => Some(result),
            Self::Ended => None,
        }
    }
}

impl Session {
    /// One step of a handle that lives long, such as a WebSocket's or that of an answer that is
    /// streamed: reads what is stored now, runs `work`, saves what it changed.
    ///
    /// So each step sees what other requests changed since the last one, and a logout, wherever it
    /// was, ends the handle: [`Step::Ended`]. If `work` fails, nothing of this step is saved,
    /// except what it committed itself. A step that changes nothing does not prolong the session;
    /// [`touch`](Self::touch) does.
    ///
    /// # Errors
    ///
    /// Those of `work`, and as [`save`](Self::save). If the save failed, it can be repeated, and
    /// the next step discards what is not saved by then.
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
    /// assert_eq!(hear("anyone?")?, Step::Ended);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn step<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R>) -> Result<Step<R>> {
        if !self.reload()? {
            return Ok(Step::Ended);
        }
        let result = work(self).inspect_err(|_| self.draft = Draft::default())?;
        Ok(if self.save()? == Saved::Gone { Step::Ended } else { Step::Done(result) })
    }
}
