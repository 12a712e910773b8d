//! Bytes from outside: whatever they are, reading them is a record or a clear error, never a panic, never a second form.

use lembro::{Changes, Record};
use proptest::prelude::*;

/// What reading may do with bytes: refuse them, or take them for exactly what they are.
fn read(bytes: &[u8]) {
    match Record::from_bytes(bytes) {
        Err(error) => assert!(error.is_corrupt()),
        Ok(record) => {
            assert_eq!(record.as_bytes(), bytes);
            assert_eq!(record.entries().count(), record.len());
            // A merge that changes nothing writes the same bytes: there is one form of everything.
            assert_eq!(Changes::new().apply(&record).unwrap(), record);
            let _ = (record.created_at(), record.timeout(), record.owner(), format!("{record:?}"));
        }
    }
}

fn record() -> Record {
    let record: Record = [("user", "ada"), ("theme", "dark"), ("ü", "\u{1F375}")].into_iter().collect();
    let mut changes = Changes::new();
    changes.insert("cart", "items", &[1, 2, 3]).unwrap();
    changes.set_owner(Some("ada")).unwrap();
    changes.set_timeout(Some(std::time::Duration::from_secs(900)));
    changes.apply(&record).unwrap().admit(std::time::SystemTime::now()).unwrap()
}

proptest! {
    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_right_first_one(flags in 0x10..0x14_u8, rest in prop::collection::vec(0..20_u8, 0..60)) {
        let mut bytes = vec![flags];
        bytes.extend(rest);
        read(&bytes);
    }

    #[test]
    fn a_record_with_some_bytes_changed(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = record().as_bytes().to_vec();
        for (place, byte) in places {
            let index = place.index(bytes.len());
            bytes[index] = byte;
        }
        read(&bytes);
    }
}

#[test]
fn a_record_cut_off_anywhere_or_with_more_behind_it_is_refused() {
    let record = record();
    for end in 0..record.as_bytes().len() {
        assert!(Record::from_bytes(&record.as_bytes()[..end]).unwrap_err().is_corrupt(), "cut at {end}");
    }
    let mut longer = record.as_bytes().to_vec();
    longer.push(0);
    assert_eq!(Record::from_bytes(&longer).unwrap_err().to_string(), "stored record: bytes after the last entry");
}

#[test]
fn entries_out_of_order_are_refused() {
    // Format 1, two entries, eight bytes of names, not created; then (component, key, value) lengths 0, 1, 1.
    let bytes =
        |first: u8, second: u8| [0x10, 0, 2, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 1, first, 0, 1, 1, second, b'1', b'2'];
    assert!(Record::from_bytes(&bytes(b'a', b'b')).is_ok());
    for (first, second) in [(b'b', b'a'), (b'a', b'a')] {
        let error = Record::from_bytes(&bytes(first, second)).unwrap_err();
        assert_eq!(error.to_string(), "stored record: entries are not in order");
    }
}

#[test]
fn a_value_that_is_no_json_and_a_number_in_a_longer_form_are_refused() {
    let one = |value: u8| [0x10, 0, 1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 1, b'a', value];
    assert!(Record::from_bytes(&one(b'1')).is_ok());
    assert!(Record::from_bytes(&one(b'?')).is_err());
    let timeout = |bytes: &[u8]| [&[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], bytes].concat();
    assert!(Record::from_bytes(&timeout(&[0])).is_ok());
    assert!(Record::from_bytes(&timeout(&[0x80, 0])).is_err());
    assert!(Record::from_bytes(&[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err(), "another format");
}

#[test]
fn json_from_outside_has_the_same_limits() {
    let read = |text: &str| serde_json::from_str::<Record>(text);
    assert!(read(r#"{"entries": {"": {"a": 1}}}"#).is_ok());
    assert!(read(r#"{"entries": {}, "surprise": 1}"#).is_err());
    assert!(read(&format!(r#"{{"entries": {{"": {{"{}": 1}}}}}}"#, "k".repeat(256))).is_err());
    let keys: Vec<_> = (0..1025).map(|key| format!("\"{key}\": 1")).collect();
    assert!(read(&format!(r#"{{"entries": {{"": {{{}}}}}}}"#, keys.join(","))).is_err());
}
