//! Signing in: it lasts over reloads and tabs, and the old id opens nothing.

use lembro_browser_tests::{Chromium, id_in, layer, serve};

#[test]
fn sign_in_lasts_over_reloads_and_tabs() {
    let (site, _) = serve(&layer());
    let chromium = Chromium::start();
    let tab = chromium.tab();
    assert_eq!(tab.open(&site.url("/")), "not signed in");
    assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada");
    let cookie = chromium.cookie();
    for _ in 0..3 {
        assert_eq!(tab.reload(), "signed in as ada");
    }
    assert_eq!(chromium.tab().open(&site.url("/")), "signed in as ada");
    assert_eq!(chromium.cookie(), cookie);
    assert_eq!(Chromium::start().tab().open(&site.url("/")), "not signed in", "another browser");
}

#[test]
fn empty_session_sets_no_cookie() {
    let (site, _) = serve(&layer());
    let chromium = Chromium::start();
    let tab = chromium.tab();
    for path in ["/", "/public", "/private", "/logout", "/data"] {
        tab.open(&site.url(path));
    }
    assert_eq!(chromium.cookies(), []);
}

#[test]
fn sign_in_changes_the_id_and_keeps_the_data() {
    let layer = layer();
    let (site, _) = serve(&layer);
    let (chromium, tab) = Chromium::start_at(&site.url("/"));
    tab.fetch("/set?key=cart&value=tea");
    let before = id_in(&chromium.cookie().value);

    tab.follow("document.forms.login.submit()");
    let after = id_in(&chromium.cookie().value);
    assert_ne!(before, after);
    assert_eq!(before.handle(), after.handle());
    assert!(layer.sessions().load(&before).unwrap().is_none(), "the old id is dead");
    assert_eq!(tab.fetch("/data"), "cart=tea user=ada");
}
