//! Logging out in one tab while another tab's request is under way: it is final.

use std::time::Duration;

use lembro::web::{CookieLifetime, CookieOptions, SessionLayer};
use lembro::{Clock, Policy};
use lembro_browser_tests::{Chromium, layer, layer_by, serve};

/// Logs out while a slow request for `path` is under way. `pause` comes between the login and that
/// request.
#[track_caller]
fn logs_out_beside(path: &str, layer: &SessionLayer, pause: impl FnOnce()) {
    let (site, gate) = serve(layer);
    let chromium = Chromium::start();
    let (slow, other) = (chromium.tab(), chromium.tab());
    slow.open(&site.url("/login"));
    other.open(&site.url("/public"));
    pause();

    slow.begin_fetch(path);
    gate.wait_for(1);
    assert_eq!(other.follow("document.forms.logout.submit()"), "nobody");
    assert_eq!(chromium.cookies(), [], "the logout took the cookie");
    gate.open();
    assert_eq!(slow.finish(), "ada", "it was under way while somebody was signed in");

    assert_eq!(chromium.cookies(), [], "the slow request brought no cookie back");
    assert_eq!(slow.open(&site.url("/")), "nobody");
    assert_eq!(slow.fetch("/data"), "");
    assert_eq!(other.reload(), "nobody");
    assert_eq!(chromium.cookies(), []);
    assert_eq!(layer.sessions().store().len().unwrap(), 0, "nothing is stored");
}

#[test]
fn a_slow_request_that_changes_something_brings_neither_the_login_nor_the_cookie_back() {
    logs_out_beside("/slow?key=cart&value=tea", &layer(), || {});
}

#[test]
fn a_slow_request_that_saves_by_itself_brings_neither_back() {
    logs_out_beside("/slow?key=cart&value=tea&save=now", &layer(), || {});
}

#[test]
fn a_slow_request_that_only_looks_brings_neither_back() {
    logs_out_beside("/slow", &layer(), || {});
}

#[test]
fn a_slow_request_whose_visit_is_due_to_be_noted_brings_neither_back() {
    let time = Clock::manual();
    let layer = layer_by(&time, CookieOptions::new());
    logs_out_beside("/slow", &layer, || time.advance(Duration::from_secs(10 * 60)));
}

#[test]
fn a_slow_request_that_would_rewrite_a_persistent_cookie_brings_neither_back() {
    for path in ["/slow", "/slow?key=cart&value=tea"] {
        let time = Clock::manual();
        // A visit is noted at every request, so the store is asked; or else seldom, and the cookie
        // alone is due.
        for touch_after in [Duration::ZERO, Duration::from_secs(60)] {
            let cookie = CookieOptions::new().lifetime(CookieLifetime::Persistent);
            let policy = Policy::new().touch_after(touch_after);
            let layer = layer_by(&time, cookie).policy(policy).unwrap();
            logs_out_beside(path, &layer, || time.advance(Duration::from_secs(10 * 60)));
        }
    }
}

#[test]
fn a_slow_request_whose_id_is_due_for_renewal_brings_neither_back() {
    for path in ["/slow", "/slow?key=cart&value=tea"] {
        let time = Clock::manual();
        let policy = Policy::new().renew_after(Duration::from_secs(5 * 60));
        let layer = layer_by(&time, CookieOptions::new()).policy(policy).unwrap();
        logs_out_beside(path, &layer, || time.advance(Duration::from_secs(10 * 60)));
    }
}

#[test]
fn a_slow_request_of_the_last_session_takes_nothing_from_the_next_one() {
    for path in ["/slow", "/slow?key=cart&value=tea", "/slow?key=cart&value=tea&save=now"] {
        let (site, gate) = serve(&layer());
        let chromium = Chromium::start();
        let (slow, other) = (chromium.tab(), chromium.tab());
        slow.open(&site.url("/login"));
        other.open(&site.url("/public"));

        slow.begin_fetch(path);
        gate.wait_for(1);
        other.follow("document.forms.logout.submit()");
        assert_eq!(other.follow("document.forms.login.submit()"), "signed in as ada");
        let cookie = chromium.cookie();
        gate.open();
        slow.finish();

        assert_eq!(chromium.cookie(), cookie);
        assert_eq!(slow.open(&site.url("/")), "signed in as ada");
        assert_eq!(slow.fetch("/data"), "user=ada", "nothing of the last session is in it");
    }
}
