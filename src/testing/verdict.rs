//! Verdicts of rules, and the time that passes for the store under test.

use std::error::Error as _;
use std::fmt::{Debug, Display};
use std::time::Duration;

use crate::clock::{Clock, ManualClock};
use crate::error::{Error, Result};

/// The finding of a rule about a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The store keeps the rule.
    Kept,
    /// The rule could not be checked, with the reason: the store lacks an optional method, or it
    /// does not go by a manual clock.
    Skipped(String),
    /// The store breaks the rule, with a sentence that says what was expected and what was found.
    Broken(String),
}

/// The result of a step. The error is the verdict of a rule that ends early: broken or skipped.
pub(super) type Checked<T = ()> = Result<T, Verdict>;

impl Verdict {
    /// Adds the place where the rule was broken.
    pub(super) fn at(self, place: impl Display) -> Self {
        match self {
            Self::Broken(problem) => Self::Broken(format!("{place}: {problem}")),
            other => other,
        }
    }
}

impl From<Error> for Verdict {
    fn from(error: Error) -> Self {
        let source = error.source().map(|source| format!(" ({source})")).unwrap_or_default();
        Self::Broken(format!("expected no error, found {:?}{source}", error.to_string()))
    }
}

/// Returns [`Verdict::Broken`]. `problem` says what was expected and what was found.
pub(super) fn broken<T>(problem: impl Into<String>) -> Checked<T> {
    Err(Verdict::Broken(problem.into()))
}

/// Returns [`Verdict::Broken`] unless two values are equal. `what` names the first.
#[expect(clippy::needless_pass_by_value, reason = "most values are made for the comparison")]
pub(super) fn same<T: PartialEq<U> + Debug, U: Debug>(what: &str, found: T, expected: U) -> Checked {
    if found == expected {
        return Ok(());
    }
    broken(format!("{what}: expected {expected:?}, found {found:?}"))
}

/// The answer of an optional method. Skips the rule if the store does not have the method.
pub(super) fn optional<T>(found: Result<T>) -> Checked<T> {
    match found {
        Err(error) if error.is_unsupported() => Err(Verdict::Skipped(error.to_string())),
        found => Ok(found?),
    }
}

/// How time passes for the store under test. From a [`ManualClock`]: the rules advance the clock.
/// From a [`Duration`]: the rules wait in real time, in units of that duration.
///
/// A real unit must be longer than the resolution of the store's clock, and longer than half of the
/// time that a call takes. For a database on the same machine, use 50 ms. With a manual clock, a
/// unit is a minute.
#[derive(Clone, Debug)]
pub struct Time {
    /// `None` if time is real.
    pub(super) manual: Option<ManualClock>,
    /// The unit in which rules wait.
    pub(super) unit: Duration,
}

impl Time {
    pub(super) fn clock(&self) -> Clock {
        self.manual.as_ref().map_or_else(Clock::system, Clock::from)
    }

    /// The clock of a process that starts now.
    pub(super) fn restarted(&self) -> Clock {
        self.manual.as_ref().map_or_else(Clock::system, ManualClock::restarted)
    }
}

impl From<&ManualClock> for Time {
    fn from(clock: &ManualClock) -> Self {
        Self { manual: Some(clock.clone()), unit: Duration::from_secs(60) }
    }
}

impl From<Duration> for Time {
    fn from(unit: Duration) -> Self {
        Self { manual: None, unit }
    }
}
