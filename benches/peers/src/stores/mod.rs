//! What a store has to do to be measured, and the stores: one file each.

mod bare;
mod dashmap;
mod in_place;
mod lembro;
mod lru;
mod mini_moka;
mod moka;
mod papaya;
mod quick_cache;
mod rwlock;
mod tower;

use std::time::Duration;

pub use self::bare::Bare;
pub use self::dashmap::Dashmap;
pub use self::in_place::InPlace;
pub use self::lembro::{LEASE, Lembro, LembroSessions};
pub use self::lru::Lru;
pub use self::mini_moka::MiniMoka;
pub use self::moka::Moka;
pub use self::papaya::Papaya;
pub use self::quick_cache::QuickCache;
pub use self::rwlock::{Cloned, Shared};
pub use self::tower::{TowerMemory, TowerMoka};
use crate::work::{Data, Id};

/// How long sessions live unless something else is said.
pub const HOUR: Duration = Duration::from_secs(3600);

/// How much a store is to hold.
#[derive(Clone, Copy, Debug)]
pub enum Room {
    /// Whatever comes.
    Plenty,
    /// So many sessions like this one, counted in bytes; beyond that it evicts.
    For(usize, fn() -> Data),
}

impl Room {
    /// How many sessions to expect, and how many bytes they may take by
    /// [`estimate`](crate::map::estimate).
    pub(crate) fn in_bytes(self) -> (usize, u64) {
        match self {
            // Some caches make shards by what they are told to expect.
            Self::Plenty => (1 << 20, 1 << 40),
            Self::For(sessions, sample) => {
                let each = crate::map::estimate(&crate::map::build(&sample()));
                (sessions, sessions as u64 * u64::from(each))
            }
        }
    }
}

/// A store, and the session work done with it in the way its documentation recommends.
pub trait Peer: Send + Sync + Sized + 'static {
    /// Its name in the results.
    const NAME: &'static str;

    /// What a session's data is made into before it is stored.
    type Payload: Send;

    /// An empty store.
    fn new(room: Room) -> Self;

    /// Makes a session of an application's data.
    fn prepare(data: &Data) -> Self::Payload;

    /// A store with these sessions.
    fn filled(room: Room, ids: &[Id], data: impl Fn(usize) -> Data) -> Self {
        let store = Self::new(room);
        for (number, id) in ids.iter().enumerate() {
            store.insert(id, Self::prepare(&data(number)), HOUR);
        }
        store
    }

    /// Stores a session.
    fn insert(&self, id: &Id, payload: Self::Payload, ttl: Duration);

    /// Finds a session: a snapshot that stays as it is while others change it. The result depends
    /// on what was found.
    fn get(&self, id: &Id) -> Option<u64>;

    /// A request: finds the session, reads two typed keys, changes one and saves, or only prolongs
    /// it. `None`: it is not there.
    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64>;

    /// Gives a session another time to live.
    fn touch(&self, _: &Id, _: Duration) {
        unreachable!("{} takes no part in this workload", Self::NAME)
    }

    /// Removes what is expired.
    fn purge(&self) {
        unreachable!("{} takes no part in this workload", Self::NAME)
    }

    /// How many sessions there are.
    fn count(&self) -> usize {
        unreachable!("{} takes no part in this workload", Self::NAME)
    }

    /// A fresh id in the form the store wants.
    fn fresh() -> Id {
        Id::random_text()
    }

    /// A login: makes an id and a session, and stores it.
    fn create(&self, data: &Data) -> Id {
        let id = Self::fresh();
        self.insert(&id, Self::prepare(data), HOUR);
        id
    }
}

/// Calls a generic function for the store of that name.
#[macro_export]
macro_rules! for_store {
    ($name:expr, $module:ident::$call:ident($($argument:expr),*)) => {
        match $name {
            "lembro" => $module::$call::<$crate::stores::Lembro>($($argument),*),
            "bare HashMap" => $module::$call::<$crate::stores::Bare>($($argument),*),
            "dashmap" => $module::$call::<$crate::stores::Dashmap>($($argument),*),
            "dashmap in place" => $module::$call::<$crate::stores::InPlace>($($argument),*),
            "quick_cache" => $module::$call::<$crate::stores::QuickCache>($($argument),*),
            "lembro Sessions" => $module::$call::<$crate::stores::LembroSessions>($($argument),*),
            "RwLock<HashMap>" => $module::$call::<$crate::stores::Cloned>($($argument),*),
            "RwLock<HashMap> of Arc" => $module::$call::<$crate::stores::Shared>($($argument),*),
            "papaya" => $module::$call::<$crate::stores::Papaya>($($argument),*),
            "moka" => $module::$call::<$crate::stores::Moka>($($argument),*),
            "mini-moka" => $module::$call::<$crate::stores::MiniMoka>($($argument),*),
            "Mutex<lru>" => $module::$call::<$crate::stores::Lru>($($argument),*),
            "tower-sessions memory" => $module::$call::<$crate::stores::TowerMemory>($($argument),*),
            "tower-sessions moka" => $module::$call::<$crate::stores::TowerMoka>($($argument),*),
            other => panic!("there is no store \"{other}\""),
        }
    };
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::SNAPSHOTS;
    use crate::work::AT;

    const OTHERS: [&str; 4] = ["lembro", "lembro Sessions", "dashmap in place", "Mutex<lru>"];

    fn find<P: Peer>() {
        let ids = Id::many(100);
        let store = P::filled(Room::Plenty, &ids, Data::new);
        assert!(ids.iter().all(|id| store.get(id).is_some()), "{} lost a session", P::NAME);
        assert_eq!(store.get(&Id::random()), None, "{} found what nobody stored", P::NAME);
    }

    fn request<P: Peer>() {
        let store = P::new(Room::Plenty);
        let id = store.create(&Data::new(3));
        for change in [None, Some(AT + 7), None] {
            // The user and the length of the token.
            assert_eq!(store.cycle(&id, change), Some(10_000_003 + 32), "{}", P::NAME);
        }
        assert_eq!(store.cycle(&P::fresh(), Some(AT)), None, "{} saved what is not there", P::NAME);
    }

    fn end<P: Peer>() {
        let ids = Id::many(10);
        let store = P::filled(Room::Plenty, &ids, Data::new);
        store.touch(&ids[0], Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!((store.get(&ids[0]), store.get(&ids[1]).is_some()), (None, true), "{}", P::NAME);
        store.purge();
        assert_eq!(store.count(), 9, "{}", P::NAME);
    }

    fn overflow<P: Peer>() {
        let store = P::new(Room::For(2_000, || Data::new(0)));
        (0..10_000).for_each(|number| _ = store.create(&Data::new(number)));
        let len = store.count();
        assert!((1_800..=2_000).contains(&len), "{} holds {len}", P::NAME);
    }

    #[test]
    fn every_store_finds_what_was_stored_and_nothing_else() {
        SNAPSHOTS.into_iter().chain(OTHERS).chain(["bare HashMap"]).for_each(|store| for_store!(store, self::find()));
    }

    #[test]
    fn every_store_does_the_same_request() {
        SNAPSHOTS.into_iter().chain(OTHERS).for_each(|store| for_store!(store, self::request()));
    }

    #[test]
    fn every_store_that_is_purged_loses_what_is_expired_and_keeps_the_rest() {
        let stores = ["lembro", "dashmap", "papaya", "quick_cache", "RwLock<HashMap> of Arc", "RwLock<HashMap>"];
        stores.into_iter().for_each(|store| for_store!(store, self::end()));
    }

    #[test]
    fn every_store_that_is_bounded_holds_as_many_sessions_as_it_may() {
        let stores = ["lembro", "quick_cache", "moka", "mini-moka", "Mutex<lru>"];
        stores.into_iter().for_each(|store| for_store!(store, self::overflow()));
    }
}
