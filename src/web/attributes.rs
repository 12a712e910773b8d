//! The values of the cookie's attributes: `Secure`, `SameSite`, `CookieLifetime`, `Priority`,
//! `SiteData`.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, Result};

/// Whether the browser sends the cookie over https only.
///
/// serde reads `true`, `false`, `"always"`, `"auto"` and `"never"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawChoice")]
pub enum Secure {
    /// Over https only, whether or not this request came over https. It is right behind every proxy
    /// that speaks https to the client.
    #[default]
    Always,
    /// Over https only if this request came over https. It is for an application that is also used
    /// over plain http, during development for example. Behind a proxy see
    /// [`trust_proxy`](super::CookieOptions::trust_proxy). rouille reports its own TLS as plain
    /// http.
    Auto,
    /// Over plain http too. Then every host on the same network can read the cookie and act as its
    /// user.
    Never,
}

impl From<bool> for Secure {
    fn from(secure: bool) -> Self {
        if secure { Self::Always } else { Self::Never }
    }
}

impl TryFrom<RawChoice> for Secure {
    type Error = Error;

    fn try_from(raw: RawChoice) -> Result<Self> {
        let choices = [("always", Self::Always), ("auto", Self::Auto), ("never", Self::Never)];
        match raw {
            RawChoice::Flag(secure) => Ok(secure.into()),
            raw => raw.choose("secure", "true, false, ", choices),
        }
    }
}

/// Whether the browser sends the cookie when another site links or posts to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawChoice")]
pub enum SameSite {
    /// Never. A user who follows a link from another site arrives logged out.
    Strict,
    /// When a user follows a link, but not with another site's forms, pictures, scripts and
    /// sockets.
    #[default]
    Lax,
    /// Always. Then any site can send requests in the name of your users.
    None,
}

impl TryFrom<RawChoice> for SameSite {
    type Error = Error;

    fn try_from(raw: RawChoice) -> Result<Self> {
        raw.choose("same_site", "", [("strict", Self::Strict), ("lax", Self::Lax), ("none", Self::None)])
    }
}

/// How long the browser keeps the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawChoice")]
pub enum CookieLifetime {
    /// Until the browser is closed. A browser that reopens its tabs may keep the cookie longer.
    BrowserSession,
    /// For the time that the session has left (`Max-Age`). The cookie is sent again as the session
    /// is used, at most once per [`touch_after`](crate::Policy::touch_after).
    Persistent,
    /// `Persistent` for [remembered](crate::Session::remember) sessions, `BrowserSession` for the
    /// others.
    #[default]
    Remembered,
}

impl TryFrom<RawChoice> for CookieLifetime {
    type Error = Error;

    fn try_from(raw: RawChoice) -> Result<Self> {
        let choices = [
            ("browser_session", Self::BrowserSession),
            ("persistent", Self::Persistent),
            ("remembered", Self::Remembered),
        ];
        raw.choose("lifetime", "", choices)
    }
}

/// Which cookies the browser drops last when it has too many. Only browsers built on Chromium know
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawChoice")]
pub enum Priority {
    /// Dropped first.
    Low,
    /// As without the attribute.
    Medium,
    /// Dropped last.
    High,
}

impl TryFrom<RawChoice> for Priority {
    type Error = Error;

    fn try_from(raw: RawChoice) -> Result<Self> {
        raw.choose("priority", "", [("low", Self::Low), ("medium", Self::Medium), ("high", Self::High)])
    }
}

/// Data of this site that the browser deletes at a logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawChoice")]
pub enum SiteData {
    /// The pages and files in the browser's cache.
    Cache,
    /// All cookies of the site and its subdomains, not only the layer's.
    Cookies,
    /// The storage of scripts, and service workers.
    Storage,
}

impl TryFrom<RawChoice> for SiteData {
    type Error = Error;

    fn try_from(raw: RawChoice) -> Result<Self> {
        let choices = [("cache", Self::Cache), ("cookies", Self::Cookies), ("storage", Self::Storage)];
        raw.choose("clear_site_data", "", choices)
    }
}

/// A choice as a configuration file has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawChoice {
    Flag(bool),
    Name(String),
    Other(IgnoredAny),
}

impl RawChoice {
    /// The choice of this name, in any of the common spellings: `browser_session`,
    /// `browserSession`, `Lax`. `also` lists the option's other values for the error.
    fn choose<T, const N: usize>(self, option: &'static str, also: &str, choices: [(&str, T); N]) -> Result<T> {
        let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
        let names = choices.each_ref().map(|(name, _)| format!("{name:?}")).join(", ");
        let Self::Name(given) = self else {
            return Err(Error::option(option, format!("neither of {also}{names}")));
        };
        let chosen = choices.into_iter().find(|(name, _)| plain(name) == plain(&given));
        chosen
            .map(|(_, choice)| choice)
            .ok_or_else(|| Error::option(option, format!("{given:?} is none of {also}{names}")))
    }
}
