//! Maps without a bound: a bare `HashMap`, one behind a lock, and dashmap.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayString;
use dashmap::DashMap;
use foldhash::fast::RandomState;
use parking_lot::RwLock;

use crate::map::{self, Entry, Values};
use crate::peer::{Capacity, Peer};
use crate::sessions::{Data, Id};

/// The floor: std's `HashMap` with foldhash, without lock, expiry or bound. It is filled at once
/// and then only read.
#[derive(Debug)]
pub struct Bare(HashMap<ArrayString<32>, Arc<[u8]>, RandomState>);

impl Peer for Bare {
    const NAME: &'static str = "bare HashMap";
    type Payload = Arc<[u8]>;

    fn new(_: Capacity) -> Self {
        Self(HashMap::default())
    }

    fn prepare(data: &Data) -> Arc<[u8]> {
        serde_json::to_vec(&map::build(data)).expect("plain values").into()
    }

    fn insert(&self, _: &Id, _: Arc<[u8]>, _: Duration) {
        unreachable!("filled at once")
    }

    fn filled(ids: &[Id]) -> Self {
        Self(ids.iter().enumerate().map(|(number, id)| (id.text, Self::prepare(&Data::new(number)))).collect())
    }

    fn get(&self, id: &Id) -> Option<u64> {
        let bytes = self.0.get(&id.text).map(Arc::clone)?;
        bytes.first().map(|first| (*first).into())
    }

    fn request(&self, _: &Id, _: Option<u64>) -> Option<u64> {
        unreachable!("only read")
    }
}

/// A map of shared entries whose expiry is kept by hand.
pub(super) trait EntryMap: Send + Sync + Sized + 'static {
    const NAME: &'static str;

    fn empty(capacity: Capacity) -> Self;
    fn find(&self, id: &str) -> Option<Arc<Entry>>;
    fn put(&self, id: String, entry: Arc<Entry>);
    /// Replaces a session that is there: a save must not bring a session back that a logout ended.
    fn replace(&self, id: &str, entry: Arc<Entry>) -> bool;
    fn retain(&self, keep: impl Fn(&Entry) -> bool);
    fn size(&self) -> usize;
}

impl<M: EntryMap> Peer for M {
    const NAME: &'static str = <M as EntryMap>::NAME;
    type Payload = Values;

    fn new(capacity: Capacity) -> Self {
        M::empty(capacity)
    }

    fn prepare(data: &Data) -> Values {
        map::build(data)
    }

    fn insert(&self, id: &Id, values: Values, ttl: Duration) {
        self.put(id.text.to_string(), Entry::new(values, ttl));
    }

    fn get(&self, id: &Id) -> Option<u64> {
        self.find(&id.text)?.left_at(map::now())
    }

    fn request(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        self.find(&id.text)?.request(change, |new| self.replace(&id.text, new))
    }

    fn touch(&self, id: &Id, ttl: Duration) {
        self.find(&id.text).expect("it is there").touch(ttl);
    }

    fn purge(&self) {
        let now = map::now();
        self.retain(|entry| entry.left_at(now).is_some());
    }

    fn count(&self) -> usize {
        self.size()
    }
}

/// A `HashMap` with foldhash in one `parking_lot::RwLock`. Sessions are shared, and their deadlines
/// need no write lock.
#[derive(Debug)]
pub struct RwLockMap(RwLock<HashMap<String, Arc<Entry>, RandomState>>);

impl EntryMap for RwLockMap {
    const NAME: &'static str = "RwLock<HashMap>";

    fn empty(_: Capacity) -> Self {
        Self(RwLock::default())
    }

    fn find(&self, id: &str) -> Option<Arc<Entry>> {
        self.0.read().get(id).cloned()
    }

    fn put(&self, id: String, entry: Arc<Entry>) {
        self.0.write().insert(id, entry);
    }

    // The replaced entry is dropped after unlocking, here and in dashmap.
    fn replace(&self, id: &str, mut entry: Arc<Entry>) -> bool {
        self.0.write().get_mut(id).map(|old| mem::swap(old, &mut entry)).is_some()
    }

    fn retain(&self, keep: impl Fn(&Entry) -> bool) {
        self.0.write().retain(|_, entry| keep(entry));
    }

    fn size(&self) -> usize {
        self.0.read().len()
    }
}

/// dashmap with foldhash: a hash table in shards, each behind a lock.
#[derive(Debug)]
pub struct Dashmap(DashMap<String, Arc<Entry>, RandomState>);

impl EntryMap for Dashmap {
    const NAME: &'static str = "dashmap";

    fn empty(_: Capacity) -> Self {
        Self(DashMap::default())
    }

    fn find(&self, id: &str) -> Option<Arc<Entry>> {
        self.0.get(id).map(|entry| Arc::clone(&entry))
    }

    fn put(&self, id: String, entry: Arc<Entry>) {
        self.0.insert(id, entry);
    }

    fn replace(&self, id: &str, mut entry: Arc<Entry>) -> bool {
        self.0.get_mut(id).map(|mut old| mem::swap(&mut *old, &mut entry)).is_some()
    }

    fn retain(&self, keep: impl Fn(&Entry) -> bool) {
        self.0.retain(|_, entry| keep(entry));
    }

    fn size(&self) -> usize {
        self.0.len()
    }
}
