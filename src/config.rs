//! One configuration for everything: the store, the policy, the cookie and the token, as one file
//! has them.

use serde::{Deserialize, Deserializer};

use crate::error::Result;
use crate::memory::{LembroOptions, LembroStore};
use crate::policy::Policy;
#[cfg(feature = "redis")]
use crate::redis::{RedisOptions, RedisStore};
use crate::units::getters;
use crate::units::tree::{Problem, Tree};
use crate::web::{CookieOptions, SessionLayer, TokenOptions};

/// Everything that a [`SessionLayer`] can be told, for an application whose settings are in a file.
///
/// | part | what it is | default |
/// |---|---|---|
/// | `store.memory` | [`LembroOptions`]: sessions in memory | chosen, with its defaults |
/// | `store.redis` | `redis::RedisOptions` (feature `redis`): sessions on Redis, in place of that | |
/// | `policy` | [`Policy`]: how long sessions live | its defaults |
/// | `cookie` | [`CookieOptions`] | its defaults |
/// | `token` | [`TokenOptions`]: a token in a header, in place of the cookie or beside it | none |
///
/// serde reads it from any format that describes itself: TOML, YAML, JSON. Each part has the names
/// of its own type. Reading it never fails at a value: what is wrong is said by
/// [`SessionLayer::from_config`], with the path of the option and without a secret. So a format
/// that shows the line of an error, as TOML does, shows no password. `get_policy` and its like
/// return the parts, or that error.
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
    /// What was read, or what is wrong with it.
    parts: Result<Parts, Problem>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parts {
    store: StoreChoice,
    policy: Policy,
    cookie: CookieOptions,
    token: Option<TokenOptions>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum StoreChoice {
    Memory(LembroOptions),
    #[cfg(feature = "redis")]
    Redis(RedisOptions),
}

/// The store that a [`Config`] chooses, for what its own type alone can do: figures, `close`, a
/// ping. A clone is another handle on the same sessions.
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
        get_memory memory -> Result<Option<&LembroOptions>> { config.parts().map(|parts| parts.store.memory()) }
        get_policy policy -> Result<&Policy> { config.parts().map(|parts| &parts.policy) }
        get_cookie cookie -> Result<&CookieOptions> { config.parts().map(|parts| &parts.cookie) }
        get_token token -> Result<Option<&TokenOptions>> { config.parts().map(|parts| parts.token.as_ref()) }
    }

    #[cfg(feature = "redis")]
    getters! { config:
        get_redis redis -> Result<Option<&RedisOptions>> { config.parts().map(|parts| parts.store.redis()) }
    }

    /// A configuration that was read wrongly stays wrong.
    fn with(self, change: impl FnOnce(Parts) -> Parts) -> Self {
        Self { parts: self.parts.map(change) }
    }

    /// Makes the store. [`layer`](Self::layer) takes it; keep a clone to ask it for figures, or to
    /// close it.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`](crate::Error::is_option) when a value is wrong, with its path: `store.redis.url`. And as
    /// [`LembroStore::with_options`].
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

    /// The layer over this store.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`](crate::Error::is_option) when a value is wrong, alone or beside others, with its path:
    /// `policy.timeout`.
    pub fn layer(&self, store: ConfiguredStore) -> Result<SessionLayer> {
        let Parts { policy, cookie, token, .. } = self.parts()?;
        let layer = match store {
            ConfiguredStore::Memory(store) => SessionLayer::new(store),
            #[cfg(feature = "redis")]
            ConfiguredStore::Redis(store) => SessionLayer::new(store),
        };
        // The policy first: of the two that do not fit together, the cookie is named.
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
    /// The layer that a configuration describes, over the store that it chooses.
    ///
    /// [`Config::store`] and [`Config::layer`] do the same, and leave the store in your hands.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`](crate::Error::is_option) when a value is wrong, with its path: `store.redis.url`,
    /// `policy.timeout`. No such error quotes a password or a key. And as
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

impl StoreChoice {
    fn memory(&self) -> Option<&LembroOptions> {
        match self {
            Self::Memory(options) => Some(options),
            #[cfg(feature = "redis")]
            Self::Redis(_) => None,
        }
    }

    #[cfg(feature = "redis")]
    fn redis(&self) -> Option<&RedisOptions> {
        if let Self::Redis(options) = self { Some(options) } else { None }
    }
}

impl Default for StoreChoice {
    fn default() -> Self {
        Self::Memory(LembroOptions::new())
    }
}

/// A configuration as a file spells it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    store: StoreFields,
    policy: Policy,
    cookie: CookieOptions,
    token: Option<TokenOptions>,
}

/// The choice of a store as a file spells it.
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
            (Some(_), Some(_)) => Err(Problem::at("store", "memory and redis, and only one of them can be meant")),
            #[cfg(feature = "redis")]
            (None, Some(options)) => Ok(Self::Redis(options)),
            #[cfg(not(feature = "redis"))]
            (None, Some(_)) => Err(Problem::at("store.redis", "this program was built without the feature \"redis\"")),
            (memory, None) => Ok(Self::Memory(memory.unwrap_or_default())),
        }
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tree = Tree::deserialize(deserializer)?;
        let parts = Fields::deserialize(tree).and_then(|Fields { store, policy, cookie, token }| {
            Ok(Parts { store: store.try_into()?, policy, cookie, token })
        });
        Ok(Self { parts })
    }
}
