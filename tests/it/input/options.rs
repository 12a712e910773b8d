//! The options of `LembroStore`: accepted values, and the errors about all others.

use std::time::Duration;

use lembro::{LembroOptions, LembroStore, Record, Result, SessionId, Setting, Store};

const K: usize = 1024;
const M: usize = 1024 * K;

fn open(options: LembroOptions) -> Result<usize> {
    LembroStore::with_options(options).map(|store| store.stats().max_size)
}

fn sized(size: impl Into<Setting>) -> Result<usize> {
    open(LembroOptions::new().interval(0).max_size(size))
}

/// The `max_size` of a store with this configuration, or the error.
fn configured(text: &str) -> Result<usize, String> {
    // serde_json may add the place of the error.
    let told = |error: serde_json::Error| error.to_string().split(" at line ").next().unwrap_or_default().to_owned();
    let options: LembroOptions = serde_json::from_str(text).map_err(told)?;
    Ok(open(options).unwrap())
}

#[track_caller]
fn refused(result: Result<usize>, expected: &str) {
    let error = result.unwrap_err();
    assert!(error.is_option());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn default_store_holds_a_mebibyte() {
    let store = LembroStore::new().unwrap();
    assert_eq!(store.stats().max_size, M);
    assert!(store.is_empty().unwrap());
    assert_eq!(configured("{}").unwrap(), M);
}

#[test]
fn documented_options_are_read() {
    assert_eq!(configured(r#"{"interval": 360000, "maxSize": "4M"}"#).unwrap(), 4 * M);
    assert_eq!(configured(r#"{"interval": "5m", "max_size": 4194304}"#).unwrap(), 4 * M);
    assert_eq!(configured(r#"{"interval": 0, "maxSize": 4194304.0}"#).unwrap(), 4 * M);
    assert_eq!(configured(r#"{"interval": null, "maxSize": null}"#).unwrap(), M);
    assert_eq!(configured(r#"{"interval": "0s", "maxSessionSize": "64K", "shards": 4}"#).unwrap(), M);
    assert_eq!(configured(r#"{"interval": "1h 30m", "max_session_size": "16 KiB", "shards": 1.0}"#).unwrap(), M);
    assert_eq!(configured(r#"{"interval": 18446744073709551615}"#).unwrap(), M, "never, but allowed");
}

#[test]
fn sizes_in_every_common_spelling() {
    let cases: [(&str, usize); 24] = [
        ("4194304", 4 * M),
        ("4194304B", 4 * M),
        ("4M", 4 * M),
        ("4m", 4 * M),
        (" 4 M ", 4 * M),
        ("4MiB", 4 * M),
        ("4 mib", 4 * M),
        ("4096K", 4 * M),
        ("4096k", 4 * M),
        ("4096KiB", 4 * M),
        ("1G", 1024 * M),
        ("1g", 1024 * M),
        ("1GiB", 1024 * M),
        ("4MB", 4_000_000),
        ("4 mb", 4_000_000),
        ("4000KB", 4_000_000),
        ("4000kb", 4_000_000),
        ("1GB", 1_000_000_000),
        ("1T", 1_000_000_000_000),
        ("1.5M", 1_572_864),
        ("0.5M", 524_288),
        ("1.5MB", 1_500_000),
        ("2.0M", 2 * M),
        ("0000004M", 4 * M),
    ];
    for (text, bytes) in cases {
        assert_eq!(sized(text).unwrap(), bytes, "{text:?}");
        assert_eq!(configured(&format!(r#"{{"maxSize": {text:?}, "interval": 0}}"#)).unwrap(), bytes, "{text:?}");
    }
    assert_eq!(sized(bytesize::ByteSize::mib(4)).unwrap(), 4 * M);
    assert_eq!(sized(String::from("4M")).unwrap(), 4 * M);
    assert_eq!(sized(4_194_304_u64).unwrap(), 4 * M);
}

#[test]
fn wrong_sizes_are_named() {
    let no_size = |text: &str| (text.to_owned(), format!("max_size: {text:?} is not a size such as 4194304 or \"4M\""));
    let mut cases: Vec<(String, String)> = [
        "", " ", "plenty", "-1", "-4M", "+4M", "4X", "M", ".M", "1.2.3M", "4M4", "4 M B", "1e6", "٤M", "NaN", "inf",
        "0x10",
    ]
    .map(no_size)
    .into();
    for text in ["0.3", "1.1M", "0.0001K"] {
        cases.push((text.to_owned(), format!("max_size: {text:?} is not a whole number of bytes")));
    }
    for text in ["18446744073709551616", "18446744073709551615K", "99999999999999999999G"] {
        cases.push((text.to_owned(), format!("max_size: {text:?} is too large a size")));
    }
    for text in ["0", "0K", "0.0", "0MB"] {
        cases.push((text.to_owned(), "max_size: 0 bytes is no size to work with".to_owned()));
    }
    for (text, expected) in cases {
        refused(sized(&*text), &expected);
        assert_eq!(configured(&format!(r#"{{"max_size": {text:?}}}"#)).unwrap_err(), expected);
    }
}

#[test]
fn wrong_numbers_are_refused() {
    let cases = [
        (r#"{"maxSize": 0}"#, "max_size: 0 bytes is no size to work with"),
        (r#"{"maxSize": 0.0}"#, "max_size: 0 bytes is no size to work with"),
        (r#"{"maxSize": -1}"#, "max_size: -1 is not a whole number of bytes from 1 to 9007199254740992"),
        (r#"{"maxSize": 0.3}"#, "max_size: 0.3 is not a whole number of bytes from 1 to 9007199254740992"),
        (
            r#"{"maxSize": 1e30}"#,
            "max_size: 1000000000000000000000000000000 is not a whole number of bytes from 1 to 9007199254740992",
        ),
        (r#"{"maxSize": 17592186044417}"#, "max_size: 17592186044417 bytes is more than the 16 TiB a store can manage"),
        (r#"{"maxSize": true}"#, r#"max_size: neither a number of bytes nor a text such as "4M""#),
        (r#"{"maxSize": ["4M"]}"#, r#"max_size: neither a number of bytes nor a text such as "4M""#),
        (r#"{"maxSize": {"M": 4}}"#, r#"max_size: neither a number of bytes nor a text such as "4M""#),
        (r#"{"interval": -1}"#, "interval: -1 is not a whole number of milliseconds from 0 to 9007199254740992"),
        (r#"{"interval": 0.3}"#, "interval: 0.3 is not a whole number of milliseconds from 0 to 9007199254740992"),
        (
            r#"{"interval": 1e30}"#,
            "interval: 1000000000000000000000000000000 is not a whole number of milliseconds from 0 to 9007199254740992",
        ),
        (r#"{"interval": "often"}"#, r#"interval: "often" is not a duration such as "5m" or "1h 30m""#),
        (r#"{"interval": "-5m"}"#, r#"interval: "-5m" is not a duration such as "5m" or "1h 30m""#),
        (r#"{"interval": "60000"}"#, r#"interval: "60000" is not a duration such as "5m" or "1h 30m""#),
        (r#"{"interval": false}"#, r#"interval: neither a number of milliseconds nor a text such as "5m""#),
        (r#"{"shards": 3}"#, "shards: 3 is not a power of two from 1 to 64"),
        (r#"{"shards": 0}"#, "shards: 0 is not a power of two from 1 to 64"),
        (r#"{"shards": 128}"#, "shards: 128 is not a power of two from 1 to 64"),
        (r#"{"shards": "4"}"#, r#"shards: "4" is not a whole number"#),
        (r#"{"shards": 0.5}"#, "shards: 0.5 is not a whole number"),
        (r#"{"shards": []}"#, "shards: not a whole number"),
        (
            r#"{"maxSessionSize": "2M"}"#,
            "max_session_size: 2097152 bytes do not fit into a shard of 262144 (max_size / shards)",
        ),
        (
            r#"{"maxSize": "1M", "shards": 64, "maxSessionSize": "64K"}"#,
            "max_session_size: 65536 bytes do not fit into a shard of 16384 (max_size / shards)",
        ),
        (r#"{"maxSessionSize": "0"}"#, "max_session_size: 0 bytes is no size to work with"),
        (
            r#"{"max-size": "4M"}"#,
            "unknown field `max-size`, expected one of `interval`, `maxSize`, `max_size`, `maxSessionSize`, \
             `max_session_size`, `shards`, `anonymousShare`, `anonymous_share`, `whenFull`, `when_full`, \
             `persist`, `sync`, `onDamage`, `on_damage`, `onWriteError`, `on_write_error`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(configured(text).unwrap_err(), expected, "{text}");
    }
}

// The kinds of wrong spans: an empty text, no unit, an unknown unit, a sign, a month ("M" for "m"),
// other units of no fixed length, an overflow.
#[test]
fn wrong_spans_are_named() {
    let interval = |text: &str| open(LembroOptions::new().interval(text));
    for text in [
        "", " ", "60", "60000", "1.5", "-5m", "+5m", "5x", "5 mm", "5H", "5S", "m5", "h", "NaN", "inf", "1e3s",
        "0x10s", "5m!", "5,5m", "٥m", "PT5M",
    ] {
        refused(interval(text), &format!("interval: {text:?} is not a duration such as \"5m\" or \"1h 30m\""));
    }
    for text in
        ["5M", "1M", "1month", "2months", "1y", "1year", "2 years", "1yr", "1yrs", "1d 5M", "1h 5M 3s", "0.5M", "1y2d"]
    {
        let problem = "has months or years, whose length differs: write days, such as \"30d\" (\"m\" is minutes)";
        refused(interval(text), &format!("interval: {text:?} {problem}"));
    }
    for text in ["99999999999999999999s", "18446744073709551615w", "18446744073709551615h 1h", "0.5ns"] {
        refused(interval(text), &format!("interval: {text:?} is a longer or finer duration than can be counted"));
    }
    let every_unit = "1day 2hours 3minutes 4seconds 5millis";
    for text in ["5m", "5min", "90s", "1h 30m", "1h30m", "500ms", "2w", "30 days", "1.5h", "0", "0s", every_unit] {
        interval(text).unwrap();
    }
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -0.5, 0.5, 9_007_199_254_740_992.0, f64::MAX] {
        let error = open(LembroOptions::new().interval(Setting::Number(number))).unwrap_err();
        assert!(error.is_option() && error.to_string().starts_with("interval: "), "{error}");
    }
}

#[test]
fn size_below_an_empty_session_is_refused() {
    let store = LembroStore::with_options(LembroOptions::new().interval(0)).unwrap();
    store.set(&SessionId::random().unwrap(), Record::new(), Duration::from_secs(60)).unwrap();
    let (empty, one_less) = (store.bytes(), store.bytes() as u64 - 1);
    let problem = format!("{one_less} bytes is less than an empty session takes ({empty})");
    refused(sized(one_less), &format!("max_size: {problem}"));
    refused(open(LembroOptions::new().max_session_size(one_less)), &format!("max_session_size: {problem}"));
    sized(empty as u64).unwrap();
}

#[test]
fn code_and_file_get_the_same_errors() {
    refused(open(LembroOptions::new().shards(3)), "shards: 3 is not a power of two from 1 to 64");
    refused(
        open(LembroOptions::new().max_session_size("2M")),
        "max_session_size: 2097152 bytes do not fit into a shard of 262144 (max_size / shards)",
    );
    refused(
        open(LembroOptions::new().interval("often")),
        "interval: \"often\" is not a duration such as \"5m\" or \"1h 30m\"",
    );
    refused(sized(Duration::from_secs(5)), "max_size: 5s is not a size");
    refused(sized(0), "max_size: 0 bytes is no size to work with");
    refused(sized(u64::MAX), "max_size: 18446744073709551615 bytes is more than the 16 TiB a store can manage");
    refused(
        sized(Setting::Number(f64::NAN)),
        "max_size: NaN is not a whole number of bytes from 1 to 9007199254740992",
    );
}

#[test]
fn shards_are_any_power_of_two() {
    for shards in [1, 2, 4, 8, 16, 32, 64] {
        let store = LembroStore::with_options(LembroOptions::new().interval(0).max_size("16M").shards(shards)).unwrap();
        for _ in 0..100 {
            store.set(&SessionId::random().unwrap(), Record::new(), Duration::from_secs(60)).unwrap();
        }
        assert_eq!(store.len().unwrap(), 100);
        #[cfg(feature = "testing")]
        store.validate().unwrap();
    }
}

#[test]
fn max_session_size_is_exact() {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).max_session_size(1_000_u64)).unwrap();
    let record = |length: usize| -> Record { [("k", "x".repeat(length))].into_iter().collect() };
    let id = SessionId::random().unwrap();
    store.set(&id, record(1), Duration::from_secs(60)).unwrap();
    let fits = 1 + 1_000 - store.bytes();
    // From 256 bytes on, each of the three lengths takes one more byte.
    let fits = fits - 3;
    store.set(&id, record(fits), Duration::from_secs(60)).unwrap();
    assert_eq!(store.bytes(), 1_000);
    let error = store.set(&id, record(fits + 1), Duration::from_secs(60)).unwrap_err();
    assert_eq!(error.to_string(), format!("session {}: 1001 bytes, max_session_size is 1000", id.handle()));
    assert_eq!(store.bytes(), 1_000, "what is stored stays");
    assert_eq!(store.stats().refused, 1);
}
