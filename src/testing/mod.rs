//! The contract of [`Store`] as code: one line checks a store of your own against every rule. For
//! the tests of an application there are [`FaultStore`], which fails on purpose, and `Browser`,
//! which keeps cookies and needs no socket.
//!
//! ```text
//! mod          the functions that run the contract, and their report
//!   script     rules as steps in words, from contract.txt
//!   special    rules that need code: values, keys, the clock
//!   racing     rules of parallel calls from several threads
//!   history    rules that compare the answers to long random series of calls
//!   fixture    the store under test beside the plain store
//!   verdict    the verdict on a rule, and how time passes for the store
//! plain        a store of a map and the rule, which others are compared with
//! processes    a store that is reopened, and two stores on the same data
//! fault        the store that fails on purpose
//! wrapper      the part that stores around another store share
//! browser      a browser without a network (needs feature `web`, too)
//! ```
//!
//! The module needs the feature `testing`, which belongs under `[dev-dependencies]`.
//!
//! # Examples
//!
//! With a manual clock, the rules test deadlines to the millisecond and need not wait:
//!
//! ```
//! use lembro::{Clock, LembroOptions, LembroStore, testing};
//!
//! let time = Clock::manual();
//! let store = || LembroStore::with_options(LembroOptions::new().clock(&time)).unwrap();
//! testing::contract(&time, store);
//! ```
//!
//! For a store that goes by real time, such as a database server's, pass a unit of time instead.
//! Rules then wait a few units each, and those about the exact instant of a deadline are skipped:
//!
//! ```no_run
//! use std::time::Duration;
//! use lembro::{LembroStore, testing};
//!
//! testing::contract(Duration::from_millis(50), || LembroStore::new().unwrap());
//! ```
//!
//! If a store's data outlives the process, also run the contract on the stores that [`reopened`]
//! and, for data that several processes share, [`two_handles`] make.

#[cfg(feature = "web")]
mod browser;
mod fault;
mod fixture;
mod history;
mod plain;
mod processes;
mod racing;
mod script;
mod special;
mod verdict;
mod wrapper;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(feature = "web")]
pub use self::browser::{Browser, Cookie, Jar, Request};
pub use self::fault::{FaultStore, When};
use self::fixture::{CodeRule, Fixture};
pub use self::plain::PlainStore;
pub use self::processes::{reopened, two_handles};
pub use self::verdict::{Time, Verdict};
pub use self::wrapper::Call;
use crate::store::Store;

/// Checks a store against the whole contract.
///
/// `store` makes a new, empty store for each rule. `time` says how time passes for that
/// store: a `&ManualClock` if the store goes by it, or a [`Duration`](std::time::Duration), the
/// unit in which rules wait, if the store goes by real time. Rules about optional methods that
/// return [`is_unsupported`](crate::Error::is_unsupported) are skipped.
///
/// # Panics
///
/// If the store breaks a rule. The message lists all broken rules; [`check`] returns a [`Report`]
/// instead.
#[track_caller]
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn contract<S: Store>(time: impl Into<Time>, store: impl Fn() -> S) {
    let report = check(time, store);
    if !report.is_kept() {
        let broken: Vec<String> = report.broken().map(|(rule, problem)| format!("- {rule}: {problem}")).collect();
        panic!("the store breaks {} of {} rules\n{}", broken.len(), report.results.len(), broken.join("\n"));
    }
}

/// Checks a store against the whole contract and reports on every rule. The arguments are those of
/// [`contract`].
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
    let coded = [special::RULES, racing::RULES, history::RULES].into_iter().flatten();
    scripts.chain(coded.map(|rule| Rule { name: rule.name, run: Run::Code(*rule) }))
}

/// One rule of the contract. `Display` shows it as a sentence.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    name: &'static str,
    run: Run,
}

#[derive(Clone, Copy, Debug)]
enum Run {
    Steps(&'static str),
    Code(CodeRule),
}

impl Rule {
    /// The rule's name, which is a sentence.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Checks a store against this one rule. The arguments are those of [`contract`].
    pub fn check<S: Store>(&self, time: impl Into<Time>, store: impl FnOnce() -> S) -> Verdict {
        let time = time.into();
        // A store that panics, as by `todo!()`, breaks this rule. The other rules still run.
        let run = catch_unwind(AssertUnwindSafe(|| {
            let store = store();
            let fixture = Fixture::new(&store, &time);
            match self.run {
                Run::Steps(steps) => script::run(&fixture, steps),
                Run::Code(rule) => (rule.run)(&fixture),
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

/// The report of [`check`]. `Display` shows one line for each rule, and the totals.
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

    /// The broken rules, each with a sentence that says what was expected and what was found.
    pub fn broken(&self) -> impl Iterator<Item = (Rule, &str)> {
        self.results.iter().filter_map(|(rule, verdict)| match verdict {
            Verdict::Broken(problem) => Some((*rule, problem.as_str())),
            Verdict::Kept | Verdict::Skipped(_) => None,
        })
    }

    /// The rules that could not be checked, each with the reason.
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
