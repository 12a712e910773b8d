//! Sessions that outlive the process: a snapshot file and its journal, and an orderly stop.
//!
//! Run `cargo run --example restart --features tiny_http`; arguments after `--` are another port
//! and another file. Count, then stop the server with Ctrl-C or `kill -9`, and start it again: the
//! counter goes on. Ctrl-C lets requests under way finish and closes the store.

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
    // The folder must be writable by the server alone: an account that can change this file decides
    // who is logged in.
    let file = arguments.next().map_or_else(|| PathBuf::from("sessions.lembro"), PathBuf::from);

    // Damaged files do not prevent a start: the store restores the records that are intact.
    let options = LembroOptions::new().persist(&file).on_damage(OnDamage::Salvage);
    let store = LembroStore::with_options(options)?;
    if let Ok(problem) = store.errors().try_recv() {
        println!("Starting with what is whole: {problem}");
    }
    let restored = store.stats().restored.map_or(0, |restored| restored.sessions);
    let layer = SessionLayer::new(store.clone()).cookie(CookieOptions::new().secure(Secure::Auto))?;

    let server = Arc::new(Server::http(format!("127.0.0.1:{port}"))?);
    let stopping = Arc::clone(&server);
    // Ends each worker once, after the requests that arrived before.
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

    // Each session is already in the files. A last snapshot shortens the next start.
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
