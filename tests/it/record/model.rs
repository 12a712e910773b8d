//! Records against a model: building, reading and changing one, compared with a `BTreeMap`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lembro::{Changes, Clock, LembroOptions, LembroStore, MAX_KEY_BYTES, MAX_KEYS, Owner, Record, Store};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::steps::{found, new_id};

type Model = BTreeMap<(String, String), Value>;

#[derive(Clone, Debug)]
enum Step {
    Insert(String, String, Value),
    Remove(String, String),
    Clear,
    ClearComponent(String),
    Timeout(Option<u64>),
    Label(Option<String>),
    Remember(bool),
    /// Apply the changes so far.
    Merge,
}

/// Names that often collide, and any Unicode.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-c]{0,2}", 1 => any::<String>().prop_filter("short enough", |name| name.len() <= MAX_KEY_BYTES)]
}

fn component() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 2 => name()]
}

/// Every kind of JSON, nested.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e15..1e15_f64).prop_map(|number| json!(number.round() / 8.0)),
        any::<String>().prop_map(Value::from),
        (0..3_usize).prop_map(|size| Value::from("v".repeat(size * 32 * 1024))),
        // The limits of short values, of lengths of one byte, and of two. The quotes count.
        (prop::sample::select(vec![64, 255, 65_535_usize]), 1..4_usize)
            .prop_map(|(most, less)| Value::from("v".repeat(most - less))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (component(), name(), value()).prop_map(|(component, key, value)| Step::Insert(component, key, value)),
        4 => (component(), name()).prop_map(|(component, key)| Step::Remove(component, key)),
        1 => Just(Step::Clear),
        2 => component().prop_map(Step::ClearComponent),
        1 => prop::option::of(1..u64::from(u32::MAX)).prop_map(Step::Timeout),
        1 => prop::option::of("[a-z]{0,8}").prop_map(Step::Label),
        1 => any::<bool>().prop_map(Step::Remember),
        4 => Just(Step::Merge),
    ]
}

fn content(record: &Record) -> Model {
    let entries = record.entries().map(|(component, key, value)| {
        ((component.to_owned(), key.to_owned()), serde_json::from_str(value.get()).unwrap())
    });
    entries.collect()
}

proptest! {
    #[test]
    fn model_a_record_is_a_sorted_map(steps in prop::collection::vec(step(), 0..60)) {
        let (mut record, mut changes) = (Record::new(), Changes::new());
        let (mut model, mut timeout, mut label, mut remembered) = (Model::new(), None, None, false);
        for step in steps {
            match step {
                Step::Insert(component, key, value) => {
                    changes.insert(&component, &key, &value).unwrap();
                    model.insert((component, key), value);
                }
                Step::Remove(component, key) => {
                    changes.remove(&component, &key).unwrap();
                    model.remove(&(component, key));
                }
                Step::Clear => {
                    changes.clear();
                    model.clear();
                }
                Step::ClearComponent(component) => {
                    changes.clear_component(&component);
                    model.retain(|(other, _), _| *other != component);
                }
                Step::Timeout(millis) => {
                    timeout = millis.map(Duration::from_millis);
                    changes.set_timeout(timeout);
                }
                Step::Label(text) => {
                    changes.set_label(text.as_deref()).unwrap();
                    label = text;
                }
                Step::Remember(remember) => {
                    changes.remember(remember);
                    remembered = remember;
                }
                Step::Merge => {
                    let before = record.version();
                    record = changes.apply(&record).unwrap();
                    prop_assert_ne!(record.version(), before);
                    changes = Changes::new();
                }
            }
        }
        record = changes.apply(&record).unwrap();
        prop_assert_eq!(content(&record), model.clone());
        prop_assert_eq!(record.len(), model.len());
        prop_assert_eq!(record.timeout(), timeout);
        prop_assert_eq!((record.owner(), record.label()), (None, label.as_deref()));
        prop_assert_eq!(record.is_remembered(), remembered);
        for ((component, key), value) in &model {
            let expected = Some(value).filter(|value| !value.is_null());
            prop_assert_eq!(record.get_in::<Value>(component, key).unwrap(), expected.cloned());
        }
        prop_assert_eq!(record.get::<Value>("no such key").unwrap(), None);
        // Bytes and JSON keep everything.
        prop_assert_eq!(&Record::from_bytes(record.as_bytes()).unwrap(), &record);
        let json = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Record>(&json).unwrap(), &record);
        // A record as changes results in the same record.
        prop_assert_eq!(&Changes::from(&record).apply(&Record::new()).unwrap(), &record);
    }

    #[test]
    fn model_collecting_equals_inserting(entries in prop::collection::btree_map(name(), value(), 0..12)) {
        let collected: Record = entries.clone().into_iter().collect();
        let mut changes = Changes::new();
        for (key, value) in &entries {
            changes.insert("", key, value).unwrap();
        }
        prop_assert_eq!(changes.apply(&Record::new()).unwrap(), collected);
    }
}

fn applied(record: &Record, change: impl FnOnce(&mut Changes)) -> Record {
    let mut changes = Changes::new();
    change(&mut changes);
    changes.apply(record).unwrap()
}

#[test]
fn remove_then_insert_inserts() {
    let record: Record = [("a", 1)].into_iter().collect();
    let next = applied(&record, |changes| {
        changes.remove("", "a").unwrap();
        changes.insert("", "a", &2).unwrap();
    });
    assert_eq!(next.get::<i32>("a").unwrap(), Some(2));
}

#[test]
fn clear_then_insert_leaves_one_key() {
    let record: Record = [("a", 1), ("b", 2)].into_iter().collect();
    let next = applied(&record, |changes| {
        changes.clear();
        changes.insert("", "b", &3).unwrap();
    });
    assert_eq!(content(&next), Model::from([((String::new(), "b".to_owned()), json!(3))]));
}

#[test]
fn long_values_are_kept_exactly() {
    let value = "ü\"\\\n".repeat(16 * 1024);
    let record: Record = [("large", value.clone()), ("small", "x".to_owned())].into_iter().collect();
    assert_eq!(record.get::<String>("large").unwrap().unwrap(), value);
    assert_eq!(record.get_str("small").unwrap().as_deref(), Some("x"));
}

#[test]
fn removed_long_value_frees_its_memory() {
    let small: Record = [("a", "1"), ("b", "2")].into_iter().collect();
    let mut sizes = Vec::new();
    for bytes in [65, 256, 65_536] {
        let large = applied(&small, |changes| changes.insert("", "long", &"v".repeat(bytes)).unwrap());
        assert_eq!(large.get_str("long").unwrap().map(|text| text.len()), Some(bytes));
        assert_eq!(["a", "b"].map(|key| large.get_str(key).unwrap().unwrap()), ["1", "2"]);
        sizes.push(large.size() - bytes);
        assert_eq!(applied(&large, |changes| changes.remove("", "long").unwrap()), small);
    }
    // Each of three keys has three lengths, of one, two or four bytes.
    assert_eq!(sizes, [sizes[0], sizes[0] + 9, sizes[0] + 27]);
}

#[test]
fn later_of_two_equal_keys_is_collected() {
    let record: Record = [("a", 1), ("b", 2), ("a", 3)].into_iter().collect();
    assert_eq!((record.len(), record.get::<i32>("a").unwrap()), (2, Some(3)));
}

#[test]
fn uncountably_many_keys_are_refused() {
    let record: Record = (0..70_000).map(|number| (format!("{number:05}"), number)).collect();
    assert_eq!((record.len(), record.entries().count()), (65_535, 65_535));
    assert_eq!(record.get::<u32>("65534").unwrap(), Some(65_534));
    let error = LembroStore::new().unwrap().set(&new_id(), record, Duration::MAX).unwrap_err();
    assert_eq!(error.to_string(), "65535 keys in one session, at most 1024 are allowed");
}

#[test]
fn plain_texts_are_borrowed() {
    let record: Record = [("user", "ada")].into_iter().collect();
    let user = record.get_str("user").unwrap().unwrap();
    assert!(record.as_bytes().as_ptr_range().contains(&user.as_ptr()));
    let escaped: Record = [("user", "a\nb")].into_iter().collect();
    assert_eq!(escaped.get_str("user").unwrap().as_deref(), Some("a\nb"));
}

#[test]
fn errors_name_the_limit_that_is_reached() {
    let mut changes = Changes::new();
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let error = changes.insert("", &long, &1).unwrap_err();
    assert!(error.is_size());
    assert_eq!(error.to_string(), "key \"kkkkkkkkkkkkkkkkkkkk\"... has 256 bytes, at most 255 are allowed");
    let error = changes.insert(&long, "k", &1).unwrap_err();
    assert_eq!(error.to_string(), "component \"kkkkkkkkkkkkkkkkkkkk\"... has 256 bytes, at most 255 are allowed");
    assert!(changes.is_empty());
    changes.insert(&long[1..], &long[1..], &1).unwrap();

    for number in 0..=MAX_KEYS {
        changes.insert("", &number.to_string(), &number).unwrap();
    }
    let error = changes.apply(&Record::new()).unwrap_err();
    assert_eq!(error.to_string(), "1026 keys in one session, at most 1024 are allowed");
    for name in ["", &long] {
        let error = Owner::new(name).unwrap_err();
        assert_eq!(error.to_string(), format!("owner has {} bytes, 1 to 255 are allowed", name.len()));
    }
    assert_eq!(Owner::new(&long[1..]).unwrap().as_str(), &long[1..]);
    let error = changes.set_label(Some(&long)).unwrap_err();
    assert!(error.is_size());
    assert_eq!(error.to_string(), "label has 256 bytes, at most 255 are allowed");
    changes.set_label(Some(&long[1..])).unwrap();
    changes.set_label(Some("")).unwrap();
}

#[test]
fn refused_value_leaves_no_change() {
    let mut changes = Changes::new();
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    let error = changes.insert("", "map", &map).unwrap_err();
    assert!(error.is_value());
    assert_eq!(error.to_string(), "key \"map\": the value cannot be written as JSON");
    assert!(changes.is_empty());
    // A part that was already written is removed.
    changes.insert("", "list", &[1, 2]).unwrap();
    assert!(changes.insert("", "list", &map).is_err());
    let record = changes.apply(&Record::new()).unwrap();
    assert_eq!((record.len(), record.get::<[u8; 2]>("list").unwrap()), (1, Some([1, 2])));
}

#[test]
fn set_draws_a_version_and_keeps_created_at() {
    let (time, id) = (Clock::manual(), new_id());
    let store = LembroStore::with_options(LembroOptions::new().interval(0).clock(&time)).unwrap();
    let set = |seconds: i64, record: &Record| {
        let at = Duration::from_secs(seconds.unsigned_abs());
        time.set_wall(if seconds < 0 { UNIX_EPOCH - at } else { UNIX_EPOCH + at });
        store.set(&id, record.clone(), Duration::from_secs(60)).unwrap();
        found(&store, &id).record
    };
    let record: Record = [("a", 1)].into_iter().collect();
    let first = set(100, &record);
    let again = set(200, &first);
    assert_eq!((first.created_at(), again.created_at()), (Some(at(100)), Some(at(100))));
    assert_ne!(again.version(), first.version());
    assert_eq!(record.created_at(), None);
    let changed = applied(&record, |changes| changes.insert("", "b", &2).unwrap());
    assert_eq!(set(300, &changed).created_at(), Some(at(300)));
    // A time before 1970 is still a time of creation.
    assert_eq!(set(-1, &record).created_at(), Some(UNIX_EPOCH + Duration::from_millis(1)));
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}
