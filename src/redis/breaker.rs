//! The circuit breaker: while a server is down, one request at a time finds out, and the others do
//! not wait.

use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// After a failure of the server itself all calls fail at once for a while; then one call tries,
/// and its result counts for all.
pub(super) struct Breaker {
    pause: Duration,
    down: Mutex<Option<Down>>,
}

struct Down {
    /// The first call after this instant tries, and moves the instant on.
    next_try: Instant,
    why: String,
}

impl Breaker {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, down: Mutex::new(None) }
    }

    /// Returns true if this call is the half-open trial. If it must not try: what failed.
    pub(super) fn admit(&self) -> Result<bool, String> {
        let mut down = self.down.lock();
        match &mut *down {
            Some(known) if Instant::now() < known.next_try => Err(known.why.clone()),
            Some(known) => {
                known.next_try = Instant::now() + self.pause;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    pub(super) fn succeeded(&self) {
        *self.down.lock() = None;
    }

    pub(super) fn failed(&self, why: &str) {
        *self.down.lock() = Some(Down { next_try: Instant::now() + self.pause, why: why.to_owned() });
    }
}
