//! Names, paths and domains of cookies: each kind of text that browsers drop, misread or never
//! match is refused when the layer is made, with the option, the text, the problem and the remedy.
//!
//! Names: empty, not a token, reserved by a "$" in front. Paths: no "/" in front (empty, relative,
//! a whole URL), a query, a fragment, a separator of attributes, control characters, blanks,
//! characters beyond ASCII, that browsers percent-encode (`"<>{}` and the grave accent), that they
//! turn into a slash (`\`), or that clients treat differently (`|[]^`); a "%" that encodes nothing,
//! is in small letters, or encodes a character that needs no encoding; ".", ".." and "//" anywhere;
//! more than 1,024 bytes. Domains: empty, a scheme, a user, a port, a path, a query, a wildcard, an
//! IPv4 address in every form that browsers read (decimal, hex, short, out of range), an IPv6
//! address with brackets or without; an empty label in front, between, at the end; a single label,
//! such as `localhost`; characters beyond letters, digits and "-"; "-" at either end of a label; a
//! label of 64, a name of 254; beyond ASCII; blanks around.

use lembro::web::{CookieOptions, SessionLayer};
use lembro::{LembroOptions, LembroStore};
use proptest::prelude::*;

fn options() -> CookieOptions {
    CookieOptions::new()
}

/// The error about the options, if they are refused.
fn told(options: CookieOptions) -> Option<String> {
    let layer = SessionLayer::new(LembroStore::with_options(LembroOptions::new().interval(0)).unwrap());
    layer.cookie(options).err().map(|error| {
        assert!(error.is_option());
        error.to_string()
    })
}

#[track_caller]
fn assert_told(options: CookieOptions, option: &str, text: &str, problem: &str) {
    let told = told(options).unwrap_or_else(|| panic!("{option}: {text:?} was accepted"));
    // The error quotes a long text in part.
    let begin: String = format!("{option}: {text:?} ").chars().take(100).collect();
    assert!(told.starts_with(&begin) && told.contains(problem), "{text:?}: {told}");
}

#[test]
fn reserved_names_are_refused() {
    for name in ["$Version", "$Path", "$", "$id"] {
        assert_told(options().name(name), "name", name, "take another one");
    }
    assert_eq!(told(options().name("a$")), None);
}

#[test]
fn unmatchable_paths_are_refused() {
    let long = format!("/{}", "a".repeat(1024));
    let table: &[(&str, &[&str])] = &[
        (
            "does not begin with \"/\"",
            &["", "app", " /", "\t/", "https://example.com/app", ".", "*", "%2Fapp", "\\app"],
        ),
        ("\"?\" or \"#\"", &["/?", "/app?x=1", "/#", "/app#top"]),
        ("\";\"", &["/a;b", "/;", "/a;jsessionid=1"]),
        ("\"//\"", &["//", "/a//b", "/a//", "//example.com/"]),
        ("\".\" or \"..\"", &["/.", "/..", "/a/./b", "/a/../b", "/a/..", "/a/.", "/../"]),
        (
            "two hexadecimal digits in capitals",
            &["/%", "/a%", "/%4", "/%zz", "/%c3%a9", "/100%", "/%%20", "/%u00e9", "/%2"],
        ),
        (
            "write the character itself",
            &["/%41", "/%2F", "/%2E", "/%2E%2E", "/%7E", "/%2C", "/%3B", "/%5C", "/%00", "/%0A", "/%7F", "/%7C"],
        ),
        (
            "percent-encode in a path",
            &[
                "/a b",
                "/a ",
                "/ ",
                "/a\t",
                "/a\r\n",
                "/a\r\nSet-Cookie: x=y",
                "/\0",
                "/\x7f",
                "/é",
                "/日本",
                "/\u{202e}a",
                "/a\"b",
                "/<a>",
                "/{id}",
                "/a`",
                "/a\\b",
                "/a|b",
                "/a[0]",
                "/a^b",
            ],
        ),
        ("1,024 bytes", &[&long]),
    ];
    for (problem, paths) in table {
        for path in *paths {
            assert_told(options().path(*path), "path", path, problem);
        }
    }
    for path in [
        "/",
        "/app",
        "/app/",
        "/a/b/c",
        "/a.b",
        "/...",
        "/.well-known",
        "/a..",
        "/~ada",
        "/a,b=c",
        "/@ada:x",
        "/(a)*+!$&'",
        "/caf%C3%A9",
        "/a%20b",
        "/100%25",
        "/what%3F",
        "/%7Bid%7D",
        &long[..1024],
    ] {
        assert_eq!(told(options().path(path)), None, "{path}");
    }
}

#[test]
fn impossible_domains_are_refused() {
    let (label, name) = ("a".repeat(64), format!("{}.com", "a.".repeat(125) + "a"));
    let table: &[(&str, &[&str])] = &[
        ("leave the option out", &["", "."]),
        ("a scheme", &["https://example.com", "http://example.com/", "://example.com", "ws://a.b"]),
        (
            "host name alone",
            &["example.com/", "example.com/app", "example.com?x", "example.com#x", "ada@example.com", "example.com\\"],
        ),
        ("a port", &["example.com:8080", "example.com:443", "example.com:", "localhost:8080", ":8080"]),
        ("a wildcard", &["*.example.com", "*", ".*.example.com", "example.*"]),
        (
            "an address",
            &[
                "127.0.0.1",
                "127.0.0.1:8080",
                "[::1]",
                "[::1]:8080",
                "::1",
                "2001:db8::17",
                "1.2.3",
                "0x7f.1",
                "127.1",
                "256.256.256.256",
                "192.168.0.1.",
                "example.1",
                "2130706433",
                "1.0x7F",
                "[fe80::1%25eth0]",
                ".127.0.0.1",
            ],
        ),
        ("an empty label", &["..example.com", "example..com", "example.com.", "example.com..", "...", "com."]),
        ("a single label", &["com", ".com", "localhost", ".localhost", "LOCALHOST", "intranet", "a"]),
        (
            "is not a host name",
            &[
                "a b.com",
                "a;b.com",
                "a.com\n",
                " example.com",
                "example.com ",
                "a_b.com",
                "_a.com",
                "exam%70le.com",
                "a,b.com",
                "\"a.com\"",
                "a=b.com",
                "a.com\0",
            ],
        ),
        ("begins or ends with \"-\"", &["-a.com", "a-.com", "a.-com", "a.com-", "-.com"]),
        ("63 characters in a label", &[&format!("{label}.com"), &name]),
        ("beyond ASCII", &["bücher.example", "例え.jp", "example。com", "exämple.com", "a\u{200b}.com"]),
    ];
    for (problem, domains) in table {
        for domain in *domains {
            assert_told(options().domain(*domain), "domain", domain, problem);
        }
    }
    for domain in [
        "example.com",
        ".example.com",
        "EXAMPLE.Com",
        "a.b",
        "shop.example.co.uk",
        "xn--bcher-kva.example",
        "a-b.c--d.com",
        "1.example",
        "0x7f.com",
        "app.localhost",
        "3com.net",
        &format!("{}.com", &label[..63]),
        &name[2..],
    ] {
        assert_eq!(told(options().domain(domain)), None, "{domain}");
    }
}

#[test]
fn configuration_files_are_checked_too() {
    for (text, option) in [
        (r#"{"domain": "example.com:8080"}"#, "domain: "),
        (r#"{"domain": ""}"#, "domain: "),
        (r#"{"path": ""}"#, "path: "),
        (r#"{"path": "/a?b"}"#, "path: "),
        (r#"{"name": "$Path"}"#, "name: "),
    ] {
        let told = told(serde_json::from_str(text).unwrap()).unwrap();
        assert!(told.starts_with(option), "{text}: {told}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn model_path_agrees_with_url_parser(
        path in prop_oneof!["/([a-z/.]|%[0-9A-Fa-f]{2}|[ -~]){0,6}", "[ -~é\t]{0,5}", "(/[a-z.]{0,2}){0,5}"],
    ) {
        prop_assert_eq!(told(options().path(&*path)).is_none(), crate::support::request_target::has_one_spelling(&path), "{}", path);
    }

    #[test]
    fn model_domain_agrees_with_url_parser(
        domain in prop_oneof![
            "\\.?[a-zA-Z0-9-]{1,4}(\\.[a-z0-9-]{0,3}){0,4}", "[a-z.:/@*_ é\\[\\]-]{0,6}\\.?[a-z0-9x]{0,4}", "[0-9x.]{1,9}", "[a-z]{60,65}\\.[a-z]{1,3}",
        ],
    ) {
        prop_assert_eq!(told(options().domain(&*domain)).is_none(), crate::support::request_target::is_domain(&domain), "{}", domain);
    }
}
