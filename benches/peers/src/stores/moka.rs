//! moka, a cache with `TinyLFU` admission, as a session store.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::{HOUR, Peer, Room};
use crate::map::{self, Values};
use crate::work::{Data, Id};

/// moka with a weigher, ahash, and `time_to_idle`: a read prolongs the session.
#[derive(Debug)]
pub struct Moka(Cache<String, Arc<Weighed>, ahash::RandomState>);

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

    fn new(room: Room) -> Self {
        let (sessions, bytes) = room.in_bytes();
        let cache = Cache::builder()
            .initial_capacity(if matches!(room, Room::Plenty) { 0 } else { sessions })
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

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
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
