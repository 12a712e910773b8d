//! The browser for tests: it keeps and sends cookies by RFC 6265bis, and an application's handler
//! answers its requests.
#![cfg(feature = "testing")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lembro::testing::{Browser, Cookie, Jar, Request};
use lembro::web::{CookieOptions, Priority, SameSite, SessionLayer};
use lembro::{Clock, Error, LembroOptions, LembroStore, ManualClock, Policy};

const NOW: u64 = 1_000_000_000;
const LIMIT: u64 = NOW + 400 * 86_400;
const URL: &str = "https://example.com/app/page";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn parse(text: &str) -> Option<Cookie> {
    Cookie::parse(text, at(NOW))
}

/// A jar that received these cookies over https.
fn jar(texts: &[&str]) -> Jar {
    let mut jar = Jar::default();
    for text in texts {
        assert!(jar.receive(text, URL, at(NOW)), "{text}");
    }
    jar
}

#[test]
fn set_cookie_is_parsed_by_the_rfc() {
    let plain = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
    for (text, expected) in [
        ("a=b", plain("a", "b")),
        (" a\t=  b ; Path=/", plain("a", "b")),
        ("a=b=c", plain("a", "b=c")),
        ("a=\"b\"", plain("a", "\"b\"")),
        ("a", plain("", "a")),
        ("=a", plain("", "a")),
        ("a=", plain("a", "")),
        ("", None),
        ("=", None),
        ("; Path=/", None),
        ("a=b\0", None),
        ("a=b\r\nc=d", None),
        ("a=b; Path=/\x7f", None),
    ] {
        let read = parse(text).map(|Cookie { name, value, .. }| (name, value));
        assert_eq!(read, expected, "{text:?}");
    }
    let sized = |length: usize| parse(&format!("a={}", "b".repeat(length))).is_some();
    assert!(sized(4095) && !sized(4096));
}

#[test]
fn attributes_are_read_in_any_case() {
    let read = |text: &str| parse(&format!("a=b;{text}")).unwrap();
    let cookie = Cookie { name: "a".to_owned(), value: "b".to_owned(), ..Cookie::default() };
    let text = |text: &str| Some(text.to_owned());
    for (attributes, expected) in [
        ("", cookie.clone()),
        (";;; Colour=blue; version", cookie.clone()),
        (
            "SECURE; httponly=no; PARTITIONED",
            Cookie { secure: true, http_only: true, partitioned: true, ..cookie.clone() },
        ),
        ("Domain=.Example.COM", Cookie { domain: text("example.com"), ..cookie.clone() }),
        ("Domain=a; Domain=", Cookie { domain: text("a"), ..cookie.clone() }),
        ("Path=/a; path = /b ", Cookie { path: text("/b"), ..cookie.clone() }),
        ("Path=app", cookie.clone()),
        ("SameSite=lAX", Cookie { same_site: Some(SameSite::Lax), ..cookie.clone() }),
        ("SameSite=sometimes", cookie.clone()),
        ("priority=high", Cookie { priority: Some(Priority::High), ..cookie.clone() }),
        (&format!("Path=/{}", "a".repeat(1024)), cookie.clone()),
    ] {
        assert_eq!(read(attributes), expected, "{attributes:?}");
    }
}

#[test]
fn max_age_wins_over_expires() {
    for (attributes, ends) in [
        ("", None),
        ("Max-Age=60", Some(NOW + 60)),
        ("Max-Age=0", Some(0)),
        ("Max-Age=-1", Some(0)),
        ("Max-Age=", None),
        ("Max-Age=1.5", None),
        ("Max-Age=+1", None),
        ("Max-Age=34560001", Some(LIMIT)),
        ("Max-Age=99999999999999999999", Some(LIMIT)),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Expires=Sun, 09 Sep 2001 01:46:41 GMT", Some(NOW + 1)),
        ("Expires=Sunday, 09-Sep-01 01:46:41 GMT", Some(NOW + 1)),
        ("Expires=Sun Sep  9 01:46:41 2001", Some(NOW + 1)),
        ("Expires=29 Feb 2000 12:00:00", Some(951_825_600)),
        ("Expires=31 Dec 2999 00:00:00", Some(LIMIT)),
        ("Expires=32 Dec 2001 00:00:00", None),
        ("Expires=1 Dec 1600 00:00:00", None),
        ("Expires=1 Dec 2001 24:00:00", None),
        ("Expires=tomorrow", None),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", Some(NOW + 60)),
    ] {
        assert_eq!(parse(&format!("a=b; {attributes}")).unwrap().ends, ends.map(at), "{attributes:?}");
    }
}

#[test]
fn contradictory_cookies_are_dropped() {
    for (text, https, kept) in [
        ("a=b", false, true),
        ("a=b; Secure", false, false),
        ("a=b; Secure", true, true),
        ("a=b; SameSite=None", true, false),
        ("a=b; SameSite=None; Secure", true, true),
        ("a=b; Partitioned", true, false),
        ("__Secure-a=b", true, false),
        ("__secure-a=b; Secure; Domain=example.com", true, true),
        ("__Host-a=b; Secure", true, false),
        ("__HOST-a=b; Secure; Path=/", true, true),
        ("__Host-a=b; Secure; Path=/; Domain=example.com", true, false),
        ("__Host-a=b; Secure; Path=/app", true, false),
        ("__Http-a=b; Secure", true, false),
        ("__Http-a=b; Secure; HttpOnly; Path=/app", true, true),
        ("__Host-Http-a=b; Secure; Path=/", true, false),
        ("__Host-Http-a=b; Secure; Path=/; HttpOnly", true, true),
        ("=__Host-a=b; Secure; Path=/", true, false),
    ] {
        let mut jar = Jar::default();
        let url = if https { URL } else { "http://example.com/" };
        assert_eq!(jar.receive(text, url, at(NOW)), kept, "{text}");
        assert_eq!(jar.cookies().count(), usize::from(kept), "{text}");
    }
    for url in ["http://localhost:8080/", "http://shop.localhost/", "http://127.0.0.1/", "http://[::1]:8080/"] {
        let mut jar = Jar::default();
        assert!(jar.receive("a=b; Secure", url, at(NOW)), "{url}");
        assert_eq!(jar.header(url, at(NOW)), "a=b", "{url}");
    }
}

#[test]
fn cookie_goes_to_its_host_or_domain() {
    for (url, domain, other, is_kept, is_sent) in [
        ("https://example.com", "", "https://EXAMPLE.com:8443/x", true, true),
        ("https://example.com", "", "https://www.example.com/", true, false),
        ("https://www.example.com", "example.com", "https://example.com/", true, true),
        ("https://www.example.com", ".Example.com", "https://shop.example.com/", true, true),
        ("https://www.example.com", "example.com", "https://badexample.com/", true, false),
        ("https://example.com", "www.example.com", "https://www.example.com/", false, false),
        ("https://example.com", "com", "https://example.org/", false, false),
        ("https://localhost", "localhost", "https://localhost/", true, true),
        ("https://localhost", "localhost", "https://a.localhost/", true, false),
        ("https://127.0.0.1", "0.0.1", "https://127.0.0.1/", false, false),
    ] {
        let mut jar = Jar::default();
        let text = if domain.is_empty() { "a=b".to_owned() } else { format!("a=b; Domain={domain}") };
        assert_eq!(jar.receive(&text, url, at(NOW)), is_kept, "{text} from {url}");
        assert_eq!(!jar.header(other, at(NOW)).is_empty(), is_sent, "{text} from {url} to {other}");
    }
}

#[test]
fn cookie_goes_to_its_path() {
    for (set, path, asked, is_sent) in [
        ("/app/page?x=/y/z", None, "/app", true),
        ("/app/page", None, "/app/other", true),
        ("/app/page", None, "/apple", false),
        ("/app", None, "/", true),
        ("", None, "/anything", true),
        ("?x", None, "/anything", true),
        ("/", Some("/app"), "/app/cart", true),
        ("/", Some("/app"), "/app?x", true),
        ("/", Some("/app/"), "/app", false),
        ("/", Some("app"), "/", true),
    ] {
        let text = path.map_or_else(|| "a=b".to_owned(), |path| format!("a=b; Path={path}"));
        let mut jar = Jar::default();
        assert!(jar.receive(&text, &format!("https://example.com{set}"), at(NOW)));
        let sent = jar.header(&format!("https://example.com{asked}"), at(NOW));
        assert_eq!(!sent.is_empty(), is_sent, "{text} from {set:?} to {asked}");
    }
}

#[test]
fn name_domain_and_path_identify_a_cookie() {
    let mut jar = jar(&["a=1; Path=/", "b=3; Path=/", "a=2; Path=/app", "a=4; Path=/"]);
    assert_eq!(jar.header(URL, at(NOW)), "a=2; a=4; b=3", "the longest path first, then the oldest");
    for text in ["a=; Path=/x; Max-Age=0", "a=; Path=/; Domain=example.com; Max-Age=0", "A=; Path=/; Max-Age=0"] {
        assert!(jar.receive(text, URL, at(NOW)));
    }
    assert_eq!(jar.header(URL, at(NOW)), "a=2; a=4; b=3");
    assert!(jar.receive("a=; Path=/; Max-Age=0", URL, at(NOW)));
    assert!(jar.receive("b=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", URL, at(NOW)));
    assert_eq!(jar.header(URL, at(NOW)), "a=2");
}

#[test]
fn cookie_ends_at_its_time() {
    let mut jar = jar(&["a=1; Max-Age=60", "b=2"]);
    assert_eq!(jar.header(URL, at(NOW + 59)), "a=1; b=2");
    assert_eq!(jar.header(URL, at(NOW + 60)), "b=2");
    jar.close();
    assert_eq!(jar.header(URL, at(NOW)), "a=1");
}

#[test]
fn plain_http_replaces_no_secure_cookie() {
    for (text, is_kept) in [
        ("a=2; Path=/app", false),
        ("a=2; Path=/app/below", false),
        ("a=2; Domain=example.com", false),
        ("a=2; Path=/", true),
        ("a=2; Path=/other", true),
        ("b=2; Path=/app", true),
    ] {
        let mut jar = jar(&["a=1; Secure; Path=/app"]);
        assert_eq!(jar.receive(text, "http://example.com/app/page", at(NOW)), is_kept, "{text}");
        assert!(jar.header(URL, at(NOW)).contains("a=1"), "{text}");
    }
    let mut jar = Jar::default();
    assert!(jar.receive("a=1; Secure; Path=/", "https://www.example.com/", at(NOW)));
    assert!(!jar.receive("a=2; Domain=example.com", "http://example.com/", at(NOW)), "a subdomain's too");
}

const SITE: &str = "https://example.com";
const DAY: Duration = Duration::from_secs(86_400);

/// A layer over a store under a manual clock, and a browser with that clock.
fn layer(options: CookieOptions) -> (SessionLayer, Browser, ManualClock) {
    let time = Clock::manual();
    let store = LembroStore::with_options(LembroOptions::new().clock(&time).interval(0)).unwrap();
    let layer = SessionLayer::new(store).cookie(options).unwrap();
    (layer, Browser::new(SITE).with_clock(&time), time)
}

/// The user that the browser is logged in as.
fn user(browser: &mut Browser, layer: &SessionLayer) -> Option<String> {
    browser.visit(layer, |session| Ok(session.owner()?.map(ToOwned::to_owned))).unwrap()
}

#[test]
fn request_is_what_a_browser_sends() {
    let mut browser = Browser::new("https://example.com:8443/ignored");
    assert!(browser.jar().receive("a=b", "https://example.com/", SystemTime::now()));
    let form = browser.prepare(Request::form("/login?next=/", &[("user", "ada l."), ("word", "a&b=\u{e9}")]));
    assert_eq!((form.method(), form.target(), form.is_https()), ("POST", "/login?next=/".to_owned(), true));
    assert_eq!(form.body(), b"user=ada+l.&word=a%26b%3D%C3%A9");
    let headers: Vec<_> = form.headers().collect();
    let expected = [
        ("Host", "example.com:8443"),
        ("Content-Length", "31"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Cookie", "a=b"),
    ];
    assert_eq!(headers, expected);
    let elsewhere = browser.prepare(Request::new("GET", "http://Shop.example?x#y"));
    assert_eq!((elsewhere.target(), elsewhere.is_https()), ("/?x".to_owned(), false));
    assert_eq!((elsewhere.header("HOST"), elsewhere.header("Cookie")), (Some("Shop.example"), None));
}

#[test]
fn cookies_come_with_the_next_request() {
    let mut browser = Browser::new(SITE);
    let response = || {
        let headers = [("Set-Cookie", "a=1"), ("Location", "/"), ("set-cookie", "b=2; Path=/elsewhere")];
        headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    };
    let got = browser.get("/", |_: Request| response());
    let mut values: Vec<_> = got.iter().map(|(_, value)| value.as_str()).collect();
    values.sort_unstable();
    assert_eq!(values, ["/", "a=1", "b=2; Path=/elsewhere"]);
    let cookies = |request: Request| vec![("Seen".to_owned(), request.header("Cookie").unwrap_or_default().to_owned())];
    assert_eq!(browser.get("/", cookies)[0].1, "a=1");
    assert_eq!(browser.post("/elsewhere", &[], cookies)[0].1, "b=2; a=1");
    assert_eq!(browser.cookie("a").map(|cookie| cookie.value.as_str()), Some("1"));
    assert_eq!(browser.cookie("b"), None, "its path does not match");
}

#[test]
fn remembered_login_outlives_the_browser() {
    let (layer, mut browser, time) = layer(CookieOptions::new());
    let layer = layer.policy(Policy::new().remember(DAY, 30 * DAY)).unwrap();
    browser.visit(&layer, |session| session.log_in("user-42")).unwrap();
    assert_eq!(user(&mut browser, &layer).as_deref(), Some("user-42"));
    browser.jar().close();
    assert_eq!(user(&mut browser, &layer), None);
    let remember = browser.visit(&layer, |session| session.log_in("user-42").and_then(|()| session.remember(true)));
    remember.unwrap();
    browser.jar().close();
    assert_eq!(user(&mut browser, &layer).as_deref(), Some("user-42"));
    time.advance(DAY);
    assert_eq!(browser.cookie("id"), None);
    assert_eq!(user(&mut browser, &layer), None);
}

#[test]
fn error_page_brings_its_cookie() {
    let (layer, mut browser, _time) = layer(CookieOptions::new());
    let failed = browser.visit(&layer, |session| {
        session.log_in("user-42")?;
        session.save()?;
        Err::<(), _>(Error::store("the template is missing"))
    });
    assert!(failed.unwrap_err().is_store());
    assert_eq!(user(&mut browser, &layer).as_deref(), Some("user-42"));
}

#[test]
fn same_site_filters_foreign_requests() {
    for (same_site, link, form) in
        [(SameSite::Strict, false, false), (SameSite::Lax, true, false), (SameSite::None, true, true)]
    {
        let (layer, mut browser, _time) = layer(CookieOptions::new().same_site(same_site));
        browser.visit(&layer, |session| session.log_in("user-42")).unwrap();
        let is_sent = |request: Request| browser.prepare(request).header("Cookie").is_some();
        assert!(is_sent(Request::form("/", &[])));
        assert_eq!(is_sent(Request::new("GET", "/").from_elsewhere()), link, "{same_site:?}");
        assert_eq!(is_sent(Request::form("/", &[]).from_elsewhere()), form, "{same_site:?}");
    }
}

#[test]
fn late_response_is_kept_late() {
    let (layer, mut browser, _time) = layer(CookieOptions::new());
    let request = browser.prepare(Request::new("GET", "/"));
    let mut slow = layer.load(&request);
    slow.insert("page", &1).unwrap();
    browser.visit(&layer, |session| session.log_in("user-42")).unwrap();
    let mut headers: Vec<(String, String)> = Vec::new();
    layer.finish(&mut slow).unwrap().write_to(&mut headers);
    browser.accept(&request, &mut headers);
    assert_eq!(user(&mut browser, &layer), None, "not promised: see `web/model`");
}

#[test]
fn debug_shows_no_values() {
    let mut browser = Browser::new(SITE);
    assert!(browser.jar().receive("id=secret", URL, SystemTime::now()));
    let request = browser.prepare(Request::form("/", &[("password", "secret")]));
    let all = format!("{browser:?} {request:?} {:?}", browser.cookie("id"));
    assert!(all.contains("\"id\"") && !all.contains("secret"), "{all}");
}
