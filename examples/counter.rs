//! A visit counter with a theme and a logout, served by a pool of threads.
//!
//! Run `cargo run --example counter --features tiny_http`; an argument after `--` is another port.
//! Reload the page, choose a theme, and open a private window beside it: that is another session.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "an example may")]

use std::io::{Cursor, Read as _};
use std::thread;

use lembro::web::{CookieOptions, Secure, SessionLayer};
use lembro::{LembroStore, Result, Session};
use tiny_http::{Header, Method, Request, Response, Server};

type Page = Response<Cursor<Vec<u8>>>;

const THEMES: [&str; 3] = ["day", "dusk", "night"];

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // `Auto` also works over plain http, as here. A site with https alone keeps the default.
    let cookie = CookieOptions::new().secure(Secure::Auto);
    let layer = SessionLayer::new(LembroStore::new()?).cookie(cookie)?;

    let server = match std::env::args().nth(1) {
        Some(port) => Server::http(format!("127.0.0.1:{port}"))?,
        None => Server::http("127.0.0.1:8080").or_else(|_| Server::http("127.0.0.1:0"))?,
    };
    println!("The counter is at http://{}/", server.server_addr());
    thread::scope(|pool| {
        for _ in 0..8 {
            pool.spawn(|| server.incoming_requests().for_each(|request| layer.tiny_http(request, answer)));
        }
    });
    Ok(())
}

/// Answers a request. After an error or a panic the layer answers with a 500 or 503, and the server
/// goes on.
fn answer(request: &mut Request, session: &mut Session) -> Result<Page> {
    match (request.method(), request.url()) {
        (Method::Get, "/") => {
            // Not `insert(get + 1)`, which would count two tabs that load at once as one visit.
            let visits = session.modify("visits", |visits: &mut Option<u64>| {
                let visits = visits.get_or_insert(0);
                *visits += 1;
                *visits
            })?;
            return Ok(page(visits.unwrap_or(1), session.get_str("theme")?.as_deref().unwrap_or(THEMES[0])));
        }
        (Method::Post, "/theme") => {
            let mut form = Vec::new();
            // A form that is cut off or too long names no theme.
            let _ = request.as_reader().take(100).read_to_end(&mut form);
            if let Some(theme) = THEMES.iter().find(|theme| form == format!("theme={theme}").as_bytes()) {
                session.insert("theme", theme)?;
            }
        }
        (Method::Post, "/logout") => session.log_out()?,
        _ => return Ok(Response::from_string("Nothing here.").with_status_code(404)),
    }
    // A redirect after each form, so that a reload does not send the form again.
    Ok(Response::from_string("").with_status_code(303).with_header(header("Location", "/")))
}

fn page(visits: u64, theme: &str) -> Page {
    let times = if visits == 1 { "visit" } else { "visits" };
    let button = |name: &&str| {
        let pressed = *name == theme;
        format!("<button name=theme value={name} aria-pressed={pressed}>{name}</button>")
    };
    let html = include_str!("counter.html")
        .replace("{theme}", theme)
        .replace("{visits}", &visits.to_string())
        .replace("{times}", times)
        .replace("{themes}", &THEMES.iter().map(button).collect::<String>());
    Response::from_string(html).with_header(header("Content-Type", "text/html; charset=utf-8"))
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("ASCII")
}
