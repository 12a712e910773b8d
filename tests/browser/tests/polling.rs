//! A tab that polls: with `peek` its requests prolong no session, with ordinary looks they do.

use std::time::Duration;

use lembro::web::{CookieLifetime, CookieOptions, SessionLayer};
use lembro::{Clock, ManualClock, Policy};
use lembro_browser_tests::{Chromium, Gate, Site, Tab, application, layer_by};
use rouille::Response;

const MINUTE: Duration = Duration::from_secs(60);

/// The application, and at `/poll` who is logged in, as a peek tells.
fn serve(layer: &SessionLayer) -> Site {
    let layer = layer.clone();
    Site::start(move |request| {
        layer.rouille(request, |session| match request.url().as_str() {
            "/poll" => Ok(Response::text(session.peek().get::<String>("user")?.unwrap_or("nobody".to_owned()))),
            "/visit" => Ok(Response::text(session.get::<String>("user")?.unwrap_or("nobody".to_owned()))),
            _ => application(request, session, &Gate::default()),
        })
    })
}

/// From now on the page asks again and again, one request after another, and notes the answer.
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

/// What the page is told by the next request that it begins.
#[track_caller]
fn told(tab: &Tab) -> String {
    tab.run("new Promise(tell => waiting.push(tell))")
}

fn stage(cookie: CookieOptions, policy: Policy) -> (ManualClock, SessionLayer, Site, Chromium, Tab) {
    let time = Clock::manual();
    let layer = layer_by(&time, cookie).policy(policy).expect("a policy that can work");
    let site = serve(&layer);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    assert_eq!(tab.open(&site.url("/login")), "signed in as ada");
    (time, layer, site, chromium, tab)
}

#[test]
fn a_tab_that_polls_with_peek_does_not_keep_the_session_alive_and_is_told_when_it_ends() {
    for lifetime in [CookieLifetime::BrowserSession, CookieLifetime::Persistent] {
        // With a timed renewal too: a peek begins none.
        for policy in [Policy::new(), Policy::new().renew_after(5 * MINUTE)] {
            let (time, layer, site, chromium, tab) = stage(CookieOptions::new().lifetime(lifetime), policy);
            let cookie = chromium.cookie();
            poll(&tab, "/poll");
            for pause in [10, 10, 10, 10, 10, 9] {
                time.advance(pause * MINUTE);
                assert_eq!(told(&tab), "ada");
            }
            assert_eq!(chromium.cookie(), cookie);
            time.advance(MINUTE);
            assert_eq!(told(&tab), "nobody", "an hour after the login");
            assert_eq!(chromium.tab().open(&site.url("/")), "nobody");
            assert!(layer.sessions().owner("ada").unwrap().list().unwrap().is_empty());
        }
    }
}

#[test]
fn a_tab_that_polls_with_ordinary_looks_keeps_the_session_alive() {
    let (time, _layer, _site, _chromium, tab) = stage(CookieOptions::new(), Policy::new());
    poll(&tab, "/visit");
    for _ in 0..5 {
        time.advance(50 * MINUTE);
        assert_eq!(told(&tab), "ada");
    }
}

#[test]
fn a_user_who_works_in_one_tab_stays_logged_in_beside_a_tab_that_polls_and_not_longer_than_that() {
    let (time, _layer, site, chromium, tab) = stage(CookieOptions::new(), Policy::new());
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
    assert_eq!(told(&tab), "nobody");
    assert_eq!(other.reload(), "nobody");
}
