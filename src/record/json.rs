//! Serializes and deserializes records with serde: `{"created_at": .., "timeout": .., "owner": ..,
//! "entries": {component: {key: value}}}`.

use std::any::type_name;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::block::StoreState;
use super::entries::RecordEntry;
use super::exact::RAW_VALUE;
use super::frame::Frame;
use super::head::{Head, Ownership};
use super::record::Record;
use super::scan;

/// The fields of a record. Times are milliseconds since 1970; the timeout is milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordFields<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner_since: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_since: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    remembered: bool,
    entries: BTreeMap<Cow<'a, str>, BTreeMap<Cow<'a, str>, JsonValue<'a>>>,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (component, key, value) in self.entries() {
            entries.entry(component.into()).or_default().insert(key.into(), JsonValue(Cow::Borrowed(value)));
        }
        let head = self.head();
        let fields = RecordFields {
            created_at: Some(head.created_ms).filter(|millis| *millis > 0),
            timeout: head.timeout_ms,
            owner: head.owner.map(|owner| owner.name.to_owned()),
            owner_since: head.owner.map(|owner| owner.since_ms),
            id_since: head.id_since_ms,
            label: head.label.map(str::to_owned),
            remembered: head.remembered,
            entries,
        };
        fields.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = RecordFields::deserialize(deserializer)?;
        let since_ms = fields.owner_since.or(fields.created_at).unwrap_or(0);
        let head = Head {
            created_ms: fields.created_at.unwrap_or(0),
            timeout_ms: fields.timeout,
            owner: fields.owner.as_deref().map(|name| Ownership { name, since_ms }),
            id_since_ms: fields.id_since,
            label: fields.label.as_deref(),
            remembered: fields.remembered,
            csrf: None,
        };
        let entries = fields.entries.iter().flat_map(|(component, keys)| {
            keys.iter().map(move |(key, value)| RecordEntry { component, key, value: value.0.get().as_bytes() })
        });
        Self::from_parts(&head, StoreState::default(), &Frame::default(), entries.collect()).map_err(D::Error::custom)
    }
}

/// A value as JSON text.
///
/// With `serde_json` the text is written and read unchanged. So numbers keep all their digits, and
/// an object's key that equals one of `serde_json`'s private names is only a key. For other
/// formats, the value is written in serde's data model. Then an error is returned if the format has
/// no type for one of the numbers. `serde_json` is recognized by its error type.
struct JsonValue<'a>(Cow<'a, RawValue>);

/// Returns true if `E` is `serde_json`'s error type. The function compares type names, because
/// `TypeId` would need `E: 'static`.
fn is_of_serde_json<E>() -> bool {
    type_name::<E>() == type_name::<serde_json::Error>()
}

impl Serialize for JsonValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The serializers of `serde_json` return `()` for text, and a `Value` in `to_value`.
        if is_of_serde_json::<S::Error>() && type_name::<S::Ok>() == type_name::<()>() {
            return self.0.serialize(serializer);
        }
        scan::check(self.0.get().as_bytes(), false).map_err(S::Error::custom)?;
        ModelValue(&self.0).serialize(serializer)
    }
}

/// Serializes a value in serde's data model. The caller has run `scan::check` on its text.
struct ModelValue<'a>(&'a RawValue);

impl Serialize for ModelValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.get();
        match text.as_bytes().first() {
            Some(b'n') => serializer.serialize_unit(),
            Some(b't') => serializer.serialize_bool(true),
            Some(b'f') => serializer.serialize_bool(false),
            Some(b'"') => serializer.serialize_str(&read::<String, _>(text)?),
            Some(b'[') => serializer.collect_seq(read::<Vec<_>, _>(text)?.into_iter().map(ModelValue)),
            Some(b'{') => {
                let ObjectFields(fields) = read(text)?;
                serializer.collect_map(fields.into_iter().map(|(key, value)| (key, ModelValue(value))))
            }
            _ => write_number(text, serializer),
        }
    }
}

fn read<'de, T: Deserialize<'de>, E: serde::ser::Error>(text: &'de str) -> Result<T, E> {
    serde_json::from_str(text).map_err(E::custom)
}

fn write_number<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if text.contains(['.', 'e', 'E']) || text == "-0" {
        return serializer.serialize_f64(read(text)?);
    }
    if let Ok(number) = text.parse() {
        return serializer.serialize_u64(number);
    }
    if let Ok(number) = text.parse() {
        return serializer.serialize_i64(number);
    }
    match text.parse() {
        Ok(number) => serializer.serialize_u128(number),
        Err(_) => serializer.serialize_i128(read(text)?),
    }
}

/// The keys and values of an object, in their order.
struct ObjectFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for ObjectFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = ObjectFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(ObjectFields(fields))
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

impl<'de> Deserialize<'de> for JsonValue<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = if is_of_serde_json::<D::Error>() {
            deserializer.deserialize_newtype_struct(RAW_VALUE, TextVisitor)
        } else {
            to_text(deserializer)
        };
        Ok(Self(Cow::Owned(text?)))
    }
}

/// Reads a value of any self-describing format, and returns the value as JSON text.
fn to_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<RawValue>, D::Error> {
    to_raw_value(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Receives a value as text from `serde_json`, or as a newtype from serde's buffer. Serde buffers a
/// record that is flattened into another type.
struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Box<RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        match map.next_entry::<String, String>()? {
            Some((name, text)) if name == RAW_VALUE => RawValue::from_string(text).map_err(A::Error::custom),
            _ => Err(A::Error::custom("this deserializer of serde_json's hands out no raw values")),
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        to_text(deserializer)
    }
}
