//! The memory store of tower-sessions, called through its `SessionStore` trait.

use std::collections::HashMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions_core::SessionStore as _;
use tower_sessions_core::session;
use tower_sessions_memory_store::MemoryStore;

use crate::map;
use crate::peer::{Capacity, Peer};
use crate::sessions::{Data, HOUR, Id};

/// The `MemoryStore`.
#[derive(Debug)]
pub struct TowerSessions(MemoryStore);

impl TowerSessions {
    fn load(&self, id: &Id) -> Option<session::Record> {
        wait(self.0.load(&number(id))).expect("it is in memory")
    }
}

impl Peer for TowerSessions {
    const NAME: &'static str = "tower-sessions";
    type Payload = HashMap<String, Value>;

    fn new(_: Capacity) -> Self {
        Self(MemoryStore::default())
    }

    fn prepare(data: &Data) -> HashMap<String, Value> {
        map::build(data).into_iter().collect()
    }

    fn insert(&self, id: &Id, data: HashMap<String, Value>, ttl: Duration) {
        let mut record = session::Record { id: number(id), data, expiry_date: OffsetDateTime::now_utc() + ttl };
        wait(self.0.create(&mut record)).expect("it is in memory");
    }

    fn get(&self, id: &Id) -> Option<u64> {
        Some(self.load(id)?.data.len() as u64)
    }

    fn request(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let mut record = self.load(id)?;
        let user = record.data["user_id"].as_u64().expect("a number");
        let csrf = record.data["csrf"].as_str().expect("a text").len() as u64;
        if let Some(at) = change {
            *record.data.get_mut("seen_at").expect("every session has it") = at.into();
        }
        // The trait has no other way to prolong a session.
        record.expiry_date = OffsetDateTime::now_utc() + HOUR;
        wait(self.0.save(&record)).expect("it is in memory");
        Some(user + csrf)
    }
}

/// The id as a number: the first half of its random text.
fn number(id: &Id) -> session::Id {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&id.text.as_bytes()[..16]);
    session::Id(i128::from_le_bytes(bytes))
}

/// Polls until the future is ready, at once if nothing contends: the least that any runtime takes.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        thread::yield_now();
    }
}
