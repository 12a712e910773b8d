//! Eviction over `max_size`: expired sessions first, then unvisited ones, owned ones last, and
//! never the session just written.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use lembro::{
    Changes, Clock, Commit, Event, Identity, Lease, LembroOptions, LembroStore, Look, Lookup, Record, SessionId, Store,
};

use crate::support::steps::{
    create, create_owned, is_there, log_in, login, new_id, renew, renewed, renewing, replace, save, touch, version_of,
};

const HOUR: Duration = Duration::from_secs(3600);

/// The charge of each session below.
const WEIGHT: usize = 512;

fn record() -> Record {
    sized(WEIGHT)
}

/// A record whose session is charged this many bytes.
fn sized(bytes: usize) -> Record {
    let empty: Record = [("data", "")].into_iter().collect();
    let store = LembroStore::new().unwrap();
    store.set(&SessionId::random().unwrap(), empty, HOUR).unwrap();
    // The three lengths of the entry grow from one byte to two.
    let room = bytes - store.bytes() - 3;
    [("data", "x".repeat(room))].into_iter().collect()
}

/// The bytes of an owner: a name of three bytes and its length, the time of the login, and 18 in
/// the owner index.
const OWNER: usize = 3 + 1 + 6 + 18;

/// One shard with room for so many sessions.
fn store_for(sessions: usize, time: &lembro::ManualClock) -> LembroStore {
    let options = LembroOptions::new().interval(0).shards(1).clock(time).anonymous_share(0);
    LembroStore::with_options(options.max_size((sessions * WEIGHT) as u64)).unwrap()
}

fn add(store: &LembroStore, record: &Record, ttl: Duration) -> SessionId {
    let id = new_id();
    assert!(create(store, &id, record, ttl).unwrap().is_done());
    store.validate().unwrap();
    id
}

/// Adds a session with an owner and the same charge.
fn add_owned(store: &LembroStore) -> SessionId {
    let id = new_id();
    assert!(create_owned(store, &id, &sized(WEIGHT - OWNER), "ada", HOUR).unwrap().is_done());
    store.validate().unwrap();
    id
}

/// Whether a session is there. It does not visit it.
fn is_listed(store: &LembroStore, id: &SessionId) -> bool {
    store.all().unwrap().any(|listed| listed.unwrap().handle == id.handle())
}

#[test]
fn store_holds_as_many_sessions_as_fit() {
    let store = store_for(10, &Clock::manual());
    let ids: Vec<_> = (0..10).map(|_| add(&store, &record(), HOUR)).collect();
    assert!(ids.iter().all(|id| is_listed(&store, id)));
    assert_eq!(store.bytes(), store.stats().max_size);
    add(&store, &record(), HOUR);
    assert_eq!((store.len().unwrap(), store.stats().evicted), (10, 1));
}

#[test]
fn expired_sessions_are_evicted_first() {
    let time = Clock::manual();
    let store = store_for(10, &time);
    let events = store.events();
    let live: Vec<_> = (0..5).map(|_| add(&store, &record(), HOUR)).collect();
    let expired: Vec<_> = (0..5).map(|_| add(&store, &record(), HOUR / 4)).collect();
    time.advance(HOUR / 2);
    for _ in 0..5 {
        add(&store, &record(), HOUR);
    }
    assert!(live.iter().all(|id| is_listed(&store, id)));
    assert!(!expired.iter().any(|id| is_listed(&store, id)));
    assert_eq!((store.stats().expired, store.stats().evicted), (5, 0));
    assert!(events.try_iter().all(|event| matches!(event, Event::Expired { bytes: WEIGHT, .. })));
}

#[test]
fn visited_sessions_outlive_unvisited_ones() {
    let store = store_for(10, &Clock::manual());
    let ids: Vec<_> = (0..10).map(|_| add(&store, &record(), HOUR)).collect();
    assert!(is_there(&store, &ids[0]) && is_there(&store, &ids[4]));
    for _ in 0..100 {
        add(&store, &record(), HOUR);
    }
    let left: Vec<_> = (0..10).filter(|index| is_listed(&store, &ids[*index])).collect();
    assert_eq!(left, [0, 4]);
}

#[test]
fn flood_evicts_no_visited_session() {
    let store = store_for(1_000, &Clock::manual());
    let users: Vec<_> = (0..800).map(|_| add(&store, &record(), HOUR)).collect();
    assert!(users.iter().all(|id| is_there(&store, id)));
    for _ in 0..20_000 {
        let id = new_id();
        assert!(create(&store, &id, &record(), HOUR).unwrap().is_done());
    }
    store.validate().unwrap();
    assert_eq!(users.iter().filter(|id| is_listed(&store, id)).count(), 800);
}

/// A full store: each user visits its session twenty times, at random times, and abandons it. For
/// each of these requests, ten bots create a session that is never visited. Returns how many
/// percent of the users' requests found their session, generation by generation.
fn hits_among_bots(sessions: usize, users: usize, generations: usize) -> Vec<usize> {
    const REQUESTS: usize = 20;
    let store = store_for(sessions, &Clock::manual());
    let begin = || {
        let id = new_id();
        assert!(create(&store, &id, &record(), HOUR).unwrap().is_done());
        id
    };
    let mut random = StdRng::seed_from_u64(1);
    let mut there: Vec<_> = (0..users).map(|user| (begin(), user % REQUESTS)).collect();
    let generation = |_| {
        let mut hits = 0;
        for _ in 0..users * REQUESTS {
            (0..10).for_each(|_| _ = begin());
            let (id, requests) = &mut there[random.random_range(0..users)];
            *requests += 1;
            if is_there(&store, id) {
                hits += 1;
            } else {
                *id = begin();
            }
            if *requests == REQUESTS {
                (*id, *requests) = (begin(), 0);
            }
        }
        store.validate().unwrap();
        hits * 100 / (users * REQUESTS)
    };
    (0..generations).map(generation).collect()
}

#[test]
fn abandoned_sessions_do_not_fill_the_store() {
    let hits = hits_among_bots(300, 60, 6);
    assert!(hits.iter().all(|hits| *hits >= 80), "{hits:?}");
}

#[test]
fn abandoned_session_goes_before_a_new_one() {
    let store = store_for(100, &Clock::manual());
    let [stay, leave] = [40, 40].map(|users| (0..users).map(|_| add(&store, &record(), HOUR)).collect::<Vec<_>>());
    assert!(stay.iter().chain(&leave).all(|id| is_there(&store, id)));
    let flood = |sessions: usize| (0..sessions).for_each(|_| _ = add(&store, &record(), HOUR));
    flood(200);
    assert!(stay.iter().chain(&leave).all(|id| is_listed(&store, id)));
    for _ in 0..60 {
        assert!(stay.iter().all(|id| is_there(&store, id)));
        flood(20);
    }
    assert!(stay.iter().all(|id| is_listed(&store, id)));
    assert!(!leave.iter().any(|id| is_listed(&store, id)));
    // A new session has the room of the abandoned ones: more than the tenth of probation.
    let new = add(&store, &record(), HOUR);
    flood(50);
    assert!(is_listed(&store, &new));
}

#[test]
fn one_busy_session_ages_no_other() {
    let store = store_for(100, &Clock::manual());
    let users: Vec<_> = (0..50).map(|_| add(&store, &record(), HOUR)).collect();
    assert!(users.iter().all(|id| is_there(&store, id)));
    for _ in 0..1_000 {
        assert!(is_there(&store, &users[0]));
        add(&store, &record(), HOUR);
    }
    assert_eq!(users.iter().filter(|id| is_listed(&store, id)).count(), 50);
}

#[test]
fn owned_sessions_are_evicted_last() {
    let store = store_for(10, &Clock::manual());
    let events = store.events();
    let owners: Vec<_> = (0..5).map(|_| add_owned(&store)).collect();
    // All others are visited, the owned sessions are not.
    for _ in 0..200 {
        let id = add(&store, &record(), HOUR);
        is_there(&store, &id);
    }
    assert!(owners.iter().all(|id| is_listed(&store, id)));
    assert!(events.try_iter().all(|event| matches!(event, Event::Evicted { owned: false, .. })));
    // If owned sessions alone fill the store, one of them is evicted.
    for _ in 0..6 {
        add_owned(&store);
    }
    assert_eq!(owners.iter().filter(|id| is_listed(&store, id)).count(), 4);
    assert!(matches!(events.try_iter().last(), Some(Event::Evicted { owned: true, .. })));
}

#[test]
fn login_and_set_change_the_class() {
    let store = store_for(10, &Clock::manual());
    let id = add(&store, &sized(WEIGHT - OWNER - 32), HOUR);
    let new = renewed(&id);
    assert!(log_in(&store, &id, &new, "ada", &Lease::new(HOUR)).unwrap().is_done());
    store.validate().unwrap();
    assert_eq!(store.stats().owned_bytes, WEIGHT);
    (0..50).for_each(|_| assert!(is_listed(&store, &add(&store, &record(), HOUR))));
    assert!(is_listed(&store, &new));
    store.set(&new, record(), HOUR).unwrap();
    store.validate().unwrap();
    assert_eq!(store.stats().owned_sessions, 0);
    // Visited sessions fill the memory. This one was visited, too: it gets one second chance.
    assert!(is_there(&store, &new));
    (0..50).for_each(|_| assert!(is_there(&store, &add(&store, &record(), HOUR))));
    assert!(!is_listed(&store, &new));
}

#[test]
fn session_just_written_is_not_evicted() {
    let store = store_for(3, &Clock::manual());
    for _ in 0..20 {
        let id = add(&store, &record(), HOUR);
        assert!(is_listed(&store, &id));
    }
    // Not even if a commit makes it so large that no other session fits beside it.
    let id = add(&store, &record(), HOUR);
    let mut changes = Changes::new();
    changes.insert("", "more", &"y".repeat(900)).unwrap();
    assert!(save(&store, &id, &changes, HOUR, version_of(&store, &id)).unwrap().is_done());
    store.validate().unwrap();
    assert!(is_there(&store, &id));
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn too_large_session_is_refused() {
    let store = LembroStore::with_options(LembroOptions::new().max_session_size("4K")).unwrap();
    let events = store.events();
    let (id, large) = (SessionId::random().unwrap(), sized(4097));
    let error = create(&store, &id, &large, HOUR).unwrap_err();
    assert!(error.is_size());
    assert_eq!(error.to_string(), format!("session {}: 4097 bytes, max_session_size is 4096", id.handle()));
    assert!(store.set(&id, large, HOUR).unwrap_err().is_size());
    assert!(create(&store, &id, &sized(4096), HOUR).unwrap().is_done());

    let before = store.get(&id).unwrap().unwrap().record;
    let mut changes = Changes::new();
    changes.insert("", "one", "more").unwrap();
    assert!(save(&store, &id, &changes, HOUR, before.version()).unwrap_err().is_size());
    // A second secret does not fit either. The old id still opens the session.
    assert!(replace(&store, &id, &renewed(&id), &Lease::new(HOUR)).unwrap_err().is_size());
    assert_eq!(store.get(&id).unwrap().unwrap().record, before);
    assert_eq!(store.stats().refused, 4);
    assert_eq!(events.try_iter().filter(|event| matches!(event, Event::Refused { .. })).count(), 4);
    store.validate().unwrap();
}

#[test]
fn race_bound_holds_under_8_threads() {
    let store = LembroStore::with_options(LembroOptions::new().interval(1).max_size("512K")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..2_000 {
                    let id = new_id();
                    let size = 150 + (thread * 977 + round * 131) % 3_000;
                    assert!(create(store, &id, &sized_fast(size), HOUR).unwrap().is_done());
                    assert!(store.bytes() <= 512 * 1024);
                }
            });
        }
    });
    store.validate().unwrap();
    assert!(store.stats().evicted > 10_000);
}

fn sized_fast(bytes: usize) -> Record {
    [("data", "x".repeat(bytes))].into_iter().collect()
}

#[test]
fn second_secret_is_charged_and_evicted() {
    let store = store_for(2, &Clock::manual());
    let id = add(&store, &sized(WEIGHT - 32), HOUR);
    let new = renewed(&id);
    assert!(replace(&store, &id, &new, &Lease::new(HOUR)).unwrap().is_done());
    store.validate().unwrap();
    assert_eq!(store.bytes(), WEIGHT);
    let events = store.events();
    assert!(store.get(&id).unwrap().is_none());
    assert_eq!(events.try_iter().count(), 0, "a request in flight");
    // Visited sessions fill the memory. This one was visited, too: it gets one second chance.
    (0..20).for_each(|_| assert!(is_there(&store, &add(&store, &record(), HOUR))));
    let evicted = Event::Evicted { handle: id.handle(), bytes: WEIGHT, owned: false };
    assert_eq!(events.try_iter().filter(|event| *event == evicted).count(), 1);
    // Both ids are unknown now.
    for id in [id, new] {
        assert_eq!(store.look(&id, Look::Peek, &Lease::new(HOUR)).unwrap(), Lookup::Missing);
    }
}

#[test]
fn second_secret_keeps_the_bound() {
    let store = store_for(2, &Clock::manual());
    let (other, id) = (add(&store, &record(), HOUR), add(&store, &record(), HOUR));
    let new = renewed(&id);
    assert!(replace(&store, &id, &new, &Lease::new(HOUR)).unwrap().is_done());
    store.validate().unwrap();
    assert!(is_there(&store, &new) && !is_there(&store, &other));
}

#[test]
fn commit_without_room_for_renewal_is_stored() {
    let time = Clock::manual();
    let (store, lease) = (store_for(1, &time), renewing(HOUR, HOUR / 60));
    let id = add_owned(&store);
    time.advance(HOUR / 60);
    let version = version_of(&store, &id);
    let commit = Commit::merge(version).unwrap().identity(Identity::Renew(1));
    assert_eq!(store.commit(&id, &commit, &lease).unwrap().receipt().unwrap().announce, None);
    assert_ne!(version_of(&store, &id), version, "the rest of the commit is done");
    assert_eq!((store.stats().refused, store.bytes()), (0, WEIGHT));
    store.validate().unwrap();
}

#[test]
fn renewal_without_room_stays_pending() {
    let time = Clock::manual();
    let (store, lease) = (store_for(1, &time), renewing(HOUR, HOUR / 60));
    let id = new_id();
    assert!(create_owned(&store, &id, &sized(WEIGHT - OWNER - 32), "ada", HOUR).unwrap().is_done());
    time.advance(HOUR / 60);
    let new = renew(&store, &id, &lease);
    assert_eq!(store.bytes(), WEIGHT);
    for _ in 0..2 {
        for id in [id, new] {
            assert!(store.visit(&id, &lease).unwrap().found().is_some());
            store.validate().unwrap();
        }
    }
}

#[test]
fn set_with_zero_ttl_ends_the_session() {
    let store = store_for(2, &Clock::manual());
    let events = store.events();
    let id = add(&store, &record(), HOUR);
    let new = renewed(&id);
    store.set(&new_id(), record(), Duration::ZERO).unwrap();
    assert!(store.set(&new, record(), Duration::ZERO).unwrap_err().is_taken());
    assert!(is_there(&store, &id));
    store.set(&id, record(), Duration::ZERO).unwrap();
    assert!(!is_there(&store, &id));
    let stats = store.stats();
    assert_eq!((stats.created, stats.destroyed, stats.sessions), (1, 1, 0));
    assert!(matches!(events.try_recv(), Ok(Event::Destroyed { bytes: WEIGHT, .. })));
    store.validate().unwrap();
}

#[test]
fn reused_handle_counts_the_expired_session() {
    let time = Clock::manual();
    let store = store_for(4, &time);
    let events = store.events();
    let id = add(&store, &record(), HOUR);
    assert!(touch(&store, &id, HOUR / 2).unwrap().is_done());
    time.advance(HOUR / 2);
    let other = renewed(&id);
    let commit = Commit::create().unwrap().log_in(login("ada"));
    assert!(store.commit(&other, &commit, &Lease::new(HOUR)).unwrap().is_done());
    assert!(matches!(events.try_recv(), Ok(Event::Expired { bytes: WEIGHT, .. })));
    let stats = store.stats();
    assert_eq!((stats.created, stats.expired, stats.sessions, stats.owned_sessions), (2, 1, 1, 1));
    assert!(is_there(&store, &other) && !is_there(&store, &id));
    store.validate().unwrap();
}
