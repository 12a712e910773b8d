//! Identity: a new id for a session, when its user gains rights.

use super::draft::NextId;
use super::{Ending, Session, Stage};
use crate::error::{Error, Result};

impl Session {
    /// Gives the session a new id with the next commit. The old id is superseded in the same step
    /// and opens nothing from then on. Data and unsaved changes stay, as do the handle, the time of
    /// creation and the absolute lifetime.
    ///
    /// Call it when a user gains rights, so that an id from before is worthless (OWASP ASVS 5.0,
    /// 7.2.4). [`log_in`](Self::log_in) calls it. Before the next [`save`](Self::save),
    /// [`modify`](Self::modify) or end of the request nothing has changed, so a request that fails
    /// leaves the client an id that works.
    ///
    /// A new session keeps its id, which only this request knows. If the session is gone, a new one
    /// begins; so it does if an anonymous session turns out to be gone at the commit. What was put
    /// into an owner's session is then discarded. If another request has just given the session a
    /// new id, this request is in flight beside it and stores nothing.
    ///
    /// # Errors
    ///
    /// [`Error::is_late`] on a handle for another thread, and after the end of the request:
    /// no response announces the new id. When the store or the random source failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// session.insert("cart", &["tea"])?;
    /// session.save()?;
    /// let before = session.id()?;
    ///
    /// session.regenerate()?;
    /// session.insert("role", "admin")?;
    /// assert_eq!(session.id()?, before);
    ///
    /// session.save()?;
    /// assert_ne!(session.id()?, before);
    /// assert!(sessions.load(&before)?.is_none());
    /// assert_eq!(session.get::<Vec<String>>("cart")?.unwrap(), ["tea"]);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("generate", "cycle_id", "RenewToken"))]
    pub fn regenerate(&mut self) -> Result<()> {
        self.check_open("a new id")?;
        match self.insist()?.stage {
            Stage::Live(_) | Stage::New => {}
            Stage::Ended(Ending::Here | Ending::Elsewhere) => self.begin()?,
            Stage::Ended(Ending::Superseded) | Stage::Without(_) => return Ok(()),
        }
        self.draft.identity = NextId::New;
        Ok(())
    }

    /// Refuses what only a response can complete, if there is none to come.
    pub(super) fn check_open(&self, what: &'static str) -> Result<()> {
        if self.sealed { Err(Error::late(what)) } else { Ok(()) }
    }
}
