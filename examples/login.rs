//! Signing in and out: a new id at login, a message that is shown once, and forms that no other
//! site can send.
//!
//! `cargo run --example login --features rouille`, or with a port of your own after `--`. A real
//! one keeps an Argon2 hash for each user instead of a password, and slows down those who guess.

#![expect(clippy::print_stdout, clippy::needless_continue, reason = "an example may")]

use std::time::Duration;

use lembro::web::{CookieOptions, Secure, SessionLayer, SiteData};
use lembro::{LembroStore, Policy, Result, Session, SessionId, Store};
use rouille::{Request, Response, Server, post_input};
use subtle::ConstantTimeEq as _;

const USER: &str = "ada";
const PASSWORD: &str = "difference-engine";

pub(crate) type Anything = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Anything> {
    serve(LembroStore::new()?)
}

pub(crate) fn serve(store: impl Store) -> Result<(), Anything> {
    // A browser left open is good for a quarter of an hour, a stolen cookie for a working day.
    let policy = Policy::new().timeout(Duration::from_secs(15 * 60)).lifetime(Duration::from_secs(8 * 60 * 60));
    // `Auto`, so that it works over plain http here too. With https alone, leave it out.
    let cookie = CookieOptions::new().secure(Secure::Auto).clear_site_data([SiteData::Cache, SiteData::Storage]);
    let layer = SessionLayer::new(store).policy(policy)?.cookie(cookie)?;

    let serve = move |request: &Request| layer.rouille(request, |session| answer(request, session));
    let server = match std::env::args().nth(1) {
        Some(port) => Server::new(format!("127.0.0.1:{port}"), serve)?,
        None => Server::new("127.0.0.1:8080", serve.clone()).or_else(|_| Server::new("127.0.0.1:0", serve))?,
    };
    println!("Sign in at http://{}/", server.server_addr());
    server.pool_size(16).run();
    Ok(())
}

fn answer(request: &Request, session: &mut Session) -> Result<Response> {
    match (request.method(), request.url().as_str()) {
        ("GET", "/") => return page(session),
        ("POST", "/login" | "/logout") => {}
        _ => return Ok(Response::text("Nothing here.").with_status_code(404)),
    }
    let Ok(form) = post_input!(request, { csrf: String, user: Option<String>, password: Option<String> }) else {
        return Ok(Response::text("That is no form of ours.").with_status_code(400));
    };
    // Other sites can send a form here, but none of them can read the token in this session's
    // pages.
    let token = session.get_str("csrf")?;
    if !token.is_some_and(|token| token.as_bytes().ct_eq(form.csrf.as_bytes()).into()) {
        session.insert("flash", "That page had become too old. Please try again.")?;
        return Ok(page(session)?.with_status_code(403));
    }
    let (user, password) = (form.user.unwrap_or_default(), form.password.unwrap_or_default());
    if request.url() == "/logout" {
        session.log_out()?;
    } else if user == USER && password == PASSWORD {
        // A new id in the same step: one that was planted or seen before is worth nothing.
        session.log_in(USER)?;
        session.insert("user", &user)?;
        session.insert("csrf", &fresh_token()?)?;
        session.insert("flash", "Welcome. Your session has a new id; the old one is dead.")?;
    } else {
        session.insert("flash", "No user of that name has that password.")?;
        session.insert("typed", &user.chars().take(60).collect::<String>())?;
    }
    Ok(Response::redirect_303("/"))
}

fn page(session: &mut Session) -> Result<Response> {
    if !session.contains_key("csrf")? {
        session.insert("csrf", &fresh_token()?)?;
    }
    let flash = session.take::<String>("flash")?.unwrap_or_default();
    let typed = session.take::<String>("typed")?.unwrap_or_default();
    let user = session.get_str("user")?;
    let hidden = |hide| if hide { "hidden" } else { "" };
    let html = include_str!("login.html")
        .replace("{stranger}", hidden(user.is_some()))
        .replace("{member}", hidden(user.is_none()))
        .replace("{csrf}", &session.get_str("csrf")?.unwrap_or_default())
        .replace("{handle}", &session.handle()?.to_string())
        .replace("{flash}", &flash)
        .replace("{demo_user}", USER)
        .replace("{demo_password}", PASSWORD)
        .replace("{user}", &escape(&user.unwrap_or_default()))
        // Last, so that nothing is filled into what a stranger typed.
        .replace("{typed}", &escape(&typed));
    // No script, no frame around the page, no form that leads elsewhere.
    let rules =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'";
    Ok(Response::html(html).with_additional_header("Content-Security-Policy", rules))
}

/// 24 bytes that cannot be guessed, as text. Made like an id, but never one.
fn fresh_token() -> Result<String> {
    Ok(SessionId::random()?.expose())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
