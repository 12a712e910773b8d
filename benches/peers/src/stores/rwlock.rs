//! A `HashMap` in one `parking_lot::RwLock`: the session store of a first version, and the same with shared sessions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::RwLock;

use super::{HOUR, Peer, Room};
use crate::map::{self, Entry, Values};
use crate::work::{Data, Id};

/// As one writes it without a second thought: std's hasher, and a copy of the session for each request.
#[derive(Debug)]
pub struct Cloned(RwLock<HashMap<String, (Values, u64)>>);

impl Peer for Cloned {
    const NAME: &'static str = "RwLock<HashMap>";
    type Payload = Values;

    fn new(_: Room) -> Self {
        Self(RwLock::default())
    }

    fn prepare(data: &Data) -> Values {
        map::build(data)
    }

    fn insert(&self, id: &Id, values: Values, ttl: Duration) {
        self.0.write().insert(id.text.to_string(), (values, map::ahead(ttl)));
    }

    fn get(&self, id: &Id) -> Option<u64> {
        let (values, expires) = self.0.read().get(id.text.as_str()).cloned()?;
        (expires > map::now()).then_some(expires + values.len() as u64)
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let (mut values, expires) = self.0.read().get(id.text.as_str()).cloned()?;
        if expires <= map::now() {
            return None;
        }
        let read = map::read(&values);
        let expires = map::ahead(HOUR);
        match change {
            Some(at) => {
                map::change(&mut values, at);
                let mut session = (values, expires);
                std::mem::swap(self.0.write().get_mut(id.text.as_str())?, &mut session);
            }
            None => self.0.write().get_mut(id.text.as_str())?.1 = expires,
        }
        Some(read)
    }

    fn touch(&self, id: &Id, ttl: Duration) {
        self.0.write().get_mut(id.text.as_str()).expect("it is there").1 = map::ahead(ttl);
    }

    fn purge(&self) {
        let now = map::now();
        self.0.write().retain(|_, (_, expires)| *expires > now);
    }

    fn count(&self) -> usize {
        self.0.read().len()
    }
}

/// As one writes it with care: foldhash, a session shared with its requests, and a time that needs no write lock.
#[derive(Debug)]
pub struct Shared(RwLock<HashMap<String, Arc<Entry>, RandomState>>);

impl Shared {
    fn find(&self, id: &Id) -> Option<Arc<Entry>> {
        self.0.read().get(id.text.as_str()).cloned()
    }
}

impl Peer for Shared {
    const NAME: &'static str = "RwLock<HashMap> of Arc";
    type Payload = Values;

    fn new(_: Room) -> Self {
        Self(RwLock::default())
    }

    fn prepare(data: &Data) -> Values {
        map::build(data)
    }

    fn insert(&self, id: &Id, values: Values, ttl: Duration) {
        let (key, entry) = (id.text.to_string(), Arc::new(Entry::new(values, ttl)));
        self.0.write().insert(key, entry);
    }

    fn get(&self, id: &Id) -> Option<u64> {
        self.find(id)?.left()
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let entry = self.find(id)?;
        map::cycle(&entry, change, |mut new| {
            let mut sessions = self.0.write();
            sessions.get_mut(id.text.as_str()).map(|place| std::mem::swap(place, &mut new)).is_some()
        })
    }

    fn touch(&self, id: &Id, ttl: Duration) {
        self.find(id).expect("it is there").touch(ttl);
    }

    fn purge(&self) {
        let now = map::now();
        self.0.write().retain(|_, entry| entry.left_at(now).is_some());
    }

    fn count(&self) -> usize {
        self.0.read().len()
    }
}
