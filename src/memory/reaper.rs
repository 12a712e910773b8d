//! The reaper: one thread that purges at an interval, stops at once when asked, and survives a
//! panic.
//!
//! Its thread holds the shards, never a handle of the store. So it cannot drop the last handle, and
//! never has to join itself. The handles share the [`Reaper`], whose drop stops the thread and
//! waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::error::{Error, Result};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, thread};

pub(super) struct Reaper {
    running: Mutex<Option<Running>>,
    stop: Stop,
}

struct Running {
    /// Never sent on: dropping it wakes the thread.
    wake: Sender<()>,
    thread: thread::JoinHandle<()>,
}

/// A flag that the purge reads between two batches.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Reaper {
    /// No thread.
    pub(super) fn none() -> Self {
        Self { running: Mutex::new(None), stop: Stop::default() }
    }

    /// Starts the thread. It calls `work` at every `interval`, and `failed` if `work` panicked.
    pub(super) fn start(
        interval: Duration,
        work: impl Fn(&Stop) + Send + 'static,
        failed: impl Fn(Error) + Send + 'static,
    ) -> Result<Self> {
        let (wake, asleep) = bounded(0);
        let stop = Stop::default();
        let stopping = stop.clone();
        let thread = thread::Builder::new()
            .name("lembro-reaper".to_owned())
            .spawn(move || run(&asleep, interval, &stopping, work, failed))
            .map_err(|error| Error::background(format!("the reaper thread did not start: {error}")))?;
        Ok(Self { running: Mutex::new(Some(Running { wake, thread })), stop })
    }

    /// Stops the thread and waits until it is gone, which takes at most one batch of a purge.
    pub(super) fn stop(&self) {
        self.stop.0.store(true, Ordering::Relaxed);
        let running = self.running.lock().take();
        if let Some(Running { wake, thread }) = running {
            drop(wake);
            // The panics of the thread were caught and reported, so the result says nothing.
            let _ = thread.join();
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(asleep: &Receiver<()>, interval: Duration, stop: &Stop, work: impl Fn(&Stop), failed: impl Fn(Error)) {
    while asleep.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        // A panic leaves no shard half changed: none of the steps under a lock can panic. The lock
        // does not poison.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(stop))) {
            let text =
                panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            failed(Error::background(format!("a purge panicked: {}", text.unwrap_or("no message"))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // No public path shows this promise, because a purge cannot be made to panic from outside.
    #[test]
    fn the_reaper_survives_a_panic_and_reports_it() {
        let (errors, reported) = bounded(2);
        let rounds = AtomicBool::new(false);
        let reaper = Reaper::start(
            Duration::from_millis(1),
            move |_| {
                let second = rounds.swap(true, Ordering::SeqCst);
                panic!("{}", if second { "again" } else { "boom" });
            },
            move |error| drop(errors.try_send(error)),
        )
        .unwrap();
        let texts: Vec<_> =
            (0..2).map(|_| reported.recv_timeout(Duration::from_secs(10)).unwrap().to_string()).collect();
        assert_eq!(texts, ["a purge panicked: boom", "a purge panicked: again"]);
        reaper.stop();
        assert!(reaper.running.lock().is_none());
    }
}
