//! `modify`: it overwrites no other commit, and it is carried out completely or not at all.

use std::thread;

use crate::support::session::{
    increment, load_again, manual_session, manual_sessions, probed_session, save_value, stored_session, validate,
};
use lembro::{Error, LembroStore, Saved, Sessions, Store};

#[test]
fn race_eight_threads_count_to_four_thousand() {
    let store = LembroStore::new().unwrap();
    let sessions = Sessions::new(store.clone());
    let id = stored_session(&sessions).id().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut session = sessions.load(&id).unwrap().unwrap();
                for _ in 0..500 {
                    assert!(session.modify("count", increment).unwrap().is_some());
                }
            });
        }
    });
    let session = sessions.load(&id).unwrap().unwrap();
    assert_eq!(session.get::<u64>("count").unwrap(), Some(4_000));
    assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
    validate(&store);
}

#[test]
fn modify_runs_again_after_a_save_in_between() {
    let (sessions, mut session, probe, ..) = probed_session();
    session.modify("count", increment).unwrap();
    let mut other = load_again(&sessions, &session);
    probe.before_next_commit(move || {
        other.insert("count", &41).unwrap();
        save_value(&mut other, "theirs", "kept");
    });
    let mut runs = 0;
    let result = session.modify("count", |count| {
        runs += 1;
        increment(count)
    });
    assert_eq!((result.unwrap(), runs), (Some(42), 2));
    assert_eq!(session.get_str("theirs").unwrap().as_deref(), Some("kept"));
    assert_eq!(load_again(&sessions, &session).get::<u64>("count").unwrap(), Some(42));
}

#[test]
fn modify_sees_the_store_and_saves_the_draft() {
    let (sessions, mut session, store, ..) = manual_session();
    let mut other = load_again(&sessions, &session);
    save_value(&mut other, "count", &10);

    session.insert("unsaved", &1).unwrap();
    session.remove("user").unwrap();
    session.component("cart").insert("items", &["tea"]).unwrap();
    assert_eq!(session.modify("count", increment).unwrap(), Some(11));
    assert!(!session.is_changed());
    let mut again = load_again(&sessions, &session);
    assert_eq!(again.keys().unwrap().collect::<Vec<_>>(), ["count", "unsaved"]);
    assert_eq!(again.component("cart").len().unwrap(), 1);
    validate(&store);
}

#[test]
fn modify_starts_from_an_unsaved_value() {
    let (sessions, mut session, ..) = manual_session();
    session.modify("count", increment).unwrap();
    session.insert("count", &100).unwrap();
    assert_eq!(session.modify("count", increment).unwrap(), Some(101));
    session.remove("count").unwrap();
    assert_eq!(session.modify("count", increment).unwrap(), Some(1));
    session.clear().unwrap();
    assert_eq!(session.modify("count", increment).unwrap(), Some(1));
    assert_eq!(load_again(&sessions, &session).keys().unwrap().collect::<Vec<_>>(), ["count"]);
}

#[test]
fn modify_to_none_removes_the_key() {
    let (sessions, mut session, ..) = manual_session();
    assert_eq!(session.modify("user", Option::<String>::take).unwrap(), Some(Some("ada".to_owned())));
    assert!(!session.contains_key("user").unwrap() && !session.is_changed());
    assert!(!load_again(&sessions, &session).contains_key("user").unwrap());
}

#[test]
fn modify_stores_a_new_session() {
    let (sessions, store, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    session.insert("unsaved", &1).unwrap();
    assert_eq!(session.component("cart").modify("count", increment).unwrap(), Some(1));
    assert!(!session.is_new().unwrap() && !session.is_changed());
    let mut again = load_again(&sessions, &session);
    assert_eq!(again.component("cart").get::<u64>("count").unwrap(), Some(1));
    assert_eq!(again.get::<u64>("unsaved").unwrap(), Some(1));
    assert_eq!(store.len().unwrap(), 1);
    // The handle has the version that it stored.
    assert_eq!(session.component("cart").modify("count", increment).unwrap(), Some(2));
}

#[test]
fn modify_to_none_stores_no_new_session() {
    let (sessions, store, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    assert_eq!(session.modify("count", |count: &mut Option<u64>| count.is_none()).unwrap(), Some(true));
    assert!(session.is_new().unwrap());
    assert_eq!((session.save().unwrap(), store.len().unwrap()), (Saved::Unchanged, 0));

    // The next save does not store a key that `modify` removed.
    session.insert("draft", &1).unwrap();
    assert_eq!(session.modify("draft", Option::<u64>::take).unwrap(), Some(Some(1)));
    assert!(!session.contains_key("draft").unwrap());
    assert_eq!((session.save().unwrap(), store.len().unwrap()), (Saved::Unchanged, 0));
}

#[test]
fn modify_of_a_gone_session_is_none() {
    let (sessions, mut session, store, ..) = manual_session();
    let mut other = load_again(&sessions, &session);
    other.insert("unsaved", &1).unwrap();
    session.log_out().unwrap();
    let mut runs = 0;
    for gone in [&mut session, &mut other] {
        let result = gone.modify("count", |count| {
            runs += 1;
            increment(count)
        });
        assert_eq!(result.unwrap(), None);
        assert!(gone.is_gone().unwrap() && gone.is_empty().unwrap());
    }
    assert_eq!((runs, store.len().unwrap()), (0, 0));
}

#[test]
fn logout_during_a_modify_is_final() {
    let (sessions, mut session, probe, ..) = probed_session();
    let mut logout = load_again(&sessions, &session);
    probe.before_next_commit(move || logout.log_out().unwrap());
    assert_eq!(session.modify("count", increment).unwrap(), None);
    assert!(session.is_gone().unwrap());
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());
}

#[test]
fn failed_modify_changes_nothing() {
    let (sessions, mut session, probe, ..) = probed_session();
    session.insert("unsaved", &1).unwrap();
    probe.calls.take();

    let mut ran = false;
    let error = session.modify("user", |_: &mut Option<u64>| ran = true).unwrap_err();
    assert!(error.is_value() && !ran);
    assert_eq!(error.to_string(), "key \"user\": the value is not of the type asked for");
    let error = session.modify(&"k".repeat(256), increment).unwrap_err();
    assert!(error.is_size());
    let error = session.modify("big", |big: &mut Option<String>| *big = Some("x".repeat(70_000))).unwrap_err();
    assert!(error.is_size(), "{error}");
    assert!(session.modify("odd", |odd: &mut Option<Odd>| *odd = Some(Odd)).unwrap_err().is_value());

    assert!(session.is_changed());
    assert_eq!(session.keys().unwrap().collect::<Vec<_>>(), ["unsaved", "user"]);
    let again = load_again(&sessions, &session);
    assert_eq!(again.keys().unwrap().collect::<Vec<_>>(), ["user"]);
    assert_eq!(session.save().unwrap(), Saved::Written);
}

/// A value that fails to serialize.
#[derive(serde::Deserialize)]
struct Odd;

impl serde::Serialize for Odd {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(Error::unsupported("being written")))
    }
}

#[test]
fn modify_gives_up_after_a_thousand_races() {
    let (sessions, mut session, probe, ..) = probed_session();
    let id = session.id().unwrap();
    session.insert("unsaved", &1).unwrap();
    let mut runs = 0_u32;
    let error = session
        .modify("count", |count: &mut Option<u64>| {
            runs += 1;
            let mut other = sessions.load(&id).unwrap().unwrap();
            save_value(&mut other, "theirs", &runs);
            increment(count)
        })
        .unwrap_err();
    assert!(error.is_contention());
    let handle = id.handle();
    assert_eq!(error.to_string(), format!("session {handle}: changed by others 1000 times in a row, gave up"));
    assert_eq!(runs, 1_000);
    assert!(session.is_changed() && !session.is_gone().unwrap());
    assert!(!load_again(&sessions, &session).contains_key("count").unwrap());
    probe.calls.take();
    assert_eq!(session.modify("count", increment).unwrap(), Some(1));
}
