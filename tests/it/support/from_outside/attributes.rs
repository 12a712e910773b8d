//! A cookie's path and domain: what is accepted is what a browser leaves as it is and can match, by
//! the URL standard's parser.

use lembro::web::{CookieOptions, SessionLayer};
use lembro::{LembroOptions, LembroStore};

use super::super::request_target;

/// One text, tried as each of the two, and as a name.
pub fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    assert_eq!(is_accepted(CookieOptions::new().path(text)), request_target::has_one_spelling(text), "path {text:?}");
    assert_eq!(is_accepted(CookieOptions::new().domain(text)), request_target::is_domain(text), "domain {text:?}");
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    // Longer ones do not fit into a cookie; prefixes ask for more, which the defaults have.
    if text.len() < 1024 {
        let is_name = !text.is_empty() && text.chars().all(is_token) && !text.starts_with('$');
        assert_eq!(is_accepted(CookieOptions::new().name(text)), is_name, "name {text:?}");
    }
}

fn is_accepted(options: CookieOptions) -> bool {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).shards(1)).unwrap();
    match SessionLayer::new(store).cookie(options) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_option() && error.to_string().contains(": "), "{error}");
            false
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "/",
        "/app/",
        "/a/../b",
        "/caf%C3%A9",
        "/a%2Fb",
        "/a//b",
        "/a;b?c#d",
        "example.com",
        ".EXAMPLE.co.uk",
        "127.0.0.1:80",
        "[::1]",
        "0x7f.1",
        "xn--bcher-kva.example",
        "https://a.b/c",
        "*.a.b",
        "localhost",
        "__Host-id",
        "$Path",
        "a-b.c--d",
        "b\u{fc}cher.example",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}
