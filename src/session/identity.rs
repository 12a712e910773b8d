//! The id of a session over its life: a new one at once, or from time to time.

use std::time::Duration;

use super::draft::NextId;
use super::{Ending, Session, Stage, State};
use crate::error::Result;
#[cfg(feature = "http")]
use crate::id::SessionId;
use crate::store::{Identity, Presented, id_age};

impl Session {
    /// Gives the session a new id with the next commit, and kills the old one in the same step. Data
    /// and unsaved changes stay, and so do the handle, the time of creation and the absolute lifetime.
    ///
    /// Call it when a user gains rights, so that an id seen before is worth nothing (OWASP ASVS 5.0,
    /// 7.2.4). [`log_in`](Self::log_in) does it by itself. Until the next [`save`](Self::save),
    /// [`modify`](Self::modify) or end of the request nothing has changed, so a request that fails
    /// leaves the client an id that works.
    ///
    /// A new session keeps its id, which only this request knows. On a session that is gone, or turns
    /// out to be at the commit, a new one begins. If another request has just given the session a new
    /// id, this request is in flight beside it and stores nothing.
    ///
    /// # Errors
    ///
    /// When the store or the random source failed.
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
    /// assert_eq!(session.get::<Vec<&str>>("cart")?.unwrap(), ["tea"]);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("generate", "cycle_id", "RenewToken"))]
    pub fn regenerate(&mut self) -> Result<()> {
        match self.insist()?.stage {
            Stage::Live(_) => self.draft.identity = NextId::New,
            Stage::Gone(Ending::Here | Ending::Elsewhere) => self.begin()?,
            Stage::Gone(Ending::Superseded) | Stage::New | Stage::Without(_) => {}
        }
        self.regenerated = true;
        Ok(())
    }

    /// The id that the client is to have: the session's, or the one that a timed renewal gives it.
    #[cfg(feature = "http")]
    pub(crate) fn announced_id(&self) -> Result<SessionId> {
        Ok(match self.how_presented() {
            Presented::Renewing(new) => new,
            Presented::Current | Presented::Previous => self.id()?,
        })
    }

    /// How the id stands that opened the session.
    pub(crate) fn how_presented(&self) -> Presented {
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) => live.presented,
            _ => Presented::Current,
        }
    }

    /// Returns true if the next commit gives the session a new id.
    pub(crate) fn replaces_id(&self) -> bool {
        let sent = self.sent.as_ref().map(|sent| sent.commit.identity);
        self.draft.identity == NextId::New || matches!(sent, Some(Identity::Replace(_)))
    }

    /// Has a timed renewal begin with the next commit.
    pub(crate) fn renew_on_time(&mut self) {
        if self.draft.identity == NextId::Same {
            self.draft.identity = NextId::Renewal;
        }
    }

    /// Whether the policy wants a timed renewal to begin now.
    pub(crate) fn renewal_due(&self) -> bool {
        self.how_presented() == Presented::Current
            && !self.replaces_id()
            && self.id_age().is_some_and(|age| self.context.lease().renewal_due(age))
    }

    /// How long the session has had its id; `None` if its ids are not renewed.
    pub(super) fn id_age(&self) -> Option<Duration> {
        if !self.context.policy.renews() {
            return None;
        }
        match self.state.get() {
            Some(State { stage: Stage::Live(live), .. }) if live.record().is_owned() => {
                Some(id_age(live.record(), self.context.now()))
            }
            _ => None,
        }
    }
}
