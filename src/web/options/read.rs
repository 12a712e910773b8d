//! The options as a configuration file spells them.

use serde::{Deserialize, Deserializer};

use super::super::keys::{self, Key};
use super::{CookieLifetime, CookieOptions, Priority, SameSite, Secure, SiteData};
use crate::units::quiet;

/// The fields of [`CookieOptions`], from which serde makes one.
#[derive(Deserialize)]
#[serde(remote = "CookieOptions", default = "CookieOptions::new", deny_unknown_fields)]
struct Fields {
    name: String,
    path: String,
    domain: Option<String>,
    secure: Secure,
    #[serde(alias = "proxy", alias = "trustProxy")]
    trust_proxy: bool,
    #[serde(alias = "httpOnly")]
    http_only: bool,
    #[serde(alias = "sameSite")]
    same_site: SameSite,
    lifetime: CookieLifetime,
    partitioned: bool,
    priority: Option<Priority>,
    #[serde(alias = "secret", deserialize_with = "keys::read")]
    keys: Option<Vec<Key>>,
    #[serde(alias = "clearSiteData")]
    clear_site_data: Vec<SiteData>,
}

struct Read(CookieOptions);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for CookieOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quiet::map("cookie", deserializer).map(|Read(options)| options)
    }
}
