//! The clock of stores and sessions: the machine's, or a manual one for tests. No other file reads
//! the time.
//!
//! Deadlines need a clock that never jumps; cookies and creation times need the calendar. A
//! [`Clock`] has both. The monotonic side is the kernel's coarse clock if there is one. It advances
//! in steps of 1 to 10 ms (one timer tick, 4 ms on most kernels), and reading it costs a fraction
//! of `Instant::now`.
//!
//! The coarse clock does not count the time that the machine is suspended, and `CLOCK_BOOTTIME`,
//! which counts it, has no coarse form. So an atomic holds that time. Each purge of a store updates
//! the atomic, and each reading of the clock adds it.

use std::fmt;
// Not the atomic of `sync`, because the model checker's cannot be in a static.
use std::sync::atomic::AtomicU64 as StaticU64;
use std::time::{Duration, SystemTime};

pub(crate) use self::machine::fine_nanos;
use self::machine::{asleep, monotonic, since_1970};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

/// The time: monotonic for deadlines, the calendar for cookies and creation times.
///
/// Every store has a clock, and its sessions use the same one. The resolution of [`now`](Self::now)
/// is the kernel's timer tick on Linux and Android (1 to 10 ms), and that of `Instant` elsewhere.
///
/// On Linux and Android, the clock adds suspended time only when a
/// [`LembroStore`](crate::LembroStore) purges for the first time after the machine wakes up, by
/// default within a minute. Until then a session whose time ran out during the suspend can still be
/// opened. On other systems the suspended time counts if `Instant` counts it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::Clock;
///
/// let time = Clock::manual();
/// let clock = Clock::from(&time);
/// let before = clock.now();
/// time.advance(Duration::from_secs(60));
/// assert_eq!(clock.now() - before, Duration::from_secs(60));
/// ```
#[derive(Clone, Default)]
pub struct Clock {
    manual: Option<ManualView>,
}

/// A manual clock as one process sees it.
#[derive(Clone)]
struct ManualView {
    times: Arc<ManualTimes>,
    /// The value of `monotonic` when the process started.
    origin: u64,
}

/// The two times of a manual clock.
struct ManualTimes {
    /// Nanoseconds since the clock was made.
    monotonic: AtomicU64,
    wall: Mutex<SystemTime>,
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until a test advances it.
    pub fn manual() -> ManualClock {
        ManualClock {
            times: Arc::new(ManualTimes {
                // Not zero, so that a test can subtract from "now".
                monotonic: AtomicU64::new(1_000_000_000),
                // 2001-09-09T01:46:40Z: an arbitrary date that is always the same.
                wall: Mutex::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
            }),
        }
    }

    /// The time since a fixed but arbitrary moment. It never goes back. A deadline is `now() +
    /// ttl`.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }

    /// [`now`](Self::now) in nanoseconds.
    #[inline]
    pub(crate) fn nanos(&self) -> u64 {
        match &self.manual {
            None => monotonic().wrapping_add(ASLEEP.load(Ordering::Relaxed)),
            Some(ManualView { times, origin }) => times.monotonic.load(Ordering::SeqCst).saturating_sub(*origin),
        }
    }

    /// Makes the clock count the time that the machine was suspended since the first call.
    pub(crate) fn notice_suspend(&self) {
        if self.manual.is_none() {
            let asleep = asleep();
            // No deadline is older than the first call, so the sleep before it does not count.
            let before = *ASLEEP_BEFORE.get_or_init(|| asleep);
            ASLEEP.fetch_max(asleep.saturating_sub(before), Ordering::Relaxed);
        }
    }

    /// The calendar's time since 1970 in nanoseconds, as coarse as [`now`](Self::now), for the rows
    /// of stores.
    #[inline]
    pub(crate) fn calendar_nanos(&self) -> u64 {
        match &self.manual {
            None => since_1970(),
            Some(ManualView { times, .. }) => {
                whole_nanos(times.wall.lock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
            }
        }
    }

    /// The calendar's time, for display and for the absolute lifetime of a session. It jumps when
    /// the machine's clock is set.
    pub fn wall(&self) -> SystemTime {
        match &self.manual {
            None => SystemTime::now(),
            Some(ManualView { times, .. }) => *times.wall.lock(),
        }
    }
}

/// Equal clocks always show the same time.
impl PartialEq for Clock {
    fn eq(&self, other: &Self) -> bool {
        match (&self.manual, &other.manual) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(&one.times, &other.times) && one.origin == other.origin,
            _ => false,
        }
    }
}

impl Eq for Clock {}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.manual.is_some() { "Clock::manual" } else { "Clock::system" })
    }
}

/// A manual clock, for tests. `&ManualClock` converts into a [`Clock`].
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use lembro::Clock;
///
/// let time = Clock::manual();
/// let clock = Clock::from(&time);
/// let (now, wall) = (clock.now(), clock.wall());
///
/// time.advance(Duration::from_secs(90));
/// assert_eq!(clock.now() - now, Duration::from_secs(90));
/// assert_eq!(clock.wall(), wall + Duration::from_secs(90));
///
/// // The machine's calendar is set: deadlines do not move.
/// time.set_wall(SystemTime::UNIX_EPOCH);
/// assert_eq!(clock.now() - now, Duration::from_secs(90));
/// ```
#[derive(Clone)]
pub struct ManualClock {
    times: Arc<ManualTimes>,
}

impl ManualClock {
    /// Moves the monotonic time and the calendar forward by `time`.
    pub fn advance(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut wall = self.times.wall.lock();
        *wall = wall.checked_add(time).unwrap_or(*wall);
        // The calendar is still locked, so that no other thread's advance is lost.
        let monotonic = &self.times.monotonic;
        monotonic.store(monotonic.load(Ordering::SeqCst).saturating_add(nanos), Ordering::SeqCst);
    }

    /// Sets the calendar alone, as an administrator or NTP does.
    pub fn set_wall(&self, wall: SystemTime) {
        *self.times.wall.lock() = wall;
    }

    /// The clock of a process that starts now: the same calendar, and a [`Clock::now`] that begins
    /// at zero again. For tests of a store whose data outlives its process.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lembro::Clock;
    ///
    /// let time = Clock::manual();
    /// let (before, after) = (Clock::from(&time), time.restarted());
    /// assert_eq!(after.now(), Duration::ZERO);
    /// time.advance(Duration::from_secs(60));
    /// assert_eq!(after.now(), Duration::from_secs(60));
    /// assert_eq!(after.wall(), before.wall());
    /// ```
    pub fn restarted(&self) -> Clock {
        let origin = self.times.monotonic.load(Ordering::SeqCst);
        Clock { manual: Some(ManualView { times: Arc::clone(&self.times), origin }) }
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ManualClock")
    }
}

impl From<&ManualClock> for Clock {
    fn from(manual: &ManualClock) -> Self {
        Self { manual: Some(ManualView { times: Arc::clone(&manual.times), origin: 0 }) }
    }
}

/// The suspended time that the clock counts, in nanoseconds. It never decreases.
static ASLEEP: StaticU64 = StaticU64::new(0);

/// The time that the machine had been suspended at the first call, in nanoseconds.
static ASLEEP_BEFORE: std::sync::OnceLock<u64> = std::sync::OnceLock::new();

/// The clocks of Linux and Android. All are in nanoseconds.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod machine {
    use rustix::time::{ClockId, clock_gettime};

    /// The time that the machine was suspended since it started.
    pub(super) fn asleep() -> u64 {
        // In this order, a pause between the two readings makes the result too small, not too
        // large.
        let counting_sleep = read(ClockId::Boottime);
        let asleep = counting_sleep.saturating_sub(read(ClockId::Monotonic));
        #[cfg(test)]
        let asleep = asleep + super::tests::PRETENDED.load(std::sync::atomic::Ordering::SeqCst);
        asleep
    }

    /// The time since the machine started, coarse.
    #[inline]
    pub(super) fn monotonic() -> u64 {
        read(ClockId::MonotonicCoarse)
    }

    /// The calendar's time since 1970, coarse.
    #[inline]
    pub(super) fn since_1970() -> u64 {
        read(ClockId::RealtimeCoarse)
    }

    /// A fine clock, to tell two instants apart, never for deadlines.
    #[inline]
    pub(crate) fn fine_nanos() -> u64 {
        read(ClockId::Monotonic)
    }

    #[inline]
    fn read(clock: ClockId) -> u64 {
        let time = clock_gettime(clock);
        // A calendar before 1970 counts as 1970. Nanoseconds are below a second.
        let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    }
}

/// The clocks of other systems. All are in nanoseconds.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod machine {
    use std::sync::OnceLock;
    use std::time::{Instant, SystemTime};

    /// Always zero, because these systems do not tell it.
    pub(super) fn asleep() -> u64 {
        0
    }

    pub(super) fn monotonic() -> u64 {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        super::whole_nanos(ORIGIN.get_or_init(Instant::now).elapsed())
    }

    pub(super) fn since_1970() -> u64 {
        super::whole_nanos(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }

    pub(crate) fn fine_nanos() -> u64 {
        since_1970()
    }
}

fn whole_nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Starts a measurement. The returned function tells the time since then, for statistics and never
/// for deadlines.
pub(crate) fn stopwatch() -> impl Fn() -> Duration {
    let start = std::time::Instant::now();
    move || start.elapsed()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The time of pretended suspends, in nanoseconds.
    pub(super) static PRETENDED: StaticU64 = StaticU64::new(0);

    /// These tests run one after the other, because they change the clock of the whole process.
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

    pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
        ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Pretends that the machine was suspended. The time is a few seconds at most, so that no other
    /// test notices it.
    pub(crate) fn pretend_suspend(time: Duration) {
        PRETENDED.fetch_add(whole_nanos(time), Ordering::SeqCst);
    }

    // A machine cannot be suspended in a test.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn time_asleep_counts_once_it_is_noticed_and_only_once() {
        let (_alone, clock) = (alone(), Clock::system());
        let since = |before: Duration| clock.now().saturating_sub(before);
        clock.notice_suspend();
        let before = clock.now();
        clock.notice_suspend();
        assert!(since(before) < Duration::from_secs(2), "what was slept before does not count");
        pretend_suspend(Duration::from_secs(3));
        clock.notice_suspend();
        assert!(since(before) >= Duration::from_secs(3));
        let after = clock.now();
        clock.notice_suspend();
        assert!(since(after) < Duration::from_secs(2));
        let manual = Clock::from(&Clock::manual());
        let shown = manual.now();
        manual.notice_suspend();
        assert_eq!(manual.now(), shown);
    }
}
