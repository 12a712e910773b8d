//! The suite of behaviours on `axum`, in its two ways, and on `feather`; and what HTTP/2 adds.

mod axum_site;
#[path = "../../examples/axum.rs"]
#[allow(dead_code, reason = "it has a main function, too")]
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
            // feather 0.8 makes the whole body before it sends any, sends one in response to HEAD
            // too, and keeps the last of several headers of a name.
            streams: false,
            knows_head: false,
            keeps_repeated_headers: false,
            // Its handlers are coroutines: one that blocks its thread stops others.
            pause: || may::coroutine::sleep(Duration::from_millis(1)),
            ..Server::new("feather", |layer, application| Box::new(FeatherSite::start(layer, application)))
        },
    ]
}
