//! The options of the session cookie, checked in one place.

mod attributes;
mod check;
mod grammar;
mod read;

pub use self::attributes::{CookieLifetime, Priority, SameSite, Secure, SiteData};
pub(super) use self::check::MAX_AGE;
pub(super) use self::grammar::is_token;
use super::keys::Key;
use crate::units::getters;

/// The options of the session cookie. None of them is needed.
///
/// | option | what it is | default |
/// |---|---|---|
/// | [`name`](Self::name) | what the cookie is called | `id` |
/// | [`path`](Self::path) | which part of the site gets it | `/` |
/// | [`domain`](Self::domain) | which other hosts get it | none: this host alone |
/// | [`secure`](Self::secure) | only over https | `Always` |
/// | [`trust_proxy`](Self::trust_proxy) | whether `Auto` believes a proxy about https | no |
/// | [`http_only`](Self::http_only) | hidden from scripts | yes |
/// | [`same_site`](Self::same_site) | whether other sites' links and forms bring it | `Lax` |
/// | [`lifetime`](Self::lifetime) | until when the browser keeps it | `Remembered` |
/// | [`partitioned`](Self::partitioned) | one for each site that embeds this one | no |
/// | [`priority`](Self::priority) | which cookies Chromium gives up last | not said |
/// | [`keys`](Self::keys) | signatures, and their rotation | none |
/// | [`clear_site_data`](Self::clear_site_data) | what else a logout makes the browser forget | nothing |
///
/// However long the browser keeps the cookie, the server decides when the session ends: see
/// [`Policy`](crate::Policy).
///
/// `get_name` and its like return the options, but for the keys, which are secret.
///
/// Read by serde under these names, `httpOnly`, `sameSite`, `proxy` and `secret` too; anything
/// unknown is refused. The values are checked by
/// [`SessionLayer::cookie`](super::SessionLayer::cookie).
///
/// # Examples
///
/// ```
/// use lembro::LembroStore;
/// use lembro::web::{CookieLifetime, CookieOptions, SameSite, SessionLayer};
///
/// let options = CookieOptions::new().name("__Host-id").same_site(SameSite::Strict).lifetime(CookieLifetime::Persistent);
/// let layer = SessionLayer::new(LembroStore::new()?).cookie(options.clone())?;
///
/// let same = r#"{"name": "__Host-id", "sameSite": "strict", "lifetime": "persistent"}"#;
/// assert_eq!(serde_json::from_str::<CookieOptions>(same).unwrap(), options);
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct CookieOptions {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) domain: Option<String>,
    pub(super) secure: Secure,
    pub(super) trust_proxy: bool,
    pub(super) http_only: bool,
    pub(super) same_site: SameSite,
    pub(super) lifetime: CookieLifetime,
    pub(super) partitioned: bool,
    pub(super) priority: Option<Priority>,
    pub(super) keys: Option<Vec<Key>>,
    pub(super) clear_site_data: Vec<SiteData>,
}

impl CookieOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name of the cookie. Default: `id`, which does not say what software runs here.
    ///
    /// Change it when two applications share a host, or to `__Host-id`: browsers take a cookie so
    /// named only over https, from this very host and for the whole of it, so that no neighbouring
    /// subdomain can plant one (RFC 6265bis, 4.1.3). Those who use the old name are logged out by
    /// the change.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The path under which the browser sends the cookie. Default: `/`, everywhere.
    ///
    /// Change it when an application lives under a path of its own. It keeps cookies apart but
    /// protects nothing: scripts of another path on the same host can still act for the user (RFC
    /// 6265, 8.5).
    ///
    /// It is written as browsers send it, and begins with `/`. `/app` is sent with `/app` and
    /// `/app/cart`, but not with `/apple`; `/app/` not with `/app`. What no request's path can
    /// begin with is refused: `?`, `#`, `//`, `..`, and characters that browsers percent-encode
    /// (`/caf%C3%A9` is right). A path of more than 1,024 bytes is refused too.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The domain whose hosts all get the cookie: `example.com` and every subdomain. Default: none,
    /// only the host that sets it.
    ///
    /// Change it when several subdomains share one login. Then each of them, and an attacker who
    /// takes one over, can read the cookie and be any of its users.
    ///
    /// It is a host name of at least two labels; a dot in front is left out. A scheme, a port, a
    /// path, a wildcard, an address or a single label such as `localhost` is refused: browsers drop
    /// such a cookie, or keep it for this host alone. They drop the cookie of a public suffix such
    /// as `co.uk` too, and of a domain that this host is no part of; that is not checked.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Whether the browser sends the cookie over https alone. Default: [`Secure::Always`]. `true`
    /// and `false` stand for `Always` and `Never`.
    ///
    /// `Auto` for an application that is used over plain http too, say while it is developed;
    /// `Never` only to try things out: without `Secure` every host on the same network can read the
    /// cookie and be that user (OWASP ASVS 5.0, 3.3.1).
    pub fn secure(mut self, secure: impl Into<Secure>) -> Self {
        self.secure = secure.into();
        self
    }

    /// Whether [`Secure::Auto`] believes the `X-Forwarded-Proto` (else the `Forwarded`, RFC 7239)
    /// of a request that came over plain http. Default: no.
    ///
    /// Switch it on behind a proxy that speaks https to the client and sets one of these headers.
    #[doc(alias = "proxy")]
    pub fn trust_proxy(mut self, trust: bool) -> Self {
        self.trust_proxy = trust;
        self
    }

    /// Whether the page's scripts are kept from reading the cookie. Default: yes.
    ///
    /// There is hardly a reason to switch it off: one injected script could then carry every
    /// visitor's session away (OWASP ASVS 5.0, 3.3.4).
    #[doc(alias = "httpOnly")]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Whether the browser sends the cookie when another site links or posts here. Default:
    /// [`SameSite::Lax`].
    ///
    /// `Strict` for what no other site links into. `None` for what is embedded in other sites: then
    /// each form needs a token of its own against forged requests (OWASP ASVS 5.0, 3.3.2). Requires
    /// `secure`.
    #[doc(alias = "sameSite")]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Until when the browser keeps the cookie. Default: [`CookieLifetime::Remembered`].
    ///
    /// `Persistent` for those who want to find themselves logged in tomorrow; on a shared computer
    /// the next person does too, until the session ends. `Remembered` lets each user choose.
    #[doc(alias("maxAge", "max_age", "expires", "rolling"))]
    pub fn lifetime(mut self, lifetime: CookieLifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Whether a browser that embeds this site in others keeps a cookie of its own for each of them
    /// (CHIPS). Default: no.
    ///
    /// For what is embedded, with [`SameSite::None`]. Requires `secure`.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// Which cookies a browser built on Chromium gives up last when it has too many. Default:
    /// nothing is said, which is [`Priority::Medium`].
    ///
    /// `High` where one site sets cookies by the hundred.
    pub fn priority(mut self, priority: impl Into<Option<Priority>>) -> Self {
        self.priority = priority.into();
        self
    }

    /// Keys to sign the cookie with, and the [token](super::TokenOptions) if there is one: the
    /// first signs, all of them verify. Default: none, no signature.
    ///
    /// Each is at least 32 bytes from a random source, known to the servers alone. To change keys
    /// put the new one first; cookies of the old one are written again at their next request, but
    /// not shortly before a timed renewal; take the old one out when clients that still have them
    /// may be logged out. A cookie with a wrong signature, or none, is no session, and the store is
    /// not even asked.
    ///
    /// In a configuration file a single key may stand without its list.
    ///
    /// An id cannot be guessed with or without it. A signature keeps those who guess away from the
    /// store, and makes an id from a stolen backup worthless.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, web::{CookieOptions, SessionLayer}};
    /// # let (new_key, old_key) = ([7; 32], [8; 32]);
    /// let options = CookieOptions::new().keys([new_key, old_key]);
    /// SessionLayer::new(LembroStore::new()?).cookie(options)?;
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias = "secret")]
    pub fn keys<K: AsRef<[u8]>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.keys = Some(keys.into_iter().map(|key| Key::new(key.as_ref())).collect());
        self
    }

    /// What the browser is to forget of the whole site when a user logs out (the `Clear-Site-Data`
    /// header). Default: nothing.
    ///
    /// `Cache` and `Storage` where others use the same browser (OWASP Session Management Cheat
    /// Sheet). Some browsers take seconds to clear a large cache. Sent only by a request that
    /// [logs out](crate::Session::log_out). Browsers ignore it over plain http, except from the
    /// loopback.
    pub fn clear_site_data(mut self, data: impl IntoIterator<Item = SiteData>) -> Self {
        self.clear_site_data = data.into_iter().collect();
        self
    }

    getters! { options:
        get_name name -> &str { &options.name }
        get_path path -> &str { &options.path }
        get_domain domain -> Option<&str> { options.domain.as_deref() }
        get_secure secure -> Secure { options.secure }
        get_trust_proxy trust_proxy -> bool { options.trust_proxy }
        get_http_only http_only -> bool { options.http_only }
        get_same_site same_site -> SameSite { options.same_site }
        get_lifetime lifetime -> CookieLifetime { options.lifetime }
        get_partitioned partitioned -> bool { options.partitioned }
        get_priority priority -> Option<Priority> { options.priority }
        get_clear_site_data clear_site_data -> &[SiteData] { &options.clear_site_data }
    }
}

impl Default for CookieOptions {
    fn default() -> Self {
        Self {
            name: "id".to_owned(),
            path: "/".to_owned(),
            domain: None,
            secure: Secure::default(),
            trust_proxy: false,
            http_only: true,
            same_site: SameSite::default(),
            lifetime: CookieLifetime::default(),
            partitioned: false,
            priority: None,
            keys: None,
            clear_site_data: Vec::new(),
        }
    }
}
