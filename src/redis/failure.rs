//! Failures: what an error says about the connection and the server, and the circuit breaker.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use ::redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};

use crate::sync::Mutex;

/// Why a command has no answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) server: String,
    pub(super) cause: Cause,
    /// The command may have been carried out all the same.
    pub(super) is_unknown: bool,
}

#[derive(Debug)]
pub(super) enum Cause {
    /// The breaker is open, because of this error.
    Down(String),
    /// All connections, so many, were in use for so long.
    Busy(usize, Duration),
    Redis(RedisError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.server)?;
        match &self.cause {
            Cause::Down(why) => write!(f, "not tried, for it failed a moment ago: {why}"),
            Cause::Busy(connections, waited) => write!(f, "all {connections} connections were in use for {waited:?}"),
            Cause::Redis(error) => error.fmt(f),
        }
    }
}

// Without a source, because the text contains it already.
impl std::error::Error for Failure {}

/// The time until the deadline, or the error of a timeout.
pub(super) fn time_left(deadline: Instant) -> RedisResult<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::from(io::ErrorKind::TimedOut).into());
    }
    Ok(left)
}

/// The connection broke: the server was restarted, or closes idle connections.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// The connection must be closed: the next answer on it may belong to an earlier command.
pub(super) fn is_unusable(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() || is_replica(error)
}

/// The server is no longer the primary. A new connection may lead to its successor.
pub(super) fn is_replica(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// The server answered that it did not carry out the command.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// A circuit breaker. After a failure of the server all requests fail at once for a pause. Then one
/// request tries, and its result counts for all.
pub(super) struct Breaker {
    pause: Duration,
    open: Mutex<Option<Open>>,
}

/// The state after a failure.
struct Open {
    /// The first request after this instant tries, and postpones the instant.
    next_try: Instant,
    why: String,
}

impl Breaker {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, open: Mutex::new(None) }
    }

    /// Returns true if this request is the half-open trial. If the request must not try, returns
    /// the text of the last failure.
    pub(super) fn admit(&self) -> Result<bool, String> {
        match &mut *self.open.lock() {
            Some(open) if Instant::now() < open.next_try => Err(open.why.clone()),
            Some(open) => {
                open.next_try = Instant::now() + self.pause;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    pub(super) fn succeeded(&self) {
        *self.open.lock() = None;
    }

    pub(super) fn failed(&self, why: &str) {
        *self.open.lock() = Some(Open { next_try: Instant::now() + self.pause, why: why.to_owned() });
    }
}
