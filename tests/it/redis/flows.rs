//! Promise: whatever call to a store on Redis fails, in whatever a browser does, its user stays who
//! they are, keeps what was acknowledged, and may go on.
#![cfg(all(feature = "rouille", feature = "testing"))]

use std::sync::Arc;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Clock, Store};

use crate::redis::server::Server;

#[test]
fn a_fault_at_any_call_of_any_flow_breaks_no_promise() {
    let (server, time) = (Server::start(), Clock::manual());
    // Long enough for a busy machine: no call fails but those that are told to.
    let options = RedisOptions::new().url(server.url()).timeout("30s").clock(&time);
    let store = Arc::new(RedisStore::with_options(options).unwrap());
    let backend = || {
        // Not `clear`: the store would look for every session there ever was.
        server.empty();
        (Arc::clone(&store) as Arc<dyn Store>, time.clone())
    };
    crate::support::flows::Tally::all(&backend, false).finish(3_000);
}
