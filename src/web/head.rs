//! `RequestHead`: the headers of a request that the layer reads.

use std::fmt;

use super::grammar::{AUTHORIZATION, is_token};
use super::value::may_be_value;
use crate::id::SessionId;

/// The scheme of bearer credentials.
const BEARER: &[u8] = b"Bearer";

/// The headers of a request that the layer reads: its `Cookie` headers, those that say whether it
/// came over https, and those that may bring a token.
///
/// An adapter makes it from its framework's request and borrows the headers' values. They are
/// bytes, because clients can send values that are not text.
///
/// # Examples
///
/// ```
/// use lembro::web::RequestHead;
///
/// let from_text = RequestHead::new(["theme=dark; id=7sNlGhvxmlqT5aSMbX0Pcw6kSJzXbF1R"]);
/// let from_bytes = RequestHead::new([b"theme=dark".as_slice(), b"tracker=\xff"]);
/// let without_cookies = RequestHead::default();
///
/// // From all headers of a request.
/// let headers = [("Host", "example.com"), ("Cookie", "theme=dark"), ("X-Forwarded-Proto", "https")];
/// let behind_a_proxy = RequestHead::from_headers(headers).secure(false);
/// # let _ = (from_text, from_bytes, without_cookies, behind_a_proxy);
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct RequestHead<'r> {
    // Nearly every request has one Cookie header (RFC 6265, 5.4), and then nothing is allocated.
    first: Option<&'r [u8]>,
    // HTTP/2 may send several (RFC 9113, 8.2.3).
    others: Vec<&'r [u8]>,
    /// Values that may be lembro's tokens, with their headers' names in lower case. The layer reads
    /// only the values of the header that its options name.
    tokens: Vec<(Box<str>, &'r [u8])>,
    secure: bool,
    x_forwarded_proto: Option<&'r [u8]>,
    forwarded: Option<&'r [u8]>,
}

impl<'r> RequestHead<'r> {
    /// A request with these values of `Cookie` headers, in their order and without the headers'
    /// names. It brings no [token](super::TokenOptions).
    pub fn new<T: AsRef<[u8]> + ?Sized + 'r>(cookies: impl IntoIterator<Item = &'r T>) -> Self {
        let mut head = Self::default();
        for cookie in cookies {
            head.add_cookie(cookie.as_ref());
        }
        head
    }

    /// A request with these headers, names and values, in their order. Headers that the layer does
    /// not read are skipped.
    pub fn from_headers<N, V>(headers: impl IntoIterator<Item = (N, &'r V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<[u8]> + ?Sized + 'r,
    {
        let mut head = Self::default();
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            if name.eq_ignore_ascii_case("Cookie") {
                head.add_cookie(value);
            } else if name.eq_ignore_ascii_case("X-Forwarded-Proto") {
                head.x_forwarded_proto.get_or_insert(value);
            } else if name.eq_ignore_ascii_case("Forwarded") && head.forwarded.is_none_or(is_empty_list) {
                // Several lines are one list (RFC 9110, 5.3), of which the first element counts.
                head.forwarded = Some(value);
            } else if value.len() >= SessionId::TEXT_LEN {
                head.add_token(name, value);
            }
        }
        head
    }

    /// Sets whether the request came over an encrypted connection. Default: no.
    ///
    /// It decides whether a cookie with [`Secure::Auto`](super::Secure::Auto) is `Secure`. For a
    /// cookie that is always `Secure` it decides whether an
    /// [error](super::SessionLayer::errors) reports that browsers drop the cookie.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    fn add_cookie(&mut self, value: &'r [u8]) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.others.push(value),
        }
    }

    fn add_token(&mut self, name: &str, value: &'r [u8]) {
        let is_bearer = name.eq_ignore_ascii_case(AUTHORIZATION);
        let value = if is_bearer { bearer(value).unwrap_or_default() } else { trim(value) };
        if may_be_value(value) {
            self.tokens.push((name.to_ascii_lowercase().into(), value));
        }
    }

    /// The values of the headers with this name, in lower case, that may be lembro's tokens. In
    /// `Authorization`, a value is the credentials after the scheme `Bearer`.
    pub(super) fn tokens(&self, name: &str) -> impl Iterator<Item = &'r [u8]> {
        self.tokens.iter().filter(move |(one, _)| **one == *name).map(|(_, value)| *value)
    }

    pub(super) fn cookies(&self) -> impl Iterator<Item = &'r [u8]> {
        self.first.into_iter().chain(self.others.iter().copied())
    }

    /// Returns true if this connection is encrypted, or, under `trust_proxy`, if a proxy says that
    /// the client's connection is.
    ///
    /// Of a list of schemes the first counts, because the proxy next to the client added it. A
    /// client that forges the header only gets a cookie that it cannot use.
    pub(super) fn is_https(&self, trust_proxy: bool) -> bool {
        self.secure || trust_proxy && self.proxy_says_https()
    }

    /// Returns true if a proxy reports the scheme of the client's connection.
    pub(super) fn has_scheme(&self) -> bool {
        self.x_forwarded_proto.is_some() || self.forwarded.and_then(forwarded_proto).is_some()
    }

    /// Returns true if a proxy reports that the client's connection is encrypted.
    fn proxy_says_https(&self) -> bool {
        // Some proxies report the upgrade request of a WebSocket as "wss".
        let encrypted = |scheme: &[u8]| ["https", "wss"].iter().any(|one| scheme.eq_ignore_ascii_case(one.as_bytes()));
        match (self.x_forwarded_proto, self.forwarded) {
            (Some(schemes), _) => encrypted(trim(schemes.split(|byte| *byte == b',').next().unwrap_or_default())),
            (None, Some(forwarded)) => forwarded_proto(forwarded).is_some_and(|scheme| encrypted(&scheme)),
            (None, None) => false,
        }
    }
}

/// The token of bearer credentials (RFC 6750, 2.1). The scheme may be in either case, and spaces
/// follow it (RFC 9110, 11.4).
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = trim(credentials).split_at_checked(BEARER.len())?;
    (scheme.eq_ignore_ascii_case(BEARER) && token.starts_with(b" ")).then(|| trim(token))
}

/// Removes spaces and tabs from both ends (RFC 9110, 5.6.3).
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn is_empty_list(value: &[u8]) -> bool {
    value.iter().all(|byte| b" \t,".contains(byte))
}

/// The most parameters of one element. Four are registered.
const MAX_PARAMETERS: usize = 16;

/// The scheme in the first element of a `Forwarded` header (RFC 7239, 4):
/// `for=192.0.2.60;proto=https, for="[2001:db8::17]:4711"`.
///
/// None if the element is malformed, because an attacker could use two parsers that read it
/// differently. Beyond the grammar it allows what proxies write: blanks around ";" and "=", and an
/// address with a port, or an IPv6 address, without quotes.
fn forwarded_proto(header: &[u8]) -> Option<Vec<u8>> {
    // Empty elements of a list do not count (RFC 9110, 5.6.1).
    let start = header.iter().position(|byte| !b" \t,".contains(byte))?;
    let (mut rest, mut proto) = (&header[start..], None);
    let mut seen: Vec<&[u8]> = Vec::new();
    loop {
        rest = trim_start(rest);
        match rest {
            [] | [b',', ..] => return proto,
            [b';', after @ ..] => {
                rest = after;
                continue;
            }
            _ => {}
        }
        let (name, after) = cut(rest, |byte| !is_token(byte));
        let after = trim_start(trim_start(after).strip_prefix(b"=")?);
        let (value, after) = forwarded_value(after)?;
        // A parameter must not occur twice in one element (RFC 7239, 4).
        if name.is_empty() || seen.len() == MAX_PARAMETERS || seen.iter().any(|one| one.eq_ignore_ascii_case(name)) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"proto") {
            proto = Some(value);
        }
        seen.push(name);
        rest = trim_start(after);
        if !matches!(rest, [] | [b',' | b';', ..]) {
            return None;
        }
    }
}

/// A value, without quotes and escapes, and the text after it.
fn forwarded_value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        let (value, after) = cut(text, |byte| !is_token(byte) && !b":[]".contains(&byte));
        return (!value.is_empty()).then(|| (value.to_vec(), after));
    };
    let mut value = Vec::new();
    loop {
        let (byte, after) = match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        value.push(byte);
        rest = after;
    }
}

fn trim_start(text: &[u8]) -> &[u8] {
    cut(text, |byte| byte != b' ' && byte != b'\t').1
}

/// The text up to the first such byte, and the rest.
fn cut(text: &[u8], is_end: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| is_end(*byte)).unwrap_or(text.len()))
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values hold secrets.
        f.debug_struct("RequestHead").field("cookies", &self.cookies().count()).finish_non_exhaustive()
    }
}
