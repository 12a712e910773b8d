//! The connections: a bounded pool, a time limit for all that is done with them, and what happens when the server fails.

use std::fmt;
use std::time::{Duration, Instant};

use ::redis::cluster::{ClusterClient, ClusterConnection};
use ::redis::{Client, Cmd, Connection, ConnectionLike as _, RedisError, RedisResult, ServerErrorKind, Value};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::breaker::Breaker;
use super::fields::Word;
use super::scripts::{FORMAT, GET, Script};

/// A connection that lay idle for longer is asked whether it still works before something is sent that must not be sent twice.
const IDLE: Duration = Duration::from_secs(1);

/// A script with its keys and arguments.
pub(super) struct Call<'a> {
    pub(super) script: &'static Script,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) words: Vec<Word<'a>>,
}

/// Whether a call may be sent once more when the connection was lost before its answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It does the same again, or nothing.
    Once,
    Never,
}

/// Where the server is.
#[derive(Clone)]
pub(super) enum Server {
    One(Client),
    Cluster(ClusterClient),
}

pub(super) struct Connections {
    server: Server,
    /// How the server is called in errors.
    name: String,
    timeout: Duration,
    breaker: Breaker,
    /// One place for each connection there may be, with a connection in it or not.
    places: Receiver<Option<Idle>>,
    free: Sender<Option<Idle>>,
}

struct Idle {
    link: Link,
    since: Instant,
}

enum Link {
    One(Connection),
    Cluster(Box<ClusterConnection>),
}

/// Why a call has no answer.
#[derive(Debug)]
pub(super) struct Failure {
    server: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// Not tried: it failed a moment ago, for this reason.
    Down(String),
    /// All connections were in use for too long.
    Busy(usize, Duration),
    Redis(RedisError),
}

impl Connections {
    pub(super) fn new(server: Server, name: String, connections: usize, timeout: Duration, pause: Duration) -> Self {
        let (free, places) = bounded(connections);
        for _ in 0..connections {
            // There is room for just so many.
            let _ = free.try_send(None);
        }
        Self { server, name, timeout, breaker: Breaker::new(pause), places, free }
    }

    /// How the server is called in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs scripts, one after the other in one round trip; in a cluster one round trip each. One answer each.
    pub(super) fn call(&self, calls: &[Call<'_>], repeat: Repeat) -> Result<Vec<Value>, Failure> {
        let deadline = Instant::now() + self.timeout;
        self.breaker.admit().map_err(|why| self.failure(Why::Down(why)))?;
        let place = self.places.recv_timeout(self.timeout);
        let idle = place.map_err(|_| self.failure(Why::Busy(self.free.capacity().unwrap_or(0), self.timeout)))?;
        let mut lease = Lease { free: &self.free, link: None };
        let was_idle = idle.is_some();
        let result = self.fresh(idle, repeat, deadline).and_then(|link| run(lease.link.insert(link), calls, deadline));
        let result = match result {
            Err(error) if was_idle && repeat == Repeat::Once && is_lost(&error) => {
                self.forget_idle();
                lease.link = None;
                self.connect(deadline).and_then(|link| run(lease.link.insert(link), calls, deadline))
            }
            other => other,
        };
        match &result {
            Ok(_) => self.breaker.succeeded(),
            Err(error) => {
                let was_connected = lease.link.is_some();
                if is_unusable(error) {
                    lease.link = None;
                }
                if !was_connected || error.is_timeout() || error.is_connection_refusal() {
                    self.breaker.failed(&error.to_string());
                } else if is_lost(error) {
                    // The others are as old: none of them is to cost a request.
                    self.forget_idle();
                } else {
                    // It answered, if only that it will not.
                    self.breaker.succeeded();
                }
            }
        }
        result.map_err(|error| self.failure(Why::Redis(error)))
    }

    /// A connection that works, as far as can be told without sending what must not be sent twice.
    fn fresh(&self, idle: Option<Idle>, repeat: Repeat, deadline: Instant) -> RedisResult<Link> {
        let Some(mut idle) = idle else { return self.connect(deadline) };
        if repeat == Repeat::Never && idle.since.elapsed() > IDLE {
            idle.link.limit(deadline)?;
            if !idle.link.is_alive() {
                self.forget_idle();
                return self.connect(deadline);
            }
        }
        Ok(idle.link)
    }

    fn connect(&self, deadline: Instant) -> RedisResult<Link> {
        let left = left(deadline)?;
        match &self.server {
            Server::One(client) => client.get_connection_with_timeout(left).map(Link::One),
            Server::Cluster(client) => client.get_connection().map(|link| Link::Cluster(Box::new(link))),
        }
    }

    /// Closes what lies idle, and leaves its places.
    fn forget_idle(&self) {
        for _ in 0..self.places.len() {
            match self.places.try_recv() {
                Ok(idle) => {
                    drop(idle);
                    let _ = self.free.try_send(None);
                }
                Err(_) => return,
            }
        }
    }

    fn failure(&self, why: Why) -> Failure {
        Failure { server: self.name.clone(), why }
    }
}

/// A place in use. Dropped, it is free again, with its connection if that is still good.
struct Lease<'a> {
    free: &'a Sender<Option<Idle>>,
    link: Option<Link>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let idle = self.link.take().filter(Link::is_open).map(|link| Idle { link, since: Instant::now() });
        // There is room: this place was taken from it.
        let _ = self.free.try_send(idle);
    }
}

impl Link {
    fn limit(&self, deadline: Instant) -> RedisResult<()> {
        let left = Some(left(deadline)?);
        match self {
            Self::One(connection) => {
                connection.set_read_timeout(left)?;
                connection.set_write_timeout(left)
            }
            Self::Cluster(connection) => {
                connection.set_read_timeout(left)?;
                connection.set_write_timeout(left)
            }
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Self::One(connection) => connection.is_open(),
            Self::Cluster(connection) => connection.is_open(),
        }
    }

    fn is_alive(&mut self) -> bool {
        match self {
            Self::One(connection) => connection.check_connection(),
            Self::Cluster(connection) => connection.check_connection(),
        }
    }

    fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(connection) => command.query(connection),
            Self::Cluster(connection) => command.query(&mut **connection),
        }
    }
}

fn run(link: &mut Link, calls: &[Call<'_>], deadline: Instant) -> RedisResult<Vec<Value>> {
    link.limit(deadline)?;
    if let (Link::One(connection), [call]) = (&mut *link, calls)
        && let Some(answer) = call.read(connection)?
    {
        return Ok(vec![answer]);
    }
    if let (Link::One(connection), [_, _, ..]) = (&mut *link, calls) {
        let mut pipeline = ::redis::pipe();
        for call in calls {
            pipeline.add_command(call.by_hash());
        }
        let answers: Vec<RedisResult<Value>> = pipeline.ignore_errors().query(connection)?;
        let answers = answers.into_iter().zip(calls);
        return answers.map(|(answer, call)| known(link, call, answer)).collect();
    }
    calls
        .iter()
        .map(|call| {
            let answer = link.send(&call.by_hash());
            known(link, call, answer)
        })
        .collect()
}

/// The answer; if the server did not know the script, that of the script in full, which it knows from then on.
fn known(link: &mut Link, call: &Call<'_>, answer: RedisResult<Value>) -> RedisResult<Value> {
    match answer {
        Err(error) if error.kind() == ::redis::ErrorKind::Server(ServerErrorKind::NoScript) => {
            link.send(&call.in_full())
        }
        other => other,
    }
}

impl Call<'_> {
    /// What the script `GET` would answer, read without it: Lua takes longer over a session than all the rest. `None` if this is not
    /// enough to tell.
    ///
    /// Two commands that come in one packet are carried out one after the other. If they come in two and somebody is faster, the time
    /// left is that of a moment before the session: too little rather than too much. (`MULTI` would be refused by a full server.)
    fn read(&self, connection: &mut Connection) -> RedisResult<Option<Value>> {
        let (true, [key, ..], [digest, ..]) = (is_get(self.script), self.keys.as_slice(), self.words.as_slice()) else {
            return Ok(None);
        };
        let mut reading = ::redis::pipe();
        reading.cmd("PTTL").arg(key).cmd("HGETALL").arg(key);
        let (left, fields): (i64, Value) = reading.query(connection)?;
        let Value::Array(pairs) = &fields else { return Ok(None) };
        if pairs.is_empty() {
            return Ok(Some(Value::SimpleString("Gone".to_owned())));
        }
        let of = |name: &[u8]| {
            let mut pairs = pairs.chunks_exact(2);
            pairs.find_map(|pair| match pair {
                [Value::BulkString(field), Value::BulkString(value)] if field == name => Some(value.as_slice()),
                _ => None,
            })
        };
        let is_plain =
            left >= 0 && of(b"d") == Some(&**digest) && of(b"f") == Some(FORMAT.as_bytes()) && of(b"q").is_none();
        Ok(is_plain.then(|| Value::Array(vec![Value::Int(left), fields, Value::Int(0)])))
    }

    fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    fn in_full(&self) -> Cmd {
        self.command("EVAL", &self.script.code)
    }

    fn command(&self, verb: &str, script: &str) -> Cmd {
        let mut command = ::redis::cmd(verb);
        command.arg(script).arg(self.keys.len()).arg(&self.keys);
        for word in &self.words {
            command.arg(&**word);
        }
        command
    }
}

fn is_get(script: &'static Script) -> bool {
    std::ptr::eq(script, &*GET as &Script)
}

fn left(deadline: Instant) -> RedisResult<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    }
    Ok(left)
}

/// The connection broke off: the server was restarted, or it closes what is idle.
fn is_lost(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// Nothing more may be read from this connection: what comes may be the answer to somebody else's question.
fn is_unusable(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() || is_replica(error)
}

/// It was the primary once. A new connection may lead to the one that took its place.
fn is_replica(error: &RedisError) -> bool {
    error.kind() == ::redis::ErrorKind::Server(ServerErrorKind::ReadOnly)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.server)?;
        match &self.why {
            Why::Down(why) => write!(f, "not tried, for it failed a moment ago: {why}"),
            Why::Busy(connections, waited) => write!(f, "all {connections} connections were in use for {waited:?}"),
            Why::Redis(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Why::Redis(error) => Some(error),
            Why::Down(_) | Why::Busy(..) => None,
        }
    }
}
