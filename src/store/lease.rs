//! The lease: the rules that a session's time is computed from, as pure functions of the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;
use crate::record::{MAX_MILLIS, Record, Times};

/// The longest timeout, in nanoseconds: a century, which every store's deadlines can represent.
const FOREVER: u64 = 100 * 365 * 24 * 60 * 60 * 1_000_000_000;

/// The rules that a session's time is computed from, at every look and every commit.
///
/// A [`Policy`](crate::Policy) has a lease for its sessions. Code that uses a
/// [`Store`](crate::Store) without `Sessions` makes a lease of its own.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::{Clock, Lease, Now, Record};
///
/// let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
/// let lease = Lease { lifetime: Some(minute), ..Lease::new(hour) };
/// let now = Now::of(&Clock::system());
/// // The lifetime of a record begins when a store first stores it.
/// assert_eq!(lease.ttl(&Record::new(), now), hour);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The idle timeout of a session that has none of its own.
    pub idle: Duration,
    /// The longest life of a session, counted from its creation or its owner's login; `None`: no
    /// limit.
    pub lifetime: Option<Duration>,
    /// The idle timeout and the lifetime of a [remembered](crate::Changes::remember) session, in
    /// place of the two above.
    pub remembered: Option<(Duration, Option<Duration>)>,
    /// The shortest time between two visits that prolong a session. If half of the session's
    /// [`ttl`](Self::ttl) is shorter, that half applies instead.
    pub touch_after: Duration,
    /// The age of an id at which its timed renewal is due, at least the grace; `None`: never.
    pub renew_after: Option<Duration>,
    /// How long a request with an old id counts as a request in flight. The old id of a timed
    /// renewal opens the session for that time; the superseded id of a login or `regenerate` opens
    /// nothing.
    pub grace: Duration,
}

impl Lease {
    /// No limits, for reading a session whose policy is not known.
    pub const UNLIMITED: Self = Self::new(Duration::MAX);

    /// Returns a lease with this idle timeout and no lifetime. Every visit prolongs a session, ids
    /// are not renewed, and the grace is a minute.
    pub const fn new(idle: Duration) -> Self {
        Self {
            idle,
            lifetime: None,
            remembered: None,
            touch_after: Duration::ZERO,
            renew_after: None,
            grace: Duration::from_secs(60),
        }
    }

    /// The time that a session has if it is touched or committed now: its own timeout or the idle
    /// timeout, at most the rest of its lifetime. Zero: its lifetime is over.
    pub fn ttl(&self, record: &Record, now: Now) -> Duration {
        Duration::from_nanos(self.ttl_nanos(record.times(), now))
    }

    /// Returns true if a session's time depends on the calendar under this lease.
    pub(crate) fn needs_calendar(&self) -> bool {
        self.lifetime.is_some() || self.remembered.is_some()
    }

    /// [`ttl`](Self::ttl) in nanoseconds, because every look computes it.
    #[inline]
    pub(crate) fn ttl_nanos(&self, times: Times, now: Now) -> u64 {
        let (idle, lifetime) = match self.remembered {
            Some(remembered) if times.remembered => remembered,
            _ => (self.idle, self.lifetime),
        };
        let idle = times.timeout_ms.map_or(nanos(idle), of_millis).min(FOREVER);
        match lifetime {
            // If the calendar was set back, a beginning in the future counts as now.
            Some(lifetime) if times.began_ms > 0 => {
                let age = of_millis(now.calendar_ms.saturating_sub(times.began_ms));
                idle.min(nanos(lifetime).saturating_sub(age))
            }
            _ => idle,
        }
    }

    /// Returns true if a visit prolongs a session from the time `left` to the time `full`, both in
    /// nanoseconds.
    ///
    /// A session with a short timeout is prolonged when half of it has passed; otherwise the
    /// session would end while in use. If more than `full` is left, because the policy became
    /// stricter or the calendar was set, the visit shortens the time.
    #[inline]
    pub(crate) fn touch_due(&self, full: u64, left: u64) -> bool {
        full != left && full.abs_diff(left) >= nanos(self.touch_after).min(full / 2)
    }

    /// Returns true if the renewal of an id of this age is due. A renewal is due after a grace at
    /// the earliest, because a row has room for only one second secret.
    pub(crate) fn renewal_due(&self, age: Duration) -> bool {
        self.renew_after.is_some_and(|after| age >= after.max(self.grace))
    }
}

/// One instant, on the clock of a store's deadlines and on the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds on the clock of the deadlines.
    pub(crate) clock: u64,
    /// Milliseconds since 1970.
    pub(crate) calendar_ms: u64,
}

impl Now {
    /// Now, for a store whose rows do not outlive the process. Deadlines are on [`Clock::now`],
    /// which never jumps.
    pub fn of(clock: &Clock) -> Self {
        Self { clock: clock.nanos(), calendar_ms: since_ms(clock.calendar_nanos()) }
    }

    /// Now, for a store whose rows outlive the process. Deadlines are on the calendar,
    /// because [`Clock::now`] begins at zero in each process and would revive expired sessions.
    pub fn on_calendar(clock: &Clock) -> Self {
        let since = clock.calendar_nanos();
        Self { clock: since, calendar_ms: since_ms(since) }
    }

    /// This instant on the calendar, to the millisecond.
    pub fn calendar(&self) -> SystemTime {
        crate::record::calendar_time(self.calendar_ms).unwrap_or(UNIX_EPOCH)
    }

    /// The deadline of a session that lives this long from now. It saturates to "never". If the
    /// span is zero, the session is expired even for a reader that read the clock earlier.
    pub(crate) fn after(&self, span: Duration) -> u64 {
        self.after_nanos(nanos(span))
    }

    #[inline]
    pub(crate) fn after_nanos(&self, span: u64) -> u64 {
        if span == 0 { 0 } else { self.clock.saturating_add(span) }
    }

    /// The time left until a deadline.
    pub(crate) fn until(&self, deadline: u64) -> Duration {
        Duration::from_nanos(deadline.saturating_sub(self.clock))
    }
}

/// Milliseconds since 1970, at least 1, because 0 means that no store has stored the record.
#[inline]
fn since_ms(nanos: u64) -> u64 {
    (nanos / 1_000_000).clamp(1, MAX_MILLIS)
}

#[inline]
fn of_millis(millis: u64) -> u64 {
    millis.saturating_mul(1_000_000)
}

/// Nanoseconds of a time span, saturating.
#[inline]
pub(crate) fn nanos(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos().into())
}
