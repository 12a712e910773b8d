//! The connections: a bounded pool, a time limit for all that is done with them, and what happens
//! when the server fails.
//!
//! A *permit* is the right to have a connection. A call with a permit takes the connection that was
//! used last, or makes one. The connection goes back before the permit does, and only after an
//! answer was read to its end. On every other way out, a panic included, it is closed.
//!
//! A process that was forked shares the sockets of its parent. If both used one, each would read
//! answers to what the other asked. So the first call in the child closes its copies and makes
//! connections of its own; the parent's stay open. The process id, a system call, costs about a
//! thousandth of a round trip.

use std::fmt;
use std::process;
use std::time::{Duration, Instant};

use ::redis::{RedisError, RedisResult, Value};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::breaker::Breaker;
use super::link::{Answers, Link, is_lost, is_refusal, is_replica, is_unusable};
pub(super) use super::link::{Command, Server, Verb};
use crate::sync::{AtomicU32, Mutex, Ordering};

pub(super) struct Connections {
    server: Server,
    /// How the server is called in errors.
    name: String,
    timeout: Duration,
    breaker: Breaker,
    /// As many as there may be connections, without those in use.
    permits: Receiver<()>,
    free: Sender<()>,
    /// The one used last on top, so that no more are kept busy than are needed.
    idle: Mutex<Vec<Link>>,
    /// Whose connections and permits these are.
    process: AtomicU32,
}

/// Why a call has no answer.
#[derive(Debug)]
pub(super) struct Failure {
    server: String,
    why: Why,
    /// What was asked for may have been carried out all the same.
    pub(super) is_unknown: bool,
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
        let (free, permits) = bounded(connections);
        for _ in 0..connections {
            // There is room for just so many.
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

    /// How the server is called in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.server, Server::Cluster(_))
    }

    /// Asks for all, one after the other in one round trip; in a cluster one round trip each. If a
    /// connection that lay idle turns out to be lost, all is sent once more over another one.
    pub(super) fn ask(&self, calls: &[Command<'_>]) -> Result<Vec<Result<Value, Failure>>, Failure> {
        self.leave_to_parent();
        let deadline = Instant::now() + self.timeout;
        let permit = self.permit(deadline).map_err(|why| self.failure(why, false))?;
        // A call that waited for long and then ran out of time has learnt nothing about the server.
        let is_telling = deadline.saturating_duration_since(Instant::now()) >= self.timeout / 2;
        let (mut link, mut times_sent) = (None, 0);
        let result = self.answers(&mut link, &mut times_sent, calls, deadline);
        self.conclude(&result, link.is_some(), is_telling);
        let is_good = match &result {
            Ok(answers) => !has_replica(answers),
            Err(error) => !is_unusable(error),
        };
        if let Some(link) = link.filter(|link| is_good && link.is_open()) {
            self.idle.lock().push(link);
        }
        drop(permit);
        // What was sent before may have been carried out, though the server refuses it now.
        let refused = |error| self.failure(Why::Redis(error), times_sent > 1);
        match result {
            Ok(answers) => Ok(answers.into_iter().map(|answer| answer.map_err(refused)).collect()),
            Err(error) => {
                let is_unknown = times_sent > usize::from(is_refusal(&error));
                let came_too_late = !is_telling && error.is_timeout();
                Err(self.failure(if came_too_late { self.busy() } else { Why::Redis(error) }, is_unknown))
            }
        }
    }

    /// In a forked child: gives up what its parent has in use.
    fn leave_to_parent(&self) {
        let process = process::id();
        if self.process.load(Ordering::Acquire) == process {
            return;
        }
        let mut idle = self.idle.lock();
        if self.process.load(Ordering::Acquire) != process {
            // Closing says nothing to the server: the parent has these sockets, too.
            idle.clear();
            // Permits that threads of the parent had never come back here.
            while self.free.try_send(()).is_ok() {}
            self.process.store(process, Ordering::Release);
        }
    }

    fn permit(&self, deadline: Instant) -> Result<Permit<'_>, Why> {
        let is_trial = self.breaker.admit().map_err(Why::Down)?;
        if self.permits.try_recv().is_ok() {
            return Ok(Permit { free: &self.free });
        }
        self.permits.recv_deadline(deadline).map_err(|_| self.busy())?;
        let permit = Permit { free: &self.free };
        if !is_trial {
            // Those it waited for may have found the server down.
            self.breaker.admit().map_err(Why::Down)?;
        }
        Ok(permit)
    }

    /// `link`: what they came over, if there was a connection at all.
    fn answers(
        &self,
        link: &mut Option<Link>,
        times_sent: &mut usize,
        calls: &[Command<'_>],
        deadline: Instant,
    ) -> RedisResult<Answers> {
        let idle = self.idle.lock().pop();
        let was_idle = idle.is_some();
        let first = match idle {
            Some(idle) => idle,
            None => self.server.connect(deadline)?,
        };
        *times_sent = 1;
        match link.insert(first).ask(calls, false, deadline) {
            Err(error) if was_idle && is_lost(&error) => {
                self.forget_idle();
                *link = None;
                let link = link.insert(self.server.connect(deadline)?);
                *times_sent = 2;
                link.ask(calls, true, deadline)
            }
            other => other,
        }
    }

    /// What an answer, or none, says about the server.
    fn conclude(&self, result: &RedisResult<Answers>, was_connected: bool, is_telling: bool) {
        match result {
            Err(error) if !was_connected || error.is_timeout() || error.is_connection_refusal() => {
                if is_telling {
                    self.breaker.failed(&error.to_string());
                }
                // Another one may be the primary by now, and what is idle leads to this one.
                if matches!(self.server, Server::Primary(_)) {
                    self.forget_idle();
                }
            }
            // The others are as old, or lead to the same replica: none of them is to cost a
            // request.
            Err(error) if is_lost(error) || is_replica(error) => self.forget_idle(),
            Ok(answers) if has_replica(answers) => self.forget_idle(),
            // Even if it answered that it will not.
            Ok(_) | Err(_) => self.breaker.succeeded(),
        }
    }

    /// Closes what lies idle.
    pub(super) fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    fn busy(&self) -> Why {
        Why::Busy(self.free.capacity().unwrap_or(0), self.timeout)
    }

    fn failure(&self, why: Why, is_unknown: bool) -> Failure {
        Failure { server: self.name.clone(), why, is_unknown }
    }
}

fn has_replica(answers: &Answers) -> bool {
    answers.iter().any(|answer| answer.as_ref().is_err_and(is_replica))
}

/// A permit in use. Dropped, it is free again.
struct Permit<'a> {
    free: &'a Sender<()>,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // There is room: this one was taken from it.
        let _ = self.free.try_send(());
    }
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

// Without a source: what it would say is in the text already.
impl std::error::Error for Failure {}
