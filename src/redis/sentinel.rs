//! Sentinels: which server is the primary now, asked within a time limit.
//!
//! By Redis' "Guidelines for Redis clients with support for Redis Sentinel". Not through the
//! client of `redis` itself, which waits without a limit for a Sentinel or a server that is silent.

use std::time::{Duration, Instant};

use ::redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, RedisConnectionInfo, RedisError,
    RedisResult, Value,
};

use super::link::{is_refusal, left};
use super::tls::Files;
use crate::sync::{AtomicUsize, Mutex, Ordering};

pub(super) struct Sentinels {
    clients: Vec<Client>,
    /// What they call the server.
    primary: String,
    /// How to log in there.
    login: RedisConnectionInfo,
    files: Files,
    /// The Sentinel whose answer was right the last time is asked first.
    first: AtomicUsize,
    /// The primary of the last time: its certificates were read.
    last: Mutex<Option<Client>>,
}

impl Sentinels {
    pub(super) fn new(clients: Vec<Client>, primary: String, login: RedisConnectionInfo, files: Files) -> Self {
        Self { clients, primary, login, files, first: AtomicUsize::new(0), last: Mutex::new(None) }
    }

    /// A connection to the server that is the primary now, by the word of a Sentinel and by its
    /// own.
    pub(super) fn connect(&self, deadline: Instant) -> RedisResult<Connection> {
        let (count, first) = (self.clients.len(), self.first.load(Ordering::Relaxed));
        let (mut found, mut silent) = (None, None);
        for place in (first..first + count).map(|place| place % count) {
            // A quarter of what is left for a Sentinel, and half of the rest for the server that it
            // names: so there is time for the next one.
            let address = match self.ask(&self.clients[place], left(deadline)? / 4) {
                Ok(address) => address,
                Err(error) => {
                    silent = Some(error);
                    continue;
                }
            };
            match self.open(&address, left(deadline)? / 2) {
                Ok(connection) => {
                    self.first.store(place, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => found = Some(error),
            }
        }
        let error = found.or(silent).unwrap_or_else(|| problem("no Sentinel is named"));
        // A refusal of this would be taken for one of the call that a connection is made for.
        Err(if is_refusal(&error) {
            (ErrorKind::Client, "asking for the primary", error.to_string()).into()
        } else {
            error
        })
    }

    /// Where the primary is, as this one knows it.
    fn ask(&self, sentinel: &Client, limit: Duration) -> RedisResult<(String, u16)> {
        let mut link = connect(sentinel, limit)?;
        let mut command = ::redis::cmd("SENTINEL");
        let address: Option<(String, u16)> =
            command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary).query(&mut link)?;
        address.ok_or_else(|| problem("a Sentinel does not know a primary of this name"))
    }

    /// A connection to a server that says itself that it is the primary: the one that was it before
    /// a failover may be back, and not know yet.
    fn open(&self, address: &(String, u16), limit: Duration) -> RedisResult<Connection> {
        let mut connection = connect(&self.client(address)?, limit)?;
        let role: Vec<Value> = ::redis::cmd("ROLE").query(&mut connection)?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(connection),
            _ => Err(problem("the server that a Sentinel named is not the primary")),
        }
    }

    /// For the server at this address, over TLS if the Sentinels are asked so.
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

/// A connection whose every answer comes within this time, so far as it is not given another limit.
fn connect(client: &Client, limit: Duration) -> RedisResult<Connection> {
    let began = Instant::now();
    // The limit is for each of its answers to a login, and it waits for all of them.
    let login = client.get_connection_info().redis_settings();
    let answers = 1 + u32::from(login.password().is_some()) + u32::from(login.db() != 0);
    let connection = client.get_connection_with_timeout(limit / answers)?;
    let rest = Some(left(began + limit)?);
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
