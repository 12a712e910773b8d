//! Promise: a store on Redis keeps the whole contract.
#![cfg(feature = "testing")]

use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Clock, testing};

use crate::redis::server::Server;

/// A store that goes by a clock which the suite turns: rules about the instant of a deadline, too.
#[test]
fn a_store_with_a_clock_that_is_turned_by_hand_keeps_the_contract() {
    let (server, time) = (Server::start(), Clock::manual());
    let report = testing::check(&time, || {
        server.empty();
        RedisStore::with_options(RedisOptions::new().url(server.url()).clock(&time)).unwrap()
    });
    println!("{report}");
    assert!(report.is_kept(), "{report}");
    assert_eq!(report.skipped().count(), 0, "{report}");
}

#[test]
fn a_store_on_a_server_keeps_the_contract() {
    let server = Server::start();
    let report = testing::check(Duration::from_millis(100), || {
        server.empty();
        RedisStore::with_options(RedisOptions::new().url(server.url())).unwrap()
    });
    println!("{report}");
    assert!(report.is_kept(), "{report}");
    // Rules that stop time.
    assert_eq!(report.skipped().count(), 6, "{report}");
}
