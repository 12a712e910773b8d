//! The `lru` crate behind a mutex: the oldest way to bound a cache, least recently used first.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use lru::LruCache;
use parking_lot::Mutex;

use super::{Peer, Room};
use crate::map::{self, Entry, Values};
use crate::work::{Data, Id};

/// An unbounded `LruCache` with foldhash that is emptied by hand to stay within its bytes; expiry by hand.
pub struct Lru {
    sessions: Mutex<Sessions>,
    bytes: u64,
}

/// The sessions and how many bytes they take.
type Sessions = (LruCache<String, Arc<Entry>, RandomState>, u64);

impl Lru {
    fn find(&self, id: &Id) -> Option<Arc<Entry>> {
        self.sessions.lock().0.get(id.text.as_str()).cloned()
    }

    fn put(&self, id: &Id, entry: Arc<Entry>) {
        let key = id.text.to_string();
        // Dropped after the lock.
        let mut evicted = Vec::new();
        let (sessions, bytes) = &mut *self.sessions.lock();
        *bytes += u64::from(entry.bytes);
        if let Some(replaced) = sessions.put(key, entry) {
            *bytes -= u64::from(replaced.bytes);
            evicted.push(replaced);
        }
        while *bytes > self.bytes
            && let Some((_, oldest)) = sessions.pop_lru()
        {
            *bytes -= u64::from(oldest.bytes);
            evicted.push(oldest);
        }
    }
}

impl Peer for Lru {
    const NAME: &'static str = "Mutex<lru>";
    type Payload = Values;

    fn new(room: Room) -> Self {
        let (_, bytes) = room.in_bytes();
        Self { sessions: Mutex::new((LruCache::unbounded_with_hasher(RandomState::default()), 0)), bytes }
    }

    fn prepare(data: &Data) -> Values {
        map::build(data)
    }

    fn insert(&self, id: &Id, values: Values, ttl: Duration) {
        self.put(id, Arc::new(Entry::new(values, ttl)));
    }

    fn get(&self, id: &Id) -> Option<u64> {
        self.find(id)?.left()
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let entry = self.find(id)?;
        map::cycle(&entry, change, |new| {
            self.put(id, new);
            true
        })
    }

    fn count(&self) -> usize {
        self.sessions.lock().0.len()
    }
}
