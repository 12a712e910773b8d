//! A browser's request, without a framework.

use std::fmt;

use super::address::Address;
use crate::web::RequestHead;

/// A request of a [`Browser`](super::Browser).
///
/// For a handler that takes another type of request, `From<&Request>` makes a [`RequestHead`], a
/// `rouille::Request` (feature `rouille`) or an `http::Request<Vec<u8>>` (feature `http`).
///
/// # Examples
///
/// ```
/// use lembro::testing::{Browser, Request};
///
/// let request = Request::new("PUT", "/cart?item=tea");
/// let request = request.with_header("Accept", "text/plain").with_body("2");
/// let request = Browser::new("https://example.com").prepare(request);
/// assert_eq!((request.method(), request.target()), ("PUT", "/cart?item=tea".to_owned()));
/// assert_eq!(request.header("host"), Some("example.com"));
/// assert_eq!(request.body(), b"2");
/// ```
#[derive(Clone)]
#[must_use]
pub struct Request {
    method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    body: Vec<u8>,
    pub(super) is_from_elsewhere: bool,
}

impl Request {
    /// A request for an absolute URL, or for a path on the browser's site.
    pub fn new(method: &str, url: &str) -> Self {
        let (method, url) = (method.to_owned(), url.to_owned());
        Self { method, url, headers: Vec::new(), body: Vec::new(), is_from_elsewhere: false }
    }

    /// The request of a form with these fields, percent-encoded in the body.
    pub fn form(url: &str, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let request = Self::new("POST", url).with_body(fields.join("&"));
        request.with_header("Content-Type", "application/x-www-form-urlencoded")
    }

    /// Adds a header.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body and its `Content-Length`.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Content-Length"));
        let length = self.body.len().to_string();
        self.with_header("Content-Length", &length)
    }

    /// Makes this the request of a link or a form on another site's page. The browser then leaves
    /// out the cookies that `SameSite` withholds.
    pub fn from_elsewhere(mut self) -> Self {
        self.is_from_elsewhere = true;
        self
    }

    /// The method, such as `GET`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path and the query.
    pub fn target(&self) -> String {
        Address::new(&self.url).target()
    }

    /// Returns true if the URL is an https one.
    pub fn is_https(&self) -> bool {
        Address::new(&self.url).is_https()
    }

    /// The headers, by name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of the first header of this name, in upper or lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body. Empty if there is none.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Encodes a form's text as browsers do (`application/x-www-form-urlencoded` of the URL standard).
fn encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        byte if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

impl From<&Request> for Request {
    fn from(request: &Request) -> Self {
        request.clone()
    }
}

impl<'r> From<&'r Request> for RequestHead<'r> {
    fn from(request: &'r Request) -> Self {
        Self::from_headers(request.headers()).secure(request.is_https())
    }
}

#[cfg(feature = "rouille")]
impl From<&Request> for rouille::Request {
    fn from(request: &Request) -> Self {
        let make = if request.is_https() { Self::fake_https } else { Self::fake_http };
        make(request.method.as_str(), request.target(), request.headers.clone(), request.body.clone())
    }
}

/// Leaves out the parts that the `http` crate refuses, such as a header with a line break.
#[cfg(feature = "http")]
impl From<&Request> for http::Request<Vec<u8>> {
    fn from(request: &Request) -> Self {
        let mut made = Self::new(request.body.clone());
        if let Ok(method) = request.method.parse() {
            *made.method_mut() = method;
        }
        if let Ok(target) = request.target().parse() {
            *made.uri_mut() = target;
        }
        for (name, value) in &request.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
                made.headers_mut().append(name, value);
            }
        }
        made
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and body have secrets.
        f.debug_struct("Request").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}
