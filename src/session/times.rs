//! The times of a session: its idle timeout, "remember me", its beginning and its end.

use std::time::{Duration, SystemTime};

use super::Session;
use super::state::Stage;
use crate::error::{Error, Result};
use crate::record::Record;
use crate::units::{Input, Setting};

impl Session {
    /// The idle timeout: the session's own if it has one, else the policy's.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn timeout(&self) -> Result<Duration> {
        let own = match self.draft.changes.timeout() {
            Some(changed) => changed,
            None => self.stored_record()?.and_then(Record::timeout),
        };
        Ok(own.unwrap_or(self.limits()?.0))
    }

    /// Gives the session an idle timeout of its own, to the millisecond, from the next save on. It
    /// is a [`Duration`], a text such as `"8h"`, or a number of milliseconds; `None` removes it.
    /// The policy's [lifetime](crate::Policy::lifetime) still applies. For "remember me", call
    /// [`remember`](Self::remember).
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] if the timeout is no duration, is below a millisecond, or is longer
    /// than the session's lifetime. Also if the first look fails. To end a session, call
    /// [`log_out`](Self::log_out).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// # use lembro::{LembroStore, Sessions};
    /// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
    /// assert_eq!(session.timeout()?, Duration::from_secs(60 * 60));
    /// session.set_timeout("8h")?;
    /// assert_eq!(session.timeout()?, Duration::from_secs(8 * 60 * 60));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn set_timeout(&mut self, timeout: impl Into<Setting>) -> Result<()> {
        let timeout = Input::<Option<Duration>>::from(timeout.into()).check("timeout", None)?;
        let lifetime = self.limits()?.1;
        if timeout.is_some_and(|timeout| timeout < Duration::from_millis(1)) {
            return Err(Error::option("timeout", "a session's own timeout is at least a millisecond"));
        }
        if let (Some(timeout), Some(lifetime)) = (timeout, lifetime)
            && timeout > lifetime
        {
            let problem =
                format!("{timeout:?} is beyond the lifetime of {lifetime:?}, which would end the session before");
            return Err(Error::option("timeout", problem));
        }
        self.draft.changes.set_timeout(timeout);
        Ok(())
    }

    /// The policy's idle timeout and lifetime for this session.
    fn limits(&self) -> Result<(Duration, Option<Duration>)> {
        let (policy, is_remembered) = (&self.context.policy, self.is_remembered()?);
        let remembered = policy.get_remember().filter(|_| is_remembered);
        Ok(remembered.unwrap_or((policy.get_timeout(), policy.get_lifetime())))
    }

    /// Returns true if the session is [remembered](Self::remember).
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn is_remembered(&self) -> Result<bool> {
        let stored = self.stored_record()?;
        Ok(self.draft.changes.remembered().unwrap_or_else(|| stored.is_some_and(Record::is_remembered)))
    }

    /// "Remember me": with `true`, the policy's limits for [remembered](crate::Policy::remember)
    /// sessions apply from the next save on, and the browser keeps the cookie when it is closed.
    /// Call it together with [`log_in`](Self::log_in), with the value of the form's checkbox.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] if `remembered` is true and the policy has no limits for remembered
    /// sessions; or if the first look fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lembro::{LembroStore, Policy, Sessions};
    ///
    /// let policy = Policy::new().remember("14d", "90d");
    /// let mut session = Sessions::with_policy(LembroStore::new()?, policy)?.generate()?;
    /// session.log_in("user-42")?;
    /// session.remember(true)?;
    /// session.save()?;
    /// assert_eq!(session.timeout()?, Duration::from_secs(14 * 24 * 60 * 60));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias = "remember_me")]
    pub fn remember(&mut self, remembered: bool) -> Result<()> {
        self.state()?;
        if remembered && self.context.policy.get_remember().is_none() {
            let problem = "the policy has no limits for remembered sessions; set them with Policy::remember";
            return Err(Error::option("remember", problem));
        }
        self.draft.changes.remember(remembered);
        Ok(())
    }

    /// When the session was created; `None` if it is not stored.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn created_at(&self) -> Result<Option<SystemTime>> {
        Ok(self.stored_record()?.and_then(Record::created_at))
    }

    /// When the owner logged in; `None` for an anonymous session. A page can ask for the password
    /// again if the login is not recent (OWASP ASVS 5.0, 7.5).
    ///
    /// # Errors
    ///
    /// If the first look fails.
    #[doc(alias = "authenticated_at")]
    pub fn logged_in_at(&self) -> Result<Option<SystemTime>> {
        if self.draft.login.is_some() {
            return Ok(Some(self.context.clock.wall()));
        }
        Ok(self.stored_record()?.and_then(Record::owner_since))
    }

    /// When the session ends if it is not used again; `None` if it is not stored or has ended.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    #[doc(alias = "expiration")]
    pub fn expires_at(&self) -> Result<Option<SystemTime>> {
        let Stage::Live(live) = &self.state()?.stage else { return Ok(None) };
        // If the policy has become stricter since the session was stored, it applies at once.
        let left =
            self.remaining(live).min(self.context.lease.ttl(live.record(&self.context.lease), self.context.now()));
        Ok(self.context.clock.wall().checked_add(left))
    }
}
