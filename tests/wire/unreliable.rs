//! A store of somebody's own: in front of another, it can be unplugged, and its writes can take their time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lembro::{Changes, Clock, Error, Expected, LembroStore, Outcome, Record, Result, SessionId, Store, Stored};

pub(crate) struct Unreliable {
    store: LembroStore,
    reads_fail: AtomicBool,
    writes_fail: AtomicBool,
    writes_take: Duration,
}

impl Unreliable {
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

impl Store for Unreliable {
    fn get(&self, id: &SessionId) -> Result<Option<Stored>> {
        self.reading()?.get(id)
    }
    fn create(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<Outcome> {
        self.writing()?.create(id, record, ttl)
    }
    fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
        self.writing()?.set(id, record, ttl)
    }
    fn save(&self, id: &SessionId, changes: &Changes, ttl: Duration, expected: Expected) -> Result<Outcome> {
        self.writing()?.save(id, changes, ttl, expected)
    }
    fn touch(&self, id: &SessionId, ttl: Duration) -> Result<Outcome> {
        self.writing()?.touch(id, ttl)
    }
    fn rotate(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Result<Outcome> {
        self.writing()?.rotate(id, new, grace)
    }
    fn destroy(&self, id: &SessionId) -> Result<Outcome> {
        self.writing()?.destroy(id)
    }
    fn clock(&self) -> Clock {
        self.store.clock()
    }
}
