//! The reaper: it purges at its interval, stops at once, and leaves no thread.

use std::time::{Duration, Instant};

use lembro::{Clock, Event, LembroOptions, LembroStore, Record, SessionId, Store};

use crate::alone;
use crate::steps::create;

const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(50);

/// How many threads have the reaper's name. Elsewhere than on Linux it is always 0.
fn reapers() -> usize {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "lembro-reaper").count()
}

/// Linux lists a thread for a moment after a join has returned.
fn assert_no_reaper_is_left() {
    let start = Instant::now();
    while reapers() > 0 {
        assert!(start.elapsed() < PATIENCE, "a reaper is left");
        std::thread::yield_now();
    }
}

/// Allows three attempts, because a busy machine can delay a thread.
fn assert_soon(mut attempt: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= SOON) {
        assert!(took.len() < 3, "it took {took:?}");
        took.push(attempt());
    }
}

fn fill(store: &LembroStore, sessions: usize, ttl: Duration) {
    for _ in 0..sessions {
        assert!(create(store, &SessionId::random().unwrap(), &Record::new(), ttl).unwrap().is_done());
    }
}

#[test]
fn reaper_purges_at_its_interval() {
    let _alone = alone();
    let time = Clock::manual();
    let store = LembroStore::with_options(LembroOptions::new().interval(1).clock(&time)).unwrap();
    fill(&store, 100, Duration::from_secs(1));
    time.advance(Duration::from_secs(1));
    let events = store.events();
    let deadline = Instant::now() + PATIENCE;
    let mut expired = store.stats().expired;
    while expired < 100 && Instant::now() < deadline {
        let _ = events.recv_timeout(PATIENCE);
        expired = store.stats().expired;
    }
    assert_eq!((store.stats().sessions, expired), (0, 100));
}

#[test]
fn store_without_interval_has_no_thread() {
    let _alone = alone();
    let time = Clock::manual();
    let store = LembroStore::with_options(LembroOptions::new().interval(0).clock(&time)).unwrap();
    assert_no_reaper_is_left();
    fill(&store, 10, Duration::from_secs(1));
    time.advance(Duration::from_secs(1));
    assert_eq!(store.len().unwrap(), 0);
    assert_eq!(store.purge(), 10);
}

#[test]
fn drop_joins_the_reaper_within_50_ms() {
    let _alone = alone();
    assert_soon(|| {
        let store = LembroStore::with_options(LembroOptions::new().interval("1h")).unwrap();
        let another = store.clone();
        drop(store);
        fill(&another, 1, Duration::from_secs(1));
        // A handle is left, so the reaper runs. A new thread needs a moment to set its name.
        let deadline = Instant::now() + PATIENCE;
        while cfg!(target_os = "linux") && reapers() == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(reapers(), usize::from(cfg!(target_os = "linux")));
        let start = Instant::now();
        drop(another);
        let took = start.elapsed();
        assert_no_reaper_is_left();
        took
    });
}

#[test]
fn close_stops_a_purge_within_50_ms() {
    let _alone = alone();
    assert_soon(|| {
        let store = in_the_middle_of_a_purge_of(300_000);
        let start = Instant::now();
        store.close().unwrap();
        let took = start.elapsed();
        let left = store.stats().sessions;
        assert!(left > 0, "the purge was over before the close: the test shows nothing");
        assert_no_reaper_is_left();
        assert_eq!(store.purge(), left);
        store.validate().unwrap();
        took
    });
}

#[test]
fn drop_stops_a_purge_within_50_ms() {
    let _alone = alone();
    assert_soon(|| {
        let store = in_the_middle_of_a_purge_of(1_000_000);
        // The drop itself takes longer, because it frees a million sessions.
        let start = Instant::now();
        let dropping = std::thread::spawn(move || drop(store));
        while reapers() > 0 && start.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        let took = start.elapsed();
        dropping.join().unwrap();
        took
    });
}

/// A store whose reaper has just removed the first of this many expired sessions.
fn in_the_middle_of_a_purge_of(sessions: usize) -> LembroStore {
    let time = Clock::manual();
    let store = LembroStore::with_options(LembroOptions::new().interval(1).max_size("1G").clock(&time)).unwrap();
    let events = store.events();
    fill(&store, sessions, Duration::from_secs(1));
    events.try_iter().for_each(drop);
    time.advance(Duration::from_secs(1));
    while !matches!(events.recv_timeout(PATIENCE).unwrap(), Event::Expired { .. }) {}
    store
}

#[test]
fn thousand_stores_leave_no_thread() {
    let _alone = alone();
    for _ in 0..1_000 {
        let store = LembroStore::new().unwrap();
        fill(&store, 1, Duration::from_secs(1));
    }
    assert_no_reaper_is_left();
}

#[test]
fn closed_store_can_be_used() {
    let _alone = alone();
    let store = LembroStore::new().unwrap();
    store.close().unwrap();
    store.close().unwrap();
    fill(&store, 3, Duration::from_secs(60));
    assert_no_reaper_is_left();
    assert_eq!(store.len().unwrap(), 3);
}
