//! The policy: how long sessions live, and how many a user may have. Pure arithmetic; the time is
//! an argument.

mod check;

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::error::Error;
use crate::store::{AtLimit, Lease, Limit};
use crate::units::{Input, Setting, choice, getters, or_none};

/// How long sessions live, and how often a visit prolongs them. The store enforces these limits,
/// whatever the expiry of a cookie says.
///
/// | option | what it is | default |
/// |---|---|---|
/// | [`timeout`](Self::timeout) | idle timeout: time from the last visit to the end | 1 hour |
/// | [`lifetime`](Self::lifetime) | absolute: time from the creation or the login to the end | 24 hours |
/// | [`remember`](Self::remember) | timeout and lifetime of sessions whose user ticked "remember me" | none |
/// | [`touch_after`](Self::touch_after) | time between two visits that prolong a session | 60 seconds |
/// | [`renew_after`](Self::renew_after) | age at which an id is renewed | never |
/// | [`grace`](Self::grace) | time in which requests with the old id count as in flight | 60 seconds |
/// | [`max_per_owner`](Self::max_per_owner) | maximum number of sessions of one owner | none |
/// | [`at_limit`](Self::at_limit) | effect of a login beyond that number | ends the oldest |
/// | [`store_down`](Self::store_down) | what a request does if the store fails | it fails too |
///
/// A duration is a [`Duration`], a text such as `"15m"`, or a number of milliseconds. serde reads
/// the same options from `{"timeout": "1h", "lifetime": "24h", "touch_after": "60s", "renew_after":
/// "15m", "grace": "60s"}`; there a `lifetime` or `renew_after` of 0 or null means none. OWASP ASVS
/// 5.0, 7.3.1 and 7.3.2 ask for an idle timeout and an absolute lifetime.
///
/// The getters, such as `get_timeout`, return the default of an option whose text is wrong.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::{LembroStore, Policy, Sessions};
///
/// let policy = Policy::new().timeout("15m").lifetime("12h");
/// let sessions = Sessions::with_policy(LembroStore::new()?, policy)?;
/// assert_eq!(sessions.policy().get_timeout(), Duration::from_secs(15 * 60));
///
/// let same: Policy = serde_json::from_str(r#"{"timeout": "15m", "lifetime": "12h"}"#).unwrap();
/// assert_eq!(sessions.policy(), &same);
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Options")]
#[must_use]
pub struct Policy(Options);

/// The options as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    timeout: Input<Duration>,
    #[serde(deserialize_with = "or_none")]
    lifetime: Input<Option<Duration>>,
    remember: Option<Remember>,
    touch_after: Input<Duration>,
    #[serde(deserialize_with = "or_none")]
    renew_after: Input<Option<Duration>>,
    grace: Input<Duration>,
    max_per_owner: Input<Option<usize>>,
    at_limit: AtLimit,
    store_down: StoreDown,
}

/// The limits of remembered sessions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remember {
    #[serde(deserialize_with = "required")]
    timeout: Input<Duration>,
    #[serde(default, deserialize_with = "or_none")]
    lifetime: Input<Option<Duration>>,
}

fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Input<Duration>, D::Error> {
    Setting::deserialize(deserializer).map(Input::from)
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The behaviour of a request if the store fails at its first look at the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreDown {
    /// The request gets the error, and by default the cookie layer answers it with a 503. No user
    /// is served as another one or as logged out.
    #[default]
    FailClosed,
    /// The request goes on without a session: it finds no data, and its changes are discarded. No
    /// cookie is set, so a client that had a session has it again when the store is back.
    Anonymous,
}

choice!(StoreDown, "store_down", ["fail_closed" => FailClosed, "anonymous" => Anonymous]);

impl Policy {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The idle timeout: a session ends this long after its last visit, counted from the visit's
    /// first look. Default: 1 hour.
    ///
    /// Choose it by the risk of a browser that is left open: minutes for a bank, days for a forum.
    /// A session can have [a timeout of its own](crate::Session::set_timeout).
    pub fn timeout(mut self, timeout: impl Into<Setting>) -> Self {
        self.0.timeout = timeout.into().into();
        self
    }

    /// The absolute lifetime: a session ends this long after its creation, and no visit, commit or
    /// new id prolongs it. It begins again at a [login](crate::Session::log_in). `None`: only the
    /// idle timeout counts. Default: 24 hours.
    ///
    /// It limits how long a stolen cookie can be used. It must be at least the
    /// [`timeout`](Self::timeout), because otherwise no session would reach its timeout. It is
    /// counted on the calendar, so setting the machine's clock moves its end.
    pub fn lifetime(mut self, lifetime: impl Into<Setting>) -> Self {
        self.0.lifetime = lifetime.into().into();
        self
    }

    /// The idle timeout and the lifetime of [remembered](crate::Session::remember) sessions, in
    /// place of [`timeout`](Self::timeout) and [`lifetime`](Self::lifetime). Default: none, and
    /// then `remember(true)` is an error.
    ///
    /// The timeout must be at least that of other sessions, and the lifetime at least this timeout.
    /// serde reads them from `"remember": {"timeout": "14d", "lifetime": "90d"}`.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::Policy;
    ///
    /// let policy = Policy::new().remember("14d", "90d");
    /// let same: Policy = serde_json::from_str(r#"{"remember": {"timeout": "14d", "lifetime": "90d"}}"#).unwrap();
    /// assert_eq!(same, policy);
    /// ```
    #[doc(alias = "remember_me")]
    pub fn remember(mut self, timeout: impl Into<Setting>, lifetime: impl Into<Setting>) -> Self {
        self.0.remember = Some(Remember { timeout: timeout.into().into(), lifetime: lifetime.into().into() });
        self
    }

    /// After a visit that prolonged the session, further visits do not prolong it for this long.
    /// Zero: every visit does. If `touch_after` is more than half of a session's timeout, half of
    /// the timeout applies, so that a session in use does not end. Default: 60 seconds.
    ///
    /// It saves writes. A session may end earlier than its timeout says, by at most this time, and
    /// never later.
    pub fn touch_after(mut self, touch_after: impl Into<Setting>) -> Self {
        self.0.touch_after = touch_after.into().into();
        self
    }

    /// Timed renewal: the cookie layer gives a session a new id when it has had its id for this
    /// long. `None`: ids change only at [`log_in`](crate::Session::log_in) and
    /// [`regenerate`](crate::Session::regenerate). Default: none.
    ///
    /// It limits how long a thief can use a stolen id while its user does, too. It also reveals the
    /// theft: after the grace, a request that still presents the old id raises
    /// [`SupersededId`](crate::Event::SupersededId) (the "renewal timeout" of the OWASP Session
    /// Management Cheat Sheet). Use minutes rather than seconds, because each renewal adds up
    /// to three writes. A renewal never begins sooner than one [`grace`](Self::grace) after the
    /// last new id. Sessions without an owner are not renewed.
    ///
    /// A renewal is pending until the client presents the new id. Until then both ids open the
    /// session, and each response to the old id announces the same new id, so a lost response
    /// costs nothing. The old id ends one `grace` after the first request with the new id, and at
    /// the latest when the longer of `renew_after` and `grace` has passed since the new id was
    /// announced the second time. If a thief polls with the old id while its user is away, the
    /// thief has the session until then.
    ///
    /// A timed renewal does not end a `Session` that lives long, such as a WebSocket's, so it does
    /// not close a socket that a thief has opened. A login, `regenerate` or logout does.
    pub fn renew_after(mut self, age: impl Into<Setting>) -> Self {
        self.0.renew_after = age.into().into();
        self
    }

    /// The grace of an old id: the time in which requests with it count as requests in flight.
    /// Default: 60 seconds.
    ///
    /// After a timed renewal, the old id still opens the session for one grace, counted from the
    /// first request with the new id. After a login or `regenerate`, the old id is superseded and
    /// opens nothing. For one grace its requests store nothing and get no cookie, because the new
    /// id is on its way. After the grace, a superseded id is treated as unknown: a new session may
    /// begin. Presenting it raises [`SupersededId`](crate::Event::SupersededId).
    ///
    /// Choose a longer grace for clients on slow networks, a shorter one if a stolen id must end
    /// sooner.
    pub fn grace(mut self, grace: impl Into<Setting>) -> Self {
        self.0.grace = grace.into().into();
        self
    }

    /// The maximum number of sessions that an owner may have at once; `None`: any number. Default:
    /// any number.
    ///
    /// They are counted at a [login](crate::Session::log_in) (OWASP ASVS 5.0, 7.1.2). The store
    /// must have [operations on owners](crate::Owners).
    pub fn max_per_owner(mut self, max: impl Into<Option<usize>>) -> Self {
        self.0.max_per_owner = Input::new(max.into());
        self
    }

    /// The effect of a login beyond [`max_per_owner`](Self::max_per_owner). Default:
    /// [`AtLimit::EndOldest`].
    ///
    /// Use `RefuseNewest` if a login with a stolen password must not end its user's session. A user
    /// who forgot to log out elsewhere then cannot log in until an old session ends.
    pub const fn at_limit(mut self, at_limit: AtLimit) -> Self {
        self.0.at_limit = at_limit;
        self
    }

    /// The behaviour of a request if the store fails. Default: [`StoreDown::FailClosed`].
    ///
    /// [`StoreDown::Anonymous`] is for pages that are useful without a known user. With it, these
    /// still fail: [`log_in`](crate::Session::log_in) and
    /// [`regenerate`](crate::Session::regenerate), so that no user seems to log in;
    /// [`log_out`](crate::Session::log_out) and [`destroy_others`](crate::Session::destroy_others),
    /// so that no user seems to log out; and the save of a session that was found. A new session's
    /// save is skipped.
    pub const fn store_down(mut self, what: StoreDown) -> Self {
        self.0.store_down = what;
        self
    }

    getters! { policy:
        get_timeout timeout -> Duration { policy.0.timeout.or(HOUR) }
        get_lifetime lifetime -> Option<Duration> { policy.0.lifetime.or(Some(DAY)) }
        get_remember remember -> Option<(Duration, Option<Duration>)> {
            policy.0.remember.as_ref().map(|limits| (limits.timeout.or(HOUR), limits.lifetime.or(None)))
        }
        get_touch_after touch_after -> Duration { policy.0.touch_after.or(MINUTE) }
        get_renew_after renew_after -> Option<Duration> { policy.0.renew_after.or(None) }
        get_grace grace -> Duration { policy.0.grace.or(MINUTE) }
        get_max_per_owner max_per_owner -> Option<usize> { policy.0.max_per_owner.or(None) }
        get_at_limit at_limit -> AtLimit { policy.0.at_limit }
        get_store_down store_down -> StoreDown { policy.0.store_down }
    }

    /// Returns true if requests go on without a session when the store fails.
    pub(crate) fn goes_on_without(&self) -> bool {
        self.0.store_down == StoreDown::Anonymous
    }

    /// The limit on an owner's sessions.
    pub(crate) fn limit(&self) -> Option<Limit> {
        self.get_max_per_owner().map(|max| Limit { max, at_limit: self.0.at_limit })
    }

    /// The rules that a session's time is computed from.
    pub(crate) fn lease(&self) -> Lease {
        Lease {
            lifetime: self.get_lifetime(),
            remembered: self.get_remember(),
            touch_after: self.get_touch_after(),
            renew_after: self.get_renew_after(),
            grace: self.get_grace(),
            ..Lease::new(self.get_timeout())
        }
    }

    /// The longest time that a session without a timeout of its own can have left.
    #[cfg(feature = "web")]
    pub(crate) fn longest(&self) -> Duration {
        self.get_lifetime().map_or(self.get_timeout(), |lifetime| lifetime.min(self.get_timeout()))
    }

    /// The same for remembered sessions, if the policy has limits for them.
    #[cfg(feature = "web")]
    pub(crate) fn longest_remembered(&self) -> Option<Duration> {
        self.get_remember().map(|(timeout, lifetime)| lifetime.map_or(timeout, |lifetime| lifetime.min(timeout)))
    }

    /// Returns true if a response may announce an id of this age again. Within one grace before the
    /// id's renewal it may not, because a response that arrives after the one with the new id would
    /// bring the old id back. At most a quarter of `full`, the time of a visited session, counts.
    pub(crate) fn may_repeat(&self, age: Duration, full: Duration) -> bool {
        let apart = self.get_grace().min(full / 4);
        !self.lease().renewal_due(age.saturating_add(apart))
    }
}

impl TryFrom<Options> for Policy {
    type Error = Error;

    fn try_from(options: Options) -> Result<Self, Error> {
        let policy = Self(options);
        policy.check()?;
        Ok(policy)
    }
}
