//! `quick_cache`, a cache with S3-FIFO eviction, as a session store.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::{Peer, Room};
use crate::map::{self, Entry, Values};
use crate::work::{Data, Id};

/// `quick_cache` with a weighter and foldhash; expiry by hand.
#[derive(Debug)]
pub struct QuickCache(Cache<String, Arc<Entry>, Weight, RandomState>);

#[derive(Clone, Debug)]
struct Weight;

impl quick_cache::Weighter<String, Arc<Entry>> for Weight {
    fn weight(&self, _: &String, entry: &Arc<Entry>) -> u64 {
        entry.bytes.into()
    }
}

impl Peer for QuickCache {
    const NAME: &'static str = "quick_cache";
    type Payload = Values;

    fn new(room: Room) -> Self {
        let (sessions, bytes) = room.in_bytes();
        Self(Cache::with(sessions, bytes, Weight, RandomState::default(), DefaultLifecycle::default()))
    }

    fn prepare(data: &Data) -> Values {
        map::build(data)
    }

    fn insert(&self, id: &Id, values: Values, ttl: Duration) {
        self.0.insert(id.text.to_string(), Arc::new(Entry::new(values, ttl)));
    }

    fn get(&self, id: &Id) -> Option<u64> {
        self.0.get(id.text.as_str())?.left()
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let entry = self.0.get(id.text.as_str())?;
        // Not `insert`: a logout meanwhile is final.
        map::cycle(&entry, change, |new| self.0.replace(id.text.to_string(), new, false).is_ok())
    }

    fn touch(&self, id: &Id, ttl: Duration) {
        self.0.get(id.text.as_str()).expect("it is there").touch(ttl);
    }

    fn purge(&self) {
        let now = map::now();
        self.0.retain(|_, entry| entry.left_at(now).is_some());
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}
