//! Records from foreign bytes: a record in its one form or an error, and never a panic.

use lembro::{Changes, Lease, LembroStore, Record};
use proptest::prelude::*;

use crate::support::steps::{create, found, log_in, new_id, renewed};

/// Reads bytes, which must be refused, or be the one form of a record.
fn read(bytes: &[u8]) {
    match Record::from_bytes(bytes) {
        Err(error) => assert!(error.is_corrupt()),
        Ok(record) => {
            assert_eq!(record.as_bytes(), bytes);
            assert_eq!(record.entries().count(), record.len());
            // A merge without changes writes the same bytes.
            assert_eq!(Changes::new().apply(&record).unwrap(), record);
            let _ =
                (record.created_at(), record.timeout(), record.owner(), record.owner_since(), format!("{record:?}"));
            let _ = (record.id_since(), record.label(), record.is_remembered());
        }
    }
}

fn record() -> Record {
    let record: Record = [("user", "ada"), ("theme", "dark"), ("ü", "\u{1F375}")].into_iter().collect();
    let mut changes = Changes::new();
    changes.insert("cart", "items", &[1, 2, 3]).unwrap();
    changes.set_timeout(Some(std::time::Duration::from_secs(900)));
    changes.set_label(Some("Firefox on Linux")).unwrap();
    changes.remember(true);
    // All fields of a head.
    let (store, id, lease) = (LembroStore::new().unwrap(), new_id(), Lease::new(std::time::Duration::MAX));
    assert!(create(&store, &id, &changes.apply(&record).unwrap(), lease.idle).unwrap().is_done());
    let (new, lease) = (renewed(&id), Lease { renew_after: Some(lease.idle), ..lease });
    assert!(log_in(&store, &id, &new, "ada", &lease).unwrap().is_done());
    found(&store, &new).record
}

proptest! {
    #[test]
    fn model_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn model_any_bytes_after_a_valid_first_byte(flags in 0x20..0x30_u8, rest in prop::collection::vec(0..20_u8, 0..60)) {
        let mut bytes = vec![flags];
        bytes.extend(rest);
        read(&bytes);
    }

    #[test]
    fn model_a_record_with_bytes_changed(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = record().as_bytes().to_vec();
        for (place, byte) in places {
            let index = place.index(bytes.len());
            bytes[index] = byte;
        }
        read(&bytes);
    }
}

#[test]
fn truncated_and_extended_records_are_refused() {
    let record = record();
    for end in 0..record.as_bytes().len() {
        assert!(Record::from_bytes(&record.as_bytes()[..end]).unwrap_err().is_corrupt(), "cut at {end}");
    }
    let mut longer = record.as_bytes().to_vec();
    longer.push(0);
    assert_eq!(refusal(&longer), WRONG_LENGTHS);
}

const WRONG_LENGTHS: &str = "stored record: the lengths of the entries are not those of the bytes behind them";

/// A body of format 2 with these flags, no notes, and no time of creation. `rest` follows the head.
fn body(flags: u8, entries: u8, names: u8, rest: &[u8]) -> Vec<u8> {
    body_with(flags, 0, entries, names, rest)
}

/// The same body with notes.
fn body_with(flags: u8, notes: u8, entries: u8, names: u8, rest: &[u8]) -> Vec<u8> {
    [&[0x20 | flags, notes, 0, entries, 0, 0, names, 0, 0, 0, 0, 0, 0], rest].concat()
}

fn refusal(bytes: &[u8]) -> String {
    Record::from_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn entries_out_of_order_are_refused() {
    // For each entry the lengths of component, key and value; names; values.
    let bytes = |first: u8, second: u8| body(0, 2, 2, &[0, 1, 1, 0, 1, 1, first, second, b'1', b'2']);
    assert!(Record::from_bytes(&bytes(b'a', b'b')).is_ok());
    for (first, second) in [(b'b', b'a'), (b'a', b'a')] {
        assert_eq!(refusal(&bytes(first, second)), "stored record: entries are not in order");
    }
}

#[test]
fn wrong_lengths_are_refused() {
    assert!(Record::from_bytes(&body(0, 1, 1, &[0, 1, 1, b'a', b'1'])).is_ok());
    for bytes in [body(0, 1, 1, &[0, 1, 2, b'a', b'1']), body(0, 1, 2, &[0, 1, 1, b'a', b'1'])] {
        assert_eq!(refusal(&bytes), WRONG_LENGTHS);
    }
    // Lengths of four bytes whose sum overflows 32 bits.
    let large = [0xff; 12].repeat(20);
    assert_eq!(refusal(&body(0x08, 20, 0, &large)), WRONG_LENGTHS);
}

#[test]
fn each_value_has_one_form() {
    let one = |value: u8| body(0, 1, 1, &[0, 1, 1, b'a', value]);
    assert!(Record::from_bytes(&one(b'1')).is_ok());
    assert_eq!(refusal(&one(b'?')), "stored record: a value is not JSON");
    assert_eq!(refusal(&body(0, 1, 1, &[0, 1, 2, b'a', b' ', b'1'])), "stored record: a value is not JSON");
    let longer = "stored record: lengths in a longer form than they need";
    assert_eq!(refusal(&body(0x04, 1, 1, &[0, 0, 0, 1, 0, 1, b'a', b'1'])), longer);
    assert_eq!(refusal(&body(0x08, 1, 1, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, b'a', b'1'])), longer);
    let (time, late) = ([0, 0, 0, 0, 0, 9], [0xff; 6]);
    let ada = [3, b'a', b'd', b'a'];
    let owner = [&time[..], &ada].concat();
    for (flags, notes, rest) in [
        (0x0c, 0, &[][..]),
        (0x01, 0, &[0; 5]),
        (0x02, 0, &[]),
        (0x02, 0, &time),
        (0x02, 0, &owner[..9]),
        (0, 0x01, &[0; 5]),
        (0, 0x02, &[]),
        (0, 0x02, &ada[..3]),
        (0, 0x08, &[]),
        (0, 0x80, &[]),
    ] {
        let refused = refusal(&body_with(flags, notes, 0, 0, rest));
        assert_eq!(refused, "stored record: the head is not readable", "{flags} {notes} {rest:?}");
    }
    // Timeout, owner, time of the id, label, remembered.
    let whole = [&time[..], &owner, &time, &ada].concat();
    let record = Record::from_bytes(&body_with(0x03, 0x07, 0, 0, &whole)).unwrap();
    assert_eq!((record.owner(), record.label(), record.is_remembered()), (Some("ada"), Some("ada"), true));
    let at = Some(std::time::UNIX_EPOCH + std::time::Duration::from_millis(9));
    assert_eq!((record.owner_since(), record.id_since()), (at, at));
    assert_eq!(refusal(&body(0x02, 0, 0, &[0; 7])), "stored record: an owner that is empty or too long");
    for (flags, notes, rest) in [(0x01, 0, &late[..]), (0, 0x01, &late), (0x02, 0, &[&late[..], &ada].concat())] {
        let refused = refusal(&body_with(flags, notes, 0, 0, rest));
        assert_eq!(refused, "stored record: a time that is out of range");
    }
    for another in [0x10, 0x30] {
        let mut body = body(0, 0, 0, &[]);
        body[0] = another;
        assert!(Record::from_bytes(&body).is_err(), "another format");
    }
}

#[test]
fn json_from_outside_has_the_limits() {
    let read = |text: &str| serde_json::from_str::<Record>(text);
    assert!(read(r#"{"entries": {"": {"a": 1}}}"#).is_ok());
    assert!(read(r#"{"entries": {}, "surprise": 1}"#).is_err());
    assert!(read(&format!(r#"{{"entries": {{"": {{"{}": 1}}}}}}"#, "k".repeat(256))).is_err());
    let keys: Vec<_> = (0..1025).map(|key| format!("\"{key}\": 1")).collect();
    assert!(read(&format!(r#"{{"entries": {{"": {{{}}}}}}}"#, keys.join(","))).is_err());
}
