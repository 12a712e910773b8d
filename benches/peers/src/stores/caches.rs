//! Caches that evict: `quick_cache` (S3-FIFO) and moka (`TinyLFU`), bounded by the sessions' bytes.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use moka::sync::Cache;
use quick_cache::sync::DefaultLifecycle;

use super::maps::EntryMap;
use crate::map::{self, Entry, Values};
use crate::peer::{Capacity, Peer};
use crate::sessions::{Data, HOUR, Id};

/// `quick_cache` with a weighter and foldhash; expiry by hand.
#[derive(Debug)]
pub struct QuickCache(quick_cache::sync::Cache<String, Arc<Entry>, Weight, RandomState>);

/// The weight of a session: its bytes.
#[derive(Clone, Debug)]
struct Weight;

impl quick_cache::Weighter<String, Arc<Entry>> for Weight {
    fn weight(&self, _: &String, entry: &Arc<Entry>) -> u64 {
        entry.bytes.into()
    }
}

impl EntryMap for QuickCache {
    const NAME: &'static str = "quick_cache";

    fn empty(capacity: Capacity) -> Self {
        let (sessions, bytes) = capacity.in_bytes();
        let lifecycle = DefaultLifecycle::default();
        Self(quick_cache::sync::Cache::with(sessions, bytes, Weight, RandomState::default(), lifecycle))
    }

    fn find(&self, id: &str) -> Option<Arc<Entry>> {
        self.0.get(id)
    }

    fn put(&self, id: String, entry: Arc<Entry>) {
        self.0.insert(id, entry);
    }

    fn replace(&self, id: &str, entry: Arc<Entry>) -> bool {
        self.0.replace(id.to_owned(), entry, false).is_ok()
    }

    fn retain(&self, keep: impl Fn(&Entry) -> bool) {
        self.0.retain(|_, entry| keep(entry));
    }

    fn size(&self) -> usize {
        self.0.len()
    }
}

/// moka with a weigher, ahash, and `time_to_idle`, by which each read prolongs the session.
#[derive(Debug)]
pub struct Moka(Cache<String, Arc<Weighed>, ahash::RandomState>);

/// A session with its weight, which the cache asks for more than once.
#[derive(Debug)]
struct Weighed {
    bytes: u32,
    values: Values,
}

impl Weighed {
    fn new(values: Values) -> Arc<Self> {
        Arc::new(Self { bytes: map::estimate(&values), values })
    }
}

impl Peer for Moka {
    const NAME: &'static str = "moka";
    type Payload = Values;

    fn new(capacity: Capacity) -> Self {
        let (sessions, bytes) = capacity.in_bytes();
        let cache = Cache::builder()
            .initial_capacity(if matches!(capacity, Capacity::Unlimited) { 0 } else { sessions })
            .max_capacity(bytes)
            .weigher(|_, session: &Arc<Weighed>| session.bytes)
            .time_to_idle(HOUR);
        Self(cache.build_with_hasher(ahash::RandomState::default()))
    }

    fn prepare(data: &Data) -> Values {
        map::build(data)
    }

    fn insert(&self, id: &Id, values: Values, _: Duration) {
        self.0.insert(id.text.to_string(), Weighed::new(values));
    }

    fn get(&self, id: &Id) -> Option<u64> {
        Some(self.0.get(id.text.as_str())?.bytes.into())
    }

    fn request(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let session = self.0.get(id.text.as_str())?;
        let read = map::read(&session.values);
        if let Some(at) = change {
            self.0.insert(id.text.to_string(), Weighed::new(map::changed(&session.values, at)));
        }
        Some(read)
    }

    fn count(&self) -> usize {
        self.0.run_pending_tasks();
        usize::try_from(self.0.entry_count()).expect("few enough")
    }
}
