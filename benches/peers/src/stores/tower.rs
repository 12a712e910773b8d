//! The stores of tower-sessions, asked as their `SessionStore` trait has it.

use std::collections::HashMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions_memory_store::MemoryStore;
use tower_sessions_moka_store::MokaStore;

use super::{HOUR, Peer, Room};
use crate::map;
use crate::work::{Data, Id};

/// The same for both, which are made for different versions of the trait.
macro_rules! tower_sessions {
    ($(#[$doc:meta])* $peer:ident, $name:literal, $core:ident, $store:ty, $new:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $peer($store);

        impl Peer for $peer {
            const NAME: &'static str = $name;
            type Payload = HashMap<String, Value>;

            fn new(_: Room) -> Self {
                Self($new)
            }

            fn prepare(data: &Data) -> HashMap<String, Value> {
                map::build(data).into_iter().collect()
            }

            fn insert(&self, id: &Id, data: HashMap<String, Value>, ttl: Duration) {
                use $core::SessionStore as _;
                let id = $core::session::Id(number(id));
                let mut record = $core::session::Record { id, data, expiry_date: OffsetDateTime::now_utc() + ttl };
                wait(self.0.create(&mut record)).expect("it is in memory");
            }

            fn get(&self, id: &Id) -> Option<u64> {
                use $core::SessionStore as _;
                let record = wait(self.0.load(&$core::session::Id(number(id)))).expect("it is in memory")?;
                Some(record.data.len() as u64)
            }

            fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
                use $core::SessionStore as _;
                let mut record = wait(self.0.load(&$core::session::Id(number(id)))).expect("it is in memory")?;
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
    };
}

tower_sessions!(
    /// The `MemoryStore`.
    TowerMemory, "tower-sessions memory", tower_sessions_core, MemoryStore, MemoryStore::default()
);

tower_sessions!(
    /// The `MokaStore`.
    TowerMoka, "tower-sessions moka", tower_sessions_core_of_moka, MokaStore, MokaStore::new(None)
);

/// The id as a number; the text is random enough for that.
fn number(id: &Id) -> i128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&id.text.as_bytes()[..16]);
    i128::from_le_bytes(bytes)
}

/// Asks until it is done, which without contention is at once: the least that any runtime could take.
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
