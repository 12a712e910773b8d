//! A store of one's own on one screen, and the contract suite run against it: `cargo run --example custom_store --features testing`.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lembro::{
    Changes, Clock, Error, Expected, Fit, Handle, Outcome, Record, Result, SessionId, Store, Stored, testing,
};

/// A hash map under a lock. It frees the memory of expired sessions only when their handle is used again.
#[derive(Debug)]
pub(crate) struct MyStore {
    sessions: Mutex<HashMap<Handle, Kept>>,
    clock: Clock,
}

/// One session. Found by its handle, opened by `id`, or by `old` for as long as that has its grace.
#[derive(Debug)]
struct Kept {
    id: SessionId,
    old: Option<(SessionId, Duration)>,
    record: Record,
    deadline: Duration,
}

impl MyStore {
    pub(crate) fn new(clock: impl Into<Clock>) -> Self {
        Self { sessions: Mutex::default(), clock: clock.into() }
    }

    /// Runs one step on the sessions that are live now. The lock makes each method happen at one instant.
    fn step<R>(&self, handle: Handle, step: impl FnOnce(&mut HashMap<Handle, Kept>, Duration) -> R) -> R {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        // Expired at the very instant its time is over: from here on its handle is free.
        if sessions.get(&handle).is_some_and(|kept| now >= kept.deadline) {
            sessions.remove(&handle);
        }
        step(&mut sessions, now)
    }

    /// Runs one step on the session that `id` opens; `None` if there is none, whatever the reason.
    fn open<R>(&self, id: &SessionId, step: impl FnOnce(&mut Kept, Duration) -> R) -> Option<R> {
        self.step(id.handle(), |sessions, now| {
            let kept = sessions.get_mut(&id.handle())?;
            let in_grace = kept.old.is_some_and(|(old, until)| old == *id && now < until);
            (kept.id == *id || in_grace).then(|| step(kept, now))
        })
    }
}

impl Store for MyStore {
    fn get(&self, id: &SessionId) -> Result<Option<Stored>> {
        Ok(self.open(id, |kept, now| {
            Stored::new(kept.record.clone(), kept.deadline.saturating_sub(now)).in_grace(kept.id != *id)
        }))
    }

    fn create(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<Outcome> {
        // Checks the limits, notes the time of creation, and draws a version unless the record has one.
        let record = record.admit(self.clock.wall())?;
        Ok(self.step(id.handle(), |sessions, now| {
            if sessions.contains_key(&id.handle()) {
                return Outcome::Conflict;
            }
            sessions.insert(id.handle(), Kept { id: *id, old: None, record, deadline: now.saturating_add(ttl) });
            Outcome::Done
        }))
    }

    fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
        // A new version in any case: saves that were made for what this replaces must not land in it.
        let record = record.admit_anew(self.clock.wall())?;
        self.step(id.handle(), |sessions, now| {
            if sessions.get(&id.handle()).is_some_and(|kept| kept.id != *id) {
                return Err(Error::conflict(id.handle()));
            }
            sessions.insert(id.handle(), Kept { id: *id, old: None, record, deadline: now.saturating_add(ttl) });
            Ok(())
        })
    }

    fn save(&self, id: &SessionId, changes: &Changes, ttl: Duration, expected: Expected) -> Result<Outcome> {
        let saved = self.open(id, |kept, now| match expected.fits(&kept.record) {
            Fit::Another => Ok(Outcome::Gone),
            Fit::Changed => Ok(Outcome::Conflict),
            Fit::Yes => {
                // Merges, and gives the next version. On an error nothing has changed yet.
                kept.record = changes.apply(&kept.record)?;
                kept.deadline = now.saturating_add(ttl);
                Ok(Outcome::Done)
            }
        });
        saved.unwrap_or(Ok(Outcome::Gone))
    }

    fn touch(&self, id: &SessionId, ttl: Duration) -> Result<Outcome> {
        let touched = self.open(id, |kept, now| kept.deadline = now.saturating_add(ttl));
        Ok(touched.map_or(Outcome::Gone, |()| Outcome::Done))
    }

    fn rotate(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Result<Outcome> {
        new.check_renews(id)?;
        let rotated = self.open(id, |kept, now| {
            // An id in its grace may finish what it began, not begin anew.
            if kept.id != *id {
                return Outcome::Gone;
            }
            kept.old = Some((kept.id, now.saturating_add(grace)));
            kept.id = *new;
            Outcome::Done
        });
        Ok(rotated.unwrap_or(Outcome::Gone))
    }

    fn destroy(&self, id: &SessionId) -> Result<Outcome> {
        // In one step: between finding it and removing it nobody else may get a word in.
        let destroyed = self.open(id, |kept, now| kept.deadline = now);
        Ok(destroyed.map_or(Outcome::Gone, |()| Outcome::Done))
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
