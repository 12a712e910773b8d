//! Values: what `insert` accepts, `get` returns, and a value that JSON would lose is refused.
//!
//! Refused, because the JSON would be read as another value or not at all:
//! - floats: infinite, not a number; bare, in a list, a map, an option, an enum, as a key
//! - `Some` of null: `Some(None)`, `Some(())`, of a unit struct, `Value::Null`, a raw `null`
//! - more than 127 levels: lists, enums, a `Value`, a raw value, a type without end
//! - equal keys: a flattened field, a list of pairs as a map, 1 beside "1", a raw value, two
//!   spellings of one key
//! - keys that `serde_json` reserves: in a map, a `Value`, a raw value, spelled with escapes
//! - text that is not JSON: a false raw value, spaces around one, an error that `Serialize` dropped
//! - keys of maps that are no text: lists, units, `None`, bytes
//!
//! Accepted and returned:
//! - null as the whole value, read as `None`: `None`, `()`, unit structs, `Value::Null`
//! - floats: -0.0, the smallest, the largest, as keys; f32 too
//! - integers of 128 bits, bare, in lists and as keys
//! - keys: integers, bools, chars, unit variants, newtypes, options, floats
//! - texts: NUL, quotes, beyond 16 bits, empty
//! - bytes, empty lists, tuples and structs; enums of every kind, in options too
//! - raw values: numbers of any length, spaces inside
//! - 127 levels
//!
//! Not noticed: a type that does not read its own output. serde's derive makes such types where
//! reading goes through a buffer (`untagged`, `tag`, `flatten`).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use lembro::{Changes, Record};
use proptest::prelude::*;
use serde::de::value::Error as OtherError;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::values::{Bits, Bytes, Flat, Letter, Marker, Newtype, any_json, any_tree, any_value};

/// A record with the value under "key", or the text of the refusal.
fn inserted<T: Serialize + ?Sized>(value: &T) -> Result<Record, String> {
    let mut changes = Changes::new();
    match changes.insert("", "key", value) {
        Ok(()) => Ok(changes.apply(&Record::new()).unwrap()),
        Err(error) => {
            assert!(error.is_value(), "{error}");
            assert!(changes.is_empty(), "nothing of it stays");
            Err(error.to_string())
        }
    }
}

#[track_caller]
fn assert_refused<T: Serialize + ?Sized>(value: &T, why: &str) {
    let refusal = inserted(value).expect_err("accepted");
    assert!(refusal.starts_with("key \"key\": ") && refusal.contains(why), "{refusal}");
}

#[track_caller]
fn assert_given_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    let record = inserted(&value).unwrap();
    assert_eq!(record.get::<T>("key").unwrap(), Some(value));
    // The same holds where null would be another value, and deep inside.
    assert_eq!(Record::from_bytes(record.as_bytes()).unwrap(), record);
    assert_eq!(serde_json::from_str::<Record>(&serde_json::to_string(&record).unwrap()).unwrap(), record);
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

const NOT_FINITE: &str = "a float in the value is infinite or not a number";
const SOME_NULL: &str = "`Some` in the value holds what is written as null";
const TOO_DEEP: &str = "the value is nested more than 127 levels deep";
const EQUAL_KEYS: &str = "an object in the value has two equal keys";
const RESERVED: &str = "an object in the value has a key that begins with \"$serde_json::private::\"";
const NOT_JSON: &str = "what the value's `Serialize` wrote is not JSON";
const NOT_WRITTEN: &str = "the value cannot be written as JSON";

#[test]
fn refusals_name_the_key_and_the_remedy() {
    let secrets = BTreeMap::from([("hunter2", f64::NAN)]);
    let refusal = inserted(&secrets).unwrap_err();
    assert_eq!(
        refusal,
        "key \"key\": a float in the value is infinite or not a number, for which JSON has no form; \
         insert an `Option` that is `None` in its place"
    );
}

#[test]
fn floats_that_are_not_finite_are_refused() {
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_refused(&float, NOT_FINITE);
        assert_refused(&[1.0, float], NOT_FINITE);
        assert_refused(&Some(float), NOT_FINITE);
        assert_refused(&("a", (float,)), NOT_FINITE);
        assert_refused(&HashMap::from([("a", float)]), NOT_FINITE);
        assert_refused(&Ok::<_, ()>(float), NOT_FINITE);
        assert_refused(&Newtype(float), NOT_FINITE);
        assert_refused(&std::ops::Bound::Included(float), NOT_FINITE);
    }
    for float in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_refused(&float, NOT_FINITE);
        assert_refused(&[Some(float)], NOT_FINITE);
    }
    assert_refused(&Pairs(&[(f64::NAN, 1)]), NOT_WRITTEN);
}

#[test]
fn some_of_null_is_refused() {
    assert_refused(&Some(None::<u8>), SOME_NULL);
    assert_refused(&Some(Some(None::<u8>)), SOME_NULL);
    assert_refused(&Some(()), SOME_NULL);
    assert_refused(&Some(Marker), SOME_NULL);
    assert_refused(&Some(Newtype(None::<u8>)), SOME_NULL);
    assert_refused(&Some(Value::Null), SOME_NULL);
    assert_refused(&Some(raw("null")), SOME_NULL);
    assert_refused(&[None, Some(None::<u8>)], SOME_NULL);
    assert_refused(&BTreeMap::from([("a", Some(Value::Null))]), SOME_NULL);
    assert_refused(&Ok::<_, ()>(Some(())), SOME_NULL);
    // In a list, null is itself.
    assert_given_back(vec![None, Some(1)]);
    assert_given_back(Some(vec![(), ()]));
    assert_given_back((Marker, Newtype(None::<u8>), Some(Ok::<(), u8>(()))));
    assert_given_back(Some(json!([null])));
}

#[test]
fn null_is_none_for_every_type() {
    let records =
        [inserted(&None::<u8>), inserted(&()), inserted(&Marker), inserted(&Value::Null), inserted(&raw("null"))];
    for record in records.map(Result::unwrap) {
        assert_eq!(record.len(), 1);
        assert_eq!(record.get::<String>("key").unwrap(), None);
        assert_eq!(record.get::<Option<u8>>("key").unwrap(), None);
        assert_eq!(record.get::<Option<Option<u8>>>("key").unwrap(), None);
        assert_eq!(record.get::<()>("key").unwrap(), None);
        assert_eq!(record.get::<Value>("key").unwrap(), None);
        assert!(record.get::<Box<RawValue>>("key").unwrap().is_none());
        assert_eq!((record.get_str("key").unwrap(), record.get_str_in("", "key").unwrap()), (None, None));
    }
    assert_eq!(inserted(&Some("ada")).unwrap().get::<Option<String>>("key").unwrap(), Some(Some("ada".to_owned())));
}

/// Writes lists in lists without end.
struct Endless;

impl Serialize for Endless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq([Self])
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Nest {
    Leaf,
    Tuple(u8, Box<Self>),
    Struct { inner: Box<Self> },
}

#[test]
fn deeper_values_than_serde_json_reads_are_refused() {
    let tree = |levels| serde_json::from_str::<Value>(&nested(levels)).unwrap();
    assert_given_back(tree(127));
    assert_refused(&[tree(127)], TOO_DEEP);
    assert_refused(&Endless, TOO_DEEP);
    let nest = |levels, wrap: fn(Nest) -> Nest| (0..levels).fold(Nest::Leaf, |nest, _| wrap(nest));
    for wrap in [|nest| Nest::Tuple(1, Box::new(nest)), |nest| Nest::Struct { inner: Box::new(nest) }] {
        assert_given_back(nest(63, wrap));
        assert_refused(&nest(64, wrap), TOO_DEEP);
    }
    assert_eq!(inserted(&raw(&nested(127))).unwrap().get::<Value>("key").unwrap(), Some(tree(127)));
    assert_refused(&raw(&nested(128)), TOO_DEEP);
    assert_refused(&[raw(&nested(127))], TOO_DEEP);
    assert_refused(&raw(&nested(100_000)), TOO_DEEP);
}

/// Pairs as a map, with any keys.
struct Pairs<'a, K, V>(&'a [(K, V)]);

impl<K: Serialize, V: Serialize> Serialize for Pairs<'_, K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum AnyKey {
    Number(u8),
    Text(&'static str),
}

#[derive(Serialize)]
#[serde(tag = "kind")]
enum Tagged {
    Shown(Kind),
}

#[derive(Serialize)]
struct Kind {
    kind: u8,
}

#[test]
fn equal_keys_in_an_object_are_refused() {
    assert_refused(&Pairs(&[("a", 1), ("b", 2), ("a", 3)]), EQUAL_KEYS);
    assert_refused(&[Pairs(&[("\"", 1), ("\"", 3)])], EQUAL_KEYS);
    assert_refused(&Pairs(&[(AnyKey::Number(1), 1), (AnyKey::Text("1"), 1)]), EQUAL_KEYS);
    let extra = BTreeMap::from([("own".to_owned(), 2)]);
    assert_refused(&Flat { own: 1, extra: extra.clone() }, EQUAL_KEYS);
    assert_refused(&Tagged::Shown(Kind { kind: 1 }), EQUAL_KEYS);
    for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":1}"#, r#"[{"b":{"a":1 , "a" : 1}}]"#, r#"{"":1,"":{}}"#] {
        assert_refused(&raw(text), EQUAL_KEYS);
    }
    // The same key in two objects, or as a text.
    assert_given_back(json!({"a": {"a": ["a", {"a": "a"}]}, "b": {"a": "a"}, "c": [{"a": 1}, {"a": 1}]}));
    assert_given_back(json!({"a": "\"a\":", "\"a": "\\", "a\\": "a\\\"", "\\": ["\\\\", "a", "{", "}"]}));
    assert_given_back(Flat { own: 1, extra: BTreeMap::from([("other".to_owned(), 2)]) });
}

#[test]
fn serde_jsons_own_keys_are_refused() {
    for name in ["RawValue", "Number", "Other"].map(|name| format!("$serde_json::private::{name}")) {
        assert_refused(&BTreeMap::from([(&name, "[1]")]), RESERVED);
        assert_refused(&json!([{ "a": { &name: "1" } }]), RESERVED);
        assert_refused(&Some(raw(&format!("{{\"a\":1,\"\\u0024{}\":1}}", &name[1..]))), RESERVED);
        // As a text value it is accepted.
        assert_given_back(name);
    }
    assert_given_back(json!({"$serde_json": 1, "$": 2}));
}

/// A type that serializes as a raw value does.
struct FalseRaw(&'static [&'static str]);

impl Serialize for FalseRaw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut raw = serializer.serialize_struct("$serde_json::private::RawValue", self.0.len())?;
        for text in self.0 {
            raw.serialize_field("$serde_json::private::RawValue", &format_args!("{text}"))?;
        }
        raw.end()
    }
}

/// A type that continues after an error.
struct Careless;

impl Serialize for Careless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let _ = list.serialize_element(&BTreeMap::from([((), ())]));
        list.end()
    }
}

/// A type that continues after an error of the crate's own.
struct CarelessFloat;

impl Serialize for CarelessFloat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let _ = list.serialize_element(&f32::NAN);
        list.end()
    }
}

#[test]
fn text_that_is_not_json_is_refused() {
    for texts in [&["nonsense"][..], &["1 2"], &[" 1"], &["1 "], &[""], &[], &["[1"], &["\"a"], &["\"a\" \"b\""]] {
        assert_refused(&FalseRaw(texts), NOT_JSON);
    }
    for texts in [&["nonsense"][..], &["1 2"], &[""], &[], &["[1"], &["\"a"]] {
        assert_refused(&BTreeMap::from([("a", FalseRaw(texts))]), NOT_JSON);
    }
    assert_refused(&Some(FalseRaw(&["null"])), SOME_NULL);
    assert!(inserted(&FalseRaw(&["[1]"])).is_ok());
    assert_refused(&Careless, NOT_JSON);
    assert_refused(&CarelessFloat, NOT_FINITE);
}

#[test]
fn map_keys_that_are_no_text_are_refused() {
    assert_refused(&BTreeMap::from([((1, 2), 1)]), NOT_WRITTEN);
    assert_refused(&BTreeMap::from([((), 1)]), NOT_WRITTEN);
    assert_refused(&BTreeMap::from([(None::<u8>, 1)]), NOT_WRITTEN);
    assert_refused(&Pairs(&[(Bytes(vec![1]), 1)]), NOT_WRITTEN);
    assert_refused(&Pairs(&[(raw("1"), 1)]), NOT_WRITTEN);
}

#[test]
fn floats_are_exact() {
    for float in [0.0, -0.0, 0.1, 1e16, 1e-7, 5e-324, f64::MIN_POSITIVE, f64::MAX, f64::MIN, 9_007_199_254_740_993.0] {
        assert_given_back(Bits(float));
        assert_given_back(BTreeMap::from([(Bits(float).to_string(), Bits(float))]));
        assert_given_back(json!([float]));
        let keyed = inserted(&Pairs(&[(float, 1)])).unwrap();
        assert_eq!(keyed.get::<BTreeMap<Bits<f64>, u8>>("key").unwrap().unwrap().into_keys().next(), Some(Bits(float)));
    }
    for float in [0.0, -0.0, 0.1, 7.038_531e-26, 1e-45, f32::MIN_POSITIVE, f32::MAX, f32::MIN, 16_777_217.0] {
        assert_given_back(Bits(float));
        assert_given_back(vec![Some(Bits(float))]);
    }
}

#[test]
fn integers_of_128_bits_are_exact() {
    for number in [0, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX] {
        assert_given_back(number);
        assert_given_back(vec![Some(number)]);
        assert_given_back(BTreeMap::from([(number, Newtype(number))]));
    }
    for number in [i128::MIN, i128::from(i64::MIN) - 1, i128::MAX] {
        assert_given_back(number);
        assert_given_back(BTreeMap::from([(number, Newtype(number))]));
    }
    assert_given_back((u64::MAX, i64::MIN));
    assert_given_back(json!([u64::MAX, i64::MIN]));
}

#[test]
fn map_keys_are_exact() {
    assert_given_back(BTreeMap::from([(-1, 1), (1, 2)]));
    assert_given_back(BTreeMap::from([(true, 1), (false, 2)]));
    assert_given_back(BTreeMap::from([('"', 1), ('\0', 2), ('\u{1F375}', 3)]));
    assert_given_back(BTreeMap::from([(Letter::A, 1), (Letter::B, 2)]));
    assert_given_back(BTreeMap::from([(Newtype(7_u8), 1)]));
    assert_given_back(BTreeMap::from([(Some(7_u8), 1)]));
    assert_given_back(BTreeMap::from([(String::new(), 1), ("a\"\\\n".to_owned(), 2)]));
    assert_given_back(BTreeMap::from([(std::net::Ipv4Addr::LOCALHOST, 1)]));
}

#[test]
fn texts_bytes_and_empty_values_are_exact() {
    for text in ["", "ada", "Ada \"Countess\"", "\0", "\u{1F375}\\\u{7f}\u{2028}", "null", "[", "{\"a\":1}"] {
        assert_given_back(text.to_owned());
        assert_eq!(inserted(text).unwrap().get_str("key").unwrap().as_deref(), Some(text));
    }
    assert_given_back('\0');
    assert_given_back(Bytes((0..=255).collect()));
    assert_given_back((Vec::<u8>::new(), BTreeMap::<String, u8>::new(), [0_u8; 0], Bytes(Vec::new()), String::new()));
    assert_given_back(std::time::Duration::MAX);
    assert_given_back(std::time::SystemTime::UNIX_EPOCH);
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Every {
    Unit,
    Null(()),
    Newtype(Option<u8>),
    Tuple(u8, Option<String>),
    NoTuple(),
    Struct { a: Option<u8> },
    NoStruct {},
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "kind")]
enum Inside {
    Unit,
    Struct { a: Option<u8> },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "kind", content = "of")]
enum Beside {
    Unit,
    Newtype(Option<u8>),
    Wide(u128),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Untagged {
    Unit,
    Number(u64),
    Pair(i8, Option<char>),
}

#[test]
fn enums_are_exact() {
    let every = || {
        [
            Every::Unit,
            Every::Null(()),
            Every::Newtype(None),
            Every::Newtype(Some(1)),
            Every::Tuple(1, None),
            Every::NoTuple(),
            Every::Struct { a: None },
            Every::NoStruct {},
        ]
    };
    assert_given_back(every());
    every().into_iter().for_each(|one| assert_given_back(Some(one)));
    every().into_iter().for_each(assert_given_back);
    assert_given_back(vec![Inside::Unit, Inside::Struct { a: None }]);
    assert_given_back(vec![Beside::Unit, Beside::Newtype(None), Beside::Newtype(Some(1)), Beside::Wide(u128::MAX)]);
    assert_given_back(vec![Untagged::Unit, Untagged::Number(u64::MAX), Untagged::Pair(-1, None)]);
    assert_refused(&Some(Untagged::Unit), SOME_NULL);
}

#[test]
fn raw_values_are_exact() {
    let long = "1".repeat(400);
    let texts = ["1e400", "-0", "1.50", "1E+5", &long, r#"{"b" : 1, "a":[ ]}"#, r#""\u0061\ud800""#, "[1,\n2]"];
    for text in texts {
        let record = inserted(&raw(text)).unwrap();
        assert_eq!(record.get::<Box<RawValue>>("key").unwrap().unwrap().get(), text);
        let record = inserted(&(raw(text), Some(raw(text)))).unwrap();
        assert_eq!(record.get::<(Box<RawValue>, Value)>("key").is_ok(), serde_json::from_str::<Value>(text).is_ok());
        assert_eq!(record.get::<[Box<RawValue>; 2]>("key").unwrap().unwrap().map(|raw| raw.to_string()), [text; 2]);
    }
    assert_eq!(inserted(&raw(" [1] ")).unwrap().get::<Box<RawValue>>("key").unwrap().unwrap().get(), "[1]");
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Buffered {
    Wide(u128),
    Single(f32),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Numbered {
    #[serde(flatten)]
    by_number: BTreeMap<u8, u8>,
}

// The limitation that the documentation of `insert` describes.
#[test]
fn asymmetric_types_are_not_refused() {
    assert!(
        inserted(&Buffered::Wide(u128::MAX)).unwrap().get::<Buffered>("key").unwrap()
            != Some(Buffered::Wide(u128::MAX))
    );
    let single = Buffered::Single(7.038_531e-26);
    assert!(inserted(&single).unwrap().get::<Buffered>("key").unwrap() != Some(single));
    let numbered = Numbered { by_number: BTreeMap::from([(1, 2)]) };
    assert!(inserted(&numbered).unwrap().get::<Numbered>("key").unwrap_err().is_value());
}

/// A record as JSON with one value in it.
fn record_text(value: &str) -> String {
    format!("{{\"entries\":{{\"\":{{\"key\":{value}}}}}}}")
}

fn text_in(record: &Record) -> &str {
    record.entries().next().unwrap().2.get()
}

#[test]
fn records_as_json_keep_integers_and_keys() {
    let record = inserted(&(u128::MAX, i128::MIN)).unwrap();
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(text, record_text(&format!("[{},{}]", u128::MAX, i128::MIN)));
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    assert_eq!(serde_json::from_reader::<_, Record>(text.as_bytes()).unwrap(), record);
    let magic = r#"{"$serde_json::private::RawValue":"[1]","$serde_json::private::Number":"1"}"#;
    for value in [magic, "1e400", "-0", "1.50", r#"{"b":1,"a":2,"b":3}"#, r#""\ud800""#, &nested(10_000)] {
        let record: Record = serde_json::from_str(&record_text(value)).unwrap();
        assert_eq!((text_in(&record), serde_json::to_string(&record).unwrap()), (value, record_text(value)));
    }
    let record: Record =
        [("key", serde_json::from_str::<Value>(&magic.replace("\"$", "\"$$")).unwrap())].into_iter().collect();
    assert_eq!(serde_json::from_str::<Record>(&serde_json::to_string(&record).unwrap()).unwrap(), record);
}

#[test]
fn other_formats_are_exact_or_fail() {
    let record: Record =
        serde_json::from_str(&record_text(r#"[1,-1,0.5,-0.0,true,null,"a",{"b":{},"a":[]}]"#)).unwrap();
    let value = serde_json::to_value(&record).unwrap();
    assert_eq!(value, json!({"entries": {"": {"key": [1, -1, 0.5, -0.0, true, null, "a", {"b": {}, "a": []}]}}}));
    let again: Record = serde_json::from_value(value).unwrap();
    assert_eq!(again.get::<Value>("key").unwrap(), record.get::<Value>("key").unwrap());
    // `Value` has no such numbers, no two equal keys, and no such depth.
    let long = "9".repeat(60);
    for value in [&u128::MAX.to_string(), &i128::MIN.to_string(), &long, "1e400", r#"{"a":1,"a":1}"#, &nested(128)] {
        let record: Record = serde_json::from_str(&record_text(value)).unwrap();
        assert!(serde_json::to_value(&record).is_err(), "{value}");
    }
    // A format that does not use serde_json.
    let shape = BTreeMap::from([("entries", BTreeMap::from([("cart", BTreeMap::from([("sum", 12_u64)]))]))]);
    let record = Record::deserialize(IntoDeserializer::<OtherError>::into_deserializer(shape)).unwrap();
    assert_eq!(record.get_in::<u64>("cart", "sum").unwrap(), Some(12));
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Dump {
    id: u32,
    #[serde(flatten)]
    record: Record,
}

#[test]
fn flattened_records_are_read() {
    let record: Record = [("user", json!("ada")), ("cart", json!([1, {"a": null}]))].into_iter().collect();
    let dump = Dump { id: 7, record };
    assert_eq!(serde_json::from_str::<Dump>(&serde_json::to_string(&dump).unwrap()).unwrap(), dump);
    assert_eq!(serde_json::from_value::<Dump>(serde_json::to_value(&dump).unwrap()).unwrap(), dump);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4 * ProptestConfig::default().cases))]

    #[test]
    fn model_values_are_exact_or_refused(tree in any_tree()) {
        match inserted(&tree) {
            Ok(record) => {
                prop_assert!(!tree.is_lost(), "accepted");
                prop_assert_eq!(record.get("key").unwrap(), Some(tree));
            }
            Err(refusal) => prop_assert!(tree.is_lost(), "{}", refusal),
        }
    }

    #[test]
    fn model_optional_values_are_exact_or_refused(tree in prop::option::of(any_tree())) {
        if let Ok(record) = inserted(&tree) {
            prop_assert_eq!(record.get::<crate::support::values::Tree>("key").unwrap(), tree);
        }
    }

    #[test]
    fn model_json_values_are_exact_or_refused(value in any_value()) {
        if let Ok(record) = inserted(&value) {
            prop_assert_eq!(record.get::<Value>("key").unwrap(), Some(value).filter(|value| !value.is_null()));
        }
    }

    #[test]
    fn model_records_as_json_are_exact(value in any_json()) {
        let record: Record = serde_json::from_str(&record_text(&value)).unwrap();
        prop_assert_eq!(text_in(&record), value.trim_ascii());
        let text = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(&text, &record_text(value.trim_ascii()));
        prop_assert_eq!(&serde_json::from_str::<Record>(&text).unwrap(), &record);
        prop_assert_eq!(&serde_json::from_slice::<Record>(&serde_json::to_vec_pretty(&record).unwrap()).unwrap(), &record);
        prop_assert_eq!(&Record::from_bytes(record.as_bytes()).unwrap(), &record);
        if let Ok(tree) = serde_json::to_value(&record) {
            prop_assert_eq!(&tree["entries"][""]["key"], &serde_json::from_str::<Value>(&value).unwrap());
        }
    }

    #[test]
    fn model_collected_values_are_exact(value in any_value()) {
        let record: Record = [("key", value.clone())].into_iter().collect();
        prop_assert_eq!(text_in(&record), value.to_string());
        prop_assert_eq!(serde_json::from_str::<Record>(&serde_json::to_string(&record).unwrap()).unwrap(), record);
    }
}
