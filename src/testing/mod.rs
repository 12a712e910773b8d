//! The contract of [`Store`] as code: one line runs every rule of it against a store of your own.
//! With it come, for the tests of an application, [`FaultStore`], which fails on purpose, and
//! `Browser`, which keeps cookies and needs no socket.
//!
//! ```text
//! mod          what users call, and what they get back
//!   fixture    the store under test beside the plain store, and how time passes
//!   request    what requests send
//!   script     rules in words: contract.txt
//!   special    rules that need more than words
//!   racing     rules of threads
//!   history    random histories
//! handles      a store that is reopened, and two on the same data
//! fault        the store that fails on purpose
//! plain        the store that is nothing but the rule
//! wrapper      what the stores that wrap another one have in common
//! browser      a browser without a network (feature `web` too)
//! ```
//!
//! Feature `testing`. It belongs under `[dev-dependencies]`.
//!
//! # Examples
//!
//! A store with a clock that is turned by hand is tested in milliseconds, and to the millisecond:
//!
//! ```
//! use lembro::{Clock, LembroOptions, LembroStore, testing};
//!
//! let time = Clock::manual();
//! let store = || LembroStore::with_options(LembroOptions::new().clock(&time)).unwrap();
//! testing::contract(&time, store);
//! ```
//!
//! A store whose time passes by itself (a server elsewhere) is given a unit to wait in. Rules about
//! the exact instant of a deadline are skipped; the others wait a few units each:
//!
//! ```no_run
//! use std::time::Duration;
//! use lembro::{LembroStore, testing};
//!
//! testing::contract(Duration::from_millis(50), || LembroStore::new().unwrap());
//! ```
//!
//! A store whose data outlives its process is tried [`reopened`] before each call, too, and with
//! [`two_handles`] on the same data.

#[cfg(feature = "web")]
mod browser;
mod fault;
mod fixture;
mod handles;
mod history;
mod plain;
mod racing;
mod request;
mod script;
mod special;
mod wrapper;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

#[cfg(feature = "web")]
pub use self::browser::{Browser, Cookie, Jar, Request};
pub use self::fault::{FaultStore, When};
use self::fixture::{Checked, Fixture};
pub use self::handles::{reopened, two_handles};
pub use self::plain::PlainStore;
pub use self::wrapper::Call;
use crate::clock::{Clock, ManualClock};
use crate::store::Store;

/// Runs the whole contract against a store. Panics with the list of all broken rules, if there are
/// any.
///
/// `store` is called once for each rule, so every rule meets a fresh store; it should be empty.
/// `time` says how time passes for it: `&ManualClock` if the store was given that clock, or a
/// [`Duration`], the unit to wait in, if its time is real. Optional methods that answer
/// [`is_unsupported`](crate::Error::is_unsupported) are skipped.
///
/// # Panics
///
/// When the store breaks a rule. [`check`] returns the same as a [`Report`].
#[track_caller]
#[expect(clippy::panic, reason = "a test that fails")]
pub fn contract<S: Store>(time: impl Into<Time>, store: impl Fn() -> S) {
    let report = check(time, store);
    if !report.is_kept() {
        let broken: Vec<String> = report.broken().map(|(rule, problem)| format!("- {rule}: {problem}")).collect();
        panic!("the store breaks {} of {} rules\n{}", broken.len(), report.results.len(), broken.join("\n"));
    }
}

/// Runs the whole contract against a store and reports on every rule. See [`contract`] for the
/// arguments.
///
/// # Examples
///
/// ```
/// use lembro::{Clock, LembroOptions, LembroStore, testing};
///
/// let time = Clock::manual();
/// let store = || LembroStore::with_options(LembroOptions::new().clock(&time)).unwrap();
/// let report = testing::check(&time, store);
/// assert!(report.is_kept(), "{report}");
/// assert_eq!(report.skipped().count(), 0);
/// ```
pub fn check<S: Store>(time: impl Into<Time>, store: impl Fn() -> S) -> Report {
    let time = time.into();
    Report { results: rules().map(|rule| (rule, rule.check(time.clone(), &store))).collect() }
}

/// The rules of the contract, in the order in which [`check`] runs them.
///
/// # Examples
///
/// ```
/// for rule in lembro::testing::rules() {
///     println!("{rule}");
/// }
/// ```
pub fn rules() -> impl Iterator<Item = Rule> {
    let scripts =
        script::rules(include_str!("contract.txt")).map(|(name, steps)| Rule { name, run: Run::Steps(steps) });
    scripts.chain([special::RULES, racing::RULES, history::RULES].into_iter().flatten().copied())
}

/// How time passes for the store under test: made from `&ManualClock`, or from the [`Duration`] to
/// wait in.
///
/// A unit must be longer than the store's clock is coarse, and long enough that a call does not
/// take twice as long: 50 ms for a database on the same machine. With a manual clock a unit is a
/// minute.
#[derive(Clone, Debug)]
pub struct Time {
    /// The clock that is turned by hand; `None`: time passes by itself.
    manual: Option<ManualClock>,
    /// What rules wait in.
    unit: Duration,
}

impl Time {
    fn clock(&self) -> Clock {
        self.manual.as_ref().map_or_else(Clock::system, Clock::from)
    }

    /// The clock of a process that starts now.
    fn restarted(&self) -> Clock {
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

/// One rule of the contract. Shown as a sentence.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    name: &'static str,
    run: Run,
}

#[derive(Clone, Copy, Debug)]
enum Run {
    Steps(&'static str),
    Code(fn(&Fixture<'_>) -> Checked),
}

impl Rule {
    const fn new(name: &'static str, run: fn(&Fixture<'_>) -> Checked) -> Self {
        Self { name, run: Run::Code(run) }
    }

    /// The rule's name, which is a sentence.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs this one rule against a store. See [`contract`] for the arguments.
    pub fn check<S: Store>(&self, time: impl Into<Time>, store: impl FnOnce() -> S) -> Verdict {
        let time = time.into();
        // A store that panics (a `todo!()`, say) breaks this rule; the others are still worth
        // running.
        let run = catch_unwind(AssertUnwindSafe(|| {
            let store = store();
            let fixture = Fixture::new(&store, &time);
            match self.run {
                Run::Steps(steps) => script::run(&fixture, steps),
                Run::Code(run) => run(&fixture),
            }
        }));
        match run {
            Ok(Ok(())) => Verdict::Kept,
            Ok(Err(verdict)) => verdict,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
                Verdict::Broken(format!("the store panicked: {text}"))
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// What running a rule showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The store keeps the rule.
    Kept,
    /// It could not be tried, and why: an optional method is missing, or the store's time is not
    /// turned by hand.
    Skipped(String),
    /// The store breaks the rule: a sentence about what was expected and what was found.
    Broken(String),
}

/// What [`check`] found, rule by rule. Shown as one line for each rule and a sum.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every rule with its verdict.
    pub results: Vec<(Rule, Verdict)>,
}

impl Report {
    /// Returns true if no rule is broken.
    pub fn is_kept(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The broken rules, each with a sentence about what was expected and what was found.
    pub fn broken(&self) -> impl Iterator<Item = (Rule, &str)> {
        self.results.iter().filter_map(|(rule, verdict)| match verdict {
            Verdict::Broken(problem) => Some((*rule, problem.as_str())),
            Verdict::Kept | Verdict::Skipped(_) => None,
        })
    }

    /// The rules that could not be tried, each with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (Rule, &str)> {
        self.results.iter().filter_map(|(rule, verdict)| match verdict {
            Verdict::Skipped(reason) => Some((*rule, reason.as_str())),
            Verdict::Kept | Verdict::Broken(_) => None,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, verdict) in &self.results {
            match verdict {
                Verdict::Kept => writeln!(f, "kept     {rule}")?,
                Verdict::Skipped(reason) => writeln!(f, "skipped  {rule} ({reason})")?,
                Verdict::Broken(problem) => writeln!(f, "BROKEN   {rule}: {problem}")?,
            }
        }
        let (broken, skipped) = (self.broken().count(), self.skipped().count());
        let kept = self.results.len() - broken - skipped;
        write!(f, "{} rules: {kept} kept, {skipped} skipped, {broken} broken", self.results.len())
    }
}
