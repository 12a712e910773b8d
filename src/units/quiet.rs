//! Readers of options that may hold a secret: a wrong value is refused without being repeated.
//!
//! serde's own errors quote a number, a flag or a text that stands in the wrong place.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as DeserializeError, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::Error;

/// Reads what has named fields. `option`: how it is called in the error about anything else.
pub(crate) fn map<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    option: &'static str,
    deserializer: D,
) -> Result<T, D::Error> {
    // Asked for a map, serde_json would refuse a number by itself, and quote it.
    deserializer.deserialize_any(Map(option, PhantomData))
}

/// An option that may hold a secret, as it was given.
#[derive(Default)]
pub(crate) enum Given {
    /// Left out, or null.
    #[default]
    Nothing,
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Given>),
    /// What no such option takes.
    Other,
}

impl Given {
    /// The text, if there is one.
    #[cfg(feature = "redis")]
    pub(crate) fn text(self, option: &'static str) -> crate::Result<Option<String>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::List(_) | Self::Other => Err(Error::option(option, "not a text: write it in quotes")),
        }
    }

    /// The list of texts, if there is one.
    pub(crate) fn texts(self, option: &'static str) -> crate::Result<Option<Vec<String>>> {
        let refused = || Error::option(option, "not a list of texts");
        let text = |one: Self| if let Self::Text(text) = one { Ok(text) } else { Err(refused()) };
        match self {
            Self::Nothing => Ok(None),
            Self::List(all) => all.into_iter().map(text).collect::<Result<_, _>>().map(Some),
            Self::Text(_) | Self::Other => Err(refused()),
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

/// Methods of a visitor that make the same of each scalar: all those whose value serde would quote.
macro_rules! scalars {
    ($visitor:ident => $made:expr, $($method:ident($kind:ty)),*) => {
        $(fn $method<E: DeserializeError>(self, _: $kind) -> Result<Self::Value, E> {
            let $visitor = self;
            $made
        })*
    };
}

impl<'de> Visitor<'de> for Anything {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Given, E> {
        Ok(Given::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Given, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(Given::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Given::Other)
    }

    fn visit_none<E>(self) -> Result<Given, E> {
        Ok(Given::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Given, E> {
        Ok(Given::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Given, D::Error> {
        Given::deserialize(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Given, D::Error> {
        Given::deserialize(inner)
    }

    scalars!(_visitor => Ok(Given::Other), visit_bool(bool), visit_i64(i64), visit_i128(i128), visit_u64(u64),
        visit_u128(u128), visit_f64(f64), visit_bytes(&[u8]));
}

struct Map<T>(&'static str, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the options of {:?} with their names", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }

    scalars!(visitor => Err(E::custom(Error::option(visitor.0, "not a table of options with their names"))),
        visit_bool(bool), visit_i64(i64), visit_i128(i128), visit_u64(u64), visit_u128(u128), visit_f64(f64),
        visit_str(&str), visit_bytes(&[u8]));
}
