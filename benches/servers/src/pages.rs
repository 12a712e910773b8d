//! The page on each server, with a session and without.
//!
//! The page with a session reads its only key, changes it and shows it.

use std::convert::Infallible;
use std::io::Cursor;
use std::iter;
use std::net::TcpListener;
use std::thread;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use lembro::web::{CookieOptions, Secure, SessionLayer};
use lembro::{LembroOptions, LembroStore, Session};
use tower_sessions::{MemoryStore, SessionManagerLayer};

use crate::median::AnyError;
use crate::process::{Kind, Page};

/// The threads of a server that has a pool of them.
const THREADS: usize = 8;

const CONSTANT: &str = "Visit number 1\n";

/// Prints the address and serves until the process ends.
pub(crate) fn serve(kind: Kind, page: Page) -> Result<(), AnyError> {
    match (kind, page) {
        (Kind::Rouille, Page::With) => {
            let layer = layer()?;
            serve_rouille(move |request| layer.rouille(request, |session| Ok(rouille::Response::text(visit(session)?))))
        }
        (Kind::Rouille, Page::Without) => serve_rouille(|_| rouille::Response::text(CONSTANT)),
        (Kind::TinyHttp, Page::With) => {
            let layer = layer()?;
            serve_tiny_http(|request| layer.tiny_http(request, |_, session| Ok(tiny_page(visit(session)?))))
        }
        (Kind::TinyHttp, Page::Without) => serve_tiny_http(|request| {
            let _ = request.respond(tiny_page(CONSTANT.to_owned()));
        }),
        (Kind::Touche, Page::With) => {
            let layer = layer()?;
            serve_touche(move |request| {
                layer.http(&request, |session| Ok(touche::Response::new(visit(session)?.into())))
            })
        }
        (Kind::Touche, Page::Without) => serve_touche(|_| touche::Response::new(CONSTANT.to_owned().into())),
        (Kind::Axum, Page::With) => serve_axum(with_lembro()?),
        (Kind::TowerSessions, Page::With) => serve_axum(with_tower_sessions()),
        (Kind::Axum | Kind::TowerSessions, Page::Without) => serve_axum(without()),
        (Kind::Express, _) => Err("express is express/server.js".into()),
    }
}

/// The defaults, but for a cookie that works over http and a store that holds all visitors.
fn layer() -> Result<SessionLayer, AnyError> {
    let store = LembroStore::with_options(LembroOptions::new().max_size("256M"))?;
    Ok(SessionLayer::new(store).cookie(CookieOptions::new().secure(Secure::Auto))?)
}

fn visit(session: &mut Session) -> lembro::Result<String> {
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", &visits)?;
    Ok(format!("Visit number {visits}\n"))
}

fn serve_rouille(
    answer: impl Fn(&rouille::Request) -> rouille::Response + Send + Sync + 'static,
) -> Result<(), AnyError> {
    let server = rouille::Server::new("127.0.0.1:0", answer)?;
    announce(server.server_addr());
    server.pool_size(THREADS).run();
    Ok(())
}

fn tiny_page(text: String) -> tiny_http::Response<Cursor<Vec<u8>>> {
    tiny_http::Response::from_string(text)
}

fn serve_tiny_http(answer: impl Fn(tiny_http::Request) + Sync) -> Result<(), AnyError> {
    let server = tiny_http::Server::http("127.0.0.1:0")?;
    announce(server.server_addr());
    thread::scope(|pool| {
        for _ in 0..THREADS {
            pool.spawn(|| server.incoming_requests().for_each(&answer));
        }
    });
    Ok(())
}

fn serve_touche(
    answer: impl Fn(touche::Request<touche::Body>) -> touche::Response<touche::Body> + Clone + Send + Sync + 'static,
) -> Result<(), AnyError> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    announce(listener.local_addr()?);
    let connections = iter::from_fn(|| listener.accept().ok().map(|(stream, _)| stream));
    let server = touche::Server::builder().max_threads(THREADS).from_connections(connections);
    server.serve(move |request: touche::Request<touche::Body>| Ok::<_, Infallible>(answer(request)))?;
    Ok(())
}

fn serve_axum(router: Router) -> Result<(), AnyError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        announce(listener.local_addr()?);
        axum::serve(listener, router).await?;
        Ok(())
    })
}

fn announce(address: impl std::fmt::Display) {
    println!("http://{address}");
}

/// The page without a session.
pub(crate) fn without() -> Router {
    Router::new().route("/", get(|| async { CONSTANT.to_owned() }))
}

/// The page with a session of lembro.
pub(crate) fn with_lembro() -> Result<Router, AnyError> {
    async fn page(State(layer): State<SessionLayer>, request: Request) -> Response {
        layer.http(&request, |session| {
            let mut response = Response::new(visit(session)?.into());
            let text = axum::http::HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(axum::http::header::CONTENT_TYPE, text);
            Ok(response)
        })
    }
    Ok(Router::new().route("/", get(page)).with_state(layer()?))
}

/// The page with a session of tower-sessions.
pub(crate) fn with_tower_sessions() -> Router {
    async fn page(session: tower_sessions::Session) -> Result<String, axum::http::StatusCode> {
        let failed = |_| axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        let visits = session.get::<u64>("visits").await.map_err(failed)?.unwrap_or(0) + 1;
        session.insert("visits", visits).await.map_err(failed)?;
        Ok(format!("Visit number {visits}\n"))
    }
    let layer = SessionManagerLayer::new(MemoryStore::default()).with_secure(false);
    Router::new().route("/", get(page)).layer(layer)
}
