//! Options of a `RedisStore`, from code or from a configuration file, checked in one place.

mod read;
mod server;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connection::Server;
use super::pool::ConnectionPool;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::units::{Input, Setting, getters};

/// The longest time that an option accepts. A longer time is probably in a mistaken unit.
const LONGEST: Duration = Duration::from_secs(60 * 60);

const SECOND: Duration = Duration::from_secs(1);
const CONNECTIONS: usize = 16;
const MAX_SESSION_SIZE: u64 = 64 * 1024;

/// The prefix is sent with every key, so it is kept short.
const MAX_PREFIX_BYTES: usize = 255;

/// The options of a [`RedisStore`](super::RedisStore).
///
/// | option | what it is | default |
/// |---|---|---|
/// | [`url`](Self::url) | address of the server, with user, password and database | `redis://127.0.0.1:6379` |
/// | [`cluster`](Self::cluster) | nodes of a cluster, instead of `url` | none |
/// | [`sentinels`](Self::sentinels), [`primary`](Self::primary) | Sentinels that name the server, instead of `url` | none, `mymaster` |
/// | [`username`](Self::username), [`password`](Self::password) | the login, if it is not in the URL | none |
/// | [`ca_certificate`](Self::ca_certificate) | certificate authorities to trust, with TLS | the system's |
/// | [`client_certificate`](Self::client_certificate) | certificate of this client, with TLS | none |
/// | [`prefix`](Self::prefix) | beginning of every key | `lembro:` |
/// | [`connections`](Self::connections) | maximum number of connections | 16 |
/// | [`timeout`](Self::timeout) | limit of one round trip, waiting for a connection included | 1 s |
/// | [`retry_after`](Self::retry_after) | pause before the next attempt to reach a failed server | 1 s |
/// | [`max_session_size`](Self::max_session_size) | maximum size of the entries of one session | 64K |
///
/// serde uses the same names and refuses unknown ones. Getters such as `get_timeout` return the
/// options, except those that may contain a password; `Debug` shows no password.
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
    raw: RawRedisOptions,
    clock: Option<Clock>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct RawRedisOptions {
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

    /// The address of the server: `redis://[user][:password]@host[:port][/database]`, `rediss://`
    /// for TLS (feature `redis_tls`), `redis+unix:///path?db=2&user=u&pass=p` for a Unix socket.
    /// `valkey` works in place of `redis`. Default: `redis://127.0.0.1:6379`.
    ///
    /// In the user and the password, percent-encode each character except letters, digits and
    /// `-._~`: `p@ss/word` is `p%40ss%2Fword`. The option [`password`](Self::password) takes the
    /// password without encoding.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.raw.url = Some(url.into());
        self
    }

    /// URLs of some nodes of a cluster, from which the store discovers the others. Excludes
    /// [`url`](Self::url). Default: none.
    pub fn cluster<U: Into<String>>(mut self, nodes: impl IntoIterator<Item = U>) -> Self {
        self.raw.cluster = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// URLs of the Sentinels of a server with replicas, such as `redis://10.0.0.1:26379`. The store
    /// asks the Sentinels for the address of the primary, again after a failover. Excludes
    /// [`url`](Self::url). Default: none.
    ///
    /// A user and a password in these URLs are for the Sentinels; [`username`](Self::username) and
    /// [`password`](Self::password) are for the servers. With `rediss://`, the connections to the
    /// Sentinels and to the servers use TLS. The database is 0. The [guide](super) says how to
    /// configure the Sentinels.
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

    /// The name of the primary in the configuration of the [`sentinels`](Self::sentinels).
    /// Default: `mymaster`.
    #[doc(alias("service_name", "master_name"))]
    pub fn primary(mut self, name: impl Into<String>) -> Self {
        self.raw.primary = Some(name.into());
        self
    }

    /// The user to log in as, if the URL has none. The [guide](super) lists the commands that this
    /// user needs. Default: none.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.raw.username = Some(username.into());
        self
    }

    /// The password, if the URL has none. With this option the password can be stored apart from
    /// the URL. Default: none.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.raw.password = Some(password.into());
        self
    }

    /// A file in PEM format with the certificates to trust instead of the system's, for a server
    /// with a self-signed certificate. Needs `rediss://` and the feature `redis_tls`. Default: the
    /// system's.
    pub fn ca_certificate(mut self, file: impl Into<PathBuf>) -> Self {
        self.raw.ca_certificate = Some(file.into());
        self
    }

    /// Files in PEM format with a certificate and its key, for a server that requires client
    /// certificates. Default: none.
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.raw.client_certificate = Some(certificate.into());
        self.raw.client_key = Some(key.into());
        self
    }

    /// The beginning of every key: at most 255 bytes, without braces. Default: `lembro:`.
    ///
    /// Applications that share a server need different prefixes, or they share their sessions.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.raw.prefix = Some(prefix.into());
        self
    }

    /// The maximum number of connections, 1 to 10,000. Each is opened when it is first needed.
    /// Default: 16.
    ///
    /// One connection for each thread that serves requests is enough.
    pub fn connections(mut self, connections: usize) -> Self {
        self.raw.connections = Input::new(connections);
        self
    }

    /// The time limit of one round trip, which includes waiting for a connection, connecting,
    /// sending and receiving. A [`Duration`], a number of milliseconds, or a text such as
    /// `"250ms"`; at most an hour. Default: 1 second.
    ///
    /// Most methods of the store make one round trip, the commit of a login makes two. If a round
    /// trip exceeds the limit, the method fails and the connection is closed. The limit does not
    /// cover the resolution of a host name, for which the system has its own limits. If an answer
    /// began in time, each further part of it may take up to `timeout` again.
    pub fn timeout(mut self, timeout: impl Into<Setting>) -> Self {
        self.raw.timeout = timeout.into().into();
        self
    }

    /// How long requests fail without waiting, after the server could not be reached or did not
    /// answer in time. After this pause one request tries the server. If that request fails too,
    /// the pause begins again; otherwise all requests use the server. At most an hour. Default: 1
    /// second.
    ///
    /// So while a server is down, only that one request waits for the [`timeout`](Self::timeout).
    pub fn retry_after(mut self, pause: impl Into<Setting>) -> Self {
        self.raw.retry_after = pause.into().into();
        self
    }

    /// The maximum size of the entries of one session: a number of bytes, or a text such as
    /// `"64K"`; at most 64M. A commit that would exceed it fails, and the stored session stays as
    /// it is. Default: 64K.
    pub fn max_session_size(mut self, max_session_size: impl Into<Setting>) -> Self {
        self.raw.max_session_size = max_session_size.into().into();
        self
    }

    /// Replaces the server's clock by one that a test sets. The store then keeps each deadline in
    /// its session, and the server's own expiry removes the session a day after the deadline.
    #[cfg(feature = "testing")]
    pub fn clock(mut self, clock: &crate::clock::ManualClock) -> Self {
        self.clock = Some(clock.into());
        self
    }

    getters! { options:
        get_primary primary -> &str { options.raw.primary.as_deref().unwrap_or("mymaster") }
        get_username username -> Option<&str> { options.raw.username.as_deref() }
        get_ca_certificate ca_certificate -> Option<&Path> { options.raw.ca_certificate.as_deref() }
        get_client_certificate client_certificate -> Option<(&Path, &Path)> {
            options.raw.client_certificate.as_deref().zip(options.raw.client_key.as_deref())
        }
        get_prefix prefix -> &str { options.raw.prefix.as_deref().unwrap_or("lembro:") }
        get_connections connections -> usize { options.raw.connections.or(CONNECTIONS) }
        get_timeout timeout -> Duration { options.raw.timeout.or(SECOND) }
        get_retry_after retry_after -> Duration { options.raw.retry_after.or(SECOND) }
        get_max_session_size max_session_size -> usize {
            usize::try_from(options.raw.max_session_size.or(MAX_SESSION_SIZE)).unwrap_or(usize::MAX)
        }
    }

    pub(super) fn resolve(&self) -> Result<ResolvedOptions> {
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
        Ok(ResolvedOptions { clock, server, name, prefix, connections, timeout, retry_after, max_session_size })
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.name().unwrap_or_else(|error| error.to_string());
        f.debug_struct("RedisOptions").field("server", &server).finish_non_exhaustive()
    }
}

/// Checked options.
pub(super) struct ResolvedOptions {
    /// Set in tests, in place of the server's clock.
    pub(super) clock: Option<Clock>,
    server: Server,
    name: String,
    pub(super) prefix: String,
    connections: usize,
    timeout: Duration,
    retry_after: Duration,
    pub(super) max_session_size: usize,
}

impl ResolvedOptions {
    pub(super) fn pool(&self) -> ConnectionPool {
        ConnectionPool::new(self.server.clone(), self.name.clone(), self.connections, self.timeout, self.retry_after)
    }
}
