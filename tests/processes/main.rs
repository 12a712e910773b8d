//! The tests that fork their process or count its threads, one after the other.

#[cfg(unix)]
mod fork;
#[cfg(unix)]
mod forked;
#[cfg(feature = "testing")]
mod reaper;
#[cfg(all(unix, feature = "redis"))]
mod redis;
#[cfg(all(unix, feature = "redis"))]
#[path = "../it/redis/server/mod.rs"]
mod redis_server;
#[path = "../it/support/scratch.rs"]
mod scratch;
#[allow(dead_code, reason = "it uses a part of it")]
#[path = "../it/support/steps.rs"]
mod steps;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A forked child has one thread, so no other test may hold a lock at that moment.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
