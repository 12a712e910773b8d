//! The values that attributes of a cookie can have.

use crate::units::choice;

/// Whether the browser sends the cookie over https alone.
///
/// serde reads `true`, `false`, `"always"`, `"auto"` and `"never"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

choice!(Secure, "secure", ["always" => Always, "auto" => Auto, "never" => Never], flags [Self::Always, Self::Never]);

/// Whether the browser sends the cookie along when another site links or posts to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

choice!(SameSite, "same_site", ["strict" => Strict, "lax" => Lax, "none" => None]);

/// Until when the browser keeps the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

choice!(CookieLifetime, "lifetime", ["browser_session" => BrowserSession, "persistent" => Persistent, "remembered" => Remembered]);

/// Which cookies the browser gives up last when it has too many. Known to browsers built on
/// Chromium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// First to go.
    Low,
    /// As if nothing was said.
    Medium,
    /// Last to go.
    High,
}

choice!(Priority, "priority", ["low" => Low, "medium" => Medium, "high" => High]);

/// What the browser is to forget of this site at a logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteData {
    /// Pages and files in its cache.
    Cache,
    /// The cookies of the site and all its subdomains, this layer's and all others.
    Cookies,
    /// What scripts stored, and service workers.
    Storage,
}

choice!(SiteData, "clear_site_data", ["cache" => Cache, "cookies" => Cookies, "storage" => Storage]);
