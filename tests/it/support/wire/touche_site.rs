//! A real `touche` server on a port of its own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use touche::{Body, Request, Response, Server};

use super::Listener;

pub(crate) struct ToucheSite {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ToucheSite {
    pub(crate) fn start(handler: impl Fn(Request<Body>) -> Response<Body> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (stopped, handler) = (Arc::clone(&stop), Arc::new(handler));
        let serve = move || {
            let connections = listener
                .incoming()
                .map_while(move |connection| if stopped.load(Ordering::SeqCst) { None } else { connection.ok() });
            let server = Server::builder().max_threads(64).nodelay(true).from_connections(connections);
            server.serve(move |request| Ok::<_, std::io::Error>(handler(request))).unwrap();
        };
        Self { address, stop, thread: Some(thread::spawn(serve)) }
    }
}

impl Listener for ToucheSite {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ToucheSite {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // The server reads the flag when a connection arrives.
        let _arrives = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}
