//! The report of a `Secure` cookie over plain http: it is made once, if the client probably drops
//! the cookie.
//!
//! The client probably keeps the cookie if the connection is encrypted, if a proxy says that the
//! client's is, trusted or not, if a trusted proxy says nothing, if the client sent a cookie of
//! ours, or if the cookie is not always `Secure`.

use crate::support::host::{Host, look};
use lembro::web::{CookieOptions, RequestHead, Secure};
use lembro::{Error, Session};

fn insert(session: &mut Session) {
    session.insert("user", "ada").unwrap();
}

fn told(errors: &impl Fn() -> Vec<Error>) -> Vec<String> {
    errors().iter().inspect(|error| assert!(error.is_option() && !error.is_store())).map(ToString::to_string).collect()
}

/// The number of reports after such a request.
fn reports(options: CookieOptions, headers: &[(&str, &str)], https: bool) -> usize {
    let host = Host::new(options);
    let errors = host.layer.errors();
    let headers = headers.iter().map(|(name, value)| (*name, *value));
    assert!(host.request(&RequestHead::from_headers(headers).secure(https), insert).cookie().is_some());
    errors.try_iter().count()
}

#[test]
fn secure_cookie_over_http_is_reported_once() {
    let host = Host::new(CookieOptions::new());
    let errors = host.layer.errors();
    let seen = || errors.try_iter().collect::<Vec<_>>();
    assert!(host.visit("", look).cookie().is_none());
    assert_eq!(told(&seen), [""; 0], "no cookie was set");

    assert!(host.visit("", insert).cookie().is_some());
    let [text] = &*told(&seen) else { panic!("one report") };
    for part in ["secure: a Secure cookie", "plain http", "localhost", "Secure::Auto", "ignore this", "trust_proxy"] {
        assert!(text.contains(part), "{text}");
    }
    for _ in 0..3 {
        let other = Host { layer: host.layer.clone(), store: host.store.clone(), time: host.time.clone() };
        assert!(other.visit("", insert).cookie().is_some());
    }
    assert_eq!(told(&seen), [""; 0], "once");
}

#[test]
fn report_waits_for_a_subscriber() {
    let host = Host::new(CookieOptions::new());
    assert!(host.visit("", insert).cookie().is_some());
    let errors = host.layer.errors();
    assert_eq!(errors.try_iter().count(), 0, "nothing that was before");
    assert!(host.visit("", insert).cookie().is_some());
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
    let host = Host::new(CookieOptions::new());
    let cookie = crate::support::host::sent_back(&host.request(&RequestHead::default().secure(true), insert));
    let errors = host.layer.errors();
    assert!(host.visit(&cookie, |session| session.regenerate().unwrap()).cookie().is_some());
    assert_eq!(errors.try_iter().count(), 0);
    assert!(host.visit("theme=dark; id=nonsense", insert).cookie().is_some());
    assert_eq!(errors.try_iter().count(), 1);
}
