//! An API for clients without cookies: a login in JSON, calls with a token, a list of devices, a
//! logout.
//!
//! Run `cargo run --example api --features rouille`; an argument after `--` is another port. Try:
//!
//! ```sh
//! api=http://127.0.0.1:8080
//! login() { curl -si $api/login -d '{"user": "ada", "password": "difference-engine", "device": "'"$1"'"}'; }
//! token() { tr -d '\r' | sed -n 's/^X-Session-Token: //p'; }
//! laptop=$(login laptop | token) phone=$(login phone | token)
//! curl -s $api/me -H "Authorization: Bearer $phone"
//! curl -s $api/devices -H "Authorization: Bearer $phone"
//! lost=$(curl -s $api/me -H "Authorization: Bearer $laptop" | grep -o '"device":"[^"]*"' | cut -d '"' -f 4)
//! curl -s -X DELETE $api/devices/$lost -H "Authorization: Bearer $phone"
//! curl -s $api/me -H "Authorization: Bearer $laptop"
//! curl -s -X POST $api/logout -H "Authorization: Bearer $phone"
//! curl -s $api/me -H "Authorization: Bearer $phone"
//! ```
//!
//! A real API stores an Argon2 hash of each password, limits the attempts to guess one, and speaks
//! https.

#![expect(clippy::print_stdout, reason = "an example may")]

use std::io::Read as _;
use std::time::{SystemTime, UNIX_EPOCH};

use lembro::web::{SessionLayer, TokenOptions};
use lembro::{Error, LembroStore, OwnedSession, Policy, Session, Sessions};
use rouille::{Request, Response, Server};
use serde::Deserialize;
use serde_json::{Value, json};

const USER: &str = "ada";
const PASSWORD: &str = "difference-engine";

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Responses carry a new token in this header: after a login, and after a timed renewal.
    let token = TokenOptions::new().response_header("X-Session-Token");
    let layer = SessionLayer::new(LembroStore::new()?).policy(Policy::new().max_per_owner(5))?.token(token)?;
    let serve = move |request: &Request| {
        layer.try_around(
            request,
            |session| answer(request, session, layer.sessions()),
            |refusal| match refusal {
                Refusal::Client(status, reason) => page(status, &json!({ "error": reason })),
                Refusal::Session(error) => {
                    let (status, reason) = layer.error_page(&error);
                    page(status, &json!({ "error": reason }))
                }
            },
        )
    };
    let port = std::env::args().nth(1).unwrap_or_else(|| "8080".to_owned());
    let server = Server::new(format!("127.0.0.1:{port}"), serve)?;
    println!("The API is at http://{}/", server.server_addr());
    server.pool_size(16).run();
    Ok(())
}

/// Why a request gets an error instead of its answer.
enum Refusal {
    Client(u16, &'static str),
    Session(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
    device: Option<String>,
}

// A form of another site cannot add the `Authorization` header, so no CSRF token is needed.
fn answer(request: &Request, session: &mut Session, sessions: &Sessions) -> Result<Response, Refusal> {
    let url = request.url();
    if (request.method(), url.as_str()) == ("POST", "/login") {
        return log_in(request, session, sessions);
    }
    let Some(owner) = session.owner()?.map(str::to_owned) else { return Err(Refusal::Client(401, "log in first")) };
    let (devices, here) = (sessions.owner(&owner)?, session.handle()?);
    match (request.method(), url.as_str()) {
        ("GET", "/me") => {
            let calls = session.modify("calls", |calls: &mut Option<u64>| *calls.insert(calls.unwrap_or(0) + 1))?;
            Ok(page(200, &json!({ "user": owner, "device": here.to_string(), "calls": calls })))
        }
        ("GET", "/devices") => {
            let list: Vec<_> = devices.list()?.iter().map(|device| describe(device, device.handle == here)).collect();
            Ok(page(200, &json!(list)))
        }
        ("DELETE", path) => {
            // A request can name any handle. `destroy` ends only sessions of this owner.
            let handle = path.strip_prefix("/devices/").and_then(|handle| handle.parse().ok());
            let ended = handle.map(|handle| devices.destroy(handle)).transpose()?;
            if ended.is_some_and(lembro::Outcome::is_done) {
                Ok(page(200, &json!({ "ended": path })))
            } else {
                Err(Refusal::Client(404, "no such device"))
            }
        }
        ("POST", "/logout") => {
            session.log_out()?;
            Ok(page(200, &json!({ "bye": owner })))
        }
        _ => Err(Refusal::Client(404, "nothing here")),
    }
}

fn log_in(request: &Request, session: &mut Session, sessions: &Sessions) -> Result<Response, Refusal> {
    // Read before the password is checked. If the user logs out everywhere while the hash is
    // computed, this login is refused.
    let begun = sessions.owner(USER)?.epoch()?;
    // A client can send a body of any length.
    let body = request.data().map(|body| body.take(10_000));
    let login: Option<Login> = body.and_then(|body| serde_json::from_reader(body).ok());
    let Some(login) = login else { return Err(Refusal::Client(400, "user and password, in JSON")) };
    if (login.user.as_str(), login.password.as_str()) != (USER, PASSWORD) {
        return Err(Refusal::Client(403, "no user of that name has that password"));
    }
    session.log_in_since(USER, begun)?;
    let device = login.device.unwrap_or_else(|| "unknown".to_owned());
    session.set_label(&device.chars().take(40).collect::<String>())?;
    Ok(page(200, &json!({ "welcome": USER })))
}

fn describe(device: &OwnedSession, is_here: bool) -> Value {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    json!({
        "device": device.handle.to_string(),
        "name": device.label,
        "since": device.since.map(seconds),
        "last_seen": seconds(device.last_seen),
        "here": is_here,
    })
}

fn page(status: u16, value: &Value) -> Response {
    let response = Response::from_data("application/json", format!("{value}\n")).with_status_code(status);
    // RFC 9110, 15.5.2: a 401 names the way to log in.
    if status == 401 { response.with_additional_header("WWW-Authenticate", "Bearer") } else { response }
}
