//! The browser that the tests of the cookie layer compare with is itself right: a table of the RFC's own cases.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

#[path = "common/user_agent.rs"]
mod user_agent;

use user_agent::{Cookie, Jar, parse};

const NOW: i64 = 1_000_000_000;
const LIMIT: i64 = NOW + 400 * 86_400;

#[test]
fn a_set_cookie_is_read_by_the_steps_of_the_rfc() {
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
        let read = parse(text, NOW).map(|Cookie { name, value, .. }| (name, value));
        assert_eq!(read, expected, "{text:?}");
    }
    let sized = |length: usize| parse(&format!("a={}", "b".repeat(length)), NOW).is_some();
    assert!(sized(4095) && !sized(4096));
}

#[test]
fn attributes_are_read_in_any_case_and_unknown_ones_passed_over() {
    let read = |text: &str| parse(&format!("a=b;{text}"), NOW).unwrap();
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
        ("SameSite=lAX", Cookie { same_site: text("Lax"), ..cookie.clone() }),
        ("SameSite=sometimes", cookie.clone()),
        ("priority=high", Cookie { priority: text("High"), ..cookie.clone() }),
        (&format!("Path=/{}", "a".repeat(1024)), cookie.clone()),
    ] {
        assert_eq!(read(attributes), expected, "{attributes:?}");
    }
}

#[test]
fn a_cookie_ends_when_max_age_says_else_expires() {
    for (attributes, ends) in [
        ("", None),
        ("Max-Age=60", Some(NOW + 60)),
        ("Max-Age=0", Some(i64::MIN)),
        ("Max-Age=-1", Some(i64::MIN)),
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
        assert_eq!(parse(&format!("a=b; {attributes}"), NOW).unwrap().ends, ends, "{attributes:?}");
    }
}

#[test]
fn a_cookie_that_breaks_its_word_is_dropped() {
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
    ] {
        let mut jar = Jar::default();
        assert_eq!(jar.receive(text, NOW, https), kept, "{text}");
        assert_eq!(jar.cookies().len(), usize::from(kept), "{text}");
    }
}

#[test]
fn a_cookie_is_replaced_and_removed_by_one_of_the_same_name_domain_and_path() {
    let mut jar = Jar::default();
    for text in ["a=1; Path=/", "a=2; Path=/app", "b=3; Path=/", "a=4; Path=/"] {
        assert!(jar.receive(text, NOW, true));
    }
    assert_eq!(jar.header(), "a=2; b=3; a=4");
    for text in ["a=; Path=/x; Max-Age=0", "a=; Path=/; Domain=example.com; Max-Age=0", "A=; Path=/; Max-Age=0"] {
        assert!(jar.receive(text, NOW, true));
    }
    assert_eq!(jar.header(), "a=2; b=3; a=4");
    assert!(jar.receive("a=; Path=/; Max-Age=0", NOW, true));
    assert!(jar.receive("b=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", NOW, true));
    assert_eq!(jar.header(), "a=2");
}
