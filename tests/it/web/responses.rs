//! Responses of every kind under the layer: status, headers and body stay, the layer's headers are
//! added, and the save comes first.
#![cfg(all(feature = "rouille", feature = "tiny_http", feature = "http"))]

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lembro::Session;
use lembro::web::SessionLayer;
use rouille::ResponseBody;

use crate::support::wire::{Listener, Page, Reply, ServedSite, UnreliableStore, Wire, exchange, layer, store};

type Headers = &'static [(&'static str, &'static str)];

/// Every server with the same handler. Paths below `/bare` bypass the layer.
fn sites(
    layer: &SessionLayer,
    handler: impl Fn(&str, Option<&mut Session>) -> Page + Send + Sync + 'static,
) -> [(&'static str, Box<dyn Listener>); 3] {
    let handler = Arc::new(handler);
    let rouille = {
        let (layer, handler) = (layer.clone(), Arc::clone(&handler));
        ServedSite::rouille(move |request| match request.raw_url().strip_prefix("/bare") {
            Some(path) => handler(path, None).into_rouille(),
            None => layer.rouille(request, |session| handler(request.raw_url(), Some(session)).into_rouille()),
        })
    };
    let touche = {
        let (layer, handler) = (layer.clone(), Arc::clone(&handler));
        ServedSite::touche(move |request| {
            let path = request.uri().path();
            let answer = |page: Page| page.into_http(touche::Body::from_reader);
            match path.strip_prefix("/bare") {
                Some(path) => answer(handler(path, None)),
                None => layer.http(&request, |session| Ok(answer(handler(path, Some(session))))),
            }
        })
    };
    let layer = layer.clone();
    let plain = ServedSite::tiny_http(move |request| {
        let response = if let Some(path) = request.url().strip_prefix("/bare") {
            handler(path, None).into_plain()
        } else {
            let mut session = layer.load(&request);
            let page = handler(request.url(), Some(&mut session));
            layer.finish(&mut session).unwrap().add_to(page.into_plain())
        };
        let _ = request.respond(response);
    });
    [("rouille", Box::new(rouille)), ("tiny_http", Box::new(plain)), ("touche", Box::new(touche))]
}

/// A body with bytes of every value.
fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from((place * place / 7 + place) % 256).unwrap()).collect()
}

const KINDS: [&str; 12] = [
    "text",
    "empty",
    "no-content",
    "not-modified",
    "see-other",
    "moved",
    "not-found",
    "partial",
    "large",
    "large-announced",
    "stream",
    "short-stream",
];

fn kind(name: &str) -> Page {
    match name {
        "text" => Page::text(noise(1_000)),
        "empty" => Page::text(""),
        "no-content" => Page::new(204, &[], ""),
        "not-modified" => Page::new(304, &[("ETag", "\"v1\"")], ""),
        "see-other" => Page::new(303, &[("Location", "/inbox")], ""),
        "moved" => Page::new(308, &[("Location", "/text"), ("Content-Type", "text/html")], "<a href=/text>there</a>"),
        "not-found" => Page::new(404, &[("X-Own", "1"), ("X-Own", "2"), ("x-own", "3")], "nothing here"),
        "partial" => Page::new(206, &[("Content-Range", "bytes 0-9/100"), ("ETag", "W/\"x\"")], noise(10)),
        "large" => Page::text(noise(200_000)),
        "large-announced" => Page { chunked_threshold: usize::MAX, ..Page::text(noise(200_000)) },
        "stream" => Page::text(noise(100_000)).of_unknown_length(),
        "short-stream" => Page::text(noise(10)).of_unknown_length(),
        other => panic!("{other} is no kind of response"),
    }
}

fn visit(session: &mut Session) -> u32 {
    let visits = session.get::<u32>("visits").unwrap().unwrap_or(0) + 1;
    session.insert("visits", &visits).unwrap();
    visits
}

/// The headers without those of the layer and without `Date`.
fn foreign(reply: &Reply) -> Vec<&(String, String)> {
    let ours = ["Set-Cookie", "Cache-Control", "Vary", "Date"];
    reply.headers.iter().filter(|(name, _)| !ours.iter().any(|one| one.eq_ignore_ascii_case(name))).collect()
}

#[test]
fn socket_responses_keep_their_bytes() {
    let sites = sites(&layer(store()), |path, session| {
        session.map(visit);
        kind(path.trim_start_matches('/'))
    });
    let requests: [(&str, &str, Headers); 5] = [
        ("GET", "1.1", &[]),
        ("HEAD", "1.1", &[]),
        ("GET", "1.0", &[]),
        ("GET", "1.1", &[("TE", "chunked")]),
        ("GET", "1.1", &[("TE", "identity")]),
    ];
    for (server, site) in &sites {
        for name in KINDS {
            for (method, version, headers) in requests {
                let what = format!("{server}: {method} {name} HTTP/{version} {headers:?}");
                let ask = |path: String| exchange(site.as_ref(), &format!("{method} {path} HTTP/{version}"), headers);
                let (bare, layered) = (ask(format!("/bare/{name}")), ask(format!("/{name}")));
                assert_eq!(layered.status, kind(name).status, "{what}");
                assert_eq!(foreign(&layered), foreign(&bare), "{what}");
                assert!(layered.body == bare.body, "{what}: another body");

                let body = kind(name).read();
                let bodiless = method == "HEAD" || matches!(layered.status, 204 | 304);
                let sent = if bodiless { Vec::new() } else { body };
                let received = if bodiless { layered.body.clone() } else { layered.decoded() };
                assert!(received == sent, "{what}: {} bytes instead of {}", received.len(), sent.len());

                assert!(layered.one("Set-Cookie").starts_with("id="), "{what}");
                assert_eq!((layered.one("Cache-Control"), layered.one("Vary")), ("no-store", "Cookie"), "{what}");
            }
        }
    }
}

// The test above needs these ways of sending a body.
#[test]
fn socket_kinds_cover_every_transfer_coding() {
    let sites = sites(&layer(store()), |path, _| kind(path.trim_start_matches('/')));
    let [rouille, plain, touche] = sites.each_ref().map(|(_, site)| site.as_ref());
    let coding = |site: &dyn Listener, name: &str| {
        let reply = exchange(site, &format!("GET /{name} HTTP/1.1"), &[]);
        let all = |name| reply.all(name).into_iter().map(ToOwned::to_owned).collect::<Vec<_>>();
        (all("Content-Length"), all("Transfer-Encoding"))
    };
    let (chunked, announced) = ((vec![], vec!["chunked".to_owned()]), (vec!["200000".to_owned()], vec![]));
    for site in [rouille, plain] {
        for name in ["large", "stream", "short-stream"] {
            assert_eq!(coding(site, name), chunked, "{name}");
        }
    }
    assert_eq!(coding(plain, "large-announced"), announced);
    assert_eq!((coding(touche, "large"), coding(touche, "stream")), (announced, chunked));
}

#[test]
fn socket_304_of_rouille_has_our_headers() {
    let layer = layer(store());
    let site = ServedSite::rouille(move |request| {
        let answer = |session: &mut Session| {
            visit(session);
            let page = rouille::Response::text("a page");
            if request.url() == "/within" { page.with_etag(request, "\"v1\"") } else { page.with_etag_keep("\"v1\"") }
        };
        layer.rouille(request, answer).simplify_if_etag_match(request)
    });
    for path in ["/within", "/around"] {
        let line = format!("GET {path} HTTP/1.1");
        let first = exchange(&site, &line, &[("If-None-Match", "\"v0\"")]);
        assert_eq!((first.status, first.body.as_slice()), (200, b"a page".as_slice()));
        let cookie = first.sent_back();
        for headers in [&[("If-None-Match", "\"v1\"")][..], &[("If-None-Match", "\"v1\""), ("Cookie", &cookie)]] {
            let reply = exchange(&site, &line, headers);
            assert_eq!((reply.status, reply.body.as_slice()), (304, b"".as_slice()), "{path}");
            assert_eq!(reply.one("ETag"), "\"v1\"");
            assert_eq!((reply.one("Cache-Control"), reply.one("Vary")), ("no-store", "Cookie"));
            // Without the cookie, the client would lose its session.
            assert_eq!(reply.all("Set-Cookie").len(), usize::from(headers.len() == 1), "{reply:?}");
        }
    }
}

/// Sends back every byte, one higher.
struct Echo;

impl rouille::Upgrade for Echo {
    fn build(&mut self, socket: Box<dyn rouille::ReadWrite + Send>) {
        echo(socket);
    }
}

fn echo(mut socket: Box<dyn rouille::ReadWrite + Send>) {
    let mut byte = [0];
    while matches!(socket.read(&mut byte), Ok(1)) {
        socket.write_all(&[byte[0].wrapping_add(1)]).unwrap();
        socket.flush().unwrap();
    }
}

#[test]
fn socket_upgrade_has_our_headers() {
    let layer = layer(store());
    let rouille = {
        let layer = layer.clone();
        ServedSite::rouille(move |request| {
            layer.rouille(request, |session| {
                visit(session);
                let (headers, data) = (vec![("Upgrade".into(), "echo".into())], ResponseBody::empty());
                rouille::Response { status_code: 101, headers, data, upgrade: Some(Box::new(Echo)) }
            })
        })
    };
    let plain = ServedSite::tiny_http(move |request| {
        let mut session = layer.load(&request);
        visit(&mut session);
        let finished = layer.finish(&mut session).unwrap();
        echo(request.upgrade("echo", finished.add_to(tiny_http::Response::empty(101))));
    });
    for (server, site) in [("rouille", &rouille as &dyn Listener), ("tiny_http", &plain)] {
        let mut wire = Wire::open(site, "GET / HTTP/1.1", &[("Connection", "Upgrade"), ("Upgrade", "echo")]);
        let head = wire.head();
        assert_eq!((head.status, head.one("Upgrade")), (101, "echo"), "{server}");
        assert!(head.one("Connection").eq_ignore_ascii_case("upgrade"), "{server}");
        assert!(head.all("Content-Length").is_empty() && head.all("Transfer-Encoding").is_empty(), "{server}");
        assert!(head.one("Set-Cookie").starts_with("id="), "{server}");
        assert_eq!((head.one("Cache-Control"), head.one("Vary")), ("no-store", "Cookie"), "{server}");
        for message in [b"\x00\r\n", b"\xfe\x09\x0c"] {
            wire.0.write_all(message).unwrap();
            assert_eq!(wire.bytes(), message.map(|byte| byte.wrapping_add(1)), "{server}");
        }
    }
}

#[test]
fn socket_last_byte_follows_the_save() {
    // The delay makes a save after the response visible.
    let slow = UnreliableStore::slow(store(), Duration::from_millis(2));
    let sites = sites(&layer(slow), |path, session| {
        let session = session.unwrap();
        let visits = if path == "/visit" { visit(session) } else { session.get("visits").unwrap().unwrap_or(0) };
        Page::text(format!("{visits:0400}"))
    });
    for (server, site) in &sites {
        let first = exchange(site.as_ref(), "GET /visit HTTP/1.1", &[]);
        let cookie = first.sent_back();
        let headers = [("Cookie", cookie.as_str())];
        let mut connections = [0, 1].map(|_| {
            let mut wire = Wire::open(site.as_ref(), "GET /look HTTP/1.1", &headers);
            wire.reply();
            wire
        });
        for visits in 2..202 {
            let [writer, reader] = &mut connections;
            writer.send("GET /visit HTTP/1.1", &headers);
            assert_eq!(writer.reply().body, format!("{visits:0400}").as_bytes(), "{server}");
            reader.send("GET /look HTTP/1.1", &headers);
            assert_eq!(reader.reply().body, format!("{visits:0400}").as_bytes(), "{server}");
            connections.reverse();
        }
    }
}

/// A handler's headers for caches, and those that the client gets: `Cache-Control` with a cookie
/// and without one, and `Vary`.
type CachingCase = (Headers, [&'static str; 2], &'static str);

const CACHING_CASES: [CachingCase; 9] = [
    (&[], ["no-store", "no-store"], "Cookie"),
    (&[("Cache-Control", "public, max-age=600")], ["no-store", "public, max-age=600"], "Cookie"),
    (
        &[("cache-control", "Private, S-MaxAge=5, must-revalidate"), ("CACHE-CONTROL", "no-transform")],
        ["Private, must-revalidate, no-transform, no-store", "Private, S-MaxAge=5, must-revalidate, no-transform"],
        "Cookie",
    ),
    (
        &[("Cache-Control", "max-age=0, must-understand, no-store")],
        ["no-store", "max-age=0, must-understand, no-store"],
        "Cookie",
    ),
    (
        &[("Cache-Control", "NO-CACHE"), ("Vary", "Accept-Encoding")],
        ["NO-CACHE, no-store", "NO-CACHE"],
        "Accept-Encoding, Cookie",
    ),
    (
        &[("Cache-Control", "no-cache=\"Set-Cookie, X-Own\", private=\"X-Own\"")],
        ["no-store", "no-cache=\"Set-Cookie, X-Own\", private=\"X-Own\""],
        "Cookie",
    ),
    (
        &[("vary", "Accept-Encoding,Accept"), ("VARY", " Accept-Language ")],
        ["no-store", "no-store"],
        "Accept-Encoding, Accept, Accept-Language, Cookie",
    ),
    (&[("Vary", "accept, cookie")], ["no-store", "no-store"], "accept, cookie"),
    (&[("Vary", "Accept"), ("Vary", "*")], ["no-store", "no-store"], "*"),
];

fn caching_sites() -> [(&'static str, Box<dyn Listener>); 3] {
    sites(&layer(store()), |path, session| {
        let (what, row) = path.trim_start_matches('/').split_once('/').unwrap();
        match (what, session) {
            ("visit", Some(session)) => drop(visit(session)),
            ("look", Some(session)) => drop(session.get::<u32>("visits").unwrap()),
            ("logout", Some(session)) => session.log_out().unwrap(),
            _ => {}
        }
        Page::new(200, CACHING_CASES[row.parse::<usize>().unwrap()].0, "a page")
    })
}

#[track_caller]
fn assert_caching(what: &str, reply: &Reply, expected: [&[&str]; 2]) {
    assert_eq!([reply.all("Cache-Control"), reply.all("Vary")], expected, "{what}: {reply:?}");
}

#[test]
fn socket_caching_headers_are_merged() {
    for (server, site) in &caching_sites() {
        for (row, (own, [with_cookie, without], vary)) in CACHING_CASES.iter().enumerate() {
            let what = format!("{server}: {own:?}");
            let ask =
                |path: &str, headers: &[_]| exchange(site.as_ref(), &format!("GET {path}/{row} HTTP/1.1"), headers);
            let first = ask("/visit", &[]);
            assert_caching(&what, &first, [&[with_cookie], &[vary]]);
            let cookie = first.sent_back();
            for path in ["/look", "/visit"] {
                let known = ask(path, &[("Cookie", &cookie)]);
                assert!(known.all("Set-Cookie").is_empty(), "{what}");
                assert_caching(&what, &known, [&[without], &[vary]]);
            }
            let logout = ask("/logout", &[("Cookie", &cookie)]);
            assert!(logout.one("Set-Cookie").starts_with("id=; "), "{what}");
            assert_caching(&what, &logout, [&[with_cookie], &[vary]]);
        }
    }
}

#[test]
fn socket_page_of_a_new_session_only_varies() {
    for (server, site) in &caching_sites() {
        for (row, (own_headers, _, vary)) in CACHING_CASES.iter().enumerate() {
            let reply = exchange(site.as_ref(), &format!("GET /look/{row} HTTP/1.1"), &[]);
            let own = exchange(site.as_ref(), &format!("GET /bare/look/{row} HTTP/1.1"), &[]);
            assert!(reply.all("Set-Cookie").is_empty());
            let what = format!("{server}: {own_headers:?}");
            assert_caching(&what, &reply, [&own.all("Cache-Control"), &[vary]]);
        }
    }
}

#[test]
fn socket_request_without_a_look_is_unchanged() {
    for (server, site) in &caching_sites() {
        let cookie = exchange(site.as_ref(), "GET /visit/0 HTTP/1.1", &[]).sent_back();
        for row in 0..CACHING_CASES.len() {
            let [bare, layered] = ["/bare", ""].map(|prefix| {
                let line = format!("GET {prefix}/static/{row} HTTP/1.1");
                let mut reply = exchange(site.as_ref(), &line, &[("Cookie", &cookie)]);
                reply.headers.retain(|(name, _)| name != "Date");
                reply
            });
            assert_eq!(layered, bare, "{server}");
        }
    }
}
