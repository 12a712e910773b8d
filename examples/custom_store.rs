//! The `Store` trait implemented on one screen, and the contract suite run against it.
//!
//! Run `cargo run --example custom_store --features testing`. Break a line of `step`, run it again,
//! and read which promises the suite finds broken.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use lembro::{
    Action, Clock, Entry, Handle, Lease, Look, Lookup, Now, Outcome, Result, SessionId, Store, Write, testing,
};

/// A hash map under a lock. An expired row stays until its handle is looked up again.
#[derive(Debug)]
pub(crate) struct MyStore {
    rows: Mutex<HashMap<Handle, Entry>>,
    clock: Clock,
}

impl MyStore {
    pub(crate) fn new(clock: impl Into<Clock>) -> Self {
        Self { rows: Mutex::default(), clock: clock.into() }
    }

    /// Asks the rule about one row and does the write that it returns, in one step under the lock.
    fn step<R>(&self, id: &SessionId, ask: impl FnOnce(Option<&Entry>, Now) -> Result<(R, Write)>) -> Result<R> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, write) = ask(rows.get(&id.handle()), Now::of(&self.clock))?;
        match write {
            Write::Nothing => {}
            Write::Put(row) => drop(rows.insert(id.handle(), row)),
            Write::Remove => drop(rows.remove(&id.handle())),
        }
        Ok(answer)
    }
}

impl Store for MyStore {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        self.step(id, |row, now| Ok(Entry::look(row, id, how, lease, now)))
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        self.step(id, |row, now| Entry::apply(row, id, action, lease, now, None))
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }
}

fn main() {
    let time = Clock::manual();
    let report = testing::check(&time, || MyStore::new(&time));
    println!("{report}");
    assert!(report.is_kept());
}
