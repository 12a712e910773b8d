//! `RequestHead`: what the cookie layer needs to know of a request.

use std::fmt;

/// What the layer needs to know of a request: its `Cookie` headers, and whether it came over https.
///
/// An adapter makes one from its framework's request, borrowing the header texts. Bytes, because
/// what clients send need not be text.
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
/// // All the headers a server has: the layer takes what it needs.
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
    secure: bool,
    x_forwarded_proto: Option<&'r [u8]>,
    forwarded: Option<&'r [u8]>,
}

impl<'r> RequestHead<'r> {
    /// A request with these values of `Cookie` headers, in their order; the headers' names are not
    /// part of them.
    pub fn new<T: AsRef<[u8]> + ?Sized + 'r>(cookies: impl IntoIterator<Item = &'r T>) -> Self {
        let mut head = Self::default();
        for cookie in cookies {
            head.add_cookie(cookie.as_ref());
        }
        head
    }

    /// A request with these headers, names and values, in their order. Those that do not matter
    /// here are passed over.
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
            } else if name.eq_ignore_ascii_case("Forwarded") {
                head.forwarded.get_or_insert(value);
            }
        }
        head
    }

    /// Whether the connection that the request came over is encrypted. Default: no.
    ///
    /// Only a cookie with [`Secure::Auto`](super::Secure::Auto) asks.
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

    pub(super) fn cookies(&self) -> impl Iterator<Item = &'r [u8]> {
        self.first.into_iter().chain(self.others.iter().copied())
    }

    /// Whether the client's own connection is encrypted: this one is, or a proxy that is to be
    /// believed says so.
    ///
    /// The first entry counts, which is the client's end of a chain of proxies. A client can forge
    /// it, but what it gets is only a cookie of its own that it cannot use.
    pub(super) fn is_https(&self, trust_proxy: bool) -> bool {
        let said = || {
            if let Some(schemes) = self.x_forwarded_proto {
                return first_entry(schemes);
            }
            // RFC 7239, 4: `for=192.0.2.60;proto=https, for=...`.
            let parts = first_entry(self.forwarded?)?.split(';');
            parts.filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
                name.trim().eq_ignore_ascii_case("proto").then(|| value.trim().trim_matches('"'))
            })
        };
        // The upgrade request of a WebSocket is an https request too, but some proxies call it by
        // the socket's scheme.
        let encrypted = |scheme: &str| ["https", "wss"].iter().any(|one| scheme.eq_ignore_ascii_case(one));
        self.secure || trust_proxy && said().is_some_and(encrypted)
    }
}

/// The first of a header's comma-separated entries, if it is text.
fn first_entry(value: &[u8]) -> Option<&str> {
    Some(str::from_utf8(value.split(|byte| *byte == b',').next()?).ok()?.trim())
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the values: there are secrets in them.
        f.debug_struct("RequestHead").field("cookies", &self.cookies().count()).finish_non_exhaustive()
    }
}
