//! The rule against a plain model: random histories of several clients, compared after every step.
//!
//! `PROPTEST_CASES` sets how many histories are tried.

use std::collections::BTreeMap;

use crate::rules::reference::history::history;
use crate::rules::reference::world;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

proptest! {
    #[test]
    fn the_rule_answers_and_writes_what_the_model_does(history in history()) {
        world::run(&history);
    }
}

/// Every case that the model tells apart.
const CASES: &[&str] = &[
    "announced again",
    "another owner",
    "coming",
    "commit: another session",
    "commit: changed",
    "commit: done before",
    "commit: gone",
    "commit: lifetime over",
    "commit: revoked",
    "commit: superseded",
    "commit: taken",
    "committed by a forgotten id",
    "confirmed",
    "confirmed after the old id's end",
    "create: done before",
    "create: repeated login",
    "create: revoked",
    "created",
    "created for no time",
    "current",
    "dead",
    "dead long",
    "ended",
    "expired",
    "guess",
    "held",
    "kept",
    "leaving",
    "leaving again",
    "leaving over",
    "left",
    "left over",
    "logged in",
    "login on old id",
    "look: lifetime over",
    "none",
    "not held",
    "other handle",
    "renew: no owner",
    "renew: not the id",
    "renew: too young",
    "renew: under way",
    "renewed",
    "repeat: another incarnation",
    "repeat: not done before",
    "repeat: out of sight",
    "replace: done before",
    "replaced",
    "set",
    "set: ended",
    "set: nothing",
    "set: taken",
    "too many keys",
    "touch: lifetime over",
    "touched",
    "visit not due",
    "visit prolongs",
    "visit shortens",
];

#[test]
fn random_histories_meet_every_case_of_the_rule() {
    let mut runner = TestRunner::deterministic();
    let mut met = BTreeMap::<&str, usize>::new();
    for _ in 0..500 {
        let history = history().new_tree(&mut runner).unwrap().current();
        world::run(&history).into_iter().for_each(|(case, times)| *met.entry(case).or_default() += times);
    }
    let cases: Vec<_> = met.keys().copied().collect();
    assert_eq!(cases, CASES);
    let rare: Vec<_> = met.iter().filter(|(_, times)| **times < 3).collect();
    assert!(rare.is_empty(), "met by chance only: {rare:?}");
}
