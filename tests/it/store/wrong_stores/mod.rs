//! Wrong stores: the contract of `Store` catches each of them, and each of its rules catches one.

#![cfg(feature = "testing")]

mod committing;
mod ending;
mod handles;
mod looking;
mod owning;
mod racing;
mod rotating;
mod wrap;

use std::collections::BTreeSet;
use std::time::Duration;

use handles::{Data, WrongData};
use lembro::testing::{self, Rule, Verdict};
use lembro::{Changes, Clock, Commit, Handle, Lease, Look, Lookup, Outcome, Owner, Record, Result, SessionId, Store};
use wrap::{Right, Wrap};

/// A wrong store: its fault, and the rules that must catch it.
struct Wrong {
    name: &'static str,
    fault: Fault,
    caught_by: &'static [&'static str],
}

type WrongLook = fn(&Right, &SessionId, Look, &Lease) -> Result<Lookup>;
type WrongCommit = fn(&Right, &SessionId, &Commit, &Lease) -> Result<Outcome>;
type WrongTouch = fn(&Right, &SessionId, &Lease) -> Result<Outcome>;
type WrongPut = fn(&Right, &SessionId, &Record, Duration) -> Result<Outcome>;
type WrongEnd = fn(&Right, &SessionId) -> Result<Outcome>;
type WrongEverywhere = fn(&Right, &Owner, Option<Handle>) -> Result<usize>;
type WrongChanges = fn(&Changes, Option<Record>) -> Changes;

/// A method of a right store that is replaced, or another change of the store.
#[derive(Clone, Copy)]
enum Fault {
    Store(fn(&mut Wrap)),
    Look(WrongLook),
    Commit(WrongCommit),
    Touch(WrongTouch),
    Put(WrongPut),
    End(WrongEnd),
    Everywhere(WrongEverywhere),
    /// Of every commit.
    Changes(WrongChanges),
    /// Of every call.
    Lease(fn(Lease) -> Lease),
}

impl Fault {
    fn put_into(self, store: &mut Wrap) {
        match self {
            Self::Store(spoil) => spoil(store),
            Self::Look(look) => store.look = Box::new(look),
            Self::Commit(commit) => store.commit = Box::new(commit),
            Self::Touch(touch) => store.touch = Box::new(touch),
            Self::Put(put) => store.put = Box::new(put),
            Self::End(end) => store.end = Box::new(end),
            Self::Changes(changes) => wrap::other_changes(store, changes),
            Self::Lease(lease) => wrap::other_lease(store, lease),
            Self::Everywhere(everywhere) => store.everywhere = Box::new(everywhere),
        }
    }
}

const fn wrong(name: &'static str, spoil: fn(&mut Wrap)) -> Wrong {
    Wrong { name, fault: Fault::Store(spoil), caught_by: &[] }
}

const fn wrong_look(name: &'static str, look: WrongLook) -> Wrong {
    Wrong { name, fault: Fault::Look(look), caught_by: &[] }
}

const fn wrong_commit(name: &'static str, commit: WrongCommit) -> Wrong {
    Wrong { name, fault: Fault::Commit(commit), caught_by: &[] }
}

const fn wrong_touch(name: &'static str, touch: WrongTouch) -> Wrong {
    Wrong { name, fault: Fault::Touch(touch), caught_by: &[] }
}

const fn wrong_put(name: &'static str, put: WrongPut) -> Wrong {
    Wrong { name, fault: Fault::Put(put), caught_by: &[] }
}

const fn wrong_end(name: &'static str, end: WrongEnd) -> Wrong {
    Wrong { name, fault: Fault::End(end), caught_by: &[] }
}

const fn wrong_everywhere(
    name: &'static str,
    everywhere: fn(&Right, &Owner, Option<Handle>) -> Result<usize>,
) -> Wrong {
    Wrong { name, fault: Fault::Everywhere(everywhere), caught_by: &[] }
}

const fn wrong_changes(name: &'static str, changes: WrongChanges) -> Wrong {
    Wrong { name, fault: Fault::Changes(changes), caught_by: &[] }
}

const fn wrong_lease(name: &'static str, lease: fn(Lease) -> Lease) -> Wrong {
    Wrong { name, fault: Fault::Lease(lease), caught_by: &[] }
}

impl Wrong {
    const fn caught_by(self, caught_by: &'static [&'static str]) -> Self {
        Self { caught_by, ..self }
    }
}

fn wrong_stores() -> impl Iterator<Item = &'static Wrong> {
    [looking::WRONG, committing::WRONG, rotating::WRONG, ending::WRONG, owning::WRONG, racing::WRONG]
        .into_iter()
        .flatten()
}

fn rule(sentence: &str) -> Rule {
    testing::rules().find(|rule| rule.name() == sentence).unwrap_or_else(|| panic!("no rule says {sentence:?}"))
}

/// The verdict of a rule on a right store with one fault.
fn verdict(rule: Rule, fault: Fault) -> Verdict {
    let time = Clock::manual();
    rule.check(&time, || {
        let mut store = Wrap::around(&time);
        fault.put_into(&mut store);
        store
    })
}

/// The verdict of a rule on a store that is reopened, or opened twice.
fn verdict_on(rule: Rule, wrong: &'static WrongData) -> Verdict {
    let time = Clock::manual();
    let data = || {
        let data = Data::new();
        move |clock: &Clock| (wrong.open)(&data, clock)
    };
    let store: Box<dyn Store> =
        if wrong.is_reopened { testing::reopened(&time, data)() } else { testing::two_handles(&time, data)() };
    rule.check(&time, || store)
}

fn missed(name: &str, sentence: &str, verdict: Verdict) -> Option<String> {
    match verdict {
        Verdict::Broken(problem) if problem.contains("panicked") => {
            Some(format!("{name}: {sentence}: only because of a panic: {problem}"))
        }
        Verdict::Broken(_) => None,
        verdict => Some(format!("{name}: {sentence}: {verdict:?}")),
    }
}

#[test]
fn wrapped_stores_keep_the_contract() {
    for rule in testing::rules() {
        assert_eq!(verdict(rule, Fault::Store(|_| {})), Verdict::Kept, "{rule}");
    }
}

#[test]
fn wrong_stores_break_their_rules() {
    let mut all_missed = Vec::new();
    for wrong in wrong_stores() {
        for sentence in wrong.caught_by {
            all_missed.extend(missed(wrong.name, sentence, verdict(rule(sentence), wrong.fault)));
        }
    }
    assert!(all_missed.is_empty(), "not caught:\n{}", all_missed.join("\n"));
}

#[test]
fn wrong_stores_opened_twice_break_their_rules() {
    let mut all_missed = Vec::new();
    for wrong in handles::WRONG {
        for sentence in wrong.caught_by {
            all_missed.extend(missed(wrong.name, sentence, verdict_on(rule(sentence), wrong)));
        }
    }
    assert!(all_missed.is_empty(), "not caught:\n{}", all_missed.join("\n"));
}

#[test]
fn right_table_of_rows_keeps_the_contract() {
    for rule in testing::rules() {
        let verdict = verdict_on(rule, &handles::RIGHT);
        assert!(matches!(verdict, Verdict::Kept | Verdict::Skipped(_)), "{rule}: {verdict:?}");
    }
}

#[test]
fn each_rule_catches_a_wrong_store() {
    let catching: BTreeSet<&str> = wrong_stores().flat_map(|wrong| wrong.caught_by.iter().copied()).collect();
    let idle: Vec<&str> = testing::rules().map(|rule| rule.name()).filter(|rule| !catching.contains(rule)).collect();
    assert!(idle.is_empty(), "rules that nothing has ever broken: {idle:#?}");
}

#[test]
fn model_random_histories_catch_seven_of_ten() {
    let without_threads =
        || wrong_stores().filter(|wrong| racing::WRONG.iter().all(|racing| racing.name != wrong.name));
    let history = rule("the store does with owners what the rule says");
    let missed: Vec<_> =
        without_threads().filter(|wrong| !matches!(verdict(history, wrong.fault), Verdict::Broken(_))).collect();
    // The others need steps that no history has: keys with a NUL, too many keys, 50 sessions.
    let names: Vec<_> = missed.iter().map(|wrong| wrong.name).collect();
    assert!(missed.len() * 10 <= without_threads().count() * 3, "{names:#?}");
}

#[test]
fn reports_list_every_broken_rule() {
    let time = Clock::manual();
    let report = testing::check(&time, || {
        let mut store = Wrap::around(&time);
        store.end = Box::new(|right, id| right.touch(id, &Lease::UNLIMITED));
        store.clear = Box::new(|_| Err(lembro::Error::unsupported("clearing itself")));
        store
    });
    assert!(!report.is_kept());
    let problem = |name: &str| report.broken().find(|(rule, _)| rule.name() == name).map(|(_, problem)| problem);
    assert!(problem("destroy frees the handle").unwrap().starts_with("step 2, `destroy a`: End(None) with an id of"));
    assert_eq!(problem("set makes a session"), None);
    assert!(report.broken().count() > 5, "{report}");
    let skipped: Vec<_> = report.skipped().map(|(rule, reason)| (rule.name(), reason)).collect();
    assert_eq!(skipped, [("clear destroys every session", "this store does not support clearing itself")]);
    assert!(report.to_string().contains("BROKEN   destroy frees the handle: step 2, `destroy a`"), "{report}");
}

#[test]
fn panic_breaks_one_rule_only() {
    let time = Clock::manual();
    let report = testing::check(&time, || {
        let mut store = Wrap::around(&time);
        store.clear = Box::new(|_| panic!("not written yet"));
        store
    });
    let broken: Vec<_> = report.broken().map(|(rule, problem)| (rule.name(), problem)).collect();
    assert_eq!(broken, [("clear destroys every session", "the store panicked: not written yet")]);
}

#[test]
#[should_panic(expected = "the store breaks 1 of 132 rules\n- clear destroys every session: step 4, ")]
fn short_form_panics_with_the_report() {
    let time = Clock::manual();
    testing::contract(&time, || {
        let mut store = Wrap::around(&time);
        store.clear = Box::new(|_| Ok(()));
        store
    });
}
