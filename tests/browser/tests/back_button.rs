//! The back button after a logout: it shows nothing private, whether the browser asks again or wakes a page it kept.
//!
//! A browser keeps the pages that somebody leaves alive for the way back (`pageshow` says `persisted`). Chromium does it
//! with `no-store` too, but throws such a page away when the site's cookies change: so it takes both, the `no-store` of the
//! page and the removal of the cookie. A session that ends elsewhere (it expired, it was destroyed from another device)
//! changes no cookie here, and no header reaches a page that is woken: such a page must ask again by itself.

use lembro::web::{CookieOptions, SessionLayer, SiteData};
use lembro_browser_tests::{Chromium, Gate, Site, Tab, application, id_in, layer, layer_with, serve};
use rouille::Response;

const DIARY: &str = "the diary of ada";

#[track_caller]
fn shows_nothing_private(tab: &Tab) {
    assert_eq!(tab.back(), "nobody");
    assert_eq!(tab.run("window.persisted"), "false", "asked for anew");
    assert!(!tab.run("document.documentElement.outerHTML").contains("diary"));
}

#[test]
fn the_way_back_to_a_page_without_a_session_is_quick() {
    // Else the tests below would show nothing: this browser does keep pages.
    let (site, _) = serve(&layer());
    let tab = Chromium::start().tab();
    tab.open(&site.url("/public"));
    tab.open(&site.url("/"));
    assert_eq!(tab.back(), "everybody may read this");
    assert_eq!(tab.run("window.persisted"), "true");
}

#[test]
fn the_back_button_after_a_logout_shows_nothing_private() {
    let (site, _) = serve(&layer());
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.open(&site.url("/login"));
    assert_eq!(tab.open(&site.url("/private")), DIARY);
    assert_eq!(tab.follow("document.forms.logout.submit()"), "nobody");
    shows_nothing_private(&tab);
}

#[test]
fn the_back_button_after_a_logout_in_another_tab_shows_nothing_private() {
    let (site, _) = serve(&layer());
    let chromium = Chromium::start();
    let (tab, other) = (chromium.tab(), chromium.tab());
    tab.open(&site.url("/login"));
    assert_eq!(tab.open(&site.url("/private")), DIARY);
    tab.open(&site.url("/public"));
    other.open(&site.url("/public"));
    other.follow("document.forms.logout.submit()");
    shows_nothing_private(&tab);
}

#[test]
fn a_page_that_asks_again_when_it_is_woken_shows_nothing_of_a_session_that_ended_elsewhere() {
    let layer = layer();
    let inner = layer.clone();
    let site = Site::start(move |request| {
        inner.rouille(request, |session| match request.url().as_str() {
            "/asks-again" => Ok(Response::html(format!(
                "<p>{}<script>addEventListener('pageshow', event => event.persisted && location.reload())</script>",
                session.get_str("user")?.map_or("nobody", |_| DIARY)
            ))),
            _ => application(request, session, &Gate::default()),
        })
    });
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.open(&site.url("/login"));
    assert_eq!(tab.open(&site.url("/asks-again")), DIARY);
    tab.open(&site.url("/public"));
    let id = id_in(&chromium.cookie().value);
    layer.sessions().load(&id).unwrap().expect("signed in").log_out().unwrap();
    assert_eq!(tab.back_and_on(), "nobody");
}

#[test]
fn the_disk_cache_has_nothing_private_after_a_logout() {
    let (site, _) = serve(&layer());
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.open(&site.url("/login"));
    let from_cache = "fetch('/private', {cache: 'only-if-cached', mode: 'same-origin'}) \
                      .then(response => response.text(), () => 'not cached')";
    assert_eq!(tab.run("fetch('/private', {cache: 'force-cache'}).then(page => page.ok)"), "true");
    assert_eq!(tab.run(from_cache), "not cached");
}

#[test]
fn a_logout_with_clear_site_data_leaves_nothing_in_the_browser_and_the_back_button_shows_nothing() {
    let data = [SiteData::Cache, SiteData::Cookies, SiteData::Storage];
    let layer: SessionLayer = layer_with(CookieOptions::new().clear_site_data(data));
    let (site, _) = serve(&layer);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.open(&site.url("/login"));
    assert_eq!(tab.open(&site.url("/private")), DIARY);
    tab.run("localStorage.draft = document.body.innerText, document.cookie = 'theme=dark'");
    assert_eq!(chromium.cookies().len(), 2);

    assert_eq!(tab.follow("document.forms.logout.submit()"), "nobody");
    assert_eq!(chromium.cookies(), [], "the application's own cookie too");
    assert_eq!(tab.run("localStorage.length"), "0");
    shows_nothing_private(&tab);
}

#[test]
fn a_logout_without_clear_site_data_leaves_alone_what_is_not_the_layers() {
    let (site, _) = serve(&layer());
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.open(&site.url("/login"));
    tab.run("localStorage.draft = 'a letter', document.cookie = 'theme=dark'");
    tab.follow("document.forms.logout.submit()");
    assert_eq!(chromium.cookie().name, "theme");
    assert_eq!(tab.run("localStorage.draft"), "a letter");
}
