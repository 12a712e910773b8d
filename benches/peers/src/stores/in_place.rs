//! dashmap of sessions that are changed where they lie: the strongest rival of the request cycle, which promises less.
//!
//! Requests see each other's half-made changes, and nobody knows how large anything is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use parking_lot::RwLock;

use super::{HOUR, Peer, Room};
use crate::map::{self, Values};
use crate::work::{Data, Id};

/// dashmap with foldhash, each session under a lock of its own; expiry by hand.
#[derive(Debug)]
pub struct InPlace(DashMap<String, Arc<Shared>, RandomState>);

#[derive(Debug)]
struct Shared {
    expires: AtomicU64,
    values: RwLock<Values>,
}

impl InPlace {
    fn find(&self, id: &Id) -> Option<(Arc<Shared>, u64)> {
        let shared = self.0.get(id.text.as_str()).map(|shared| Arc::clone(&shared))?;
        let (expires, now) = (shared.expires.load(Ordering::Relaxed), map::now());
        (expires > now).then(|| (shared, expires - now))
    }
}

impl Peer for InPlace {
    const NAME: &'static str = "dashmap in place";
    type Payload = Values;

    fn new(_: Room) -> Self {
        Self(DashMap::default())
    }

    fn prepare(data: &Data) -> Values {
        map::build(data)
    }

    fn insert(&self, id: &Id, values: Values, ttl: Duration) {
        let shared = Shared { expires: AtomicU64::new(map::ahead(ttl)), values: RwLock::new(values) };
        self.0.insert(id.text.to_string(), Arc::new(shared));
    }

    fn get(&self, id: &Id) -> Option<u64> {
        self.find(id).map(|(_, left)| left)
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let (shared, _) = self.find(id)?;
        let read = map::read(&shared.values.read());
        if let Some(at) = change {
            map::change(&mut shared.values.write(), at);
        }
        shared.expires.store(map::ahead(HOUR), Ordering::Relaxed);
        Some(read)
    }
}
