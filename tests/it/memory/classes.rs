//! Eviction by class: the class of a session decides before its size and age, and the session being
//! written counts as one of its class.
//!
//! Sessions without an owner evict none with an owner beyond their share, with any write:
//!
//! | the write | without an owner | with an owner |
//! |---|---|---|
//! | a new session, small or large | refused beyond the share | stored |
//! | a merge or an exact commit that makes it larger | refused, the version before stays | stored |
//! | a `set` in the place of a smaller one | refused, the version before stays | stored |
//! | a new id (32 bytes more) | refused, the old id works on | stored |
//! | a `set` that takes the owner away, and grows | refused, stays owned | |
//! | a login, of the largest session too | | stored |
//! | a restore from a file | left out, counted as evicted | restored |
//! | a smaller row, a touch, a look, an end | never refused | never refused |
//!
//! `WhenFull::RefuseAnonymous` evicts nothing for any write of the second column.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use lembro::{
    Changes, Clock, Commit, Error, Event, Identity, Lease, LembroOptions, LembroStore, Look, Lookup, ManualClock,
    Record, Result, SessionId, Store, WhenFull,
};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::support::scratch::Folder;
use crate::support::steps::{
    create, create_for, exactly, is_there, log_in, login, merge, new_id, owner, owners, renewed, replace, replacement,
    save, touch, version_of,
};

const HOUR: Duration = Duration::from_secs(3600);

fn text(bytes: usize) -> Record {
    [("data", "x".repeat(bytes))].into_iter().collect()
}

fn change(bytes: usize) -> Changes {
    Changes::from(&text(bytes))
}

/// Adds a session, with an owner or without.
fn add(store: &LembroStore, bytes: usize, owner: Option<&str>) -> SessionId {
    let id = new_id();
    assert!(create_for(store, &id, &text(bytes), owner, HOUR).unwrap().is_done());
    id
}

fn store(options: LembroOptions) -> LembroStore {
    LembroStore::with_options(options.interval(0)).unwrap()
}

/// One shard of 64K, in which no session without an owner can be larger than 6.5K once the rest is
/// full.
fn small() -> LembroOptions {
    LembroOptions::new().max_size("64K").shards(1).clock(&Clock::manual())
}

/// Adds sessions with an owner until they fill the store. Returns how many there are, and how many
/// were evicted because their shard was full before the others.
fn fill_with_owned(store: &LembroStore) -> (usize, u64) {
    let room = store.stats().max_size;
    while store.bytes() + 1_200 * 4 < room {
        add(store, 400, Some("ada"));
    }
    users(store)
}

/// How many sessions with an owner there are, and how many were evicted.
fn users(store: &LembroStore) -> (usize, u64) {
    let stats = store.stats();
    (stats.owned_sessions, stats.evicted_owned)
}

fn assert_full<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(error.to_string(), "the store is full: it has no room for this session without an owner");
}

#[test]
fn large_anonymous_sessions_evict_no_user() {
    let store = store(LembroOptions::new());
    let before = fill_with_owned(&store);
    assert!(before.0 > 1_500);
    for _ in 0..45 {
        match create(&store, &new_id(), &text(60_000), HOUR) {
            Ok(outcome) => assert!(outcome.is_done()),
            error => assert_full(error),
        }
    }
    store.validate().unwrap();
    assert_eq!(users(&store), before);
    assert!(store.stats().turned_away > 40);
}

/// A write that makes an anonymous session of 1K one of 20K.
type Write = fn(&LembroStore, &SessionId) -> Result<()>;

const GROWTH: [(&str, Write); 3] = [
    ("merge", |store, id| save(store, id, &change(20_000), HOUR, version_of(store, id)).map(drop)),
    ("exact commit", |store, id| exactly(store, id, &change(20_000), HOUR, version_of(store, id)).map(drop)),
    ("set", |store, id| store.set(id, text(20_000), HOUR)),
];

#[test]
fn anonymous_growth_evicts_no_user() {
    for (name, write) in GROWTH {
        let store = store(small());
        let id = add(&store, 1_000, None);
        let filled = fill_with_owned(&store);
        let before = store.get(&id).unwrap().unwrap().record;
        assert_full(write(&store, &id));
        store.validate().unwrap();
        assert_eq!(store.get(&id).unwrap().unwrap().record, before, "{name}");
        assert_eq!(users(&store), filled, "{name}");
        // Smaller, touched, or larger within the share: not refused.
        assert!(save(&store, &id, &change(10), HOUR, version_of(&store, &id)).unwrap().is_done());
        assert!(touch(&store, &id, HOUR).unwrap().is_done());
        assert!(save(&store, &id, &change(5_000), HOUR, version_of(&store, &id)).unwrap().is_done());
        store.validate().unwrap();
    }
}

#[test]
fn full_share_refuses_a_second_secret() {
    let store = store(small().anonymous_share(1));
    let id = add(&store, 503, None);
    let share = 65_536 / 100;
    assert!((share - 31..=share).contains(&store.bytes()), "{}", store.bytes());
    while store.stats().evicted_owned == 0 {
        add(&store, 10, Some("ada"));
    }
    assert!(is_there(&store, &id));
    let owned = store.stats().owned_sessions;
    // Until a few bytes are too many.
    while store.bytes() + 31 < 65_536 {
        let rest = 65_536 - store.bytes();
        let empty = 200;
        if rest < empty {
            break;
        }
        add(&store, rest - empty, Some("bob"));
    }
    let evicted = store.stats().evicted_owned;
    let replaced = replace(&store, &id, &renewed(&id), &Lease::new(HOUR));
    if store.bytes() + 32 > 65_536 {
        assert_full(replaced);
        assert!(is_there(&store, &id));
    }
    assert_eq!(store.stats().evicted_owned, evicted);
    assert!(store.stats().owned_sessions >= owned);
    store.validate().unwrap();
}

#[test]
fn session_without_its_owner_is_anonymous() {
    let store = store(small());
    let id = add(&store, 5_000, Some("bob"));
    let filled = fill_with_owned(&store);
    let before = store.get(&id).unwrap().unwrap().record;
    assert_full(store.set(&id, text(20_000), HOUR));
    assert_eq!(store.get(&id).unwrap().unwrap().record, before);
    // A write that is no larger than before evicts no session.
    store.set(&id, text(5_000), HOUR).unwrap();
    store.validate().unwrap();
    assert_eq!(users(&store), (filled.0 - 1, 0));
    // From now on it is anonymous: a login takes its room.
    for _ in 0..12 {
        add(&store, 400, Some("cyd"));
    }
    assert!(is_there(&store, &id), "within the share");
    assert!(store.stats().owned_bytes <= 65_536);
    store.validate().unwrap();
}

#[test]
fn login_takes_room_of_anonymous_sessions() {
    for share in [0, 10, 50, 100] {
        let store = store(small().anonymous_share(share));
        let id = add(&store, 20_000, None);
        while store.bytes() + 600 < 65_536 {
            add(&store, 400, None);
        }
        let new = renewed(&id);
        assert!(log_in(&store, &id, &new, "ada", &Lease::new(HOUR)).unwrap().is_done());
        assert!(is_there(&store, &new), "{share} %");
        assert!(save(&store, &new, &change(30_000), HOUR, version_of(&store, &new)).unwrap().is_done());
        store.validate().unwrap();
        assert!(is_there(&store, &new), "{share} %");
    }
}

#[test]
fn owned_sessions_are_never_refused() {
    for when in [WhenFull::Evict, WhenFull::RefuseAnonymous] {
        let store = store(small().when_full(when));
        fill_with_owned(&store);
        let id = add(&store, 20_000, Some("bob"));
        assert!(save(&store, &id, &change(40_000), HOUR, version_of(&store, &id)).unwrap().is_done());
        assert!(is_there(&store, &id));
        store.validate().unwrap();
    }
}

#[test]
fn anonymous_share_evicts_the_idlest_users() {
    let store = store(small());
    let sessions = fill_with_owned(&store);
    while users(&store).1 < 3 {
        add(&store, 400, Some("ada"));
    }
    for _ in 0..1_000 {
        add(&store, 400, None);
        let stats = store.stats();
        assert!(stats.evicted_owned == 0 || stats.bytes - stats.owned_bytes <= 6_550);
    }
    store.validate().unwrap();
    let stats = store.stats();
    assert!(stats.bytes - stats.owned_bytes > 5_900, "{stats:?}");
    assert!(stats.owned_bytes + 6_550 + 600 >= stats.max_size, "{stats:?}");
    assert!(stats.owned_sessions >= sessions.0 * 85 / 100);
}

#[test]
fn refuse_anonymous_evicts_no_session() {
    let store = store(LembroOptions::new().when_full(WhenFull::RefuseAnonymous));
    let ids: Vec<_> = (0..8).map(|_| add(&store, 100, None)).collect();
    let filled = fill_with_owned(&store);
    for id in &ids {
        assert_full(save(&store, id, &change(60_000), HOUR, version_of(&store, id)));
        assert_full(store.set(id, text(60_000), HOUR));
        assert!(is_there(&store, id));
    }
    // The share has no effect here.
    while create(&store, &new_id(), &text(400), HOUR).is_ok() {}
    assert_eq!(users(&store), filled);
    assert_eq!(store.stats().evicted, filled.1, "no anonymous session either");
    store.validate().unwrap();
}

#[test]
fn expired_sessions_make_room_before_a_refusal() {
    let time = Clock::manual();
    for when in [WhenFull::Evict, WhenFull::RefuseAnonymous] {
        let store = store(small().clock(&time).when_full(when));
        let id = add(&store, 1_000, None);
        while store.bytes() + 2_000 < 65_536 {
            assert!(create_for(&store, &new_id(), &text(400), Some("ada"), HOUR / 2).unwrap().is_done());
        }
        assert_full(save(&store, &id, &change(15_000), HOUR, version_of(&store, &id)));
        time.advance(HOUR / 2);
        assert!(save(&store, &id, &change(15_000), HOUR, version_of(&store, &id)).unwrap().is_done());
        assert_eq!(store.stats().evicted, 0);
        store.validate().unwrap();
    }
}

#[test]
fn restart_keeps_users_before_anonymous_sessions() {
    let folder = Folder::new();
    let path = folder.join("sessions");
    let before = store(LembroOptions::new().max_size("1M").shards(1).max_session_size("64K").persist(&path));
    for n in 0..300 {
        let (bytes, user) = [(400, Some("ada")), (400, None), (9_000, None)][n % 3];
        add(&before, bytes, user);
    }
    let owned = before.stats().owned_bytes;
    // From the journal of a store that was killed, and from the snapshot of one that was closed.
    let killed = folder.image();
    before.close().unwrap();
    for (when, closed) in
        [WhenFull::Evict, WhenFull::RefuseAnonymous].into_iter().flat_map(|when| [(when, false), (when, true)])
    {
        let image = if closed { folder.image() } else { killed.image() };
        let options = small().clock(Clock::system()).when_full(when).persist(image.join("sessions"));
        let after = store(options);
        after.validate().unwrap();
        let (stats, restored) = (after.stats(), after.stats().restored.unwrap());
        assert!(owned < stats.max_size && stats.owned_sessions == 100, "{stats:?}");
        assert_eq!(stats.evicted_owned, 0);
        assert_eq!(restored.sessions + restored.evicted + restored.refused, 300);
        assert_eq!((restored.sessions, restored.refused), (stats.sessions, 0));
        assert_eq!(u64::try_from(restored.evicted).unwrap(), stats.evicted);
    }
}

#[test]
fn evicted_users_are_reported_once_a_minute() {
    let time = Clock::manual();
    let store = store(small().clock(&time));
    let errors = store.errors();
    let log_in_users = |sessions: usize| {
        let before = store.stats().evicted_owned;
        for _ in 0..sessions {
            add(&store, 400, Some("ada"));
        }
        store.stats().evicted_owned - before
    };
    let texts = || errors.try_iter().map(|error: Error| error.to_string()).collect::<Vec<_>>();
    fill_with_owned(&store);
    assert!(texts().is_empty());
    let first = log_in_users(100);
    assert!(first > 80);
    let [report] = &texts()[..] else { panic!("one report") };
    assert_eq!(
        report,
        "sessions with an owner were evicted for want of memory (1 since the last such error): raise max_size, which \
         is 65536 bytes, or lower anonymous_share"
    );
    // The next eviction or purge reports the rest.
    time.advance(Duration::from_secs(59));
    store.purge();
    assert!(texts().is_empty());
    time.advance(Duration::from_secs(1));
    store.purge();
    assert!(texts()[0].contains(&format!("({} since", first - 1)));
    time.advance(HOUR / 2);
    assert_eq!(log_in_users(1), 1);
    assert!(texts()[0].contains("(1 since"));
    store.purge();
    time.advance(HOUR / 4);
    store.purge();
    assert!(texts().is_empty(), "nothing happened since");
}

/// A thread of random operations on sessions that it shares with other threads.
struct Actor<'a> {
    store: &'a LembroStore,
    time: &'a ManualClock,
    ids: &'a [Mutex<SessionId>],
    random: StdRng,
}

impl Actor<'_> {
    /// Mostly small, seldom beyond the share, and sometimes beyond `max_session_size`.
    fn size(&mut self) -> usize {
        match self.random.random_range(0..20) {
            0 => self.random.random_range(0..20_000),
            1..4 => self.random.random_range(0..8_000),
            _ => self.random.random_range(0..700),
        }
    }

    fn step(&mut self) {
        let slot = &self.ids[self.random.random_range(0..self.ids.len())];
        let id = *slot.lock().unwrap();
        let (store, lease) = (self.store, Lease::new(Duration::from_secs(self.random.random_range(0..4_000))));
        let version = match store.look(&id, Look::Peek, &lease).unwrap() {
            Lookup::Found(found) => found.record.version(),
            _ => lembro::Version::from_u64(self.random.next_u64()),
        };
        let name = ["ada", "bob", "cyd"][self.random.random_range(0..3)];
        let new = renewed(&id);
        let result = match self.random.random_range(0..100) {
            0..25 => create(store, &id, &text(self.size()), lease.idle).map(drop),
            25..40 => create_for(store, &id, &text(self.size()), Some(name), lease.idle).map(drop),
            40..60 => save(store, &id, &change(self.size()), lease.idle, version).map(drop),
            60..65 => {
                // An answer was lost: the same commit once more.
                let commit = merge(&change(self.size()), version);
                store.commit(&id, &commit, &lease).and(store.commit(&id, &commit.repeated(), &lease)).map(drop)
            }
            65..73 => {
                let commit = replacement(version, &new).log_in(login(name)).with(change(self.size()));
                let done = store.commit(&id, &commit, &lease);
                if done.as_ref().is_ok_and(|outcome| outcome.is_done()) {
                    *slot.lock().unwrap() = new;
                }
                done.map(drop)
            }
            73..78 => store.set(&id, text(self.size()), lease.idle),
            78..82 => {
                let done = store.commit(&id, &Commit::merge(version).unwrap().identity(Identity::Renew(1)), &lease);
                done.map(drop)
            }
            82..90 => store.look(&id, Look::Visit, &lease).map(drop),
            90..94 => touch(store, &id, lease.idle).map(drop),
            94..98 => store.destroy(&id).map(drop),
            98 => {
                self.time.advance(Duration::from_secs(self.random.random_range(0..30)));
                // A subscriber that never reads and is dropped.
                drop((store.events(), store.errors()));
                Ok(())
            }
            _ if self.random.random_range(0..20) > 0 => {
                store.purge();
                Ok(())
            }
            _ => owners(store).destroy_all(&owner(name), None).map(drop),
        };
        if let Err(error) = result {
            assert!(error.is_full() || error.is_size() || error.is_taken() || error.is_unknown(), "{error}");
        }
    }
}

fn random_store(when: WhenFull, time: &ManualClock) -> LembroStore {
    let options = LembroOptions::new().max_size("128K").shards(2).max_session_size("16K").interval(1);
    LembroStore::with_options(options.when_full(when).clock(time)).unwrap()
}

/// The number of operations of all threads together.
fn operations() -> usize {
    std::env::var("LEMBRO_OPERATIONS").map_or(100_000, |number| number.parse().unwrap())
}

#[test]
fn race_random_operations_keep_the_classes() {
    const THREADS: usize = 8;
    const ROUND: usize = 500;
    for when in [WhenFull::Evict, WhenFull::RefuseAnonymous] {
        let time = Clock::manual();
        let store = random_store(when, &time);
        let ids: Vec<_> = (0..600).map(|_| Mutex::new(new_id())).collect();
        let (pause, problems) = (Barrier::new(THREADS), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for seed in 0..THREADS {
                let (store, time, ids, pause, problems) = (&store, &time, &ids[..], &pause, &problems);
                scope.spawn(move || {
                    let mut actor = Actor { store, time, ids, random: StdRng::seed_from_u64(seed as u64) };
                    for _ in 0..operations() / 2 / THREADS / ROUND {
                        for _ in 0..ROUND {
                            actor.step();
                        }
                        let bytes = store.bytes();
                        if bytes > store.stats().max_size {
                            eprintln!("{bytes} bytes");
                            problems.fetch_add(1, Ordering::SeqCst);
                        }
                        if pause.wait().is_leader()
                            && let Err(problem) = store.validate()
                        {
                            eprintln!("{problem}");
                            problems.fetch_add(1, Ordering::SeqCst);
                        }
                        // All threads stop together: otherwise one would wait at the barrier for
                        // ever.
                        pause.wait();
                        if problems.load(Ordering::SeqCst) > 0 {
                            return;
                        }
                    }
                });
            }
        });
        assert_eq!(problems.load(Ordering::SeqCst), 0);
        store.validate().unwrap();
        let stats = store.stats();
        assert!(stats.turned_away > 0 && stats.refused > 0 && stats.expired > 0, "{stats:?}");
        assert!(stats.evicted > 0 && stats.evicted_owned > 0, "{stats:?}");
    }
}

#[test]
fn users_are_evicted_only_within_the_share() {
    for when in [WhenFull::Evict, WhenFull::RefuseAnonymous] {
        let time = Clock::manual();
        let options = small().max_session_size("16K").clock(&time).when_full(when);
        let store = store(options);
        let events = store.events();
        let ids: Vec<_> = (0..300).map(|_| Mutex::new(new_id())).collect();
        let mut actor = Actor { store: &store, time: &time, ids: &ids, random: StdRng::seed_from_u64(1) };
        let mut owned_victims = 0;
        for _ in 0..20_000 {
            let turned_away = store.stats().turned_away;
            actor.step();
            let stats = store.stats();
            let evicted: Vec<_> =
                events.try_iter().filter(|event| matches!(event, Event::Evicted { owned: true, .. })).collect();
            owned_victims += evicted.len();
            // Judged from outside, by the figures after the operation.
            if !evicted.is_empty() {
                assert!(stats.bytes - stats.owned_bytes <= 6_550, "{stats:?}");
            }
            assert!(stats.bytes <= stats.max_size);
            assert!(stats.turned_away == turned_away || evicted.is_empty(), "a refusal evicts no session");
        }
        assert!(owned_victims > 50);
        store.validate().unwrap();
    }
}
