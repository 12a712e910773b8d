//! `Finished`: what the end of a request adds to its response, merged with what the handler set.

use std::fmt;

use super::token::SessionToken;
use crate::session::Saved;
use crate::sync::Arc;

/// The end of a request: the headers that its response needs, and what became of the session.
///
/// | header | when |
/// |---|---|
/// | `Set-Cookie` | the client is to get, renew or forget its cookie |
/// | the [token's](super::TokenOptions::response_header) | the client is to get, renew or forget its token |
/// | `Cache-Control: no-store` | with every `Set-Cookie` and every token; and if the session that was looked at was not a new one, unless the handler said otherwise |
/// | `CDN-Cache-Control: no-store`, and its like | with a `Set-Cookie` or a token, where the handler has set one |
/// | `Vary: Cookie`, or the token's header, or both | the session was looked at |
/// | `Clear-Site-Data` | with a logout, if [the options](super::CookieOptions::clear_site_data) ask for it |
///
/// `no-store`, and not the gentler `no-cache="Set-Cookie"`, because few caches know the latter: one
/// that keeps a response with its cookie lets the next user in as the last one (CVE-2023-30861).
/// And what is made from a session is private: the back button after a logout must not show it
/// again. (A page that a browser holds in memory is dropped when the removal takes the cookie away.
/// For sessions that end elsewhere, and for the page that a login redirects to, see
/// [the rules](super::security), 17.)
#[must_use = "its headers belong into the response, or the client never learns its id"]
pub struct Finished {
    saved: Saved,
    is_lost: bool,
    caching: Caching,
    cookie: Option<String>,
    token: Option<String>,
    /// The layer's tokens, if it has any.
    tokens: Option<Arc<SessionToken>>,
    clear_site_data: Option<String>,
}

/// What the response says to caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caching {
    /// The session was not looked at: the response is the same for every client.
    Free,
    /// It may look different for another cookie.
    Varies,
    /// It was made from a stored session.
    Private,
}

const SET_COOKIE: &str = "Set-Cookie";
const CACHE_CONTROL: &str = "Cache-Control";
/// What the caches in front of a site obey before `Cache-Control`, or in place of it, and what
/// forbids them to keep a response (RFC 9213; Edge Architecture Specification; the manuals of
/// these caches). The last is for caches of HTTP/1.0.
const TARGETED: [(&str, &str); 10] = [
    ("CDN-Cache-Control", "no-store"),
    ("Cloudflare-CDN-Cache-Control", "no-store"),
    ("Vercel-CDN-Cache-Control", "no-store"),
    ("Netlify-CDN-Cache-Control", "no-store"),
    ("Akamai-Cache-Control", "no-store"),
    ("X-LiteSpeed-Cache-Control", "no-store"),
    ("Surrogate-Control", "no-store"),
    ("Edge-Control", "no-store"),
    ("X-Accel-Expires", "0"),
    ("Expires", "0"),
];
/// The directives of these that say how a response is processed, not whether it is kept: as ESI.
const PROCESSING: [&str; 2] = ["content=", "dca="];
const VARY: &str = "Vary";
const CLEAR_SITE_DATA: &str = "Clear-Site-Data";

/// Whether a header tells caches or browsers what to do, and has no secret in it.
#[cfg(feature = "http")]
pub(super) fn is_for_caches(name: &str) -> bool {
    let names = [CACHE_CONTROL, VARY, CLEAR_SITE_DATA].into_iter().chain(TARGETED.map(|(name, _)| name));
    names.into_iter().any(|one| one.eq_ignore_ascii_case(name))
}

impl Finished {
    pub(super) fn new(saved: Saved, caching: Caching) -> Self {
        Self { saved, is_lost: false, caching, cookie: None, token: None, tokens: None, clear_site_data: None }
    }

    /// Of a layer with these tokens.
    pub(super) fn of(self, tokens: Option<&Arc<SessionToken>>) -> Self {
        Self { tokens: tokens.cloned(), ..self }
    }

    pub(super) fn with_token(self, token: String) -> Self {
        Self { token: Some(token), ..self }
    }

    pub(super) fn lost(self, is_lost: bool) -> Self {
        Self { is_lost, ..self }
    }

    pub(super) fn with_cookie(self, cookie: String) -> Self {
        Self { cookie: Some(cookie), ..self }
    }

    pub(super) fn with_clear_site_data(self, data: Option<String>) -> Self {
        Self { clear_site_data: data, ..self }
    }

    /// What became of the session. [`Saved::Gone`]: it ended while the handler ran, here or
    /// elsewhere, or a login in another request had just given it another id; what the handler
    /// changed in it is lost.
    pub fn saved(&self) -> Saved {
        self.saved
    }

    /// Returns true if something that the handler changed is lost, because the session ended, or
    /// was superseded by a login, under it. The page that the handler made may say what is not so.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The `Set-Cookie` header's value, if the client is told anything about its cookie.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// The new token, if the layer [has tokens](super::SessionLayer::token) and the client is told
    /// one. After a logout it is empty: the client forgets its token.
    ///
    /// It is for the client alone, as a password is: it belongs into no address and no log.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The headers, as names and values, all of them visible ASCII, for a response that has none of
    /// these yet. Otherwise [`write_to`](Self::write_to).
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let no_store = self.has_secret() || self.caching == Caching::Private;
        let headers = [
            (SET_COOKIE, self.cookie.as_deref()),
            (self.token_header().unwrap_or_default(), self.token_header().and(self.token.as_deref())),
            (CACHE_CONTROL, no_store.then_some("no-store")),
            (VARY, (self.caching != Caching::Free).then_some(self.vary())),
            (CLEAR_SITE_DATA, self.clear_site_data.as_deref()),
        ];
        headers.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// Puts the headers into a response, beside and into those that it has. Its own `Set-Cookie`
    /// headers stay; `Vary` gets one name more; of its `Cache-Control` beside a `Set-Cookie` only
    /// that stays which does not allow keeping the response. So it is with what other caches obey:
    /// `Expires`, `CDN-Cache-Control` and those of Cloudflare, Vercel, Netlify, Akamai and
    /// `LiteSpeed`, `Surrogate-Control`, `Edge-Control`, nginx's `X-Accel-Expires`.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::LembroStore;
    /// use lembro::web::{RequestHead, SessionLayer};
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let mut session = layer.load(RequestHead::default());
    /// session.insert("user", "ada")?;
    /// let finished = layer.finish(&mut session)?;
    ///
    /// let mut headers = vec![
    ///     ("vary".to_owned(), "Accept-Language".to_owned()),
    ///     ("cache-control".to_owned(), "public, max-age=600, no-transform".to_owned()),
    /// ];
    /// finished.write_to(&mut headers);
    /// assert!(headers[0].1.starts_with("id="));
    /// assert_eq!(headers[1], ("Cache-Control".to_owned(), "no-transform, no-store".to_owned()));
    /// assert_eq!(headers[2], ("Vary".to_owned(), "Accept-Language, Cookie".to_owned()));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn write_to(&self, response: &mut impl ResponseHeaders) {
        for (name, value) in self.headers() {
            let own = if name == SET_COOKIE { Vec::new() } else { response.take(name) };
            let merged = match name {
                // Nearly always.
                _ if own.is_empty() => value.to_owned(),
                CACHE_CONTROL => self.cache_control(&own),
                VARY => vary(&own, value),
                CLEAR_SITE_DATA => clear_site_data(&own, value),
                // A token of the handler's own would not be ours.
                _ => value.to_owned(),
            };
            response.add(name, merged);
        }
        if self.has_secret() {
            for (name, forbidding) in TARGETED {
                let own = response.take(name);
                if !own.is_empty() {
                    response.add(name, targeted(&own, forbidding));
                }
            }
        }
    }

    fn token_header(&self) -> Option<&str> {
        self.tokens.as_deref()?.response_header()
    }

    /// The names of the request's headers that the response depends on.
    fn vary(&self) -> &str {
        self.tokens.as_deref().map_or("Cookie", SessionToken::vary)
    }

    /// Whether the response gives the client an id, or takes one back.
    fn has_secret(&self) -> bool {
        self.cookie.is_some() || self.token.is_some()
    }

    fn cache_control(&self, own: &[String]) -> String {
        // Several lines are one list (RFC 9110, 5.3).
        let own = own.join(", ");
        let own = || elements(&own);
        // The handler knows what it does, unless a cookie or a token would be kept with the
        // response.
        if !self.has_secret() && own().next().is_some() {
            return own().collect::<Vec<_>>().join(", ");
        }
        // Not those that allow keeping it: `must-understand` would even take `no-store` back (RFC
        // 9111, 5.2.2.3).
        let stays = ["private", "no-cache", "must-revalidate", "proxy-revalidate", "no-transform"];
        let kept = own().filter(|one| stays.iter().any(|stay| one.eq_ignore_ascii_case(stay)));
        kept.chain(["no-store"]).collect::<Vec<_>>().join(", ")
    }
}

/// The elements of a list in which a comma can stand in a quoted string too (RFC 9110, 5.6.1 and
/// 5.6.4).
fn elements(list: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let is_comma = move |next: char| {
        let separates = next == ',' && !quoted;
        quoted ^= next == '"' && !escaped;
        escaped = next == '\\' && quoted && !escaped;
        separates
    };
    list.split(is_comma).map(str::trim).filter(|element| !element.is_empty())
}

/// What a header for some caches says beside a cookie.
fn targeted(own: &[String], forbidding: &str) -> String {
    let own = own.join(", ");
    let is_processing = |one: &&str| {
        PROCESSING.iter().any(|name| one.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
    };
    elements(&own).filter(is_processing).chain([forbidding]).collect::<Vec<_>>().join(", ")
}

fn vary(own: &[String], ours: &str) -> String {
    // `*` says already that it depends on more than headers (RFC 9110, 12.5.5).
    let everything = own.iter().flat_map(|value| value.split(',')).any(|name| name.trim() == "*");
    if everything {
        return "*".to_owned();
    }
    let mut names: Vec<&str> = own.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    names.retain(|name| !name.is_empty());
    for one in ours.split(',').map(str::trim_start) {
        if !names.iter().any(|name| name.eq_ignore_ascii_case(one)) {
            names.push(one);
        }
    }
    names.join(", ")
}

/// A list of quoted strings, which are compared as they are, with ours that are not in it at its
/// end. Without those that are no quoted string: an open quote would take ours in.
fn clear_site_data(own: &[String], ours: &str) -> String {
    let is_whole =
        |one: &&str| one.len() > 1 && one.starts_with('"') && one.ends_with('"') && elements(one).count() == 1;
    let mut list: Vec<&str> = own.iter().flat_map(|line| elements(line)).filter(is_whole).collect();
    for one in ours.split(", ") {
        if !list.contains(&one) {
            list.push(one);
        }
    }
    list.join(", ")
}

/// The headers of some server's response, so far as [`Finished::write_to`] must change them: two
/// methods, for an adapter.
pub trait ResponseHeaders {
    /// Takes out every header of this name, whatever its case, and gives their values in their
    /// order.
    fn take(&mut self, name: &str) -> Vec<String>;

    /// Adds a header beside those that are there.
    fn add(&mut self, name: &str, value: String);
}

impl ResponseHeaders for Vec<(String, String)> {
    fn take(&mut self, name: &str) -> Vec<String> {
        self.extract_if(.., |(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    fn add(&mut self, name: &str, value: String) {
        self.push((name.to_owned(), value));
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the values: there is a secret in them.
        let names: Vec<_> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("Finished").field("headers", &names).field("saved", &self.saved).finish_non_exhaustive()
    }
}
