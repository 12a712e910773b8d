//! The reaper: one thread that purges, or looks after the journal, at an interval, stops at once
//! when asked, and survives a panic.
//!
//! Its thread holds the shards, never a handle of the store. So it cannot drop the last handle, and
//! never has to join itself. The handles share the [`Reaper`], whose drop stops the thread and
//! waits for it.
//!
//! After a fork the child has a copy of the [`Reaper`], but not the thread. It has nothing to stop,
//! and joining a thread that is not there would panic or never return.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use crate::error::{Error, Result};
use crate::sync::{Mutex, thread};

#[derive(Default)]
pub(super) struct Reaper {
    /// `None`: there is no thread, or no more.
    running: Mutex<Option<Running>>,
}

struct Running {
    /// Never sent on: dropping it wakes the thread, and ends its purge after the present batch.
    wake: Sender<()>,
    thread: thread::JoinHandle<()>,
    /// The process that has the thread.
    process: u32,
}

impl Reaper {
    /// Starts the thread. It calls `work` at every `interval`, and `failed` if `work` panicked.
    /// `work` is given what tells it whether to stop. `what` names the work.
    pub(super) fn start(
        what: &'static str,
        interval: Duration,
        work: impl Fn(&dyn Fn() -> bool) + Send + 'static,
        failed: impl Fn(Error) + Send + 'static,
    ) -> Result<Self> {
        let (wake, asleep) = bounded(0);
        let thread = thread::Builder::new()
            .name("lembro-reaper".to_owned())
            .spawn(move || run(what, &asleep, interval, work, failed))
            .map_err(|error| Error::background(format!("the thread for {what} did not start: {error}")))?;
        Ok(Self { running: Mutex::new(Some(Running { wake, thread, process: std::process::id() })) })
    }

    /// Stops the thread and waits until it is gone, which takes at most one batch of a purge.
    pub(super) fn stop(&self) {
        let running = self.running.lock().take();
        let Some(running) = running else { return };
        if running.process == std::process::id() {
            let Running { wake, thread, .. } = running;
            drop(wake);
            // The panics of the thread were caught and reported, so the result says nothing.
            let _ = thread.join();
        } else {
            // Their drop would use locks that the thread may have held at the moment of the fork.
            std::mem::forget(running);
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(
    what: &str,
    asleep: &Receiver<()>,
    interval: Duration,
    work: impl Fn(&dyn Fn() -> bool),
    failed: impl Fn(Error),
) {
    let is_stopped = || asleep.try_recv() == Err(TryRecvError::Disconnected);
    while asleep.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        // A panic leaves no shard half changed: none of the steps under a lock can panic. The lock
        // does not poison.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&is_stopped))) {
            let text =
                panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            failed(Error::background(format!("{what} panicked: {}", text.unwrap_or("no message"))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicBool, Ordering};

    // No public path shows this promise, because a purge cannot be made to panic from outside.
    #[test]
    fn the_reaper_survives_a_panic_and_reports_it() {
        let (errors, reported) = bounded(2);
        let rounds = AtomicBool::new(false);
        let reaper = Reaper::start(
            "a purge",
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
