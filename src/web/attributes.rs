//! The values of the cookie's attributes: `Secure`, `SameSite`, `CookieLifetime`, `Priority`,
//! `SiteData`.

use crate::units::choice;

/// Whether the browser sends the cookie over https only.
///
/// serde reads `true`, `false`, `"always"`, `"auto"` and `"never"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secure {
    /// Over https only, whether or not this request came over https. This is also the right value
    /// behind a proxy that speaks https to the client.
    #[default]
    Always,
    /// Over https only if this request came over https. It is for an application that is also used
    /// over plain http, during development for example. Behind a proxy see
    /// [`trust_proxy`](super::CookieOptions::trust_proxy). rouille reports requests over its own
    /// TLS as plain http.
    Auto,
    /// Over plain http too. Then every host on the same network can read the cookie and act as its
    /// user.
    Never,
}

choice!(Secure, "secure", ["always" => Always, "auto" => Auto, "never" => Never], flags [Self::Always, Self::Never]);

impl From<bool> for Secure {
    fn from(secure: bool) -> Self {
        if secure { Self::Always } else { Self::Never }
    }
}

/// Whether the browser sends the cookie when another site links or posts to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

choice!(SameSite, "same_site", ["strict" => Strict, "lax" => Lax, "none" => None]);

/// How long the browser keeps the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

choice!(CookieLifetime, "lifetime", [
    "browser_session" => BrowserSession,
    "persistent" => Persistent,
    "remembered" => Remembered,
]);

/// Which cookies the browser drops last when it has too many. Only browsers built on Chromium know
/// this attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Dropped first.
    Low,
    /// The same as without the attribute.
    Medium,
    /// Dropped last.
    High,
}

choice!(Priority, "priority", ["low" => Low, "medium" => Medium, "high" => High]);

/// Data of this site that the browser deletes at a logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteData {
    /// The pages and files in the browser's cache.
    Cache,
    /// All cookies of the site and its subdomains, not only the layer's.
    Cookies,
    /// The storage of scripts, and service workers.
    Storage,
}

choice!(SiteData, "clear_site_data", ["cache" => Cache, "cookies" => Cookies, "storage" => Storage]);
