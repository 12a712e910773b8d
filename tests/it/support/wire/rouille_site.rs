//! A real `rouille` server on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rouille::{Request, Response, Server};

use super::Listener;

/// How long the end of a test waits for its server at most.
const TICK: Duration = Duration::from_millis(5);

pub(crate) struct RouilleSite {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RouilleSite {
    pub(crate) fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let server = Server::new("127.0.0.1:0", handler).unwrap();
        let (address, stop) = (server.server_addr(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            while !stopped.load(Ordering::SeqCst) {
                server.poll_timeout(TICK);
            }
        };
        Self { address, stop, thread: Some(thread::spawn(serve)) }
    }
}

impl Listener for RouilleSite {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RouilleSite {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}
