//! The suite of behaviours on `axum`, blocking and async, and on `feather`; cookies over HTTP/2.

mod axum_site;
#[path = "../../examples/axum.rs"]
#[allow(dead_code, reason = "its `main` is not run")]
mod example;
mod feather_site;
mod http2;
#[path = "../../../it/web/suite.rs"]
mod suite;
#[path = "../../../it/support/wire/mod.rs"]
mod wire;

use std::time::Duration;

use axum_site::AxumSite;
use feather_site::FeatherSite;
use wire::Server;

fn servers() -> Vec<Server> {
    vec![
        Server::new("axum, blocking", |layer, application| Box::new(AxumSite::blocking(layer, application))),
        Server::new("axum, async", |layer, application| Box::new(AxumSite::asynchronous(layer, application))),
        Server {
            // feather 0.8 collects the whole body before it sends it, also answers HEAD with a
            // body, and keeps only the last of several headers of one name.
            streams: false,
            knows_head: false,
            keeps_repeated_headers: false,
            // Handlers are coroutines: one that blocks its thread stops others.
            pause: || may::coroutine::sleep(Duration::from_millis(1)),
            ..Server::new("feather", |layer, application| Box::new(FeatherSite::start(layer, application)))
        },
    ]
}
