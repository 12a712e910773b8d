//! Promise: a text that is too long, or empty where it must not be, is refused at the door: before
//! it is hashed, stored or sent, and for no more memory than a few times its own size.
//!
//! The doors: owners (`log_in`, `log_in_since`, `sessions.owner`), labels, component names, keys
//! (`insert`, `remove`, `take`, `consume`, `modify`, `get`, `get_str`, `contains_key`), ids and
//! handles as text, CSRF tokens, cookies, the cookie's options, records as JSON, and the same on
//! the store's own types (`Changes`, `Owner`).
#![cfg(feature = "web")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails loudly")]

mod session_support;

use allocation_counter::measure;
use lembro::web::{CookieOptions, RequestHead, SessionLayer};
use lembro::{Changes, Error, Handle, LembroStore, Owner, Record, Session, SessionId, Sessions, Store};
use session_support::{manual_sessions, stored_session, validate};

const MIB: usize = 1 << 20;

/// What is given at a door, and what comes back: an error, or nothing found.
type Door = fn(&Sessions, &mut Session, &str) -> Result<bool, Error>;

/// Doors where a long text is an error.
const REFUSING: [(&str, Door); 14] = [
    ("log_in", |_, session, text| session.log_in(text).map(|()| true)),
    ("log_in_since", |sessions, session, text| {
        let epoch = sessions.owner("ada")?.epoch()?;
        session.log_in_since(text, epoch).map(|()| true)
    }),
    ("owner", |sessions, _, text| sessions.owner(text).map(|_| true)),
    ("Owner::new", |_, _, text| Owner::new(text).map(|_| true)),
    ("set_label", |_, session, text| session.set_label(text).map(|()| true)),
    ("insert", |_, session, text| session.insert(text, &1).map(|()| true)),
    ("modify", |_, session, text| session.modify(text, |value: &mut Option<u8>| *value = Some(1)).map(|_| true)),
    ("component, insert", |_, session, text| session.component(text).insert("key", &1).map(|()| true)),
    ("component, key", |_, session, text| session.component("cart").insert(text, &1).map(|()| true)),
    ("Changes::insert", |_, _, text| Changes::new().insert("", text, &1).map(|()| true)),
    ("Changes::remove", |_, _, text| Changes::new().remove(text, "key").map(|()| true)),
    ("Changes::set_label", |_, _, text| Changes::new().set_label(Some(text)).map(|()| true)),
    ("SessionId", |_, _, text| text.parse::<SessionId>().map(|_| true)),
    ("Handle", |_, _, text| text.parse::<Handle>().map(|_| true)),
];

/// Doors where a long text is not found.
const FINDING_NOTHING: [(&str, Door); 7] = [
    ("get", |_, session, text| Ok(session.get::<String>(text)?.is_some())),
    ("get_str", |_, session, text| Ok(session.get_str(text)?.is_some())),
    ("contains_key", |_, session, text| session.contains_key(text)),
    ("remove", |_, session, text| session.remove(text)),
    ("take", |_, session, text| Ok(session.take::<String>(text)?.is_some())),
    ("consume", |_, session, text| Ok(session.consume::<String>(text)?.is_some())),
    ("check_csrf", |_, session, text| session.check_csrf(text)),
];

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
    let refused = ["log_in", "log_in_since", "owner", "Owner::new", "SessionId", "Handle"];
    for (door, enter) in REFUSING {
        let (sessions, store, _) = manual_sessions();
        let mut session = stored_session(&sessions);
        assert_eq!(enter(&sessions, &mut session, "").is_err(), refused.contains(&door), "{door}");
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
