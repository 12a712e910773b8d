//! Failures of commands, tests for what an error means for the connection, and the circuit breaker.

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
    /// All connections were in use: the number of connections, and how long the request waited.
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

// `source` returns `None`, because the text contains the cause already.
impl std::error::Error for Failure {}

/// The time until the deadline, or the error of a timeout.
pub(super) fn time_left(deadline: Instant) -> RedisResult<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::from(io::ErrorKind::TimedOut).into());
    }
    Ok(left)
}

/// Returns true if the connection broke, for example because the server closes idle connections.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// Returns true if the connection must be closed. The next answer on it may belong to an earlier
/// command, or the server is a replica.
pub(super) fn is_unusable(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() || is_replica(error)
}

/// Returns true if the server is not the primary any more. A new connection may lead to the new
/// primary.
pub(super) fn is_replica(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// Returns true if the server answered that it did not carry out the command.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// A circuit breaker. After a failure of the server, all requests fail at once for the time of
/// `pause`. Then one request is the half-open trial: its success closes the breaker, and its
/// failure begins another pause.
pub(super) struct Breaker {
    pause: Duration,
    open: Mutex<Option<Open>>,
}

/// The open breaker, after a failure.
struct Open {
    /// The first request after this instant is the trial, and postpones the next trial by a pause.
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
