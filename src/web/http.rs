//! The adapter for servers that use the types of the `http` crate.

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, request};

use super::finished::{ResponseHeaders, is_for_caches};
use super::head::RequestHead;
use super::layer::SessionLayer;
use crate::error::{Error, Result};
use crate::session::Session;

/// Headers do not say whether the connection is encrypted: set [`RequestHead::secure`].
impl<'r> From<&'r HeaderMap> for RequestHead<'r> {
    fn from(headers: &'r HeaderMap) -> Self {
        Self::from_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
    }
}

/// A request of HTTP/1.1 does not say whether the connection is encrypted, and in HTTP/2 only the
/// client says it: set [`RequestHead::secure`].
impl<'r, B> From<&'r Request<B>> for RequestHead<'r> {
    fn from(request: &'r Request<B>) -> Self {
        request.headers().into()
    }
}

/// As for a [`Request`], after the handler took its body.
impl<'r> From<&'r request::Parts> for RequestHead<'r> {
    fn from(parts: &'r request::Parts) -> Self {
        (&parts.headers).into()
    }
}

impl SessionLayer {
    /// Runs a handler with the request's session, and adds the headers that the session needs to
    /// its response: for `touche`, `feather`, handlers of `axum` and `hyper`, and every other
    /// server that uses the types of the `http` crate.
    ///
    /// If the store fails or is full, the response is a plain 503. After a panic, or any other
    /// error of the session's, it is a plain 500: see [when something
    /// fails](super#when-something-fails). [`try_around`](Self::try_around) leaves the page and the
    /// type of the error to you.
    ///
    /// `request` is a `&Request`, its `&Parts` or its `&HeaderMap`. The layer does not read the
    /// body: if the handler needs it, take the request apart first. None of these types tells
    /// whether the connection is encrypted. So for a cookie that is
    /// [`Secure::Auto`](super::Secure::Auto), if the server does its own TLS, pass
    /// `RequestHead::from(&request).secure(true)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, Response};
    /// use lembro::{LembroStore, web::SessionLayer};
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let serve = |request: Request<String>| -> Response<String> {
    ///     let (parts, body) = request.into_parts();
    ///     layer.http(&parts, |session| {
    ///         session.insert("last_words", &body)?;
    ///         Ok(Response::new(format!("{} bytes", body.len())))
    ///     })
    /// };
    /// let response = serve(Request::new("hello".to_owned()));
    /// assert!(response.headers()["Set-Cookie"].to_str().unwrap().starts_with("id="));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn http<'r, B: From<&'static str>>(
        &self,
        request: impl Into<RequestHead<'r>>,
        handler: impl FnOnce(&mut Session) -> Result<Response<B>>,
    ) -> Response<B> {
        self.try_around(request, handler, |error: Error| {
            let (status, text) = self.error_page(&error);
            let mut response = Response::new(B::from(text));
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
            response
        })
    }
}

/// Values are bytes. `take` and `add` map each byte to one character (ISO 8859-1), so that a value
/// comes back unchanged.
impl ResponseHeaders for HeaderMap {
    fn take(&mut self, name: &str) -> Vec<String> {
        let Ok(Entry::Occupied(named)) = self.try_entry(name) else { return Vec::new() };
        // `remove` would return the first value and drop the others.
        let (_, values) = named.remove_entry_mult();
        values.map(|value| value.as_bytes().iter().copied().map(char::from).collect()).collect()
    }

    fn add(&mut self, name: &str, value: String) {
        let bytes: Vec<u8> = value.chars().filter_map(|character| u8::try_from(character).ok()).collect();
        // Never refused: our names and values are visible ASCII, and the others come from headers.
        let (Ok(named), Ok(mut value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&bytes))
        else {
            return;
        };
        // Keeps the value out of the compression tables of HTTP/2 and out of `Debug`.
        value.set_sensitive(!is_for_caches(name));
        // An error means that there are 32,768 headers.
        let _full = self.try_append(named, value);
    }
}

impl<B> ResponseHeaders for Response<B> {
    fn take(&mut self, name: &str) -> Vec<String> {
        self.headers_mut().take(name)
    }

    fn add(&mut self, name: &str, value: String) {
        self.headers_mut().add(name, value);
    }
}
