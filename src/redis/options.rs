//! The options of a `RedisStore`, from code or from a configuration file, checked in one place.

mod read;
mod server;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connections::{Connections, Server};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::units::{Input, Setting, getters};

/// The longest time that may be set: a longer one is a mistaken unit.
const LONGEST: Duration = Duration::from_secs(60 * 60);

const SECOND: Duration = Duration::from_secs(1);
const CONNECTIONS: usize = 16;
const MAX_SESSION_SIZE: u64 = 64 * 1024;
const PREFIX: &str = "lembro:";
const PRIMARY: &str = "mymaster";

/// The prefix is sent with every key.
const MAX_PREFIX_BYTES: usize = 255;

/// The options of a [`RedisStore`](super::RedisStore).
///
/// | option | what it is | default |
/// |---|---|---|
/// | [`url`](Self::url) | where the server is, with user, password and database | `redis://127.0.0.1:6379` |
/// | [`cluster`](Self::cluster) | nodes of a cluster, in place of that | none |
/// | [`sentinels`](Self::sentinels), [`primary`](Self::primary) | Sentinels that know where the server is, in place of that | none, `mymaster` |
/// | [`username`](Self::username), [`password`](Self::password) | the login, if it is not in the URL | none |
/// | [`ca_certificate`](Self::ca_certificate) | whose certificates to trust, with TLS | the system's |
/// | [`client_certificate`](Self::client_certificate) | proves who we are, with TLS | none |
/// | [`prefix`](Self::prefix) | what all keys begin with | `lembro:` |
/// | [`connections`](Self::connections) | the most at once | 16 |
/// | [`timeout`](Self::timeout) | for one round trip, waiting for a connection included | 1 s |
/// | [`retry_after`](Self::retry_after) | how long calls fail at once after a failure | 1 s |
/// | [`max_session_size`](Self::max_session_size) | bound of the entries of one session | 64K |
///
/// With serde the names are these, and anything unknown is refused. `get_timeout` and its like
/// return the options. None returns what may have a password in it, and `Debug` does not show it.
///
/// # Examples
///
/// ```
/// use lembro::redis::RedisOptions;
///
/// let json = r#"{
///     "url": "redis://sessions@redis.example:6380/2", "password": "...", "timeout": "250ms"
/// }"#;
/// let options: RedisOptions = serde_json::from_str(json).unwrap();
/// # let _ = options;
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct RedisOptions {
    raw: RawOptions,
    clock: Option<Clock>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct RawOptions {
    url: Option<String>,
    cluster: Vec<String>,
    sentinels: Vec<String>,
    primary: Option<String>,
    username: Option<String>,
    password: Option<String>,
    ca_certificate: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    prefix: Option<String>,
    connections: Input<usize>,
    timeout: Input<Duration>,
    retry_after: Input<Duration>,
    max_session_size: Input<u64>,
}

impl RedisOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the server is: `redis://[user][:password]@host[:port][/database]`, `rediss://` for TLS
    /// (feature `redis_tls`), `redis+unix:///path?db=2&user=u&pass=p` for a Unix socket;
    /// `valkey://` and its like say the same. Default: `redis://127.0.0.1:6379`.
    ///
    /// In the user and the password each character but letters, digits and `-._~` is
    /// percent-encoded: `p@ss/word` is `p%40ss%2Fword`. A [`password`](Self::password) of its own
    /// is written as it is.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.raw.url = Some(url.into());
        self
    }

    /// Some nodes of a cluster, as URLs; the others are found by themselves. In place of
    /// [`url`](Self::url).
    pub fn cluster<U: Into<String>>(mut self, nodes: impl IntoIterator<Item = U>) -> Self {
        self.raw.cluster = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// The Sentinels of a server with replicas, as URLs: `redis://10.0.0.1:26379`. They say which
    /// server is the primary, and which one after a failover. In place of [`url`](Self::url).
    ///
    /// A user and a password in these URLs are the Sentinels' own;
    /// [`username`](Self::username) and [`password`](Self::password) are the servers'. With
    /// `rediss://` both are asked over TLS. The database is 0. The [guide](super) says what the
    /// Sentinels should be told.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::redis::{RedisOptions, RedisStore};
    ///
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379"];
    /// let options = RedisOptions::new().sentinels(sentinels).primary("shop");
    /// let store = RedisStore::with_options(options)?;
    /// # let _ = store;
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn sentinels<U: Into<String>>(mut self, sentinels: impl IntoIterator<Item = U>) -> Self {
        self.raw.sentinels = sentinels.into_iter().map(Into::into).collect();
        self
    }

    /// What the [`sentinels`](Self::sentinels) call the primary. Default: `mymaster`.
    #[doc(alias("service_name", "master_name"))]
    pub fn primary(mut self, name: impl Into<String>) -> Self {
        self.raw.primary = Some(name.into());
        self
    }

    /// The user, if the URL does not say who. The [guide](super) has an ACL with just what is
    /// needed.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.raw.username = Some(username.into());
        self
    }

    /// The password, if the URL does not have it: it need not be where the URL is.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.raw.password = Some(password.into());
        self
    }

    /// A file in PEM format with the certificates to trust, in place of the system's: for a server
    /// whose certificate you made yourself. Needs `rediss://` and the feature `redis_tls`. Default:
    /// the system's.
    pub fn ca_certificate(mut self, file: impl Into<PathBuf>) -> Self {
        self.raw.ca_certificate = Some(file.into());
        self
    }

    /// Files in PEM format with a certificate and its key, for a server that asks its clients for
    /// one. Default: none.
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.raw.client_certificate = Some(certificate.into());
        self.raw.client_key = Some(key.into());
        self
    }

    /// What all keys begin with, so that others can use the same server: text without braces, 255
    /// bytes at most. Default: `lembro:`.
    ///
    /// Two applications with one prefix share their sessions.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.raw.prefix = Some(prefix.into());
        self
    }

    /// How many connections there may be at once; each is made when it is needed. Default: 16.
    ///
    /// One for each thread that serves requests is never too few.
    pub fn connections(mut self, connections: usize) -> Self {
        self.raw.connections = Input::new(connections);
        self
    }

    /// How long one round trip may take: waiting for a connection, connecting, sending, the answer.
    /// A [`Duration`], a number of milliseconds, or a text; an hour at most. Default: 1 second.
    ///
    /// Most methods of the store are one round trip, the commit of a login is two, and the first
    /// that runs out of time ends them all with an error; its connection is closed. Not in it:
    /// looking a host's name up, which the system does with limits of its own. And an answer that
    /// began in time has that time once more for each part it comes in, should the network stop in
    /// the midst of it.
    pub fn timeout(mut self, timeout: impl Into<Setting>) -> Self {
        self.raw.timeout = timeout.into().into();
        self
    }

    /// For how long calls fail at once after the server could not be reached, or did not answer in
    /// time. Then one call tries again, and what comes of it counts for all. An hour at most.
    /// Default: 1 second.
    ///
    /// So a server that is down costs one request its [`timeout`](Self::timeout) in a while, and
    /// not every request.
    pub fn retry_after(mut self, pause: impl Into<Setting>) -> Self {
        self.raw.retry_after = pause.into().into();
        self
    }

    /// The most that the entries of one session may take: bytes or a text. A larger one is refused
    /// with an error before anything is sent, or by the script that would add to it; what is stored
    /// stays. Default: 64K.
    pub fn max_session_size(mut self, max_session_size: impl Into<Setting>) -> Self {
        self.raw.max_session_size = max_session_size.into().into();
        self
    }

    /// Goes by a clock that a test turns by hand, in place of the server's: times are kept beside
    /// the sessions, and the server's own expiry only cleans up a day later. For tests.
    #[cfg(feature = "testing")]
    pub fn clock(mut self, clock: &crate::clock::ManualClock) -> Self {
        self.clock = Some(clock.into());
        self
    }

    getters! { options:
        get_primary primary -> &str { options.raw.primary.as_deref().unwrap_or(PRIMARY) }
        get_username username -> Option<&str> { options.raw.username.as_deref() }
        get_ca_certificate ca_certificate -> Option<&Path> { options.raw.ca_certificate.as_deref() }
        get_client_certificate client_certificate -> Option<(&Path, &Path)> {
            options.raw.client_certificate.as_deref().zip(options.raw.client_key.as_deref())
        }
        get_prefix prefix -> &str { options.raw.prefix.as_deref().unwrap_or(PREFIX) }
        get_connections connections -> usize { options.raw.connections.or(CONNECTIONS) }
        get_timeout timeout -> Duration { options.raw.timeout.or(SECOND) }
        get_retry_after retry_after -> Duration { options.raw.retry_after.or(SECOND) }
        get_max_session_size max_session_size -> usize {
            usize::try_from(options.raw.max_session_size.or(MAX_SESSION_SIZE)).unwrap_or(usize::MAX)
        }
    }

    pub(super) fn resolve(&self) -> Result<Config> {
        let raw = &self.raw;
        let prefix = self.get_prefix().to_owned();
        if prefix.contains(['{', '}']) {
            return Err(Error::option("prefix", format!("{prefix:?} has a brace, and those are for what follows it")));
        }
        if prefix.len() > MAX_PREFIX_BYTES {
            return Err(Error::option("prefix", format!("longer than {MAX_PREFIX_BYTES} bytes")));
        }
        let connections = raw.connections.check("connections", CONNECTIONS)?;
        if !(1..=10_000).contains(&connections) {
            return Err(Error::option("connections", "not a number from 1 to 10000"));
        }
        let span = |span: &Input<Duration>, option| match span.check(option, SECOND)? {
            Duration::ZERO => Err(Error::option(option, "0 is no time at all")),
            span if span > LONGEST => Err(Error::option(option, "more than an hour")),
            span => Ok(span),
        };
        let (timeout, retry_after) = (span(&raw.timeout, "timeout")?, span(&raw.retry_after, "retry_after")?);
        let max_session_size = usize::try_from(raw.max_session_size.check("max_session_size", MAX_SESSION_SIZE)?)
            .ok()
            .filter(|size| *size <= 64 << 20)
            .ok_or_else(|| Error::option("max_session_size", "more than 64M"))?;
        let (server, name) = (self.server()?, self.name()?);
        let clock = self.clock.clone();
        Ok(Config { clock, server, name, prefix, connections, timeout, retry_after, max_session_size })
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.name().unwrap_or_else(|error| error.to_string());
        f.debug_struct("RedisOptions").field("server", &server).finish_non_exhaustive()
    }
}

/// The options, checked.
pub(super) struct Config {
    /// One that tests turn by hand, in place of the server's.
    pub(super) clock: Option<Clock>,
    server: Server,
    name: String,
    pub(super) prefix: String,
    connections: usize,
    timeout: Duration,
    retry_after: Duration,
    pub(super) max_session_size: usize,
}

impl Config {
    pub(super) fn connections(&self) -> Connections {
        Connections::new(self.server.clone(), self.name.clone(), self.connections, self.timeout, self.retry_after)
    }
}
