//! The configuration of an application's sessions: store, policy, cookie and token in one file.

use serde::{Deserialize, Deserializer};

use crate::error::Result;
use crate::memory::{LembroOptions, LembroStore};
use crate::policy::Policy;
#[cfg(feature = "redis")]
use crate::redis::{RedisOptions, RedisStore};
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
/// serde reads a `Config` from any self-describing format, such as TOML, YAML and JSON. Each part
/// has the option names of its type. If a value is wrong, reading succeeds, and
/// [`SessionLayer::from_config`] returns the error later, with the path of the option and without a
/// secret. The reason is that parsers such as TOML's show the line of an error, which may contain a
/// password. The getters, such as `get_policy`, return the parts or that error.
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

/// The store that a [`Config`] chooses. Match on it to call methods of the store's type, such as
/// `stats`, `close` or `ping`. A clone shares the sessions.
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
    /// The defaults, with sessions in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses sessions in memory, with these options.
    pub fn memory(self, options: LembroOptions) -> Self {
        self.with(|parts| Parts { store: StoreChoice::Memory(options), ..parts })
    }

    /// Chooses sessions on Redis, with these options.
    #[cfg(feature = "redis")]
    pub fn redis(self, options: RedisOptions) -> Self {
        self.with(|parts| Parts { store: StoreChoice::Redis(options), ..parts })
    }

    /// Sets the policy: how long sessions live. Default: [`Policy::new`].
    pub fn policy(self, policy: Policy) -> Self {
        self.with(|parts| Parts { policy, ..parts })
    }

    /// Sets the options of the cookie. Default: [`CookieOptions::new`].
    pub fn cookie(self, cookie: CookieOptions) -> Self {
        self.with(|parts| Parts { cookie, ..parts })
    }

    /// Adds a token in a header, with these options. Default: no token.
    pub fn token(self, token: TokenOptions) -> Self {
        self.with(|parts| Parts { token: Some(token), ..parts })
    }

    /// The options of [`memory`](Self::memory); `None` if another store is chosen.
    ///
    /// # Errors
    ///
    /// If a value is wrong, the error that [`SessionLayer::from_config`] returns.
    pub fn get_memory(&self) -> Result<Option<&LembroOptions>> {
        self.parts().map(|parts| match &parts.store {
            StoreChoice::Memory(options) => Some(options),
            #[cfg(feature = "redis")]
            StoreChoice::Redis(_) => None,
        })
    }

    /// The options of [`redis`](Self::redis); `None` if another store is chosen.
    ///
    /// # Errors
    ///
    /// As [`get_memory`](Self::get_memory).
    #[cfg(feature = "redis")]
    pub fn get_redis(&self) -> Result<Option<&RedisOptions>> {
        self.parts().map(|parts| if let StoreChoice::Redis(options) = &parts.store { Some(options) } else { None })
    }

    /// The [`policy`](Self::policy).
    ///
    /// # Errors
    ///
    /// As [`get_memory`](Self::get_memory).
    pub fn get_policy(&self) -> Result<&Policy> {
        self.parts().map(|parts| &parts.policy)
    }

    /// The options of the [`cookie`](Self::cookie).
    ///
    /// # Errors
    ///
    /// As [`get_memory`](Self::get_memory).
    pub fn get_cookie(&self) -> Result<&CookieOptions> {
        self.parts().map(|parts| &parts.cookie)
    }

    /// The options of the [`token`](Self::token), if there is one.
    ///
    /// # Errors
    ///
    /// As [`get_memory`](Self::get_memory).
    pub fn get_token(&self) -> Result<Option<&TokenOptions>> {
        self.parts().map(|parts| parts.token.as_ref())
    }

    /// Changes the parts. If they were read with an error, the error stays.
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

    /// A [`SessionLayer`] on this store, with the policy, cookie and token of this configuration.
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
        // The policy is set first: if the policy and the cookie contradict each other, the error
        // names the cookie.
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
    /// Makes the store that a configuration chooses, and the layer on it. [`Config::store`] and
    /// [`Config::layer`] do the same in two steps, and also return the store.
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

/// The tables `store.memory` and `store.redis` of a file, of which at most one may be there.
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
