//! A tree of configuration values, as read from any serde format and before its conversion to
//! options.
//!
//! An error names the path of the wrong value. No error quotes a value, because the value may be a
//! password that was written in the wrong place.

use std::fmt;
#[cfg(any(feature = "web", feature = "redis"))]
use std::marker::PhantomData;

#[cfg(any(feature = "web", feature = "redis"))]
use serde::de::value::MapAccessDeserializer;
use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as DeserializeError, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::error::Error;

/// A value with the type that the format gives it.
#[derive(Default)]
pub(crate) enum Tree {
    /// Left out, or null.
    #[default]
    Nothing,
    Flag(bool),
    Whole(u64),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Vec<Tree>),
    Table(Vec<(String, Tree)>),
    /// A value that no option takes.
    Other,
}

/// The problem with a value. `path` leads to it from the value that was read, and is empty for
/// that value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    path: String,
    text: String,
}

impl Problem {
    pub(crate) fn at(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.escape_debug().to_string(), text: text.into() }
    }

    /// Makes a value's problem the problem of the table that has the value under `key`.
    fn under(self, key: &str, is_table: bool) -> Self {
        match self.path.as_str() {
            "" => Self::at(key, self.text),
            // The errors of options begin with the option's name. The key is that name, or another
            // spelling of it.
            path if !is_table || path == key => self,
            path => Self { path: format!("{}.{path}", key.escape_debug()), ..self },
        }
    }
}

impl From<Problem> for Error {
    fn from(Problem { path, text }: Problem) -> Self {
        Self::option(if path.is_empty() { "config".to_owned() } else { path }, text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.path.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{}", self.path, self.text)
    }
}

impl std::error::Error for Problem {}

impl DeserializeError for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        match message.split_once(": ") {
            Some((option, text)) if is_name(option) => Self::at(option, text),
            _ => Self::at("", message),
        }
    }

    // serde's default text quotes the value.
    fn invalid_type(_v: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::at("", format!("not {expected}"))
    }

    fn invalid_value(value: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(value, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::at(field, format!("there is no such option here, but {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::at(field, "missing")
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::at(field, "given twice")
    }
}

/// Reads a table of options. Errors name the table as `option`.
#[cfg(any(feature = "web", feature = "redis"))]
pub(crate) fn read_table<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    option: &'static str,
    deserializer: D,
) -> Result<T, D::Error> {
    // With `deserialize_map`, serde_json itself would refuse a number and quote it in the error.
    deserializer.deserialize_any(TableReader(option, PhantomData))
}

#[cfg(any(feature = "web", feature = "redis"))]
struct TableReader<T>(&'static str, PhantomData<T>);

/// Methods of a visitor that refuse a value, because serde's default methods quote it.
#[cfg(any(feature = "web", feature = "redis"))]
macro_rules! refuse {
    ($($method:ident($kind:ty)),*) => {
        $(fn $method<E: DeserializeError>(self, _: $kind) -> Result<T, E> {
            Err(E::custom(Error::option(self.0, "not a table of options with their names")))
        })*
    };
}

#[cfg(any(feature = "web", feature = "redis"))]
impl<'de, T: Deserialize<'de>> Visitor<'de> for TableReader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the options of {:?} with their names", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }

    refuse!(
        visit_bool(bool),
        visit_i64(i64),
        visit_i128(i128),
        visit_u64(u64),
        visit_u128(u128),
        visit_f64(f64),
        visit_str(&str),
        visit_bytes(&[u8])
    );
}

#[cfg(any(feature = "web", feature = "redis"))]
impl Tree {
    /// The text; `None` if the value was left out. Any other value is an error.
    #[cfg(feature = "redis")]
    pub(crate) fn text(self, option: &'static str) -> crate::Result<Option<String>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            _ => Err(Error::option(option, "not a text: write it in quotes")),
        }
    }

    /// The list of texts; `None` if the value was left out. Any other value is an error.
    pub(crate) fn texts(self, option: &'static str) -> crate::Result<Option<Vec<String>>> {
        let refused = || Error::option(option, "not a list of texts");
        let text = |one: Self| if let Self::Text(text) = one { Ok(text) } else { Err(refused()) };
        match self {
            Self::Nothing => Ok(None),
            Self::List(all) => all.into_iter().map(text).collect::<Result<_, _>>().map(Some),
            _ => Err(refused()),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// Reads any value.
struct Reader;

/// Methods of a visitor that accept any value of a type.
macro_rules! scalars {
    ($($method:ident($value:ident: $kind:ty) => $made:expr,)*) => {
        $(fn $method<E>(self, $value: $kind) -> Result<Tree, E> {
            Ok($made)
        })*
    };
}

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    scalars! {
        visit_bool(flag: bool) => Tree::Flag(flag),
        visit_u64(number: u64) => Tree::Whole(number),
        visit_i64(number: i64) => Tree::Integer(number),
        visit_f64(number: f64) => Tree::Number(number),
        visit_str(text: &str) => Tree::Text(text.to_owned()),
        visit_i128(_number: i128) => Tree::Other,
        visit_u128(_number: u128) => Tree::Other,
        visit_bytes(_bytes: &[u8]) => Tree::Other,
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Tree, D::Error> {
        Tree::deserialize(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Tree, D::Error> {
        Tree::deserialize(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(Tree::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = map.next_entry()? {
            all.push(entry);
        }
        Ok(Tree::Table(all))
    }
}

impl<'de> Deserializer<'de> for Tree {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self {
            Self::Nothing => visitor.visit_unit(),
            Self::Flag(flag) => visitor.visit_bool(flag),
            Self::Whole(number) => visitor.visit_u64(number),
            Self::Integer(number) => visitor.visit_i64(number),
            Self::Number(number) => visitor.visit_f64(number),
            Self::Text(text) => visitor.visit_string(text),
            Self::List(all) => visitor.visit_seq(SeqDeserializer::new(all.into_iter())),
            Self::Table(all) => visitor.visit_map(MapEntries { left: all.into_iter(), value: None }),
            // No option takes bytes, so the visitor returns an error that names the expected type.
            Self::Other => visitor.visit_bytes(&[]),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if matches!(self, Self::Nothing) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self {
            // A list is refused, because it does not name the option of each value.
            Self::Table(_) => self.deserialize_any(visitor),
            _ => Err(Problem::at("", "not a table of options with their names")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl IntoDeserializer<'_, Problem> for Tree {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The entries of a table.
struct MapEntries {
    left: std::vec::IntoIter<(String, Tree)>,
    value: Option<(String, Tree)>,
}

impl<'de> MapAccess<'de> for MapEntries {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        self.value = self.left.next();
        self.value.as_ref().map(|(key, _)| seed.deserialize(StrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let (key, value) = self.value.take().ok_or_else(|| Problem::at("", "a value without its key"))?;
        let is_table = matches!(value, Tree::Table(_));
        seed.deserialize(value).map_err(|problem| problem.under(&key, is_table))
    }
}
