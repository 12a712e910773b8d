//! Deserialization of the options from a configuration file.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{RawRedisOptions, RedisOptions};
use crate::error::Result;
use crate::units::Input;
use crate::units::tree::{Tree, read_table};

/// The options in a file. No error quotes a value that may contain a password.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RedisFields {
    url: Tree,
    cluster: Tree,
    sentinels: Tree,
    primary: Tree,
    username: Tree,
    password: Tree,
    #[serde(alias = "caCertificate")]
    ca_certificate: Tree,
    #[serde(alias = "clientCertificate")]
    client_certificate: Tree,
    #[serde(alias = "clientKey")]
    client_key: Tree,
    prefix: Tree,
    connections: Input<usize>,
    timeout: Input<Duration>,
    #[serde(alias = "retryAfter")]
    retry_after: Input<Duration>,
    #[serde(alias = "maxSessionSize")]
    max_session_size: Input<u64>,
}

impl TryFrom<RedisFields> for RedisOptions {
    type Error = crate::Error;

    fn try_from(fields: RedisFields) -> Result<Self> {
        let file = |given: Tree, option| Ok::<_, crate::Error>(given.text(option)?.map(PathBuf::from));
        let raw = RawRedisOptions {
            url: fields.url.text("url")?,
            cluster: fields.cluster.texts("cluster")?.unwrap_or_default(),
            sentinels: fields.sentinels.texts("sentinels")?.unwrap_or_default(),
            primary: fields.primary.text("primary")?,
            username: fields.username.text("username")?,
            password: fields.password.text("password")?,
            ca_certificate: file(fields.ca_certificate, "ca_certificate")?,
            client_certificate: file(fields.client_certificate, "client_certificate")?,
            client_key: file(fields.client_key, "client_key")?,
            prefix: fields.prefix.text("prefix")?,
            connections: fields.connections,
            timeout: fields.timeout,
            retry_after: fields.retry_after,
            max_session_size: fields.max_session_size,
        };
        let options = Self { raw, clock: None };
        // Report a wrong value when the configuration is read, not when the store is created.
        options.resolve()?;
        Ok(options)
    }
}

impl<'de> Deserialize<'de> for RedisOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields: RedisFields = read_table("redis", deserializer)?;
        Self::try_from(fields).map_err(serde::de::Error::custom)
    }
}
