//! dashmap of shared sessions: a sharded `RwLock` around hashbrown, as most people would build a session store today.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use super::{Peer, Room};
use crate::map::{self, Entry, Values};
use crate::work::{Data, Id};

/// dashmap with foldhash; expiry by hand.
#[derive(Debug)]
pub struct Dashmap(DashMap<String, Arc<Entry>, RandomState>);

impl Dashmap {
    fn find(&self, id: &Id) -> Option<Arc<Entry>> {
        self.0.get(id.text.as_str()).map(|entry| Arc::clone(&entry))
    }
}

impl Peer for Dashmap {
    const NAME: &'static str = "dashmap";
    type Payload = Values;

    fn new(_: Room) -> Self {
        Self(DashMap::default())
    }

    fn prepare(data: &Data) -> Values {
        map::build(data)
    }

    fn insert(&self, id: &Id, values: Values, ttl: Duration) {
        self.0.insert(id.text.to_string(), Arc::new(Entry::new(values, ttl)));
    }

    fn get(&self, id: &Id) -> Option<u64> {
        self.find(id)?.left()
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let entry = self.find(id)?;
        map::cycle(&entry, change, |mut new| {
            // Not `insert`: a logout meanwhile is final. What is replaced is dropped after the lock.
            let place = self.0.get_mut(id.text.as_str());
            place.map(|mut place| std::mem::swap(&mut *place, &mut new)).is_some()
        })
    }

    fn touch(&self, id: &Id, ttl: Duration) {
        self.find(id).expect("it is there").touch(ttl);
    }

    fn purge(&self) {
        let now = map::now();
        self.0.retain(|_, entry| entry.left_at(now).is_some());
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}
