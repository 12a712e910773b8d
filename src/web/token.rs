//! The token: an id that the client's code puts into a header, instead of a browser's cookie or
//! beside it.

use std::fmt;

use serde::{Deserialize, Deserializer};

use super::grammar::is_token;
use super::head::{AUTHORIZATION, RequestHead};
use super::keys::Signer;
use super::value::{self, Reader};
use crate::error::{Error, Result};
use crate::id::SessionId;
use crate::session::{Candidate, Carrier};
use crate::units::quiet;

/// The options of a token in a header, for clients that keep no cookies: programs, mobile
/// applications. None of them is needed.
///
/// | option | what it is | default |
/// |---|---|---|
/// | [`header`](Self::header) | the request's header that has the token | `Authorization: Bearer …` |
/// | [`response_header`](Self::response_header) | the response's header that has a new token | none |
/// | [`beside_cookie`](Self::beside_cookie) | cookies count too | no |
///
/// A token is what the cookie's value is: an id, [signed](super::CookieOptions::keys) if cookies
/// are, with the same timeouts, renewals and logouts. A new one is in
/// [`Finished::token`](super::Finished::token) after a login and after each renewal; the client
/// takes it in place of the one that it has. Tell the client over https alone. A token is never
/// read from an address or a form: those end up in logs and histories.
///
/// **Forged requests.** A browser sends a cookie with every request to the site, also with one that
/// another site's page makes; that is why forms need a [token of their
/// own](crate::Session::csrf_token). It sends no header with a token by itself, and lets another
/// site's script add one only if this server allows it (CORS); and that script does not have the
/// token. So [`check_csrf`](crate::Session::check_csrf) is true for a session that a token opened.
/// For this reason a header is refused that browsers send, or let every site send.
///
/// **Where the client keeps it.** A token that a page's scripts can read, so can a script that was
/// injected. For browsers the cookie is right.
///
/// **Caches.** A response with a new token says `no-store`, as one with a cookie does, and a
/// response that was made from a session has the header in its `Vary`.
///
/// Read by serde under these names, `responseHeader` and `besideCookie` too; anything unknown is
/// refused. The values are checked by [`SessionLayer::token`](super::SessionLayer::token).
///
/// # Examples
///
/// ```
/// use lembro::LembroStore;
/// use lembro::web::{RequestHead, SessionLayer, TokenOptions};
///
/// let layer = SessionLayer::new(LembroStore::new()?).token(TokenOptions::new())?;
/// let mut session = layer.load(RequestHead::default());
/// session.log_in("user-42")?;
/// let finished = layer.finish(&mut session)?;
/// let token = finished.token().expect("a new session").to_owned();
/// assert_eq!(finished.cookie(), None);
///
/// let header = format!("Bearer {token}");
/// let session = layer.load(RequestHead::from_headers([("Authorization", &header)]));
/// assert_eq!(session.owner()?, Some("user-42"));
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct TokenOptions {
    header: Option<String>,
    response_header: Option<String>,
    beside_cookie: bool,
}

impl TokenOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The request's header whose value is the token. Default: none of its own, but `Authorization`
    /// with the scheme `Bearer` (RFC 6750).
    ///
    /// Change it when `Authorization` is taken by a proxy in front or by another scheme. A header
    /// is refused that browsers, proxies or servers give a meaning, such as `Accept` or `Host`.
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.header = Some(name.into());
        self
    }

    /// The response's header in which the client gets a new token. Default: none; the application
    /// hands out [`Finished::token`](super::Finished::token) by itself, in a body, say.
    ///
    /// After a logout the header is empty: the client forgets its token. A script of another site's
    /// page that may send requests here reads the header only if
    /// `Access-Control-Expose-Headers` names it.
    #[doc(alias = "responseHeader")]
    pub fn response_header(mut self, name: impl Into<String>) -> Self {
        self.response_header = Some(name.into());
        self
    }

    /// Whether cookies count too, and before a token. Default: no; the layer reads and sets no
    /// cookie.
    ///
    /// For a site that has both pages and an API. A request with a cookie is answered with a cookie
    /// and never told a token, so that no script learns an id that `HttpOnly` hides from it; one
    /// with a token alone is answered with a token. A request with neither is answered with both,
    /// of which its client uses one.
    #[doc(alias = "besideCookie")]
    pub fn beside_cookie(mut self, beside: bool) -> Self {
        self.beside_cookie = beside;
        self
    }

    fn check(&self) -> Result<()> {
        let check = |option, name: &Option<String>| match name.as_deref() {
            Some(name) => {
                problem_of(name).map_or(Ok(()), |problem| Err(Error::option(option, format!("{name:?} {problem}"))))
            }
            None => Ok(()),
        };
        check("header", &self.header)?;
        check("response_header", &self.response_header)
    }
}

/// Names that mean something to browsers, caches, proxies or servers: what a browser sends by
/// itself, or lets the pages of every site send (the Fetch standard's safelisted names, and those
/// forbidden to scripts); and what ends or bends a message on its way.
const TAKEN: [&str; 57] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "age",
    "allow",
    "alt-svc",
    "authorization",
    "cache-control",
    "clear-site-data",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "cookie2",
    "date",
    "dnt",
    "downlink",
    "dpr",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "host",
    "keep-alive",
    "last-event-id",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "retry-after",
    "save-data",
    "server",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "viewport-width",
    "warning",
    "width",
    "www-authenticate",
];
const TAKEN_STARTS: [&str; 5] = ["access-control-", "if-", "proxy-", "sec-", "x-forwarded-"];

/// What is wrong with the name of a header, and what to do; it completes a sentence that begins
/// with the name.
fn problem_of(name: &str) -> Option<&'static str> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some("is not a header's name: letters, digits and !#$%&'*+-.^_`|~, at least one");
    }
    let name = name.to_ascii_lowercase();
    if name == AUTHORIZATION {
        return Some("has a scheme before its value: leave the option out for bearer tokens");
    }
    let is_taken = TAKEN.contains(&&*name) || TAKEN_STARTS.iter().any(|start| name.starts_with(start));
    is_taken.then_some(
        "means something to browsers, proxies or servers: take a name of your own, such as \"X-Session-Token\"",
    )
}

/// The token that carries session ids, as its options have it.
pub(super) struct SessionToken {
    options: TokenOptions,
    /// The request's header, in lower case.
    header: String,
    /// The names of the headers that a response depends on.
    vary: String,
}

impl SessionToken {
    pub(super) fn new(options: TokenOptions) -> Result<Self> {
        options.check()?;
        let header = options.header.as_deref().unwrap_or(AUTHORIZATION).to_ascii_lowercase();
        let name = options.header.as_deref().unwrap_or("Authorization");
        let vary = if options.beside_cookie { format!("Cookie, {name}") } else { name.to_owned() };
        Ok(Self { options, header, vary })
    }

    pub(super) fn is_beside_cookie(&self) -> bool {
        self.options.beside_cookie
    }

    pub(super) fn vary(&self) -> &str {
        &self.vary
    }

    pub(super) fn response_header(&self) -> Option<&str> {
        self.options.response_header.as_deref()
    }

    /// The first token that is exactly an id, well signed if we sign.
    pub(super) fn presented(&self, request: &RequestHead<'_>, reader: &mut Reader<'_>) -> Option<Candidate> {
        request.tokens(&self.header).find_map(|value| reader.read(Carrier::Token, &self.header, value))
    }

    /// The token for this id.
    pub(super) fn announcing(&self, id: &SessionId, signer: Option<&Signer>) -> String {
        value::write(signer, &self.header, id, None)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

/// The fields of [`TokenOptions`], from which serde makes one.
#[derive(Deserialize)]
#[serde(remote = "TokenOptions", default = "TokenOptions::new", deny_unknown_fields)]
struct Fields {
    header: Option<String>,
    #[serde(alias = "responseHeader")]
    response_header: Option<String>,
    #[serde(alias = "besideCookie")]
    beside_cookie: bool,
}

struct Read(TokenOptions);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for TokenOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quiet::map("token", deserializer).map(|Read(options)| options)
    }
}
