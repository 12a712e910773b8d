//! A restart that logs no user out: sessions are in a file and its journal, whatever ends the
//! process. Ctrl-C lets requests under way finish and closes the store.
//!
//! `cargo run --example restart --features tiny_http`, or with a port and a file of your own after
//! `--`.

#![expect(clippy::print_stdout, reason = "an example may")]

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use lembro::web::{CookieOptions, Secure, SessionLayer};
use lembro::{LembroOptions, LembroStore, OnDamage, Result, Session};
use tiny_http::{Response, Server};

const WORKERS: usize = 8;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().unwrap_or_else(|| "8080".to_owned());
    // In a folder that only the server may write to: an account that can change this file decides
    // who is logged in.
    let file = arguments.next().map_or_else(|| PathBuf::from("sessions.lembro"), PathBuf::from);

    // Damaged files must not keep the server from starting: it begins with what is whole.
    let options = LembroOptions::new().persist(&file).on_damage(OnDamage::Salvage);
    let store = LembroStore::with_options(options)?;
    if let Ok(problem) = store.errors().try_recv() {
        println!("Starting with what is whole: {problem}");
    }
    let restored = store.stats().restored.map_or(0, |restored| restored.sessions);
    let layer = SessionLayer::new(store.clone()).cookie(CookieOptions::new().secure(Secure::Auto))?;

    let server = Arc::new(Server::http(format!("127.0.0.1:{port}"))?);
    let stopping = Arc::clone(&server);
    // Each worker is told once, after the requests that came before.
    ctrlc::set_handler(move || (0..WORKERS).for_each(|_| stopping.unblock()))?;
    println!("Sessions restored: {restored}. Count at http://{}/ and press Ctrl-C here.", server.server_addr());
    thread::scope(|workers| {
        for _ in 0..WORKERS {
            workers.spawn(|| {
                for request in server.incoming_requests() {
                    layer.tiny_http(request, |_request, session| Ok(Response::from_string(count(session)?)));
                }
            });
        }
    });

    // All of it is in the files already; a last snapshot makes the next start short.
    store.close()?;
    let written = store.stats().last_snapshot.map_or(0, |snapshot| snapshot.sessions);
    println!("Sessions kept in {}: {written}. Start me again.", file.display());
    Ok(())
}

fn count(session: &mut Session) -> Result<String> {
    let visits = session.modify("visits", |visits: &mut Option<u64>| {
        *visits = Some(visits.unwrap_or(0) + 1);
        *visits
    })?;
    Ok(format!("Visit number {}\n", visits.flatten().unwrap_or(1)))
}
