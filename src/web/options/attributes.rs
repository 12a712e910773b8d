//! The values that attributes of a cookie can have.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, Result};

/// Whether the browser sends the cookie over https alone.
///
/// serde reads `true`, `false`, `"always"`, `"auto"` and `"never"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Given")]
pub enum Secure {
    /// Over https alone, however the request came here: right behind every proxy that speaks https
    /// to the client.
    #[default]
    Always,
    /// Over https alone if the request came over https: for an application that is also used over
    /// plain http, say while it is developed. Behind a proxy see
    /// [`trust_proxy`](super::CookieOptions::trust_proxy). rouille reports its own TLS as plain
    /// http.
    Auto,
    /// Over plain http too. Every host on the same network can then read the cookie and be that
    /// user.
    Never,
}

impl From<bool> for Secure {
    fn from(secure: bool) -> Self {
        if secure { Self::Always } else { Self::Never }
    }
}

impl TryFrom<Given> for Secure {
    type Error = Error;

    fn try_from(given: Given) -> Result<Self> {
        let choices = [("always", Self::Always), ("auto", Self::Auto), ("never", Self::Never)];
        match given {
            Given::Flag(secure) => Ok(secure.into()),
            given => given.choose("secure", "true, false, ", choices),
        }
    }
}

/// Whether the browser sends the cookie along when another site links or posts to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Given")]
pub enum SameSite {
    /// Never, not even when a user follows a link: they arrive logged out.
    Strict,
    /// When a user follows a link, but not with another site's forms, pictures, scripts and
    /// sockets.
    #[default]
    Lax,
    /// Always. Any site can then send requests in the name of your users.
    None,
}

/// Until when the browser keeps the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Given")]
pub enum CookieLifetime {
    /// Until the browser is closed. (One that reopens its tabs may keep it longer.)
    BrowserSession,
    /// As long as the session has left: `Max-Age`, renewed as the session is used, at most once per
    /// [`touch_after`](crate::Policy::touch_after).
    Persistent,
    /// `Persistent` for [remembered](crate::Session::remember) sessions, `BrowserSession` for the
    /// others.
    #[default]
    Remembered,
}

/// Which cookies the browser gives up last when it has too many. Known to browsers built on
/// Chromium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Given")]
pub enum Priority {
    /// First to go.
    Low,
    /// As if nothing was said.
    Medium,
    /// Last to go.
    High,
}

/// What the browser is to forget of this site at a logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Given")]
pub enum SiteData {
    /// Pages and files in its cache.
    Cache,
    /// The cookies of the site and all its subdomains, this layer's and all others.
    Cookies,
    /// What scripts stored, and service workers.
    Storage,
}

impl TryFrom<Given> for SameSite {
    type Error = Error;

    fn try_from(given: Given) -> Result<Self> {
        given.choose("same_site", "", [("strict", Self::Strict), ("lax", Self::Lax), ("none", Self::None)])
    }
}

impl TryFrom<Given> for CookieLifetime {
    type Error = Error;

    fn try_from(given: Given) -> Result<Self> {
        let choices = [
            ("browser_session", Self::BrowserSession),
            ("persistent", Self::Persistent),
            ("remembered", Self::Remembered),
        ];
        given.choose("lifetime", "", choices)
    }
}

impl TryFrom<Given> for Priority {
    type Error = Error;

    fn try_from(given: Given) -> Result<Self> {
        given.choose("priority", "", [("low", Self::Low), ("medium", Self::Medium), ("high", Self::High)])
    }
}

impl TryFrom<Given> for SiteData {
    type Error = Error;

    fn try_from(given: Given) -> Result<Self> {
        let choices = [("cache", Self::Cache), ("cookies", Self::Cookies), ("storage", Self::Storage)];
        given.choose("clear_site_data", "", choices)
    }
}

/// A choice as a configuration file may have it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Flag(bool),
    Name(String),
    Other(IgnoredAny),
}

impl Given {
    /// The choice of this name, in whichever of the common spellings: `browser_session`,
    /// `browserSession`, `Lax`. `also` is what else the option takes.
    fn choose<T, const N: usize>(self, option: &'static str, also: &str, choices: [(&str, T); N]) -> Result<T> {
        let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
        let names = choices.each_ref().map(|(name, _)| format!("{name:?}")).join(", ");
        let given = match self {
            Self::Name(name) => name,
            Self::Flag(_) | Self::Other(_) => {
                return Err(Error::option(option, format!("neither of {also}{names}")));
            }
        };
        let chosen = choices.into_iter().find(|(name, _)| plain(name) == plain(&given));
        chosen
            .map(|(_, choice)| choice)
            .ok_or_else(|| Error::option(option, format!("{given:?} is none of {also}{names}")))
    }
}
