//! JSON as a record: refused, or a record whose own JSON is read as the same record.

use lembro::Record;

pub fn check(bytes: &[u8]) {
    let record: Record = match serde_json::from_slice(bytes) {
        Ok(record) => record,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(Record::from_bytes(record.as_bytes()).is_ok(), "{record:?} has bytes that are not a record's");
    super::record::check(record.as_bytes());
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let records = super::record::seeds().into_iter().map(|bytes| Record::from_bytes(&bytes).unwrap());
    let written = records.map(|record| serde_json::to_string(&record).unwrap());
    let by_hand = [
        r#"{"entries": {}}"#,
        r#"{"created_at": 0, "timeout": 0, "owner": "ada", "entries": {"": {}, "cart": {"items": [1, {"a": null}]}}}"#,
        r#"{"created_at": 18446744073709551615, "timeout": 18446744073709551615, "owner": "", "entries": {}}"#,
        r#"{"entries": {"": {"n": 1e308, "m": -0.0, "o": 5e-324, "p": 18446744073709551615, "q": 1e19, "q": true}}}"#,
        r#"{"entries": {"\ud83c\udf75": {"\u0000": "\ud83c\udf75\u0000\"\\"}}}"#,
    ];
    written.chain(by_hand.map(str::to_owned)).map(String::into_bytes).collect()
}
