//! `CookieOptions`: the name, the attributes and the keys of the session cookie.

use serde::{Deserialize, Deserializer};

use super::attributes::{CookieLifetime, Priority, SameSite, Secure, SiteData};
use super::keys::{self, Key};
use crate::units::getters;
use crate::units::tree::read_table;

/// The options of the session cookie. Each has a default.
///
/// | option | what it sets | default |
/// |---|---|---|
/// | [`name`](Self::name) | the cookie's name | `id` |
/// | [`path`](Self::path) | the part of the site that gets the cookie | `/` |
/// | [`domain`](Self::domain) | the other hosts that get the cookie | none: this host alone |
/// | [`secure`](Self::secure) | whether the cookie is sent over https only | `Always` |
/// | [`trust_proxy`](Self::trust_proxy) | whether `Auto` believes a proxy about https | no |
/// | [`http_only`](Self::http_only) | whether scripts cannot read the cookie | yes |
/// | [`same_site`](Self::same_site) | whether other sites' links and forms bring the cookie | `Lax` |
/// | [`lifetime`](Self::lifetime) | how long the browser keeps the cookie | `Remembered` |
/// | [`partitioned`](Self::partitioned) | whether each site that embeds this one has a cookie of its own | no |
/// | [`priority`](Self::priority) | how soon Chromium drops the cookie when it has too many | not sent |
/// | [`keys`](Self::keys) | the keys of signatures, and their rotation | no signatures |
/// | [`clear_site_data`](Self::clear_site_data) | what else the browser deletes at a logout | nothing |
///
/// The server decides when the session ends, however long the browser keeps the cookie: see
/// [`Policy`](crate::Policy).
///
/// `get_name` and similar methods return the options, except the keys, which are secret. serde
/// reads the names in the table, also in camel case; `proxy` means `trust_proxy`, and `secret`
/// means `keys`. It refuses unknown names. [`SessionLayer::cookie`](super::SessionLayer::cookie)
/// checks the values.
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

    /// The name of the cookie. Default: `id`, which does not reveal the software.
    ///
    /// Change it if two applications share a host. With `__Host-id`, a neighbouring subdomain
    /// cannot plant a cookie, because browsers accept one of that name only over https, from this
    /// host and for all of its paths (RFC 6265bis, 4.1.3). A change of the name logs out all users.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The path under which the browser sends the cookie. Default: `/`, the whole site.
    ///
    /// Change it if the application lives under a path of its own. A path separates cookies, but
    /// does not protect them: scripts of another path on the same host can still act for the user
    /// (RFC 6265, 8.5).
    ///
    /// Write the path as browsers send it, beginning with `/`. The cookie of `/app` is sent with
    /// `/app` and `/app/cart`, but not with `/apple`; the cookie of `/app/` is not sent with
    /// `/app`. The layer refuses a path of more than 1,024 bytes, and one that cannot match because
    /// it has `?`, `#`, `//`, `..` or a character that browsers percent-encode (`/caf%C3%A9` is
    /// right).
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The domain whose hosts all get the cookie: `example.com` and every subdomain. Default: none,
    /// which is only the host that sets the cookie.
    ///
    /// Change it if several subdomains share one login. Then each of these subdomains can read the
    /// cookie, and an attacker who takes over one of them can act as each user who visits it.
    ///
    /// A domain is a host name of at least two labels; a dot in front is left out. The layer
    /// refuses a scheme, a port, a path, a wildcard, an address and a single label such as
    /// `localhost`: browsers drop such a cookie, or keep it for this host alone. Browsers also drop
    /// the cookie of a public suffix such as `co.uk`, and of a domain that does not include this
    /// host; the layer does not check that.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Whether the browser sends the cookie over https only. Default: [`Secure::Always`]. `true`
    /// and `false` stand for `Always` and `Never`.
    ///
    /// `Auto` is for an application that is used over plain http too, during development for
    /// example. `Never` is for experiments only: without `Secure` every host on the same network
    /// can read the cookie and act as its user (OWASP ASVS 5.0, 3.3.1).
    pub fn secure(mut self, secure: impl Into<Secure>) -> Self {
        self.secure = secure.into();
        self
    }

    /// Whether [`Secure::Auto`] believes the `X-Forwarded-Proto` header (else `Forwarded`, RFC
    /// 7239) of a request that came over plain http. Default: no.
    ///
    /// Switch it on behind a proxy that speaks https to the client and sets one of these headers.
    #[doc(alias = "proxy")]
    pub fn trust_proxy(mut self, trust: bool) -> Self {
        self.trust_proxy = trust;
        self
    }

    /// Whether the browser hides the cookie from the page's scripts. Default: yes.
    ///
    /// If it is switched off, one injected script can steal the session of every visitor (OWASP
    /// ASVS 5.0, 3.3.4).
    #[doc(alias = "httpOnly")]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Whether the browser sends the cookie when another site links or posts here. Default:
    /// [`SameSite::Lax`].
    ///
    /// `Strict` is for a site that other sites do not link to. `None` is for a page that other
    /// sites embed: then each form needs a [token](crate::Session::csrf_token) against forged
    /// requests (OWASP ASVS 5.0, 3.3.2). `None` requires `secure`.
    #[doc(alias = "sameSite")]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// How long the browser keeps the cookie. Default: [`CookieLifetime::Remembered`].
    ///
    /// With `Persistent` users are still logged in tomorrow. On a shared computer the next person
    /// then uses their session until it ends. `Remembered` lets each user choose.
    #[doc(alias("maxAge", "max_age", "expires", "rolling"))]
    pub fn lifetime(mut self, lifetime: CookieLifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Whether the browser keeps a separate cookie for each site that embeds this one (CHIPS).
    /// Default: no.
    ///
    /// It is for embedded pages, with [`SameSite::None`]. Requires `secure`.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// How soon a browser built on Chromium drops the cookie when it has too many. Default: the
    /// attribute is not sent, which means [`Priority::Medium`].
    ///
    /// `High` is for a site that sets hundreds of cookies.
    pub fn priority(mut self, priority: impl Into<Option<Priority>>) -> Self {
        self.priority = priority.into();
        self
    }

    /// The keys that sign the cookie, and the [token](super::TokenOptions) if the layer has one.
    /// The first key signs, all keys verify. Default: none, no signature.
    ///
    /// Each key is at least 32 bytes from a random source, and only the servers know it. The layer
    /// ignores a cookie with a wrong or missing signature, and does not ask the store for it.
    ///
    /// To change keys, put the new key first. The response to a request with an old key's cookie
    /// rewrites the cookie, except shortly before a timed renewal. Remove the old key later.
    /// Its removal logs out each client whose cookie is still signed with it.
    ///
    /// An id cannot be guessed with or without a signature. A signature keeps guesses away from the
    /// store, and makes an id from a stolen backup worthless.
    ///
    /// A configuration file may give a single key as a text instead of a list.
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

    /// Which data of the whole site the browser deletes when a user logs out (the `Clear-Site-Data`
    /// header). Default: none.
    ///
    /// `Cache` and `Storage` are for browsers that several people share (OWASP Session Management
    /// Cheat Sheet). Some browsers take seconds to clear a large cache. Only the response to a
    /// request that [logs out](crate::Session::log_out) has the header. Browsers ignore it over
    /// plain http, except from the loopback.
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

/// The fields of [`CookieOptions`] as a configuration file spells them.
#[derive(Deserialize)]
#[serde(remote = "CookieOptions", default = "CookieOptions::new", deny_unknown_fields)]
struct CookieFields {
    name: String,
    path: String,
    domain: Option<String>,
    secure: Secure,
    #[serde(alias = "proxy", alias = "trustProxy")]
    trust_proxy: bool,
    #[serde(alias = "httpOnly")]
    http_only: bool,
    #[serde(alias = "sameSite")]
    same_site: SameSite,
    lifetime: CookieLifetime,
    partitioned: bool,
    priority: Option<Priority>,
    #[serde(alias = "secret", deserialize_with = "keys::read")]
    keys: Option<Vec<Key>>,
    #[serde(alias = "clearSiteData")]
    clear_site_data: Vec<SiteData>,
}

impl<'de> Deserialize<'de> for CookieOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct CookieTable(#[serde(with = "CookieFields")] CookieOptions);

        read_table("cookie", deserializer).map(|CookieTable(options)| options)
    }
}
