//! The bytes of a record: refused, or in their one form, and as good as any other record.

use std::collections::BTreeMap;
use std::time::Duration;

use lembro::{
    Changes, Clock, Commit, Identity, Lease, LembroOptions, LembroStore, Login, MAX_KEYS, Owner, Record, Result,
    SessionId, Store,
};
use serde_json::value::RawValue;

pub fn check(bytes: &[u8]) {
    match Record::from_bytes(bytes) {
        Err(error) => assert!(error.is_corrupt(), "{error}"),
        Ok(record) => {
            assert_eq!(record.as_bytes(), bytes, "there is one form of everything");
            check_answers(&record);
            check_saves(&record);
            check_json(&record);
        }
    }
}

type Entries = BTreeMap<(String, String), String>;

fn entries(record: &Record) -> Entries {
    let owned = |(component, key, value): (&str, &str, &RawValue)| {
        ((component.to_owned(), key.to_owned()), value.get().to_owned())
    };
    record.entries().map(owned).collect()
}

fn check_answers(record: &Record) {
    assert_eq!(record.entries().count(), record.len());
    assert_eq!(entries(record).len(), record.len(), "each name once");
    for (component, key, value) in record.entries() {
        // Null is none for every type.
        let found: Option<Box<RawValue>> = record.get_in(component, key).unwrap();
        assert_eq!(found.as_ref().map_or("null", |found| found.get()), value.get());
        // A value of another type is an error, and no panic.
        let _ = record.get_str_in(component, key);
        let _ = record.get_in::<f64>(component, key);
        let _ = record.get_in::<serde_json::Value>(component, key);
    }
    let there = entries(record).get(&name("no such", "key")).is_some_and(|value| value != "null");
    assert_eq!(record.get_in::<Box<RawValue>>("no such", "key").unwrap().is_some(), there);
    assert!(record.size() > record.as_bytes().len());
    assert!(record.owner().is_none_or(|owner| (1..=255).contains(&owner.len())));
    assert!(record.label().is_none_or(|label| label.len() <= 255));
    assert_eq!(record.owner().is_some(), record.owner_since().is_some());
    let shown = format!("{record:?} {:?} {:?} {:?}", record.created_at(), record.timeout(), record.id_since());
    assert!(shown.starts_with("Record"));
    // The record as a store creates it.
    let stored = stored(record).unwrap();
    assert_eq!(entries(&stored), entries(record));
    assert_eq!((stored.owner(), stored.timeout()), (record.owner(), record.timeout()));
    assert_eq!((stored.label(), stored.is_remembered()), (record.label(), record.is_remembered()));
    assert_eq!(Record::from_bytes(stored.as_bytes()).unwrap(), stored);
}

/// The record after a `set` of it.
fn stored(record: &Record) -> Result<Record> {
    let options =
        LembroOptions::new().interval(0).shards(1).max_size("4M").max_session_size("4M").clock(&Clock::manual());
    let (store, id) = (LembroStore::with_options(options)?, SessionId::derive("ada"));
    store.set(&id, record.clone(), Duration::from_secs(60))?;
    Ok(store.all()?.next().expect("stored just now")?.stored.record)
}

/// Changes to it have the same result as changes to a plain map.
fn check_saves(record: &Record) {
    assert_eq!(Changes::new().apply(record).unwrap(), *record, "a merge that changes nothing");
    let mut model = entries(record);
    let mut changes = Changes::new();
    // A new entry between the others, and an old one removed or replaced.
    changes.insert("fuzz", "m", "new").unwrap();
    model.insert(name("fuzz", "m"), "\"new\"".to_owned());
    let names: Vec<_> = entries(record).into_keys().collect();
    if let Some((component, key)) = names.first() {
        changes.remove(component, key).unwrap();
        model.remove(&name(component, key));
    }
    if let Some((component, key)) = names.last() {
        changes.insert(component, key, &7).unwrap();
        model.insert(name(component, key), "7".to_owned());
    }
    changes.set_timeout(Some(Duration::from_secs(60)));
    changes.set_label(Some("fuzz")).unwrap();
    changes.remember(true);
    let saved = match changes.apply(record) {
        Ok(saved) => saved,
        Err(error) => {
            assert!(error.is_size() && model.len() > MAX_KEYS, "{error}");
            return;
        }
    };
    assert_eq!(entries(&saved), model);
    assert_eq!(saved.created_at(), record.created_at());
    assert_eq!((saved.timeout(), saved.label()), (Some(Duration::from_secs(60)), Some("fuzz")));
    assert_eq!((saved.owner(), saved.owner_since()), (record.owner(), record.owner_since()));
    assert!(saved.is_remembered());
    assert_eq!(Record::from_bytes(saved.as_bytes()).unwrap(), saved);

    let mut cleared = Changes::new();
    if let Some((component, _)) = names.first() {
        cleared.clear_component(component);
        model.retain(|(other, _), _| other != component);
        assert_eq!(entries(&cleared.apply(&saved).unwrap()), model);
    }
    cleared.clear();
    assert!(cleared.apply(&saved).unwrap().is_empty());
}

/// Its JSON is read as the same data, to the last digit.
fn check_json(record: &Record) {
    let text = serde_json::to_string(record).unwrap();
    let again: Record = serde_json::from_str(&text).unwrap();
    assert_eq!(entries(&again), entries(record), "{text}");
    assert_eq!((again.owner(), again.timeout()), (record.owner(), record.timeout()));
    assert_eq!((again.created_at(), again.id_since()), (record.created_at(), record.id_since()));
    assert_eq!((again.label(), again.is_remembered()), (record.label(), record.is_remembered()));
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
    // A format with other numbers refuses a value, or keeps it.
    if let Ok(tree) = serde_json::to_value(record) {
        assert_eq!(serde_json::from_value::<Record>(tree).unwrap().len(), record.len());
    }
}

fn name(component: &str, key: &str) -> (String, String) {
    (component.to_owned(), key.to_owned())
}

/// The same record with all fields of a head.
fn logged_in(record: &Record) -> Record {
    let time = Clock::manual();
    let store = LembroStore::with_options(LembroOptions::new().interval(0).clock(&time)).unwrap();
    let id = SessionId::derive("ada");
    let lease = Lease { renew_after: Some(Duration::ZERO), ..Lease::new(Duration::from_secs(3600)) };
    let create = Commit::create().unwrap().with(Changes::from(record));
    assert!(store.commit(&id, &create, &lease).unwrap().is_done());
    let stored = store.get(&id).unwrap().unwrap().record;
    let new = id.renewed(&SessionId::derive("another"));
    let login = Commit::merge(stored.version()).unwrap().with_identity(Identity::Replace(new));
    let login = login.log_in(Login::new(Owner::new("ada").unwrap()));
    assert!(store.commit(&id, &login, &lease).unwrap().is_done());
    store.get(&new).unwrap().unwrap().record
}

pub fn seeds() -> Vec<Vec<u8>> {
    let small: Record = [("user", "ada"), ("theme", "dark"), ("ü", "\u{1F375}")].into_iter().collect();
    let mut changes = Changes::new();
    changes.insert("cart", "items", &[1, 2, 3]).unwrap();
    changes.insert("cart", "sum", &-12.5e-3).unwrap();
    changes.insert("", "long", &"x".repeat(300)).unwrap();
    changes.insert("", "deep", &[[[[[[()]]]]]]).unwrap();
    changes.set_timeout(Some(Duration::from_secs(900)));
    changes.set_label(Some("Firefox on Linux")).unwrap();
    let large = logged_in(&changes.apply(&small).unwrap());
    let many: Record = (0..200).map(|key| (format!("k{key}"), key)).collect();
    [Record::new(), small, large, many].iter().map(|record| record.as_bytes().to_vec()).collect()
}
