//! The claims of the page `web::in_front` about `tiny_http`. If one of these tests fails,
//! `tiny_http` has become stricter, and the page must say so.
#![cfg(feature = "tiny_http")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use lembro::LembroStore;
use lembro::web::SessionLayer;
use tiny_http::{Response, Server};

/// A request that a client hides in a body.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";

/// The paths of the requests in a connection that sends these bytes. A handler reads at most a
/// hundred bytes of a body.
fn paths(bytes: &str) -> Vec<String> {
    let (server, layer) = (Server::http("127.0.0.1:0").unwrap(), SessionLayer::new(LembroStore::new().unwrap()));
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
