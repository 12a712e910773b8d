//! The policy as a configuration file spells it.

use serde::Deserialize;

use super::{Policy, StoreDown};
use crate::error::{Error, Result};
use crate::store::AtLimit;
use crate::units::Setting;

/// The policy as a configuration file spells it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicy {
    timeout: Option<Setting>,
    #[serde(default = "default_lifetime")]
    lifetime: Option<Setting>,
    remember: Option<RawRemember>,
    touch_after: Option<Setting>,
    renew_after: Option<Setting>,
    grace: Option<Setting>,
    max_per_owner: Option<Setting>,
    #[serde(default)]
    at_limit: AtLimit,
    #[serde(default)]
    store_down: StoreDown,
}

/// The limits of remembered sessions as a configuration file spells them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRemember {
    timeout: Setting,
    lifetime: Option<Setting>,
}

fn default_lifetime() -> Option<Setting> {
    Policy::new().lifetime.map(Setting::Span)
}

impl TryFrom<RawPolicy> for Policy {
    type Error = Error;

    fn try_from(raw: RawPolicy) -> Result<Self> {
        let mut policy = Self::new();
        if let Some(timeout) = raw.timeout {
            policy.timeout = timeout.duration("timeout")?;
        }
        let lifetime = |raw: Option<Setting>| {
            let lifetime = raw.map(|lifetime| lifetime.duration("lifetime")).transpose();
            lifetime.map(|lifetime| lifetime.filter(|lifetime| !lifetime.is_zero()))
        };
        policy.lifetime = lifetime(raw.lifetime)?;
        if let Some(remember) = raw.remember {
            policy.remembered = Some((remember.timeout.duration("remember")?, lifetime(remember.lifetime)?));
        }
        if let Some(touch_after) = raw.touch_after {
            policy.touch_after = touch_after.duration("touch_after")?;
        }
        let renew_after = raw.renew_after.map(|age| age.duration("renew_after")).transpose()?;
        policy.renew_after = renew_after.filter(|age| !age.is_zero());
        if let Some(grace) = raw.grace {
            policy.grace = grace.duration("grace")?;
        }
        policy.max_per_owner = match raw.max_per_owner {
            None => None,
            Some(max) => Some(usize::try_from(max.count("max_per_owner")?).unwrap_or(usize::MAX)),
        };
        policy.at_limit = raw.at_limit;
        policy.store_down = raw.store_down;
        policy.check()?;
        Ok(policy)
    }
}
