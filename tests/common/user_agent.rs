//! What a browser makes of `Set-Cookie`: RFC 6265bis, 5.6 and 5.7, step by step, with nothing of the code under test.
#![allow(dead_code, reason = "each test file uses a part of it")]

/// 5.5: browsers keep no cookie longer, in seconds.
const AGE_LIMIT: i64 = 400 * 24 * 60 * 60;

/// A cookie as it was set; times in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) name: String,
    pub(crate) value: String,
    /// When it ends, by `Max-Age` or else by `Expires`; none: with the browser session.
    pub(crate) ends: Option<i64>,
    pub(crate) domain: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: Option<String>,
    pub(crate) partitioned: bool,
    pub(crate) priority: Option<String>,
}

/// 5.6: reads a `Set-Cookie` text that arrived at `now`; `None` if it is ignored entirely.
pub(crate) fn parse(text: &str, now: i64) -> Option<Cookie> {
    if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return None;
    }
    let (pair, attributes) = text.split_once(';').map_or((text, None), |(pair, rest)| (pair, Some(rest)));
    let (name, value) = pair.split_once('=').unwrap_or(("", pair));
    let (name, value) = (blanks_off(name), blanks_off(value));
    if name.len() + value.len() > 4096 || name.is_empty() && value.is_empty() {
        return None;
    }
    let mut cookie = Cookie { name: name.to_owned(), value: value.to_owned(), ..Cookie::default() };
    // Of an attribute that comes twice the last one counts, and Max-Age before Expires.
    let (mut max_age, mut expires) = (None, None);
    for attribute in attributes.into_iter().flat_map(|attributes| attributes.split(';')) {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let (name, value) = (blanks_off(name), blanks_off(value));
        if value.len() > 1024 {
            continue;
        }
        match name.to_ascii_lowercase().as_str() {
            "expires" => expires = cookie_date(value).or(expires),
            "max-age" => max_age = delta_seconds(value).or(max_age),
            "domain" if value.is_empty() => {}
            "domain" => cookie.domain = Some(value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase()),
            "path" => cookie.path = value.starts_with('/').then(|| value.to_owned()),
            "secure" => cookie.secure = true,
            "httponly" => cookie.http_only = true,
            "samesite" => cookie.same_site = one_of(value, &["Strict", "Lax", "None"]),
            // Not of the RFC: CHIPS, and Chromium's own.
            "partitioned" => cookie.partitioned = true,
            "priority" => cookie.priority = one_of(value, &["Low", "Medium", "High"]),
            _ => {}
        }
    }
    let limit = |age: i64| if age <= 0 { i64::MIN } else { now + age.min(AGE_LIMIT) };
    cookie.ends = max_age.map(limit).or(expires.map(|at| at.min(now + AGE_LIMIT)));
    Some(cookie)
}

fn blanks_off(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn one_of(value: &str, choices: &[&str]) -> Option<String> {
    choices.iter().find(|choice| choice.eq_ignore_ascii_case(value)).map(|&choice| choice.to_owned())
}

/// 5.6.2.
fn delta_seconds(value: &str) -> Option<i64> {
    let (sign, digits) = value.strip_prefix('-').map_or((1, value), |digits| (-1, digits));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(sign * digits.parse().unwrap_or(i64::MAX))
}

/// 5.1.1: the date is whatever its tokens look like.
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

/// So many digits, and then none.
fn number(token: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let end = token.find(|c: char| !c.is_ascii_digit()).unwrap_or(token.len());
    digits.contains(&end).then(|| token[..end].parse().ok())?
}

fn month_of(token: &str) -> Option<i64> {
    let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = token.get(..3)?.to_ascii_lowercase();
    months.iter().position(|month| *month == start).and_then(|place| i64::try_from(place + 1).ok())
}

/// Days from 1970 to this one, in the Gregorian calendar: counted in years that begin in March, so that a leap day is
/// the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 719_469
}

/// 5.7: what a browser keeps of one site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar {
    cookies: Vec<Cookie>,
}

impl Jar {
    /// Takes in a `Set-Cookie` of a response that came over https, or not; says whether the cookie was heeded.
    pub(crate) fn receive(&mut self, text: &str, now: i64, https: bool) -> bool {
        let Some(cookie) = parse(text, now).filter(|cookie| https || !cookie.secure).filter(keeps_its_word) else {
            return false;
        };
        let place = |cookie: &Cookie| {
            let Cookie { name, domain, path, partitioned, .. } = cookie.clone();
            (name, domain, path, partitioned)
        };
        self.cookies.retain(|old| place(old) != place(&cookie));
        if cookie.ends.is_none_or(|ends| ends > now) {
            self.cookies.push(cookie);
        }
        true
    }

    pub(crate) fn cookies(&self) -> &[Cookie] {
        &self.cookies
    }

    /// The `Cookie` header of the next request.
    pub(crate) fn header(&self) -> String {
        let pairs: Vec<_> = self.cookies.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        pairs.join("; ")
    }
}

/// The conditions under which a cookie is dropped for what it says of itself.
fn keeps_its_word(cookie: &Cookie) -> bool {
    let name = cookie.name.to_ascii_lowercase();
    let needs_secure = ["__secure-", "__host-", "__http-"].iter().any(|prefix| name.starts_with(prefix))
        || cookie.partitioned
        || cookie.same_site.as_deref() == Some("None");
    let needs_host = name.starts_with("__host-");
    let needs_http_only = name.starts_with("__http-") || name.starts_with("__host-http-");
    (cookie.secure || !needs_secure)
        && (cookie.http_only || !needs_http_only)
        && (!needs_host || cookie.domain.is_none() && cookie.path.as_deref() == Some("/"))
}
