//! Sessions in async handlers: a counter, a login with its password check on a thread, a logout.
//!
//! Run `cargo run --manifest-path tests/servers/Cargo.toml --example axum`; an argument after `--`
//! is another port. Try:
//!
//! ```sh
//! curl -b jar -c jar http://127.0.0.1:8080/
//! curl -b jar -c jar http://127.0.0.1:8080/login -d user=ada -d password=difference-engine
//! curl -b jar -c jar http://127.0.0.1:8080/logout -X POST
//! ```
//!
//! `SameSite=Lax` keeps the cookie off other sites' forms. Pages with forms should also have a
//! token, as in `examples/login.rs`.

use axum::Router;
use axum::body::Body;
use axum::extract::{Form, Request, State};
use axum::http::{Response, StatusCode, request::Parts};
use axum::routing::{get, post};
use lembro::web::{CookieOptions, Secure, SessionLayer};
use lembro::{LembroStore, Result, Session};

type Answer = Result<Response<Body>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // `Auto` also works over plain http, as here. A site with https alone keeps the default.
    let cookie = CookieOptions::new().secure(Secure::Auto);
    let layer = SessionLayer::new(LembroStore::new()?).cookie(cookie)?;
    let port = std::env::args().nth(1).unwrap_or_else(|| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("Count at http://{}/", listener.local_addr()?);
    axum::serve(listener, application(layer)).await?;
    Ok(())
}

/// The routes. The store is in memory, so its operations take microseconds and may run on a thread
/// of the runtime. With a store on Redis, run `layer.http` in `tokio::task::spawn_blocking`.
pub(crate) fn application(layer: SessionLayer) -> Router {
    Router::new().route("/", get(count)).route("/login", post(log_in)).route("/logout", post(log_out)).with_state(layer)
}

async fn count(State(layer): State<SessionLayer>, request: Request) -> Response<Body> {
    let (parts, _body) = request.into_parts();
    let mut session = layer.load(&parts);
    let answered = visits(&mut session).await;
    respond(&layer, &mut session, answered)
}

/// Keeps the session across an await, which is fine because a session holds no lock.
async fn visits(session: &mut Session) -> Answer {
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", &visits)?;
    tokio::task::yield_now().await;
    let user = session.owner()?.unwrap_or("stranger");
    Ok(Response::new(Body::from(format!("Visit number {visits}, {user}\n"))))
}

async fn log_in(
    State(layer): State<SessionLayer>,
    parts: Parts,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response<Body> {
    let mut session = layer.load(&parts);
    let answered = async {
        let field = |name: &str| fields.iter().find(|(one, _)| one == name).map(|(_, value)| value.clone());
        let (user, password) = (field("user").unwrap_or_default(), field("password").unwrap_or_default());
        // A real login computes an Argon2 hash here. If the client disconnects, the handler ends at
        // this await and nothing is stored.
        let check =
            tokio::task::spawn_blocking(move || (user == "ada" && password == "difference-engine").then_some(user));
        let Ok(Some(user)) = check.await else { return Ok(text(StatusCode::FORBIDDEN, "No such user or password.\n")) };
        // The last step: `respond` commits the login and sends the client its new id.
        session.log_in(&user)?;
        Ok(text(StatusCode::OK, "Welcome.\n"))
    }
    .await;
    respond(&layer, &mut session, answered)
}

async fn log_out(State(layer): State<SessionLayer>, request: Request) -> Response<Body> {
    let (parts, _body) = request.into_parts();
    layer.http(&parts, |session| {
        session.log_out()?;
        Ok(text(StatusCode::OK, "Bye.\n"))
    })
}

/// Ends the request: saves the session, and adds its headers to the response or the error page.
fn respond(layer: &SessionLayer, session: &mut Session, answered: Answer) -> Response<Body> {
    layer.respond(session, answered, |error| {
        let (status, page) = layer.error_page(&error);
        text(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), page)
    })
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
