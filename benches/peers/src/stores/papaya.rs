//! papaya, a lock-free hash map, as a session store.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use papaya::HashMap;

use super::{Peer, Room};
use crate::map::{self, Entry, Values};
use crate::work::{Data, Id};

/// papaya with foldhash; expiry by hand.
#[derive(Debug)]
pub struct Papaya(HashMap<String, Arc<Entry>, RandomState>);

impl Papaya {
    fn find(&self, id: &Id) -> Option<Arc<Entry>> {
        self.0.pin().get(id.text.as_str()).cloned()
    }
}

impl Peer for Papaya {
    const NAME: &'static str = "papaya";
    type Payload = Values;

    fn new(_: Room) -> Self {
        Self(HashMap::default())
    }

    fn prepare(data: &Data) -> Values {
        map::build(data)
    }

    fn insert(&self, id: &Id, values: Values, ttl: Duration) {
        self.0.pin().insert(id.text.to_string(), Arc::new(Entry::new(values, ttl)));
    }

    fn get(&self, id: &Id) -> Option<u64> {
        self.find(id)?.left()
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let entry = self.find(id)?;
        map::cycle(&entry, change, |new| self.0.pin().update(id.text.to_string(), |_| Arc::clone(&new)).is_some())
    }

    fn touch(&self, id: &Id, ttl: Duration) {
        self.find(id).expect("it is there").touch(ttl);
    }

    fn purge(&self) {
        let now = map::now();
        self.0.pin().retain(|_, entry| entry.left_at(now).is_some());
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}
