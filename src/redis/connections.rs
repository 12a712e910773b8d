//! The connections: a bounded pool, a time limit for all that is done with them, and what happens when the server fails.
//!
//! A *place* is the right to have a connection. Whoever has one takes the connection that was used last, or makes one; it goes back
//! before the place does, and only after an answer was read to its end. On every other way out, a panic included, it is closed.

use std::fmt;
use std::time::{Duration, Instant};

use ::redis::{RedisError, RedisResult, Value};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::breaker::Breaker;
pub(super) use super::link::{Call, Server};
use super::link::{Link, is_lost, is_replica, is_unusable};
use crate::sync::Mutex;

/// A connection that lay idle for longer is asked whether it still works before something is sent that must not be sent twice.
const IDLE: Duration = Duration::from_secs(1);

/// Whether a call may be sent once more when the connection was lost before its answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It does the same again, or nothing.
    Once,
    Never,
}

pub(super) struct Connections {
    server: Server,
    /// How the server is called in errors.
    name: String,
    timeout: Duration,
    breaker: Breaker,
    /// As many as there may be connections, without those in use.
    places: Receiver<()>,
    free: Sender<()>,
    /// The one used last on top, so that no more are kept busy than are needed.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    link: Link,
    since: Instant,
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
            let _ = free.try_send(());
        }
        Self { server, name, timeout, breaker: Breaker::new(pause), places, free, idle: Mutex::new(Vec::new()) }
    }

    /// How the server is called in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs scripts, one after the other in one round trip; in a cluster one round trip each. One answer each.
    pub(super) fn call(&self, calls: &[Call<'_>], repeat: Repeat) -> Result<Vec<Value>, Failure> {
        self.exchange(repeat, |link, deadline| link.run(calls, deadline))
    }

    /// A hash and the milliseconds that it has left, without a script; `None` in a cluster.
    pub(super) fn read(&self, key: &[u8]) -> Result<Option<[Value; 2]>, Failure> {
        self.exchange(Repeat::Once, |link, deadline| link.read(key, deadline))
    }

    fn exchange<T>(&self, repeat: Repeat, talk: impl Fn(&mut Link, Instant) -> RedisResult<T>) -> Result<T, Failure> {
        let deadline = Instant::now() + self.timeout;
        let place = self.place(deadline).map_err(|why| self.failure(why))?;
        // Who had to wait for long and then ran out of time has learnt nothing about the server.
        let is_telling = deadline.saturating_duration_since(Instant::now()) >= self.timeout / 2;
        let mut link = None;
        let result = self.answers(&mut link, talk, repeat, deadline);
        self.conclude(&result, link.is_some(), is_telling);
        let is_good = result.as_ref().err().is_none_or(|error| !is_unusable(error));
        if let Some(link) = link.filter(|link| is_good && link.is_open()) {
            self.idle.lock().push(Idle { link, since: Instant::now() });
        }
        drop(place);
        result.map_err(|error| {
            let came_too_late = !is_telling && error.is_timeout();
            self.failure(if came_too_late { self.busy() } else { Why::Redis(error) })
        })
    }

    fn place(&self, deadline: Instant) -> Result<Place<'_>, Why> {
        let is_trial = self.breaker.admit().map_err(Why::Down)?;
        if self.places.try_recv().is_ok() {
            return Ok(Place { free: &self.free });
        }
        self.places.recv_deadline(deadline).map_err(|_| self.busy())?;
        let place = Place { free: &self.free };
        if !is_trial {
            // Those it waited for may have found the server down.
            self.breaker.admit().map_err(Why::Down)?;
        }
        Ok(place)
    }

    /// `link`: what they came over, if there was a connection at all.
    fn answers<T>(
        &self,
        link: &mut Option<Link>,
        talk: impl Fn(&mut Link, Instant) -> RedisResult<T>,
        repeat: Repeat,
        deadline: Instant,
    ) -> RedisResult<T> {
        let idle = self.idle.lock().pop();
        let was_idle = idle.is_some();
        match talk(link.insert(self.working(idle, repeat, deadline)?), deadline) {
            Err(error) if was_idle && repeat == Repeat::Once && is_lost(&error) => {
                self.forget_idle();
                *link = None;
                talk(link.insert(self.server.connect(deadline)?), deadline)
            }
            other => other,
        }
    }

    /// What an answer, or none, says about the server.
    fn conclude<T>(&self, result: &RedisResult<T>, was_connected: bool, is_telling: bool) {
        match result {
            Err(error) if !was_connected || error.is_timeout() || error.is_connection_refusal() => {
                if is_telling {
                    self.breaker.failed(&error.to_string());
                }
            }
            // The others are as old, or lead to the same replica: none of them is to cost a request.
            Err(error) if is_lost(error) || is_replica(error) => self.forget_idle(),
            // Even if it answered that it will not.
            Ok(_) | Err(_) => self.breaker.succeeded(),
        }
    }

    /// A connection that works, as far as can be told without sending what must not be sent twice.
    fn working(&self, idle: Option<Idle>, repeat: Repeat, deadline: Instant) -> RedisResult<Link> {
        let Some(mut idle) = idle else { return self.server.connect(deadline) };
        let is_old = idle.since.elapsed() > IDLE;
        if repeat == Repeat::Never && is_old && !idle.link.is_alive(deadline)? {
            self.forget_idle();
            return self.server.connect(deadline);
        }
        Ok(idle.link)
    }

    /// Closes what lies idle.
    fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    fn busy(&self) -> Why {
        Why::Busy(self.free.capacity().unwrap_or(0), self.timeout)
    }

    fn failure(&self, why: Why) -> Failure {
        Failure { server: self.name.clone(), why }
    }
}

/// A place in use. Dropped, it is free again.
struct Place<'a> {
    free: &'a Sender<()>,
}

impl Drop for Place<'_> {
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
