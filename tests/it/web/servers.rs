//! The suite of behaviours on every server that this crate has an adapter for: rouille,
//! `tiny_http`, and touche for the types of the `http` crate. `tests/servers` runs it on others.
#![cfg(all(feature = "rouille", feature = "tiny_http", feature = "http"))]

#[path = "suite.rs"]
mod suite;

use crate::support::wire::{self, servers};
