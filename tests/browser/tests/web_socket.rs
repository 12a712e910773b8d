//! A WebSocket and HTTP requests that share a session.

use std::sync::mpsc::Receiver;
use std::thread;

use lembro::web::{CookieOptions, SameSite, SessionLayer};
use lembro::{Saved, Session};
use lembro_browser_tests::{Chromium, Gate, Site, Tab, application, id_in, layer, layer_with};
use rouille::websocket::{self, Message, Websocket};
use rouille::{Request, Response};

/// The application, with a WebSocket at `/socket` that reads and changes the session: `get KEY`,
/// `set KEY VALUE`.
fn serve(layer: &SessionLayer) -> Site {
    let layer = layer.clone();
    Site::start(move |request| {
        layer.rouille(request, |session| match request.url().as_str() {
            "/socket" => open_socket(request, session),
            _ => application(request, session, &Gate::default()),
        })
    })
}

fn open_socket(request: &Request, session: &mut Session) -> lembro::Result<Response> {
    let Ok((response, sockets)) = websocket::start(request, None::<&str>) else {
        return Ok(Response::text("no WebSocket").with_status_code(400));
    };
    session.insert("socket", "opened")?;
    let own = session.fork()?.expect("it was saved");
    thread::spawn(move || talk(&sockets, own));
    Ok(response)
}

/// Serves the socket until the browser closes it or the session ends.
fn talk(sockets: &Receiver<Websocket>, mut session: Session) {
    let mut socket = sockets.recv().expect("the socket");
    while let Some(Message::Text(text)) = socket.next() {
        let Ok(Some(answer)) = answer(&text, &mut session) else { break };
        if socket.send_text(&answer).is_err() {
            break;
        }
    }
}

/// The answer to a message; `None` if the session has ended.
fn answer(text: &str, session: &mut Session) -> lembro::Result<Option<String>> {
    if !session.reload()? {
        return Ok(None);
    }
    match text.split(' ').collect::<Vec<_>>()[..] {
        ["get", key] => Ok(Some(session.get::<String>(key)?.unwrap_or("nothing".to_owned()))),
        ["set", key, value] => {
            session.insert(key, value)?;
            Ok((session.save()? != Saved::Gone).then(|| "set".to_owned()))
        }
        _ => Ok(Some("what?".to_owned())),
    }
}

#[track_caller]
fn connect(tab: &Tab, url: &str) -> String {
    tab.run(&format!(
        "new Promise(done => {{ window.socket = new WebSocket('{}'); \
         socket.onopen = () => done('open'); socket.onerror = () => done('refused'); }})",
        url.replace("http:", "ws:")
    ))
}

#[track_caller]
fn say(tab: &Tab, text: &str) -> String {
    tab.run(&format!(
        "new Promise(done => {{ socket.onmessage = message => done(message.data); \
         socket.onclose = () => done('closed'); socket.send('{text}'); }})"
    ))
}

#[test]
fn socket_and_http_see_each_others_changes() {
    let site = serve(&layer());
    let chromium = Chromium::start();
    let (tab, other) = (chromium.tab_at(&site.url("/login")), chromium.tab_at(&site.url("/")));
    let cookie = chromium.cookie();
    assert_eq!(connect(&tab, &site.url("/socket")), "open");
    assert_eq!(chromium.cookie(), cookie, "it has it already");
    assert_eq!(say(&tab, "get user"), "ada", "the cookie came along with the upgrade");

    other.fetch("/set?key=theme&value=dark");
    assert_eq!(say(&tab, "get theme"), "dark");
    assert_eq!(say(&tab, "set cart tea"), "set");
    assert_eq!(other.fetch("/data"), "cart=tea socket=opened theme=dark user=ada");
    other.fetch("/set?key=theme&value=light");
    assert_eq!(say(&tab, "set cart cake"), "set");
    assert_eq!(other.fetch("/data"), "cart=cake socket=opened theme=light user=ada");
}

#[test]
fn socket_upgrade_sets_the_cookie_of_a_new_session() {
    let layer = layer();
    let site = serve(&layer);
    let (chromium, tab) = Chromium::start_at(&site.url("/public"));
    assert_eq!(chromium.cookies(), []);
    assert_eq!(connect(&tab, &site.url("/socket")), "open");
    let cookie = chromium.cookie();
    assert!(cookie.http_only && cookie.secure);
    assert!(layer.sessions().load(&id_in(&cookie.value)).unwrap().is_some());
    assert_eq!(say(&tab, "set cart tea"), "set");
    assert_eq!(tab.fetch("/data"), "cart=tea socket=opened");
}

#[test]
fn logout_ends_the_socket_for_good() {
    for message in ["get user", "set cart tea"] {
        let layer = layer();
        let site = serve(&layer);
        let chromium = Chromium::start();
        let (tab, other) = (chromium.tab_at(&site.url("/login")), chromium.tab_at(&site.url("/")));
        connect(&tab, &site.url("/socket"));
        assert_eq!(say(&tab, "get user"), "ada");
        assert_eq!(other.follow("document.forms.logout.submit()"), "not signed in");
        assert_eq!(say(&tab, message), "closed");
        assert_eq!(chromium.cookies(), []);
        assert_eq!(layer.sessions().store().len().unwrap(), 0);
        assert_eq!(tab.reload(), "not signed in");
    }
}

#[test]
fn login_ends_older_sockets() {
    let site = serve(&layer());
    let chromium = Chromium::start();
    let (tab, other) = (chromium.tab_at(&site.url("/public")), chromium.tab_at(&site.url("/public")));
    connect(&tab, &site.url("/socket"));
    assert_eq!(say(&tab, "get user"), "nothing");
    assert_eq!(other.follow("document.forms.login.submit()"), "signed in as ada");
    assert_eq!(say(&tab, "get user"), "closed", "its id died with the login");
    connect(&tab, &site.url("/socket"));
    assert_eq!(say(&tab, "get user"), "ada");
}

#[test]
fn foreign_socket_sends_only_same_site_none() {
    for (same_site, user) in [(SameSite::Strict, "nothing"), (SameSite::Lax, "nothing"), (SameSite::None, "ada")] {
        let site = serve(&layer_with(CookieOptions::new().same_site(same_site)));
        let chromium = Chromium::start_with_third_party_cookies();
        let tab = chromium.tab_at(&site.url("/login"));
        let cookie = chromium.cookie();
        tab.open(&site.url_by_name("/public"));
        assert_eq!(connect(&tab, &site.url("/socket")), "open");
        assert_eq!(say(&tab, "get user"), user, "{same_site:?}");
        assert_eq!(chromium.cookie(), cookie, "nor does it replace it");
    }
}
