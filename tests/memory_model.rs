//! Random histories of a `LembroStore` against a map that is obviously right.
//!
//! Properties, after every step: (1) with room for everything, every answer is the map's; (2) every counter, queue and
//! index recomputes to what is kept; (3) with little room, the bound holds, nothing is found that the map does not have, and what
//! is found is what the map has.

use std::collections::BTreeMap;
use std::time::Duration;

use lembro::{
    Changes, Clock, Expected, LembroOptions, LembroStore, ManualClock, Outcome, Record, SessionId, Store, Version,
};
use proptest::prelude::*;

/// Few ids and few secrets, so that histories meet themselves.
const IDS: u8 = 6;
const SECRETS: u8 = 3;

#[derive(Clone, Debug)]
enum Step {
    Create { id: u8, secret: u8, size: usize, owned: bool, ttl: u64 },
    Set { id: u8, secret: u8, size: usize, ttl: u64 },
    Save { id: u8, secret: u8, key: u8, size: usize, owner: Option<bool>, ttl: u64, stale: bool, exact: bool },
    Touch { id: u8, secret: u8, ttl: u64 },
    Rotate { id: u8, secret: u8, new: u8, grace: u64 },
    Destroy { id: u8, secret: u8 },
    Get { id: u8, secret: u8 },
    Advance { seconds: u64 },
    Purge,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let (id, secret, ttl, size) = (0..IDS, 0..SECRETS, 0..40_u64, prop_oneof![0..40_usize, 0..600_usize]);
    let names = (id, secret.clone());
    prop_oneof![
        6 => (names.clone(), size.clone(), any::<bool>(), ttl.clone())
            .prop_map(|((id, secret), size, owned, ttl)| Step::Create { id, secret, size, owned, ttl }),
        2 => (names.clone(), size.clone(), ttl.clone())
            .prop_map(|((id, secret), size, ttl)| Step::Set { id, secret, size, ttl }),
        6 => (names.clone(), 0..4_u8, size, any::<Option<bool>>(), ttl.clone(), any::<bool>(), any::<bool>())
            .prop_map(|((id, secret), key, size, owner, ttl, stale, exact)| Step::Save { id, secret, key, size, owner, ttl, stale, exact }),
        4 => (names.clone(), ttl.clone()).prop_map(|((id, secret), ttl)| Step::Touch { id, secret, ttl }),
        3 => (names.clone(), secret, prop_oneof![Just(0), 0..20_u64])
            .prop_map(|((id, secret), new, grace)| Step::Rotate { id, secret, new, grace }),
        1 => names.clone().prop_map(|(id, secret)| Step::Destroy { id, secret }),
        4 => names.prop_map(|(id, secret)| Step::Get { id, secret }),
        4 => (1..15_u64).prop_map(|seconds| Step::Advance { seconds }),
        2 => Just(Step::Purge),
        1 => (0..10_u8).prop_map(|n| if n == 0 { Step::Clear } else { Step::Purge }),
    ]
}

/// One session of the map.
#[derive(Clone, Debug)]
struct Kept {
    secret: u8,
    retired: Option<(u8, u64)>,
    ends: u64,
    data: BTreeMap<String, String>,
    owned: bool,
    version: Option<Version>,
}

/// The map, and the store beside it.
struct Both {
    store: LembroStore,
    time: ManualClock,
    now: u64,
    map: BTreeMap<u8, Kept>,
    /// Versions of sessions that are gone, by id: what a stale handle would hold.
    stale: BTreeMap<u8, Version>,
    roomy: bool,
}

fn id(handle: u8, secret: u8) -> SessionId {
    SessionId::derive(&format!("handle {handle}")).renewed(&SessionId::derive(&format!("secret {handle} {secret}")))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Both {
    fn new(options: LembroOptions, roomy: bool) -> Self {
        let time = Clock::manual();
        let store = LembroStore::with_options(options.interval(0).clock(&time)).unwrap();
        Self { store, time, now: 0, map: BTreeMap::new(), stale: BTreeMap::new(), roomy }
    }

    /// The map's session for an id, if it is live. `current`: not by an id in its grace.
    fn find(&self, handle: u8, secret: u8, current: bool) -> Option<Kept> {
        let kept = self.map.get(&handle).filter(|kept| kept.ends > self.now)?;
        let grace = kept.retired.is_some_and(|(old, until)| old == secret && until > self.now);
        (kept.secret == secret || (grace && !current)).then(|| kept.clone())
    }

    fn live(&self, handle: u8) -> bool {
        self.map.get(&handle).is_some_and(|kept| kept.ends > self.now)
    }

    /// In a store without room any session may have been evicted: then the map forgets it, too.
    fn follow_evictions(&mut self) {
        if self.roomy {
            return;
        }
        let listed: Vec<_> = self.store.all().unwrap().map(|listed| listed.unwrap().handle).collect();
        self.map.retain(|handle, kept| kept.ends <= self.now || listed.contains(&id(*handle, 0).handle()));
    }

    fn take(&mut self, step: &Step) {
        self.follow_evictions();
        match step.clone() {
            Step::Create { id: handle, secret, size, owned, ttl } => {
                let outcome = self.store.create(&id(handle, secret), record(size, owned), seconds(ttl)).unwrap();
                assert_eq!(outcome, if self.live(handle) { Outcome::Conflict } else { Outcome::Done });
                if outcome.is_done() {
                    self.insert(handle, secret, size, owned, ttl);
                }
            }
            Step::Set { id: handle, secret, size, ttl } => {
                let free = !self.live(handle) || self.map[&handle].secret == secret;
                let result = self.store.set(&id(handle, secret), record(size, false), seconds(ttl));
                assert_eq!(result.is_ok(), free, "{result:?}");
                if free {
                    self.insert(handle, secret, size, false, ttl);
                }
            }
            Step::Save { id: handle, secret, key, size, owner, ttl, stale, exact } => {
                self.save(handle, secret, key, size, owner, ttl, stale, exact);
            }
            Step::Touch { id: handle, secret, ttl } => {
                let there = self.find(handle, secret, false).is_some();
                assert_eq!(self.store.touch(&id(handle, secret), seconds(ttl)).unwrap().is_done(), there);
                if there {
                    self.map.get_mut(&handle).unwrap().ends = self.now + ttl;
                }
            }
            Step::Rotate { id: handle, secret, new, grace } => {
                let there = self.find(handle, secret, true).is_some();
                let outcome = self.store.rotate(&id(handle, secret), &id(handle, new), seconds(grace)).unwrap();
                assert_eq!(outcome.is_done(), there);
                if there {
                    let kept = self.map.get_mut(&handle).unwrap();
                    kept.retired = (grace > 0).then_some((secret, self.now + grace));
                    kept.secret = new;
                }
            }
            Step::Destroy { id: handle, secret } => {
                let there = self.find(handle, secret, false).is_some();
                assert_eq!(self.store.destroy(&id(handle, secret)).unwrap().is_done(), there);
                if there {
                    self.forget(handle);
                }
            }
            Step::Get { id: handle, secret } => self.get(handle, secret),
            Step::Advance { seconds: passed } => {
                self.time.advance(seconds(passed));
                self.now += passed;
            }
            Step::Purge => {
                let before = self.store.stats();
                let purged = self.store.purge();
                let after = self.store.stats();
                assert_eq!(after.sessions, before.sessions - purged);
                assert_eq!(after.sessions, self.store.len().unwrap(), "nothing expired is left");
            }
            Step::Clear => {
                self.store.clear().unwrap();
                self.map.clear();
            }
        }
        self.compare();
    }

    fn insert(&mut self, handle: u8, secret: u8, size: usize, owned: bool, ttl: u64) {
        self.forget(handle);
        let version = self.store.get(&id(handle, secret)).unwrap().map(|stored| stored.record.version());
        let data = BTreeMap::from([("data".to_owned(), "x".repeat(size))]);
        self.map.insert(handle, Kept { secret, retired: None, ends: self.now + ttl, data, owned, version });
    }

    fn forget(&mut self, handle: u8) {
        if let Some(version) = self.map.remove(&handle).and_then(|kept| kept.version) {
            self.stale.insert(handle, version);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one step")]
    fn save(
        &mut self,
        handle: u8,
        secret: u8,
        key: u8,
        size: usize,
        owner: Option<bool>,
        ttl: u64,
        stale: bool,
        exact: bool,
    ) {
        let kept = self.find(handle, secret, false);
        let known = if stale { self.stale.get(&handle).copied() } else { kept.as_ref().and_then(|kept| kept.version) };
        let version = known.unwrap_or(Version::from_u64(7));
        let mut changes = Changes::new();
        let (name, value) = (format!("key{key}"), "y".repeat(size));
        changes.insert("", &name, &value).unwrap();
        if let Some(owner) = owner {
            changes.set_owner(owner.then_some("ada")).unwrap();
        }
        let expected = if exact { Expected::Exactly(version) } else { Expected::Incarnation(version) };
        let outcome = self.store.save(&id(handle, secret), &changes, seconds(ttl), expected).unwrap();
        let fits = kept.is_some() && known.is_some() && !stale;
        assert_eq!(outcome, if fits { Outcome::Done } else { Outcome::Gone });
        if fits {
            let stored = self.store.get(&id(handle, secret)).unwrap().map(|stored| stored.record.version());
            let kept = self.map.get_mut(&handle).unwrap();
            kept.data.insert(name, value);
            kept.owned = owner.unwrap_or(kept.owned);
            kept.ends = self.now + ttl;
            if ttl > 0 && self.roomy {
                assert_ne!(stored, kept.version);
            }
            kept.version = stored.or(kept.version);
        }
    }

    fn get(&self, handle: u8, secret: u8) {
        let (found, kept) = (self.store.get(&id(handle, secret)).unwrap(), self.find(handle, secret, false));
        assert_eq!(found.is_some(), kept.is_some());
        if let (Some(found), Some(kept)) = (found, kept) {
            let data = found
                .record
                .entries()
                .map(|(_, key, value)| (key.to_owned(), value.get().trim_matches('"').to_owned()));
            assert_eq!(data.collect::<BTreeMap<_, _>>(), kept.data);
            assert_eq!(found.record.owner().is_some(), kept.owned);
            assert_eq!(found.ttl, seconds(kept.ends - self.now));
        }
    }

    fn compare(&mut self) {
        self.store.validate().unwrap();
        self.follow_evictions();
        let live = self.map.values().filter(|kept| kept.ends > self.now).count();
        assert_eq!(self.store.len().unwrap(), live);
        assert_eq!(self.store.all().unwrap().count(), live);
        let stats = self.store.stats();
        assert!(stats.bytes <= stats.max_size);
        assert!(stats.sessions >= live);
    }
}

fn record(size: usize, owned: bool) -> Record {
    let record: Record = [("data", "x".repeat(size))].into_iter().collect();
    let mut changes = Changes::new();
    changes.set_owner(owned.then_some("ada")).unwrap();
    changes.apply(&record).unwrap()
}

proptest! {
    #[test]
    fn with_room_for_everything_the_store_is_the_map(steps in prop::collection::vec(step(), 1..80)) {
        let mut both = Both::new(LembroOptions::new().max_size("16M").shards(4), true);
        steps.iter().for_each(|step| both.take(step));
    }

    #[test]
    fn with_little_room_the_bound_holds_and_what_is_left_is_right(steps in prop::collection::vec(step(), 1..120)) {
        let options = LembroOptions::new().max_size(7_200).max_session_size(3_600).shards(1);
        let mut both = Both::new(options, false);
        steps.iter().for_each(|step| both.take(step));
    }
}
