//! Handlers that fail after a login: a saved login brings its cookie with the error page.

use std::error::Error;

use lembro::Session;
use lembro::web::SessionLayer;
use lembro_browser_tests::{Chromium, Gate, Site, application, id_in, layer};
use rouille::Response;

/// Logs in, saves, and makes a change that is lost.
fn log_in(session: &mut Session) -> lembro::Result<()> {
    session.log_in("ada")?;
    session.insert("user", "ada")?;
    let _saved = session.save()?;
    session.insert("greeted", "yes")
}

/// The application, with logins that fail: by an error of the session, by a panic, and by an error
/// that the application has a page for.
fn serve(layer: &SessionLayer) -> Site {
    let layer = layer.clone();
    Site::start(move |request| match request.url().as_str() {
        "/error" => layer.rouille(request, |session| {
            log_in(session)?;
            session.get::<u64>("user").map(|_| Response::text("a number?"))
        }),
        "/panic" => layer.rouille(request, |session| -> Response {
            log_in(session).expect("a login");
            panic!("after the login, as the test wants it")
        }),
        "/page" => layer.try_around(
            request,
            |session| -> Result<Response, Box<dyn Error>> {
                log_in(session)?;
                Err("no template".into())
            },
            |failure| Response::text(format!("our page: {failure}")).with_status_code(502),
        ),
        _ => layer.rouille(request, |session| application(request, session, &Gate::default())),
    })
}

#[test]
fn login_saved_before_failure_lasts() {
    for (path, status, text) in [
        ("/error", "500", "Internal server error"),
        ("/panic", "500", "Internal server error"),
        ("/page", "502", "our page: no template"),
    ] {
        for has_session in [false, true] {
            let layer = layer();
            let site = serve(&layer);
            let (chromium, tab) = Chromium::start_at(&site.url("/"));
            if has_session {
                tab.fetch("/set?key=cart&value=tea");
            }
            let before = chromium.cookies().first().map(|cookie| id_in(&cookie.value));
            let submit = format!("document.forms.login.action = '{path}', document.forms.login.requestSubmit()");
            assert_eq!(tab.follow(&submit), text);
            assert_eq!(tab.status(), status, "{path}");
            let cookie = chromium.cookie();
            assert_ne!(Some(id_in(&cookie.value)), before, "the error page brings the new id");

            assert_eq!(tab.open(&site.url("/")), "signed in as ada", "{path}");
            let data = if has_session { "cart=tea user=ada" } else { "user=ada" };
            assert_eq!(tab.fetch("/data"), data, "and nothing that came after the save");
            assert_eq!(chromium.cookie(), cookie);
            if let Some(before) = before {
                assert!(layer.sessions().load(&before).unwrap().is_none(), "the old id is dead");
            }
        }
    }
}

#[test]
fn login_not_saved_before_failure_leaves_old_session() {
    let layer = layer();
    let inner = layer.clone();
    let site = Site::start(move |request| match request.url().as_str() {
        "/fails" => inner.rouille(request, |session| {
            session.log_in("ada")?;
            session.insert("user", "ada")?;
            session.get::<u64>("cart").map(|_| Response::text("a number?"))
        }),
        _ => inner.rouille(request, |session| application(request, session, &Gate::default())),
    });
    let (chromium, tab) = Chromium::start_at(&site.url("/"));
    tab.fetch("/set?key=cart&value=tea");
    let cookie = chromium.cookie();
    tab.open(&site.url("/fails"));
    assert_eq!(tab.status(), "500");
    assert_eq!(chromium.cookie(), cookie);
    assert_eq!(tab.open(&site.url("/")), "not signed in");
    assert_eq!(tab.fetch("/data"), "cart=tea");
}
