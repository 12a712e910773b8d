//! Real servers on ports of their own: `rouille`, `touche`, and `tiny_http`, whose handler answers
//! the request itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::Listener;

/// A server that stops when it is dropped.
pub(crate) struct ServedSite {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Makes one thread read the flag.
    wake: Box<dyn Fn() + Send + Sync>,
}

#[cfg(feature = "rouille")]
impl ServedSite {
    pub(crate) fn rouille(handler: impl Fn(&rouille::Request) -> rouille::Response + Send + Sync + 'static) -> Self {
        let server = rouille::Server::new("127.0.0.1:0", handler).unwrap();
        let (address, stop) = (server.server_addr(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            while !stopped.load(Ordering::SeqCst) {
                server.poll_timeout(std::time::Duration::from_millis(5));
            }
        };
        Self { address, stop, threads: vec![thread::spawn(serve)], wake: Box::new(|| {}) }
    }
}

#[cfg(feature = "tiny_http")]
impl ServedSite {
    pub(crate) fn tiny_http(handler: impl Fn(tiny_http::Request) + Send + Sync + 'static) -> Self {
        /// More threads than any test has requests that wait for each other.
        const THREADS: usize = 8;
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let handler = Arc::new(handler);
        let worker = || {
            let (server, handler) = (Arc::clone(&server), Arc::clone(&handler));
            move || server.incoming_requests().for_each(|request| handler(request))
        };
        let threads = (0..THREADS).map(|_| thread::spawn(worker())).collect();
        let address = server.server_addr().to_ip().unwrap();
        Self { address, stop: Arc::default(), threads, wake: Box::new(move || server.unblock()) }
    }
}

#[cfg(all(feature = "http", feature = "rouille"))]
impl ServedSite {
    pub(crate) fn touche(
        handler: impl Fn(touche::Request<touche::Body>) -> touche::Response<touche::Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (stopped, handler) = (Arc::clone(&stop), Arc::new(handler));
        let serve = move || {
            let connections = listener
                .incoming()
                .map_while(move |connection| if stopped.load(Ordering::SeqCst) { None } else { connection.ok() });
            let server = touche::Server::builder().max_threads(64).nodelay(true).from_connections(connections);
            server.serve(move |request| Ok::<_, std::io::Error>(handler(request))).unwrap();
        };
        // The server reads the flag when a connection arrives.
        let wake = move || drop(std::net::TcpStream::connect(address));
        Self { address, stop, threads: vec![thread::spawn(serve)], wake: Box::new(wake) }
    }
}

impl Listener for ServedSite {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ServedSite {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.iter().for_each(|_| (self.wake)());
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}
