//! A chat: HTTP and a WebSocket share one session, and the socket ends when the session does.
//!
//! `cargo run --example chat --features rouille`, or with a port of your own after `--`; open it in
//! two browsers. A thread that waits in rouille's `Websocket` cannot send on it while it waits, so
//! the page asks: every half second it sends a blank (rouille holds an empty message back), and is
//! told what is new.

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
        // A page of any origin may open a WebSocket to here. SameSite keeps the cookie from other
        // sites, not from other ports and subdomains: their pages could talk and listen as our
        // visitor (cross-site WebSocket hijacking). The browser says whose page it is.
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
            // This request ends and the socket stays, so its thread gets a handle of its own on the
            // same session.
            let Some(own) = session.fork()? else { return refused("Too late.", 403) };
            let room = Arc::clone(room);
            thread::spawn(move || socket.recv().map(|socket| talk(socket, own, &room)));
            return Ok(response);
        }
        _ => return refused("Nothing here.", 404),
    }
    Ok(Response::redirect_303("/"))
}

/// Until the browser leaves or the session ends. Only talking prolongs the session; asking does
/// not.
fn talk(mut socket: Websocket, mut own: Session, room: &Room) -> Result<()> {
    let mut heard = 0;
    while let Some(message) = socket.next() {
        // Sees what HTTP changed, the name for instance; and a logout, wherever it was.
        let Step::Done(line) = own.step(|session| said(session, message))? else { break };
        let mut lines = room.lock().expect("no panic");
        if let Some(line) = line {
            let number = lines.front().map_or(1, |(last, _)| last + 1);
            lines.push_front((number, line));
            lines.truncate(100);
        }
        // Copied, so that no other thread waits while a slow browser is told.
        let news: Vec<_> = lines.iter().take_while(|line| line.0 > heard).cloned().collect();
        drop(lines);
        for (number, line) in news.into_iter().rev() {
            heard = number;
            // If the browser has left, there is no next message.
            let _ = socket.send_text(&line);
        }
    }
    Ok(())
}

/// The line that a message is for all who listen, if it is more than a question.
fn said(session: &mut Session, message: Message) -> Result<Option<String>> {
    let Message::Text(text) = message else { return Ok(None) };
    if text.trim().is_empty() {
        return Ok(None);
    }
    // Not `insert`: it would count once for two tabs that talk at the same moment.
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

/// `post_input!` reads a form of any length into memory. Browsers say how long theirs is.
fn is_short(request: &Request) -> bool {
    request.header("Content-Length").and_then(|length| length.parse().ok()).is_some_and(|length: u64| length <= 10_000)
}

fn is_our_page(request: &Request) -> bool {
    let origin = request.header("Origin").and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| Some(host) == request.header("Host"))
}
