//! The adapter for `tiny_http`, which sends every response itself, beyond the suite of
//! `web/servers`.
#![cfg(feature = "tiny_http")]

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use crate::support::wire::{Browser, Listens as _, PlainSite, Unreliable, layer, store};
use lembro::web::SessionLayer;
use lembro::{Error, Result, Session, Store};
use tiny_http::{Request, Response};

fn visit(session: &mut Session) -> Result<String> {
    let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", &visits)?;
    Ok(visits.to_string())
}

fn page(request: &mut Request, session: &mut Session) -> Result<Response<std::io::Cursor<Vec<u8>>>> {
    let text = match request.url() {
        "/" => visit(session)?,
        "/look" => session.get::<u32>("visits")?.unwrap_or(0).to_string(),
        "/static" => String::new(),
        "/too-large" => {
            session.insert("all", &"x".repeat(1 << 20))?;
            String::new()
        }
        "/panic" => {
            session.insert("visits", &1_000)?;
            panic!("a handler that panics: this message belongs to the test");
        }
        other => return Err(Error::size(format!("no page {other:.20}"))),
    };
    Ok(Response::from_string(text))
}

fn site(layer: &SessionLayer) -> PlainSite {
    let layer = layer.clone();
    PlainSite::start(move |request| layer.tiny_http(request, page))
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
    let store = Arc::new(Unreliable::new(store()));
    let layer = layer(Arc::clone(&store));
    let (plain, own) = (site(&layer), {
        let layer = layer.clone();
        PlainSite::start(move |request| {
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
