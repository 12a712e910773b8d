//! The clock: the machine's runs, and a manual one stands still until a test advances it.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use lembro::{Clock, LembroStore, Record, SessionId, Store};

#[test]
fn system_clock_runs_at_real_speed() {
    let clock = Clock::system();
    let (start, world) = (clock.now(), Instant::now());
    thread::sleep(Duration::from_millis(300));
    let (passed, world) = (clock.now().saturating_sub(start), world.elapsed());
    // The clock may be a few ticks of the kernel behind, and the two are not read at the same
    // moment.
    assert!(
        passed >= Duration::from_millis(250) && passed <= world + Duration::from_millis(50),
        "{passed:?} of {world:?}"
    );
}

#[test]
fn system_clock_never_goes_back() {
    let clock = Clock::system();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut last = clock.now();
                for _ in 0..100_000 {
                    let now = clock.now();
                    assert!(now >= last);
                    last = now;
                }
            });
        }
    });
}

#[test]
fn session_expires_in_real_time() {
    let (store, id) = (LembroStore::new().unwrap(), SessionId::random().unwrap());
    store.set(&id, Record::new(), Duration::from_millis(200)).unwrap();
    assert!(store.get(&id).unwrap().is_some());
    thread::sleep(Duration::from_millis(300));
    assert!(store.get(&id).unwrap().is_none());
}

#[test]
fn manual_clock_moves_only_when_told() {
    let time = Clock::manual();
    let (clock, other) = (Clock::from(&time), Clock::from(&time));
    let (now, wall) = (clock.now(), clock.wall());
    thread::sleep(Duration::from_millis(20));
    assert_eq!((clock.now(), clock.wall()), (now, wall));
    time.advance(Duration::from_secs(1));
    assert_eq!((other.now(), other.wall()), (now + Duration::from_secs(1), wall + Duration::from_secs(1)));
    time.set_wall(SystemTime::UNIX_EPOCH);
    assert_eq!((other.now(), other.wall()), (now + Duration::from_secs(1), SystemTime::UNIX_EPOCH));
}
