//! Two cookies of the same name for two paths, each of which opens a session.

use lembro::SessionId;
use lembro::web::{CookieOptions, SessionLayer};
use lembro_browser_tests::{Chromium, Gate, Site, Tab, application, id_in, layer, page, redirect};

struct Fixture {
    layer: SessionLayer,
    site: Site,
    chromium: Chromium,
    tab: Tab,
    ids: [SessionId; 2],
}

/// A browser that is logged in twice: by a cookie for `/` and by one for `/app`, as if an earlier
/// version of the site had set it. The browser sends both to `/app/`, the latter first.
fn fixture() -> Fixture {
    let layer = layer();
    let earlier = SessionLayer::with_sessions(layer.sessions().clone());
    let earlier = earlier.cookie(CookieOptions::new().path("/app")).expect("a cookie that can work");
    let inner = layer.clone();
    let site = Site::start(move |request| match request.url().as_str() {
        "/app/earlier" => earlier.rouille(request, |session| application_login(session, "bob")),
        "/app/login" => inner.rouille(request, |session| application_login(session, "ada")),
        "/app/logout" => inner.rouille(request, |session| session.log_out().map(|()| redirect("/app/"))),
        "/app/" => inner.rouille(request, |session| {
            Ok(page(session.get::<String>("user")?.map_or("not signed in".to_owned(), |user| format!("app of {user}"))))
        }),
        _ => inner.rouille(request, |session| application(request, session, &Gate::default())),
    });
    let (chromium, tab) = Chromium::start_at(&site.url("/app/earlier"));
    assert_eq!(tab.open(&site.url("/login")), "signed in as ada", "it does not know of the other cookie");
    let cookies = chromium.cookies();
    let ids = ["/", "/app"].map(|path| {
        let cookie = cookies.iter().find(|cookie| cookie.path == path).expect("a cookie for each path");
        id_in(&cookie.value)
    });
    assert_eq!(cookies.len(), 2);
    for (id, user) in ids.iter().zip(["ada", "bob"]) {
        let session = layer.sessions().load(id).unwrap().expect("it is live");
        assert_eq!(session.owner().unwrap(), Some(user));
    }
    assert_eq!(tab.open(&site.url("/app/")), "app of bob", "the longer path comes first");
    Fixture { layer, site, chromium, tab, ids }
}

fn application_login(session: &mut lembro::Session, user: &str) -> lembro::Result<rouille::Response> {
    session.log_in(user)?;
    session.insert("user", user)?;
    Ok(redirect("/app/"))
}

#[test]
fn logout_ends_the_sessions_of_both_cookies() {
    let Fixture { layer, site, chromium, tab, ids } = fixture();
    let submit = "document.forms.logout.action = '/app/logout', document.forms.logout.requestSubmit()";
    assert_eq!(tab.follow(submit), "not signed in");
    for path in ["/app/", "/", "/private"] {
        assert_eq!(tab.open(&site.url(path)), "not signed in", "{path}");
        assert_eq!(chromium.tab().open(&site.url(path)), "not signed in", "{path}");
    }
    for id in &ids {
        assert!(layer.sessions().load(id).unwrap().is_none());
    }
    assert_eq!(layer.sessions().store().len().unwrap(), 0);
}

#[test]
fn login_after_that_logout_works_on_both_paths() {
    let Fixture { site, chromium, tab, .. } = fixture();
    tab.open(&site.url("/app/logout"));
    assert_eq!(tab.open(&site.url("/app/login")), "app of ada");
    assert_eq!(chromium.cookies().len(), 2, "the other path's cookie is still there, and worth nothing");
    assert_eq!(tab.reload(), "app of ada");
    assert_eq!(tab.open(&site.url("/")), "signed in as ada");
    assert_eq!(tab.open(&site.url("/app/logout")), "not signed in");
    assert_eq!(tab.open(&site.url("/")), "not signed in");
}
