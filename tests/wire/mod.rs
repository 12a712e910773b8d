//! What the tests of the adapters share: real servers of both kinds, a browser, and a client that
//! shows every byte.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod browser;
mod exchange;
#[cfg(feature = "tiny_http")]
mod plain_site;
#[cfg(feature = "rouille")]
mod rouille_site;
mod unreliable;

use std::net::SocketAddr;
use std::time::Duration;

use lembro::web::{CookieOptions, SessionLayer};
use lembro::{Clock, LembroOptions, LembroStore, ManualClock, Store};

pub(crate) use self::browser::{Answer, Browser};
pub(crate) use self::exchange::{Reply, Wire, exchange};
#[cfg(feature = "tiny_http")]
pub(crate) use self::plain_site::PlainSite;
#[cfg(feature = "rouille")]
pub(crate) use self::rouille_site::RouilleSite;
pub(crate) use self::unreliable::Unreliable;

/// Nothing here takes long; a test that hangs is to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where a server listens.
pub(crate) trait Listens {
    fn address(&self) -> SocketAddr;
}

pub(crate) fn store() -> LembroStore {
    LembroStore::with_options(LembroOptions::new().interval(0)).unwrap()
}

pub(crate) fn store_with_clock() -> (LembroStore, ManualClock) {
    let time = Clock::manual();
    (LembroStore::with_options(LembroOptions::new().interval(0).clock(&time)).unwrap(), time)
}

/// The tests go over plain http.
pub(crate) fn layer(store: impl Store) -> SessionLayer {
    named_layer("id", store)
}

pub(crate) fn named_layer(name: &str, store: impl Store) -> SessionLayer {
    SessionLayer::new(store).cookie(CookieOptions::new().secure(false).name(name)).unwrap()
}
