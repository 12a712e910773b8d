//! An application's own store around another, whose reads and writes can fail or be slow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lembro::{Action, Clock, Error, Lease, LembroStore, Look, Lookup, Now, Outcome, Result, SessionId, Store};

pub(crate) struct UnreliableStore {
    store: LembroStore,
    reads_fail: AtomicBool,
    writes_fail: AtomicBool,
    writes_take: Duration,
}

impl UnreliableStore {
    pub(crate) fn new(store: LembroStore) -> Self {
        Self::slow(store, Duration::ZERO)
    }

    pub(crate) fn slow(store: LembroStore, writes_take: Duration) -> Self {
        Self { store, reads_fail: AtomicBool::new(false), writes_fail: AtomicBool::new(false), writes_take }
    }

    pub(crate) fn fail(&self, reads: bool, writes: bool) {
        self.reads_fail.store(reads, Ordering::SeqCst);
        self.writes_fail.store(writes, Ordering::SeqCst);
    }

    fn unless(&self, fails: &AtomicBool) -> Result<&LembroStore> {
        if fails.load(Ordering::SeqCst) { Err(Error::store("unplugged")) } else { Ok(&self.store) }
    }

    fn reading(&self) -> Result<&LembroStore> {
        self.unless(&self.reads_fail)
    }

    fn writing(&self) -> Result<&LembroStore> {
        if !self.writes_take.is_zero() {
            thread::sleep(self.writes_take);
        }
        self.unless(&self.writes_fail)
    }
}

impl Store for UnreliableStore {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        let lookup = self.reading()?.look(id, Look::Peek, lease)?;
        let Lookup::Found(stored) = &lookup else { return Ok(lookup) };
        if how == Look::Peek || stored.ttl + lease.touch_after > lease.ttl(&stored.record, Now::of(&self.clock())) {
            return Ok(lookup);
        }
        self.writing()?.look(id, how, lease)
    }
    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        self.writing()?.apply(id, action, lease)
    }
    fn clock(&self) -> Clock {
        self.store.clock()
    }
}
