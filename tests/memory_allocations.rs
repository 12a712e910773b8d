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
fn a_save_of_one_key_allocates_a_record_and_little_more() {
    let (store, id) = store_with_one();
    let version = store.get(&id).unwrap().unwrap().record.version();
    let mut changes = lembro::Changes::new();
    changes.insert("", "theme", "light").unwrap();
    let info = allocation_counter::measure(|| {
        assert!(store.save(&id, &changes, HOUR, lembro::Expected::Incarnation(version)).unwrap().is_done());
    });
    // The record, the buffer it was written in, and the list that carries the old one out of the lock.
    assert!(info.count_total <= 3, "{} allocations", info.count_total);
    assert!(info.count_current <= 0, "{} allocations stayed beside the record's own", info.count_current);
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
fn an_id_is_24_bytes_and_copy() {
    fn is_copy<T: Copy>() {}
    is_copy::<SessionId>();
    assert_eq!(size_of::<SessionId>(), 24);
    assert_eq!(size_of::<Option<lembro::Handle>>(), 9);
    // A record is one pointer, and so is "no record".
    assert_eq!(size_of::<Option<Record>>(), size_of::<usize>());
}
