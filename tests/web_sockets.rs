//! Over real sockets: a `tiny_http` server, a client that keeps cookies, and one that sends what no
//! browser would.
#![cfg(feature = "tiny_http")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails loudly")]

mod common;
#[path = "wire/unreliable.rs"]
mod unreliable;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use lembro::web::{CookieLifetime, CookieOptions, SessionLayer};
use lembro::{Clock, LembroOptions, LembroStore, ManualClock, Result, Session, SessionId, Store};
use tiny_http::{Header, Request, Response};

use common::{Browser, Site, send};
use unreliable::Unreliable;

fn store() -> LembroStore {
    LembroStore::with_options(LembroOptions::new().interval(0)).unwrap()
}

fn store_with_clock() -> (LembroStore, ManualClock) {
    let time = Clock::manual();
    (LembroStore::with_options(LembroOptions::new().interval(0).clock(&time)).unwrap(), time)
}

/// The tests go over plain http.
fn layer(store: impl Store) -> SessionLayer {
    SessionLayer::new(store).cookie(CookieOptions::new().secure(false)).unwrap()
}

fn visit(session: &mut Session) -> Result<String> {
    let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", &visits)?;
    Ok(visits.to_string())
}

/// What most of the tests need of an application.
fn application(request: &mut Request, session: &mut Session) -> Result<String> {
    let path = request.url().to_owned();
    match path.as_str() {
        "/" => visit(session),
        "/look" => Ok(session.get::<u32>("visits")?.unwrap_or(0).to_string()),
        "/static" => Ok(String::new()),
        "/login" => {
            session.log_in("user-42")?;
            session.insert("user", "ada")?;
            Ok("welcome".to_owned())
        }
        "/user" => Ok(session.get("user")?.unwrap_or("nobody".to_owned())),
        "/logout" => session.log_out().map(|()| "bye".to_owned()),
        "/panic" => {
            session.insert("visits", &1_000)?;
            panic!("a handler that panics: this message belongs to the test");
        }
        other => panic!("{other} is no path of this site"),
    }
}

#[test]
fn a_first_visit_gets_a_cookie_and_a_return_visit_is_recognised_without_another() {
    let site = Site::start(&layer(store()), application);
    let browser = Browser::new();
    let first = browser.get(&site, "/");
    assert_eq!(first.body, "1");
    let (pair, attributes) = first.cookie().split_once("; ").unwrap();
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/");
    assert!(pair.strip_prefix("id=").unwrap().parse::<SessionId>().is_ok());

    for visits in 2..10 {
        let again = browser.get(&site, "/");
        assert_eq!(again.body, visits.to_string());
        again.assert_silent();
    }
    browser.get(&site, "/look").assert_silent();
}

#[test]
fn the_default_cookie_is_secure() {
    let site = Site::start(&SessionLayer::new(store()), application);
    assert!(Browser::new().get(&site, "/").cookie().ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/"));
}

// Invariant 9.
#[test]
fn a_new_empty_session_is_neither_stored_nor_announced_to_the_client() {
    let store = store();
    let site = Site::start(&layer(store.clone()), application);
    let browser = Browser::new();
    for path in ["/static", "/look", "/user"] {
        browser.get(&site, path).assert_silent();
    }
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn two_clients_are_kept_apart() {
    let site = Site::start(&layer(store()), application);
    let (ada, grace) = (Browser::new(), Browser::new());
    assert_eq!(ada.get(&site, "/").body, "1");
    assert_eq!(ada.get(&site, "/").body, "2");
    assert_eq!(grace.get(&site, "/").body, "1");
    assert_eq!(ada.get(&site, "/").body, "3");
}

// Invariant 4, over the wire.
#[test]
fn parallel_requests_of_one_client_that_set_different_keys_all_survive() {
    const AT_ONCE: usize = 8;
    let together = Barrier::new(AT_ONCE);
    let site = Site::start(&layer(store()), move |request, session| {
        let key = request.url().trim_start_matches('/').to_owned();
        match key.as_str() {
            "start" => session.insert("start", &0)?,
            "count" => {}
            _ => {
                session.insert(&key, &1)?;
                // Eight of them hold the same old state in their hands before the first one saves.
                together.wait();
            }
        }
        Ok(session.len()?.to_string())
    });
    let browser = Browser::new();
    browser.get(&site, "/start");
    let connections: Vec<_> = (0..4 * AT_ONCE).map(|_| browser.connection(&site, "/count")).collect();
    thread::scope(|scope| {
        for (key, connection) in connections.iter().enumerate() {
            let site = &site;
            scope.spawn(move || connection.get(site, &format!("/key-{key}")).assert_silent());
        }
    });
    assert_eq!(browser.get(&site, "/count").body, "33");
}

// Invariant 3.
#[test]
fn a_destroyed_session_never_comes_back_and_that_response_sets_no_cookie() {
    let store = store();
    let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let site = {
        let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
        Site::start(&layer(store.clone()), move |request, session| {
            let slow = request.url().to_owned();
            if !slow.starts_with("/slow") {
                return application(request, session);
            }
            session.get::<u32>("visits")?;
            entered.wait();
            leave.wait();
            if slow == "/slow-write" {
                session.insert("last_page", "/inbox")?;
            }
            Ok("late".to_owned())
        })
    };
    for path in ["/slow-read", "/slow-write"] {
        let browser = Browser::new();
        let cookie = browser.get(&site, "/").sent_back();
        thread::scope(|scope| {
            let slow = scope.spawn(|| send(&site, path, cookie.as_bytes()).unwrap());
            entered.wait();
            let logout = browser.get(&site, "/logout");
            assert!(logout.cookie().starts_with("id=; ") && logout.cookie().contains("Max-Age=0"), "{logout:?}");
            leave.wait();
            let late = slow.join().unwrap();
            assert_eq!(late.body, "late");
            late.assert_silent();
        });
        assert_eq!(store.len().unwrap(), 0, "{path}");
        assert_eq!(send(&site, "/look", cookie.as_bytes()).unwrap().body, "0", "{path}");
        assert_eq!(browser.get(&site, "/").body, "1", "the browser has forgotten its cookie");
        browser.get(&site, "/logout");
    }
}

// Invariant 1.
#[test]
fn an_id_sent_by_a_client_is_never_adopted() {
    let (store, time) = store_with_clock();
    let site = Site::start(&layer(store.clone()), application);
    let victim = Browser::new();
    let known = victim.get(&site, "/").id();
    let expired = Browser::new().get(&site, "/").id();
    time.advance(Duration::from_secs(50 * 60));
    assert_eq!(victim.get(&site, "/").body, "2");
    time.advance(Duration::from_secs(10 * 60));

    let unknown = SessionId::random().unwrap();
    let forged = known.renewed(&unknown);
    assert_eq!(forged.handle(), known.handle());
    for (what, id) in [("unknown", unknown), ("expired", expired), ("forged", forged)] {
        let answer = send(&site, "/", format!("id={}", id.expose()).as_bytes()).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "1"), "{what}");
        assert_ne!(answer.id().handle(), id.handle(), "{what}");
        assert!(store.get(&id).unwrap().is_none(), "{what}");
    }
    assert_eq!(victim.get(&site, "/").body, "3");
}

// Invariant 2.
#[test]
fn malformed_oversized_and_repeated_cookies_mean_no_session() {
    let store = store();
    let site = Site::start(&layer(store.clone()), application);
    let browser = Browser::new();
    let ours = browser.get(&site, "/").sent_back();

    let huge = format!("id={}", "x".repeat(1 << 20));
    let repeated = "id=abc; ".repeat(1_000);
    for cookie in ["id=", "id=%", "%", ";;;", "id", &huge, &repeated, &format!("{ours}x")] {
        let answer = send(&site, "/", cookie.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "1"), "{cookie:.40}");
        assert_ne!(answer.sent_back(), ours);
    }
    // tiny_http hangs up on a header that is not ASCII. Whatever it does, the server lives and
    // opens no session.
    if let Some(answer) = send(&site, "/", &[b"id=\xff\xfe; ", ours.as_bytes()].concat()) {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(browser.get(&site, "/").body, "2");
}

// OWASP Session Management Cheat Sheet: an id in an address ends up in logs, histories and other
// sites' hands.
#[test]
fn an_id_in_the_address_a_form_or_another_header_is_nothing() {
    let site = Site::start(&layer(store()), |request, session| {
        request.as_reader().read_to_end(&mut Vec::new()).unwrap();
        visit(session)
    });
    let victim = Browser::new();
    let id = victim.get(&site, "/").id().expose();
    // How often the session that is found was visited, and whether it is announced as a new one.
    let ask = |target: &str, headers: &str, form: &str| {
        let method = if form.is_empty() { "GET" } else { "POST" };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        let request = format!("{head}Content-Length: {}\r\n\r\n{form}", form.len());
        let mut socket = TcpStream::connect(site.address()).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, visits) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains(&id), "{answer}");
        (visits.to_owned(), head.contains("\r\nSet-Cookie: id="))
    };
    let stranger = ("1".to_owned(), true);
    for target in ["/?id=ID", "/;id=ID", "/ID", "/id=ID?Cookie=id=ID", "http://id=ID@localhost/"] {
        assert_eq!(ask(&target.replace("ID", &id), "Accept: */*", ""), stranger, "{target}");
    }
    for (kind, form) in [
        ("application/x-www-form-urlencoded", "id=ID"),
        ("text/plain", "Cookie: id=ID\r\n"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\nID\r\n--x--\r\n",
        ),
    ] {
        assert_eq!(ask("/", &format!("Content-Type: {kind}"), &form.replace("ID", &id)), stranger, "{kind}");
    }
    for header in [
        "Authorization: Bearer ID",
        "Authorization: id=ID",
        "X-Session-Id: ID",
        "X-Cookie: id=ID",
        "Cookie2: id=ID",
        "Set-Cookie: id=ID",
        "id: ID",
        "Referer: http://localhost/?id=ID",
        // Another name, or none; and the case of a cookie's name counts.
        "Cookie: sid=ID; Id=ID; id2=ID; x=id=ID; ID",
    ] {
        assert_eq!(ask("/", &header.replace("ID", &id), ""), stranger, "{header}");
    }
    assert_eq!(ask("/", &format!("cookie: id={id}"), ""), ("2".to_owned(), false), "there it counts");
    assert_eq!(victim.get(&site, "/").body, "3");
}

#[test]
fn a_malformed_cookie_of_somebody_else_does_not_end_a_session() {
    let site = Site::start(&layer(store()), application);
    let ours = Browser::new().get(&site, "/").sent_back();
    for (visits, foreign) in (2..).zip(["tracker=%", "tracker=%E0%A4%A", "=", "novalue", "a=\"b", "id=1; id=2"]) {
        let answer = send(&site, "/", format!("{foreign}; {ours}").as_bytes()).unwrap();
        assert_eq!(answer.body, visits.to_string(), "{foreign}");
        answer.assert_silent();
    }
}

#[test]
fn after_a_restart_the_sessions_are_gone_and_new_ids_are_given() {
    let browser = Browser::new();
    let before = {
        let site = Site::start(&layer(store()), application);
        browser.get(&site, "/").id()
    };
    let site = Site::start(&layer(store()), application);
    let after = browser.get(&site, "/");
    assert_eq!(after.body, "1");
    assert_ne!(after.id().handle(), before.handle());
    assert_eq!(browser.get(&site, "/").body, "2");
}

// Invariant 12.
#[test]
fn a_panic_in_a_handler_or_a_subscriber_that_is_gone_the_server_keeps_serving() {
    let store = store();
    let layer = layer(store.clone());
    drop((store.events(), store.errors(), layer.events(), layer.errors()));
    let site = Site::start(&layer, application);
    let browser = Browser::new();
    browser.get(&site, "/");
    // More often than there are threads.
    for _ in 0..20 {
        let answer = browser.get(&site, "/panic");
        assert_eq!(answer.status, 500);
        answer.assert_silent();
        send(&site, "/panic", b"id=unknown").unwrap().assert_silent();
    }
    assert_eq!(browser.get(&site, "/look").body, "1", "nothing of it was saved");
    assert_eq!(store.len().unwrap(), 1);
    assert_eq!(browser.get(&site, "/").body, "2");
}

#[test]
fn a_login_gives_a_new_id_and_the_old_cookie_is_dead() {
    let store = store();
    let site = Site::start(&layer(store.clone()), application);
    let browser = Browser::new();
    let before = browser.get(&site, "/").sent_back();
    let login = browser.get(&site, "/login");
    assert_ne!(login.sent_back(), before);
    assert_eq!(browser.get(&site, "/user").body, "ada");
    assert_eq!(browser.get(&site, "/").body, "2", "what was there before stays");

    let old = send(&site, "/user", before.as_bytes()).unwrap();
    assert_eq!(old.body, "nobody");
    old.assert_silent();
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn a_session_expires_on_the_server_whatever_the_cookie_says() {
    let (store, time) = store_with_clock();
    let cookie = CookieOptions::new().secure(false).lifetime(CookieLifetime::Persistent);
    let site = Site::start(&SessionLayer::new(store).cookie(cookie).unwrap(), application);
    let browser = Browser::new();
    let first = browser.get(&site, "/");
    assert!(first.cookie().contains("; Max-Age=3600"), "{first:?}");
    time.advance(Duration::from_secs(60 * 60 - 1));
    let kept = browser.get(&site, "/");
    assert_eq!((kept.body.as_str(), kept.id()), ("2", first.id()));
    assert!(kept.cookie().contains("; Max-Age=3600"), "{kept:?}");
    // The browser still has the cookie; on the server its time is over.
    time.advance(Duration::from_secs(60 * 60));
    let anew = browser.get(&site, "/");
    assert_eq!(anew.body, "1");
    assert_ne!(anew.id().handle(), first.id().handle());
}

#[test]
fn two_layers_with_two_cookies_and_two_stores_stand_side_by_side() {
    let named = |name: &str, store: &LembroStore| {
        SessionLayer::new(store.clone()).cookie(CookieOptions::new().secure(false).name(name)).unwrap()
    };
    let (shop_store, admin_store) = (store(), store());
    let (shop, admin) = (named("shop", &shop_store), named("admin", &admin_store));
    let site = Site::raw(move |request| {
        let layers = [&shop, &admin];
        let (mut bought, mut worked) = (shop.load(&*request), admin.load(&*request));
        let mut text = String::new();
        if request.url() != "/admin" {
            text += &visit(&mut bought)?;
        }
        if request.url() != "/shop" {
            text += &visit(&mut worked)?;
        }
        let mut response = Response::from_string(text);
        for (layer, mut session) in layers.into_iter().zip([bought, worked]) {
            response = layer.finish(&mut session)?.add_to(response);
        }
        Ok(response)
    });
    let browser = Browser::new();
    assert!(browser.get(&site, "/shop").cookie().starts_with("shop="));
    assert_eq!(browser.get(&site, "/shop").body, "2");
    assert!(browser.get(&site, "/admin").cookie().starts_with("admin="));
    assert_eq!(browser.get(&site, "/both").body, "32");
    assert_eq!((shop_store.len().unwrap(), admin_store.len().unwrap()), (1, 1));
    assert_eq!(Browser::new().get(&site, "/both").cookies.len(), 2);
}

#[test]
fn a_response_keeps_the_cookies_that_the_application_set() {
    let layer = layer(store());
    let site = Site::raw(move |request| {
        let mut session = layer.load(&*request);
        let text = visit(&mut session)?;
        let own = Header::from_bytes("Set-Cookie", "theme=dark; Path=/").unwrap();
        Ok(layer.finish(&mut session)?.add_to(Response::from_string(text).with_header(own)))
    });
    let answer = Browser::new().get(&site, "/");
    assert_eq!(answer.cookies.len(), 2, "{answer:?}");
    assert_eq!(answer.cookies[0], "theme=dark; Path=/");
    assert!(answer.cookies[1].starts_with("id="));
}

#[test]
fn a_store_that_fails_gives_the_application_its_error_and_the_client_no_cookie() {
    for (reads, writes) in [(true, true), (false, true)] {
        let store = Arc::new(Unreliable::new(store()));
        let layer = layer(Arc::clone(&store));
        let errors = layer.errors();
        let site = Site::start(&layer, application);
        let browser = Browser::new();
        assert_eq!(browser.get(&site, "/").body, "1");

        store.fail(reads, writes);
        for path in ["/", "/login", "/logout"] {
            let answer = browser.get(&site, path);
            assert_eq!((answer.status, answer.body.as_str()), (500, "the store failed"), "{path}");
            answer.assert_silent();
            assert!(errors.try_recv().unwrap().is_store());
        }
        let answer = Browser::new().get(&site, "/");
        assert_eq!((answer.status, answer.body.as_str()), (500, "the store failed"));
        answer.assert_silent();

        // Who looks at nothing needs no store.
        assert_eq!(browser.get(&site, "/static").status, 200);
        store.fail(false, false);
        assert_eq!(browser.get(&site, "/").body, "2", "the client kept its cookie, the store its session");
    }
}
