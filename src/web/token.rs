//! The session token: an id in a header, in place of a cookie or beside it, for clients that keep
//! no cookies.

use std::fmt;

use serde::{Deserialize, Deserializer};

use super::grammar::{AUTHORIZATION, problem_of_header, refuse};
use super::head::RequestHead;
use super::keys::Signer;
use super::value::{self, ValueReader};
use crate::error::Result;
use crate::id::SessionId;
use crate::session::{Candidate, Carrier};
use crate::units::getters;
use crate::units::tree::read_table;

/// The options of a token in a header, for clients that keep no cookies: programs and mobile
/// applications. Each has a default.
///
/// | option | what it sets | default |
/// |---|---|---|
/// | [`header`](Self::header) | the request's header that has the token | `Authorization: Bearer …` |
/// | [`response_header`](Self::response_header) | the response's header that has a new token | none |
/// | [`beside_cookie`](Self::beside_cookie) | whether the layer uses cookies too | no |
///
/// A token is the same text as a cookie's value: an id, [signed](super::CookieOptions::keys) if
/// cookies are signed. Timeouts, renewals and logouts are the same for both. After a login and
/// after each renewal, [`Finished::token`](super::Finished::token) has a new token, which replaces
/// the client's old one. Send it over https only. The layer never reads a token from a URL or a
/// form, because URLs and forms end up in logs and histories.
///
/// **Forged requests.** A browser sends a cookie with every request to the site, also with a
/// request that another site's page makes. Therefore forms need a [CSRF
/// token](crate::Session::csrf_token). A browser never sends a header with a token by itself. It
/// lets another site's script add one only if this server allows it (CORS), and that script does
/// not have the token. Therefore [`check_csrf`](crate::Session::check_csrf) is true for a session
/// that a token opened, and the layer refuses a `header` that browsers send by themselves or let
/// every site send.
///
/// **Storage in the client.** If a page's scripts can read a token, an injected script can read it
/// too. So use the cookie for browsers.
///
/// **Caches.** A response with a new token says `no-store`, as a response with a cookie does. A
/// response that was made from a session names the header in its `Vary`.
///
/// serde reads these names, and also `responseHeader` and `besideCookie`; it refuses unknown names.
/// [`SessionLayer::token`](super::SessionLayer::token) checks the values.
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

    /// The request's header whose value is the token. Default: `Authorization` with the scheme
    /// `Bearer` (RFC 6750).
    ///
    /// Change it if a proxy in front or another scheme uses `Authorization`. The layer refuses
    /// headers that have a meaning for browsers, proxies or servers, such as `Accept` or `Host`.
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.header = Some(name.into());
        self
    }

    /// The response's header in which the client gets a new token. Default: none; the application
    /// hands out [`Finished::token`](super::Finished::token) itself, in a body for example.
    ///
    /// After a logout the header is empty, and the client deletes its token. A script of another
    /// site that may send requests here can read the header only if
    /// `Access-Control-Expose-Headers` names it.
    #[doc(alias = "responseHeader")]
    pub fn response_header(mut self, name: impl Into<String>) -> Self {
        self.response_header = Some(name.into());
        self
    }

    /// Whether the layer uses cookies too, and prefers them to a token. Default: no; the layer
    /// reads and sets no cookie.
    ///
    /// Switch it on for a site that has both pages and an API. The response to a request with a
    /// cookie has a cookie and never a token, so that no script learns an id that `HttpOnly` hides
    /// from it. The response to a request with only a token has a token. The response to a request
    /// with neither has both, and the client uses one of them.
    #[doc(alias = "besideCookie")]
    pub fn beside_cookie(mut self, beside: bool) -> Self {
        self.beside_cookie = beside;
        self
    }

    getters! { options:
        get_header header -> Option<&str> { options.header.as_deref() }
        get_response_header response_header -> Option<&str> { options.response_header.as_deref() }
        get_beside_cookie beside_cookie -> bool { options.beside_cookie }
    }

    fn check(&self) -> Result<()> {
        for (option, name) in [("header", &self.header), ("response_header", &self.response_header)] {
            name.as_deref().map_or(Ok(()), |name| refuse(option, name, problem_of_header))?;
        }
        Ok(())
    }
}

/// The reader and writer of tokens, by checked [`TokenOptions`].
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

    /// The first token that is exactly an id, with a valid signature if the layer signs.
    pub(super) fn presented(&self, request: &RequestHead<'_>, reader: &mut ValueReader<'_>) -> Option<Candidate> {
        request.tokens(&self.header).find_map(|value| reader.read(Carrier::Token, &self.header, value))
    }

    /// The token for this id.
    pub(super) fn announcement(&self, id: &SessionId, signer: Option<&Signer>) -> String {
        value::write(signer, &self.header, id, None)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

/// The fields of [`TokenOptions`] as a configuration file spells them.
#[derive(Deserialize)]
#[serde(remote = "TokenOptions", default = "TokenOptions::new", deny_unknown_fields)]
struct TokenFields {
    header: Option<String>,
    #[serde(alias = "responseHeader")]
    response_header: Option<String>,
    #[serde(alias = "besideCookie")]
    beside_cookie: bool,
}

impl<'de> Deserialize<'de> for TokenOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct TokenTable(#[serde(with = "TokenFields")] TokenOptions);

        read_table("token", deserializer).map(|TokenTable(options)| options)
    }
}
