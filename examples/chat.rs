//! A chat: HTTP requests and a WebSocket that share one session; the socket ends with the session.
//!
//! Run `cargo run --example chat --features rouille`; an argument after `--` is another port. Open
//! the page in two browsers, talk, rename yourself, and log out in a second tab.
//!
//! A thread that waits in rouille's `Websocket` cannot send at the same time. Therefore the page
//! polls: every half second it sends a blank, because rouille holds an empty message back, and gets
//! the new lines.

#![expect(clippy::expect_used, clippy::print_stdout, clippy::needless_continue, reason = "an example may")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread;

use lembro::web::{CookieOptions, Secure, SessionLayer};
use lembro::{LembroStore, Result, Session, Step};
use rouille::websocket::{self, Message, Websocket};
use rouille::{Request, Response, Server, post_input};

/// The last hundred lines, numbered, the newest first.
type Room = Mutex<VecDeque<(u64, String)>>;

fn main() -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let layer = SessionLayer::new(LembroStore::new()?).cookie(CookieOptions::new().secure(Secure::Auto))?;
    let room = Arc::new(Room::default());
    let serve = move |request: &Request| layer.rouille(request, |session| answer(request, session, &room));
    let server = match std::env::args().nth(1) {
        Some(port) => Server::new(format!("127.0.0.1:{port}"), serve)?,
        None => Server::new("127.0.0.1:8080", serve.clone()).or_else(|_| Server::new("127.0.0.1:0", serve))?,
    };
    println!("The chat is at http://{}/", server.server_addr());
    server.run();
    Ok(())
}

fn answer(request: &Request, session: &mut Session, room: &Arc<Room>) -> Result<Response> {
    let refused = |text, status| Ok(Response::text(text).with_status_code(status));
    match (request.method(), request.url().as_str()) {
        ("GET", "/") => return page(session),
        // A page of any origin may open a WebSocket to this server. SameSite withholds the cookie
        // from other sites, but not from other ports and subdomains. Their pages could talk and
        // listen as the visitor (cross-site WebSocket hijacking), so the `Origin` is checked.
        _ if !is_our_page(request) => return refused("Not from here.", 403),
        ("POST", "/name") if is_short(request) => {
            let name = post_input!(request, { name: String }).map(|form| form.name.trim().chars().take(30).collect());
            let Some(name) = name.ok().filter(|name: &String| !name.is_empty()) else {
                return refused("A name, please.", 400);
            };
            session.insert("name", &name)?;
        }
        ("POST", "/leave") => session.log_out()?,
        ("GET", "/socket") if session.contains_key("name")? => {
            let Ok((response, socket)) = websocket::start(request, None::<String>) else {
                return refused("That is no WebSocket.", 400);
            };
            // The socket outlives this request, so its thread gets its own handle on the session.
            let Some(own) = session.fork()? else { return refused("Too late.", 403) };
            let room = Arc::clone(room);
            thread::spawn(move || socket.recv().map(|socket| talk(socket, own, &room)));
            return Ok(response);
        }
        _ => return refused("Nothing here.", 404),
    }
    Ok(Response::redirect_303("/"))
}

/// Serves the socket until the browser leaves or the session ends. Messages prolong the session,
/// polls do not.
fn talk(mut socket: Websocket, mut own: Session, room: &Room) -> Result<()> {
    let mut heard = 0;
    while let Some(message) = socket.next() {
        // Each step sees the changes of HTTP requests, such as a new name or a logout.
        let Step::Done(line) = own.step(|session| line_of(session, message))? else { break };
        let mut lines = room.lock().expect("no panic");
        if let Some(line) = line {
            let number = lines.front().map_or(1, |(last, _)| last + 1);
            lines.push_front((number, line));
            lines.truncate(100);
        }
        // Copied, so that other threads do not wait for a slow browser.
        let news: Vec<_> = lines.iter().take_while(|line| line.0 > heard).cloned().collect();
        drop(lines);
        for (number, line) in news.into_iter().rev() {
            heard = number;
            // If the browser has left, the next `next` returns `None`.
            let _ = socket.send_text(&line);
        }
    }
    Ok(())
}

/// The line that a message adds to the room; `None` for a poll.
fn line_of(session: &mut Session, message: Message) -> Result<Option<String>> {
    let Message::Text(text) = message else { return Ok(None) };
    if text.trim().is_empty() {
        return Ok(None);
    }
    // Not `insert`, which would lose a count if two tabs talk at the same moment.
    session.modify("said", |said: &mut Option<u64>| *said.get_or_insert(0) += 1)?;
    let (name, text): (_, String) = (session.get_str("name")?, text.chars().take(500).collect());
    let line = serde_json::json!({ "who": session.handle()?.to_string(), "name": name, "text": text });
    Ok(Some(line.to_string()))
}

fn page(session: &Session) -> Result<Response> {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let name = session.get_str("name")?.as_deref().map(escape).unwrap_or_default();
    let html = include_str!("chat.html").replace("{handle}", &session.handle()?.to_string());
    let html = html.replace("{said}", &session.get::<u64>("said")?.unwrap_or(0).to_string()).replace("{name}", &name);
    Ok(Response::html(html))
}

/// `post_input!` reads a form of any length into memory, so the announced length is checked first.
fn is_short(request: &Request) -> bool {
    request.header("Content-Length").and_then(|length| length.parse().ok()).is_some_and(|length: u64| length <= 10_000)
}

fn is_our_page(request: &Request) -> bool {
    let origin = request.header("Origin").and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| Some(host) == request.header("Host"))
}
