//! A bare `HashMap<id, Arc<[u8]>>` without lock, expiry or bound: not a store, but the floor to hold one against.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayString;
use foldhash::fast::RandomState;

use super::{Peer, Room};
use crate::map;
use crate::work::{Data, Id};

/// std's `HashMap` with foldhash. It is filled before anybody reads, and only read.
#[derive(Debug)]
pub struct Bare(HashMap<ArrayString<32>, Arc<[u8]>, RandomState>);

impl Peer for Bare {
    const NAME: &'static str = "bare HashMap";
    type Payload = Arc<[u8]>;

    fn new(_: Room) -> Self {
        Self(HashMap::default())
    }

    fn prepare(data: &Data) -> Arc<[u8]> {
        serde_json::to_vec(&map::build(data)).expect("plain values").into()
    }

    fn insert(&self, _: &Id, _: Arc<[u8]>, _: Duration) {
        unreachable!("filled at once")
    }

    fn filled(_: Room, ids: &[Id], data: impl Fn(usize) -> Data) -> Self {
        Self(ids.iter().enumerate().map(|(number, id)| (id.text, Self::prepare(&data(number)))).collect())
    }

    fn get(&self, id: &Id) -> Option<u64> {
        let bytes = self.0.get(&id.text).map(Arc::clone)?;
        bytes.first().map(|first| (*first).into())
    }

    fn cycle(&self, _: &Id, _: Option<u64>) -> Option<u64> {
        unreachable!("it is only read")
    }
}
