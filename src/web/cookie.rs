//! The session cookie: which ids a request's `Cookie` headers present, and the two `Set-Cookie`
//! texts we write.
//!
//! ```text
//! value  = id [ "." written ] [ "." signature ]
//! ```
//!
//! `written`, in seconds since 1970, is there if the cookie is persistent. Only the browser's
//! cookie can say how old the browser's cookie is: the session may have been prolonged by a
//! WebSocket or by a job since. A client that changes it changes when its own cookie is renewed.
//! The signature covers all that stands before it, and the cookie's name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cookie::time::{Duration as Span, OffsetDateTime};
use cookie::{Cookie, CookieBuilder};

use super::head::RequestHead;
use super::keys::Signer;
use super::options::{CookieOptions, MAX_AGE, Priority, SameSite, Secure, SiteData};
use crate::id::SessionId;
use crate::session::{Candidate, Candidates, MAX_CANDIDATES};

/// No value of ours is longer: an id, 20 digits, a signature of 43 characters.
const MAX_VALUE: usize = SessionId::TEXT_LEN + 1 + 20 + 1 + 43;

/// How many signatures of one request are looked at. Each costs a hash for every key, and a header
/// has room for hundreds.
const MAX_SIGNATURES: usize = 16;

/// The cookie that carries session ids, as its options have it.
pub(super) struct SessionCookie {
    options: CookieOptions,
    signer: Option<Signer>,
}

impl SessionCookie {
    /// From options that were checked.
    pub(super) fn new(options: CookieOptions) -> Self {
        let signer = options.keys.as_deref().map(Signer::new);
        Self { options, signer }
    }

    pub(super) fn options(&self) -> &CookieOptions {
        &self.options
    }

    /// The first cookies of our name that have different ids, in the order of the headers.
    ///
    /// There can be several: a browser sends one for each path and domain it was set for, and a
    /// neighbouring subdomain can plant more. A value that is not exactly an id, well signed if we
    /// sign, does not count and is not looked at twice: it is another application's, or an attack,
    /// and neither is worth an error or a log line.
    pub(super) fn presented(&self, request: &RequestHead<'_>) -> Candidates {
        let mut found = Candidates::default();
        let (mut count, mut signatures) = (0, 0);
        // Cut into cookies before anything is read as text, so that a foreign one that is not UTF-8
        // does not hide ours.
        for text in request.cookies().flat_map(|header| header.split(|byte| *byte == b';')) {
            let Some(presented) = self.read(text, &mut signatures) else { continue };
            if found.iter().flatten().any(|earlier| earlier.id == presented.id) {
                continue;
            }
            found[count] = Some(presented);
            count += 1;
            if count == MAX_CANDIDATES {
                break;
            }
        }
        found
    }

    /// One `name=value`, if it is a cookie of ours.
    fn read(&self, text: &[u8], signatures: &mut usize) -> Option<Candidate> {
        let name = self.options.name.as_str();
        let value = text.trim_ascii_start().strip_prefix(name.as_bytes())?.trim_ascii_start().strip_prefix(b"=")?;
        let value = value.trim_ascii();
        // Some clients quote every value (RFC 6265, 4.1.1).
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        // The length first: an error about a text that cannot be an id would be made for nothing.
        if !(SessionId::TEXT_LEN..=MAX_VALUE).contains(&value.len()) {
            return None;
        }
        let value = str::from_utf8(value).ok()?;
        let (content, key) = match &self.signer {
            None => (value, 0),
            Some(signer) => {
                let (content, signature) = value.rsplit_once('.')?;
                *signatures += 1;
                if *signatures > MAX_SIGNATURES {
                    return None;
                }
                (content, signer.verify(name, content, signature)?)
            }
        };
        let (id, written) = match content.split_once('.') {
            None => (content, None),
            Some((id, seconds)) => (id, Some(read_seconds(seconds)?)),
        };
        if id.len() != SessionId::TEXT_LEN {
            return None;
        }
        Some(Candidate { id: id.parse().ok()?, written, well_signed: key == 0 })
    }

    /// The `Set-Cookie` text that gives the client this id, to be kept for `max_age` or for the
    /// browser session.
    pub(super) fn announcing(&self, id: &SessionId, max_age: Option<Duration>, now: SystemTime, https: bool) -> String {
        let mut value = id.expose();
        if max_age.is_some() {
            let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            value += &format!(".{}", now.as_secs());
        }
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&self.options.name, &value);
            value += &format!(".{signature}");
        }
        let cookie = describe(&self.options, &value, https);
        let cookie = match max_age {
            None => cookie,
            Some(max_age) => cookie.max_age(whole_seconds(max_age)),
        };
        finish(&self.options, &cookie)
    }

    /// The `Set-Cookie` text that makes the client forget its cookie. It repeats every attribute:
    /// browsers replace a cookie only by one of the same name, domain and path, and take none that
    /// breaks its prefix's rules.
    pub(super) fn removal(&self, https: bool) -> String {
        let cookie = describe(&self.options, "", https).max_age(Span::ZERO).expires(OffsetDateTime::UNIX_EPOCH);
        finish(&self.options, &cookie)
    }

    /// The value of the `Clear-Site-Data` header that goes with a removal; none if nothing more is
    /// to be forgotten.
    pub(super) fn site_data(&self) -> Option<String> {
        let text = |data: &SiteData| match data {
            SiteData::Cache => "\"cache\"",
            SiteData::Cookies => "\"cookies\"",
            SiteData::Storage => "\"storage\"",
        };
        let all: Vec<_> = self.options.clear_site_data.iter().map(text).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// The longest text that these options can lead to.
    pub(super) fn longest(options: &CookieOptions) -> String {
        let widest = "_".repeat(MAX_VALUE);
        let cookie = describe(options, &widest, true).max_age(Span::MAX).expires(OffsetDateTime::UNIX_EPOCH);
        finish(options, &cookie)
    }
}

fn describe<'o>(options: &'o CookieOptions, value: &'o str, https: bool) -> CookieBuilder<'o> {
    let secure = match options.secure {
        Secure::Always => true,
        Secure::Auto => https,
        Secure::Never => false,
    };
    let cookie = Cookie::build((options.name.as_str(), value))
        .path(options.path.as_str())
        .secure(secure)
        .http_only(options.http_only)
        .partitioned(options.partitioned)
        .same_site(match options.same_site {
            SameSite::Strict => cookie::SameSite::Strict,
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::None => cookie::SameSite::None,
        });
    match &options.domain {
        Some(domain) => cookie.domain(domain.as_str()),
        None => cookie,
    }
}

/// The text, with the one attribute that the `cookie` crate does not know.
fn finish(options: &CookieOptions, cookie: &CookieBuilder<'_>) -> String {
    let text = cookie.to_string();
    match options.priority {
        None => text,
        Some(Priority::Low) => text + "; Priority=Low",
        Some(Priority::Medium) => text + "; Priority=Medium",
        Some(Priority::High) => text + "; Priority=High",
    }
}

/// Strictly digits, none of them a zero in front, so that one time has one text.
fn read_seconds(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    let seconds = canonical.then(|| text.parse().ok())??;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).map(|_| seconds)
}

/// Rounded down, so that the cookie does not outlive its session, but not to zero, which would mean
/// "forget it"; and no longer than browsers keep it.
fn whole_seconds(max_age: Duration) -> Span {
    let seconds = max_age.min(MAX_AGE).as_secs().max(1);
    Span::seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
