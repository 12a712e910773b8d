//! A cookie as a browser reads it from a `Set-Cookie` (RFC 6265bis, 5.6). It shares no code
//! with the layer that writes cookies.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::web::{Priority, SameSite};

/// The longest time that browsers keep a cookie, in seconds (5.5).
const AGE_LIMIT: i64 = 400 * 24 * 60 * 60;

/// A cookie of a [`Browser`](super::Browser). Its `Debug` does not show the value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Cookie {
    /// The name, which may be empty.
    pub name: String,
    /// The value, with its quotes if it has any.
    pub value: String,
    /// When the browser drops the cookie, by `Max-Age` or else by `Expires`; 1970 means at once.
    /// `None`: when the browser is closed.
    pub ends: Option<SystemTime>,
    /// The `Domain` without its leading dot. `None`: it is sent only to the host that set it.
    pub domain: Option<String>,
    /// The `Path`. `None`: the browser takes the folder of the request's path.
    pub path: Option<String>,
    /// `Secure`.
    pub secure: bool,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`. `None` is treated as `Lax`.
    pub same_site: Option<SameSite>,
    /// `Partitioned` (from CHIPS, not from the RFC).
    pub partitioned: bool,
    /// Chromium's `Priority`.
    pub priority: Option<Priority>,
}

impl Cookie {
    /// Reads the text of a `Set-Cookie` header that arrives at `now`. `None` if browsers ignore the
    /// whole text. Unknown and malformed attributes are skipped.
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
        // If an attribute is repeated, the last one counts. Max-Age takes precedence over Expires.
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

    /// Sets an attribute that is not about time.
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

    /// Returns false if browsers drop the cookie because its name and attributes contradict each
    /// other (5.7).
    pub(super) fn is_consistent(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let prefixed = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        // Only the value of a nameless cookie is sent, and a server would read a name from it.
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

/// The texts before and after the first `=`, without blanks around them.
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

/// Reads a `Max-Age` (5.6.2). If it does not fit, the result is the largest `i64` with its sign.
fn delta_seconds(value: &str) -> Option<i64> {
    let (sign, digits) = value.strip_prefix('-').map_or((1, value), |digits| (-1, digits));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(sign * digits.parse().unwrap_or(i64::MAX))
}

/// Reads an `Expires`, in seconds since 1970. The form of each token says which part of the date it
/// is (5.1.1).
fn cookie_date(text: &str) -> Option<i64> {
    let is_delimiter = |c: char| matches!(c, '\t' | ' '..='/' | ';'..='@' | '['..='`' | '{'..='~');
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(is_delimiter).filter(|token| !token.is_empty()) {
        if time.is_none() && hms(token).is_some() {
            time = hms(token);
        } else if day.is_none() && number(token, 1..=2).is_some() {
            day = number(token, 1..=2);
        } else if month.is_none() && month_of(token).is_some() {
            month = month_of(token);
        } else if year.is_none() && number(token, 2..=4).is_some() {
            year = number(token, 2..=4);
        }
    }
    let year = match year? {
        short @ 70..=99 => short + 1900,
        short @ 0..=69 => short + 2000,
        year => year,
    };
    let ((hour, minute, second), day) = (time?, day?);
    if !(1..=31).contains(&day) || year < 1601 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((days(year, month?, day) * 24 + hour) * 3600 + minute * 60 + second)
}

fn hms(token: &str) -> Option<(i64, i64, i64)> {
    let mut parts = token.splitn(3, ':');
    let mut whole = || parts.next().filter(|part| part.len() <= 2).and_then(|part| number(part, 1..=2));
    let (hour, minute) = (whole()?, whole()?);
    Some((hour, minute, number(parts.next()?, 1..=2)?))
}

/// The number at the start of a token, if its number of digits is in the range.
fn number(token: &str, digits: RangeInclusive<usize>) -> Option<i64> {
    let end = token.find(|c: char| !c.is_ascii_digit()).unwrap_or(token.len());
    digits.contains(&end).then(|| token[..end].parse().ok())?
}

fn month_of(token: &str) -> Option<i64> {
    let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = token.get(..3)?.to_ascii_lowercase();
    months.iter().position(|month| *month == start).and_then(|place| i64::try_from(place + 1).ok())
}

/// The days from 1970-01-01 to a date in the Gregorian calendar. Years are counted from March, so
/// that a leap day is the last day of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 719_469
}
