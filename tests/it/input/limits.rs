//! Limits of texts. A text that is too long, or empty where it must not be, is refused before it is
//! hashed, stored or sent, and costs no more memory than a few times its own size.
//!
//! The doors are the methods that take a text: owners (`log_in`, `log_in_since`,
//! `sessions.owner`), labels, component names, keys (`insert`, `remove`, `take`, `consume`,
//! `modify`, `get`, `get_str`, `contains_key`), ids and handles as text, CSRF tokens, cookies, the
//! cookie's options, records as JSON, and the same on the store's own types (`Changes`, `Owner`).
//! `tests/it/redis/limits.rs` tries them on Redis.
#![cfg(feature = "web")]

use crate::support::doors::{FINDING_NOTHING, MIB, REFUSED_IF_EMPTY, REFUSING};
use crate::support::session::{manual_sessions, stored_session, validate};
use allocation_counter::measure;
use lembro::web::{CookieOptions, RequestHead, SessionLayer};
use lembro::{Clock, LembroOptions, LembroStore, Policy, Record, Store};
use serde::de::DeserializeOwned;
use serde_json::json;

fn everything(store: &LembroStore) -> Vec<Record> {
    store.all().unwrap().map(|listed| listed.unwrap().stored.record).collect()
}

#[test]
fn text_of_a_mebibyte_is_refused_everywhere() {
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
        assert!(!session.is_changed(), "{door}");
        validate(&store);
    }
    for (door, enter) in FINDING_NOTHING {
        let (sessions, store, _) = manual_sessions();
        let mut session = stored_session(&sessions);
        let mut said = None;
        let cost = measure(|| said = Some(enter(&sessions, &mut session, &long)));
        assert!(!said.unwrap().unwrap(), "{door}");
        assert!(cost.bytes_max < MIB as u64 / 8, "{door}: {} bytes", cost.bytes_max);
        assert!(!session.is_changed(), "{door}");
        validate(&store);
    }
}

#[test]
fn empty_text_is_refused_or_a_plain_key() {
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
fn cookie_of_a_mebibyte_asks_the_store_nothing() {
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
fn json_record_with_a_too_long_name_is_refused() {
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

/// Sets an option to a text, and returns the error.
type OptionDoor = fn(&str) -> Result<(), String>;

const OPTIONS: [(&str, OptionDoor); 9] = [
    ("name", |text| cookie(CookieOptions::new().name(text))),
    ("path", |text| cookie(CookieOptions::new().path(text))),
    ("domain", |text| cookie(CookieOptions::new().domain(text))),
    ("keys", |text| cookie(CookieOptions::new().keys([text, "short"]))),
    ("max_size", |text| store(LembroOptions::new().max_size(text))),
    ("interval", |text| store(LembroOptions::new().interval(text))),
    ("timeout", |text| file::<Policy>("timeout", text)),
    ("renew_after", |text| file::<Policy>("renew_after", text)),
    ("same_site", |text| file::<CookieOptions>("same_site", text)),
];

fn cookie(options: CookieOptions) -> Result<(), String> {
    let layer = SessionLayer::new(manual_sessions().1).cookie(options);
    layer.map(drop).map_err(|error| error.to_string())
}

fn store(options: LembroOptions) -> Result<(), String> {
    LembroStore::with_options(options.clock(&Clock::manual())).map(drop).map_err(|error| error.to_string())
}

/// Reads the option from a configuration file.
fn file<T: DeserializeOwned>(option: &str, text: &str) -> Result<(), String> {
    serde_json::from_value::<T>(json!({ option: text })).map(drop).map_err(|error| error.to_string())
}

#[test]
fn empty_or_huge_option_is_refused() {
    // A cut of the second text may fall inside a character.
    let (long, other) = ("x".repeat(MIB), format!("x{}", "é".repeat(MIB / 2)));
    for (option, set) in OPTIONS {
        for text in [&*long, &*other, ""] {
            let mut said = None;
            let cost = measure(|| said = Some(set(text)));
            let Err(error) = said.unwrap() else { panic!("{option}: {} bytes are accepted", text.len()) };
            assert!(error.len() < 1000, "{option}: {} bytes: {error:.300}", error.len());
            assert!(cost.bytes_max < 6 * MIB as u64, "{option}: {} bytes", cost.bytes_max);
        }
    }
}
