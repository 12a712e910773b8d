//! Looking a session up and prolonging it allocate nothing; an id is 24 bytes and `Copy`.

use std::time::Duration;

use lembro::{LembroStore, Record, SessionId, Sessions, Store};

const HOUR: Duration = Duration::from_secs(3600);

fn store_with_one() -> (LembroStore, SessionId) {
    let (store, id) = (LembroStore::new().unwrap(), SessionId::random().unwrap());
    let record: Record = [("user", "ada"), ("theme", "dark")].into_iter().collect();
    store.set(&id, record, HOUR).unwrap();
    (store, id)
}

#[test]
fn a_get_and_a_touch_allocate_nothing() {
    let (store, id) = store_with_one();
    let unknown = SessionId::random().unwrap();
    let info = allocation_counter::measure(|| {
        let stored = store.get(&id).unwrap().unwrap();
        assert_eq!(stored.record.get::<&str>("user").unwrap(), Some("ada"));
        assert!(store.get(&unknown).unwrap().is_none());
        assert!(store.touch(&id, HOUR).unwrap().is_done());
        assert!(store.touch(&id, HOUR / 2).unwrap().is_done());
        assert!(store.touch(&unknown, HOUR).unwrap().is_gone());
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn a_save_of_one_key_allocates_the_record_alone() {
    let (store, id) = store_with_one();
    let version = store.get(&id).unwrap().unwrap().record.version();
    let mut changes = lembro::Changes::new();
    changes.insert("", "theme", "light").unwrap();
    let info = allocation_counter::measure(|| {
        assert!(store.save(&id, &changes, HOUR, lembro::Expected::Incarnation(version)).unwrap().is_done());
    });
    // The record. The buffers it is written in stay with the thread, as long as it lives.
    assert!(info.count_total <= 1, "{} allocations", info.count_total);
    assert!(info.count_current <= 0, "{} allocations stayed beside the record's own", info.count_current);
}

#[test]
fn from_a_threads_second_request_on_changing_keys_allocates_nothing() {
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
fn what_a_large_request_took_is_given_back() {
    let info = allocation_counter::measure(|| {
        let mut changes = lembro::Changes::new();
        for number in 0..1024 {
            changes.insert("", &format!("{number:0200}"), &"v".repeat(1024)).unwrap();
        }
        let record = changes.apply(&Record::new()).unwrap();
        assert!(record.size() > 1 << 20);
    });
    assert!(info.bytes_current < 128 * 1024, "{} bytes stay with the thread", info.bytes_current);
}

#[test]
fn a_key_may_be_changed_any_number_of_times_in_one_request() {
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
    assert_eq!(record.get::<&str>("text").unwrap(), Some(text.as_str()));
    assert_eq!(record.len(), 2);
}

#[test]
fn looking_at_a_session_and_leaving_it_allocates_the_handle_on_it_alone() {
    let (store, id) = store_with_one();
    let sessions = Sessions::new(store);
    let info = allocation_counter::measure(|| {
        let session = sessions.load(&id).unwrap().unwrap();
        assert_eq!(session.get::<&str>("user").unwrap(), Some("ada"));
        assert_eq!(session.get::<&str>("theme").unwrap(), Some("dark"));
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn a_request_that_changes_a_session_and_saves_it_allocates_the_record_alone() {
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

#[test]
fn an_id_is_24_bytes_and_copy() {
    fn is_copy<T: Copy>() {}
    is_copy::<SessionId>();
    assert_eq!(size_of::<SessionId>(), 24);
    assert_eq!(size_of::<Option<lembro::Handle>>(), 9);
    // A record is one pointer, and so is "no record".
    assert_eq!(size_of::<Option<Record>>(), size_of::<usize>());
}
