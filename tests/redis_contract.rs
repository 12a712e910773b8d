//! Promise: a store on Redis keeps the whole contract.
#![cfg(all(feature = "redis", feature = "testing"))]

mod redis_server;

use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::testing;

use self::redis_server::Server;

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
    assert_eq!(report.skipped().count(), 5, "{report}");
}
