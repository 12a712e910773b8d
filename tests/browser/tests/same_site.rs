//! Links, forms and scripts of another site, and which of them send the cookie.
//!
//! Browsers treat `127.0.0.1` and `localhost` as two sites, whatever their ports.

use lembro::web::{CookieOptions, SameSite, SessionLayer};
use lembro_browser_tests::{Chromium, Site, Tab, id_in, layer_with, serve};
use rouille::Response;

/// A site with a signed-in user, and a page of another site in the same browser.
struct Fixture {
    layer: SessionLayer,
    ours: Site,
    chromium: Chromium,
    tab: Tab,
    _theirs: Site,
}

fn fixture(same_site: SameSite) -> Fixture {
    let layer = layer_with(CookieOptions::new().same_site(same_site));
    let (ours, _) = serve(&layer);
    let url = ours.url("");
    let theirs = Site::start(move |_| {
        Response::html(format!(
            "<!doctype html><link rel=icon href='data:,'><a href='{url}/' id=link>a link</a>
            <form method=post action='{url}/' id=look></form>
            <form method=post action='{url}/set?key=theme&value=theirs' id=change></form>"
        ))
    });
    // Third-party cookies are allowed, so that only `SameSite` can withhold one.
    let chromium = Chromium::start_with_third_party_cookies();
    let tab = chromium.tab();
    assert_eq!(tab.open(&ours.url("/login")), "signed in as ada");
    assert_eq!(tab.open(&theirs.url_by_name("/")), "a link");
    Fixture { layer, ours, chromium, tab, _theirs: theirs }
}

const LINK: &str = "document.getElementById('link').click()";
const FORM: &str = "document.forms.look.submit()";

#[test]
fn foreign_link_sends_lax_cookie() {
    assert_eq!(fixture(SameSite::Lax).tab.follow(LINK), "signed in as ada");
}

#[test]
fn foreign_form_withholds_lax_cookie() {
    let fixture = fixture(SameSite::Lax);
    assert_eq!(fixture.tab.follow(FORM), "not signed in");
    assert_eq!(fixture.tab.open(&fixture.ours.url("/")), "signed in as ada", "and takes nothing away");
}

#[test]
fn foreign_link_and_form_withhold_strict_cookie() {
    for script in [LINK, FORM] {
        let fixture = fixture(SameSite::Strict);
        assert_eq!(fixture.tab.follow(script), "not signed in");
        assert_eq!(fixture.tab.open(&fixture.ours.url("/")), "signed in as ada", "and takes nothing away");
    }
}

#[test]
fn foreign_link_and_form_send_same_site_none() {
    for script in [LINK, FORM] {
        assert_eq!(fixture(SameSite::None).tab.follow(script), "signed in as ada");
    }
}

#[test]
fn foreign_form_changes_a_new_session() {
    for same_site in [SameSite::Lax, SameSite::Strict] {
        let fixture = fixture(same_site);
        let before = id_in(&fixture.chromium.cookie().value);
        fixture.tab.follow("document.forms.change.submit()");
        let session = fixture.layer.sessions().load(&before).unwrap().expect("still there");
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("ada"));
        assert_eq!(session.get::<String>("theme").unwrap(), None);
        // The form came without a cookie, so the layer begins a new session, whose cookie replaces
        // the other in the browser. Refusing such forms is up to the application (a token, or
        // `Origin`).
        assert_ne!(id_in(&fixture.chromium.cookie().value), before);
        assert_eq!(fixture.tab.open(&fixture.ours.url("/")), "not signed in");
    }
}

#[test]
fn foreign_script_sends_only_same_site_none() {
    for (same_site, brings) in [(SameSite::Strict, false), (SameSite::Lax, false), (SameSite::None, true)] {
        let fixture = fixture(same_site);
        let before = fixture.chromium.cookie();
        let url = fixture.ours.url("/set?key=theme&value=theirs");
        fixture.tab.run(&format!("fetch('{url}', {{mode: 'no-cors', credentials: 'include'}}).then(() => true)"));
        assert_eq!(fixture.chromium.cookie(), before);
        fixture.tab.open(&fixture.ours.url("/"));
        let data = if brings { "theme=theirs user=ada" } else { "user=ada" };
        assert_eq!(fixture.tab.fetch("/data"), data, "{same_site:?}");
    }
}
