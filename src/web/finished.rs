//! `Finished`: the headers that the end of a request adds to its response, merged with the
//! handler's.

use std::fmt;

use super::token::SessionToken;
use crate::session::Saved;
use crate::sync::Arc;

/// The end of a request: the headers that its response needs, and the outcome for the session.
///
/// | header | when |
/// |---|---|
/// | `Set-Cookie` | the client gets, renews or deletes its cookie |
/// | the [token's](super::TokenOptions::response_header) | the client gets, renews or deletes its token |
/// | `Cache-Control: no-store` | with every `Set-Cookie` and every token; and if the handler looked at a session that is not new, unless the handler set the header |
/// | `CDN-Cache-Control: no-store`, and similar headers | with a `Set-Cookie` or a token, if the handler set such a header |
/// | `Vary: Cookie`, or the token's header, or both | the handler looked at the session |
/// | `Clear-Site-Data` | with a logout, if [the options](super::CookieOptions::clear_site_data) ask for it |
///
/// The directive is not `no-cache="Set-Cookie"`, which few caches know. A cache that keeps a
/// response with its cookie logs the next user in as the previous one (CVE-2023-30861). A page made
/// from a session is private, so the back button must not show it after a logout. (If a response
/// deletes the cookie, browsers drop pages that they hold in memory. For sessions that end
/// elsewhere, and for the page that a login redirects to, see [rule 17](super::security).)
#[must_use = "its headers belong into the response, or the client never learns its id"]
pub struct Finished {
    pub(super) saved: Saved,
    pub(super) is_lost: bool,
    pub(super) cache_rule: CacheRule,
    pub(super) cookie: Option<String>,
    pub(super) token: Option<String>,
    /// The layer's reader and writer of tokens, if it has tokens.
    pub(super) tokens: Option<Arc<SessionToken>>,
    pub(super) clear_site_data: Option<String>,
}

/// How caches may use the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheRule {
    /// The handler did not look at the session, so the response is the same for every client.
    Public,
    /// The response may differ for another cookie.
    Varies,
    /// The response was made from a stored session.
    Private,
}

const SET_COOKIE: &str = "Set-Cookie";
const CACHE_CONTROL: &str = "Cache-Control";
/// The headers that caches in front of a site obey before `Cache-Control` or in place of it, each
/// with the value that forbids keeping a response (RFC 9213; Edge Architecture Specification; the
/// manuals of these caches). The last is for caches of HTTP/1.0.
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
/// The directives of these headers that say how a cache processes a response, for example with ESI.
/// They do not decide whether it is kept.
const PROCESSING: [&str; 2] = ["content=", "dca="];
const VARY: &str = "Vary";
const CLEAR_SITE_DATA: &str = "Clear-Site-Data";

/// Returns true for the headers that hold no secret, because they only instruct caches or browsers.
#[cfg(feature = "http")]
pub(super) fn is_for_caches(name: &str) -> bool {
    let names = [CACHE_CONTROL, VARY, CLEAR_SITE_DATA].into_iter().chain(TARGETED.map(|(name, _)| name));
    names.into_iter().any(|one| one.eq_ignore_ascii_case(name))
}

impl Finished {
    /// A `Finished` without a cookie or a token. The layer adds those.
    pub(super) fn new(saved: Saved, cache_rule: CacheRule, tokens: Option<Arc<SessionToken>>) -> Self {
        Self { saved, is_lost: false, cache_rule, cookie: None, token: None, tokens, clear_site_data: None }
    }

    /// The outcome for the session. [`Saved::Gone`] means that the session ended while the handler
    /// ran, or that a login in another request replaced its id; the handler's changes are lost.
    pub fn saved(&self) -> Saved {
        self.saved
    }

    /// Returns true if the handler's changes are lost, because the session ended or was superseded
    /// by a login while the handler ran. The handler's page may then be wrong.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The value of the `Set-Cookie` header, if the client gets, renews or deletes its cookie.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// The new token, if the layer [has tokens](super::SessionLayer::token) and the client gets
    /// one. After a logout the value is empty, and the client deletes its token.
    ///
    /// A token is as secret as a password: do not put it into a URL or a log.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The headers, names and values in visible ASCII, for a response that has none of these
    /// headers. For any other response use [`write_to`](Self::write_to).
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let no_store = self.has_secret() || self.cache_rule == CacheRule::Private;
        let headers = [
            (SET_COOKIE, self.cookie.as_deref()),
            (self.token_header().unwrap_or_default(), self.token_header().and(self.token.as_deref())),
            (CACHE_CONTROL, no_store.then_some("no-store")),
            (VARY, (self.cache_rule != CacheRule::Public).then_some(self.vary())),
            (CLEAR_SITE_DATA, self.clear_site_data.as_deref()),
        ];
        headers.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// Merges the headers into a response. The response's own `Set-Cookie` headers stay. The names
    /// are added to its `Vary`. If the response gets a `Set-Cookie` or a token, its `Cache-Control`
    /// loses the directives that allow keeping the response, and so do the headers that other
    /// caches obey: `Expires`, `CDN-Cache-Control` and those of Cloudflare, Vercel, Netlify, Akamai
    /// and `LiteSpeed`, `Surrogate-Control`, `Edge-Control` and nginx's `X-Accel-Expires`.
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
                _ if own.is_empty() => value.to_owned(),
                CACHE_CONTROL => self.cache_control(&own),
                VARY => vary(&own, value),
                CLEAR_SITE_DATA => clear_site_data(&own, value),
                // The layer's token replaces one that the handler set.
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

    /// Returns true if the response gives the client an id, or deletes one.
    fn has_secret(&self) -> bool {
        self.cookie.is_some() || self.token.is_some()
    }

    fn cache_control(&self, own: &[String]) -> String {
        // Several header lines form one list (RFC 9110, 5.3).
        let own = own.join(", ");
        let own = || elements(&own);
        // Without a cookie or a token in the response, the handler decides.
        if !self.has_secret() && own().next().is_some() {
            return own().collect::<Vec<_>>().join(", ");
        }
        // The other directives allow keeping the response. `must-understand` even cancels
        // `no-store` (RFC 9111, 5.2.2.3).
        let stays = ["private", "no-cache", "must-revalidate", "proxy-revalidate", "no-transform"];
        let kept = own().filter(|one| stays.iter().any(|stay| one.eq_ignore_ascii_case(stay)));
        kept.chain(["no-store"]).collect::<Vec<_>>().join(", ")
    }
}

/// The elements of a list. A comma in a quoted string does not separate (RFC 9110, 5.6.1 and
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

/// The value of a [`TARGETED`] header in a response with a cookie or a token.
fn targeted(own: &[String], forbidding: &str) -> String {
    let own = own.join(", ");
    let is_processing = |one: &&str| {
        PROCESSING.iter().any(|name| one.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
    };
    elements(&own).filter(is_processing).chain([forbidding]).collect::<Vec<_>>().join(", ")
}

fn vary(own: &[String], ours: &str) -> String {
    // `*` covers every header (RFC 9110, 12.5.5).
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

/// The handler's list of quoted strings, and those of `ours` that it lacks. Elements that are not
/// quoted strings are dropped, because an unclosed quote would extend over the strings of `ours`.
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

/// A server's response headers, for [`Finished::write_to`]. An adapter implements this trait for
/// its server.
pub trait ResponseHeaders {
    /// Removes every header of this name, ignoring ASCII case, and returns their values in order.
    fn take(&mut self, name: &str) -> Vec<String>;

    /// Adds a header, and keeps those of the same name.
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
        // The values hold a secret.
        let names: Vec<_> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("Finished").field("headers", &names).field("saved", &self.saved).finish_non_exhaustive()
    }
}
