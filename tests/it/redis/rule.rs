//! The rule in Lua: random histories on a real server and on the rule over a map have the same
//! results, with a manual clock.
#![cfg(feature = "testing")]

mod history;
mod pair;

use std::collections::BTreeSet;

use lembro::redis::RedisOptions;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use self::history::{Op, op, renewal};
use self::pair::Pair;
use crate::redis::server::Server;
use crate::redis::server::cluster::Cluster;

fn histories(server: &Server, options: &RedisOptions, cases: u32, is_fixed: bool) -> BTreeSet<String> {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    // By default the same histories each time, so that it is certain which kinds they reach.
    let mut runner = if is_fixed {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    } else {
        TestRunner::new(config)
    };
    let reached = std::cell::RefCell::new(BTreeSet::new());
    let history = prop::collection::vec(op(), 1..50);
    let result = runner.run(&history, |history| {
        server.empty();
        let mut pair = Pair::new(options.clone());
        pair.log_in();
        for op in &history {
            if let Some((expected, actual)) = pair.run(op) {
                prop_assert_eq!(expected, actual, "{:?}", op);
            }
            pair.compare(op)?;
        }
        pair.count()?;
        reached.borrow_mut().append(&mut pair.reached);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    reached.into_inner()
}

/// The number of histories, if `.ci/full` sets it.
fn cases() -> Option<u32> {
    std::env::var("LEMBRO_CASES").ok().map(|cases| cases.parse().unwrap())
}

/// In a cluster a look is one script, and the first look confirms a login.
#[test]
fn model_scripts_follow_the_rule_in_a_cluster() {
    let cluster = Cluster::start(1);
    histories(&cluster.nodes[0], &RedisOptions::new().cluster(cluster.urls()), cases().unwrap_or(60), false);
}

/// Random histories meet these too rarely: the deadlines of a renewal, and the instants around
/// them.
#[test]
fn model_scripts_follow_the_rule_at_renewal_deadlines() {
    let server = Server::start();
    let renew = |lease| renewal(0, lease);
    let visit = |id| Op::Look { id, visit: true, lease: 0 };
    for around in [0, 499, 500, 501] {
        // The old id, announced twice; then the new one; then the old one in its grace.
        let twice = [visit(1), Op::Wait { ms: around }, Op::Touch { id: 1, lease: 0 }, visit(1), visit(0)];
        let grace = [visit(0), Op::Wait { ms: around }, visit(1), renew(2), Op::Touch { id: 1, lease: 0 }, visit(0)];
        let put = [visit(1), Op::Wait { ms: around }, Op::Put { id: 1, record: 0, ttl_ms: 1_000 }];
        // Held by the old id, and by an unknown one.
        let held = |id, what| Op::Held { id, what, version: 0, lease: 0 };
        let presented = [visit(0), Op::Wait { ms: around }, held(1, 3), held(1, 1), held(2, 3), held(1, 0)];
        let leave =
            [visit(1), Op::Wait { ms: around }, held(1, 3), held(1, 1), visit(0), held(1, 1), held(1, 0), held(1, 3)];
        for (number, then) in [&twice[..], &grace, &put, &presented, &leave].into_iter().enumerate() {
            let mut pair = Pair::new(RedisOptions::new().url(server.url()).prefix(format!("{around} {number}:")));
            pair.log_in();
            for op in [Op::Wait { ms: 500 }, renew(0)].iter().chain(then) {
                if let Some((expected, actual)) = pair.run(op) {
                    assert_eq!(expected, actual, "{around}: {op:?}");
                }
                pair.compare(op).unwrap();
            }
        }
    }
}

#[test]
fn model_scripts_follow_the_rule() {
    let server = Server::start();
    let options = RedisOptions::new().url(server.url());
    let reached = histories(&server, &options, cases().unwrap_or(250), cases().is_none());
    let all = [
        ("Held", "Missing | Superseded { recent: true } | found Current | found Previous | found renewing"),
        (
            "Peek",
            "Missing | Superseded { recent: false } | Superseded { recent: true } | found Current | found Previous | found renewing",
        ),
        (
            "Visit",
            "Missing | Superseded { recent: false } | Superseded { recent: true } | found Current | found Previous | found renewing",
        ),
        ("create", "Ok(LoginRevoked) | Ok(Taken) | done, same id"),
        ("end", "Ok(Gone) | Ok(Superseded) | done, same id"),
        ("end held", "Ok(Gone) | done, same id"),
        ("exactly", "Ok(Changed) | Ok(Gone) | done, announced | done, same id"),
        (
            "merge",
            "Err(\"size\") | Err(\"unknown\") | Ok(Gone) | Ok(LoginRevoked) | Ok(Superseded) | done, announced | done, same id",
        ),
        ("put", "Ok(Taken) | done, same id"),
        ("touch", "Ok(Gone) | Ok(Superseded) | done, announced | done, same id"),
        ("touch held", "Ok(Gone) | Ok(Superseded) | done, announced | done, same id"),
    ];
    let all = all.iter().flat_map(|(what, kinds)| kinds.split(" | ").map(move |kind| format!("{what}: {kind}")));
    let missed: Vec<_> = all.filter(|kind| !reached.contains(kind)).collect();
    assert!(missed.is_empty(), "no history reached {missed:?} but {reached:#?}");
}
