//! The circuit breaker: while a server is down, one request in a while finds out, and the others do not wait for it.

use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// After a failure of the server itself nobody tries again for a while; then one does, and what comes of it counts for all.
pub(super) struct Breaker {
    pause: Duration,
    down: Mutex<Option<Down>>,
}

struct Down {
    /// Somebody may try at this instant, and moves it on.
    next_try: Instant,
    why: String,
}

impl Breaker {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, down: Mutex::new(None) }
    }

    /// Whether this is the one that tries while the others do not. If nobody is to: what failed.
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
