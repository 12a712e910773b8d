//! Persistent cookies, which are rewritten while the session is used, but not with each response.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lembro::web::{CookieLifetime, CookieOptions};
use lembro::{Clock, Policy};
use lembro_browser_tests::{Chromium, Gate, Site, application, id_in, layer_by};

#[test]
fn persistent_cookie_is_rewritten_once_per_touch_after() {
    let time = Clock::manual();
    let policy = Policy::new().touch_after(Duration::from_secs(5 * 60));
    let options = CookieOptions::new().lifetime(CookieLifetime::Persistent);
    let layer = layer_by(&time, options).policy(policy).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let site = Site::start(move |request| {
        let response = layer.rouille(request, |session| application(request, session, &Gate::default()));
        let cookies = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Set-Cookie"));
        counter.fetch_add(cookies.count(), Ordering::SeqCst);
        response
    });
    let (chromium, tab) = Chromium::start_at(&site.url("/login"));
    let mut cookie = chromium.cookie();
    assert_eq!(sent.swap(0, Ordering::SeqCst), 1);

    for _ in 0..3 {
        // Requests that look, change, or do not look: the cookie is not due yet.
        time.advance(Duration::from_secs(5 * 60 - 1));
        for path in ["/", "/set?key=cart&value=tea", "/set?key=cart&value=cake", "/public", "/data"] {
            tab.fetch(path);
        }
        assert_eq!(sent.load(Ordering::SeqCst), 0);
        assert_eq!(chromium.cookie(), cookie);

        time.advance(Duration::from_secs(1));
        tab.fetch("/public");
        assert_eq!(sent.load(Ordering::SeqCst), 0, "no look at the session");
        for path in ["/", "/set?key=cart&value=milk", "/", "/data"] {
            tab.fetch(path);
        }
        assert_eq!(sent.swap(0, Ordering::SeqCst), 1);
        let renewed = chromium.cookie();
        assert_eq!(id_in(&renewed.value), id_in(&cookie.value), "the same id");
        assert_ne!(renewed.value, cookie.value);
        assert!(renewed.expires >= cookie.expires, "by the browser's clock, which went on");
        cookie = renewed;
    }
    assert_eq!(tab.reload(), "signed in as ada");
}
