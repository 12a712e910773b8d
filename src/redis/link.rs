//! One connection, to a server or to the nodes of a cluster: what is sent over it is answered by an
//! instant, or not at all.

use std::thread;
use std::time::{Duration, Instant};

use ::redis::cluster::{ClusterClient, ClusterConfig, ClusterConnection};
use ::redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use ::redis::{
    Client, Cmd, Connection, ConnectionLike as _, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value,
};

use super::fields::Word;
use super::scripts::Script;
use super::sentinel::Sentinels;
use crate::sync::Arc;

/// How often a command is sent on to another node at once.
const AT_ONCE: usize = 4;

/// How long to wait for a cluster that is about to move a slot.
const PAUSE: Duration = Duration::from_millis(20);

const CLUSTER_DOWN: ErrorKind = ErrorKind::Server(ServerErrorKind::ClusterDown);

/// Something to ask a server, with its keys and arguments.
pub(super) struct Command<'a> {
    pub(super) verb: Verb,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) words: Vec<Word<'a>>,
}

#[derive(Clone, Copy)]
pub(super) enum Verb {
    Name(&'static str),
    Script(&'static Script),
    /// One whose first argument is a [plan](super::plan::Plan), which says whether it was sent
    /// before.
    Planned(&'static Script),
}

/// An answer to each call. Those that the server refused are errors, and were not carried out.
pub(super) type Answers = Vec<RedisResult<Value>>;

/// Where the server is.
#[derive(Clone)]
pub(super) enum Server {
    One(Client),
    /// The one that Sentinels name.
    Primary(Arc<Sentinels>),
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
            Self::Primary(sentinels) => {
                Ok(Link::One(Single { connection: sentinels.connect(deadline)?, limit: Duration::MAX }))
            }
            Self::Cluster(client) => {
                // The same for each node: some of them may be down, and the whole still ends in
                // time.
                let step = left / 8;
                let config = ClusterConfig::new().set_connection_timeout(step).set_response_timeout(step);
                let connection = client.get_connection_with_config(config)?;
                // It would do that after the time is over, and then send once more what must not be
                // sent twice.
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
    /// Asks for all, one after the other in one round trip; in a cluster one round trip each.
    pub(super) fn ask(&mut self, calls: &[Command<'_>], is_repeated: bool, deadline: Instant) -> RedisResult<Answers> {
        let command = |call: &Command<'_>, in_full| call.command(in_full, is_repeated);
        match self {
            Self::One(single) => {
                let mut answers = single.pipelined(calls.iter().map(|call| command(call, false)), deadline)?;
                // From the first script on that the server does not know all is sent once more:
                // what comes later depends on it. Each call may be sent twice.
                if let Some(first) = answers.iter().position(is_unknown_script) {
                    answers.truncate(first);
                    answers.extend(single.pipelined(calls[first..].iter().map(|call| command(call, true)), deadline)?);
                }
                Ok(answers)
            }
            Self::Cluster(nodes) => {
                let ask = |call| {
                    let answer = nodes.send(&command(call, false), deadline);
                    let answer =
                        if is_unknown_script(&answer) { nodes.send(&command(call, true), deadline) } else { answer };
                    match answer {
                        Err(error) if !is_refusal(&error) => Err(error),
                        answer => Ok(answer),
                    }
                };
                calls.iter().map(ask).collect()
            }
        }
    }

    /// Whether the next command may go over it.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::One(single) => single.connection.is_open(),
            Self::Cluster(nodes) => nodes.is_current && nodes.connection.is_open(),
        }
    }
}

impl Single {
    /// Has the socket wait until the deadline, give or take a twentieth: telling it each time would
    /// cost as much as the rest of a call.
    fn limit(&mut self, deadline: Instant) -> RedisResult<()> {
        let left = left(deadline)?;
        if self.limit.abs_diff(left) > left / 20 {
            self.connection.set_read_timeout(Some(left))?;
            self.connection.set_write_timeout(Some(left))?;
            self.limit = left;
        }
        Ok(())
    }

    /// Sends all and then reads all. (A `Pipeline` goes on reading after an answer did not come in
    /// time, and waits for each.)
    fn pipelined(&mut self, commands: impl Iterator<Item = Cmd>, deadline: Instant) -> RedisResult<Answers> {
        let (mut packed, mut sent) = (Vec::new(), 0);
        for command in commands {
            command.write_packed_command(&mut packed);
            sent += 1;
        }
        self.limit(deadline)?;
        self.connection.send_packed_command(&packed)?;
        let mut answer = || {
            self.limit(deadline)?;
            // No script of ours answers with an error within an answer.
            Ok(match self.connection.recv_response()? {
                Value::ServerError(error) => Err(error.into()),
                answer => Ok(answer),
            })
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

    /// Follows a slot to the node that has it. The connection could do so itself, but it would also
    /// send again what was not answered in time or got lost on the way, each time with a new time
    /// limit.
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

pub(super) fn left(deadline: Instant) -> RedisResult<Duration> {
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

/// Nothing more may be read from this connection: what comes may be the answer to another call.
pub(super) fn is_unusable(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() || is_replica(error)
}

/// It was the primary once. A new connection may lead to the one that took its place.
pub(super) fn is_replica(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// The server answered, and did not do it.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

fn is_unknown_script(answer: &RedisResult<Value>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

impl Command<'_> {
    /// `in_full`: with the code of a script in place of its hash.
    fn command(&self, in_full: bool, is_repeated: bool) -> Cmd {
        let bytes = self.keys.iter().map(Vec::len).chain(self.words.iter().map(|word| word.len())).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + self.keys.len() + self.words.len(), 64 + bytes);
        match self.verb {
            Verb::Name(name) => command.arg(name),
            Verb::Script(script) | Verb::Planned(script) => {
                let (verb, code) = if in_full { ("EVAL", &script.code) } else { ("EVALSHA", &script.hash) };
                command.arg(verb).arg(code).arg(self.keys.len())
            }
        };
        command.arg(&self.keys);
        let mut words = self.words.iter();
        if let (Verb::Planned(_), true) = (self.verb, is_repeated) {
            let plan = words.next().map_or(&[][..], |plan| plan);
            command.arg([b"1", plan.get(1..).unwrap_or_default()].concat());
        }
        words.for_each(|word| _ = command.arg(&**word));
        command
    }
}
