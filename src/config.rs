//! The configuration of an application's sessions: store, policy, cookie and token in one file.

use serde::{Deserialize, Deserializer};

use crate::error::Result;
use crate::memory::{LembroOptions, LembroStore};
use crate::policy::Policy;
#[cfg(feature = "redis")]
use crate::redis::{RedisOptions, RedisStore};
use crate::units::getters;
use crate::units::tree::{Problem, Tree};
use crate::web::{CookieOptions, SessionLayer, TokenOptions};

/// All settings of a [`SessionLayer`], for an application that has them in a file.
///
/// | part | type | default |
/// |---|---|---|
/// | `store.memory` | [`LembroOptions`]: sessions in memory | this store, with its defaults |
/// | `store.redis` | `redis::RedisOptions` (feature `redis`): sessions on Redis instead | |
/// | `policy` | [`Policy`]: how long sessions live | its defaults |
/// | `cookie` | [`CookieOptions`] | its defaults |
/// | `token` | [`TokenOptions`]: a token in a header, instead of the cookie or beside it | none |
///
/// serde reads it from any self-describing format, such as TOML, YAML and JSON. Each part has the
/// option names of its type. A wrong value does not fail the reading:
/// [`SessionLayer::from_config`] returns the error, with the path of the option and without a
/// secret. So a format that shows the line of an error, as TOML does, shows no password.
/// `get_policy` and its like return the parts, or that error.
///
/// # Examples
///
/// ```
/// use lembro::Config;
/// use lembro::web::SessionLayer;
///
/// let config: Config = toml::from_str(r#"
///     [store.memory]
///     max_size = "64M"
///     persist = "/var/lib/shop/sessions"
///
///     [policy]
///     timeout = "30m"
///     lifetime = "12h"
///
///     [cookie]
///     same_site = "strict"
/// "#).unwrap();
/// # let config = config.memory(lembro::LembroOptions::new());
/// let layer = SessionLayer::from_config(&config)?;
///
/// let wrong: Config = toml::from_str("policy.timeout = '30 parsecs'").unwrap();
/// let error = SessionLayer::from_config(&wrong).unwrap_err();
/// let expected = "policy.timeout: \"30 parsecs\" is not a duration";
/// assert!(error.to_string().starts_with(expected), "{error}");
/// # let _ = layer;
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Config {
    parts: Result<Parts, Problem>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Parts {
    store: StoreChoice,
    policy: Policy,
    cookie: CookieOptions,
    token: Option<TokenOptions>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "StoreFields")]
enum StoreChoice {
    Memory(LembroOptions),
    #[cfg(feature = "redis")]
    Redis(RedisOptions),
}

/// The store that a [`Config`] chooses, for the methods of its own type: `stats`, `close`, `ping`.
/// A clone has the same sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConfiguredStore {
    /// Sessions in memory.
    Memory(LembroStore),
    /// Sessions on Redis.
    #[cfg(feature = "redis")]
    Redis(RedisStore),
}

impl Config {
    /// The defaults: sessions in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sessions in memory, with these options.
    pub fn memory(self, options: LembroOptions) -> Self {
        self.with(|parts| Parts { store: StoreChoice::Memory(options), ..parts })
    }

    /// Sessions on Redis, with these options.
    #[cfg(feature = "redis")]
    pub fn redis(self, options: RedisOptions) -> Self {
        self.with(|parts| Parts { store: StoreChoice::Redis(options), ..parts })
    }

    /// The policy.
    pub fn policy(self, policy: Policy) -> Self {
        self.with(|parts| Parts { policy, ..parts })
    }

    /// The cookie.
    pub fn cookie(self, cookie: CookieOptions) -> Self {
        self.with(|parts| Parts { cookie, ..parts })
    }

    /// A token in a header.
    pub fn token(self, token: TokenOptions) -> Self {
        self.with(|parts| Parts { token: Some(token), ..parts })
    }

    getters! { config:
        ///
        /// # Errors
        ///
        /// If a value that was read is wrong.
        get_memory memory -> Result<Option<&LembroOptions>> {
            config.parts().map(|parts| match &parts.store {
                StoreChoice::Memory(options) => Some(options),
                #[cfg(feature = "redis")]
                StoreChoice::Redis(_) => None,
            })
        }
        ///
        /// # Errors
        ///
        /// If a value that was read is wrong.
        get_policy policy -> Result<&Policy> { config.parts().map(|parts| &parts.policy) }
        ///
        /// # Errors
        ///
        /// If a value that was read is wrong.
        get_cookie cookie -> Result<&CookieOptions> { config.parts().map(|parts| &parts.cookie) }
        ///
        /// # Errors
        ///
        /// If a value that was read is wrong.
        get_token token -> Result<Option<&TokenOptions>> { config.parts().map(|parts| parts.token.as_ref()) }
    }

    #[cfg(feature = "redis")]
    getters! { config:
        ///
        /// # Errors
        ///
        /// If a value that was read is wrong.
        get_redis redis -> Result<Option<&RedisOptions>> {
            config.parts().map(|parts| if let StoreChoice::Redis(options) = &parts.store { Some(options) } else { None })
        }
    }

    /// Changes the parts, if they were read without an error.
    fn with(self, change: impl FnOnce(Parts) -> Parts) -> Self {
        Self { parts: self.parts.map(change) }
    }

    /// Makes the store for [`layer`](Self::layer). Keep a clone to read its figures or to close it.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`](crate::Error::is_option) if a value is wrong, with its path, such as
    /// `store.redis.url`; otherwise as [`LembroStore::with_options`].
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{Config, ConfiguredStore};
    ///
    /// let json = r#"{"store": {"memory": {"maxSize": "4M"}}}"#;
    /// let config: Config = serde_json::from_str(json).unwrap();
    /// let store = config.store()?;
    /// let layer = config.layer(store.clone())?;
    /// if let ConfiguredStore::Memory(store) = &store {
    ///     assert_eq!(store.stats().max_size, 4 << 20);
    /// }
    /// # let _ = layer;
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn store(&self) -> Result<ConfiguredStore> {
        match self.parts()?.store.clone() {
            StoreChoice::Memory(options) => LembroStore::with_options(options)
                .map(ConfiguredStore::Memory)
                .map_err(|error| error.within("store.memory")),
            #[cfg(feature = "redis")]
            StoreChoice::Redis(options) => RedisStore::with_options(options)
                .map(ConfiguredStore::Redis)
                .map_err(|error| error.within("store.redis")),
        }
    }

    /// The layer on this store.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`](crate::Error::is_option) if a value is wrong, or contradicts another
    /// one, with its path, such as `policy.timeout`.
    pub fn layer(&self, store: ConfiguredStore) -> Result<SessionLayer> {
        let Parts { policy, cookie, token, .. } = self.parts()?;
        let layer = match store {
            ConfiguredStore::Memory(store) => SessionLayer::new(store),
            #[cfg(feature = "redis")]
            ConfiguredStore::Redis(store) => SessionLayer::new(store),
        };
        // The policy first, so that an error about both names the cookie.
        let layer = layer.policy(policy.clone()).map_err(|error| error.within("policy"))?;
        let layer = layer.cookie(cookie.clone()).map_err(|error| error.within("cookie"))?;
        match token {
            None => Ok(layer),
            Some(token) => layer.token(token.clone()).map_err(|error| error.within("token")),
        }
    }

    fn parts(&self) -> Result<&Parts> {
        self.parts.as_ref().map_err(|problem| problem.clone().into())
    }
}

impl SessionLayer {
    /// The layer of a configuration, on the store that it chooses. [`Config::store`] and
    /// [`Config::layer`] do the same in two steps, and give you the store.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`](crate::Error::is_option) if a value is wrong, with its path, such as
    /// `policy.timeout`, and never with a password or a key; otherwise as
    /// [`LembroStore::with_options`].
    pub fn from_config(config: &Config) -> Result<Self> {
        config.layer(config.store()?)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { parts: Ok(Parts::default()) }
    }
}

impl Default for StoreChoice {
    fn default() -> Self {
        Self::Memory(LembroOptions::new())
    }
}

/// The choice of a store in a file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StoreFields {
    memory: Option<LembroOptions>,
    #[cfg(feature = "redis")]
    redis: Option<RedisOptions>,
    #[cfg(not(feature = "redis"))]
    redis: Option<serde::de::IgnoredAny>,
}

impl TryFrom<StoreFields> for StoreChoice {
    type Error = Problem;

    fn try_from(fields: StoreFields) -> Result<Self, Problem> {
        match (fields.memory, fields.redis) {
            (Some(_), Some(_)) => Err(Problem::at("", "memory and redis, and only one of them can be meant")),
            #[cfg(feature = "redis")]
            (None, Some(options)) => Ok(Self::Redis(options)),
            #[cfg(not(feature = "redis"))]
            (None, Some(_)) => Err(Problem::at("redis", "this program was built without the feature \"redis\"")),
            (memory, None) => Ok(Self::Memory(memory.unwrap_or_default())),
        }
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tree = Tree::deserialize(deserializer)?;
        let parts = Parts::deserialize(tree);
        Ok(Self { parts })
    }
}
