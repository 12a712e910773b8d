//! The suite that every server passes under the layer, over real sockets. The module above has
//! `wire` and `servers()`.

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lembro::web::{CookieLifetime, CookieOptions, SessionLayer, TokenOptions};
use lembro::{Error, LembroStore, SessionId, Store as _};

use super::servers;
use super::wire::{
    Browser, Listener, Page, Reply, Server, UnreliableStore, application, exchange, exchange_bytes, layer, store,
    store_with_clock, visit,
};

/// A barrier whose waits are the server's own, because a handler that is a coroutine must not block
/// its thread.
struct YieldingBarrier {
    size: usize,
    arrived: AtomicUsize,
}

impl YieldingBarrier {
    fn of(size: usize) -> Self {
        Self { size, arrived: AtomicUsize::new(0) }
    }

    fn wait(&self, pause: fn()) {
        let place = self.arrived.fetch_add(1, Ordering::SeqCst);
        let all = (place / self.size + 1) * self.size;
        while self.arrived.load(Ordering::SeqCst) < all {
            pause();
        }
    }
}

/// The answer to a GET with these headers.
#[track_caller]
fn ask(site: &dyn Listener, path: &str, headers: &[(&str, &str)]) -> Reply {
    exchange(site, &format!("GET {path} HTTP/1.1"), headers)
}

/// The answer to a GET with this `Cookie` header, byte for byte. None if the server closed the
/// connection.
fn send(site: &dyn Listener, path: &str, cookie: &[u8]) -> Option<Reply> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: ");
    exchange_bytes(site, &[head.as_bytes(), cookie, b"\r\n\r\n"].concat())
}

/// The application on every server, over a store of its own.
fn served() -> impl Iterator<Item = (Server, Box<dyn Listener>, LembroStore)> {
    servers().into_iter().map(|server| {
        let store = store();
        let site = server.serve(&layer(store.clone()), application);
        (server, site, store)
    })
}

#[test]
fn socket_return_visit_is_recognised() {
    for (server, site, _) in served() {
        let browser = Browser::new();
        let first = browser.get(&*site, "/");
        assert_eq!((first.status, first.body.as_str()), (200, "1"), "{}", server.name);
        let (pair, attributes) = first.cookie().split_once("; ").unwrap();
        assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/");
        assert!(pair.strip_prefix("id=").unwrap().parse::<SessionId>().is_ok());
        assert_eq!((first.all("Cache-Control"), first.all("Vary")), (vec!["no-store"], vec!["Cookie"]));

        for visits in 2..10 {
            let again = browser.get(&*site, "/");
            assert_eq!(again.body, visits.to_string(), "{}", server.name);
            again.assert_silent();
        }
        browser.get(&*site, "/look").assert_silent();
    }
}

#[test]
fn socket_default_cookie_is_secure() {
    for server in servers() {
        let site = server.serve(&SessionLayer::new(store()), application);
        let cookie = ask(&*site, "/", &[]).one("Set-Cookie").to_owned();
        assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/"), "{}: {cookie}", server.name);
    }
}

// Invariant 9.
#[test]
fn socket_new_empty_session_leaves_no_trace() {
    for (server, site, store) in served() {
        for path in ["/static", "/look", "/user"] {
            ask(&*site, path, &[]).assert_silent();
        }
        assert_eq!(store.len().unwrap(), 0, "{}", server.name);
    }
}

#[test]
fn socket_clients_are_kept_apart() {
    for (server, site, _) in served() {
        let (ada, grace) = (Browser::new(), Browser::new());
        let seen = [&ada, &ada, &grace, &ada].map(|browser| browser.get(&*site, "/").body);
        assert_eq!(seen, ["1", "2", "1", "3"], "{}", server.name);
    }
}

// Invariant 4, over the wire.
#[test]
fn socket_parallel_requests_lose_no_key() {
    const AT_ONCE: usize = 8;
    for server in servers() {
        let (together, pause) = (YieldingBarrier::of(AT_ONCE), server.pause);
        let site = server.serve(&layer(store()), move |asked, session| {
            let key = asked.path.trim_start_matches('/');
            match key {
                "start" => session.insert("start", &0)?,
                "count" => {}
                _ => {
                    session.insert(key, &1)?;
                    // All eight have read the same state before the first saves.
                    together.wait(pause);
                }
            }
            Ok(Page::text(session.len()?.to_string()))
        });
        let browser = Browser::new();
        browser.get(&*site, "/start");
        let connections: Vec<_> = (0..AT_ONCE).map(|_| browser.connection(&*site, "/count")).collect();
        for round in 0..4 {
            thread::scope(|scope| {
                for (key, connection) in connections.iter().enumerate() {
                    let site = &*site;
                    scope.spawn(move || connection.get(site, &format!("/key-{round}-{key}")).assert_silent());
                }
            });
        }
        assert_eq!(browser.get(&*site, "/count").body, "33", "{}", server.name);
    }
}

// Invariant 3.
#[test]
fn socket_destroyed_session_never_comes_back() {
    for server in servers() {
        let store = store();
        let (entered, leave) = (Arc::new(YieldingBarrier::of(2)), Arc::new(YieldingBarrier::of(2)));
        let site = {
            let (entered, leave, pause) = (Arc::clone(&entered), Arc::clone(&leave), server.pause);
            server.serve(&layer(store.clone()), move |asked, session| {
                if !asked.path.starts_with("/slow") {
                    return application(asked, session);
                }
                session.get::<u32>("visits")?;
                entered.wait(pause);
                leave.wait(pause);
                if asked.path == "/slow-write" {
                    session.insert("last_page", "/inbox")?;
                }
                Ok(Page::text("late"))
            })
        };
        for path in ["/slow-read", "/slow-write"] {
            let what = format!("{}: {path}", server.name);
            let browser = Browser::new();
            let cookie = browser.get(&*site, "/").sent_back();
            thread::scope(|scope| {
                let slow = scope.spawn(|| ask(&*site, path, &[("Cookie", &cookie)]));
                entered.wait(thread::yield_now);
                let logout = browser.get(&*site, "/logout");
                assert!(logout.cookie().starts_with("id=; ") && logout.cookie().contains("Max-Age=0"), "{logout:?}");
                leave.wait(thread::yield_now);
                let late = slow.join().unwrap();
                assert_eq!(late.text(), "late", "{what}");
                late.assert_silent();
            });
            assert_eq!(store.len().unwrap(), 0, "{what}");
            assert_eq!(ask(&*site, "/look", &[("Cookie", &cookie)]).text(), "0", "{what}");
            assert_eq!(browser.get(&*site, "/").body, "1", "the browser has forgotten its cookie");
            browser.get(&*site, "/logout");
        }
    }
}

// Invariant 1.
#[test]
fn socket_client_id_is_never_adopted() {
    for server in servers() {
        let (store, time) = store_with_clock();
        let site = server.serve(&layer(store.clone()), application);
        let victim = Browser::new();
        let known = victim.get(&*site, "/").id();
        let expired = Browser::new().get(&*site, "/").id();
        time.advance(Duration::from_secs(50 * 60));
        assert_eq!(victim.get(&*site, "/").body, "2");
        time.advance(Duration::from_secs(10 * 60));

        let unknown = SessionId::random().unwrap();
        let forged = known.renewed(&unknown);
        assert_eq!(forged.handle(), known.handle());
        for (what, id) in [("unknown", unknown), ("expired", expired), ("forged", forged)] {
            let answer = ask(&*site, "/", &[("Cookie", &format!("id={}", id.expose()))]);
            assert_eq!((answer.status, answer.text().as_str()), (200, "1"), "{}: {what}", server.name);
            let given: SessionId = answer.sent_back()["id=".len()..].parse().unwrap();
            assert_ne!(given.handle(), id.handle(), "{what}");
            assert!(store.get(&id).unwrap().is_none(), "{what}");
        }
        assert_eq!(victim.get(&*site, "/").body, "3");
    }
}

// Invariant 2.
#[test]
fn socket_malformed_cookies_are_no_session() {
    for (server, site, _) in served() {
        let browser = Browser::new();
        let ours = browser.get(&*site, "/").sent_back();

        let repeated = "id=abc; ".repeat(500);
        for cookie in ["id=", "id=%", "%", ";;;", "id", &repeated, &format!("{ours}x")] {
            let answer = send(&*site, "/", cookie.as_bytes()).unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "1"), "{}: {cookie:.40}", server.name);
            assert_ne!(answer.sent_back(), ours);
        }
        // Some servers refuse a header of this length, or one that is not ASCII (tiny_http), or
        // close the connection. They must go on serving, and open no other client's session.
        let huge = format!("id={}", "x".repeat(1 << 20));
        for cookie in [huge.as_bytes(), &[b"id=\xff\xfe; ", huge.as_bytes()].concat(), b"id=\xff\xfe"] {
            if let Some(answer) = send(&*site, "/", cookie) {
                let is_refused = (400..500).contains(&answer.status) && answer.all("Set-Cookie").is_empty();
                assert!(is_refused || answer.text() == "1", "{}: {answer:?}", server.name);
            }
        }
        assert_eq!(browser.get(&*site, "/").body, "2", "{}", server.name);
    }
}

// OWASP Session Management Cheat Sheet: an id in an address ends up in logs, histories and at other
// sites.
#[test]
fn socket_id_outside_the_cookie_is_ignored() {
    for server in servers() {
        for transport in [None, Some(TokenOptions::new().header("X-Token"))] {
            let has_tokens = transport.is_some();
            let layer = transport.map_or(layer(store()), |options| layer(store()).token(options).unwrap());
            let site = server.serve(&layer, |_, session| {
                // The page shows the id, because not every response announces it.
                let visits = visit(session)?;
                session.save()?;
                Ok(Page::text(format!("{visits} {}", session.id()?.expose())))
            });
            let id = ask(&*site, "/", &[]).text().split_once(' ').unwrap().1.to_owned();
            // The number of visits of the session that is found.
            let visits = |target: &str, headers: &str, form: &str| {
                let method = if form.is_empty() { "GET" } else { "POST" };
                let head =
                    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
                let request = format!("{head}Content-Length: {}\r\n\r\n{form}", form.len());
                let reply = exchange_bytes(&*site, request.as_bytes()).unwrap();
                assert_eq!(reply.status, 200, "{}: {reply:?}", server.name);
                reply.text().split_once(' ').unwrap().0.to_owned()
            };
            for target in ["/?id=ID", "/?X-Token=ID", "/;id=ID", "/ID", "/id=ID?Cookie=id=ID"] {
                assert_eq!(visits(&target.replace("ID", &id), "Accept: */*", ""), "1", "{}: {target}", server.name);
            }
            for (kind, form) in [
                ("application/x-www-form-urlencoded", "id=ID"),
                ("text/plain", "Cookie: id=ID\r\n"),
                (
                    "multipart/form-data; boundary=x",
                    "--x\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\nID\r\n--x--\r\n",
                ),
            ] {
                let header = format!("Content-Type: {kind}");
                assert_eq!(visits("/", &header, &form.replace("ID", &id)), "1", "{}: {kind}", server.name);
            }
            let other = if has_tokens { "Cookie: id=ID" } else { "X-Token: ID" };
            for header in [
                other,
                "Authorization: Bearer ID",
                "Authorization: id=ID",
                "X-Session-Id: ID",
                "X-Cookie: id=ID",
                "Cookie2: id=ID",
                "Set-Cookie: id=ID",
                "id: ID",
                "Referer: http://localhost/?id=ID",
                // Cookies of other names, in another case, and without a name.
                "Cookie: sid=ID; Id=ID; id2=ID; x=id=ID; ID",
            ] {
                assert_eq!(visits("/", &header.replace("ID", &id), ""), "1", "{}: {header}", server.name);
            }
            let header = if has_tokens { "x-token: ID" } else { "cookie: id=ID" };
            assert_eq!(visits("/", &header.replace("ID", &id), ""), "2", "{}: there it counts", server.name);
        }
    }
}

#[test]
fn socket_foreign_cookies_end_no_session() {
    for (server, site, _) in served() {
        let ours = Browser::new().get(&*site, "/").sent_back();
        for (visits, foreign) in (2..).zip(["tracker=%", "tracker=%E0%A4%A", "=", "novalue", "a=\"b", "id=1; id=2"]) {
            let answer = ask(&*site, "/", &[("Cookie", &format!("{foreign}; {ours}"))]);
            assert_eq!(answer.text(), visits.to_string(), "{}: {foreign}", server.name);
            answer.assert_silent();
        }
        if server.keeps_repeated_headers {
            let lines = [("Cookie", "a=1"), ("Cookie", ours.as_str()), ("Cookie", "b=2")];
            assert_eq!(ask(&*site, "/", &lines).text(), "8", "{}: a header in three lines", server.name);
        }
    }
}

#[test]
fn socket_restart_gives_new_ids() {
    for (server, site, _) in served() {
        let before = ask(&*site, "/", &[]).sent_back();
        drop(site);
        let site = server.serve(&layer(store()), application);
        let after = ask(&*site, "/", &[("Cookie", &before)]);
        assert_eq!(after.text(), "1", "{}", server.name);
        assert_ne!(after.sent_back(), before);
        assert_eq!(ask(&*site, "/", &[("Cookie", &after.sent_back())]).text(), "2");
    }
}

// Invariant 12.
#[test]
fn socket_panic_is_a_500_that_saves_nothing() {
    for server in servers() {
        let store = store();
        let layer = layer(store.clone());
        drop((store.events(), store.errors(), layer.events(), layer.errors()));
        let site = server.serve(&layer, application);
        let browser = Browser::new();
        browser.get(&*site, "/");
        // More requests than threads.
        for _ in 0..10 {
            for path in ["/panic", "/too-large"] {
                let answer = browser.get(&*site, path);
                assert_eq!((answer.status, answer.body.as_str()), (500, "Internal server error"), "{}", server.name);
                answer.assert_silent();
                ask(&*site, path, &[("Cookie", "id=unknown")]).assert_silent();
            }
        }
        assert_eq!(browser.get(&*site, "/look").body, "1", "nothing of it was saved");
        assert_eq!(store.len().unwrap(), 1);
        assert_eq!(browser.get(&*site, "/").body, "2");
    }
}

#[test]
fn socket_panic_after_a_save_brings_the_cookie() {
    for (server, site, _) in served() {
        let browser = Browser::new();
        let before = browser.get(&*site, "/").id();
        let failed = browser.get(&*site, "/login-then-panic");
        assert_eq!(failed.status, 500, "{}", server.name);
        assert_ne!(failed.id(), before);
        assert_eq!(browser.get(&*site, "/").body, "2");
    }
}

#[test]
fn socket_login_ends_the_old_id() {
    for (server, site, store) in served() {
        let browser = Browser::new();
        let before = browser.get(&*site, "/").sent_back();
        assert_ne!(browser.get(&*site, "/login").sent_back(), before, "{}", server.name);
        assert_eq!(browser.get(&*site, "/user").body, "ada");
        assert_eq!(browser.get(&*site, "/").body, "2", "what was there before stays");

        let old = ask(&*site, "/user", &[("Cookie", &before)]);
        assert_eq!(old.text(), "nobody");
        old.assert_silent();
        assert_eq!(store.len().unwrap(), 1);
    }
}

#[test]
fn socket_logout_ends_the_session() {
    for (server, site, store) in served() {
        let browser = Browser::new();
        let kept = browser.get(&*site, "/login").sent_back();
        let logout = browser.get(&*site, "/logout");
        assert!(logout.cookie().starts_with("id=; ") && logout.cookie().contains("Max-Age=0"), "{logout:?}");
        assert_eq!((store.len().unwrap(), browser.cookie_header()), (0, None), "{}", server.name);
        assert_eq!(ask(&*site, "/user", &[("Cookie", &kept)]).text(), "nobody", "{}", server.name);
    }
}

#[test]
fn socket_server_decides_the_expiry() {
    for server in servers() {
        let (store, time) = store_with_clock();
        let cookie = CookieOptions::new().secure(false).lifetime(CookieLifetime::Persistent);
        let site = server.serve(&SessionLayer::new(store).cookie(cookie).unwrap(), application);
        let browser = Browser::new();
        let first = browser.get(&*site, "/");
        assert!(first.cookie().contains("; Max-Age=3600"), "{first:?}");
        time.advance(Duration::from_secs(60 * 60 - 1));
        let kept = browser.get(&*site, "/");
        assert_eq!((kept.body.as_str(), kept.id()), ("2", first.id()), "{}", server.name);
        assert!(kept.cookie().contains("; Max-Age=3600"), "{kept:?}");
        // The browser still has the cookie, but the session has expired.
        time.advance(Duration::from_secs(60 * 60));
        let anew = browser.get(&*site, "/");
        assert_eq!(anew.body, "1", "{}", server.name);
        assert_ne!(anew.id().handle(), first.id().handle());
    }
}

#[test]
fn socket_application_headers_stay() {
    for server in servers() {
        let site = server.serve(&layer(store()), |_, session| {
            let mut page = Page::text(visit(session)?);
            page.headers.extend([
                ("Set-Cookie", "theme=dark; Path=/"),
                ("cache-control", "public, max-age=600, no-transform"),
                ("VARY", "Accept-Language"),
                ("CDN-Cache-Control", "max-age=600"),
                ("X-Own", "kept"),
            ]);
            Ok(page)
        });
        let first = ask(&*site, "/", &[]);
        let cookies = first.all("Set-Cookie");
        assert_eq!((cookies.len(), cookies[0]), (2, "theme=dark; Path=/"), "{}", server.name);
        assert_eq!(first.all("Cache-Control"), ["no-transform, no-store"], "{}", server.name);
        assert_eq!(first.all("CDN-Cache-Control"), ["no-store"]);
        let cookie = cookies[1].split(';').next().unwrap().to_owned();
        let again = ask(&*site, "/", &[("Cookie", &cookie)]);
        assert_eq!(again.all("Set-Cookie"), ["theme=dark; Path=/"], "{}", server.name);
        assert_eq!(again.all("Cache-Control"), ["public, max-age=600, no-transform"], "the handler knows what it does");
        for answer in [first, again] {
            assert_eq!(answer.all("Vary"), ["Accept-Language, Cookie"], "{}", server.name);
            assert_eq!(answer.all("X-Own"), ["kept"]);
        }
    }
}

#[test]
fn socket_failing_store_is_a_503() {
    for server in servers() {
        for (reads, writes) in [(true, true), (false, true)] {
            let store = Arc::new(UnreliableStore::new(store()));
            let layer = layer(Arc::clone(&store));
            let errors = layer.errors();
            let site = server.serve(&layer, application);
            let browser = Browser::new();
            assert_eq!(browser.get(&*site, "/").body, "1");

            store.fail(reads, writes);
            for path in ["/", "/login", "/logout"] {
                let answer = browser.get(&*site, path);
                let expected = (503, "Service unavailable");
                assert_eq!((answer.status, answer.body.as_str()), expected, "{}: {path}", server.name);
                answer.assert_silent();
                let told: Vec<_> = errors.try_iter().map(|error: Error| error.to_string()).collect();
                assert_eq!(told, ["the store failed"], "{}: {path}", server.name);
            }
            let stranger = ask(&*site, "/", &[]);
            assert_eq!(stranger.status, 503, "{}", server.name);
            stranger.assert_silent();
            assert_eq!(browser.get(&*site, "/static").status, 200, "a request that looks at nothing needs no store");

            store.fail(false, false);
            assert_eq!(browser.get(&*site, "/").body, "2", "the client kept its cookie, the store its session");
        }
    }
}

/// A body that reads the store when its first byte is read, and returns the number that it found.
struct StoreReader {
    store: LembroStore,
    id: SessionId,
    found: Option<Cursor<String>>,
}

impl Read for StoreReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let found = self.found.get_or_insert_with(|| {
            let stored = self.store.get(&self.id).unwrap();
            let visits = stored.and_then(|stored| stored.record.get::<u32>("visits").unwrap());
            Cursor::new(format!("{:03}", visits.unwrap_or(0)))
        });
        // One byte at a time, as from a slow source.
        found.read(&mut buffer[..1])
    }
}

#[test]
fn socket_streamed_body_follows_the_save() {
    for server in servers().into_iter().filter(|server| server.streams) {
        let store = store();
        let site = server.serve(&layer(store.clone()), move |asked, session| {
            visit(session)?;
            let body = StoreReader { store: store.clone(), id: session.id()?, found: None };
            let length = (asked.path == "/announced").then_some(3);
            Ok(Page { body: Box::new(body), length, ..Page::text("") })
        });
        for path in ["/announced", "/stream"] {
            let first = ask(&*site, path, &[]);
            assert_eq!(first.text(), "001", "{}: {path}, created", server.name);
            let cookie = first.sent_back();
            for visits in 2..5 {
                let again = ask(&*site, path, &[("Cookie", &cookie)]);
                assert_eq!(again.text(), format!("{visits:03}"), "{}: {path}, saved", server.name);
            }
        }
    }
}

#[test]
fn socket_head_request_is_a_visit() {
    for (server, site, _) in served() {
        let head = exchange(&*site, "HEAD / HTTP/1.1", &[]);
        assert_eq!(head.one("Content-Length"), "1", "{}", server.name);
        assert_eq!(head.body.is_empty(), server.knows_head, "{}", server.name);
        let get = ask(&*site, "/", &[("Cookie", &head.sent_back())]);
        assert_eq!(get.text(), "2", "{}", server.name);
        get.assert_silent();
    }
}

#[test]
fn socket_304_has_our_headers() {
    for server in servers() {
        let site = server.serve(&layer(store()), |_, session| {
            visit(session)?;
            Ok(Page::new(304, &[("ETag", "\"v1\"")], ""))
        });
        let first = ask(&*site, "/", &[]);
        // Without the cookie, the client would lose its session.
        let cookie = first.sent_back();
        let again = ask(&*site, "/", &[("Cookie", &cookie)]);
        again.assert_silent();
        for reply in [first, again] {
            assert_eq!((reply.status, reply.body.as_slice()), (304, b"".as_slice()), "{}", server.name);
            assert_eq!(
                (reply.one("ETag"), reply.one("Cache-Control"), reply.one("Vary")),
                ("\"v1\"", "no-store", "Cookie")
            );
        }
    }
}

/// The `Authorization` header of a client that got its token in this response.
fn credentials(reply: &Reply) -> String {
    format!("Bearer {}", reply.one("X-Session-Token"))
}

#[test]
fn socket_token_client_logs_in_and_out() {
    for server in servers() {
        let store = store();
        let options = TokenOptions::new().response_header("X-Session-Token");
        let site = server.serve(&layer(store.clone()).token(options).unwrap(), application);
        let first = ask(&*site, "/", &[]);
        first.assert_silent();
        assert_eq!((first.one("Cache-Control"), first.one("Vary")), ("no-store", "Authorization"), "{}", server.name);
        let before = credentials(&first);
        let login = ask(&*site, "/login", &[("Authorization", &before)]);
        let token = credentials(&login);
        assert_ne!(token, before, "{}", server.name);
        let user = ask(&*site, "/user", &[("authorization", &token)]);
        assert_eq!((user.text().as_str(), user.all("X-Session-Token")), ("ada", vec![]), "{}", server.name);
        assert_eq!(ask(&*site, "/user", &[("Authorization", &before)]).text(), "nobody", "{}", server.name);
        assert_eq!(ask(&*site, "/user", &[("Cookie", &format!("id={}", &token["Bearer ".len()..]))]).text(), "nobody");
        let failed = ask(&*site, "/login-then-panic", &[("Authorization", &token)]);
        let token = credentials(&failed);
        let logout = ask(&*site, "/logout", &[("Authorization", &token)]);
        assert_eq!((logout.one("X-Session-Token"), logout.all("Set-Cookie")), ("", vec![]), "{}", server.name);
        assert_eq!(ask(&*site, "/user", &[("Authorization", &token)]).text(), "nobody", "{}", server.name);
        assert_eq!(store.len().unwrap(), 0);
    }
}

#[test]
fn socket_clients_are_answered_in_kind() {
    for server in servers() {
        let options = TokenOptions::new().response_header("X-Session-Token").beside_cookie(true);
        let site = server.serve(&layer(store()).token(options).unwrap(), application);
        let stranger = ask(&*site, "/", &[]);
        assert_eq!(stranger.one("Vary"), "Cookie, Authorization", "{}", server.name);
        let (cookie, token) = (stranger.sent_back(), credentials(&stranger));
        let by_token = ask(&*site, "/login", &[("Authorization", &token)]);
        by_token.assert_silent();
        assert_ne!(credentials(&by_token), token, "{}", server.name);
        let other = ask(&*site, "/", &[]).sent_back();
        let both = [("Cookie", other.as_str()), ("Authorization", &credentials(&by_token))];
        assert_eq!(ask(&*site, "/user", &both).text(), "nobody", "{}: the cookie counts", server.name);
        let by_cookie = ask(&*site, "/login", &both);
        assert!(by_cookie.sent_back() != cookie && by_cookie.all("X-Session-Token").is_empty(), "{}", server.name);
    }
}

/// Every test is a loop over servers, so an empty list must not pass.
#[test]
fn socket_suite_has_servers() {
    let names: Vec<_> = servers().iter().map(|server: &Server| server.name).collect();
    assert!(names.len() >= 2, "{names:?}");
}
