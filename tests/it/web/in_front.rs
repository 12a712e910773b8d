//! What the page `web::in_front` says about the server below, as far as it can be tried: when one
//! of these fails, `tiny_http` has become stricter, and the page is to say so.
#![cfg(feature = "tiny_http")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use lembro::LembroStore;
use lembro::web::SessionLayer;
use tiny_http::{Response, Server};

/// What a client hides in a body: a request of its own.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";

/// The paths that handlers were called with, by one connection that sent these bytes. A handler
/// reads at most a hundred bytes of a body.
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
                    // A body that breaks off is none.
                    let _ = request.as_reader().take(100).read_to_end(&mut body);
                    Ok(Response::empty(204))
                });
            }
            paths
        });
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(bytes.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        // Closed once everything is answered. (A reset is an end, too.)
        let _ = client.read_to_end(&mut Vec::new());
        server.unblock();
        serving.join().unwrap()
    })
}

fn post(headers: &str, body: &str) -> Vec<String> {
    paths(&format!("POST /form HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}"))
}

#[test]
fn a_body_with_its_length_is_no_request() {
    assert_eq!(post(&format!("Content-Length: {}", HIDDEN.len()), HIDDEN), ["/form"]);
}

#[test]
fn of_two_lengths_the_first_counts_and_one_that_is_no_number_is_zero() {
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
fn any_transfer_encoding_means_chunked_and_a_length_beside_it_is_ignored() {
    let body = format!("0\r\n\r\n{HIDDEN}");
    for encoding in ["chunked", "identity", "gzip, chunked", "x"] {
        let headers = format!("Content-Length: {}\r\nTransfer-Encoding: {encoding}", body.len());
        assert_eq!(post(&headers, &body), ["/form", "/hidden"], "{encoding}");
    }
}

#[test]
fn what_a_handler_leaves_of_a_chunked_body_is_the_next_request() {
    let body = format!("{}{HIDDEN}", "x".repeat(100));
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(post("Transfer-Encoding: chunked", &chunked), ["/form", "/hidden"]);
}
