//! A cookie as a browser reads it from a `Set-Cookie` (RFC 6265bis, 5.6), with nothing of the code
//! that writes ours.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::date::{cookie_date, delta_seconds};
use crate::web::{Priority, SameSite};

/// Browsers keep no cookie longer, in seconds (5.5).
const AGE_LIMIT: i64 = 400 * 24 * 60 * 60;

/// A cookie that a [`Browser`](super::Browser) has, or would have. Its `Debug` does not show the
/// value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Cookie {
    /// May be empty.
    pub name: String,
    /// As it stands there: quotes are part of it.
    pub value: String,
    /// When the browser drops it, by `Max-Age` or else by `Expires`; 1970 if it is to be dropped at
    /// once. `None`: it ends with the browser session.
    pub ends: Option<SystemTime>,
    /// The `Domain` without its dot in front; `None`: the host that set it alone.
    pub domain: Option<String>,
    /// The `Path`. In a browser a cookie without one has that of the request.
    pub path: Option<String>,
    /// `Secure`.
    pub secure: bool,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`; `None` is treated as `Lax`.
    pub same_site: Option<SameSite>,
    /// `Partitioned` (CHIPS, not of the RFC).
    pub partitioned: bool,
    /// Chromium's `Priority`.
    pub priority: Option<Priority>,
}

impl Cookie {
    /// Reads the text of a `Set-Cookie` header that arrived at `now`; `None` if browsers ignore it
    /// as a whole. An unknown or malformed attribute is passed over.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use lembro::testing::Cookie;
    ///
    /// let cookie = Cookie::parse("theme=dark; Max-Age=60; Secure", UNIX_EPOCH).unwrap();
    /// assert_eq!((&*cookie.name, &*cookie.value, cookie.secure), ("theme", "dark", true));
    /// assert_eq!(cookie.ends, Some(UNIX_EPOCH + Duration::from_secs(60)));
    /// ```
    pub fn parse(set_cookie: &str, now: SystemTime) -> Option<Self> {
        if set_cookie.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return None;
        }
        let mut parts = set_cookie.split(';');
        let pair = parts.next()?;
        let (name, value) = halves(pair).unwrap_or(("", without_blanks(pair)));
        if name.len() + value.len() > 4096 || name.is_empty() && value.is_empty() {
            return None;
        }
        let mut cookie = Self { name: name.to_owned(), value: value.to_owned(), ..Self::default() };
        // Of an attribute that comes twice the last one counts, and Max-Age before Expires.
        let (mut max_age, mut expires) = (None, None);
        for attribute in parts {
            let (name, value) = halves(attribute).unwrap_or((without_blanks(attribute), ""));
            match name.to_ascii_lowercase().as_str() {
                _ if value.len() > 1024 => {}
                "expires" => expires = cookie_date(value).or(expires),
                "max-age" => max_age = delta_seconds(value).or(max_age),
                _ => cookie.set(&name.to_ascii_lowercase(), value),
            }
        }
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let latest = now.saturating_add(AGE_LIMIT);
        let by_age = |age: i64| if age <= 0 { 0 } else { now.saturating_add(age) };
        let ends = max_age.map(by_age).or(expires).map(|at| at.min(latest).max(0).unsigned_abs());
        cookie.ends = ends.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        Some(cookie)
    }

    /// Takes in an attribute that is not about time.
    fn set(&mut self, attribute: &str, value: &str) {
        match attribute {
            "domain" if !value.is_empty() => {
                self.domain = Some(value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase());
            }
            "path" => self.path = value.starts_with('/').then(|| value.to_owned()),
            "secure" => self.secure = true,
            "httponly" => self.http_only = true,
            "partitioned" => self.partitioned = true,
            "samesite" => {
                let choices = [("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)];
                self.same_site = one_of(value, choices);
            }
            "priority" => {
                let choices = [("low", Priority::Low), ("medium", Priority::Medium), ("high", Priority::High)];
                self.priority = one_of(value, choices);
            }
            _ => {}
        }
    }

    /// Returns false if browsers drop the cookie because what it says of itself does not go
    /// together (5.7).
    pub(super) fn is_consistent(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let prefixed = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        // A server that reads such a cookie's text would take it for one with that name.
        let poses = name.is_empty() && self.value.to_ascii_lowercase().starts_with("__");
        let needs_secure = prefixed(&["__secure-", "__host-", "__http-"])
            || self.partitioned
            || self.same_site == Some(SameSite::None);
        !poses
            && (self.secure || !needs_secure)
            && (self.http_only || !prefixed(&["__http-", "__host-http-"]))
            && (!prefixed(&["__host-"]) || self.domain.is_none() && self.path.as_deref() == Some("/"))
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value: _, ends, domain, path, secure, http_only, same_site, partitioned, priority } = self;
        f.debug_struct("Cookie")
            .field("name", name)
            .field("ends", ends)
            .field("domain", domain)
            .field("path", path)
            .field("secure", secure)
            .field("http_only", http_only)
            .field("same_site", same_site)
            .field("partitioned", partitioned)
            .field("priority", priority)
            .finish_non_exhaustive()
    }
}

/// What stands before and after the first `=`, without blanks around it.
fn halves(pair: &str) -> Option<(&str, &str)> {
    let (name, value) = pair.split_once('=')?;
    Some((without_blanks(name), without_blanks(value)))
}

fn without_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn one_of<T: Copy, const N: usize>(value: &str, choices: [(&str, T); N]) -> Option<T> {
    choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, choice)| *choice)
}
