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
    /// Over https alone, however the request came here: right behind every proxy that speaks https to the client.
    #[default]
    Always,
    /// Over https alone if the request came over https: for an application that is also used over plain http, say
    /// while it is developed. Behind a proxy see [`trust_proxy`](super::CookieOptions::trust_proxy).
    Auto,
    /// Over plain http too. Anybody on the same network can then read the cookie and be that user.
    Never,
}

impl From<bool> for Secure {
    fn from(secure: bool) -> Self {
        if secure { Self::Always } else { Self::Never }
    }
}

/// As a configuration file may have it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Given {
    Flag(bool),
    Name(String),
    Other(IgnoredAny),
}

impl TryFrom<Given> for Secure {
    type Error = Error;

    fn try_from(given: Given) -> Result<Self> {
        const CHOICES: &str = "true, false, \"always\", \"auto\" or \"never\"";
        match given {
            Given::Flag(secure) => Ok(secure.into()),
            Given::Name(name) => match name.as_str() {
                "always" => Ok(Self::Always),
                "auto" => Ok(Self::Auto),
                "never" => Ok(Self::Never),
                _ => Err(Error::option("secure", format!("{name:?} is not {CHOICES}"))),
            },
            Given::Other(_) => Err(Error::option("secure", format!("neither of {CHOICES}"))),
        }
    }
}

/// Whether the browser sends the cookie along when another site links or posts to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// Never, not even when somebody follows a link: they arrive logged out.
    #[serde(alias = "Strict")]
    Strict,
    /// When somebody follows a link, but not with another site's forms, pictures, scripts and sockets.
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
    /// As long as the session has left: `Max-Age`, renewed as the session is used, at most once per
    /// [`touch_after`](crate::Policy::touch_after).
    Persistent,
    /// `Persistent` for sessions with [a timeout of their own](crate::Session::set_timeout), `BrowserSession` for the
    /// others: a "remember me" box.
    Remembered,
}

/// Which cookies the browser gives up last when it has too many. Known to browsers built on Chromium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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
#[serde(rename_all = "lowercase")]
pub enum SiteData {
    /// Pages and files in its cache.
    Cache,
    /// The cookies of the site and all its subdomains, this layer's and everybody else's.
    Cookies,
    /// What scripts stored, and service workers.
    Storage,
}
