//! The policy: how long sessions live. Pure arithmetic; the time is always an argument.

use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::store::{AtLimit, Lease, Limit};
use crate::units::Setting;

/// How long sessions live, and how often a visit is noted. Decided on the server; a cookie's expiry
/// decides nothing.
///
/// | option | what it is | default |
/// |---|---|---|
/// | [`timeout`](Self::timeout) | idle: ends after so long without a visit | 1 hour |
/// | [`lifetime`](Self::lifetime) | absolute: ends so long after its creation or login, however busy | 24 hours |
/// | [`touch_after`](Self::touch_after) | visits closer together than this are noted once | 60 seconds |
/// | [`renew_after`](Self::renew_after) | an id in use gets a successor after so long | never |
/// | [`grace`](Self::grace) | for how long the id before that still works | 60 seconds |
/// | [`max_per_owner`](Self::max_per_owner) | how often one owner may be logged in | any number |
/// | [`at_limit`](Self::at_limit) | what happens then | the oldest is ended |
/// | [`store_down`](Self::store_down) | what a request does when the store fails | it fails too |
///
/// Read by serde from `{"timeout": "1h", "lifetime": "24h", "touch_after": "60s", "renew_after":
/// "15m", "grace": "60s"}`; a number is milliseconds, a `lifetime` or `renew_after` of 0 or null is
/// none. OWASP ASVS 5.0, 7.3.1 and 7.3.2 ask for both kinds of limit.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::{LembroStore, Policy, Sessions};
///
/// let policy = Policy::new().timeout(Duration::from_secs(15 * 60)).lifetime(Duration::from_secs(12 * 3600));
/// let sessions = Sessions::with_policy(LembroStore::new()?, policy)?;
/// assert_eq!(sessions.policy(), &policy);
///
/// let same: Policy = serde_json::from_str(r#"{"timeout": "15m", "lifetime": "12h"}"#).unwrap();
/// assert_eq!(same, policy);
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPolicy")]
#[must_use]
pub struct Policy {
    timeout: Duration,
    lifetime: Option<Duration>,
    touch_after: Duration,
    renew_after: Option<Duration>,
    grace: Duration,
    max_per_owner: Option<usize>,
    at_limit: AtLimit,
    store_down: StoreDown,
}

/// What a request does when the store fails at its first look into the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreDown {
    /// It gets the error, and with the cookie layer's default its client a 503: no user is taken
    /// for another one, or for logged out.
    #[default]
    FailClosed,
    /// It goes on without a session: nothing is found, and what it puts in is gone with the
    /// request. No cookie is set, so a client that had a session has it again when the store is
    /// back.
    Anonymous,
}

impl Policy {
    /// The defaults: idle for an hour, 24 hours in all, a visit noted once a minute, ids kept.
    pub const fn new() -> Self {
        Self {
            timeout: Duration::from_secs(60 * 60),
            lifetime: Some(Duration::from_secs(24 * 60 * 60)),
            touch_after: Duration::from_secs(60),
            renew_after: None,
            grace: Duration::from_secs(60),
            max_per_owner: None,
            at_limit: AtLimit::EndOldest,
            store_down: StoreDown::FailClosed,
        }
    }

    /// The idle timeout: a session ends when it was not used for so long. A visit counts from its
    /// first look. Default: 1 hour.
    ///
    /// Change it for what a forgotten open browser can do: minutes for a bank, days for a forum. A
    /// session can have [one of its own](crate::Session::set_timeout).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The absolute lifetime: a session ends so long after its creation, and no visit, save or new
    /// id prolongs it. It begins again at a [login](crate::Session::log_in). `None`: only the idle
    /// timeout counts. Default: 24 hours.
    ///
    /// It bounds what a stolen cookie is worth. Counted on the wall clock, so it follows when the
    /// machine's clock is set.
    pub fn lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.lifetime = lifetime.into();
        self
    }

    /// How much time must have passed since the last note of a visit before the next visit is
    /// noted. Zero: every visit. Default: 60 seconds. Never more than half of a session's timeout,
    /// so that a session in use does not end.
    ///
    /// It saves writes: a session may end up to this much earlier than its timeout says, and never
    /// later.
    pub const fn touch_after(mut self, touch_after: Duration) -> Self {
        self.touch_after = touch_after;
        self
    }

    /// Timed renewal: the cookie layer gives a session a new id when it has had its id for so long.
    /// `None`: ids change at [`regenerate`](crate::Session::regenerate) only. Default: none.
    ///
    /// It bounds how long a stolen id can be used beside its owner, and shows the theft: after the
    /// grace, the one of the two that comes with the old id raises
    /// [`SupersededId`](crate::Event::SupersededId) (the "renewal timeout" of the OWASP Session
    /// Management Cheat Sheet). Minutes rather than seconds, because each renewal is two writes.
    /// Never sooner than the [`grace`](Self::grace). Sessions without an owner are not renewed.
    ///
    /// A renewal is pending until the client presents the new id. Until then both ids open the
    /// session, and each response to the old one announces the same new one, so a lost response
    /// costs nothing. The old id ends a `grace` after the new one was first presented, and at the
    /// latest `renew_after` after its second announcement. A thief who polls with a stolen id while
    /// its owner is away has it for that long.
    ///
    /// A handle that lives long, such as a WebSocket's, outlives renewals: it goes by the session that
    /// it has seen, not by the id. A login or `regenerate` in another request ends it. So a renewal
    /// does not close a socket that a thief has opened; a login and a logout do.
    pub fn renew_after(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.renew_after = age.into();
        self
    }

    /// For how long the id before a timed renewal still opens the session, so that requests under
    /// way can finish; and for how long requests with the id of before a login are taken for
    /// requests in flight, which store nothing and get no cookie. Default: 60 seconds.
    ///
    /// Longer for clients on slow networks; shorter if a stolen id must die sooner.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How many sessions an owner may have at once; `None`: any number. Default: any number.
    ///
    /// Counted at a [login](crate::Session::log_in) (OWASP ASVS 5.0, 7.1.2). Needs a store with
    /// [powers over owners](crate::Owners).
    pub fn max_per_owner(mut self, max: impl Into<Option<usize>>) -> Self {
        self.max_per_owner = max.into();
        self
    }

    /// What happens when an owner logs in once more than that. Default: [`AtLimit::EndOldest`].
    ///
    /// `RefuseNewest` where a stolen password must not push its user out; then a user who forgot to
    /// log out elsewhere has to wait.
    pub const fn at_limit(mut self, at_limit: AtLimit) -> Self {
        self.at_limit = at_limit;
        self
    }

    /// What a request does when the store fails. Default: [`StoreDown::FailClosed`].
    ///
    /// [`StoreDown::Anonymous`] for pages that are of use without knowing whose they are. What
    /// would be wrong without the store fails all the same: [`log_in`](crate::Session::log_in) and
    /// [`regenerate`](crate::Session::regenerate), so that no user seems to log in;
    /// [`destroy`](crate::Session::destroy), so that no user seems to log out; and the save of a
    /// session that was found. The save of a new one is skipped.
    pub const fn store_down(mut self, what: StoreDown) -> Self {
        self.store_down = what;
        self
    }

    /// Whether requests go on without a session when the store fails.
    pub(crate) fn goes_on_without(&self) -> bool {
        self.store_down == StoreDown::Anonymous
    }

    /// How many sessions an owner may have, and what happens beyond that.
    pub(crate) fn limit(&self) -> Option<Limit> {
        self.max_per_owner.map(|max| Limit { max, at_limit: self.at_limit })
    }

    /// The rules that a session's time is computed from.
    pub(crate) fn lease(&self) -> Lease {
        Lease {
            lifetime: self.lifetime,
            touch_after: self.touch_after,
            renew_after: self.renew_after,
            grace: self.grace,
            ..Lease::new(self.timeout)
        }
    }

    /// The idle timeout of a session that has none of its own.
    pub(crate) fn idle(&self) -> Duration {
        self.timeout
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        if self.timeout.is_zero() {
            return Err(Error::option("timeout", "0 would end every session at once"));
        }
        if self.lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return Err(Error::option("lifetime", "0 would end every session at once; None means no limit"));
        }
        if self.max_per_owner == Some(0) {
            return Err(Error::option("max_per_owner", "0 would let nobody log in; None means any number"));
        }
        if self.renew_after.is_some_and(|age| age.is_zero()) {
            return Err(Error::option("renew_after", "0 would change the id at every request; None means never"));
        }
        if self.renew_after.is_some() && self.grace.is_zero() {
            return Err(Error::option("grace", "0 would end the requests that are under way when an id is renewed"));
        }
        Ok(())
    }

    /// The longest that a session without a timeout of its own can have left.
    #[cfg(feature = "http")]
    pub(crate) fn longest(&self) -> Duration {
        self.lifetime.map_or(self.timeout, |lifetime| lifetime.min(self.timeout))
    }

    /// Whether ids are renewed when they reach some age.
    pub(crate) fn renews(&self) -> bool {
        self.renew_after.is_some()
    }

    /// Whether a client may be given an id of this age once more. Not within a grace of its
    /// renewal, before or after: of two responses on their way the client keeps the cookie of the
    /// one that arrives last, and that must not be the old id. `full`: the session's time; the
    /// cookie is not to end while we wait.
    pub(crate) fn may_repeat(&self, age: Duration, full: Duration) -> bool {
        let apart = self.grace.min(full / 4);
        self.renew_after.is_none() || age >= apart && !self.lease().renewal_due(age.saturating_add(apart))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

/// The policy as a configuration file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    timeout: Option<Setting>,
    #[serde(default = "default_lifetime")]
    lifetime: Option<Setting>,
    touch_after: Option<Setting>,
    renew_after: Option<Setting>,
    grace: Option<Setting>,
    max_per_owner: Option<Setting>,
    #[serde(default)]
    at_limit: AtLimit,
    #[serde(default)]
    store_down: StoreDown,
}

fn default_lifetime() -> Option<Setting> {
    Policy::new().lifetime.map(Setting::Span)
}

impl TryFrom<RawPolicy> for Policy {
    type Error = Error;

    fn try_from(raw: RawPolicy) -> Result<Self> {
        let mut policy = Self::new();
        if let Some(timeout) = raw.timeout {
            policy.timeout = timeout.duration("timeout")?;
        }
        let lifetime = raw.lifetime.map(|lifetime| lifetime.duration("lifetime")).transpose()?;
        policy.lifetime = lifetime.filter(|lifetime| !lifetime.is_zero());
        if let Some(touch_after) = raw.touch_after {
            policy.touch_after = touch_after.duration("touch_after")?;
        }
        let renew_after = raw.renew_after.map(|age| age.duration("renew_after")).transpose()?;
        policy.renew_after = renew_after.filter(|age| !age.is_zero());
        if let Some(grace) = raw.grace {
            policy.grace = grace.duration("grace")?;
        }
        policy.max_per_owner = match raw.max_per_owner {
            None => None,
            Some(max) => Some(usize::try_from(max.count("max_per_owner")?).unwrap_or(usize::MAX)),
        };
        policy.at_limit = raw.at_limit;
        policy.store_down = raw.store_down;
        policy.check()?;
        Ok(policy)
    }
}
