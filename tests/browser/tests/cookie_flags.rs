//! The cookie in the browser's own store, with each kind of option.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lembro::Policy;
use lembro::web::{CookieLifetime, CookieOptions, Priority, SameSite};
use lembro_browser_tests::{Chromium, Cookie, Site, Tab, layer_with, page, serve};

/// Signs in with such a cookie, checks that it works and that a logout removes it; returns it as
/// the browser kept it.
#[track_caller]
fn kept(options: &CookieOptions) -> Cookie {
    let (site, _) = serve(&layer_with(options.clone()));
    let (chromium, tab) = Chromium::start_at(&site.url("/public"));
    assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada", "{options:?}");
    let cookie = chromium.cookie();
    assert_eq!(tab.reload(), "signed in as ada", "{options:?}");
    assert_eq!(tab.follow("document.forms.logout.submit()"), "not signed in", "{options:?}");
    assert_eq!(chromium.cookies(), [], "{options:?}");
    cookie
}

fn seconds_from_now(cookie: &Cookie) -> f64 {
    cookie.expires - SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn default_flags() {
    let cookie = kept(&CookieOptions::new());
    let value = cookie.value.clone();
    assert_eq!(value.len(), 32);
    let expected = Cookie {
        name: "id".to_owned(),
        value,
        domain: "127.0.0.1".to_owned(),
        path: "/".to_owned(),
        expires: -1.0,
        http_only: true,
        secure: true,
        session: true,
        same_site: Some("Lax".to_owned()),
        priority: "Medium".to_owned(),
        partition_key: None,
    };
    assert_eq!(cookie, expected);
}

#[test]
fn http_only_hides_cookie_from_scripts() {
    let (site, _) = serve(&layer_with(CookieOptions::new()));
    let (chromium, tab) = Chromium::start_at(&site.url("/login"));
    let cookie = chromium.cookie();
    assert_eq!(tab.run("document.cookie"), "");
    assert_eq!(tab.run("cookieStore.getAll().then(all => all.length)"), "0");
    tab.run("document.cookie = 'id=planted; path=/'");
    tab.run("document.cookie = 'id=; path=/; max-age=0'");
    assert_eq!(chromium.cookie(), cookie);
    assert_eq!(tab.reload(), "signed in as ada");
}

#[test]
fn without_http_only_scripts_read_it() {
    // Otherwise the test above would prove nothing.
    let cookie = kept(&CookieOptions::new().http_only(false));
    assert!(!cookie.http_only);
    let (site, _) = serve(&layer_with(CookieOptions::new().http_only(false)));
    let tab = Chromium::start().tab_at(&site.url("/login"));
    assert!(tab.run("document.cookie").starts_with("id="));
}

#[test]
fn browser_understands_each_same_site() {
    for (same_site, understood) in [(SameSite::Strict, "Strict"), (SameSite::Lax, "Lax"), (SameSite::None, "None")] {
        assert_eq!(kept(&CookieOptions::new().same_site(same_site)).same_site.as_deref(), Some(understood));
    }
}

#[test]
fn loopback_accepts_secure_and_prefixes_over_http() {
    // So an application can be tried out with the cookie that it will have in production.
    for name in ["id", "__Secure-id", "__Host-id"] {
        let (site, _) = serve(&layer_with(CookieOptions::new().name(name)));
        for url in [site.url("/login"), site.url_by_name("/login")] {
            let chromium = Chromium::start();
            let tab = chromium.tab();
            assert_eq!(tab.open(&url), "signed in as ada", "{name} at {url}");
            let cookie = chromium.cookie();
            assert_eq!((cookie.name.as_str(), cookie.secure, cookie.http_only), (name, true, true));
            assert!(!cookie.domain.starts_with('.'), "for this host alone");
            assert_eq!(tab.follow("document.forms.logout.submit()"), "not signed in");
            assert_eq!(chromium.cookies(), [], "{name} at {url}");
        }
    }
}

#[test]
fn without_secure_flag() {
    assert!(!kept(&CookieOptions::new().secure(false)).secure);
}

#[test]
fn cookie_is_sent_to_its_path_only() {
    let layer = layer_with(CookieOptions::new().path("/shop"));
    let inner = layer.clone();
    let site = Site::start(move |request| {
        inner.rouille(request, |session| match request.url().as_str() {
            "/shop/login" => session.insert("user", "ada").map(|()| page("welcome")),
            "/shop/logout" => session.log_out().map(|()| page("bye")),
            _ => Ok(page(session.get_str("user")?.as_deref().unwrap_or("not signed in"))),
        })
    });
    let (chromium, tab) = Chromium::start_at(&site.url("/shop/login"));
    assert_eq!(chromium.cookie().path, "/shop");
    assert_eq!(tab.open(&site.url("/shop/")), "ada");
    assert_eq!(tab.open(&site.url("/shopping")), "not signed in");
    assert_eq!(tab.open(&site.url("/")), "not signed in");
    assert_eq!(chromium.cookies().len(), 1);
    tab.open(&site.url("/shop/logout"));
    assert_eq!(chromium.cookies(), []);
}

#[test]
fn browser_understands_each_priority() {
    for (priority, understood) in [(Priority::Low, "Low"), (Priority::Medium, "Medium"), (Priority::High, "High")] {
        assert_eq!(kept(&CookieOptions::new().priority(priority)).priority, understood);
    }
}

#[test]
fn persistent_cookie_lasts_as_long_as_its_session() {
    let cookie = kept(&CookieOptions::new().lifetime(CookieLifetime::Persistent));
    assert!(!cookie.session);
    let left = seconds_from_now(&cookie);
    assert!((3600.0 - 60.0..=3600.0).contains(&left), "an hour, the policy's timeout: {left}");
}

#[test]
fn only_remembered_sessions_have_persistent_cookies() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let layer = layer_with(CookieOptions::new().lifetime(CookieLifetime::Remembered));
    let layer = layer.policy(Policy::new().remember(hours(8), hours(24))).unwrap();
    let inner = layer.clone();
    let site = Site::start(move |request| {
        inner.rouille(request, |session| {
            session.insert("user", "ada")?;
            if request.url() == "/remember" {
                session.remember(true)?;
            }
            Ok(page("welcome"))
        })
    });
    let (chromium, tab) = Chromium::start_at(&site.url("/"));
    assert!(chromium.cookie().session);
    tab.open(&site.url("/remember"));
    let cookie = chromium.cookie();
    assert!(!cookie.session);
    let left = seconds_from_now(&cookie);
    assert!((8.0 * 3600.0 - 60.0..=8.0 * 3600.0).contains(&left), "eight hours: {left}");
}

#[test]
fn partitioned_cookie_belongs_to_the_top_level_site() {
    let options = CookieOptions::new().name("__Host-id").same_site(SameSite::None).partitioned(true);
    let cookie = kept(&options);
    assert_eq!(cookie.partition_key.expect("it is partitioned").top_level_site, "http://127.0.0.1");
}

#[test]
fn each_embedding_site_has_its_partitioned_cookie() {
    let options = CookieOptions::new().name("__Host-id").same_site(SameSite::None).partitioned(true);
    let (site, _) = serve(&layer_with(options));
    // A page of the other site has a frame with a page of this site.
    let frame = site.url("/public");
    let other = Site::start(move |_| rouille::Response::html(format!("<iframe src='{frame}'></iframe>")));
    let chromium = Chromium::start_with_third_party_cookies();
    let (tab, embedding) = (chromium.tab(), chromium.tab());
    assert_eq!(tab.open(&site.url("/login")), "signed in as ada");

    let embed = |path: &str| {
        embedding.open(&other.url_by_name("/"));
        embedding.run(&format!(
            "new Promise(done => {{ const frame = document.querySelector('iframe'); \
               frame.onload = () => done(true); frame.src = '{}'; }})",
            site.url(path)
        ));
    };
    embed("/");
    assert_eq!(chromium.cookies().len(), 1, "the frame has no part in the login");
    embed("/login");
    let keys = sites(&chromium.cookies());
    assert_eq!(keys, ["http://127.0.0.1", "http://localhost"]);
    embed("/logout");
    assert_eq!(sites(&chromium.cookies()), ["http://127.0.0.1"], "only its own is removed");
    assert_eq!(tab.reload(), "signed in as ada");
}

fn sites(cookies: &[Cookie]) -> Vec<String> {
    let mut sites: Vec<_> =
        cookies.iter().map(|cookie| cookie.partition_key.clone().expect("partitioned").top_level_site).collect();
    sites.sort();
    sites
}

#[test]
fn signed_cookie_comes_back_unchanged() {
    let cookie = kept(&CookieOptions::new().name("__Host-id").lifetime(CookieLifetime::Persistent).keys([[7; 32]]));
    assert_eq!(cookie.value.split('.').map(str::len).collect::<Vec<_>>()[2], 43);
}

#[test]
fn changed_signature_opens_no_session() {
    let (site, _) = serve(&layer_with(CookieOptions::new().keys([[7; 32]]).http_only(false)));
    let chromium = Chromium::start();
    let tab: Tab = chromium.tab();
    assert_eq!(tab.open(&site.url("/login")), "signed in as ada");
    // Another signature of the same form.
    tab.run("document.cookie = document.cookie.replace(/.{43}$/, 'A'.repeat(43)) + '; path=/; secure; samesite=lax'");
    assert!(chromium.cookie().value.ends_with("AAAA"));
    assert_eq!(tab.reload(), "not signed in");
}
