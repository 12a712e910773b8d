//! The connection pool: a bounded number of connections, each used within a time limit.
//!
//! A *permit* is the right to a connection. A request with a permit takes the idle connection that
//! was used last, or opens one if none is idle. The connection returns to the pool before the
//! permit does, but only if it is usable and all its answers were read. Otherwise, for example
//! after a panic, the connection is closed.
//!
//! A forked process shares the sockets of its parent. If parent and child used one socket, each
//! could read answers meant for the other. So the first request in the child closes the child's
//! copies of the sockets and opens new connections. The parent's sockets stay open. Each request
//! asks for the process id; this system call costs about a thousandth of a round trip.

use std::process;
use std::time::{Duration, Instant};

use ::redis::{RedisResult, Value};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::connection::{Answers, Command, Connection, Server};
use super::failure::{Breaker, Cause, Failure, is_lost, is_refusal, is_replica, is_unusable};
use crate::sync::{AtomicU32, Mutex, Ordering};

pub(super) struct ConnectionPool {
    server: Server,
    /// The name of the server in errors.
    name: String,
    timeout: Duration,
    breaker: Breaker,
    /// One message for each permit that is not in use.
    permits: Receiver<()>,
    free: Sender<()>,
    /// The connection used last is taken first, so that surplus connections stay idle.
    idle: Mutex<Vec<Connection>>,
    /// The process that the connections and permits belong to.
    process: AtomicU32,
}

impl ConnectionPool {
    pub(super) fn new(server: Server, name: String, connections: usize, timeout: Duration, pause: Duration) -> Self {
        let (free, permits) = bounded(connections);
        for _ in 0..connections {
            // The channel has room for all of them.
            let _ = free.try_send(());
        }
        Self {
            server,
            name,
            timeout,
            breaker: Breaker::new(pause),
            permits,
            free,
            idle: Mutex::new(Vec::new()),
            process: AtomicU32::new(process::id()),
        }
    }

    /// The name of the server in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.server, Server::Cluster(_))
    }

    /// Sends all commands in order. They take one round trip together, or one round trip each in a
    /// cluster. If an idle connection turns out to be lost, all commands are sent again over a new
    /// one.
    pub(super) fn ask(&self, commands: &[Command<'_>]) -> Result<Vec<Result<Value, Failure>>, Failure> {
        self.check_process();
        let deadline = Instant::now() + self.timeout;
        let permit = self.permit(deadline).map_err(|cause| self.failure(cause, false))?;
        // If most of the time went into waiting for a connection, a timeout says nothing about the
        // server.
        let is_conclusive = deadline.saturating_duration_since(Instant::now()) >= self.timeout / 2;
        let (mut connection, mut times_sent) = (None, 0);
        let result = self.answers(&mut connection, &mut times_sent, commands, deadline);
        self.conclude(&result, connection.is_some(), is_conclusive);
        let is_good = match &result {
            Ok(answers) => !has_replica(answers),
            Err(error) => !is_unusable(error),
        };
        if let Some(connection) = connection.filter(|connection| is_good && connection.is_open()) {
            self.idle.lock().push(connection);
        }
        drop(permit);
        // If the commands were sent twice, the server may have carried them out the first time,
        // even if it refuses them the second time.
        let refused = |error| self.failure(Cause::Redis(error), times_sent > 1);
        match result {
            Ok(answers) => Ok(answers.into_iter().map(|answer| answer.map_err(refused)).collect()),
            Err(error) => {
                let is_unknown = times_sent > usize::from(is_refusal(&error));
                let came_too_late = !is_conclusive && error.is_timeout();
                Err(self.failure(if came_too_late { self.busy() } else { Cause::Redis(error) }, is_unknown))
            }
        }
    }

    /// Resets the pool in a forked child, because the connections and permits are the parent's.
    fn check_process(&self) {
        let process = process::id();
        if self.process.load(Ordering::Acquire) == process {
            return;
        }
        let mut idle = self.idle.lock();
        if self.process.load(Ordering::Acquire) != process {
            // The server sees no connection close, because the parent's copies stay open.
            idle.clear();
            // Permits in use by threads of the parent never return here.
            while self.free.try_send(()).is_ok() {}
            self.process.store(process, Ordering::Release);
        }
    }

    fn permit(&self, deadline: Instant) -> Result<Permit<'_>, Cause> {
        let is_trial = self.breaker.admit().map_err(Cause::Down)?;
        if self.permits.try_recv().is_ok() {
            return Ok(Permit { free: &self.free });
        }
        self.permits.recv_deadline(deadline).map_err(|_| self.busy())?;
        let permit = Permit { free: &self.free };
        if !is_trial {
            // While this request waited, another one may have found the server down.
            self.breaker.admit().map_err(Cause::Down)?;
        }
        Ok(permit)
    }

    /// Sends the commands and reads the answers, a second time if an idle connection is lost. Sets
    /// `connection` to the one that was used last, if one could be opened.
    fn answers(
        &self,
        connection: &mut Option<Connection>,
        times_sent: &mut usize,
        commands: &[Command<'_>],
        deadline: Instant,
    ) -> RedisResult<Answers> {
        let idle = self.idle.lock().pop();
        let was_idle = idle.is_some();
        let first = match idle {
            Some(idle) => idle,
            None => self.server.connect(deadline)?,
        };
        *times_sent = 1;
        match connection.insert(first).ask(commands, false, deadline) {
            Err(error) if was_idle && is_lost(&error) => {
                self.forget_idle();
                *connection = None;
                let connection = connection.insert(self.server.connect(deadline)?);
                *times_sent = 2;
                connection.ask(commands, true, deadline)
            }
            other => other,
        }
    }

    /// Opens or closes the breaker after a result, and closes the idle connections if they may
    /// fail.
    fn conclude(&self, result: &RedisResult<Answers>, was_connected: bool, is_conclusive: bool) {
        match result {
            Err(error) if !was_connected || error.is_timeout() || error.is_connection_refusal() => {
                if is_conclusive {
                    self.breaker.failed(&error.to_string());
                }
                // The idle connections lead to this server, and another may be the primary by now.
                if matches!(self.server, Server::Primary(_)) {
                    self.forget_idle();
                }
            }
            // The other idle connections are as old, or lead to the same replica, so using
            // one of them would probably fail, too.
            Err(error) if is_lost(error) || is_replica(error) => self.forget_idle(),
            Ok(answers) if has_replica(answers) => self.forget_idle(),
            // A refusal, too, shows that the server answers.
            Ok(_) | Err(_) => self.breaker.succeeded(),
        }
    }

    /// Closes the idle connections.
    pub(super) fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    fn busy(&self) -> Cause {
        Cause::Busy(self.free.capacity().unwrap_or(0), self.timeout)
    }

    fn failure(&self, cause: Cause, is_unknown: bool) -> Failure {
        Failure { server: self.name.clone(), cause, is_unknown }
    }
}

fn has_replica(answers: &Answers) -> bool {
    answers.iter().any(|answer| answer.as_ref().is_err_and(is_replica))
}

/// A permit in use. Dropping it returns it.
struct Permit<'a> {
    free: &'a Sender<()>,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // The channel has room, because this permit was taken from it.
        let _ = self.free.try_send(());
    }
}
