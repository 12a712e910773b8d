//! The session cookie: which ids a request's `Cookie` headers present, and the two `Set-Cookie` texts we write.

use std::borrow::Cow;
use std::time::Duration;

use cookie::time::{Duration as Span, OffsetDateTime};
use cookie::{Cookie, CookieBuilder};

use super::layer::RequestHead;
use super::options::{CookieOptions, SameSite};
use crate::id::SessionId;
use crate::session::{Candidates, MAX_CANDIDATES};

/// The cookie that carries session ids, as its options have it.
pub(super) struct SessionCookie {
    options: CookieOptions,
}

impl SessionCookie {
    /// From options that were checked.
    pub(super) fn new(options: CookieOptions) -> Self {
        Self { options }
    }

    pub(super) fn options(&self) -> &CookieOptions {
        &self.options
    }

    /// The first different ids that cookies of our name present, in the order of the headers.
    ///
    /// There can be several: a browser sends one for each path and domain it was set for, and a neighbouring subdomain can
    /// plant more. Whatever is not exactly an id does not count and is not looked at twice: it is somebody
    /// else's business, or an attack, and neither is worth an error or a log line.
    pub(super) fn candidates(&self, request: &RequestHead<'_>) -> Candidates {
        let mut found = Candidates::default();
        let mut count = 0;
        // Cut into cookies before anything is read as text, so that a foreign one that is not UTF-8 does not hide ours.
        for text in request.cookies().flat_map(|header| header.split(|byte| *byte == b';')) {
            let Some(id) = self.read(text) else { continue };
            if found.contains(&Some(id)) {
                continue;
            }
            found[count] = Some(id);
            count += 1;
            if count == MAX_CANDIDATES {
                break;
            }
        }
        found
    }

    /// The id in one `name=value`, if it is a cookie of ours.
    fn read(&self, text: &[u8]) -> Option<SessionId> {
        let cookie = Cookie::parse(str::from_utf8(text).ok()?).ok()?;
        // The length first: an error about a text that cannot be an id would be made for nothing.
        let ours = cookie.name() == self.options.name && cookie.value().len() == SessionId::TEXT_LEN;
        ours.then(|| cookie.value().parse().ok()).flatten()
    }

    /// The `Set-Cookie` text that gives the client this id, to be kept for `max_age` or for the browser session.
    pub(super) fn announcing(&self, id: &SessionId, max_age: Option<Duration>) -> String {
        let cookie = describe(&self.options, id.expose());
        match max_age {
            None => cookie,
            Some(max_age) => cookie.max_age(whole_seconds(max_age)),
        }
        .to_string()
    }

    /// The `Set-Cookie` text that makes the client forget its cookie. It repeats every attribute: browsers replace
    /// a cookie only by one of the same name, domain and path, and take none that breaks its prefix's rules.
    pub(super) fn removal(&self) -> String {
        let cookie = describe(&self.options, "");
        cookie.max_age(Span::ZERO).expires(OffsetDateTime::UNIX_EPOCH).to_string()
    }

    /// The longest text that these options can lead to.
    pub(super) fn longest(options: &CookieOptions) -> String {
        let widest = "_".repeat(SessionId::TEXT_LEN);
        describe(options, widest).max_age(Span::MAX).expires(OffsetDateTime::UNIX_EPOCH).to_string()
    }
}

fn describe<'o>(options: &'o CookieOptions, value: impl Into<Cow<'o, str>>) -> CookieBuilder<'o> {
    let cookie = Cookie::build((options.name.as_str(), value))
        .path(options.path.as_str())
        .secure(options.secure)
        .http_only(options.http_only)
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

/// Rounded down, so that the cookie does not outlive its session, but not to zero, which would mean "forget it".
fn whole_seconds(max_age: Duration) -> Span {
    Span::seconds(i64::try_from(max_age.as_secs().max(1)).unwrap_or(i64::MAX))
}
