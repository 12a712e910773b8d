//! The adapter for servers that use the types of the `http` crate.

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, request};

use super::finished::{ResponseHeaders, is_for_caches};
use super::head::RequestHead;
use super::layer::SessionLayer;
use crate::error::{Error, Result};
use crate::session::Session;

/// Reads the request's headers. They do not say whether the connection is encrypted, so the caller
/// sets [`RequestHead::secure`].
impl<'r> From<&'r HeaderMap> for RequestHead<'r> {
    fn from(headers: &'r HeaderMap) -> Self {
        Self::from_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
    }
}

/// Reads the request's headers. A request of HTTP/1.1 does not say whether the connection is
/// encrypted, and in HTTP/2 only the client says so. So the caller sets [`RequestHead::secure`].
impl<'r, B> From<&'r Request<B>> for RequestHead<'r> {
    fn from(request: &'r Request<B>) -> Self {
        request.headers().into()
    }
}

/// Reads the headers as for a [`Request`], if the caller has separated the body from the request.
impl<'r> From<&'r request::Parts> for RequestHead<'r> {
    fn from(parts: &'r request::Parts) -> Self {
        (&parts.headers).into()
    }
}

impl SessionLayer {
    /// Runs a handler with the request's session, and adds the session's headers to the response.
    /// Use it with `touche`, `feather`, handlers of `axum` and `hyper`, and every other server that
    /// uses the types of the `http` crate.
    ///
    /// If the store fails or is full, the response is a plain 503. For an error that
    /// [`is_lost`](Error::is_lost), it is a plain 409. After a panic or any other error, it is a
    /// plain 500. See [when something fails](super#when-something-fails). With
    /// [`try_around`](Self::try_around) you choose the error page and the error type.
    ///
    /// `request` is a `&Request`, its `&Parts` or its `&HeaderMap`. The layer does not read the
    /// body. If the handler needs the body, call `into_parts` first. None of these types tells
    /// whether the connection is encrypted. So if the server does its own TLS and the cookie is
    /// [`Secure::Auto`](super::Secure::Auto), pass `RequestHead::from(&request).secure(true)`.
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

/// A [`HeaderValue`] holds bytes. `take` and `add` map each byte to one character (ISO 8859-1), so
/// that a value that is taken and added again is unchanged.
impl ResponseHeaders for HeaderMap {
    fn take(&mut self, name: &str) -> Vec<String> {
        let Ok(Entry::Occupied(named)) = self.try_entry(name) else { return Vec::new() };
        // `remove` would return the first value and drop the others.
        let (_, values) = named.remove_entry_mult();
        values.map(|value| value.as_bytes().iter().copied().map(char::from).collect()).collect()
    }

    fn add(&mut self, name: &str, value: String) {
        let bytes: Vec<u8> = value.chars().filter_map(|character| u8::try_from(character).ok()).collect();
        // Both conversions succeed, because lembro's names and values are visible ASCII, and all
        // others were taken from headers.
        let (Ok(named), Ok(mut value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&bytes))
        else {
            return;
        };
        // A sensitive value stays out of the compression tables of HTTP/2 and out of `Debug`.
        value.set_sensitive(!is_for_caches(name));
        // `try_append` fails only if the response already has 32,768 headers.
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
