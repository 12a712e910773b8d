//! A server with the types of the `http` crate: a counter, a note from the request's body, a
//! stream.
//!
//! Run `cargo run --example touche --features http`; an argument after `--` is another port. Try:
//!
//! ```sh
//! curl -b jar -c jar http://127.0.0.1:8080/
//! curl -b jar -c jar http://127.0.0.1:8080/note -d "buy tea"
//! curl -b jar -c jar -N http://127.0.0.1:8080/stream
//! ```

#![expect(clippy::print_stdout, reason = "an example may")]

use std::io::Read as _;
use std::net::TcpListener;

use lembro::web::{CookieOptions, Secure, SessionLayer};
use lembro::{Error, LembroStore, Result, Session};
use touche::body::HttpBody as _;
use touche::{Body, Method, Request, Response, Server, StatusCode};

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // `Auto` also works over plain http, as here. A site with https alone keeps the default. A
    // server that does its own TLS gives the layer `RequestHead::from(&parts).secure(true)`.
    let cookie = CookieOptions::new().secure(Secure::Auto);
    let layer = SessionLayer::new(LembroStore::new()?).cookie(cookie)?;
    let port = std::env::args().nth(1).unwrap_or_else(|| "8080".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    println!("Count at http://{}/", listener.local_addr()?);
    Server::from(listener).serve(move |request: Request<Body>| {
        // The layer needs only the head, so the handler can take the body.
        let (parts, body) = request.into_parts();
        let answer = layer.http(&parts, |session| match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/") => count(session),
            (&Method::POST, "/note") => note(session, body),
            (&Method::GET, "/stream") => stream(session),
            _ => Ok(text(StatusCode::NOT_FOUND, "Nothing here.\n")),
        });
        Ok::<_, Error>(answer)
    })?;
    Ok(())
}

fn count(session: &mut Session) -> Result<Response<Body>> {
    let visits = session.modify("visits", |visits: &mut Option<u64>| *visits.insert(visits.unwrap_or(0) + 1))?;
    let visits = visits.unwrap_or(1);
    let note = session.get_str("note")?.unwrap_or_default();
    Ok(text(StatusCode::OK, format!("Visit number {visits}. {note}\n")))
}

fn note(session: &mut Session, body: Body) -> Result<Response<Body>> {
    let mut note = String::new();
    // A client can send a body of any length.
    if body.into_reader().take(1_000).read_to_string(&mut note).is_err() {
        return Ok(text(StatusCode::BAD_REQUEST, "That is no text.\n"));
    }
    session.insert("note", &note)?;
    Ok(text(StatusCode::OK, "Noted.\n"))
}

/// A body that is produced while it is sent. By then the request is over and its session saved, so
/// the stream has its own handle, which sees a logout or a note of another request.
fn stream(session: &mut Session) -> Result<Response<Body>> {
    session.insert("streamed", &true)?;
    let Some(mut own) = session.fork()? else { return Ok(text(StatusCode::CONFLICT, "Logged out.\n")) };
    let lines = (1..=3).map_while(move |line| {
        let is_there = own.reload().ok()?;
        let note = own.get_str("note").ok()?.unwrap_or_default().into_owned();
        is_there.then(|| format!("{line}. {note}\n"))
    });
    Ok(Response::new(Body::from_iter(lines)))
}

fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    response
}
