//! Another site's links, forms, scripts and sockets, and which of them bring the cookie.
//!
//! To a browser `127.0.0.1` and `localhost` are two sites, whatever their ports.

use lembro::web::{CookieOptions, SameSite, SessionLayer};
use lembro_browser_tests::{Chromium, Site, Tab, id_in, layer_with, serve};
use rouille::Response;

/// Our site with somebody signed in, and a page of another site in the same browser.
struct Stage {
    layer: SessionLayer,
    ours: Site,
    chromium: Chromium,
    tab: Tab,
    _theirs: Site,
}

fn stage(same_site: SameSite) -> Stage {
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
    // Which may not be what keeps a cookie away here.
    let chromium = Chromium::start_with_third_party_cookies();
    let tab = chromium.tab();
    assert_eq!(tab.open(&ours.url("/login")), "signed in as ada");
    assert_eq!(tab.open(&theirs.url_by_name("/")), "a link");
    Stage { layer, ours, chromium, tab, _theirs: theirs }
}

const LINK: &str = "document.getElementById('link').click()";
const FORM: &str = "document.forms.look.submit()";

#[test]
fn a_link_from_another_site_brings_a_lax_cookie() {
    assert_eq!(stage(SameSite::Lax).tab.follow(LINK), "signed in as ada");
}

#[test]
fn a_form_of_another_site_does_not_bring_a_lax_cookie() {
    let stage = stage(SameSite::Lax);
    assert_eq!(stage.tab.follow(FORM), "nobody");
    assert_eq!(stage.tab.open(&stage.ours.url("/")), "signed in as ada", "and takes nothing away");
}

#[test]
fn neither_brings_a_strict_cookie() {
    for script in [LINK, FORM] {
        let stage = stage(SameSite::Strict);
        assert_eq!(stage.tab.follow(script), "nobody");
        assert_eq!(stage.tab.open(&stage.ours.url("/")), "signed in as ada", "and takes nothing away");
    }
}

#[test]
fn both_bring_a_cookie_whose_same_site_is_none() {
    for script in [LINK, FORM] {
        assert_eq!(stage(SameSite::None).tab.follow(script), "signed in as ada");
    }
}

#[test]
fn what_a_form_of_another_site_changes_is_a_new_session() {
    for same_site in [SameSite::Lax, SameSite::Strict] {
        let stage = stage(same_site);
        let before = id_in(&stage.chromium.cookie().value);
        stage.tab.follow("document.forms.change.submit()");
        let session = stage.layer.sessions().load(&before).unwrap().expect("still there");
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("ada"));
        assert_eq!(session.get::<String>("theme").unwrap(), None);
        // It came without a cookie, so it is a new visitor's for all that the layer knows, and the
        // browser takes the new session's cookie in place of the other. Turning such forms away is
        // up to the application (a token, or `Origin`).
        assert_ne!(id_in(&stage.chromium.cookie().value), before);
        assert_eq!(stage.tab.open(&stage.ours.url("/")), "nobody");
    }
}

#[test]
fn a_script_of_another_site_brings_a_cookie_only_if_its_same_site_is_none() {
    for (same_site, brings) in [(SameSite::Strict, false), (SameSite::Lax, false), (SameSite::None, true)] {
        let stage = stage(same_site);
        let before = stage.chromium.cookie();
        let url = stage.ours.url("/set?key=theme&value=theirs");
        stage.tab.run(&format!("fetch('{url}', {{mode: 'no-cors', credentials: 'include'}}).then(() => true)"));
        assert_eq!(stage.chromium.cookie(), before);
        stage.tab.open(&stage.ours.url("/"));
        let data = if brings { "theme=theirs user=ada" } else { "user=ada" };
        assert_eq!(stage.tab.fetch("/data"), data, "{same_site:?}");
    }
}
