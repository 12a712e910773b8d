//! Random histories of three browsers with real cookie jars, whose requests and responses overtake
//! each other and are lost, against a model of the promises to their users. `PROPTEST_CASES` sets
//! the number of histories.
//!
//! Promised, and checked after every step:
//!
//! 1. An id opens its session from the commit that gives it until a login or `regenerate` gives the
//!    session another, until a grace after a timed renewal's new id was first presented, or until
//!    `renew_after` after its second announcement; and only while the session lives. So after a
//!    logout, a logout everywhere, the limit, the idle timeout or the lifetime, no cookie that a
//!    browser ever had opens the session, and no request under way brings it back.
//! 2. The user whose login's response arrived last in a browser is logged in there as long as that
//!    session lives, whatever the order of the other responses.
//! 3. Every id of the session finds each change that was reported as written. A change that was
//!    reported as gone is stored nowhere, and `is_lost` reports it.
//! 4. A handler reads the data of its session. No other browser and no other owner's session put a
//!    value in.
//! 5. A counter by `modify` is exact. A token is consumed at most once in its session.
//! 6. A visit prolongs at its first look, if that is due; a commit and a touch prolong; a poll does
//!    not, and renews nothing.
//! 7. A new id from a handler's commit reaches the client with the response, also if the handler
//!    fails. An id that is due is renewed. All responses announce the same new id.
//! 8. No response sets the cookie of a session that ended before it.
//! 9. A socket goes on through renewals and ends with a login, `regenerate` or the session.
//!
//! Not promised:
//!
//! - A cookie set by a request that was sent before a login's response arrived, and received after
//!   it, replaces that login's cookie, if the request came without a cookie that opened a session,
//!   if its id was renewed, or if a persistent cookie was written again. A logout's removal does so
//!   too.
//! - So does a cookie set by a request that was sent before a renewed id arrived, and looked at its
//!   session when the old id had ended.
//! - A logout beside a login or `regenerate` in another request ends nothing: its id is superseded.
//! - In a browser with two cookies of our name, the first that opens a session counts.
//! - An old id ends although the browser has no other, if its renewal was announced twice and no
//!   response has arrived since for `renew_after`.
//! - A persistent cookie ends before its session if the session was prolonged without a response
//!   that arrived.
//! - Of two logins at once, each session has a copy of the anonymous session's data, tokens
//!   included.
#![cfg(feature = "testing")]

mod history;
mod sessions;
mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use self::history::history;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn model_browsers_get_what_is_promised(history in history()) {
        world::run(&history);
    }
}

/// The cases that histories must meet. The list leaves out rarer cases.
const CASES: &[&str] = &[
    "a change of a session that ended",
    "a cookie that opens nothing",
    "a cookie written again",
    "a login over another owner's session",
    "a login sent before another login's response",
    "a login that the limit refused",
    "a login that was revoked",
    "a login's response",
    "a logout",
    "a logout of two sessions",
    "a logout sent before a login's response",
    "a lost cookie",
    "a poll",
    "a poll that finds no session any more",
    "a renewal",
    "a renewed id is announced again",
    "a renewed id is presented",
    "a request longer than the idle timeout",
    "a session that the limit ended",
    "a socket",
    "a socket that outlives the renewal of its id",
    "a socket whose session ended",
    "a token consumed",
    "a token that another request has consumed",
    "counted",
    "logged out elsewhere",
    "logged out everywhere",
    "not promised: a logout beside a login",
    "not promised: before a login",
    "not promised: written again",
    "superseded within the grace",
    "the session ended before the response",
    "two cookies",
    "two logins at once",
];

#[test]
fn model_histories_meet_every_case() {
    let mut runner = TestRunner::deterministic();
    let mut met = BTreeSet::new();
    for _ in 0..1_500 {
        let history = history().new_tree(&mut runner).unwrap().current();
        met.extend(world::run(&history));
    }
    let missed: Vec<_> = CASES.iter().filter(|case| !met.contains(*case)).collect();
    assert!(missed.is_empty(), "no history met {missed:?}");
}
