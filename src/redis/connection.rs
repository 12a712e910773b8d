//! One connection, to a server or to the nodes of a cluster, and the commands that it sends.
//!
//! Every answer arrives before a deadline, or the request fails.

use std::thread;
use std::time::{Duration, Instant};

use ::redis::cluster::{ClusterClient, ClusterConfig, ClusterConnection};
use ::redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use ::redis::{Cmd, ConnectionLike as _, ErrorKind, RedisResult, ServerErrorKind, Value};

use super::failure::{is_refusal, time_left};
use super::lua::{Arg, LuaScript};
use super::sentinel::Sentinels;
use crate::sync::Arc;

/// How many redirections of a command are followed without a pause.
const MAX_QUICK_REDIRECTS: usize = 4;

/// The pause before a retry while a cluster moves a hash slot.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

const CLUSTER_DOWN: ErrorKind = ErrorKind::Server(ServerErrorKind::ClusterDown);

/// A command with its keys and arguments.
pub(super) struct Command<'a> {
    pub(super) verb: Verb,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) args: Vec<Arg<'a>>,
}

#[derive(Clone, Copy)]
pub(super) enum Verb {
    Name(&'static str),
    Script(&'static LuaScript),
    /// A script on a session. The first byte of its first argument says whether the command was
    /// sent before (see [`invocation`](super::invocation)).
    Session(&'static LuaScript),
}

/// An answer to each command. An error means that the server refused the command.
pub(super) type Answers = Vec<RedisResult<Value>>;

/// How to reach the server.
#[derive(Clone)]
pub(super) enum Server {
    Standalone(::redis::Client),
    /// The primary that Sentinels name.
    Primary(Arc<Sentinels>),
    Cluster(ClusterClient),
}

impl Server {
    pub(super) fn connect(&self, deadline: Instant) -> RedisResult<Connection> {
        let left = time_left(deadline)?;
        let standalone = |connection| Connection::Standalone(Standalone { connection, limit: Duration::MAX });
        match self {
            Self::Standalone(client) => {
                // The timeout applies to each answer, so `AUTH` and `SELECT` share the time left.
                let login = client.get_connection_info().redis_settings();
                let answers = u32::from(login.password().is_some()) + u32::from(login.db() != 0);
                client.get_connection_with_timeout(left / answers.max(1)).map(standalone)
            }
            Self::Primary(sentinels) => sentinels.connect(deadline).map(standalone),
            Self::Cluster(client) => {
                // The timeouts apply to each node. They are short because some may be down.
                let step = left / 8;
                let config = ClusterConfig::new().set_connection_timeout(step).set_response_timeout(step);
                let connection = client.get_connection_with_config(config)?;
                // The `redis` crate would reconnect after the deadline, and would repeat commands
                // that must not be repeated.
                connection.set_auto_reconnect(false);
                Ok(Connection::Cluster(Box::new(Cluster { connection, is_current: true })))
            }
        }
    }
}

pub(super) enum Connection {
    Standalone(Standalone),
    Cluster(Box<Cluster>),
}

pub(super) struct Standalone {
    connection: ::redis::Connection,
    /// The current timeout of the socket.
    limit: Duration,
}

pub(super) struct Cluster {
    connection: ClusterConnection,
    /// False after the answer `MOVED`, because then the map of hash slots is outdated.
    is_current: bool,
}

impl Connection {
    /// Sends all commands in order, in one round trip; in a cluster one round trip each.
    pub(super) fn ask(
        &mut self,
        commands: &[Command<'_>],
        is_repeated: bool,
        deadline: Instant,
    ) -> RedisResult<Answers> {
        let packed = |command: &Command<'_>, in_full| command.to_cmd(in_full, is_repeated);
        match self {
            Self::Standalone(server) => {
                let mut answers = server.pipelined(commands.iter().map(|one| packed(one, false)), deadline)?;
                // If the server does not know a script, the script's command and all later ones,
                // which may depend on it, are sent again. It is safe to send a command twice.
                if let Some(first) = answers.iter().position(is_unknown_script) {
                    answers.truncate(first);
                    answers.extend(server.pipelined(commands[first..].iter().map(|one| packed(one, true)), deadline)?);
                }
                Ok(answers)
            }
            Self::Cluster(cluster) => {
                let ask = |command| {
                    let mut answer = cluster.send(&packed(command, false), deadline);
                    if is_unknown_script(&answer) {
                        answer = cluster.send(&packed(command, true), deadline);
                    }
                    match answer {
                        Err(error) if !is_refusal(&error) => Err(error),
                        answer => Ok(answer),
                    }
                };
                commands.iter().map(ask).collect()
            }
        }
    }

    /// Returns true if the connection can be used again.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Standalone(server) => server.connection.is_open(),
            Self::Cluster(cluster) => cluster.is_current && cluster.connection.is_open(),
        }
    }
}

impl Standalone {
    /// Sets the timeout of the socket if it is wrong by more than a twentieth. Setting it each time
    /// would cost as much as the rest of a request.
    fn set_limit(&mut self, deadline: Instant) -> RedisResult<()> {
        let left = time_left(deadline)?;
        if self.limit.abs_diff(left) > left / 20 {
            self.connection.set_read_timeout(Some(left))?;
            self.connection.set_write_timeout(Some(left))?;
            self.limit = left;
        }
        Ok(())
    }

    /// Sends all commands, then reads all answers until one is late. `redis::Pipeline` would wait
    /// for the answers after the late one, too.
    fn pipelined(&mut self, commands: impl Iterator<Item = Cmd>, deadline: Instant) -> RedisResult<Answers> {
        let (mut packed, mut sent) = (Vec::new(), 0);
        for command in commands {
            command.write_packed_command(&mut packed);
            sent += 1;
        }
        self.set_limit(deadline)?;
        self.connection.send_packed_command(&packed)?;
        let mut answer = || {
            self.set_limit(deadline)?;
            // None of lembro's scripts answers with an error inside of an array.
            Ok(match self.connection.recv_response()? {
                Value::ServerError(error) => Err(error.into()),
                answer => Ok(answer),
            })
        };
        (0..sent).map(|_| answer()).collect()
    }
}

impl Cluster {
    fn set_limit(&self, deadline: Instant) -> RedisResult<()> {
        let left = Some(time_left(deadline)?);
        self.connection.set_read_timeout(left)?;
        self.connection.set_write_timeout(left)
    }

    /// Sends a command, and follows redirections to the node that has its hash slot. The `redis`
    /// crate could follow them, but it would also repeat commands whose answer was late or lost,
    /// each time with a new time limit.
    fn send(&mut self, command: &Cmd, deadline: Instant) -> RedisResult<Value> {
        self.set_limit(deadline)?;
        let mut answer = command.query(&mut self.connection);
        for redirects in 0_usize.. {
            let error = match answer {
                // Waiting until the cluster is up again would take too long.
                Err(error) if error.is_cluster_error() && error.kind() != CLUSTER_DOWN => error,
                other => return other,
            };
            let kind = error.kind();
            // A new connection fetches a new map of the hash slots.
            self.is_current &= kind != ErrorKind::Server(ServerErrorKind::Moved);
            let node = error.redirect_node().and_then(|(address, _)| by_address(address));
            if node.is_none() || redirects >= MAX_QUICK_REDIRECTS {
                thread::sleep(RETRY_PAUSE);
            }
            if time_left(deadline).is_err() {
                // The nodes answered, so the error is their redirection and not a timeout.
                return Err(error);
            }
            self.set_limit(deadline)?;
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

fn is_unknown_script(answer: &RedisResult<Value>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

impl Command<'_> {
    /// Encodes the command. If `in_full`, a script is sent as its code instead of its hash.
    fn to_cmd(&self, in_full: bool, is_repeated: bool) -> Cmd {
        let bytes = self.keys.iter().map(Vec::len).chain(self.args.iter().map(|arg| arg.len())).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + self.keys.len() + self.args.len(), 64 + bytes);
        match self.verb {
            Verb::Name(name) => command.arg(name),
            Verb::Script(script) | Verb::Session(script) => {
                let (verb, code) = if in_full { ("EVAL", &script.code) } else { ("EVALSHA", &script.hash) };
                command.arg(verb).arg(code).arg(self.keys.len())
            }
        };
        command.arg(&self.keys);
        let mut args = self.args.iter();
        if let (Verb::Session(_), true) = (self.verb, is_repeated) {
            let first = args.next().map_or(&[][..], |first| first);
            command.arg([b"1", first.get(1..).unwrap_or_default()].concat());
        }
        args.for_each(|arg| _ = command.arg(&**arg));
        command
    }
}
