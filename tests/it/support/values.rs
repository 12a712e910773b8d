//! Random values of every kind in serde, and random JSON texts.

use std::collections::BTreeMap;
use std::fmt::Display;

use proptest::prelude::*;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// A float, equal only to the same bits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Bits<T>(pub(crate) T);

impl<T: Display> Display for Bits<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

// This includes the sign of zero.
impl<T: Into<f64> + Copy> PartialEq for Bits<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.into().to_bits() == other.0.into().to_bits()
    }
}

impl<T: Into<f64> + Copy> Eq for Bits<T> {}

impl<T: Into<f64> + Copy> PartialOrd for Bits<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Into<f64> + Copy> Ord for Bits<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.into().total_cmp(&other.0.into())
    }
}

/// Bytes in serde's data model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;

        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }

        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Marker;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Newtype<T>(pub(crate) T);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Letter {
    A,
    B,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flat {
    pub(crate) own: u8,
    #[serde(flatten)]
    pub(crate) extra: BTreeMap<String, u8>,
}

/// Any value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tree {
    Unit,
    Null(()),
    Marker(Marker),
    Double(Bits<f64>),
    Single(Bits<f32>),
    Wide(u128, i128),
    Text(String),
    Char(char),
    Bytes(Bytes),
    Flat(Flat),
    MaybeUnit(Option<()>),
    MaybeMarker(Option<Newtype<Marker>>),
    MaybeMaybe(Option<Option<i8>>),
    MaybeValue(Option<Value>),
    Value(Value),
    Maybe { inner: Option<Box<Self>> },
    List(Vec<Self>),
    Pair(Box<(Self, Newtype<Self>)>),
    ByText(BTreeMap<String, Self>),
    ByInteger(BTreeMap<i64, Self>),
    ByWide(BTreeMap<u128, Self>),
    ByChar(BTreeMap<char, Self>),
    ByBool(BTreeMap<bool, Self>),
    ByLetter(BTreeMap<Newtype<Letter>, Self>),
}

impl Tree {
    /// Returns true if JSON would lose a part of it.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Double(float) => !float.0.is_finite(),
            Self::Single(float) => !float.0.is_finite(),
            Self::Flat(flat) => flat.extra.keys().any(|key| key == "own" || is_reserved(key)),
            Self::MaybeUnit(maybe) => maybe.is_some(),
            Self::MaybeMarker(maybe) => maybe.is_some(),
            Self::MaybeMaybe(maybe) => *maybe == Some(None),
            Self::MaybeValue(maybe) => maybe.as_ref().is_some_and(|value| value.is_null() || has_reserved(value)),
            Self::Value(value) => has_reserved(value),
            Self::Maybe { inner } => inner.as_ref().is_some_and(|tree| tree.is_lost()),
            Self::List(list) => list.iter().any(Self::is_lost),
            Self::Pair(pair) => pair.0.is_lost() || pair.1.0.is_lost(),
            Self::ByText(map) => map.iter().any(|(key, tree)| is_reserved(key) || tree.is_lost()),
            Self::ByInteger(map) => map.values().any(Self::is_lost),
            Self::ByWide(map) => map.values().any(Self::is_lost),
            Self::ByChar(map) => map.values().any(Self::is_lost),
            Self::ByBool(map) => map.values().any(Self::is_lost),
            Self::ByLetter(map) => map.values().any(Self::is_lost),
            _ => false,
        }
    }
}

fn is_reserved(key: &str) -> bool {
    key.starts_with("$serde_json::private::")
}

fn has_reserved(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(has_reserved),
        Value::Object(map) => map.iter().any(|(key, value)| is_reserved(key) || has_reserved(value)),
        _ => false,
    }
}

fn any_key() -> impl Strategy<Value = String> {
    let names = &["own", "$serde_json::private::RawValue", "$serde_json::private::Number", "$serde_json"];
    prop_oneof![20 => any::<String>(), 20 => "[a-c]{0,2}", 1 => prop::sample::select(&names[..]).prop_map(str::to_owned)]
}

/// Mostly finite floats, because others let the whole tree be refused.
fn any_double() -> impl Strategy<Value = f64> {
    let special = &[0.0, -0.0, 5e-324, f64::MAX, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    prop_oneof![20 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL, 1 => prop::sample::select(&special[..])]
}

fn any_single() -> impl Strategy<Value = f32> {
    let special = &[0.0, -0.0, 1e-45, f32::MAX, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    prop_oneof![20 => prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL, 1 => prop::sample::select(&special[..])]
}

pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any_double().prop_map(Value::from),
        any_key().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any_key(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn any_leaf() -> impl Strategy<Value = Tree> {
    let maybe = |rare: u32| prop::option::weighted(f64::from(rare) / 100.0, any::<()>());
    prop_oneof![
        Just(Tree::Unit),
        Just(Tree::Null(())),
        Just(Tree::Marker(Marker)),
        any_double().prop_map(|float| Tree::Double(Bits(float))),
        any_single().prop_map(|float| Tree::Single(Bits(float))),
        any::<(u128, i128)>().prop_map(|(one, other)| Tree::Wide(one, other)),
        any::<String>().prop_map(Tree::Text),
        any::<char>().prop_map(Tree::Char),
        any::<Vec<u8>>().prop_map(|bytes| Tree::Bytes(Bytes(bytes))),
        (any::<u8>(), prop::collection::btree_map(any_key(), any::<u8>(), 0..3))
            .prop_map(|(own, extra)| Tree::Flat(Flat { own, extra })),
        maybe(5).prop_map(Tree::MaybeUnit),
        maybe(5).prop_map(|maybe| Tree::MaybeMarker(maybe.map(|()| Newtype(Marker)))),
        prop::option::weighted(0.6, prop::option::weighted(0.95, any::<i8>())).prop_map(Tree::MaybeMaybe),
        prop::option::of(any_value()).prop_map(Tree::MaybeValue),
        any_value().prop_map(Tree::Value),
    ]
}

pub(crate) fn any_tree() -> impl Strategy<Value = Tree> {
    any_leaf().prop_recursive(4, 12, 3, |inner| {
        let map = |inner: &BoxedStrategy<Tree>| prop::collection::vec(inner.clone(), 0..3);
        let keyed = (any::<[u128; 3]>(), any::<[char; 3]>(), map(&inner.clone().boxed()), 0..5_u8);
        prop_oneof![
            prop::option::of(inner.clone()).prop_map(|inner| Tree::Maybe { inner: inner.map(Box::new) }),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Tree::List),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| Tree::Pair(Box::new((one, Newtype(other))))),
            prop::collection::btree_map(any_key(), inner, 0..3).prop_map(Tree::ByText),
            keyed.prop_map(|(numbers, chars, trees, kind)| {
                let integers = chars.map(|letter| i64::from(u32::from(letter)) - 50_000);
                match kind {
                    0 => Tree::ByInteger(integers.into_iter().zip(trees).collect()),
                    1 => Tree::ByWide(numbers.into_iter().zip(trees).collect()),
                    2 => Tree::ByChar(chars.into_iter().zip(trees).collect()),
                    3 => Tree::ByBool([true, false].into_iter().zip(trees).collect()),
                    _ => Tree::ByLetter([Letter::A, Letter::B].map(Newtype).into_iter().zip(trees).collect()),
                }
            }),
        ]
    })
}

/// Any JSON text: spaces, numbers of any length, escapes of every kind, keys twice.
pub(crate) fn any_json() -> impl Strategy<Value = String> {
    let space = "[ \t\r\n]{0,2}";
    let text = r#""([a-c$:\[\]{},ü🍵]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,6}""#;
    let reserved = r#""(\$|\\u0024)serde_json::private::(RawValue|Number)""#;
    let leaf = prop_oneof![
        "null|true|false",
        r"-?(0|[1-9][0-9]{0,45})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?",
        any::<u128>().prop_map(|number| number.to_string()),
        text,
    ];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let key = prop_oneof![10 => text, 1 => reserved];
        let field = (key, space, inner.clone()).prop_map(|(key, space, value)| format!("{key}{space}:{value}"));
        let join = |parts: Vec<String>, space: String| parts.join(&format!("{space},{space}"));
        prop_oneof![
            (prop::collection::vec(inner, 0..4), space)
                .prop_map(move |(items, space)| format!("[{space}{}{space}]", join(items, space.clone()))),
            (prop::collection::vec(field, 0..4), space)
                .prop_map(move |(fields, space)| format!("{{{space}{}{space}}}", join(fields, space.clone()))),
        ]
    })
}
