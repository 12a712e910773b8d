//! A server whose store, policy and cookie come from one TOML file.
//!
//! Run `cargo run --example configured --features rouille`; arguments after `--` are another port
//! and another file. Change `examples/configured.toml` and start it again: a wrong value is named
//! by its path. With `--features rouille,redis` the file can choose Redis.

#![expect(clippy::print_stdout, reason = "an example may")]

use std::fs;

use lembro::{Config, ConfiguredStore};
use rouille::{Response, Server};
use serde::Deserialize;

/// The application's own settings, with those of its sessions among them.
#[derive(Deserialize)]
struct Settings {
    greeting: String,
    #[serde(default)]
    sessions: Config,
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().unwrap_or_else(|| "8080".to_owned());
    let file = arguments.next().unwrap_or_else(|| "examples/configured.toml".to_owned());

    // Only the message is shown: the full text quotes the line, which may contain a password.
    let settings = toml::from_str(&fs::read_to_string(&file)?);
    let Settings { greeting, sessions } = settings.map_err(|error| format!("{file}: {}", error.message()))?;
    // `SessionLayer::from_config(&sessions)` does both; this example also uses the store itself.
    let store = sessions.store()?;
    let layer = sessions.layer(store.clone())?;
    match &store {
        ConfiguredStore::Memory(store) => println!("Sessions in memory, {} bytes at most.", store.stats().max_size),
        // A server that does not answer is reported at the start, not at the first request.
        #[cfg(feature = "redis")]
        ConfiguredStore::Redis(store) => store.ping()?,
        _ => {}
    }

    let server = Server::new(format!("127.0.0.1:{port}"), move |request| {
        layer.rouille(request, |session| {
            let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
            session.insert("visits", &visits)?;
            Ok(Response::text(format!("{greeting}, for the {visits}. time.\n")))
        })
    })?;
    println!("Come back often: http://{}/", server.server_addr());
    server.pool_size(8).run();
    Ok(())
}
