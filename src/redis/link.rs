//! One connection, to a server or to the nodes of a cluster: what is sent over it is answered by an instant, or not at all.

use std::thread;
use std::time::{Duration, Instant};

use ::redis::cluster::{ClusterClient, ClusterConfig, ClusterConnection};
use ::redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use ::redis::{
    Client, Cmd, Connection, ConnectionLike as _, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value,
};

use super::fields::Word;
use super::scripts::Script;

/// How often a command is sent on to another node at once.
const AT_ONCE: usize = 4;

/// How long to wait for a cluster that is about to move a slot.
const PAUSE: Duration = Duration::from_millis(20);

const CLUSTER_DOWN: ErrorKind = ErrorKind::Server(ServerErrorKind::ClusterDown);

/// A script with its keys and arguments.
pub(super) struct Call<'a> {
    pub(super) script: &'static Script,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) words: Vec<Word<'a>>,
}

/// Where the server is.
#[derive(Clone)]
pub(super) enum Server {
    One(Client),
    Cluster(ClusterClient),
}

impl Server {
    pub(super) fn connect(&self, deadline: Instant) -> RedisResult<Link> {
        let left = left(deadline)?;
        match self {
            Self::One(client) => {
                // The limit is for each of its answers, and it waits for all of them.
                let login = client.get_connection_info().redis_settings();
                let answers = u32::from(login.password().is_some()) + u32::from(login.db() != 0);
                let connection = client.get_connection_with_timeout(left / answers.max(1))?;
                Ok(Link::One(Single { connection, limit: Duration::MAX }))
            }
            Self::Cluster(client) => {
                // The same for each node: some of them may be down, and the whole still ends in time.
                let step = left / 8;
                let config = ClusterConfig::new().set_connection_timeout(step).set_response_timeout(step);
                let connection = client.get_connection_with_config(config)?;
                // It would do that after the time is over, and then send once more what must not be sent twice.
                connection.set_auto_reconnect(false);
                Ok(Link::Cluster(Box::new(Nodes { connection, is_current: true })))
            }
        }
    }
}

pub(super) enum Link {
    One(Single),
    Cluster(Box<Nodes>),
}

pub(super) struct Single {
    connection: Connection,
    /// How long its socket waits.
    limit: Duration,
}

pub(super) struct Nodes {
    connection: ClusterConnection,
    /// No slot has been found elsewhere yet.
    is_current: bool,
}

impl Link {
    /// Runs scripts, one after the other in one round trip; in a cluster one round trip each.
    pub(super) fn run(&mut self, calls: &[Call<'_>], deadline: Instant) -> RedisResult<Vec<Value>> {
        if let (Self::One(single), [_, _, ..]) = (&mut *self, calls) {
            let answers = single.pipelined(calls.iter().map(Call::by_hash), deadline)?;
            return calls.iter().zip(answers).map(|(call, answer)| self.known(call, answer, deadline)).collect();
        }
        calls
            .iter()
            .map(|call| {
                let answer = self.send(&call.by_hash(), deadline);
                self.known(call, answer, deadline)
            })
            .collect()
    }

    /// A hash and the milliseconds that it has left, without a script, in one round trip; `None` in a cluster, where it would take two.
    ///
    /// Commands that come in one packet are carried out one after the other. If they come in two and somebody is faster, the time
    /// left is that of a moment before the hash: too little rather than too much. (A full server would refuse `MULTI`.)
    pub(super) fn read(&mut self, key: &[u8], deadline: Instant) -> RedisResult<Option<[Value; 2]>> {
        let Self::One(single) = self else { return Ok(None) };
        let commands = ["PTTL", "HGETALL"].into_iter().map(|verb| {
            let mut command = ::redis::cmd(verb);
            command.arg(key);
            command
        });
        let answers: Vec<Value> = single.pipelined(commands, deadline)?.into_iter().collect::<RedisResult<_>>()?;
        Ok(<[Value; 2]>::try_from(answers).ok())
    }

    /// The answer; if the server did not know the script, that of the script in full, which it knows from then on.
    fn known(&mut self, call: &Call<'_>, answer: RedisResult<Value>, deadline: Instant) -> RedisResult<Value> {
        match answer {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.send(&call.in_full(), deadline)
            }
            other => other,
        }
    }

    fn send(&mut self, command: &Cmd, deadline: Instant) -> RedisResult<Value> {
        match self {
            Self::One(single) => {
                single.limit(deadline)?;
                command.query(&mut single.connection)
            }
            Self::Cluster(nodes) => nodes.send(command, deadline),
        }
    }

    /// Whether the next command may go over it.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::One(single) => single.connection.is_open(),
            Self::Cluster(nodes) => nodes.is_current && nodes.connection.is_open(),
        }
    }

    /// Asks the server.
    pub(super) fn is_alive(&mut self, deadline: Instant) -> RedisResult<bool> {
        match self {
            Self::One(single) => {
                single.limit(deadline)?;
                Ok(single.connection.check_connection())
            }
            Self::Cluster(nodes) => {
                nodes.limit(deadline)?;
                Ok(nodes.connection.check_connection())
            }
        }
    }
}

impl Single {
    /// Has the socket wait until the deadline, give or take a twentieth: telling it each time would cost as much as the
    /// rest of a call.
    fn limit(&mut self, deadline: Instant) -> RedisResult<()> {
        let left = left(deadline)?;
        if self.limit.abs_diff(left) > left / 20 {
            self.connection.set_read_timeout(Some(left))?;
            self.connection.set_write_timeout(Some(left))?;
            self.limit = left;
        }
        Ok(())
    }

    /// Sends all and then reads all. (A `Pipeline` goes on reading after an answer did not come in time, and waits for each.)
    fn pipelined(
        &mut self,
        commands: impl Iterator<Item = Cmd>,
        deadline: Instant,
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let (mut packed, mut sent) = (Vec::new(), 0);
        for command in commands {
            command.write_packed_command(&mut packed);
            sent += 1;
        }
        self.limit(deadline)?;
        self.connection.send_packed_command(&packed)?;
        let mut answer = || {
            self.limit(deadline)?;
            self.connection.recv_response().map(Value::extract_error)
        };
        (0..sent).map(|_| answer()).collect()
    }
}

impl Nodes {
    fn limit(&self, deadline: Instant) -> RedisResult<()> {
        let left = Some(left(deadline)?);
        self.connection.set_read_timeout(left)?;
        self.connection.set_write_timeout(left)
    }

    /// Follows a slot to the node that has it. The connection could do so itself, but it would also send again what was not answered
    /// in time or got lost on the way, each time with a new time limit.
    fn send(&mut self, command: &Cmd, deadline: Instant) -> RedisResult<Value> {
        self.limit(deadline)?;
        let mut answer = command.query(&mut self.connection);
        for turn in 0_usize.. {
            let error = match answer {
                // Until there is a cluster again is too long to wait.
                Err(error) if error.is_cluster_error() && error.kind() != CLUSTER_DOWN => error,
                other => return other,
            };
            let kind = error.kind();
            // With a new connection comes a new map of the slots.
            self.is_current &= kind != ErrorKind::Server(ServerErrorKind::Moved);
            let node = error.redirect_node().and_then(|(address, _)| by_address(address));
            if node.is_none() || turn >= AT_ONCE {
                thread::sleep(PAUSE);
            }
            if left(deadline).is_err() {
                // The nodes are there and answer: it is not that they are late.
                return Err(error);
            }
            self.limit(deadline)?;
            answer = match node {
                None => command.query(&mut self.connection),
                Some(node) => {
                    if kind == ErrorKind::Server(ServerErrorKind::Ask) {
                        self.connection.route_command(&::redis::cmd("ASKING"), node.clone())?;
                    }
                    self.connection.route_command(command, node)
                }
            };
        }
        answer
    }
}

fn by_address(address: &str) -> Option<RoutingInfo> {
    let (host, port) = address.rsplit_once(':')?;
    let (host, port) = (host.to_owned(), port.parse().ok()?);
    (!host.is_empty()).then_some(RoutingInfo::SingleNode(SingleNodeRoutingInfo::ByAddress { host, port }))
}

fn left(deadline: Instant) -> RedisResult<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    }
    Ok(left)
}

/// The connection broke off: the server was restarted, or it closes what is idle.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// Nothing more may be read from this connection: what comes may be the answer to somebody else's question.
pub(super) fn is_unusable(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() || is_replica(error)
}

/// It was the primary once. A new connection may lead to the one that took its place.
pub(super) fn is_replica(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

impl Call<'_> {
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
