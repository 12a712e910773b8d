//! What a cookie's options must not be: everything that browsers would drop, cut short or misread.

use std::time::Duration;

use super::attributes::{CookieLifetime, SameSite, Secure};
use super::cookie::{DAY, MAX_AGE, SessionCookie};
use super::options::CookieOptions;
use super::{grammar, keys};
use crate::error::{Error, Result};
use crate::policy::Policy;

/// The most bytes of a cookie, attributes included, that every browser is sure to keep (RFC 6265,
/// 6.1).
const MAX_COOKIE: usize = 4096;

impl CookieOptions {
    /// Refuses what cannot work, by itself or under this policy.
    pub(super) fn check(&self, policy: &Policy) -> Result<()> {
        refuse("name", &self.name, grammar::problem_of_name)?;
        refuse("path", &self.path, grammar::problem_of_path)?;
        self.domain.as_deref().map_or(Ok(()), |domain| refuse("domain", domain, grammar::problem_of_domain))?;
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

    /// Some attributes are honoured only beside `Secure`: `Auto` would leave it away at times.
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

    /// RFC 6265bis, 4.1.3: browsers drop a cookie that does not live up to its name. They read the
    /// prefix in either case.
    fn check_prefix(&self) -> Result<()> {
        let is = |prefix: &str| self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let (host, secure) = (is("__Host-"), is("__Secure-"));
        let scripts_may_not = is("__Host-Http-") || is("__Http-");
        let problem = match self {
            _ if !(host || secure || scripts_may_not) => return Ok(()),
            Self { secure: Secure::Auto | Secure::Never, .. } => "needs secure, always",
            Self { domain: Some(_), .. } if host => "must not have a domain",
            Self { path, .. } if host && path != "/" => "must have the path \"/\"",
            Self { http_only: false, .. } if scripts_may_not => "needs http_only",
            _ => return Ok(()),
        };
        Err(Error::option("name", format!("a cookie named {:?} {problem}, or browsers drop it", self.name)))
    }

    /// Only what the policy gives to every session is known here; a session's own timeout is cut
    /// down when it is written.
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

/// Refuses a text that has a problem, with the sentence that the problem completes.
fn refuse(option: &'static str, text: &str, problem_of: fn(&str) -> Option<&'static str>) -> Result<()> {
    problem_of(text).map_or(Ok(()), |problem| Err(Error::option(option, format!("{text:?} {problem}"))))
}
