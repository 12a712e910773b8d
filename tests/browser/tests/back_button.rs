//! The back button after a logout, which shows nothing private.
//!
//! A browser keeps pages that the user leaves in memory and restores them on the way back
//! (`pageshow` says `persisted`). Chromium also keeps pages with `no-store`, but drops them when
//! the site's cookies change. So both are needed, `no-store` on the page and the removal of the
//! cookie. The page that a login redirected to also needs `Clear-Site-Data` with the cache. If a
//! session ends elsewhere (it expired, or was destroyed from another device), no cookie changes in
//! this browser and no header reaches a restored page: such a page must reload itself.

use lembro::web::{CookieOptions, SessionLayer, SiteData};
use lembro_browser_tests::{Chromium, Gate, Site, Tab, application, id_in, layer, layer_with, serve};
use rouille::Response;

const DIARY: &str = "the diary of ada";

#[track_caller]
fn shows_nothing_private(tab: &Tab) {
    assert_eq!(tab.back(), "not signed in");
    assert_eq!(tab.run("window.persisted"), "false", "loaded again");
    assert!(!tab.run("document.documentElement.outerHTML").contains("diary"));
}

#[test]
fn back_restores_a_page_without_a_session() {
    // Shows that this browser restores pages; otherwise the tests below would prove nothing.
    let (site, _) = serve(&layer());
    let tab = Chromium::start().tab_at(&site.url("/public"));
    tab.open(&site.url("/"));
    assert_eq!(tab.back(), "a public page");
    assert_eq!(tab.run("window.persisted"), "true");
}

#[test]
fn back_after_logout_shows_nothing_private() {
    let (site, _) = serve(&layer());
    let (_, tab) = Chromium::start_at(&site.url("/login"));
    assert_eq!(tab.open(&site.url("/private")), DIARY);
    assert_eq!(tab.follow("document.forms.logout.submit()"), "not signed in");
    shows_nothing_private(&tab);
}

#[test]
fn back_after_a_logout_elsewhere_is_private() {
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
fn restored_page_that_reloads_shows_no_ended_session() {
    let layer = layer();
    let inner = layer.clone();
    let site = Site::start(move |request| {
        inner.rouille(request, |session| match request.url().as_str() {
            "/asks-again" => Ok(Response::html(format!(
                "<p>{}<script>addEventListener('pageshow', event => event.persisted && location.reload())</script>",
                session.get::<String>("user")?.map_or("not signed in", |_| DIARY)
            ))),
            _ => application(request, session, &Gate::default()),
        })
    });
    let (chromium, tab) = Chromium::start_at(&site.url("/login"));
    assert_eq!(tab.open(&site.url("/asks-again")), DIARY);
    tab.open(&site.url("/public"));
    let id = id_in(&chromium.cookie().value);
    layer.sessions().load(&id).unwrap().expect("signed in").log_out().unwrap();
    assert_eq!(tab.back_and_on(), "not signed in");
}

#[test]
fn private_pages_are_not_in_the_disk_cache() {
    let (site, _) = serve(&layer());
    let (_, tab) = Chromium::start_at(&site.url("/login"));
    let from_cache = "fetch('/private', {cache: 'only-if-cached', mode: 'same-origin'}) \
                      .then(response => response.text(), () => 'not cached')";
    assert_eq!(tab.run("fetch('/private', {cache: 'force-cache'}).then(page => page.ok)"), "true");
    assert_eq!(tab.run(from_cache), "not cached");
}

#[test]
fn logout_with_clear_site_data_leaves_nothing() {
    let data = [SiteData::Cache, SiteData::Cookies, SiteData::Storage];
    let layer: SessionLayer = layer_with(CookieOptions::new().clear_site_data(data));
    let (site, _) = serve(&layer);
    let (chromium, tab) = Chromium::start_at(&site.url("/login"));
    assert_eq!(tab.open(&site.url("/private")), DIARY);
    tab.run("localStorage.draft = document.body.innerText, document.cookie = 'theme=dark'");
    assert_eq!(chromium.cookies().len(), 2);

    assert_eq!(tab.follow("document.forms.logout.submit()"), "not signed in");
    assert_eq!(chromium.cookies(), [], "the application's own cookie too");
    assert_eq!(tab.run("localStorage.length"), "0");
    shows_nothing_private(&tab);
}

#[test]
fn logout_leaves_other_cookies_and_storage() {
    let (site, _) = serve(&layer());
    let (chromium, tab) = Chromium::start_at(&site.url("/login"));
    tab.run("localStorage.draft = 'a letter', document.cookie = 'theme=dark'");
    tab.follow("document.forms.logout.submit()");
    assert_eq!(chromium.cookie().name, "theme");
    assert_eq!(tab.run("localStorage.draft"), "a letter");
}

/// Goes through the history of a tab after a logout, in steps and in leaps, then logs in again on a
/// page of the history.
#[track_caller]
fn history_shows_nothing_private(tab: &Tab, site: &Site) {
    // To the first page, forward again, then in leaps.
    for step in [-1, -1, -1, -1, -1, 1, 1, 1, 1, 1, -3, 2, -4, 3] {
        let page = tab.follow(&format!("history.go({step})"));
        assert!(["not signed in", "", "a public page"].contains(&page.as_str()), "{page:?}");
        assert!(!tab.run("document.documentElement.outerHTML").contains("ada"));
    }
    tab.follow("history.go(-2)");
    assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada");
    assert_eq!(tab.reload(), "signed in as ada");
    assert_eq!(tab.open(&site.url("/private")), DIARY);
}

#[test]
fn history_after_logout_shows_no_page_of_the_user() {
    let (site, _) = serve(&layer());
    let chromium = Chromium::start();
    let (tab, other) = (chromium.tab_at(&site.url("/public")), chromium.tab_at(&site.url("/public")));
    other.follow("document.forms.login.submit()");
    for path in ["/", "/private", "/data", "/private"] {
        assert!(tab.open(&site.url(path)).contains("ada"));
    }
    assert_eq!(tab.follow("document.forms.logout.submit()"), "not signed in");
    history_shows_nothing_private(&tab, &site);
}

/// If a redirect that set a cookie led to a page, Chromium does not count one cookie change for
/// that page. So it restores the page that a login leads to despite `no-store`, unless the logout
/// clears the cache or changes another cookie. If the second half of this test fails, Chromium has
/// changed, and rule 17 in `security.md` can promise more.
#[test]
fn page_behind_login_needs_clear_site_data() {
    for clears in [true, false] {
        let data = clears.then_some(SiteData::Cache);
        let (site, _) = serve(&layer_with(CookieOptions::new().clear_site_data(data)));
        let (_, tab) = Chromium::start_at(&site.url("/public"));
        assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada");
        for path in ["/private", "/data", "/private"] {
            assert!(tab.open(&site.url(path)).contains("ada"));
        }
        assert_eq!(tab.follow("document.forms.logout.submit()"), "not signed in");
        if clears {
            history_shows_nothing_private(&tab, &site);
        } else {
            assert_eq!(tab.follow("history.go(-4)"), "signed in as ada");
            assert_eq!(tab.run("window.persisted"), "true");
            assert_eq!(tab.reload(), "not signed in");
        }
    }
}

#[test]
fn login_form_works_again_after_back() {
    let layer = layer();
    let (site, _) = serve(&layer);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    for has_session in [false, true] {
        tab.open(&site.url("/logout"));
        tab.open(&site.url("/public"));
        if has_session {
            tab.fetch("/set?key=cart&value=tea");
        }
        assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada");
        let first = id_in(&chromium.cookie().value);
        assert_eq!(tab.back(), "a public page");
        assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada");
        assert_ne!(id_in(&chromium.cookie().value), first, "a new id for the second login");
        assert!(layer.sessions().load(&first).unwrap().is_none(), "and the first one's is dead");
        assert_eq!(tab.fetch("/data"), if has_session { "cart=tea user=ada" } else { "user=ada" });
        assert_eq!(tab.back(), "a public page");
        assert_eq!(tab.open(&site.url("/")), "signed in as ada");
    }
}
