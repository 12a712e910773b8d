//! The adapter for `tiny_http`, which sends every response itself, beyond the suite of
//! `web/servers`; and the claims of the page `web::in_front` about this server. If one of those
//! tests fails, `tiny_http` has become stricter, and the page must say so.
#![cfg(feature = "tiny_http")]

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;

use lembro::web::SessionLayer;
use lembro::{Error, Result, Session, Store};
use tiny_http::{Request, Response, Server};

use crate::support::wire::{
    Browser, Listener as _, Page, ServedSite, Target, UnreliableStore, application, layer, store,
};

fn page(request: &mut Request, session: &mut Session) -> Result<Response<Box<dyn Read + Send>>> {
    let target = Target::new(request.method().as_str(), request.url());
    if !["/", "/look", "/panic", "/too-large"].contains(&request.url()) {
        return Err(Error::size(format!("no page {:.20}", request.url())));
    }
    application(&target, session).map(Page::into_plain)
}

fn site(layer: &SessionLayer) -> ServedSite {
    let layer = layer.clone();
    ServedSite::tiny_http(move |request| layer.tiny_http(request, page))
}

#[test]
fn socket_failing_handlers_are_answered() {
    let store = store();
    let layer = layer(store.clone());
    let errors = layer.errors();
    let site = site(&layer);
    let browser = Browser::new();
    browser.get(&site, "/");
    // More requests than the server has threads.
    for _ in 0..10 {
        for path in ["/panic", "/too-large", "/nowhere", &format!("/{}", "x".repeat(60_000))] {
            let answer = browser.get(&site, path);
            assert_eq!((answer.status, answer.body.as_str()), (500, "Internal server error"), "{path:.20}");
            answer.assert_silent();
        }
    }
    assert_eq!(errors.try_iter().filter(Error::is_size).count(), 30);
    assert_eq!(browser.get(&site, "/look").body, "1");
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn socket_store_down_is_a_503() {
    let store = Arc::new(UnreliableStore::new(store()));
    let layer = layer(Arc::clone(&store));
    let (plain, own) = (site(&layer), {
        let layer = layer.clone();
        ServedSite::tiny_http(move |request| {
            let failed = |error: Error| Response::from_string(format!("later: {error}")).with_status_code(502).boxed();
            layer.try_tiny_http(request, page, failed);
        })
    });
    let browser = Browser::new();
    assert_eq!(browser.get(&plain, "/").body, "1");
    for (reads, writes) in [(true, false), (false, true)] {
        store.fail(reads, writes);
        let answer = browser.get(&plain, "/");
        assert_eq!((answer.status, answer.body.as_str()), (503, "Service unavailable"));
        answer.assert_silent();
        let answer = browser.get(&own, "/");
        assert_eq!((answer.status, answer.body.as_str()), (502, "later: the store failed"));
    }
    store.fail(false, false);
    assert_eq!(browser.get(&plain, "/").body, "2");
}

#[test]
fn socket_hang_up_ends_no_server() {
    let site = site(&layer(store()));
    for _ in 0..20 {
        let mut socket = TcpStream::connect(site.address()).unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        drop(socket);
    }
    for _ in 0..8 {
        assert_eq!(Browser::new().get(&site, "/").body, "1");
    }
}

/// A request that a client hides in a body.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";

/// The paths of the requests in a connection that sends these bytes. A handler reads at most a
/// hundred bytes of a body.
fn paths(bytes: &str) -> Vec<String> {
    let (server, layer) = (Server::http("127.0.0.1:0").unwrap(), layer(store()));
    let address = server.server_addr().to_ip().unwrap();
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut paths = Vec::new();
            for request in server.incoming_requests() {
                layer.tiny_http(request, |request, _session| {
                    paths.push(request.url().to_owned());
                    let mut body = Vec::new();
                    // The body may break off.
                    let _ = request.as_reader().take(100).read_to_end(&mut body);
                    Ok(Response::empty(204))
                });
            }
            paths
        });
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(bytes.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        // The server closes the connection after the last answer. A reset is an end too.
        let _ = client.read_to_end(&mut Vec::new());
        server.unblock();
        serving.join().unwrap()
    })
}

fn post(headers: &str, body: &str) -> Vec<String> {
    paths(&format!("POST /form HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}"))
}

#[test]
fn socket_announced_body_is_no_request() {
    assert_eq!(post(&format!("Content-Length: {}", HIDDEN.len()), HIDDEN), ["/form"]);
}

#[test]
fn socket_first_of_two_lengths_counts() {
    let length = HIDDEN.len();
    for headers in [
        format!("Content-Length: 0\r\nContent-Length: {length}"),
        format!("Content-Length: {length}, {length}"),
        format!("Content-Length: 0x{length:x}"),
    ] {
        assert_eq!(post(&headers, HIDDEN), ["/form", "/hidden"], "{headers}");
    }
}

#[test]
fn socket_any_encoding_means_chunked() {
    let body = format!("0\r\n\r\n{HIDDEN}");
    for encoding in ["chunked", "identity", "gzip, chunked", "x"] {
        let headers = format!("Content-Length: {}\r\nTransfer-Encoding: {encoding}", body.len());
        assert_eq!(post(&headers, &body), ["/form", "/hidden"], "{encoding}");
    }
}

#[test]
fn socket_unread_chunks_are_the_next_request() {
    let body = format!("{}{HIDDEN}", "x".repeat(100));
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(post("Transfer-Encoding: chunked", &chunked), ["/form", "/hidden"]);
}
