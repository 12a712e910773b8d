//! Extremes of time: no span and no instant, however large, makes arithmetic on time overflow.
//!
//! The spans are idle timeouts, lifetimes, graces, touch and renewal intervals, a session's own
//! timeout and the store's interval, each of them zero and `Duration::MAX`. The instants are the
//! end of the clock, and calendars before 1970, at 1970, and as late as the system's can be. They
//! meet in a commit, a look, a touch, a login under a limit, a renewal, a purge, a restart and a
//! list. Overflow panics in a test build, so a test that ends has passed.
#![cfg(feature = "testing")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::session::stored_session;
use lembro::{
    AtLimit, Changes, Clock, Commit, Entry, Identity, Lease, LembroOptions, LembroStore, Limit, Login, Look,
    ManualClock, Now, Policy, Record, SessionId, Sessions, Store,
};

use crate::support::scratch::Folder;
use crate::support::steps::{is_there, new_id, owner, owners, renewed};

const SPANS: [Duration; 4] = [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(3600), Duration::MAX];

/// Calendars that are wrong, as after an empty battery.
fn calendars() -> Vec<SystemTime> {
    let late = [u64::MAX / 1_000_000_000, u64::MAX / 1_000, i64::MAX as u64].map(Duration::from_secs);
    let late = late.into_iter().filter_map(|since| UNIX_EPOCH.checked_add(since));
    let early = [Duration::from_nanos(1), Duration::from_secs(1 << 40)];
    let early = early.into_iter().filter_map(|before| UNIX_EPOCH.checked_sub(before));
    early.chain([UNIX_EPOCH]).chain(late).collect()
}

fn leases() -> impl Iterator<Item = Lease> {
    SPANS.into_iter().flat_map(|idle| {
        SPANS.into_iter().flat_map(move |other| {
            [None, Some(other)].into_iter().map(move |maybe| Lease {
                idle,
                lifetime: maybe,
                remembered: maybe.map(|span| (span, maybe)),
                touch_after: other,
                renew_after: maybe,
                grace: other,
            })
        })
    })
}

/// Calls every method that computes with time.
fn exercise(store: &LembroStore, lease: &Lease) {
    let (id, mut changes) = (new_id(), Changes::new());
    changes.insert("", "user", "ada").unwrap();
    changes.set_timeout(Some(Duration::MAX));
    changes.remember(true);
    let limit = Limit { max: 2, at_limit: AtLimit::EndOldest };
    let login = || Login { limit: Some(limit), ..Login::new(owner("ada")) };
    let commit = Commit::create().unwrap().with(changes).log_in(login());
    let Some(receipt) = store.commit(&id, &commit, lease).unwrap().receipt() else { return };
    let merge = || Commit::merge(receipt.version).unwrap();
    for look in [Look::Peek, Look::Visit, Look::Held(receipt.version)] {
        let _ = store.look(&id, look, lease).unwrap();
    }
    let _ = store.touch(&id, lease).unwrap();
    let renewal = store.commit(&id, &merge().with_identity(Identity::Renew(1)), lease).unwrap();
    if let Some(announced) = renewal.receipt().and_then(|receipt| receipt.announce) {
        let _ = store.visit(&announced, lease).unwrap();
        let _ = store.visit(&id, lease).unwrap();
    }
    let new = renewed(&id);
    let _ = store.commit(&id, &merge().with_identity(Identity::Replace(new)).log_in(login()), lease).unwrap();
    let _ = store.visit(&id, lease).unwrap();
    let _ = store.visit(&new, lease).unwrap();
    let mut own = Changes::new();
    own.set_timeout(Some(Duration::ZERO));
    let _ = store.commit(&new, &merge().with(own), lease).unwrap();
    for span in SPANS {
        let _ = store.set(&new_id(), Record::new(), span);
    }
    assert_eq!(store.all().unwrap().count(), store.len().unwrap());
    assert_eq!(owners(store).list(&owner("ada")).unwrap().len(), owners(store).count(&owner("ada")).unwrap());
    store.purge();
    store.validate().unwrap();
}

fn store(time: &ManualClock) -> LembroStore {
    LembroStore::with_options(LembroOptions::new().interval(0).clock(time)).unwrap()
}

#[test]
fn no_lease_overflows_at_any_instant() {
    for calendar in calendars() {
        let time = Clock::manual();
        time.set_wall(calendar);
        for advance in [Duration::ZERO, Duration::MAX, Duration::MAX] {
            time.advance(advance);
            let store = store(&time);
            leases().for_each(|lease| exercise(&store, &lease));
        }
    }
}

#[test]
fn manual_clock_stays_at_its_end() {
    let time = Clock::manual();
    let clock = Clock::from(&time);
    time.advance(Duration::MAX);
    let end = clock.now();
    for _ in 0..3 {
        time.advance(Duration::MAX);
        time.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), end);
    }
    assert_eq!(end, Duration::from_nanos(u64::MAX));
    assert_eq!(time.restarted().now(), Duration::ZERO);
}

#[test]
fn endless_session_survives_the_end_of_the_clock() {
    let (time, folder) = (Clock::manual(), Folder::in_memory());
    let open = |folder: &Folder| {
        let options = LembroOptions::new().interval(0).clock(&time).persist(folder.join("sessions"));
        LembroStore::with_options(options).unwrap()
    };
    let (store, id) = (open(&folder), SessionId::random().unwrap());
    store.set(&id, Record::new(), Duration::MAX).unwrap();
    time.advance(Duration::from_secs(50 * 365 * 86_400));
    assert!(is_there(&store, &id));
    for calendar in calendars() {
        time.set_wall(calendar);
        let image = folder.image();
        let again = open(&image);
        assert!(is_there(&again, &id));
        leases().for_each(|lease| exercise(&again, &lease));
        // The first restart reads the journal, the second one the snapshot.
        open(&image.image()).validate().unwrap();
        again.close().unwrap();
        open(&image.image()).validate().unwrap();
    }
}

#[test]
fn rule_overflows_on_no_clock_and_no_calendar() {
    for calendar in calendars() {
        let time = Clock::manual();
        time.set_wall(calendar);
        let clock = Clock::from(&time);
        for now in [Now::of(&clock), Now::on_calendar(&clock)] {
            for lease in leases() {
                let (id, commit) = (new_id(), Commit::create().unwrap());
                let action = lembro::Action::Commit(&commit);
                let applied = Entry::apply(None, &id, &action, &lease, now, None).unwrap();
                if let (_, lembro::Write::Put(entry)) = applied {
                    let _ = Entry::from_bytes(&entry.to_bytes()).unwrap().ttl(now);
                    let _ = Entry::look(Some(&entry), &id, Look::Visit, &lease, now);
                }
                let _ = lease.ttl(&Record::new(), now);
            }
        }
    }
}

#[test]
fn longest_interval_and_policy_work() {
    let store = LembroStore::with_options(LembroOptions::new().interval(Duration::MAX)).unwrap();
    let sessions = Sessions::new(store.clone());
    stored_session(&sessions);
    store.close().unwrap();
    for span in SPANS {
        let policy = Policy::new().timeout(span).touch_after(span);
        let Ok(sessions) = Sessions::with_policy(store.clone(), policy) else { continue };
        let mut session = sessions.generate().unwrap();
        session.insert("user", "ada").unwrap();
        let _ = session.set_timeout(Some(Duration::MAX));
        session.log_in("ada").unwrap();
        session.save().unwrap();
        let _ = (session.expires_at(), session.created_at(), session.logged_in_at());
        session.touch().unwrap();
    }
}
