//! Promise: a store that breaks the contract of `Store` is caught, by the rule it breaks, and no rule is there for nothing.

#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod finding;
mod lifetime;
mod owning;
mod racing;
mod rotating;
mod saving;
mod wrap;

use std::collections::BTreeSet;

use lembro::testing::{self, Rule, Verdict};
use lembro::{Clock, LembroOptions, LembroStore};
use wrap::Wrap;

/// A wrong store: what is wrong with it, how it gets that way, and the rules that must catch it.
struct Wrong {
    name: &'static str,
    spoil: fn(&mut Wrap),
    caught_by: &'static [&'static str],
}

fn wrong_stores() -> impl Iterator<Item = &'static Wrong> {
    [finding::WRONG, lifetime::WRONG, lifetime::ENDING, saving::WRONG, rotating::WRONG, owning::WRONG, racing::WRONG]
        .into_iter()
        .flatten()
}

fn rule(sentence: &str) -> Rule {
    testing::rules().find(|rule| rule.to_string() == sentence).unwrap_or_else(|| panic!("no rule says {sentence:?}"))
}

/// What a rule says about a store that is right but for what `spoil` does to it.
fn verdict(rule: Rule, spoil: fn(&mut Wrap)) -> Verdict {
    let time = Clock::manual();
    rule.check(&time, || {
        let options = LembroOptions::new().interval(0).clock(&time);
        let mut store = Wrap::around(LembroStore::with_options(options).unwrap());
        spoil(&mut store);
        store
    })
}

#[test]
fn the_wrapper_itself_keeps_the_contract() {
    for rule in testing::rules() {
        assert_eq!(verdict(rule, |_| {}), Verdict::Kept, "{rule}");
    }
}

#[test]
fn every_wrong_store_is_caught_by_the_rules_it_breaks() {
    let mut missed = Vec::new();
    for wrong in wrong_stores() {
        for sentence in wrong.caught_by {
            match verdict(rule(sentence), wrong.spoil) {
                Verdict::Broken(problem) if problem.contains("panicked") => {
                    missed.push(format!("{}: {sentence}: only because of a panic: {problem}", wrong.name));
                }
                Verdict::Broken(_) => {}
                verdict => missed.push(format!("{}: {sentence}: {verdict:?}", wrong.name)),
            }
        }
    }
    assert!(missed.is_empty(), "not caught:\n{}", missed.join("\n"));
}

#[test]
fn every_rule_catches_a_wrong_store() {
    let catching: BTreeSet<&str> = wrong_stores().flat_map(|wrong| wrong.caught_by.iter().copied()).collect();
    let idle: Vec<String> =
        testing::rules().map(|rule| rule.to_string()).filter(|rule| !catching.contains(&**rule)).collect();
    assert!(idle.is_empty(), "rules that nothing has ever broken: {idle:#?}");
}

#[test]
fn a_run_reports_every_broken_rule_and_what_was_found() {
    let time = Clock::manual();
    let report = testing::check(&time, || {
        let options = LembroOptions::new().interval(0).clock(&time);
        let mut store = Wrap::around(LembroStore::with_options(options).unwrap());
        store.destroy = Box::new(|_, _| Ok(lembro::Outcome::Done));
        store.len = Box::new(|_| Err(lembro::Error::unsupported("counting its sessions")));
        store
    });
    assert!(!report.is_kept());
    let problem = |name: &str| report.broken().find(|(rule, _)| rule.name() == name).map(|(_, problem)| problem);
    assert_eq!(
        problem("destroy_frees_the_handle"),
        Some("create with the handle of a destroyed session: expected Done, found Conflict")
    );
    assert_eq!(problem("set_makes_a_session"), None);
    assert!(report.broken().count() > 5, "{report}");
    let skipped: Vec<_> = report.skipped().map(|(rule, reason)| (rule.name(), reason)).collect();
    let reason = "this store does not support counting its sessions";
    assert_eq!(skipped, [("expired_sessions_are_not_counted", reason), ("len_counts_the_live_sessions", reason)]);
    assert!(report.to_string().contains("BROKEN   destroy frees the handle: create with the handle"), "{report}");
}

#[test]
fn a_store_that_panics_breaks_the_rule_and_the_run_goes_on() {
    let time = Clock::manual();
    let report = testing::check(&time, || {
        let options = LembroOptions::new().interval(0).clock(&time);
        let mut store = Wrap::around(LembroStore::with_options(options).unwrap());
        store.clear = Box::new(|_| panic!("not written yet"));
        store
    });
    let broken: Vec<_> = report.broken().map(|(rule, problem)| (rule.name(), problem)).collect();
    assert_eq!(broken, [("clear_destroys_every_session", "the store panicked: not written yet")]);
}

#[test]
#[should_panic(expected = "the store breaks 1 of 93 rules\n- clear destroys every session: get with an id from before")]
fn the_one_line_form_panics_with_the_list() {
    let time = Clock::manual();
    testing::contract(&time, || {
        let options = LembroOptions::new().interval(0).clock(&time);
        let mut store = Wrap::around(LembroStore::with_options(options).unwrap());
        store.clear = Box::new(|_| Ok(()));
        store
    });
}
