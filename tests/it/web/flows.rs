//! Faults in flows of requests: if any call to the store fails, the user stays logged in as
//! themselves, keeps every acknowledged change, and can go on.
#![cfg(all(feature = "rouille", feature = "testing"))]

use std::sync::Arc;

use std::time::Duration;

use crate::support::key_values::Map;
use lembro::testing::{Call, FaultStore, PlainStore, When};
use lembro::web::{RequestHead, SessionLayer};
use lembro::{Clock, KeyValueStore, LembroOptions, LembroStore, ManualClock, Policy, Session, SessionId, Store};

fn memory() -> (Arc<dyn Store>, ManualClock) {
    let time = Clock::manual();
    let options = LembroOptions::new().clock(&time).interval(0).shards(1);
    (Arc::new(LembroStore::with_options(options).unwrap()), time)
}

/// A store that keeps nonces, as stores outside the process do, so it recognises a repeated commit.
fn with_nonces() -> (Arc<dyn Store>, ManualClock) {
    let time = Clock::manual();
    (Arc::new(PlainStore::new(Clock::from(&time))), time)
}

#[test]
fn one_fault_breaks_no_promise() {
    crate::support::flows::Tally::all(&memory, false).finish(3_000);
}

#[test]
fn one_fault_with_nonces_breaks_no_promise() {
    crate::support::flows::Tally::all(&with_nonces, false).finish(3_000);
}

#[test]
fn one_fault_on_key_value_breaks_no_promise() {
    let backend = || {
        let time = Clock::manual();
        let store = KeyValueStore::with_clock(Map::punctual(&time), &time);
        (Arc::new(store) as Arc<dyn Store>, time)
    };
    crate::support::flows::Tally::all(&backend, false).finish(3_000);
}

#[test]
fn two_faults_break_no_promise() {
    crate::support::flows::Tally::all(&with_nonces, true).finish(10_000);
}

#[test]
fn error_page_brings_the_id_of_a_lost_commit() {
    type Act = fn(&mut Session);
    let time = Clock::manual();
    let store = Arc::new(FaultStore::new(PlainStore::new(Clock::from(&time))));
    let policy = Policy::new().renew_after(Duration::from_secs(900));
    let layer = SessionLayer::new(Arc::clone(&store)).policy(policy).unwrap();
    let mut cookie = None;
    let acts: [(&str, Act); 3] = [
        ("creation", |session| session.insert("cart", "tea").unwrap()),
        ("login", |session| session.log_in("ada").unwrap()),
        ("timed renewal", |session| assert_eq!(session.get_str("cart").unwrap().as_deref(), Some("tea"))),
    ];
    for (what, act) in acts {
        time.advance(Duration::from_secs(1000));
        let before: Option<String> = cookie.clone();
        let head = || RequestHead::new(before.as_deref());
        let mut session = layer.load(head());
        act(&mut session);
        store.fail(Call::Commit, 1, When::Before);
        if what != "timed renewal" {
            assert!(!layer.finish(&mut session).unwrap_err().is_unknown());
            assert_eq!(layer.fail(&mut session).cookie(), None, "{what} that was not carried out");
        }
        store.heal();

        let mut session = layer.load(head());
        act(&mut session);
        session.insert(what, &true).unwrap();
        store.fail(Call::Commit, 1, When::After);
        assert!(layer.finish(&mut session).unwrap_err().is_unknown());
        let page = layer.fail(&mut session);
        let pair = page.cookie().expect("an id").split(';').next().unwrap().to_owned();
        assert_ne!(Some(&pair), before.as_ref(), "{what}");
        let id: SessionId = pair["id=".len()..].parse().unwrap();
        let stored = store.get(&id).unwrap().expect(what);
        assert_eq!(
            (stored.record.get_str("cart").unwrap().as_deref(), stored.record.get(what).unwrap()),
            (Some("tea"), Some(true))
        );
        cookie = Some(pair);
    }
}
