//! The rule against a plain model: random histories of several clients, compared after every step.
//!
//! `PROPTEST_CASES` sets the number of histories.

mod commits;
mod history;
pub(super) mod session;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use self::history::history;

proptest! {
    #[test]
    fn model_rule_and_reference_agree(history in history()) {
        world::run(&history);
    }
}

/// All cases that the model distinguishes.
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
fn model_histories_cover_the_rule() {
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
