//! The suite of behaviours on every server that this crate has an adapter for: rouille,
//! `tiny_http`, and touche for the types of the `http` crate. `tests/servers` runs it on others.
#![cfg(all(feature = "rouille", feature = "tiny_http", feature = "http"))]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails loudly")]

mod suite;
mod wire;

use wire::servers;
