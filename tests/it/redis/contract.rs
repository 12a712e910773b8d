//! The contract of stores and the flows of a browser, on Redis.
#![cfg(feature = "testing")]

use std::sync::Arc;
use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::testing::{self, Time};
use lembro::{Clock, Store};

use crate::redis::server::Server;

/// The number of rules that need a manual clock.
pub(super) const REAL_TIME_SKIPS: usize = 6;

pub(super) fn assert_kept<S: Store>(time: impl Into<Time>, skips: usize, store: impl Fn() -> S) {
    let report = testing::check(time, store);
    println!("{report}");
    assert!(report.is_kept(), "{report}");
    assert_eq!(report.skipped().count(), skips, "{report}");
}

#[test]
fn contract_with_a_manual_clock() {
    let (server, time) = (Server::start(), Clock::manual());
    assert_kept(&time, 0, || {
        server.empty();
        RedisStore::with_options(RedisOptions::new().url(server.url()).clock(&time)).unwrap()
    });
}

#[test]
fn contract_on_a_server() {
    let server = Server::start();
    assert_kept(Duration::from_millis(100), REAL_TIME_SKIPS, || {
        server.empty();
        RedisStore::new(&server.url()).unwrap()
    });
}

#[test]
#[cfg(feature = "rouille")]
fn redis_fault_in_any_flow_breaks_no_promise() {
    let (server, time) = (Server::start(), Clock::manual());
    // Even on a busy machine only the injected faults fail.
    let options = RedisOptions::new().url(server.url()).timeout("30s").clock(&time);
    let store = Arc::new(RedisStore::with_options(options).unwrap());
    let backend = || {
        // `clear` would look at every session of the index.
        server.empty();
        (Arc::clone(&store) as Arc<dyn Store>, time.clone())
    };
    crate::support::flows::Tally::all(&backend, false).finish(3_000);
}
