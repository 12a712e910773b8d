//! The back button after a logout: it shows nothing private, whether the browser asks again or
//! wakes a page it kept.
//!
//! A browser keeps pages that the user leaves alive for the way back (`pageshow` says `persisted`).
//! Chromium does it with `no-store` too, but drops such a page when the site's cookies change: so
//! it takes both, the `no-store` of the page and the removal of the cookie. For the page that a
//! login redirected to it takes `Clear-Site-Data` with the cache too. A session that ends elsewhere
//! (it expired, it was destroyed from another device) changes no cookie here, and no header reaches
//! a page that is woken: such a page must ask again by itself.

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
                session.get::<String>("user")?.map_or("nobody", |_| DIARY)
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

/// Goes through the history of a tab after a logout, step by step and in leaps, and logs in again
/// on a page that it finds there.
#[track_caller]
fn no_way_through_the_history_leads_back(tab: &Tab, site: &Site) {
    // To the first page, forward again, and here and there.
    for step in [-1, -1, -1, -1, -1, 1, 1, 1, 1, 1, -3, 2, -4, 3] {
        let page = tab.follow(&format!("history.go({step})"));
        assert!(["nobody", "", "everybody may read this"].contains(&page.as_str()), "{page:?}");
        assert!(!tab.run("document.documentElement.outerHTML").contains("ada"));
    }
    tab.follow("history.go(-2)");
    assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada");
    assert_eq!(tab.reload(), "signed in as ada");
    assert_eq!(tab.open(&site.url("/private")), DIARY);
}

#[test]
fn no_way_through_the_history_after_a_logout_shows_a_page_of_the_user_and_the_form_works_again() {
    let (site, _) = serve(&layer());
    let chromium = Chromium::start();
    let (tab, other) = (chromium.tab(), chromium.tab());
    tab.open(&site.url("/public"));
    other.open(&site.url("/public"));
    other.follow("document.forms.login.submit()");
    for path in ["/", "/private", "/data", "/private"] {
        assert!(tab.open(&site.url(path)).contains("ada"));
    }
    assert_eq!(tab.follow("document.forms.logout.submit()"), "nobody");
    no_way_through_the_history_leads_back(&tab, &site);
}

/// If a redirect that set a cookie led to a page, Chromium leaves one change of a cookie uncounted
/// for that page. So it wakes the page that a login leads to, `no-store` and all, unless the logout
/// clears the cache or changes one cookie more. If the second half of this test fails one day,
/// Chromium has changed, and rule 17 in `security.md` can promise more.
#[test]
fn the_page_that_a_login_leads_to_is_not_shown_after_a_logout_that_clears_the_cache_but_woken_without() {
    for clears in [true, false] {
        let data = clears.then_some(SiteData::Cache);
        let (site, _) = serve(&layer_with(CookieOptions::new().clear_site_data(data)));
        let chromium = Chromium::start();
        let tab = chromium.tab();
        tab.open(&site.url("/public"));
        assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada");
        for path in ["/private", "/data", "/private"] {
            assert!(tab.open(&site.url(path)).contains("ada"));
        }
        assert_eq!(tab.follow("document.forms.logout.submit()"), "nobody");
        if clears {
            no_way_through_the_history_leads_back(&tab, &site);
        } else {
            assert_eq!(tab.follow("history.go(-4)"), "signed in as ada");
            assert_eq!(tab.run("window.persisted"), "true");
            assert_eq!(tab.reload(), "nobody");
        }
    }
}

#[test]
fn the_back_button_after_a_login_leads_to_a_form_that_works_again() {
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
        assert_eq!(tab.back(), "everybody may read this");
        assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada");
        assert_ne!(id_in(&chromium.cookie().value), first, "a new id for the second login");
        assert!(layer.sessions().load(&first).unwrap().is_none(), "and the first one's is dead");
        assert_eq!(tab.fetch("/data"), if has_session { "cart=tea user=ada" } else { "user=ada" });
        assert_eq!(tab.back(), "everybody may read this");
        assert_eq!(tab.open(&site.url("/")), "signed in as ada");
    }
}
