//! The session as a map: typed values, sorted keys, and the changes that it notices.

use std::collections::BTreeMap;

use crate::support::session::{
    load_again, manual_session, manual_sessions, manual_store, save_value, stored_session, validate,
};
use lembro::{MAX_KEY_BYTES, MAX_KEYS, Saved, Session, Sessions, Store};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn every_change_sets_changed() {
    let (_, mut session, ..) = manual_session();
    let steps: [fn(&mut Session); 8] = [
        |session| session.insert("added", &1).unwrap(),
        |session| session.insert("user", "bob").unwrap(),
        |session| session.insert("user", "bob").unwrap(), // an equal value is a change, too
        |session| assert!(session.remove("added").unwrap()),
        |session| assert_eq!(session.take::<String>("user").unwrap().as_deref(), Some("bob")),
        |session| session.clear().unwrap(),
        |session| session.component("cart").insert("a", &1).unwrap(),
        |session| session.set_timeout(crate::support::session::MINUTE).unwrap(),
    ];
    for (number, step) in steps.into_iter().enumerate() {
        assert!(!session.is_changed(), "before step {number}");
        step(&mut session);
        assert!(session.is_changed(), "step {number}");
        assert_eq!(session.save().unwrap(), Saved::Written, "step {number}");
    }
}

#[test]
fn removing_an_absent_key_is_no_change() {
    let (_, mut session, ..) = manual_session();
    assert!(!session.remove("absent").unwrap());
    assert_eq!(session.take::<String>("absent").unwrap(), None);
    assert!(!session.component("user").remove("user").unwrap());
    assert!(session.take::<u64>("user").unwrap_err().is_value());
    assert!(!session.is_changed());
    assert_eq!(session.save().unwrap(), Saved::Unchanged);
}

#[test]
fn values_are_read_as_the_requested_type() {
    let (sessions, _, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    session.insert("text", "plain").unwrap();
    session.insert("escaped", "a\"b\n").unwrap();
    session.insert("list", &[1, 2, 3]).unwrap();
    session.insert("null", &None::<u8>).unwrap();
    session.insert("large", &u64::MAX).unwrap();
    save_value(&mut session, "tree", &json!({"π": [1.5, true, null], "": {"a": "ß"}}));
    for handle in [&session, &load_again(&sessions, &session)] {
        assert_eq!(handle.get_str("text").unwrap().as_deref(), Some("plain"));
        assert_eq!(handle.get::<String>("escaped").unwrap().as_deref(), Some("a\"b\n"));
        assert_eq!(handle.get_str("escaped").unwrap().as_deref(), Some("a\"b\n"));
        assert_eq!(handle.get::<Vec<u8>>("list").unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(handle.get::<Option<u8>>("null").unwrap(), None);
        assert_eq!((handle.get::<u8>("null").unwrap(), handle.get_str("null").unwrap()), (None, None));
        assert_eq!(handle.get::<u64>("large").unwrap(), Some(u64::MAX));
        let tree = json!({"π": [1.5, true, null], "": {"a": "ß"}});
        assert_eq!(handle.get::<Value>("tree").unwrap(), Some(tree));
        assert_eq!(handle.get::<Value>("absent").unwrap(), None);
        let error = handle.get::<u8>("text").unwrap_err();
        assert_eq!(error.to_string(), "key \"text\": the value is not of the type asked for");
    }
}

#[test]
fn take_of_the_wrong_type_leaves_the_value() {
    let (sessions, mut session, ..) = manual_session();
    assert!(session.take::<Vec<u8>>("user").unwrap_err().is_value());
    assert_eq!(session.take::<String>("user").unwrap().as_deref(), Some("ada"));
    assert_eq!(session.take::<String>("user").unwrap(), None);
    session.save().unwrap();
    assert!(!load_again(&sessions, &session).contains_key("user").unwrap());
}

#[test]
fn unserializable_value_changes_nothing() {
    let (_, mut session, ..) = manual_session();
    let error = session.insert("map", &BTreeMap::from([([1, 2], 3)])).unwrap_err();
    assert!(error.is_value());
    assert_eq!(error.to_string(), "key \"map\": the value cannot be written as JSON");
    assert!(!session.is_changed() && !session.contains_key("map").unwrap());
}

#[test]
fn keys_are_sorted_with_unsaved_changes() {
    let (sessions, _, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    for key in ["m", "z", "a", "é", "B", ""] {
        session.insert(key, key).unwrap();
    }
    session.save().unwrap();
    session.remove("m").unwrap();
    session.insert("n", &1).unwrap();
    session.insert("z", &2).unwrap();
    session.component("cart").insert("c", &3).unwrap();
    assert_eq!(session.keys().unwrap().collect::<Vec<_>>(), ["", "B", "a", "n", "z", "é"]);
    let values: Vec<_> = session.iter().unwrap().map(|(_, value)| value.get().to_owned()).collect();
    assert_eq!(values, ["\"\"", "\"B\"", "\"a\"", "1", "2", "\"é\""]);
    assert_eq!(session.len().unwrap(), 6);
    let before: Vec<_> = session.keys().unwrap().map(str::to_owned).collect();
    session.save().unwrap();
    assert_eq!(load_again(&sessions, &session).keys().unwrap().collect::<Vec<_>>(), before);
}

#[test]
fn clear_removes_components_and_later_commits() {
    // R4, of the models: what was inserted after a clear was not saved.
    let (sessions, mut session, store, ..) = manual_session();
    session.component("cart").insert("a", &1).unwrap();
    session.save().unwrap();
    let mut other = load_again(&sessions, &session);
    other.component("wishlist").insert("b", &2).unwrap();
    other.save().unwrap();

    session.clear().unwrap();
    assert!(session.is_empty().unwrap() && session.component("cart").is_empty().unwrap());
    save_value(&mut session, "kept", &1);
    let mut again = load_again(&sessions, &session);
    assert_eq!(again.keys().unwrap().collect::<Vec<_>>(), ["kept"]);
    assert!(again.component("cart").is_empty().unwrap() && again.component("wishlist").is_empty().unwrap());
    assert_eq!(again.id().unwrap(), session.id().unwrap(), "the session itself stays");
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn keys_and_sizes_over_the_limits_are_refused() {
    let (sessions, mut session, store, ..) = manual_session();
    session.insert(&"k".repeat(MAX_KEY_BYTES), &1).unwrap();
    let error = session.insert(&"k".repeat(MAX_KEY_BYTES + 1), &1).unwrap_err();
    assert!(error.is_size());
    assert_eq!(error.to_string(), "key \"kkkkkkkkkkkkkkkkkkkk\"... has 256 bytes, at most 255 are allowed");
    assert!(!session.contains_key(&"k".repeat(MAX_KEY_BYTES + 1)).unwrap());
    assert!(!session.remove(&"k".repeat(MAX_KEY_BYTES + 1)).unwrap());

    for number in 0..MAX_KEYS {
        session.component("many").insert(&number.to_string(), &0).unwrap();
    }
    let error = session.save().unwrap_err();
    assert_eq!(error.to_string(), "1026 keys in one session, at most 1024 are allowed");
    assert!(session.is_changed());
    session.component("many").clear().unwrap();
    session.insert("big", &"x".repeat(70_000)).unwrap();
    let error = session.save().unwrap_err();
    let text = error.to_string();
    let start = format!("session {}: ", session.handle().unwrap());
    assert!(
        error.is_size() && text.starts_with(&start) && text.ends_with(" bytes, max_session_size is 65536"),
        "{text}"
    );
    assert_eq!(load_again(&sessions, &session).keys().unwrap().collect::<Vec<_>>(), ["user"]);

    session.remove("big").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    validate(&store);
}

/// One step of a random history. Components and keys are few, so that steps meet.
#[derive(Clone, Debug)]
enum Step {
    Insert(&'static str, &'static str, Value),
    Remove(&'static str, &'static str),
    Take(&'static str, &'static str),
    Modify(&'static str, &'static str, Option<i64>),
    ClearComponent(&'static str),
    Clear,
    Save,
    Reload,
    Regenerate,
}

const COMPONENTS: [&str; 4] = ["", "a", "ab", "ü"];
const KEYS: [&str; 6] = ["", "a", "b", "ba", "constructor", "ключ"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let component = || prop::sample::select(&COMPONENTS[..]);
    let key = || prop::sample::select(&KEYS[..]);
    let value = prop_oneof![
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        (0..2_000_usize).prop_map(|length| Value::from("x".repeat(length))),
        Just(json!(null)),
        Just(json!([{"a": [1.5, true]}, {}])),
    ];
    let step = prop_oneof![
        8 => (component(), key(), value).prop_map(|(component, key, value)| Step::Insert(component, key, value)),
        4 => (component(), key()).prop_map(|(component, key)| Step::Remove(component, key)),
        2 => (component(), key()).prop_map(|(component, key)| Step::Take(component, key)),
        3 => (component(), key(), any::<Option<i64>>()).prop_map(|(component, key, to)| Step::Modify(component, key, to)),
        2 => component().prop_map(Step::ClearComponent),
        1 => Just(Step::Clear),
        4 => Just(Step::Save),
        2 => Just(Step::Reload),
        1 => Just(Step::Regenerate),
    ];
    prop::collection::vec(step, 1..40)
}

type Model = BTreeMap<(String, String), Value>;

/// A session beside its model: the entries that it shows, and those that are stored.
struct Pair {
    sessions: Sessions,
    session: Session,
    shown: Model,
    stored: Option<Model>,
}

impl Pair {
    fn step(&mut self, step: &Step) {
        let name = |component: &str, key: &str| (component.to_owned(), key.to_owned());
        let session = &mut self.session;
        match step {
            Step::Insert(component, key, value) => {
                session.component(component).insert(key, value).unwrap();
                self.shown.insert(name(component, key), value.clone());
            }
            Step::Remove(component, key) => {
                let was_there = self.shown.remove(&name(component, key)).is_some();
                assert_eq!(session.component(component).remove(key).unwrap(), was_there);
            }
            Step::Take(component, key) => {
                let taken = session.component(component).take::<Value>(key).unwrap();
                assert_eq!(taken, self.shown.remove(&name(component, key)).filter(is_some));
            }
            Step::Modify(component, key, to) => {
                let found = session
                    .component(component)
                    .modify(key, |value: &mut Option<Value>| std::mem::replace(value, to.map(Value::from)));
                let before = self.shown.get(&name(component, key)).filter(|value| is_some(value)).cloned();
                assert_eq!(found.unwrap(), Some(before));
                match to {
                    Some(to) => drop(self.shown.insert(name(component, key), Value::from(*to))),
                    None => drop(self.shown.remove(&name(component, key))),
                }
                self.stored = (!self.shown.is_empty() || self.stored.is_some()).then(|| self.shown.clone());
            }
            Step::ClearComponent(component) => {
                session.component(component).clear().unwrap();
                self.shown.retain(|(of, _), _| of != component);
            }
            Step::Clear => {
                session.clear().unwrap();
                self.shown.clear();
            }
            Step::Save => {
                let saved = session.save().unwrap();
                assert_ne!(saved, Saved::Gone);
                assert_eq!(session.save().unwrap(), Saved::Unchanged);
                self.stored = (!self.shown.is_empty() || self.stored.is_some()).then(|| self.shown.clone());
            }
            Step::Reload => {
                assert!(session.reload().unwrap());
                self.shown = self.stored.clone().unwrap_or_default();
            }
            Step::Regenerate => session.regenerate().unwrap(),
        }
    }

    fn check(&mut self) {
        compare(&mut self.session, &self.shown);
        let mut again = self.sessions.load(&self.session.id().unwrap()).unwrap();
        assert_eq!(again.is_some(), self.stored.is_some());
        if let (Some(again), Some(stored)) = (&mut again, &self.stored) {
            compare(again, stored);
        }
    }
}

/// JSON null is read as `None`.
fn is_some(value: &Value) -> bool {
    !value.is_null()
}

fn compare(session: &mut Session, model: &Model) {
    for component in COMPONENTS {
        let expected: Vec<_> = model
            .iter()
            .filter(|((of, _), _)| of == component)
            .map(|((_, key), value)| (key.as_str(), value))
            .collect();
        let view = session.component(component);
        assert_eq!(view.len().unwrap(), expected.len());
        assert_eq!(view.is_empty().unwrap(), expected.is_empty());
        assert_eq!(view.keys().unwrap().collect::<Vec<_>>(), expected.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        for ((key, value), (expected_key, expected_value)) in view.iter().unwrap().zip(&expected) {
            assert_eq!(key, *expected_key);
            assert_eq!(serde_json::from_str::<Value>(value.get()).unwrap(), **expected_value);
        }
        for key in KEYS {
            let expected = model.get(&(component.to_owned(), key.to_owned()));
            assert_eq!(view.contains_key(key).unwrap(), expected.is_some());
            assert_eq!(view.get::<Value>(key).unwrap().as_ref(), expected.filter(|value| is_some(value)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn model_session_is_like_a_plain_map(live in any::<bool>(), steps in steps()) {
        let (store, _) = manual_store();
        let sessions = Sessions::new(store.clone());
        let session = if live { stored_session(&sessions) } else { sessions.generate().unwrap() };
        let shown: Model =
            if live { [((String::new(), "user".to_owned()), json!("ada"))].into() } else { Model::new() };
        let stored = live.then(|| shown.clone());
        let mut pair = Pair { sessions, session, shown, stored };
        for step in &steps {
            pair.step(step);
            pair.check();
            validate(&store);
        }
    }
}
