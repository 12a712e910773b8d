//! Checks of the cookie's options. They refuse each option for which browsers would drop, shorten
//! or misread the cookie.

use std::time::Duration;

use super::attributes::{CookieLifetime, SameSite, Secure};
use super::cookie::{DAY, MAX_AGE, SessionCookie};
use super::grammar::{problem_of_domain, problem_of_name, problem_of_path, refuse};
use super::keys;
use super::options::CookieOptions;
use crate::error::{Error, Result};
use crate::policy::Policy;

/// The size that every browser allows a cookie, attributes included (RFC 6265, 6.1).
const MAX_COOKIE: usize = 4096;

impl CookieOptions {
    /// Refuses options that are invalid by themselves or together with this policy.
    pub(super) fn check(&self, policy: &Policy) -> Result<()> {
        refuse("name", &self.name, problem_of_name)?;
        refuse("path", &self.path, problem_of_path)?;
        self.domain.as_deref().map_or(Ok(()), |domain| refuse("domain", domain, problem_of_domain))?;
        self.check_secure()?;
        self.check_prefix()?;
        self.check_lifetime(policy)?;
        self.keys.as_deref().map_or(Ok(()), keys::check)?;
        let bytes = SessionCookie::longest(self).len();
        if bytes > MAX_COOKIE {
            let problem = format!("it would take {bytes} bytes, and browsers keep {MAX_COOKIE}");
            return Err(Error::option("cookie", problem));
        }
        Ok(())
    }

    /// Refuses `SameSite=None` and `Partitioned` unless the cookie is always `Secure`, because
    /// browsers drop such a cookie without it.
    fn check_secure(&self) -> Result<()> {
        if self.secure == Secure::Always {
            return Ok(());
        }
        if self.same_site == SameSite::None {
            return Err(Error::option("same_site", "None needs secure, always, or browsers drop the cookie"));
        }
        if self.partitioned {
            return Err(Error::option("partitioned", "needs secure, always, or browsers drop the cookie"));
        }
        Ok(())
    }

    /// Refuses options that break the rules of the name's prefix (RFC 6265bis, 4.1.3), because
    /// browsers drop such a cookie. The case of the prefix does not matter.
    fn check_prefix(&self) -> Result<()> {
        let is = |prefix: &str| self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let (host, secure) = (is("__Host-"), is("__Secure-"));
        let http = is("__Host-Http-") || is("__Http-");
        let problem = match self {
            _ if !(host || secure || http) => return Ok(()),
            Self { secure: Secure::Auto | Secure::Never, .. } => "needs secure, always",
            Self { domain: Some(_), .. } if host => "must not have a domain",
            Self { path, .. } if host && path != "/" => "must have the path \"/\"",
            Self { http_only: false, .. } if http => "needs http_only",
            _ => return Ok(()),
        };
        Err(Error::option("name", format!("a cookie named {:?} {problem}, or browsers drop it", self.name)))
    }

    /// Refuses a lifetime that does not fit the times of the policy. The timeout of a single
    /// session is not checked, because it is cut to `MAX_AGE` when its cookie is written.
    fn check_lifetime(&self, policy: &Policy) -> Result<()> {
        let remembered = policy.longest_remembered();
        let longest = match self.lifetime {
            CookieLifetime::BrowserSession if remembered.is_some() => {
                let problem = "BrowserSession cookies of a policy that remembers sessions: take Remembered";
                return Err(Error::option("lifetime", problem));
            }
            CookieLifetime::BrowserSession => Duration::ZERO,
            CookieLifetime::Persistent => policy.longest().max(remembered.unwrap_or_default()),
            CookieLifetime::Remembered => remembered.unwrap_or_default(),
        };
        if longest <= MAX_AGE {
            return Ok(());
        }
        let days = longest.as_nanos().div_ceil(DAY.as_nanos());
        let problem =
            format!("Persistent cookies of sessions that last {days} days, and browsers keep none beyond 400");
        Err(Error::option("lifetime", problem))
    }
}
