//! One value of a record: in JSON its text, in other formats what they have for it.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::record::exact::{self, RAW_VALUE};

/// A value as JSON text.
///
/// `serde_json` writes and reads the text as it is, so numbers of any length stay and no key of an
/// object is taken for one of its own. Other formats get the value in serde's model, or an error
/// for a number that they do not have. Formats are told apart by their type of error.
pub(super) struct Json<'a>(pub(super) Cow<'a, RawValue>);

/// Returns true if an error is `serde_json`'s. By name, because the type need not be `'static`.
fn is_of_serde_json<E>() -> bool {
    type_name::<E>() == type_name::<serde_json::Error>()
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // What writes text returns nothing; `serde_json::to_value` returns a value.
        if is_of_serde_json::<S::Error>() && type_name::<S::Ok>() == type_name::<()>() {
            return self.0.serialize(serializer);
        }
        exact::check(self.0.get().as_bytes(), false).map_err(S::Error::custom)?;
        Part(&self.0).serialize(serializer)
    }
}

/// A value in serde's model. Its depth was checked.
struct Part<'a>(&'a RawValue);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.get();
        match text.as_bytes().first() {
            Some(b'n') => serializer.serialize_unit(),
            Some(b't') => serializer.serialize_bool(true),
            Some(b'f') => serializer.serialize_bool(false),
            Some(b'"') => serializer.serialize_str(&read::<String, _>(text)?),
            Some(b'[') => serializer.collect_seq(read::<Vec<_>, _>(text)?.into_iter().map(Part)),
            Some(b'{') => {
                let Fields(fields) = read(text)?;
                serializer.collect_map(fields.into_iter().map(|(key, value)| (key, Part(value))))
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
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl<'de> Deserialize<'de> for Json<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = if is_of_serde_json::<D::Error>() {
            deserializer.deserialize_newtype_struct(RAW_VALUE, TextVisitor)
        } else {
            to_text(deserializer)
        };
        Ok(Self(Cow::Owned(text?)))
    }
}

/// Any value of a format that describes itself, as JSON text.
fn to_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<RawValue>, D::Error> {
    to_raw_value(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Receives the text from `serde_json`, and a value from serde's own buffers, which stand between
/// it and a record that is flattened into something else.
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
