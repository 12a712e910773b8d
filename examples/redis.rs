//! The example `login` with its sessions on Redis or Valkey: one line is another.
//!
//! `cargo run --example redis --features rouille,redis`, or with a port and the URL of a server
//! after `--`. Start it on two ports: a user who signs in at one is signed in at the other, and
//! stays so when both are started again.

#[allow(dead_code, reason = "all of it but its own `main` is used")]
#[path = "login.rs"]
mod login;

use lembro::redis::RedisStore;

fn main() -> lembro::Result<(), login::Anything> {
    let url = std::env::args().nth(2).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let store = RedisStore::new(&url)?;
    // So that a server that cannot be reached is noticed at the start, not by the first visitor.
    store.ping()?;
    login::serve(store)
}
