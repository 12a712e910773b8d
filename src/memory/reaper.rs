//! The reaper: a thread that works at an interval, stops at once when asked, and survives a panic.
//!
//! The thread holds the [`ShardedStore`](super::ShardedStore), not a handle of the store. So it
//! never drops the last handle and never has to join itself. The handles share the [`Reaper`],
//! whose drop stops the thread and waits for it.
//!
//! After a fork the child has a copy of the [`Reaper`] without the thread. Joining the thread in
//! the child would panic or never return, so the child does not join it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use crate::error::{Error, Result};
use crate::sync::{Mutex, thread};

#[derive(Default)]
pub(super) struct Reaper {
    /// `None` if there is no thread, or if it was stopped.
    thread: Mutex<Option<ReaperThread>>,
}

struct ReaperThread {
    /// Nothing is sent on this channel. Dropping the sender wakes the thread, and ends a purge
    /// after the present batch.
    stop: Sender<()>,
    handle: thread::JoinHandle<()>,
    /// The process that has the thread.
    process: u32,
}

impl Reaper {
    /// Starts a thread that calls `work` at every `interval`, and `failed` if `work` panicked.
    /// `work` receives a function that returns true once the thread is asked to stop. `what` names
    /// the work in errors.
    pub(super) fn start(
        what: &'static str,
        interval: Duration,
        work: impl Fn(&dyn Fn() -> bool) + Send + 'static,
        failed: impl Fn(Error) + Send + 'static,
    ) -> Result<Self> {
        let (stop, stopped) = bounded(0);
        let handle = thread::Builder::new()
            .name("lembro-reaper".to_owned())
            .spawn(move || run(what, &stopped, interval, work, failed))
            .map_err(|error| Error::background(format!("the thread for {what} did not start: {error}")))?;
        Ok(Self { thread: Mutex::new(Some(ReaperThread { stop, handle, process: std::process::id() })) })
    }

    /// Stops the thread and waits until it has ended, which takes at most one batch of a purge.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().take();
        let Some(thread) = thread else { return };
        if thread.process == std::process::id() {
            drop(thread.stop);
            // The thread catches and reports its panics, so the result of `join` says nothing more.
            let _ = thread.handle.join();
        } else {
            // Dropping the sender would use locks that the thread may have held when the process
            // forked.
            std::mem::forget(thread);
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
    stopped: &Receiver<()>,
    interval: Duration,
    work: impl Fn(&dyn Fn() -> bool),
    failed: impl Fn(Error),
) {
    let is_stopped = || stopped.try_recv() == Err(TryRecvError::Disconnected);
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        // No step under a lock can panic, so a panic leaves no shard half changed. The locks do not
        // poison.
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

    // A test of the public interface cannot make a purge panic.
    #[test]
    fn reaper_survives_a_panic_and_reports_it() {
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
        assert!(reaper.thread.lock().is_none());
    }
}
