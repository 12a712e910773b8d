//! The address of a request: the parts of its URL that cookies depend on.

use std::net::IpAddr;

/// Scheme, host and path of an absolute URL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address<'u> {
    scheme: &'u str,
    authority: &'u str,
    /// The path and the query. Empty if the URL ends with its host.
    target: &'u str,
}

impl<'u> Address<'u> {
    pub(super) fn new(url: &'u str) -> Self {
        let url = url.split('#').next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        Self { scheme, authority, target }
    }

    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The value of a `Host` header.
    pub(super) fn authority(&self) -> &'u str {
        self.authority
    }

    /// The target in the first line of a request: path and query.
    pub(super) fn target(&self) -> String {
        if self.target.starts_with('/') { self.target.to_owned() } else { format!("/{}", self.target) }
    }

    /// The host in lower case, without the port, which cookies ignore.
    pub(super) fn host(&self) -> String {
        let end = match self.authority.rfind(']') {
            Some(bracket) => bracket + 1,
            None => self.authority.find(':').unwrap_or(self.authority.len()),
        };
        self.authority[..end].to_ascii_lowercase()
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("https")
    }

    /// Returns true if browsers keep and send `Secure` cookies at this address: over https, and
    /// over plain http on this machine.
    pub(super) fn keeps_secure(&self) -> bool {
        let host = self.host();
        let is_loopback = ip(&host).map(|ip| ip.is_loopback());
        self.is_https() || is_loopback.unwrap_or(host == "localhost" || host.ends_with(".localhost"))
    }

    pub(super) fn path(&self) -> &'u str {
        let path = self.target.split('?').next().unwrap_or_default();
        if path.starts_with('/') { path } else { "/" }
    }

    /// The path of a cookie without `Path` (RFC 6265bis, 5.1.4).
    pub(super) fn default_path(&self) -> &'u str {
        let path = self.path();
        match path.rfind('/') {
            None | Some(0) => "/",
            Some(last) => &path[..last],
        }
    }
}

/// Returns true if `cookie_path` is `path` or a directory above it (RFC 6265bis, 5.1.4).
pub(super) fn path_matches(path: &str, cookie_path: &str) -> bool {
    let rest = path.strip_prefix(cookie_path);
    rest.is_some_and(|rest| rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'))
}

/// Returns true if the host is the domain or a subdomain of it (RFC 6265bis, 5.1.3).
pub(super) fn domain_matches(host: &str, domain: &str) -> bool {
    let is_below = host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    host == domain || is_below && ip(host).is_none()
}

fn ip(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}
