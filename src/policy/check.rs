//! The check of a policy: refuses values that cannot work, alone or together.

use std::time::Duration;

use super::{HOUR, MINUTE, Options, Policy, Remember};
use crate::error::{Error, Result};

impl Policy {
    pub(crate) fn check(&self) -> Result<()> {
        let (timeout, lifetime) = (self.get_timeout(), self.get_lifetime());
        self.check_texts()?;
        check_limits("lifetime", timeout, lifetime)?;
        if let Some((remembered, lifetime)) = self.get_remember() {
            check_limits("remember", remembered, lifetime)?;
            if remembered < timeout {
                let problem = format!(
                    "a timeout of {} is below the one of sessions that are not remembered, {}: lengthen it",
                    written(remembered),
                    written(timeout)
                );
                return Err(Error::option("remember", problem));
            }
        }
        self.check_intervals()?;
        if self.get_max_per_owner() == Some(0) {
            return Err(Error::option("max_per_owner", "0 would let nobody log in; None means any number"));
        }
        if self.get_renew_after().is_some_and(|age| age.is_zero()) {
            return Err(Error::option("renew_after", "0 would change the id at every request; None means never"));
        }
        if self.get_renew_after().is_some() && self.get_grace().is_zero() {
            return Err(Error::option("grace", "0 would end the requests that are under way when an id is renewed"));
        }
        Ok(())
    }

    /// Refuses values that are no duration or no number.
    fn check_texts(&self) -> Result<()> {
        let Options { timeout, lifetime, remember, touch_after, renew_after, grace, max_per_owner, .. } = &self.0;
        timeout.check("timeout", HOUR)?;
        lifetime.check("lifetime", None)?;
        if let Some(Remember { timeout, lifetime }) = remember {
            timeout.check("remember", HOUR)?;
            lifetime.check("remember", None)?;
        }
        touch_after.check("touch_after", MINUTE)?;
        renew_after.check("renew_after", None)?;
        grace.check("grace", MINUTE)?;
        max_per_owner.check("max_per_owner", None).map(drop)
    }

    /// Refuses a touch interval and a grace beyond the timeout, and an age of renewal beyond the
    /// lifetime. The defaults fit every timeout: see [`Lease::touch_after`](crate::Lease).
    fn check_intervals(&self) -> Result<()> {
        let idle = self.get_remember().map_or(self.get_timeout(), |(timeout, _)| timeout.max(self.get_timeout()));
        for (option, span) in [("touch_after", self.get_touch_after()), ("grace", self.get_grace())] {
            if span > MINUTE && span > idle {
                let (span, idle) = (written(span), written(idle));
                return Err(Error::option(option, format!("{span} is beyond the timeout, {idle}: shorten it")));
            }
        }
        // The longer of the two lifetimes. If one of them is None, no lifetime limits the age.
        let lifetime = match self.get_remember() {
            None => self.get_lifetime(),
            Some((_, remembered)) => self.get_lifetime().zip(remembered).map(|(one, other)| one.max(other)),
        };
        match (self.get_renew_after(), lifetime) {
            (Some(age), Some(lifetime)) if age >= lifetime => {
                let (age, lifetime) = (written(age), written(lifetime));
                let problem =
                    format!("{age} is not below the lifetime, {lifetime}, so no id would be renewed: shorten it");
                Err(Error::option("renew_after", problem))
            }
            _ => Ok(()),
        }
    }
}

/// Checks an idle timeout and a lifetime. `option` names the option that set the lifetime.
fn check_limits(option: &'static str, timeout: Duration, lifetime: Option<Duration>) -> Result<()> {
    if timeout.is_zero() {
        return Err(Error::option("timeout", "0 would end every session at once"));
    }
    let Some(lifetime) = lifetime else { return Ok(()) };
    if lifetime.is_zero() {
        return Err(Error::option("lifetime", "0 would end every session at once; None means no limit"));
    }
    if lifetime < timeout {
        let (timeout, lifetime) = (written(timeout), written(lifetime));
        let problem = format!(
            "a lifetime of {lifetime} is below the timeout of {timeout}, which no session would reach: \
             lengthen the lifetime, shorten the timeout, or take None for no limit"
        );
        return Err(Error::option(option, problem));
    }
    Ok(())
}

/// The text of a duration, as an option takes it: in days to seconds, or smaller units below one.
fn written(span: Duration) -> String {
    let (seconds, day) = (span.as_secs(), 24 * 60 * 60);
    match seconds {
        0 => format!("{span:?}"),
        // humantime would write months and years, which options do not take.
        _ if seconds.is_multiple_of(day) => format!("{}d", seconds / day),
        _ if seconds >= day => format!("{}d {}", seconds / day, written(Duration::from_secs(seconds % day))),
        _ => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}
