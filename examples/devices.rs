//! A page "where am I logged in": the list of a user's devices, to end one, all others, or all.
//!
//! Run `cargo run --example devices --features rouille`; an argument after `--` is another port.
//! Sign in from several browsers or private windows, and end one from another. Three sessions are
//! allowed: a fourth login ends the oldest. `login.rs` explains the form, its token and the
//! password.

#![expect(clippy::print_stdout, clippy::needless_continue, reason = "an example may")]

use std::time::{Duration, SystemTime};

use humantime::format_duration;
use lembro::web::{CookieOptions, Secure, SessionLayer};
use lembro::{EndReason, LembroStore, OwnedSession, Policy, Result, Session, Sessions};
use rouille::{Request, Response, Server, post_input};

const USER: &str = "ada";
const PASSWORD: &str = "difference-engine";
type Field = Option<String>;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // "Last seen" is exact to `touch_after`, by default a minute.
    let policy = Policy::new().max_per_owner(3).touch_after(Duration::from_secs(5));
    // `Auto` also works over plain http, as here. A site with https alone keeps the default.
    let cookie = CookieOptions::new().secure(Secure::Auto);
    let layer = SessionLayer::new(LembroStore::new()?).policy(policy)?.cookie(cookie)?;
    let port = std::env::args().nth(1).unwrap_or_else(|| "8080".to_owned());
    let server = Server::new(format!("127.0.0.1:{port}"), move |request| {
        layer.rouille(request, |session| answer(request, session, layer.sessions()))
    })?;
    println!("Sign in from several browsers at http://{}/", server.server_addr());
    server.pool_size(16).run();
    Ok(())
}

fn answer(request: &Request, session: &mut Session, sessions: &Sessions) -> Result<Response> {
    if (request.method(), request.url().as_str()) == ("GET", "/") {
        return page(session, sessions, "");
    }
    // `post_input!` reads a form of any length into memory, so the announced length is checked.
    let length = request.header("Content-Length").and_then(|length| length.parse::<u64>().ok());
    if length.is_none_or(|length| length > 10_000) {
        return Ok(Response::text("Nothing here.").with_status_code(404));
    }
    let Ok(form) = post_input!(request, { csrf: String, user: Field, password: Field, device: Field }) else {
        return Ok(Response::text("Nothing here.").with_status_code(404));
    };
    if !session.check_csrf(&form.csrf)? {
        return Ok(page(session, sessions, "That page had become too old. Please try again.")?.with_status_code(403));
    }
    match (request.url().as_str(), session.owner()?.map(str::to_owned)) {
        ("/login", _) => {
            // Read before the password is checked, so that signing out everywhere also ends a
            // login under way.
            let begun = sessions.owner(USER)?.epoch()?;
            if (form.user.as_deref(), form.password.as_deref()) != (Some(USER), Some(PASSWORD)) {
                return Ok(page(session, sessions, "No user of that name has that password.")?.with_status_code(403));
            }
            session.log_in_since(USER, begun)?;
            session.set_label(&label(request.header("User-Agent").unwrap_or_default()))?;
        }
        ("/end", Some(owner)) => {
            // A form can name any handle. `destroy` ends only sessions of this owner.
            if let Some(handle) = form.device.and_then(|handle| handle.parse().ok()) {
                let _ended = sessions.owner(&owner)?.destroy(handle)?;
            }
        }
        ("/others", _) => drop(session.destroy_others()?),
        // Ends this browser's session too; its next page says so, as on the other devices.
        ("/everywhere", Some(owner)) => drop(sessions.owner(&owner)?.destroy_all()?),
        ("/logout", _) => session.log_out()?,
        // The session ended after the page was loaded.
        ("/end" | "/everywhere", None) => {}
        _ => return Ok(Response::text("Nothing here.").with_status_code(404)),
    }
    Ok(Response::redirect_303("/"))
}

fn page(session: &mut Session, sessions: &Sessions, message: &str) -> Result<Response> {
    let message = match session.end_reason()? {
        Some(EndReason::Limit) => "You signed in on a fourth device. This one had been signed in for the longest.",
        Some(EndReason::Revoked) => "You were signed out here, from another of your devices.",
        Some(_) => "You signed out everywhere.",
        None => message,
    };
    let csrf = session.csrf_token()?;
    let (owner, here) = (session.owner()?, session.handle()?);
    let devices = owner.map_or(Ok(Vec::new()), |owner| sessions.owner(owner)?.list())?;
    let html = include_str!("devices.html")
        .replace("{place}", if owner.is_some() { "inside" } else { "door" })
        .replace("{csrf}", &csrf)
        .replace("{message}", message)
        // Replaced last: a browser's name may contain a placeholder.
        .replace("{devices}", &devices.iter().map(|device| item(device, device.handle == here)).collect::<String>());
    let rules =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'";
    Ok(Response::html(html).with_additional_header("Content-Security-Policy", rules))
}

fn item(device: &OwnedSession, is_here: bool) -> String {
    let name = device.label.as_deref().unwrap_or("Unknown").replace('&', "&amp;").replace('<', "&lt;");
    let ago = |then: SystemTime| format_duration(Duration::from_secs(then.elapsed().unwrap_or_default().as_secs()));
    let (since, seen) = (ago(device.since.unwrap_or(device.last_seen)), ago(device.last_seen));
    let (class, handle) = (if is_here { "here" } else { "elsewhere" }, device.handle);
    format!(
        "<li class={class}><div><b>{name}</b><small>Signed in {since} ago, last seen {seen} ago</small></div>\
         <em>this device</em><button name=device value={handle} formaction=/end>Sign out</button></li>"
    )
}

/// Such as "Firefox on Linux"; for an unknown browser the start of its `User-Agent`.
fn label(user_agent: &str) -> String {
    // In this order, because most browsers also name Safari, and Android also names Linux.
    let first = |names: &[&'static str]| names.iter().copied().find(|name| user_agent.contains(name));
    let system = first(&["Android", "iPhone", "iPad", "Windows", "Mac", "Linux"]);
    match (first(&["Firefox", "Chrome", "Safari"]), system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        _ => user_agent.chars().take(40).collect(),
    }
}
