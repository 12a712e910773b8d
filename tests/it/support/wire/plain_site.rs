//! A real `tiny_http` server on a port of its own, whose handler answers the request itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tiny_http::{Request, Server};

use super::Listener;

/// More threads than any test has requests that wait for each other.
const THREADS: usize = 8;

pub(crate) struct PlainSite {
    server: Arc<Server>,
    pool: Vec<JoinHandle<()>>,
}

impl PlainSite {
    pub(crate) fn start(handler: impl Fn(Request) + Send + Sync + 'static) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let handler = Arc::new(handler);
        let worker = || {
            let (server, handler) = (Arc::clone(&server), Arc::clone(&handler));
            move || server.incoming_requests().for_each(|request| handler(request))
        };
        let pool = (0..THREADS).map(|_| thread::spawn(worker())).collect();
        Self { server, pool }
    }
}

impl Listener for PlainSite {
    fn address(&self) -> SocketAddr {
        self.server.server_addr().to_ip().unwrap()
    }
}

impl Drop for PlainSite {
    fn drop(&mut self) {
        for _ in &self.pool {
            self.server.unblock();
        }
        for worker in self.pool.drain(..) {
            worker.join().unwrap();
        }
    }
}
