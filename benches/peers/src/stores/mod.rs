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
pub use self::lembro::{Lembro, LembroSessions};
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
    /// How many sessions to expect, and how many bytes they may take by [`estimate`](crate::map::estimate).
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

    /// Finds a session: a snapshot that stays as it is while others change it. The result depends on what was found.
    fn get(&self, id: &Id) -> Option<u64>;

    /// A request: finds the session, reads two typed keys, changes one and saves, or only prolongs it. `None`: it is not
    /// there.
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
    fn len(&self) -> usize {
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