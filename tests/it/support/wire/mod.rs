//! Real servers of every adapter, an application for all of them, a browser, and a client that
//! shows every byte.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

mod browser;
mod exchange;
mod page;
mod served;
mod unreliable;

use std::net::SocketAddr;
use std::time::Duration;

use lembro::web::{CookieOptions, SessionLayer};
use lembro::{Clock, LembroOptions, LembroStore, ManualClock, Store};

pub(crate) use self::browser::{Answer, Browser};
pub(crate) use self::exchange::{Reply, Wire, exchange, exchange_bytes};
pub(crate) use self::page::{Application, Page, Server, Target, application, visit};
pub(crate) use self::served::ServedSite;
pub(crate) use self::unreliable::UnreliableStore;

/// The longest wait: a test that hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The address of a server.
pub(crate) trait Listener: Send + Sync {
    fn address(&self) -> SocketAddr;
}

pub(crate) fn store() -> LembroStore {
    LembroStore::with_options(LembroOptions::new().interval(0)).unwrap()
}

pub(crate) fn store_with_clock() -> (LembroStore, ManualClock) {
    let time = Clock::manual();
    (LembroStore::with_options(LembroOptions::new().interval(0).clock(&time)).unwrap(), time)
}

/// A layer whose cookie works over plain http.
pub(crate) fn layer(store: impl Store) -> SessionLayer {
    named_layer("id", store)
}

pub(crate) fn named_layer(name: &str, store: impl Store) -> SessionLayer {
    SessionLayer::new(store).cookie(CookieOptions::new().secure(false).name(name)).unwrap()
}

/// Every server with an adapter in this crate.
#[cfg(all(feature = "rouille", feature = "tiny_http", feature = "http"))]
pub(crate) fn servers() -> Vec<Server> {
    vec![
        Server::new("rouille", |layer, application| {
            Box::new(ServedSite::rouille(move |request| {
                let target = Target::new(request.method(), request.raw_url());
                layer.rouille(request, |session| application(&target, session).map(Page::into_rouille))
            }))
        }),
        Server::new("tiny_http", |layer, application| {
            Box::new(ServedSite::tiny_http(move |request| {
                layer.tiny_http(request, |request, session| {
                    let target = Target::new(request.method().as_str(), request.url());
                    application(&target, session).map(Page::into_plain)
                });
            }))
        }),
        Server::new("touche", |layer, application| {
            Box::new(ServedSite::touche(move |request| {
                let target = Target::new(request.method().as_str(), request.uri().path());
                layer.http(&request, |session| {
                    application(&target, session).map(|page| page.into_http(touche::Body::from_reader))
                })
            }))
        }),
    ]
}
