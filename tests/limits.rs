//! Promise: a text that is too long, or empty where it must not be, is refused at the door: before
//! it is hashed, stored or sent, and for no more memory than a few times its own size.
//!
//! The doors: owners (`log_in`, `log_in_since`, `sessions.owner`), labels, component names, keys
//! (`insert`, `remove`, `take`, `consume`, `modify`, `get`, `get_str`, `contains_key`), ids and
//! handles as text, CSRF tokens, cookies, the cookie's options, records as JSON, and the same on
//! the store's own types (`Changes`, `Owner`). `tests/redis_limits.rs` walks them on Redis.
#![cfg(feature = "web")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails loudly")]

mod doors;
mod session_support;

use self::doors::{FINDING_NOTHING, MIB, REFUSED_IF_EMPTY, REFUSING};
use self::session_support::{manual_sessions, stored_session, validate};
use allocation_counter::measure;
use lembro::web::{CookieOptions, RequestHead, SessionLayer};
use lembro::{LembroStore, Record, Store};

fn everything(store: &LembroStore) -> Vec<Record> {
    store.all().unwrap().map(|listed| listed.unwrap().stored.record).collect()
}

#[test]
fn a_text_of_a_mebibyte_is_refused_at_every_door_and_costs_little() {
    let long = "x".repeat(MIB);
    for (door, enter) in REFUSING {
        let (sessions, store, _) = manual_sessions();
        let mut session = stored_session(&sessions);
        let before = (everything(&store), store.bytes());
        let mut said = None;
        let cost = measure(|| said = Some(enter(&sessions, &mut session, &long)));
        let error = said.unwrap().expect_err(door);
        assert!(error.is_size() || error.is_id(), "{door}: {error}");
        assert!(error.to_string().len() < 200, "{door}: {:.300}", error.to_string());
        assert!(cost.bytes_max < MIB as u64 / 8, "{door}: {} bytes", cost.bytes_max);
        assert_eq!((everything(&store), store.bytes()), before, "{door}");
        assert!(!session.changed(), "{door}");
        validate(&store);
    }
    for (door, enter) in FINDING_NOTHING {
        let (sessions, store, _) = manual_sessions();
        let mut session = stored_session(&sessions);
        let mut said = None;
        let cost = measure(|| said = Some(enter(&sessions, &mut session, &long)));
        assert!(!said.unwrap().unwrap(), "{door}");
        assert!(cost.bytes_max < MIB as u64 / 8, "{door}: {} bytes", cost.bytes_max);
        assert!(!session.changed(), "{door}");
        validate(&store);
    }
}

#[test]
fn an_empty_text_is_refused_where_it_means_nothing_and_a_key_like_any_other_elsewhere() {
    for (door, enter) in REFUSING {
        let (sessions, store, _) = manual_sessions();
        let mut session = stored_session(&sessions);
        assert_eq!(enter(&sessions, &mut session, "").is_err(), REFUSED_IF_EMPTY.contains(&door), "{door}");
        validate(&store);
    }
    for (door, enter) in FINDING_NOTHING {
        let (sessions, ..) = manual_sessions();
        assert!(!enter(&sessions, &mut stored_session(&sessions), "").unwrap(), "{door}");
    }
}

#[test]
fn a_cookie_of_a_mebibyte_in_every_form_costs_nothing_and_asks_nothing() {
    let (_, store, _) = manual_sessions();
    let keys = CookieOptions::new().keys(["k".repeat(32)]);
    for options in [CookieOptions::new(), keys] {
        let layer = SessionLayer::new(store.clone()).cookie(options).unwrap();
        let long = "x".repeat(MIB);
        let dots = format!("id={}", ".".repeat(MIB));
        let many = "id=x; ".repeat(MIB / 6);
        let signed = format!("id={};", "A".repeat(40) + "." + &"B".repeat(43)).repeat(MIB / 90);
        for header in [&format!("id={long}"), &dots, &many, &signed, &format!("{long}=x"), &format!("id=\"{long}\"")] {
            let mut session = None;
            let cost = measure(|| session = Some(layer.load(RequestHead::new([header.as_str()]))));
            assert_eq!(cost.bytes_total, 0, "{header:.20}");
            assert!(session.unwrap().is_new().unwrap());
        }
        assert_eq!(store.stats().misses + store.stats().hits, 0);
    }
}

#[test]
fn a_record_as_json_with_a_name_that_is_too_long_is_refused() {
    let long = "x".repeat(MIB);
    for text in [
        format!(r#"{{"owner": "{long}", "entries": {{}}}}"#),
        r#"{"owner": "", "entries": {}}"#.to_owned(),
        format!(r#"{{"label": "{long}", "entries": {{}}}}"#),
        format!(r#"{{"entries": {{"": {{"{long}": 1}}}}}}"#),
        format!(r#"{{"entries": {{"{long}": {{"key": 1}}}}}}"#),
    ] {
        let error = serde_json::from_str::<Record>(&text).unwrap_err().to_string();
        assert!(error.contains("bytes, "), "{error:.200}");
        assert!(error.len() < 300, "{error:.400}");
    }
}
