//! Grammar of cookie names, paths, domains and header names, as browsers and servers read them.
//!
//! Each `problem_of_` function returns what is wrong with a text and how to mend it, as the end of
//! a sentence that begins with the text.

use crate::error::{Error, Result};

/// Refuses a text that has a problem.
pub(super) fn refuse(option: &'static str, text: &str, problem_of: fn(&str) -> Option<&'static str>) -> Result<()> {
    problem_of(text).map_or(Ok(()), |problem| Err(Error::option(option, format!("{text:?} {problem}"))))
}

/// The header of bearer credentials (RFC 6750, 2.1).
pub(super) const AUTHORIZATION: &str = "authorization";

/// Headers that have a meaning for browsers, caches, proxies or servers: those that a browser sends
/// by itself or lets the pages of every site send (the Fetch standard's safelisted names, and the
/// names forbidden to scripts), and those that frame or route a message.
const RESERVED_HEADERS: &str = "
    accept accept-charset accept-encoding accept-language age allow alt-svc authorization
    cache-control clear-site-data connection content-disposition content-encoding content-language
    content-length content-location content-range content-security-policy content-type cookie
    cookie2 date dnt downlink dpr etag expect expires forwarded host keep-alive last-event-id
    last-modified link location max-forwards origin pragma priority range referer retry-after
    save-data server set-cookie set-cookie2 te trailer transfer-encoding upgrade user-agent vary via
    viewport-width warning width www-authenticate";
const RESERVED_PREFIXES: [&str; 5] = ["access-control-", "if-", "proxy-", "sec-", "x-forwarded-"];

/// RFC 9110, 5.1: the name is a token. Reserved names are refused, too.
pub(super) fn problem_of_header(name: &str) -> Option<&'static str> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some("is not a header's name: letters, digits and !#$%&'*+-.^_`|~, at least one");
    }
    let name = name.to_ascii_lowercase();
    if name == AUTHORIZATION {
        return Some("has a scheme before its value: leave the option out for bearer tokens");
    }
    let is_reserved = RESERVED_HEADERS.split_ascii_whitespace().any(|reserved| reserved == name)
        || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    is_reserved.then_some(
        "means something to browsers, proxies or servers: take a name of your own, such as \"X-Session-Token\"",
    )
}

/// The longest attribute that browsers read (RFC 6265bis, 5.6). They ignore a longer one, and would
/// then send the cookie to other paths or hosts.
const MAX_ATTRIBUTE: usize = 1024;

/// The longest host name, and the longest label of one (RFC 1035, 2.3.4; RFC 1123, 2.1).
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// RFC 6265, 4.1.1: the name is a token.
pub(super) fn problem_of_name(name: &str) -> Option<&'static str> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some("is not a cookie name: letters, digits and !#$%&'*+-.^_`|~, at least one");
    }
    // `$` begins attributes such as `$Version` (RFC 2109, 4.3.4). The JDK drops the whole header.
    name.starts_with('$').then_some("begins with \"$\", and such names are reserved (RFC 2965): take another one")
}

/// Returns true for the characters of a token (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Browsers compare the bytes of a cookie's path and a request's (RFC 6265bis, 5.1.4), so the path
/// must be spelled as they send it (RFC 3986, 3.3; the URL standard's path state).
pub(super) fn problem_of_path(path: &str) -> Option<&'static str> {
    let Some(inside) = path.strip_prefix('/') else {
        return Some("does not begin with \"/\": write the path of a page, such as \"/app\"");
    };
    if path.len() > MAX_ATTRIBUTE {
        return Some("is longer than the 1,024 bytes that browsers read: take a shorter one");
    }
    if path.contains(['?', '#']) {
        return Some("has a \"?\" or \"#\", and those are no part of a path: leave out what begins there");
    }
    if path.contains(';') {
        return Some("has a \";\", which ends an attribute: take a path without one");
    }
    if path.contains("//") {
        return Some("has an empty part (\"//\"), which servers and proxies leave out: write one \"/\"");
    }
    if inside.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Some("has a part \".\" or \"..\", which browsers resolve: write the path that is left");
    }
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let encoded = (bytes.next().and_then(upper_hex_digit), bytes.next().and_then(upper_hex_digit));
            let (Some(high), Some(low)) = encoded else {
                return Some("has a \"%\" without two hexadecimal digits in capitals after it, as browsers write them");
            };
            if !is_always_encoded(high << 4 | low) {
                return Some("percent-encodes a character that browsers send as it is: write the character itself");
            }
        } else if !is_in_path(byte) {
            return Some(
                "has a character that browsers percent-encode in a path, or send in two ways: \
                 letters, digits and -._~!$&'()*+,=:@/, or %XX in capitals for the others",
            );
        }
    }
    None
}

/// Returns true for the characters that a path may have unencoded (RFC 3986, 3.3), except ";".
fn is_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte)
}

/// Returns true for the bytes that every browser percent-encodes, or that a path can only have
/// encoded. Returns false for a character that may be sent in two ways, such as "a" and "%61".
fn is_always_encoded(byte: u8) -> bool {
    byte >= 0x80 || b" \"#%<>?`{}".contains(&byte)
}

fn upper_hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// A domain is a host name (RFC 1123, 2.1) of at least two labels. One dot in front is allowed,
/// because browsers leave it out (RFC 6265bis, 5.6.3).
///
/// A single label, `localhost` too, is a public suffix. Some browsers drop a cookie with such a
/// domain. The others send it to that host alone, like a cookie without a domain (RFC 6265bis,
/// 5.7). Longer suffixes, such as `co.uk`, are not checked, because that takes a list of them.
pub(super) fn problem_of_domain(domain: &str) -> Option<&'static str> {
    let host = domain.strip_prefix('.').unwrap_or(domain);
    if host.is_empty() {
        return Some("is empty: leave the option out for a cookie of this host alone");
    }
    if host.contains("://") {
        return Some("has a scheme: write the host name alone, such as \"example.com\"");
    }
    if host.contains(['/', '\\', '?', '#', '@']) {
        return Some("has more than a host name in it: write the host name alone, such as \"example.com\"");
    }
    if host.contains('*') {
        return Some("has a wildcard: write the domain without it, and all its subdomains get the cookie");
    }
    if is_address(host) {
        return Some("is an address, which has no subdomains: leave the option out");
    }
    if host.contains(':') {
        return Some("has a port: write the host name alone, because cookies do not go by ports");
    }
    if !host.is_ascii() {
        return Some("has a character beyond ASCII: write the name as browsers send it, with \"xn--\"");
    }
    if host.split('.').any(str::is_empty) {
        return Some("has an empty label: write one dot between two labels and none at the end");
    }
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    if !host.bytes().all(in_host) {
        return Some("is not a host name: letters, digits, \"-\" and \".\", such as \"example.com\"");
    }
    if host.split('.').any(|label| label.starts_with('-') || label.ends_with('-')) {
        return Some("has a label that begins or ends with \"-\", and host names have none such");
    }
    if host.len() > MAX_HOST || host.split('.').any(|label| label.len() > MAX_LABEL) {
        return Some("is longer than a host name can be: 63 characters in a label, 253 in all");
    }
    if !host.contains('.') {
        return Some("is a single label, and browsers drop such a cookie: leave the option out for this host alone");
    }
    None
}

/// Returns true for an IPv6 address, in brackets or not, and for a host whose last label is a
/// number, because browsers read such a host as an IPv4 address or refuse it (the URL standard,
/// "ends in a number").
fn is_address(host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let bare = if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host };
    let last = bare.rsplit('.').find(|label| !label.is_empty()).unwrap_or_default().to_ascii_lowercase();
    let is_number = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = |label: &str| {
        label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    host.starts_with('[') || host.matches(':').count() > 1 || is_number(&last) || is_hex(&last)
}
