//! The options of the session cookie, checked in one place.

use serde::Deserialize;

use super::cookie::SessionCookie;
use crate::error::{Error, Result};

/// The most bytes of a cookie, attributes included, that every browser is sure to keep (RFC 6265, 6.1).
const MAX_COOKIE: usize = 4096;

/// Longer attributes are ignored by browsers (RFC 6265bis, 5.6): the cookie would go where it was not meant to.
const MAX_ATTRIBUTE: usize = 1024;

/// The options of the session cookie. None of them is needed.
///
/// | option | what it is | default |
/// |---|---|---|
/// | [`name`](Self::name) | what the cookie is called | `id` |
/// | [`path`](Self::path) | which part of the site gets it | `/` |
/// | [`domain`](Self::domain) | which other hosts get it | none: this host alone |
/// | [`secure`](Self::secure) | only over https | yes |
/// | [`http_only`](Self::http_only) | hidden from scripts | yes |
/// | [`same_site`](Self::same_site) | whether other sites' links and forms bring it | `Lax` |
/// | [`lifetime`](Self::lifetime) | until when the browser keeps it | the browser session |
///
/// However long the browser keeps the cookie, the server decides when the session ends: see [`Policy`](crate::Policy).
///
/// Read by serde under these names, `httpOnly` and `sameSite` too; anything unknown is refused. The values are checked
/// by [`SessionLayer::cookie`](super::SessionLayer::cookie).
///
/// # Examples
///
/// ```
/// use lembro::LembroStore;
/// use lembro::http::{CookieLifetime, CookieOptions, SameSite, SessionLayer};
///
/// let options = CookieOptions::new().name("__Host-id").same_site(SameSite::Strict).lifetime(CookieLifetime::Persistent);
/// let layer = SessionLayer::new(LembroStore::new()?).cookie(options.clone())?;
///
/// let same = r#"{"name": "__Host-id", "sameSite": "strict", "lifetime": "persistent"}"#;
/// assert_eq!(serde_json::from_str::<CookieOptions>(same).unwrap(), options);
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct CookieOptions {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) domain: Option<String>,
    pub(super) secure: bool,
    #[serde(alias = "httpOnly")]
    pub(super) http_only: bool,
    #[serde(alias = "sameSite")]
    pub(super) same_site: SameSite,
    pub(super) lifetime: CookieLifetime,
}

/// Whether the browser sends the cookie along when another site links or posts to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// Never, not even when somebody follows a link: they arrive logged out.
    #[serde(alias = "Strict")]
    Strict,
    /// When somebody follows a link, but not with another site's forms, pictures and scripts.
    #[default]
    #[serde(alias = "Lax")]
    Lax,
    /// Always. Any site can then send requests in the name of your users.
    #[serde(alias = "None")]
    None,
}

/// Until when the browser keeps the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CookieLifetime {
    /// Until the browser is closed. (One that reopens its tabs may keep it longer.)
    #[default]
    #[serde(alias = "browser-session", alias = "browserSession")]
    BrowserSession,
    /// As long as the session has left: `Max-Age`, renewed whenever the session is prolonged.
    Persistent,
}

impl CookieOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name of the cookie. Default: `id`, which tells nobody what software runs here.
    ///
    /// Change it when two applications share a host, or to `__Host-id`: browsers take a cookie so named only over https,
    /// from this very host and for the whole of it, so that no neighbouring subdomain can plant one (RFC 6265bis, 4.1.3).
    /// Those who use the old name are logged out by the change.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The path under which the browser sends the cookie. Default: `/`, everywhere.
    ///
    /// Change it when an application lives under a path of its own. It keeps cookies apart but protects nothing: scripts
    /// of another path on the same host can still act for the user (RFC 6265, 8.5).
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The domain whose hosts all get the cookie: `example.com` and every subdomain. Default: none, only the host that
    /// sets it.
    ///
    /// Change it when several subdomains share one login. Then each of them, and whoever takes one over, can read the
    /// cookie and be any of its users.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Whether the browser sends the cookie over https alone. Default: yes.
    ///
    /// Switch it off only to try things out over plain http: without it anybody on the same network can read the cookie and
    /// be that user (OWASP ASVS 5.0, 3.3.1).
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Whether the page's scripts are kept from reading the cookie. Default: yes.
    ///
    /// There is hardly a reason to switch it off: one injected script could then carry every visitor's session away
    /// (OWASP ASVS 5.0, 3.3.4).
    #[doc(alias = "httpOnly")]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Whether the browser sends the cookie when another site links or posts here. Default: [`SameSite::Lax`].
    ///
    /// `Strict` for what nobody links into. `None` for what is embedded in other sites: then each form needs a token of
    /// its own against forged requests (OWASP ASVS 5.0, 3.3.2). Requires `secure`.
    #[doc(alias = "sameSite")]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Until when the browser keeps the cookie. Default: [`CookieLifetime::BrowserSession`].
    ///
    /// `Persistent` for those who want to find themselves logged in tomorrow. On a shared computer the next person does
    /// too, until the session ends.
    #[doc(alias("maxAge", "max_age"))]
    pub fn lifetime(mut self, lifetime: CookieLifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Refuses what browsers would drop, cut short or misread.
    pub(super) fn check(&self) -> Result<()> {
        self.check_name()?;
        self.check_path()?;
        self.check_domain()?;
        if self.same_site == SameSite::None && !self.secure {
            return Err(Error::option("same_site", "None needs secure, or browsers drop the cookie"));
        }
        self.check_prefix()?;
        let bytes = SessionCookie::longest(self).len();
        if bytes > MAX_COOKIE {
            let problem = format!("it would take {bytes} bytes, and browsers keep {MAX_COOKIE}");
            return Err(Error::option("cookie", problem));
        }
        Ok(())
    }

    /// RFC 6265, 4.1.1: the name is a token.
    fn check_name(&self) -> Result<()> {
        let name = &self.name;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            let problem = format!("{name:?} is not a cookie name: letters, digits and !#$%&'*+-.^_`|~, at least one");
            return Err(Error::option("name", problem));
        }
        Ok(())
    }

    fn check_path(&self) -> Result<()> {
        let path = &self.path;
        if !path.starts_with('/') || !path.bytes().all(in_attribute) || path.len() > MAX_ATTRIBUTE {
            let problem =
                format!("{path:?} is not a cookie path: \"/\" first, then ASCII without \";\", up to 1,024 bytes");
            return Err(Error::option("path", problem));
        }
        Ok(())
    }

    fn check_domain(&self) -> Result<()> {
        let Some(domain) = &self.domain else { return Ok(()) };
        let host = domain.strip_prefix('.').unwrap_or(domain);
        let visible = |byte: u8| in_attribute(byte) && byte != b' ';
        if host.is_empty() || !domain.bytes().all(visible) || domain.len() > MAX_ATTRIBUTE {
            let problem = format!("{domain:?} is not a cookie domain such as \"example.com\"");
            return Err(Error::option("domain", problem));
        }
        Ok(())
    }

    /// RFC 6265bis, 4.1.3: browsers drop a cookie that does not live up to its name. They read the prefix in either case.
    fn check_prefix(&self) -> Result<()> {
        let is = |prefix: &str| self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let (host, secure) = (is("__Host-"), is("__Secure-"));
        let problem = match self {
            Self { secure: false, .. } if host || secure => "needs secure",
            Self { domain: Some(_), .. } if host => "must not have a domain",
            Self { path, .. } if host && path != "/" => "must have the path \"/\"",
            _ => return Ok(()),
        };
        Err(Error::option("name", format!("a cookie named {:?} {problem}, or browsers drop it", self.name)))
    }
}

impl Default for CookieOptions {
    fn default() -> Self {
        Self {
            name: "id".to_owned(),
            path: "/".to_owned(),
            domain: None,
            secure: true,
            http_only: true,
            same_site: SameSite::default(),
            lifetime: CookieLifetime::default(),
        }
    }
}

/// RFC 6265, 4.1.1: an attribute is ASCII without control characters and semicolons.
fn in_attribute(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b';'
}
