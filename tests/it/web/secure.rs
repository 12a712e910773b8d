//! The `Secure` attribute: always, never, or by the connection and a trusted proxy's report; and
//! the report of a `Secure` cookie over plain http, which is made once if the client probably drops
//! it.
//!
//! The client probably keeps the cookie if the connection is encrypted, if a proxy says that the
//! client's is, trusted or not, if a trusted proxy says nothing, if the client sent a cookie of
//! ours, or if the cookie is not always `Secure`.
#![cfg(feature = "testing")]

use std::time::UNIX_EPOCH;

use crate::support::site::{Site, attributes, look, sent_back};
use lembro::testing::{Cookie, Jar};
use lembro::web::{CookieLifetime, CookieOptions, Priority, RequestHead, SameSite, Secure};
use lembro::{Clock, Error, Session};
use proptest::prelude::*;

/// Headers of a request, and whether they report https if the proxy is trusted.
type ProxyReport = (&'static [(&'static str, &'static [u8])], bool);

const PROXY_REPORTS: &[ProxyReport] = &[
    (&[], false),
    // X-Forwarded-Proto: the first entry is the client's end.
    (&[("X-Forwarded-Proto", b"https")], true),
    (&[("x-forwarded-proto", b"https")], true),
    (&[("X-FORWARDED-PROTO", b"HTTPS")], true),
    (&[("X-Forwarded-Proto", b"  https\t")], true),
    (&[("X-Forwarded-Proto", b"https, http")], true),
    (&[("X-Forwarded-Proto", b"https ,http,http")], true),
    (&[("X-Forwarded-Proto", b"http, https")], false),
    (&[("X-Forwarded-Proto", b"http")], false),
    (&[("X-Forwarded-Proto", b"https"), ("X-Forwarded-Proto", b"http")], true),
    (&[("X-Forwarded-Proto", b"http"), ("X-Forwarded-Proto", b"https")], false),
    // Some proxies report the upgrade request of a WebSocket so.
    (&[("X-Forwarded-Proto", b"wss")], true),
    (&[("X-Forwarded-Proto", b"ws")], false),
    // Malformed values do not mean https.
    (&[("X-Forwarded-Proto", b"")], false),
    (&[("X-Forwarded-Proto", b",https")], false),
    (&[("X-Forwarded-Proto", b"https;http")], false),
    (&[("X-Forwarded-Proto", b"httpss")], false),
    (&[("X-Forwarded-Proto", b"xhttps")], false),
    (&[("X-Forwarded-Proto", b"\"https\"")], false),
    (&[("X-Forwarded-Proto", b"on")], false),
    (&[("X-Forwarded-Proto", b"\xff")], false),
    (&[("X-Forwarded-Proto", b"https\xff")], false),
    (&[("X-Forwarded-Proto", b"https, \xff")], true),
    (&[("X-Forwarded-Protocol", b"https")], false),
    (&[("X-Forwarded-Ssl", b"on")], false),
    // Forwarded (RFC 7239).
    (&[("Forwarded", b"proto=https")], true),
    (&[("forwarded", b"Proto=HTTPS")], true),
    (&[("Forwarded", b"proto=\"https\"")], true),
    (&[("Forwarded", b"for=192.0.2.60;proto=https;by=203.0.113.43")], true),
    (&[("Forwarded", b"for=\"[2001:db8::17]:4711\"; proto = https ; host=example.com")], true),
    (&[("Forwarded", b"for=192.0.2.60;proto=https, for=198.51.100.1;proto=http")], true),
    (&[("Forwarded", b"for=192.0.2.60;proto=http, for=198.51.100.1;proto=https")], false),
    (&[("Forwarded", b"for=192.0.2.60, for=198.51.100.1;proto=https")], false),
    (&[("Forwarded", b"proto=https"), ("Forwarded", b"proto=http")], true),
    (&[("Forwarded", b"proto=http"), ("Forwarded", b"proto=https")], false),
    (&[("Forwarded", b"proto=http;proto=https")], false),
    (&[("Forwarded", b"proto=wss")], true),
    (&[("Forwarded", b"")], false),
    (&[("Forwarded", b"https")], false),
    (&[("Forwarded", b"proto")], false),
    (&[("Forwarded", b"proto=")], false),
    (&[("Forwarded", b"=https")], false),
    (&[("Forwarded", b";;=;,;proto=https")], false),
    (&[("Forwarded", b"xproto=https")], false),
    (&[("Forwarded", b"host=\"proto=https\"")], false),
    (&[("Forwarded", b"for=\xff;proto=https")], false),
    (&[("Forwarded", b"proto=https, for=\xff")], true),
    // Quoted strings: a comma, a semicolon, an escaped quote and bytes beyond ASCII in them are
    // text.
    (&[("Forwarded", b"host=\"a,b\";proto=https")], true),
    (&[("Forwarded", b"host=\"a;proto=http\";proto=https")], true),
    (&[("Forwarded", b"host=\"a, for=x;proto=https\"")], false),
    (&[("Forwarded", b"for=\"a\\\";proto=https\"")], false),
    (&[("Forwarded", b"for=\"a\\\\\";proto=https")], true),
    (&[("Forwarded", b"for=\"a\\\", b\";proto=https")], true),
    (&[("Forwarded", b"for=\"\xff\";proto=https")], true),
    (&[("Forwarded", b"proto=\"ht\\tps\"")], true),
    (&[("Forwarded", b"proto=\"https")], false),
    (&[("Forwarded", b"for=\"a;proto=https")], false),
    (&[("Forwarded", b"proto=\"https\"x")], false),
    (&[("Forwarded", b"proto=x\"https\"")], false),
    (&[("Forwarded", b"proto=\"\"https\"\"")], false),
    (&[("Forwarded", b"proto='https'")], false),
    (&[("Forwarded", b"proto=\"https \"")], false),
    // A parameter that comes twice, in any case, makes the element malformed.
    (&[("Forwarded", b"proto=https;proto=http")], false),
    (&[("Forwarded", b"proto=https;PROTO=https")], false),
    (&[("Forwarded", b"for=a;for=b;proto=https")], false),
    // An error after the first element does not matter.
    (&[("Forwarded", b"proto=https, proto=\"")], true),
    (&[("Forwarded", b"proto=https for=a")], false),
    (&[("Forwarded", b"proto=https/2")], false),
    (&[("Forwarded", b"pro to=https")], false),
    (&[("Forwarded", b"for=;proto=https")], false),
    (&[("Forwarded", b"a=1;b=2;c=3;d=4;e=5;f=6;g=7;h=8;i=9;j=1;k=2;l=3;m=4;n=5;o=6;p=7;proto=https")], false),
    // Empty pairs, empty elements and empty lines do not count.
    (&[("Forwarded", b"for=a;;proto=https;")], true),
    (&[("Forwarded", b";proto=https")], true),
    (&[("Forwarded", b" , ,\tproto=https")], true),
    (&[("Forwarded", b""), ("Forwarded", b"proto=https")], true),
    (&[("Forwarded", b" ,"), ("Forwarded", b"proto=http"), ("Forwarded", b"proto=https")], false),
    // Proxies do not quote these values.
    (&[("Forwarded", b"for=192.0.2.60:4711;proto=https")], true),
    (&[("Forwarded", b"for=[2001:db8::17]:4711;proto=https")], true),
    (&[("Forwarded", b"for=_hidden;by=unknown;host=example.com:443;proto=https")], true),
    // If the headers contradict each other, `X-Forwarded-Proto` counts.
    (&[("Forwarded", b"proto=http"), ("X-Forwarded-Proto", b"https")], true),
    (&[("X-Forwarded-Proto", b"http"), ("Forwarded", b"proto=https")], false),
    (&[("X-Forwarded-Proto", b""), ("Forwarded", b"proto=https")], false),
];

fn insert(session: &mut Session) {
    session.insert("user", "ada").unwrap();
}

fn request(headers: &[(&'static str, &'static [u8])], https: bool, cookie: &str) -> RequestHead<'static> {
    let cookie: &'static [u8] = cookie.as_bytes().to_vec().leak();
    RequestHead::from_headers(headers.iter().copied().chain([("Cookie", cookie)])).secure(https)
}

#[test]
fn cookie_is_secure_if_the_connection_is() {
    for (secure, trust_proxy) in
        [Secure::Always, Secure::Auto, Secure::Never].into_iter().flat_map(|secure| [(secure, false), (secure, true)])
    {
        let site = Site::new(CookieOptions::new().secure(secure).trust_proxy(trust_proxy));
        for (headers, said) in PROXY_REPORTS {
            for https in [false, true] {
                let expected = match secure {
                    Secure::Always => true,
                    Secure::Auto => https || trust_proxy && *said,
                    Secure::Never => false,
                };
                let what = format!("{secure:?}, trusted: {trust_proxy}, https: {https}, {headers:?}");
                let set = site.request(&request(headers, https, ""), insert);
                assert_eq!(attributes(&set).contains(&"Secure"), expected, "{what}");
                let removed =
                    site.request(&request(headers, https, &sent_back(&set)), |session| session.log_out().unwrap());
                assert_eq!(attributes(&removed).contains(&"Secure"), expected, "removed: {what}");
                assert_eq!(attributes(&removed)[..attributes(&set).len()], attributes(&set), "{what}");
            }
        }
    }
}

#[test]
fn proxy_is_not_trusted_by_default() {
    let site = Site::new(CookieOptions::new().secure(Secure::Auto));
    let head = request(&[("X-Forwarded-Proto", b"https"), ("Forwarded", b"proto=https")], false, "");
    let set = site.request(&head, insert);
    assert!(!attributes(&set).contains(&"Secure"));
}

#[test]
fn plain_http_alone_rewrites_no_cookie() {
    let site = Site::new(CookieOptions::new().secure(Secure::Auto));
    let set = site.request(&request(&[], true, ""), insert);
    assert!(attributes(&set).contains(&"Secure"));
    assert_eq!(site.request(&request(&[], false, &sent_back(&set)), look).cookie(), None);
}

fn told(errors: &impl Fn() -> Vec<Error>) -> Vec<String> {
    errors().iter().inspect(|error| assert!(error.is_option() && !error.is_store())).map(ToString::to_string).collect()
}

/// The number of reports after such a request.
fn reports(options: CookieOptions, headers: &[(&str, &str)], https: bool) -> usize {
    let site = Site::new(options);
    let errors = site.layer.errors();
    let headers = headers.iter().map(|(name, value)| (*name, *value));
    assert!(site.request(&RequestHead::from_headers(headers).secure(https), insert).cookie().is_some());
    errors.try_iter().count()
}

#[test]
fn secure_cookie_over_http_is_reported_once() {
    let site = Site::new(CookieOptions::new());
    let errors = site.layer.errors();
    let seen = || errors.try_iter().collect::<Vec<_>>();
    assert!(site.visit("", look).cookie().is_none());
    assert_eq!(told(&seen), [""; 0], "no cookie was set");

    assert!(site.visit("", insert).cookie().is_some());
    let [text] = &*told(&seen) else { panic!("one report") };
    for part in ["secure: a Secure cookie", "plain http", "localhost", "Secure::Auto", "ignore this", "trust_proxy"] {
        assert!(text.contains(part), "{text}");
    }
    for _ in 0..3 {
        let other = site.clone();
        assert!(other.visit("", insert).cookie().is_some());
    }
    assert_eq!(told(&seen), [""; 0], "once");
}

#[test]
fn report_waits_for_a_subscriber() {
    let site = Site::new(CookieOptions::new());
    assert!(site.visit("", insert).cookie().is_some());
    let errors = site.layer.errors();
    assert_eq!(errors.try_iter().count(), 0, "nothing that was before");
    assert!(site.visit("", insert).cookie().is_some());
    assert_eq!(errors.try_iter().count(), 1);
}

#[test]
fn no_report_if_the_client_keeps_the_cookie() {
    let plain = CookieOptions::new;
    let https = ("X-Forwarded-Proto", "https");
    for (reported, options, headers, over_https) in [
        (1, plain(), &[][..], false),
        (0, plain(), &[], true),
        (0, plain(), &[https], false),
        (0, plain(), &[("Forwarded", "for=192.0.2.1;proto=https")], false),
        (1, plain(), &[("X-Forwarded-Proto", "http")], false),
        (1, plain(), &[("Forwarded", "for=192.0.2.1;proto=http")], false),
        (1, plain(), &[("X-Forwarded-For", "192.0.2.1")], false),
        (0, plain().trust_proxy(true), &[], false),
        (0, plain().trust_proxy(true), &[https], false),
        (1, plain().trust_proxy(true), &[("X-Forwarded-Proto", "http")], false),
        (0, plain().secure(Secure::Auto), &[], false),
        (0, plain().secure(Secure::Never), &[], false),
    ] {
        assert_eq!(reports(options.clone(), headers, over_https), reported, "{options:?} {headers:?} {over_https}");
    }
}

#[test]
fn client_with_our_cookie_has_kept_one() {
    let site = Site::new(CookieOptions::new());
    let cookie = sent_back(&site.request(&RequestHead::default().secure(true), insert));
    let errors = site.layer.errors();
    assert!(site.visit(&cookie, |session| session.regenerate().unwrap()).cookie().is_some());
    assert_eq!(errors.try_iter().count(), 0);
    assert!(site.visit("theme=dark; id=nonsense", insert).cookie().is_some());
    assert_eq!(errors.try_iter().count(), 1);
}

fn any_options() -> impl Strategy<Value = CookieOptions> {
    let name = "(__Host-|__Secure-|__Http-|__Host-Http-)?[!#$%&'*+.^`|~0-9A-Za-z-]{1,20}";
    let path = prop_oneof!["/", "(/[a-zA-Z0-9_~!$&'()*+,=:@-]{1,8}){1,4}/?"];
    let domain = prop::option::of("\\.?[a-zA-Z0-9]{1,20}(\\.[a-z0-9]{1,20}){0,2}\\.[a-z]{1,20}");
    let secure = prop::sample::select(vec![Secure::Always, Secure::Auto, Secure::Never]);
    let same_site = prop::sample::select(vec![SameSite::Strict, SameSite::Lax, SameSite::None]);
    let lifetimes = vec![CookieLifetime::BrowserSession, CookieLifetime::Persistent, CookieLifetime::Remembered];
    let lifetime = prop::sample::select(lifetimes);
    let priority = prop::option::of(prop::sample::select(vec![Priority::Low, Priority::Medium, Priority::High]));
    let keys = prop::option::of(prop::collection::vec(prop::collection::vec(any::<u8>(), 32..64), 1..3));
    let rest = (same_site, lifetime, priority, keys, any::<(bool, bool, bool)>());
    (name, path, domain, secure, rest).prop_map(|(name, path, domain, secure, rest)| {
        let (same_site, lifetime, priority, keys, (http_only, partitioned, trust)) = rest;
        let options = CookieOptions::new().name(name).path(path).secure(secure).same_site(same_site);
        let options = options.lifetime(lifetime).priority(priority).http_only(http_only).partitioned(partitioned);
        let options = options.trust_proxy(trust);
        let options = domain.into_iter().fold(options, CookieOptions::domain);
        keys.into_iter().fold(options, CookieOptions::keys)
    })
}

proptest! {
    // Most random options contradict each other, and drawing others is cheap.
    #![proptest_config(ProptestConfig { max_global_rejects: u32::MAX, ..ProptestConfig::default() })]

    #[test]
    fn model_removal_deletes_the_same_cookie(
        options in any_options(),
        https in any::<bool>(),
        said in prop::sample::select(PROXY_REPORTS.to_vec()),
    ) {
        let store = lembro::LembroStore::with_options(lembro::LembroOptions::new().interval(0)).unwrap();
        prop_assume!(lembro::web::SessionLayer::new(store).cookie(options.clone()).is_ok());
        let site = Site::new(options);
        let now = Clock::from(&site.time).wall();
        let set = site.request(&request(said.0, https, ""), insert);
        let set = set.cookie().unwrap();
        let mut jar = Jar::default();
        let kept = Cookie::parse(set, now).unwrap();
        let url = format!("https://{}{}", kept.domain.as_deref().unwrap_or("example.com"), kept.path.as_deref().unwrap());
        prop_assert!(jar.receive(set, &url, now), "{set}");

        let back = request(said.0, https, &jar.header(&url, now));
        let removal = site.request(&back, |session| session.log_out().unwrap());
        let removal = removal.cookie().unwrap();
        let taken = Cookie::parse(removal, now).unwrap();
        prop_assert_eq!(&taken, &Cookie { value: String::new(), ends: Some(UNIX_EPOCH), ..kept });
        prop_assert!(jar.receive(removal, &url, now), "{removal}");
        prop_assert!(jar.cookies().next().is_none(), "{removal}");
    }
}
