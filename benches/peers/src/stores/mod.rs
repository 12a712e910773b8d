//! The stores, and a macro that calls a generic function for the store of a name.

mod caches;
mod lembro;
mod maps;
mod tower;

pub use self::caches::{Moka, QuickCache};
pub use self::lembro::{LEASE, Lembro, LembroSessions};
pub use self::maps::{Bare, Dashmap, RwLockMap};
pub use self::tower::TowerSessions;

/// Calls a generic function for the store of that name.
#[macro_export]
macro_rules! for_store {
    ($name:expr, $($call:ident)::+) => {
        match $name {
            "lembro" => $($call)::+::<$crate::stores::Lembro>(),
            "lembro Session" => $($call)::+::<$crate::stores::LembroSessions>(),
            "bare HashMap" => $($call)::+::<$crate::stores::Bare>(),
            "RwLock<HashMap>" => $($call)::+::<$crate::stores::RwLockMap>(),
            "dashmap" => $($call)::+::<$crate::stores::Dashmap>(),
            "quick_cache" => $($call)::+::<$crate::stores::QuickCache>(),
            "moka" => $($call)::+::<$crate::stores::Moka>(),
            "tower-sessions" => $($call)::+::<$crate::stores::TowerSessions>(),
            other => panic!("there is no store \"{other}\""),
        }
    };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::map;
    use crate::peer::{Capacity, Peer};
    use crate::sessions::{AT, Data, Id};

    const ALL: [&str; 7] =
        ["lembro", "lembro Session", "RwLock<HashMap>", "dashmap", "quick_cache", "moka", "tower-sessions"];

    fn find<P: Peer>() {
        let ids = Id::many(100);
        let store = P::filled(&ids);
        assert!(ids.iter().all(|id| store.get(id).is_some()), "{} lost a session", P::NAME);
        assert_eq!(store.get(&Id::random()), None, "{} found a session that was not stored", P::NAME);
    }

    fn request<P: Peer>() {
        let store = P::new(Capacity::Unlimited);
        let id = store.log_in(&Data::new(3));
        for change in [None, Some(AT + 7), None] {
            // The user and the length of the token.
            assert_eq!(store.request(&id, change), Some(10_000_003 + 32), "{}", P::NAME);
        }
        assert_eq!(store.request(&P::fresh(), Some(AT)), None, "{} saved a missing session", P::NAME);
    }

    fn purge<P: Peer>() {
        let ids = Id::many(10);
        let store = P::filled(&ids);
        store.touch(&ids[0], Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!((store.get(&ids[0]), store.get(&ids[1]).is_some()), (None, true), "{}", P::NAME);
        store.purge();
        assert_eq!(store.count(), 9, "{}", P::NAME);
    }

    fn overflow<P: Peer>() {
        let store = P::new(Capacity::Sessions(2_000));
        (0..10_000).for_each(|number| _ = store.log_in(&Data::new(number)));
        let count = store.count();
        assert!((1_800..=2_000).contains(&count), "{} holds {count}", P::NAME);
    }

    #[test]
    fn stores_find_stored_sessions_only() {
        ALL.into_iter().chain(["bare HashMap"]).for_each(|store| for_store!(store, find));
    }

    #[test]
    fn stores_do_the_same_request() {
        ALL.into_iter().for_each(|store| for_store!(store, request));
    }

    #[test]
    fn a_purge_removes_expired_sessions_only() {
        ["lembro", "RwLock<HashMap>", "dashmap", "quick_cache"].into_iter().for_each(|store| for_store!(store, purge));
    }

    #[test]
    fn bounded_stores_use_their_capacity() {
        ["lembro", "quick_cache", "moka"].into_iter().for_each(|store| for_store!(store, overflow));
    }

    #[test]
    fn sessions_are_300_bytes_of_json() {
        let json_len = |number| serde_json::to_string(&map::build(&Data::new(number))).unwrap().len();
        assert_eq!([0, 1, 999_999].map(json_len), [300; 3]);
    }
}
