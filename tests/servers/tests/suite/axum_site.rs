//! A real `axum` server with its own port and runtime.

use std::io::Read;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Response, StatusCode, header};
use futures_util::FutureExt as _;
use futures_util::stream;
use lembro::web::SessionLayer;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::wire::{Application, Listener, Page, Target};

pub(crate) struct AxumSite {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl AxumSite {
    pub(crate) fn start(router: Router) -> Self {
        // More threads than any test has requests that wait for each other.
        let runtime = Builder::new_multi_thread().worker_threads(12).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { address, runtime: Some(runtime) }
    }

    /// Handles each request on a thread for blocking work.
    pub(crate) fn blocking(layer: SessionLayer, application: Application) -> Self {
        Self::start(Router::new().fallback(move |request: Request| {
            let (layer, application) = (layer.clone(), application.clone());
            async move {
                let (parts, _body) = request.into_parts();
                let target = Target::new(parts.method.as_str(), parts.uri.path());
                let answer = move || layer.http(&parts, |session| application(&target, session).map(response));
                tokio::task::spawn_blocking(answer).await.unwrap()
            }
        }))
    }

    /// Handles each request in an async handler that keeps the session across awaits.
    pub(crate) fn asynchronous(layer: SessionLayer, application: Application) -> Self {
        Self::start(Router::new().fallback(move |request: Request| {
            let (layer, application) = (layer.clone(), application.clone());
            async move {
                let (parts, _body) = request.into_parts();
                let target = Target::new(parts.method.as_str(), parts.uri.path());
                let mut session = layer.load(&parts);
                let handler = async {
                    tokio::task::yield_now().await;
                    // Some handlers of the suite wait for other requests.
                    let page = tokio::task::block_in_place(|| application(&target, &mut session));
                    tokio::task::yield_now().await;
                    page
                };
                let answered = match AssertUnwindSafe(handler).catch_unwind().await {
                    Ok(page) => page.map(response).map_err(Failure::Session),
                    Err(_panic) => Err(Failure::Panic),
                };
                layer.respond(&mut session, answered, |failure| {
                    let (status, text) = match failure {
                        Failure::Session(error) => layer.error_page(&error),
                        Failure::Panic => (500, "Internal server error"),
                    };
                    let mut response = Response::new(Body::from(text));
                    *response.status_mut() = StatusCode::from_u16(status).unwrap();
                    response
                })
            }
        }))
    }
}

enum Failure {
    Session(lembro::Error),
    Panic,
}

impl From<lembro::Error> for Failure {
    fn from(error: lembro::Error) -> Self {
        Self::Session(error)
    }
}

/// A response whose body is read while it is sent.
fn response(page: Page) -> Response<Body> {
    let announced = page.length.filter(|_| page.status == 200);
    let mut response = page.into_http(|mut reader, _| {
        Body::from_stream(stream::iter(std::iter::from_fn(move || {
            let mut chunk = [0; 1024];
            let length = reader.read(&mut chunk).unwrap();
            (length > 0).then(|| Ok::<_, std::io::Error>(Bytes::copy_from_slice(&chunk[..length])))
        })))
    });
    if let Some(length) = announced {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

impl Listener for AxumSite {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AxumSite {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
