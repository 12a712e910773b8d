//! mini-moka, the smaller edition of moka, as a session store.

use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayString;
use mini_moka::sync::{Cache, ConcurrentCacheExt as _};

use super::{HOUR, Peer, Room};
use crate::map::{self, Values};
use crate::work::{Data, Id};

/// mini-moka with a weigher, ahash, ids that need no allocation to be looked up, and `time_to_idle`: a read prolongs the session.
#[derive(Debug)]
pub struct MiniMoka(Cache<ArrayString<32>, Arc<Weighed>, ahash::RandomState>);

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

impl Peer for MiniMoka {
    const NAME: &'static str = "mini-moka";
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
        self.0.insert(id.text, Weighed::new(values));
    }

    fn get(&self, id: &Id) -> Option<u64> {
        Some(self.0.get(&id.text)?.bytes.into())
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let session = self.0.get(&id.text)?;
        let read = map::read(&session.values);
        if let Some(at) = change {
            self.0.insert(id.text, Weighed::new(map::changed(&session.values, at)));
        }
        Some(read)
    }

    fn count(&self) -> usize {
        self.0.sync();
        usize::try_from(self.0.entry_count()).expect("few enough")
    }
}
