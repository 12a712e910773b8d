//! The suite on every server with an adapter in this crate: rouille, `tiny_http`, and touche for
//! the types of the `http` crate. `tests/servers` runs it on other servers.
#![cfg(all(feature = "rouille", feature = "tiny_http", feature = "http"))]

#[path = "suite.rs"]
mod suite;

use crate::support::wire::{self, servers};
