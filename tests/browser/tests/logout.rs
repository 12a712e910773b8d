//! A logout in one tab beside a slow request of another tab, which does not undo it.

use std::time::Duration;

use lembro::web::{CookieLifetime, CookieOptions, SessionLayer};
use lembro::{Clock, Policy};
use lembro_browser_tests::{Chromium, layer, layer_by, serve};

/// Logs out during a slow request for `path`. `pause` runs between the login and that request.
#[track_caller]
fn logs_out_beside(path: &str, layer: &SessionLayer, pause: impl FnOnce()) {
    let (site, gate) = serve(layer);
    let chromium = Chromium::start();
    let (slow, other) = (chromium.tab_at(&site.url("/login")), chromium.tab_at(&site.url("/public")));
    pause();

    slow.begin_fetch(path);
    gate.wait_for(1);
    assert_eq!(other.follow("document.forms.logout.submit()"), "not signed in");
    assert_eq!(chromium.cookies(), [], "the logout took the cookie");
    gate.open();
    assert_eq!(slow.finish(), "ada", "it began while the user was signed in");

    assert_eq!(chromium.cookies(), [], "the slow request brought no cookie back");
    assert_eq!(slow.open(&site.url("/")), "not signed in");
    assert_eq!(slow.fetch("/data"), "");
    assert_eq!(other.reload(), "not signed in");
    assert_eq!(chromium.cookies(), []);
    assert_eq!(layer.sessions().store().len().unwrap(), 0, "nothing is stored");
}

#[test]
fn slow_change_restores_neither_login_nor_cookie() {
    logs_out_beside("/slow?key=cart&value=tea", &layer(), || {});
}

#[test]
fn slow_save_restores_neither() {
    logs_out_beside("/slow?key=cart&value=tea&save=now", &layer(), || {});
}

#[test]
fn slow_look_restores_neither() {
    logs_out_beside("/slow", &layer(), || {});
}

#[test]
fn slow_touch_restores_neither() {
    let time = Clock::manual();
    let layer = layer_by(&time, CookieOptions::new());
    logs_out_beside("/slow", &layer, || time.advance(Duration::from_secs(10 * 60)));
}

#[test]
fn slow_rewrite_of_persistent_cookie_restores_neither() {
    for path in ["/slow", "/slow?key=cart&value=tea"] {
        let time = Clock::manual();
        // With zero each look touches the session, with a minute only some looks do.
        for touch_after in [Duration::ZERO, Duration::from_secs(60)] {
            let cookie = CookieOptions::new().lifetime(CookieLifetime::Persistent);
            let policy = Policy::new().touch_after(touch_after);
            let layer = layer_by(&time, cookie).policy(policy).unwrap();
            logs_out_beside(path, &layer, || time.advance(Duration::from_secs(10 * 60)));
        }
    }
}

#[test]
fn slow_renewal_restores_neither() {
    for path in ["/slow", "/slow?key=cart&value=tea"] {
        let time = Clock::manual();
        let policy = Policy::new().renew_after(Duration::from_secs(5 * 60));
        let layer = layer_by(&time, CookieOptions::new()).policy(policy).unwrap();
        logs_out_beside(path, &layer, || time.advance(Duration::from_secs(10 * 60)));
    }
}

#[test]
fn slow_request_of_ended_session_leaves_the_next_alone() {
    for path in ["/slow", "/slow?key=cart&value=tea", "/slow?key=cart&value=tea&save=now"] {
        let (site, gate) = serve(&layer());
        let chromium = Chromium::start();
        let (slow, other) = (chromium.tab_at(&site.url("/login")), chromium.tab_at(&site.url("/public")));

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
