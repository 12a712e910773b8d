//! The interface that each store is measured through.

use std::time::Duration;

use crate::map;
use crate::sessions::{Data, HOUR, Id};

/// How much a store may hold.
#[derive(Clone, Copy, Debug)]
pub enum Capacity {
    /// More than any workload stores.
    Unlimited,
    /// As many bytes as this number of sessions takes; beyond that the store evicts.
    Sessions(usize),
}

impl Capacity {
    /// The number of sessions to expect, and their bytes by [`map::estimate`].
    pub(crate) fn in_bytes(self) -> (usize, u64) {
        match self {
            // Some caches choose their number of shards by the number of sessions to expect.
            Self::Unlimited => (1 << 20, 1 << 40),
            Self::Sessions(sessions) => {
                let each = map::estimate(&map::build(&Data::new(0)));
                (sessions, sessions as u64 * u64::from(each))
            }
        }
    }
}

/// A store, and the session work with it as its documentation recommends.
pub trait Peer: Send + Sync + Sized + 'static {
    /// Its name in the results.
    const NAME: &'static str;

    /// The form of a session's data when it is stored.
    type Payload: Send;

    /// An empty store.
    fn new(capacity: Capacity) -> Self;

    /// A session of the application's data.
    fn prepare(data: &Data) -> Self::Payload;

    /// Stores a session.
    fn insert(&self, id: &Id, payload: Self::Payload, ttl: Duration);

    /// Finds a session: a snapshot that does not change while others save. The result depends on
    /// the session, so that no compiler removes the lookup.
    fn get(&self, id: &Id) -> Option<u64>;

    /// A request: finds the session, reads two typed keys, then changes one and saves, or prolongs
    /// the session. `None` if it is not there.
    fn request(&self, id: &Id, change: Option<u64>) -> Option<u64>;

    /// A fresh id in the form that the store looks up.
    fn fresh() -> Id {
        Id::random_text()
    }

    /// A login: makes an id and a session, and stores it.
    fn log_in(&self, data: &Data) -> Id {
        let id = Self::fresh();
        self.insert(&id, Self::prepare(data), HOUR);
        id
    }

    /// An unlimited store with these sessions.
    fn filled(ids: &[Id]) -> Self {
        let store = Self::new(Capacity::Unlimited);
        for (number, id) in ids.iter().enumerate() {
            store.insert(id, Self::prepare(&Data::new(number)), HOUR);
        }
        store
    }

    /// Gives a session another time to live.
    fn touch(&self, _: &Id, _: Duration) {
        unreachable!("{} takes no part in the purge", Self::NAME)
    }

    /// Removes the expired sessions.
    fn purge(&self) {
        unreachable!("{} takes no part in the purge", Self::NAME)
    }

    /// The number of sessions.
    fn count(&self) -> usize {
        unreachable!("{} is not counted", Self::NAME)
    }
}
