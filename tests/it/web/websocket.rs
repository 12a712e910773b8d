//! A session in a WebSocket: loaded in the upgrade request, reloaded before each message, and saved
//! after it.
#![cfg(feature = "rouille")]

use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use lembro::web::SessionLayer;
use lembro::{Event, LembroStore, ManualClock, Policy, Result, Saved, Session, SessionId, Store as _};
use rouille::websocket::{self, Websocket};
use rouille::{Request, Response};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, WebSocket};

use crate::support::wire::{Browser, Listener as _, PATIENCE, ServedSite, exchange, layer, store, store_with_clock};

const MINUTE: Duration = Duration::from_secs(60);

/// An application that answers HTTP requests, and messages in the threads of sockets.
struct Application {
    layer: SessionLayer,
    /// The barriers at which a test stops a message between its `reload` and its `save`.
    entered: Barrier,
    leave: Barrier,
    /// The result of each socket's thread.
    ended: Mutex<Sender<Result<&'static str>>>,
}

/// The application, its server, and the results of its sockets' threads.
struct Site {
    server: ServedSite,
    application: Arc<Application>,
    ended: Receiver<Result<&'static str>>,
}

impl Site {
    fn new(layer: &SessionLayer) -> Self {
        let (sender, ended) = mpsc::channel();
        let application = Arc::new(Application {
            layer: layer.clone(),
            entered: Barrier::new(2),
            leave: Barrier::new(2),
            ended: Mutex::new(sender),
        });
        let server = {
            let application = Arc::clone(&application);
            ServedSite::rouille(move |request| application.answer(request))
        };
        Self { server, application, ended }
    }

    #[track_caller]
    fn how_it_ended(&self) -> &'static str {
        self.ended.recv_timeout(PATIENCE).unwrap().unwrap()
    }
}

impl Application {
    fn answer(self: &Arc<Self>, request: &Request) -> Response {
        self.layer.rouille(request, |session| {
            if request.url() == "/socket" {
                return self.upgrade(request, session);
            }
            Ok(Response::text(self.obey(session, &request.url().trim_start_matches('/').replace('/', " "))?))
        })
    }

    /// The socket's thread gets its own handle, because the request's handle ends with the request.
    fn upgrade(self: &Arc<Self>, request: &Request, session: &mut Session) -> Result<Response> {
        let (response, socket) = websocket::start(request, None::<&str>).unwrap();
        if session.is_new()? {
            session.insert("from", "the upgrade")?;
            session.save()?;
        }
        let own = self.layer.sessions().load(&session.id()?)?.unwrap();
        let application = Arc::clone(self);
        thread::spawn(move || {
            let ended = application.serve(&socket, own);
            let _ = application.ended.lock().unwrap().send(ended);
        });
        Ok(response)
    }

    fn serve(&self, upgraded: &Receiver<Websocket>, mut session: Session) -> Result<&'static str> {
        let mut socket = upgraded.recv().unwrap();
        while let Some(message) = socket.next() {
            let websocket::Message::Text(command) = message else { panic!("text is sent") };
            if !session.reload()? {
                let _ = socket.send_text("gone before");
                return Ok("gone before");
            }
            let answer = self.obey(&mut session, &command)?;
            if session.save()? == Saved::Gone {
                let _ = socket.send_text("gone after");
                return Ok("gone after");
            }
            socket.send_text(&answer).unwrap();
        }
        Ok("closed")
    }

    /// The commands of requests and messages: `set KEY VALUE`, `get KEY`, `count KEY`, `touch`,
    /// `login`, `logout`, and `set-and-wait KEY VALUE`.
    fn obey(&self, session: &mut Session, command: &str) -> Result<String> {
        let words: Vec<_> = command.split(' ').collect();
        match words[..] {
            ["set", key, value] => session.insert(key, value)?,
            ["get", key] => return Ok(session.get(key)?.unwrap_or("nothing".to_owned())),
            ["count", key] => {
                let count = session.modify(key, |count: &mut Option<u32>| {
                    let next = count.unwrap_or(0) + 1;
                    *count = Some(next);
                    next
                })?;
                return Ok(count.map_or("gone".to_owned(), |count| count.to_string()));
            }
            ["keys"] => return Ok(session.len()?.to_string()),
            ["touch"] => return Ok(format!("{:?}", session.touch()?)),
            ["login"] => session.log_in("user-42")?,
            ["logout"] => session.log_out()?,
            ["set-and-wait", key, value] => {
                session.insert(key, value)?;
                self.entered.wait();
                self.leave.wait();
            }
            ["break"] => panic!("a message that panics: this message belongs to the test"),
            _ => panic!("{command} is no command"),
        }
        Ok("done".to_owned())
    }
}

/// The browser's end of a socket.
struct Socket(WebSocket<TcpStream>);

impl Socket {
    /// The socket, and the `Set-Cookie` of the response that opened it.
    #[track_caller]
    fn open(site: &Site, cookie: Option<&str>) -> (Self, Option<String>) {
        let stream = TcpStream::connect(site.server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("ws://{}/socket", site.server.address()).into_client_request().unwrap();
        if let Some(cookie) = cookie {
            request.headers_mut().insert("Cookie", cookie.parse().unwrap());
        }
        let (socket, response) = tungstenite::client(request, stream).unwrap();
        assert_eq!(response.status(), 101);
        let cookie = response.headers().get("Set-Cookie").map(|value| value.to_str().unwrap().to_owned());
        (Self(socket), cookie)
    }

    /// A socket with the browser's cookie. Its response sets none.
    #[track_caller]
    fn of(site: &Site, browser: &Browser) -> Self {
        let (socket, cookie) = Self::open(site, browser.cookie_header().as_deref());
        assert_eq!(cookie, None);
        socket
    }

    #[track_caller]
    fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.hear()
    }

    #[track_caller]
    fn send(&mut self, command: &str) {
        self.0.send(Message::text(command)).unwrap();
    }

    #[track_caller]
    fn hear(&mut self) -> String {
        self.0.read().unwrap().into_text().unwrap().to_string()
    }
}

fn site() -> (Site, LembroStore) {
    let store = store();
    (Site::new(&layer(store.clone())), store)
}

fn site_with_clock(policy: Policy) -> (Site, LembroStore, ManualClock) {
    let (store, time) = store_with_clock();
    (Site::new(&layer(store.clone()).policy(policy).unwrap()), store, time)
}

/// A browser with a session.
#[track_caller]
fn visitor(site: &Site) -> Browser {
    let browser = Browser::new();
    assert_eq!(browser.get(&site.server, "/set/user/ada").status, 200);
    browser
}

/// A site, its store, a browser with a session, and its socket.
#[track_caller]
fn visitor_with_a_socket() -> (Site, LembroStore, Browser, Socket) {
    let (site, store) = site();
    let browser = visitor(&site);
    let socket = Socket::of(&site, &browser);
    (site, store, browser, socket)
}

#[test]
fn socket_and_http_see_each_other() {
    let (site, store, browser, mut socket) = visitor_with_a_socket();
    assert_eq!(socket.ask("get user"), "ada");
    for turn in ["1", "2", "3"] {
        assert_eq!(browser.get(&site.server, &format!("/set/from-http/{turn}")).body, "done");
        assert_eq!(socket.ask("get from-http"), turn);
        assert_eq!(socket.ask(&format!("set from-socket {turn}")), "done");
        assert_eq!(browser.get(&site.server, "/get/from-socket").body, turn);
    }
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn socket_pairs_see_each_other() {
    let (site, _) = site();
    let browser = visitor(&site);
    let (mut one, mut other) = (Socket::of(&site, &browser), Socket::of(&site, &browser));
    assert_eq!(one.ask("set turn first"), "done");
    assert_eq!(other.ask("get turn"), "first");
    assert_eq!(other.ask("count messages"), "1");
    assert_eq!(one.ask("count messages"), "2");
}

// Invariant 4, with one of them a socket.
#[test]
fn socket_and_http_saves_lose_nothing() {
    const EACH: usize = 50;
    let (site, _, browser, mut socket) = visitor_with_a_socket();
    thread::scope(|scope| {
        scope.spawn(|| {
            for key in 0..EACH {
                assert_eq!(socket.ask(&format!("set socket-{key} x")), "done");
                socket.ask("count both");
            }
        });
        for key in 0..EACH {
            assert_eq!(browser.get(&site.server, &format!("/set/http-{key}/x")).body, "done");
            browser.get(&site.server, "/count/both");
        }
    });
    assert_eq!(browser.get(&site.server, "/keys").body, (2 * EACH + 2).to_string());
    assert_eq!(browser.get(&site.server, "/count/both").body, (2 * EACH + 1).to_string());
}

#[test]
fn socket_message_keeps_changes_over_http() {
    let (site, _, browser, mut socket) = visitor_with_a_socket();
    socket.send("set-and-wait slow yes");
    site.application.entered.wait();
    assert_eq!(browser.get(&site.server, "/set/quick/yes").body, "done");
    site.application.leave.wait();
    assert_eq!(socket.hear(), "done");
    for key in ["slow", "quick"] {
        assert_eq!(browser.get(&site.server, &format!("/get/{key}")).body, "yes", "{key}");
    }
}

// Invariant 3.
#[test]
fn socket_ends_after_a_logout_over_http() {
    let (site, store, browser, mut socket) = visitor_with_a_socket();
    assert_eq!(socket.ask("get user"), "ada");
    browser.get(&site.server, "/logout");
    assert_eq!(socket.ask("set late yes"), "gone before");
    assert_eq!(site.how_it_ended(), "gone before");
    assert_eq!(store.len().unwrap(), 0, "nothing came back");
    assert!(socket.0.read().is_err(), "the server hung up");
}

// Invariant 3: the logout comes after the `reload`.
#[test]
fn socket_message_beside_a_logout_is_lost() {
    let (site, store, browser, mut socket) = visitor_with_a_socket();
    socket.send("set-and-wait late yes");
    site.application.entered.wait();
    browser.get(&site.server, "/logout");
    site.application.leave.wait();
    assert_eq!(socket.hear(), "gone after");
    assert_eq!(site.how_it_ended(), "gone after");
    assert_eq!(store.len().unwrap(), 0, "nothing came back");
}

#[test]
fn socket_logout_ends_the_session() {
    let (site, store, browser, mut socket) = visitor_with_a_socket();
    assert_eq!(socket.ask("logout"), "gone after");
    assert_eq!(site.how_it_ended(), "gone after");
    assert_eq!(store.len().unwrap(), 0);
    let after = browser.get(&site.server, "/get/user");
    assert_eq!(after.body, "nothing");
    after.assert_silent();
}

#[test]
fn socket_ends_after_a_login_over_http() {
    let (site, store, browser, mut before) = visitor_with_a_socket();
    browser.get(&site.server, "/login");
    assert_eq!(before.ask("set planted yes"), "gone before");
    let mut after = Socket::of(&site, &browser);
    assert_eq!(after.ask("get user"), "ada");
    assert_eq!(after.ask("get planted"), "nothing");
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn socket_101_announces_a_new_session() {
    let (site, store) = site();
    let (mut socket, cookie) = Socket::open(&site, None);
    let cookie = cookie.unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/");
    assert_eq!(socket.ask("get from"), "the upgrade");
    assert_eq!(socket.ask("set more yes"), "done");
    let over_http = exchange(&site.server, "GET /get/more HTTP/1.1", &[("Cookie", pair)]);
    assert_eq!(over_http.body, b"yes");
    assert!(over_http.all("Set-Cookie").is_empty(), "{over_http:?}");
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn socket_made_up_id_is_not_adopted() {
    let (site, store) = site();
    let made_up = SessionId::random().unwrap();
    let (_socket, cookie) = Socket::open(&site, Some(&format!("id={}", made_up.expose())));
    assert!(cookie.unwrap().starts_with("id="));
    assert!(store.get(&made_up).unwrap().is_none());
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn socket_touches_keep_the_session_alive() {
    let (site, _, time) = site_with_clock(Policy::new());
    let browser = visitor(&site);
    let mut socket = Socket::of(&site, &browser);
    for _ in 0..10 {
        time.advance(50 * MINUTE);
        assert_eq!(socket.ask("touch"), "Written");
    }
    time.advance(50 * MINUTE);
    assert_eq!(browser.get(&site.server, "/get/user").body, "ada");
    // A message that changes the session prolongs it too.
    for _ in 0..2 {
        time.advance(50 * MINUTE);
        assert_eq!(socket.ask("count messages").len(), 1);
    }
    assert_eq!(socket.ask("get user"), "ada");
    // A message that only reads does not prolong it.
    time.advance(50 * MINUTE);
    assert_eq!(socket.ask("get user"), "ada");
    time.advance(10 * MINUTE);
    assert_eq!(socket.ask("get user"), "gone before");
}

#[test]
fn socket_touches_respect_the_lifetime() {
    let (site, store, time) = site_with_clock(Policy::new().lifetime(120 * MINUTE));
    let browser = visitor(&site);
    let mut socket = Socket::of(&site, &browser);
    for _ in 0..3 {
        time.advance(30 * MINUTE);
        assert_eq!(socket.ask("touch"), "Written");
    }
    time.advance(30 * MINUTE);
    assert_eq!(socket.ask("touch"), "gone before");
    assert_eq!(browser.get(&site.server, "/get/user").body, "nothing");
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn socket_survives_renewals() {
    let (site, store, time) = site_with_clock(Policy::new().renew_after(10 * MINUTE));
    let events = store.events();
    let browser = visitor(&site);
    browser.get(&site.server, "/login");
    let mut socket = Socket::of(&site, &browser);
    for turn in ["one", "two"] {
        time.advance(10 * MINUTE);
        assert!(browser.get(&site.server, "/get/user").cookie().starts_with("id="));
        assert_eq!(socket.ask(&format!("set in-grace {turn}")), "done");
        assert_eq!(browser.get(&site.server, "/get/in-grace").body, turn);
        time.advance(MINUTE);
        assert_eq!(socket.ask(&format!("set late {turn}")), "done");
        assert_eq!(socket.ask("touch"), "Written");
        assert_eq!(socket.ask("count messages").len(), 1);
        assert_eq!(browser.get(&site.server, "/get/late").body, turn);
    }
    assert_eq!(events.try_iter().filter(|event| matches!(event, Event::SupersededId { .. })).count(), 0);
    assert_eq!(socket.ask("logout"), "gone after");
    assert_eq!(browser.get(&site.server, "/get/user").body, "nothing");
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn socket_break_keeps_what_was_saved() {
    let (site, store, browser, mut socket) = visitor_with_a_socket();
    assert_eq!(socket.ask("set draft half"), "done");
    drop(socket);
    assert_eq!(site.how_it_ended(), "closed");
    assert_eq!(browser.get(&site.server, "/get/draft").body, "half");

    // If the socket breaks off during a message, the message is still saved.
    let mut socket = Socket::of(&site, &browser);
    socket.send("set-and-wait draft whole");
    site.application.entered.wait();
    drop(socket);
    site.application.leave.wait();
    let _ = site.ended.recv_timeout(PATIENCE).unwrap();
    assert_eq!(browser.get(&site.server, "/get/draft").body, "whole");
    assert_eq!(store.len().unwrap(), 1);
}

// Invariant 12.
#[test]
fn socket_panic_saves_nothing() {
    let (site, _) = site();
    let browser = visitor(&site);
    let (mut breaks, mut stays) = (Socket::of(&site, &browser), Socket::of(&site, &browser));
    assert_eq!(breaks.ask("set before yes"), "done");
    breaks.send("break");
    assert!(breaks.0.read().is_err(), "the server hung up");
    assert_eq!(stays.ask("get before"), "yes");
    assert_eq!(stays.ask("set after yes"), "done");
    assert_eq!(browser.get(&site.server, "/get/after").body, "yes");
}
