//! A tab that polls: `peek` does not prolong its session, ordinary looks do.

use std::time::Duration;

use lembro::web::{CookieLifetime, CookieOptions, SessionLayer};
use lembro::{Clock, ManualClock, Policy};
use lembro_browser_tests::{Chromium, Gate, Site, Tab, application, layer_by};
use rouille::Response;

const MINUTE: Duration = Duration::from_secs(60);

/// The application, with the user's name at `/poll` by a peek and at `/visit` by a visit.
fn serve(layer: &SessionLayer) -> Site {
    let layer = layer.clone();
    Site::start(move |request| {
        layer.rouille(request, |session| match request.url().as_str() {
            "/poll" => Ok(Response::text(session.peek().get::<String>("user")?.unwrap_or("not signed in".to_owned()))),
            "/visit" => Ok(Response::text(session.get::<String>("user")?.unwrap_or("not signed in".to_owned()))),
            _ => application(request, session, &Gate::default()),
        })
    })
}

/// Makes the page poll `path`, one request after another.
fn poll(tab: &Tab, path: &str) {
    tab.begin(&format!(
        "window.waiting = [];
        let busy = false;
        setInterval(async () => {{
            if (busy) return;
            busy = true;
            const told = waiting.splice(0);
            const answer = await fetch('{path}').then(answer => answer.text());
            told.forEach(tell => tell(answer));
            busy = false;
        }}, 10)"
    ));
}

/// The answer of the next poll that begins after this call.
#[track_caller]
fn told(tab: &Tab) -> String {
    tab.run("new Promise(tell => waiting.push(tell))")
}

fn fixture(cookie: CookieOptions, policy: Policy) -> (ManualClock, SessionLayer, Site, Chromium, Tab) {
    let time = Clock::manual();
    let layer = layer_by(&time, cookie).policy(policy).expect("a policy that can work");
    let site = serve(&layer);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    assert_eq!(tab.open(&site.url("/login")), "signed in as ada");
    (time, layer, site, chromium, tab)
}

#[test]
fn polling_with_peek_lets_the_session_expire() {
    for lifetime in [CookieLifetime::BrowserSession, CookieLifetime::Persistent] {
        // Also with timed renewal, which a peek does not begin.
        for policy in [Policy::new(), Policy::new().renew_after(5 * MINUTE)] {
            let (time, layer, site, chromium, tab) = fixture(CookieOptions::new().lifetime(lifetime), policy);
            let cookie = chromium.cookie();
            poll(&tab, "/poll");
            for pause in [10, 10, 10, 10, 10, 9] {
                time.advance(pause * MINUTE);
                assert_eq!(told(&tab), "ada");
            }
            assert_eq!(chromium.cookie(), cookie);
            time.advance(MINUTE);
            assert_eq!(told(&tab), "not signed in", "an hour after the login");
            assert_eq!(chromium.tab().open(&site.url("/")), "not signed in");
            assert!(layer.sessions().owner("ada").unwrap().list().unwrap().is_empty());
        }
    }
}

#[test]
fn polling_with_visits_keeps_the_session_alive() {
    let (time, _layer, _site, _chromium, tab) = fixture(CookieOptions::new(), Policy::new());
    poll(&tab, "/visit");
    for _ in 0..5 {
        time.advance(50 * MINUTE);
        assert_eq!(told(&tab), "ada");
    }
}

#[test]
fn work_beside_a_polling_tab_prolongs_the_session() {
    let (time, _layer, site, chromium, tab) = fixture(CookieOptions::new(), Policy::new());
    let other = chromium.tab();
    poll(&tab, "/poll");
    for _ in 0..3 {
        time.advance(50 * MINUTE);
        assert_eq!(told(&tab), "ada");
        assert_eq!(other.open(&site.url("/")), "signed in as ada");
    }
    time.advance(59 * MINUTE);
    assert_eq!(told(&tab), "ada");
    time.advance(MINUTE);
    assert_eq!(told(&tab), "not signed in");
    assert_eq!(other.reload(), "not signed in");
}
