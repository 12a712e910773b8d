//! Sentinels, which name the current primary.
//!
//! This follows Redis' "Guidelines for Redis clients with support for Redis Sentinel". The Sentinel
//! client of the `redis` crate is not used, because it waits without a limit for a silent server.

use std::time::{Duration, Instant};

use ::redis::{
    Client, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, RedisConnectionInfo, RedisError, RedisResult, Value,
};

use super::failure::{is_refusal, time_left};
use super::tls::CertificateFiles;
use crate::sync::{AtomicUsize, Mutex, Ordering};

pub(super) struct Sentinels {
    clients: Vec<Client>,
    /// The name of the primary in their configuration.
    primary: String,
    /// The credentials and the database number for the primary.
    login: RedisConnectionInfo,
    files: CertificateFiles,
    /// The position of the Sentinel that named the primary last time. It is asked first.
    first: AtomicUsize,
    /// The client of the last primary. It is kept so that certificate files are not read again.
    last: Mutex<Option<Client>>,
}

impl Sentinels {
    pub(super) fn new(
        clients: Vec<Client>,
        primary: String,
        login: RedisConnectionInfo,
        files: CertificateFiles,
    ) -> Self {
        Self { clients, primary, login, files, first: AtomicUsize::new(0), last: Mutex::new(None) }
    }

    /// A connection to the current primary, according to a Sentinel and to the server itself.
    pub(super) fn connect(&self, deadline: Instant) -> RedisResult<::redis::Connection> {
        let (count, first) = (self.clients.len(), self.first.load(Ordering::Relaxed));
        let (mut server_error, mut sentinel_error) = (None, None);
        for position in (first..first + count).map(|position| position % count) {
            // A Sentinel gets a quarter of the time left, and the server that it names half of the
            // rest, so that there is time for the next Sentinel.
            let address = match self.ask(&self.clients[position], time_left(deadline)? / 4) {
                Ok(address) => address,
                Err(error) => {
                    sentinel_error = Some(error);
                    continue;
                }
            };
            match self.open(&address, time_left(deadline)? / 2) {
                Ok(connection) => {
                    self.first.store(position, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => server_error = Some(error),
            }
        }
        let error = server_error.or(sentinel_error).unwrap_or_else(|| problem("no Sentinel is named"));
        // The pool would take the refusal for an answer to its own commands.
        Err(if is_refusal(&error) {
            (ErrorKind::Client, "asking for the primary", error.to_string()).into()
        } else {
            error
        })
    }

    /// The address of the primary, according to one Sentinel.
    fn ask(&self, sentinel: &Client, limit: Duration) -> RedisResult<(String, u16)> {
        let mut connection = connect(sentinel, limit)?;
        let mut command = ::redis::cmd("SENTINEL");
        let address: Option<(String, u16)> =
            command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary).query(&mut connection)?;
        address.ok_or_else(|| problem("a Sentinel does not know a primary of this name"))
    }

    /// A connection to a server that itself says that it is the primary. After a failover, the
    /// former primary may return without knowing about it, but it says that it is a replica.
    fn open(&self, address: &(String, u16), limit: Duration) -> RedisResult<::redis::Connection> {
        let mut connection = connect(&self.client(address)?, limit)?;
        let role: Vec<Value> = ::redis::cmd("ROLE").query(&mut connection)?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(connection),
            _ => Err(problem("the server that a Sentinel named is not the primary")),
        }
    }

    /// The client for a server, which uses TLS if the Sentinels do.
    fn client(&self, (host, port): &(String, u16)) -> RedisResult<Client> {
        let (host, port) = (host.clone(), *port);
        let is_tls = self.clients.iter().any(|one| is_tls(one.get_connection_info().addr()));
        let address = if is_tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut last = self.last.lock();
        if let Some(client) = last.as_ref().filter(|last| *last.get_connection_info().addr() == address) {
            return Ok(client.clone());
        }
        let info = address.into_connection_info()?.set_redis_settings(self.login.clone());
        let client = self.files.client(info).map_err(|error| {
            RedisError::from((
                ErrorKind::InvalidClientConfig,
                "the primary's address or certificates",
                error.to_string(),
            ))
        })?;
        Ok(last.insert(client).clone())
    }
}

/// Opens a connection within `limit`, and allows the time that is left for each answer on it.
fn connect(client: &Client, limit: Duration) -> RedisResult<::redis::Connection> {
    let began = Instant::now();
    // The login is a sequence of answers, and the client allows this time for each of them.
    let login = client.get_connection_info().redis_settings();
    let answers = 1 + u32::from(login.password().is_some()) + u32::from(login.db() != 0);
    let connection = client.get_connection_with_timeout(limit / answers)?;
    let rest = Some(time_left(began + limit)?);
    connection.set_read_timeout(rest)?;
    connection.set_write_timeout(rest)?;
    Ok(connection)
}

fn is_tls(address: &ConnectionAddr) -> bool {
    matches!(address, ConnectionAddr::TcpTls { .. })
}

fn problem(text: &'static str) -> RedisError {
    (ErrorKind::Client, text).into()
}
