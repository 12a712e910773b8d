//! The example `login` with its sessions on Redis or Valkey: only the store differs.
//!
//! Run `cargo run --example redis --features rouille,redis`; arguments after `--` are another port
//! and the URL of a server. Start it on two ports: a user that signs in at one is signed in at the
//! other, and stays signed in when both are restarted.

#[allow(dead_code, reason = "its `main` is not run")]
#[path = "login.rs"]
mod login;

use lembro::redis::RedisStore;

fn main() -> lembro::Result<(), login::AnyError> {
    let url = std::env::args().nth(2).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let store = RedisStore::new(&url)?;
    // A server that cannot be reached is reported at the start, not at the first request.
    store.ping()?;
    login::serve(store)
}
