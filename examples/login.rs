//! Signing in and out: a new id at login, "remember me", a message shown once, forms with a token.
//!
//! Run `cargo run --example login --features rouille`; an argument after `--` is another port. Sign
//! in and reload: the message is gone. Watch the cookie change at the login. A real login stores an
//! Argon2 hash of each password, and limits the attempts to guess one.

#![expect(clippy::print_stdout, clippy::needless_continue, reason = "an example may")]

use lembro::web::{CookieOptions, Secure, SessionLayer, SiteData};
use lembro::{LembroStore, Policy, Result, Session, Sessions, Store};
use rouille::{Request, Response, Server, post_input};

const USER: &str = "ada";
const PASSWORD: &str = "difference-engine";

pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), AnyError> {
    serve(LembroStore::new()?)
}

pub(crate) fn serve(store: impl Store) -> Result<(), AnyError> {
    // A browser left open is signed in for a quarter of an hour, a stolen cookie works for a
    // working day. Users that tick "remember me" choose longer.
    let policy = Policy::new().timeout("15m").lifetime("8h").remember("14d", "90d");
    // `Auto` also works over plain http, as here. A site with https alone keeps the default.
    let cookie = CookieOptions::new().secure(Secure::Auto).clear_site_data([SiteData::Cache, SiteData::Storage]);
    let layer = SessionLayer::new(store).policy(policy)?.cookie(cookie)?;

    let serve = move |request: &Request| layer.rouille(request, |session| answer(request, session, layer.sessions()));
    let server = match std::env::args().nth(1) {
        Some(port) => Server::new(format!("127.0.0.1:{port}"), serve)?,
        None => Server::new("127.0.0.1:8080", serve.clone()).or_else(|_| Server::new("127.0.0.1:0", serve))?,
    };
    println!("Sign in at http://{}/", server.server_addr());
    server.pool_size(16).run();
    Ok(())
}

fn answer(request: &Request, session: &mut Session, sessions: &Sessions) -> Result<Response> {
    match (request.method(), request.url().as_str()) {
        ("GET", "/") => return page(session),
        ("POST", "/login" | "/logout") if is_short(request) => {}
        ("POST", "/login" | "/logout") => return Ok(Response::text("Too long.").with_status_code(413)),
        _ => return Ok(Response::text("Nothing here.").with_status_code(404)),
    }
    let fields = post_input!(request, { csrf: String, user: Option<String>, password: Option<String>, remember: bool });
    let Ok(form) = fields else { return Ok(Response::text("That is no form of ours.").with_status_code(400)) };
    // Other sites can send a form to this server, but cannot read the token in its pages.
    if !session.check_csrf(&form.csrf)? {
        session.insert("flash", "That page had become too old. Please try again.")?;
        return Ok(page(session)?.with_status_code(403));
    }
    if request.url() == "/logout" {
        session.log_out()?;
        return Ok(Response::redirect_303("/"));
    }
    // Read before the password is checked. If the user logs out everywhere while the hash is
    // computed, this login is refused.
    let begun = sessions.owner(USER)?.epoch()?;
    let (user, password) = (form.user.unwrap_or_default(), form.password.unwrap_or_default());
    if is_right(&user, &password) {
        // The same step gives the session a new id, so an id that was planted or seen before the
        // login opens nothing.
        session.log_in_since(USER, begun)?;
        session.remember(form.remember)?;
        session.insert("flash", "Welcome. Your session has a new id; the old one is dead.")?;
    } else {
        session.insert("flash", "No user of that name has that password.")?;
        session.insert("typed", &user.chars().take(60).collect::<String>())?;
    }
    Ok(Response::redirect_303("/"))
}

fn page(session: &mut Session) -> Result<Response> {
    let csrf = session.csrf_token()?;
    let flash = session.take::<String>("flash")?.unwrap_or_default();
    let typed = session.take::<String>("typed")?.unwrap_or_default();
    let user = session.owner()?;
    let hidden = |hide| if hide { "hidden" } else { "" };
    let ends = if session.is_remembered()? {
        "14 days after your last visit, 90 days after you signed in"
    } else {
        "15 minutes after your last visit, 8 hours after you signed in"
    };
    let html = include_str!("login.html")
        .replace("{stranger}", hidden(user.is_some()))
        .replace("{member}", hidden(user.is_none()))
        .replace("{csrf}", &csrf)
        .replace("{handle}", &session.handle()?.to_string())
        .replace("{flash}", &flash)
        .replace("{ends}", ends)
        .replace("{demo_user}", USER)
        .replace("{demo_password}", PASSWORD)
        .replace("{user}", &escape(user.unwrap_or_default()))
        // Replaced last: the typed text may contain a placeholder.
        .replace("{typed}", &escape(&typed));
    // No scripts, no frame around the page, no forms to other sites.
    let rules =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'";
    Ok(Response::html(html).with_additional_header("Content-Security-Policy", rules))
}

/// Compares with the one user. A real login calls its Argon2 library, which compares in constant
/// time; this password is not secret, because the page shows it.
fn is_right(user: &str, password: &str) -> bool {
    user == USER && password == PASSWORD
}

/// `post_input!` reads a form of any length into memory, so the announced length is checked first.
fn is_short(request: &Request) -> bool {
    request.header("Content-Length").and_then(|length| length.parse().ok()).is_some_and(|length: u64| length <= 10_000)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
