//! A real `tiny_http` server on a port of its own, with a pool of threads, for the tests that go
//! over sockets.

mod client;

use std::io::Cursor;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use lembro::Session;
use lembro::web::SessionLayer;
use tiny_http::{Request, Response, Server};

pub(crate) use self::client::{Browser, send};

pub(crate) type Page = Response<Cursor<Vec<u8>>>;

/// More threads than any test has requests under way that wait for each other.
const THREADS: usize = 8;

pub(crate) struct Site {
    server: Arc<Server>,
    pool: Vec<JoinHandle<()>>,
}

impl Site {
    /// Serves with one layer: the session goes into the handler, and `finish` comes after it.
    pub(crate) fn start(
        layer: &SessionLayer,
        handler: impl Fn(&mut Request, &mut Session) -> lembro::Result<String> + Send + Sync + 'static,
    ) -> Self {
        let layer = layer.clone();
        Self::raw(move |request| {
            let mut session = layer.load(&*request);
            let text = handler(request, &mut session)?;
            Ok(layer.finish(&mut session)?.add_to(Response::from_string(text)))
        })
    }

    /// Serves with whatever the handler makes of the request. An error is answered with status 500
    /// and its text; so is a panic, which the pool survives.
    pub(crate) fn raw(handler: impl Fn(&mut Request) -> lembro::Result<Page> + Send + Sync + 'static) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let handler = Arc::new(handler);
        let worker = || {
            let (server, handler) = (Arc::clone(&server), Arc::clone(&handler));
            move || {
                for mut request in server.incoming_requests() {
                    let answer = catch_unwind(AssertUnwindSafe(|| handler(&mut request)));
                    let failed = |text: String| Response::from_string(text).with_status_code(500);
                    let _ = request.respond(match answer {
                        Ok(answer) => answer.unwrap_or_else(|error| failed(error.to_string())),
                        Err(_) => failed("panic".to_owned()),
                    });
                }
            }
        };
        let pool = (0..THREADS).map(|_| thread::spawn(worker())).collect();
        Self { server, pool }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.server_addr().to_ip().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for _ in &self.pool {
            self.server.unblock();
        }
        for worker in self.pool.drain(..) {
            worker.join().unwrap();
        }
    }
}
