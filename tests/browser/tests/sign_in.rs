//! Signing in, in a browser: it lasts, and the id from before is worth nothing.

use lembro_browser_tests::{Chromium, id_in, layer, serve};

#[test]
fn whoever_signed_in_is_still_signed_in_after_a_reload_and_in_another_tab() {
    let (site, _) = serve(&layer());
    let chromium = Chromium::start();
    let tab = chromium.tab();
    assert_eq!(tab.open(&site.url("/")), "nobody");
    assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada");
    let cookie = chromium.cookie();
    for _ in 0..3 {
        assert_eq!(tab.reload(), "signed in as ada");
    }
    assert_eq!(chromium.tab().open(&site.url("/")), "signed in as ada");
    assert_eq!(chromium.cookie(), cookie);
    assert_eq!(Chromium::start().tab().open(&site.url("/")), "nobody", "another browser");
}

#[test]
fn a_visitor_who_leaves_nothing_in_the_session_gets_no_cookie() {
    let (site, _) = serve(&layer());
    let chromium = Chromium::start();
    let tab = chromium.tab();
    for path in ["/", "/public", "/private", "/logout", "/data"] {
        tab.open(&site.url(path));
    }
    assert_eq!(chromium.cookies(), []);
}

#[test]
fn signing_in_changes_the_id_and_keeps_the_data() {
    let layer = layer();
    let (site, _) = serve(&layer);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.open(&site.url("/"));
    tab.fetch("/set?key=cart&value=tea");
    let before = id_in(&chromium.cookie().value);

    tab.follow("document.forms.login.submit()");
    let after = id_in(&chromium.cookie().value);
    assert_ne!(before, after);
    assert_eq!(before.handle(), after.handle());
    assert!(layer.sessions().load(&before).unwrap().is_none(), "the old id is dead");
    assert_eq!(tab.fetch("/data"), "cart=tea user=ada");
}
