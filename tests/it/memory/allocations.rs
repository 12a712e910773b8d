//! Allocations: none for a look or a touch, and one for a commit.

use std::time::Duration;

use lembro::{Clock, Commit, Lease, LembroOptions, LembroStore, Lookup, Record, SessionId, Sessions, Store};

use crate::support::steps::{
    create_owned, login, merge, new_id, renew, renewed, renewing, replace, replacement, version_of,
};

const HOUR: Duration = Duration::from_secs(3600);

fn store_with_one() -> (LembroStore, SessionId) {
    let (store, id) = (LembroStore::new().unwrap(), SessionId::random().unwrap());
    let record: Record = [("user", "ada"), ("theme", "dark")].into_iter().collect();
    store.set(&id, record, HOUR).unwrap();
    (store, id)
}

#[test]
fn get_visit_and_touch_allocate_nothing() {
    let (store, id) = store_with_one();
    let unknown = SessionId::random().unwrap();
    let info = allocation_counter::measure(|| {
        let stored = store.get(&id).unwrap().unwrap();
        assert_eq!(stored.record.get_str("user").unwrap().as_deref(), Some("ada"));
        assert!(store.get(&unknown).unwrap().is_none());
        assert!(store.touch(&id, &Lease::new(HOUR)).unwrap().is_done());
        assert!(store.touch(&id, &Lease::new(HOUR / 2)).unwrap().is_done());
        assert!(!store.touch(&unknown, &Lease::new(HOUR)).unwrap().is_done());
        for lease in [Lease::new(HOUR), Lease { lifetime: Some(HOUR), ..Lease::new(HOUR / 3) }] {
            assert!(matches!(store.visit(&id, &lease).unwrap(), Lookup::Found(_)));
            assert!(matches!(store.visit(&unknown, &lease).unwrap(), Lookup::Missing));
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn commit_allocates_only_the_record() {
    let (store, id) = store_with_one();
    assert_eq!(allocations_of_a_commit(&store, &id), 1);
}

/// Counts those of a commit that sets a key. The buffers of the commit stay with the thread.
fn allocations_of_a_commit(store: &LembroStore, id: &SessionId) -> u64 {
    let mut changes = lembro::Changes::new();
    changes.insert("", "theme", "light").unwrap();
    let commit = merge(&changes, version_of(store, id));
    let info = allocation_counter::measure(|| {
        assert!(store.commit(id, &commit, &Lease::new(HOUR)).unwrap().is_done());
    });
    assert!(info.count_current <= 0, "{} allocations stayed beside the record's own", info.count_current);
    info.count_total
}

#[test]
fn second_secret_allocates_nothing() {
    let time = Clock::manual();
    let store = LembroStore::with_options(LembroOptions::new().interval(0).clock(&time)).unwrap();
    let id = new_id();
    store.set(&id, Record::new(), HOUR).unwrap();
    let new = renewed(&id);
    assert!(replace(&store, &id, &new, &Lease::new(HOUR)).unwrap().is_done());
    // A pending renewal, and one that is confirmed below.
    let lease = renewing(HOUR, HOUR / 60);
    let [pending, previous] = [new_id(), new_id()];
    for id in [pending, previous] {
        assert!(create_owned(&store, &id, &Record::new(), "ada", HOUR).unwrap().is_done());
    }
    time.advance(HOUR / 60);
    renew(&store, &pending, &lease);
    let confirmed = renew(&store, &previous, &lease);
    // The second announcement and the confirmation store one row each.
    for id in [pending, confirmed] {
        let info = allocation_counter::measure(|| assert!(store.visit(&id, &lease).unwrap().found().is_some()));
        assert_eq!(info.count_total, 1, "the record alone");
    }
    for id in [new, pending, confirmed] {
        assert_eq!(allocations_of_a_commit(&store, &id), 1);
        let info = allocation_counter::measure(|| {
            assert!(store.visit(&id, &lease).unwrap().found().is_some());
            assert!(store.visit(&id, &Lease::new(HOUR / 2)).unwrap().found().is_some());
            assert!(store.touch(&id, &lease).unwrap().is_done());
        });
        assert_eq!(info.count_total, 0);
    }
}

#[test]
fn second_login_allocates_only_the_record() {
    let (store, id) = store_with_one();
    let log_in = |id: &SessionId| {
        let new = renewed(id);
        let commit = replacement(version_of(&store, id), &new).log_in(login("ada"));
        let info = allocation_counter::measure(|| {
            assert!(store.commit(id, &commit, &Lease::new(HOUR)).unwrap().is_done());
        });
        (new, info.count_total)
    };
    // Allocates the thread's buffers and the owner index.
    let (id, _) = log_in(&id);
    assert_eq!(log_in(&id).1, 1);
}

#[test]
fn refused_commit_allocates_nothing() {
    let (store, id) = store_with_one();
    let version = version_of(&store, &id);
    let [create, changed] = [Commit::create().unwrap(), Commit::exactly(version).unwrap()];
    assert_eq!(allocations_of_a_commit(&store, &id), 1);
    let info = allocation_counter::measure(|| {
        assert!(!store.commit(&id, &create, &Lease::new(HOUR)).unwrap().is_done());
        assert!(!store.commit(&id, &changed, &Lease::new(HOUR)).unwrap().is_done());
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn changes_reuse_the_buffers_of_a_thread() {
    let keys = ["user_id", "csrf", "cart", "flash", "signed_in_at", "seen_at", "locale"];
    let change = || {
        let mut changes = lembro::Changes::new();
        for key in keys {
            changes.insert("", key, "Your changes have been saved. Thank you.").unwrap();
        }
        assert_eq!(changes.keys().count(), 7);
    };
    change();
    assert_eq!(allocation_counter::measure(change).count_total, 0);
}

#[test]
fn large_buffers_are_freed() {
    let info = allocation_counter::measure(|| {
        let mut changes = lembro::Changes::new();
        for number in 0..1024 {
            changes.insert("", &format!("{number:0200}"), &"v".repeat(1024)).unwrap();
        }
        let record = changes.apply(&Record::new()).unwrap();
        assert!(record.size() > 1 << 20);
    });
    assert!(info.bytes_current < 48 * 1024, "{} bytes stay with the thread", info.bytes_current);
}

#[test]
fn repeated_changes_of_a_key_stay_small() {
    let mut changes = lembro::Changes::new();
    let text = "x".repeat(1000);
    let info = allocation_counter::measure(|| {
        for number in 0..10_000 {
            changes.insert("", "count", &number).unwrap();
            changes.insert("", "text", &text).unwrap();
            changes.insert("passing", "text", &text).unwrap();
            changes.clear_component("passing");
        }
    });
    assert!(info.bytes_max < 64 * 1024, "{} bytes at once", info.bytes_max);
    let record = changes.apply(&Record::new()).unwrap();
    assert_eq!(record.get::<u32>("count").unwrap(), Some(9_999));
    assert_eq!(record.get_str("text").unwrap().as_deref(), Some(text.as_str()));
    assert_eq!(record.len(), 2);
}

#[test]
fn id_is_24_bytes_and_copy() {
    fn is_copy<T: Copy>() {}
    is_copy::<SessionId>();
    assert_eq!(size_of::<SessionId>(), 24);
    assert_eq!(size_of::<Option<lembro::Handle>>(), 9);
    // A record is one pointer, and so is "no record".
    assert_eq!(size_of::<Option<Record>>(), size_of::<usize>());
}

#[test]
fn loading_a_session_allocates_nothing() {
    let (store, id) = store_with_one();
    let sessions = Sessions::new(store);
    let info = allocation_counter::measure(|| {
        let session = sessions.load(&id).unwrap().unwrap();
        assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
        assert_eq!(session.get_str("theme").unwrap().as_deref(), Some("dark"));
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn session_save_allocates_only_the_record() {
    let (store, id) = store_with_one();
    let sessions = Sessions::new(store);
    let request = |theme: &str| {
        let mut session = sessions.load(&id).unwrap().unwrap();
        session.insert("theme", theme).unwrap();
        assert_eq!(session.save().unwrap(), lembro::Saved::Written);
    };
    request("light");
    assert_eq!(allocation_counter::measure(|| request("dark")).count_total, 1);
}
