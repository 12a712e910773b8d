//! The examples that serve pages, each a process of its own: visits as a user makes them, and a
//! client that attacks them.
#![cfg(all(feature = "rouille", feature = "tiny_http", feature = "http"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

mod attacks;
mod fuzz;
#[cfg(feature = "redis")]
#[path = "../redis_server/mod.rs"]
mod redis_server;
mod server;
mod visitor;
mod visits;
