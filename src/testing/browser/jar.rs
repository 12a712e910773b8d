//! The cookie jar: the cookies that a browser keeps and sends (RFC 6265bis, 5.7 and 5.8).

use std::time::SystemTime;

use super::address::{Address, domain_matches, path_matches};
use super::cookie::Cookie;
use crate::web::SameSite;

/// The cookies that one browser keeps, of all sites.
///
/// Every [`Browser`](super::Browser) has a jar. A test that handles each header itself can use a
/// jar without a browser.
///
/// The jar has no list of public suffixes. Instead it treats every domain of a single label as a
/// public suffix, and no other, so `co.uk` is not one.
///
/// # Examples
///
/// ```
/// use std::time::SystemTime;
/// use lembro::testing::Jar;
///
/// let (mut jar, now) = (Jar::default(), SystemTime::now());
/// assert!(jar.receive("id=7sNl; Secure; Path=/app", "https://example.com/app/login", now));
/// assert!(!jar.receive("__Host-id=7sNl; Secure; Path=/app", "https://example.com/", now));
/// assert_eq!(jar.header("https://example.com/app/cart", now), "id=7sNl");
/// assert_eq!(jar.header("https://example.com/apple", now), "");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Jar {
    /// In the order in which they were first set.
    kept: Vec<KeptCookie>,
}

/// A cookie, and the host that set it.
#[derive(Clone, Debug)]
struct KeptCookie {
    cookie: Cookie,
    host: String,
}

impl KeptCookie {
    fn domain(&self) -> &str {
        self.cookie.domain.as_deref().unwrap_or(&self.host)
    }

    fn path(&self) -> &str {
        self.cookie.path.as_deref().unwrap_or("/")
    }

    /// Returns true if one of the two cookies replaces the other.
    fn is_at(&self, place: &Self) -> bool {
        let (one, other) = (&self.cookie, &place.cookie);
        (&one.name, self.domain(), one.domain.is_some(), self.path(), one.partitioned)
            == (&other.name, place.domain(), other.domain.is_some(), place.path(), other.partitioned)
    }

    fn is_live(&self, now: SystemTime) -> bool {
        self.cookie.ends.is_none_or(|ends| ends > now)
    }
}

impl Jar {
    /// Receives a `Set-Cookie` header of a response from this URL. Returns true if browsers obey
    /// the header: they keep its cookie, or, if this has expired, remove the cookie that it
    /// replaces.
    pub fn receive(&mut self, set_cookie: &str, url: &str, now: SystemTime) -> bool {
        let address = Address::new(url);
        let Some(mut cookie) = Cookie::parse(set_cookie, now) else { return false };
        // If the host is a public suffix and names itself as the domain, only this host gets the
        // cookie.
        cookie.domain = cookie.domain.filter(|domain| domain.contains('.') || *domain != address.host());
        let is_foreign = cookie
            .domain
            .as_deref()
            .is_some_and(|domain| !domain.contains('.') || !domain_matches(&address.host(), domain));
        if is_foreign || cookie.secure && !address.keeps_secure() || !cookie.is_consistent() {
            return false;
        }
        cookie.path.get_or_insert_with(|| address.default_path().to_owned());
        let new = KeptCookie { cookie, host: address.host() };
        self.kept.retain(|kept| kept.is_live(now));
        if !new.cookie.secure && !address.keeps_secure() && self.has_secure_beside(&new) {
            return false;
        }
        let place = self.kept.iter().position(|kept| kept.is_at(&new));
        match (place, new.is_live(now)) {
            (Some(place), true) => self.kept[place] = new,
            (Some(place), false) => drop(self.kept.remove(place)),
            (None, true) => self.kept.push(new),
            (None, false) => {}
        }
        true
    }

    /// Returns true if this cookie, which came over plain http, would shadow a `Secure` one.
    fn has_secure_beside(&self, new: &KeptCookie) -> bool {
        let meets = |one: &KeptCookie, other: &KeptCookie| domain_matches(one.domain(), other.domain());
        self.kept.iter().any(|kept| {
            kept.cookie.secure
                && kept.cookie.name == new.cookie.name
                && (meets(kept, new) || meets(new, kept))
                && path_matches(new.path(), kept.path())
        })
    }

    /// The value of the `Cookie` header of a request to this URL from a page of the same site.
    /// Empty if no cookie is sent.
    pub fn header(&self, url: &str, now: SystemTime) -> String {
        text(&self.sent(url, now, |_| true))
    }

    /// The value of the header if a page of another site sends the request, by a link (`is_safe`)
    /// or by a form.
    pub(super) fn header_from_elsewhere(&self, url: &str, now: SystemTime, is_safe: bool) -> String {
        let is_sent = |cookie: &Cookie| match cookie.same_site {
            Some(SameSite::Strict) => false,
            Some(SameSite::Lax) | None => is_safe,
            Some(SameSite::None) => true,
        };
        text(&self.sent(url, now, is_sent))
    }

    /// The cookies for this URL that `is_sent` accepts, in the order in which they are sent.
    pub(super) fn sent(&self, url: &str, now: SystemTime, is_sent: impl Fn(&Cookie) -> bool) -> Vec<&Cookie> {
        let (address, host) = (Address::new(url), Address::new(url).host());
        let is_for = |kept: &&KeptCookie| {
            let is_of_host = kept.host == host || kept.cookie.domain.is_some() && domain_matches(&host, kept.domain());
            is_of_host
                && path_matches(address.path(), kept.path())
                && (!kept.cookie.secure || address.keeps_secure())
                && kept.is_live(now)
                && is_sent(&kept.cookie)
        };
        let mut sent: Vec<_> = self.kept.iter().filter(is_for).collect();
        // The longest path comes first, and of equal lengths the oldest cookie.
        sent.sort_by_key(|kept| std::cmp::Reverse(kept.path().len()));
        sent.into_iter().map(|kept| &kept.cookie).collect()
    }

    /// The cookies, in the order in which they were first set. Expired ones are dropped when the
    /// next cookie arrives.
    pub fn cookies(&self) -> impl Iterator<Item = &Cookie> {
        self.kept.iter().map(|kept| &kept.cookie)
    }

    /// Closes the browser: removes the cookies that end with the browser session.
    pub fn close(&mut self) {
        self.kept.retain(|kept| kept.cookie.ends.is_some());
    }
}

/// The text of a `Cookie` header.
fn text(sent: &[&Cookie]) -> String {
    let texts = sent.iter().map(|cookie| match cookie.name.as_str() {
        "" => cookie.value.clone(),
        name => format!("{name}={}", cookie.value),
    });
    texts.collect::<Vec<_>>().join("; ")
}
