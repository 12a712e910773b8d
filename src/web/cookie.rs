//! The session cookie: the ids that a request presents in it, and the `Set-Cookie` texts that
//! announce an id or remove the cookie.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cookie::time::{Duration as Span, OffsetDateTime};
use cookie::{Cookie, CookieBuilder};

use super::attributes::{Priority, SameSite, Secure, SiteData};
use super::head::{RequestHead, trim};
use super::keys::Signer;
use super::options::CookieOptions;
use super::token::SessionToken;
use super::value::{self, MAX_VALUE, ValueReader};
use crate::error::Error;
use crate::id::SessionId;
use crate::session::{Candidate, Candidates, Carrier, MAX_COOKIES};
use crate::sync::{AtomicBool, Ordering};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest time that browsers keep a cookie (RFC 6265bis, 5.5).
pub(super) const MAX_AGE: Duration = Duration::from_secs(400 * DAY.as_secs());

/// The cookie that carries session ids, under its options.
pub(super) struct SessionCookie {
    options: CookieOptions,
    signer: Option<Signer>,
    /// Whether the warning [`DROPPED`] was given.
    warned: AtomicBool,
}

/// The warning about a `Secure` cookie over plain http. It lists the exceptions, because the layer
/// knows neither the host nor whether a proxy is in front.
const DROPPED: &str = "a Secure cookie was set in answer to a request over plain http, where browsers drop it, \
    except from hosts of the loopback such as localhost, which the layer does not know: serve https, or take \
    Secure::Auto to be usable over plain http; if a proxy in front (or rouille's own TLS) speaks https, ignore this \
    or have the proxy send X-Forwarded-Proto and set trust_proxy";

impl SessionCookie {
    /// Makes a cookie from options that were checked.
    pub(super) fn new(options: CookieOptions) -> Self {
        let signer = options.keys.as_deref().map(Signer::new);
        Self { options, signer, warned: AtomicBool::new(false) }
    }

    /// Returns true if the client's connection counts as encrypted.
    ///
    /// If the cookie is always `Secure`, the result decides only about the warning. Then it is also
    /// true if the request has a cookie of ours, because the client kept that one; if a proxy
    /// reports https, trusted or not; and, under `trust_proxy`, if the proxy reports nothing.
    pub(super) fn is_kept_over(&self, request: &RequestHead<'_>, has_cookie: bool) -> bool {
        let trusts = self.options.trust_proxy;
        match self.options.secure {
            Secure::Always => has_cookie || request.is_https(true) || trusts && !request.has_scheme(),
            Secure::Auto | Secure::Never => request.is_https(trusts),
        }
    }

    /// The warning that browsers drop the cookie. It is given once.
    pub(super) fn warning(&self, is_kept: bool) -> Option<Error> {
        let is_due = self.options.secure == Secure::Always && !is_kept && !self.warned.swap(true, Ordering::Relaxed);
        is_due.then(|| Error::option("secure", DROPPED))
    }

    pub(super) fn options(&self) -> &CookieOptions {
        &self.options
    }

    /// The ids of the first cookies of our name, without repetitions and in the order of the
    /// headers, and after them the id of the token.
    ///
    /// There can be several cookies: a browser sends one for each path and domain, and a
    /// neighbouring subdomain can plant more. A value that is not exactly an id, with a valid
    /// signature if the layer signs, is skipped without an error or a log line: it belongs to
    /// another application or to an attack.
    pub(super) fn presented(&self, request: &RequestHead<'_>, token: Option<&SessionToken>) -> Candidates {
        let mut found = Candidates::default();
        let (mut count, mut reader) = (0, ValueReader::new(self.signer.as_ref()));
        // Split as bytes, so that a foreign cookie that is not UTF-8 does not hide ours. Only
        // semicolons separate cookies, even within quotes, as in browsers. If commas did, the
        // author of a foreign value could plant an id in it.
        let cookies = request.cookies().flat_map(|header| header.split(|byte| *byte == b';'));
        for text in cookies.take_while(|_| token.is_none_or(SessionToken::is_beside_cookie)) {
            let Some(presented) = self.read(text, &mut reader) else { continue };
            if found.iter().flatten().any(|earlier| earlier.id == presented.id) {
                continue;
            }
            found[count] = Some(presented);
            count += 1;
            if count == MAX_COOKIES {
                break;
            }
        }
        found[count] = token.and_then(|token| token.presented(request, &mut reader));
        found
    }

    /// Reads one `name=value`, if it is a cookie of ours.
    fn read(&self, text: &[u8], reader: &mut ValueReader<'_>) -> Option<Candidate> {
        let name = self.options.name.as_str();
        let value = trim(trim(text).strip_prefix(name.as_bytes())?).strip_prefix(b"=")?;
        let value = trim(value);
        // Some clients quote every value (RFC 6265, 4.1.1).
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        reader.read(Carrier::Cookie, name, value)
    }

    /// The signer, if values are signed.
    pub(super) fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    /// The `Set-Cookie` text that gives the client this id. Without a `max_age` the cookie ends
    /// with the browser session.
    pub(super) fn announcement(
        &self,
        id: &SessionId,
        max_age: Option<Duration>,
        now: SystemTime,
        https: bool,
    ) -> String {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written = max_age.map(|_| now.as_secs());
        let value = value::write(self.signer(), &self.options.name, id, written);
        let cookie = builder(&self.options, &value, https);
        let cookie = match max_age {
            None => cookie,
            // Old clients know only `Expires`. The JDK reads a cookie without it as one of RFC
            // 2965, and sends it back in quotes.
            Some(max_age) => {
                let seconds = whole_seconds(max_age);
                cookie.max_age(Span::seconds(seconds)).expires(date(now.as_secs(), seconds))
            }
        };
        to_text(&self.options, &cookie)
    }

    /// The `Set-Cookie` text that removes the client's cookie. It repeats every attribute, because
    /// browsers replace a cookie only by one of the same name, domain and path, and refuse one that
    /// breaks the rules of its prefix.
    pub(super) fn removal(&self, https: bool) -> String {
        let cookie = builder(&self.options, "", https).max_age(Span::ZERO).expires(OffsetDateTime::UNIX_EPOCH);
        to_text(&self.options, &cookie)
    }

    /// The value of the `Clear-Site-Data` header for a removal, if the options ask for one.
    pub(super) fn site_data(&self) -> Option<String> {
        let text = |data: &SiteData| match data {
            SiteData::Cache => "\"cache\"",
            SiteData::Cookies => "\"cookies\"",
            SiteData::Storage => "\"storage\"",
        };
        let all: Vec<_> = self.options.clear_site_data.iter().map(text).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// The longest `Set-Cookie` text under these options.
    pub(super) fn longest(options: &CookieOptions) -> String {
        let widest = "_".repeat(MAX_VALUE);
        let cookie = builder(options, &widest, true).max_age(Span::MAX).expires(OffsetDateTime::UNIX_EPOCH);
        to_text(options, &cookie)
    }
}

fn builder<'o>(options: &'o CookieOptions, value: &'o str, https: bool) -> CookieBuilder<'o> {
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

/// The text, with `Priority`, which the `cookie` crate does not know.
fn to_text(options: &CookieOptions, cookie: &CookieBuilder<'_>) -> String {
    let text = cookie.to_string();
    match options.priority {
        None => text,
        Some(Priority::Low) => text + "; Priority=Low",
        Some(Priority::Medium) => text + "; Priority=Medium",
        Some(Priority::High) => text + "; Priority=High",
    }
}

/// Rounds down, so that the cookie does not outlive its session, but not to zero, which would
/// remove the cookie.
fn whole_seconds(max_age: Duration) -> i64 {
    let seconds = max_age.min(MAX_AGE).as_secs().max(1);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// The last second of the year 9999, the last year that `Expires` can hold.
const LAST_DATE: i64 = 253_402_300_799;

/// The date `seconds` after `now`, which is in seconds since 1970.
fn date(now: u64, seconds: i64) -> OffsetDateTime {
    let at = i64::try_from(now).unwrap_or(i64::MAX).saturating_add(seconds).min(LAST_DATE);
    OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
