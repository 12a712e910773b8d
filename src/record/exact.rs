//! The JSON writer of values. It refuses a value that could not be read back from the JSON.
//!
//! It has two parts, because neither sees all problems. An adapter around `serde_json`'s serializer
//! sees the values: a float that is not finite and `Some` of `None` are both just `null` in the
//! text. A scan of the written text sees the keys of each object, whatever type wrote them, and the
//! text of a `RawValue`. A value without objects is not scanned.

use std::cell::Cell;
use std::fmt::Display;

use serde::ser::{self, Serialize, Serializer};

use super::scan::{self, MAX_DEPTH, TOO_DEEP};
use crate::error::{Error, Result};

/// The struct name under which a `RawValue` serializes its text.
pub(super) const RAW_VALUE: &str = "$serde_json::private::RawValue";

const NOT_FINITE: &str = "a float in the value is infinite or not a number, for which JSON has no form; \
                          insert an `Option` that is `None` in its place";
const SOME_NULL: &str = "`Some` in the value holds what is written as null and would be read as `None`; \
                         insert an enum or a `bool` that tells the two apart";

/// Appends `value` to `json`.
///
/// # Errors
///
/// [`Error::is_value`] if the value could not be read back from the JSON. Then `json` may end
/// with a part of the value.
pub(super) fn write<T: Serialize + ?Sized>(key: &str, value: &T, json: &mut Vec<u8>) -> Result<()> {
    let (start, notes) = (json.len(), Notes::default());
    let mut serializer = serde_json::Serializer::new(&mut *json);
    let context = ValueContext { wrapper: Wrapper::None, depth: 0, notes: &notes };
    let written = value.serialize(ExactSerializer { inner: &mut serializer, context });
    // `written` can be `Ok` after a refusal, if an implementation of `Serialize` drops the error.
    if let Some(problem) = notes.refusal.get() {
        return Err(Error::refuse_value(key, problem));
    }
    written.map_err(|source| Error::write_value(key, source))?;
    if notes.has_objects.get() || notes.is_doubtful.get() {
        scan::check(&json[start..], notes.is_doubtful.get()).map_err(|problem| Error::refuse_value(key, problem))?;
    }
    Ok(())
}

/// Notes that are taken while a value is written.
#[derive(Default)]
struct Notes {
    /// Why the value is refused. The message must not quote an error of serde's.
    refusal: Cell<Option<&'static str>>,
    /// Whether there are objects, so that their keys must be checked.
    has_objects: Cell<bool>,
    /// Whether the text must be checked for being JSON at all.
    is_doubtful: Cell<bool>,
}

/// The wrapper around a value. It decides whether the value may be null.
#[derive(Clone, Copy, PartialEq)]
enum Wrapper {
    None,
    Some,
    /// A raw value. The value in it is its text.
    Raw,
    /// A raw value in `Some`.
    SomeRaw,
}

#[derive(Clone, Copy)]
struct ValueContext<'a> {
    wrapper: Wrapper,
    /// The number of arrays and objects around this value. An enum variant with fields counts once.
    depth: usize,
    notes: &'a Notes,
}

impl<'a> ValueContext<'a> {
    /// A value in this context.
    fn wrap<'v, T: ?Sized>(self, value: &'v T) -> ExactValue<'a, 'v, T> {
        ExactValue { value, context: self }
    }

    /// The context of the parts of an array. Only the scan can count the levels in a raw value.
    fn in_array<E: ser::Error>(self) -> Result<Self, E> {
        match self.depth {
            MAX_DEPTH => self.refuse(TOO_DEEP),
            depth => Ok(Self { wrapper: Wrapper::None, depth: depth + 1, ..self }),
        }
    }

    /// The context of the parts of an object.
    fn in_object<E: ser::Error>(self) -> Result<Self, E> {
        self.notes.has_objects.set(true);
        self.in_array()
    }

    fn refuse<T, E: ser::Error>(self, problem: &'static str) -> Result<T, E> {
        self.notes.refusal.set(Some(problem));
        Err(E::custom(problem))
    }

    fn check_null<E: ser::Error>(self) -> Result<(), E> {
        if matches!(self.wrapper, Wrapper::Some | Wrapper::SomeRaw) { self.refuse(SOME_NULL) } else { Ok(()) }
    }

    fn check_float<E: ser::Error>(self, is_finite: bool) -> Result<(), E> {
        if is_finite { Ok(()) } else { self.refuse(NOT_FINITE) }
    }

    fn check_text<E: ser::Error>(self, text: &str) -> Result<(), E> {
        let is_null = self.wrapper == Wrapper::SomeRaw && text.trim_ascii() == "null";
        if is_null { self.refuse(SOME_NULL) } else { Ok(()) }
    }

    /// Notes a failure to write a part. An implementation of `Serialize` can drop the error and
    /// continue after half a value.
    fn note<E>(self, written: Result<(), E>) -> Result<(), E> {
        if written.is_err() {
            self.notes.is_doubtful.set(true);
        }
        written
    }
}

/// A value that is written through [`ExactSerializer`].
struct ExactValue<'a, 'v, T: ?Sized> {
    value: &'v T,
    context: ValueContext<'a>,
}

impl<T: Serialize + ?Sized> Serialize for ExactValue<'_, '_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(ExactSerializer { inner, context: self.context })
    }
}

/// A serializer, or a part of one, that checks the values that it passes on. Keys of maps need no
/// check, because `serde_json` refuses all keys that it does not write as text.
struct ExactSerializer<'a, S> {
    inner: S,
    context: ValueContext<'a>,
}

macro_rules! pass_value {
    ($($method:ident: $type:ty),*) => {
        $(#[inline]
        fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.inner.$method(value)
        })*
    };
}

macro_rules! pass_parts_of {
    ($($method:ident($($name:ident: $type:ty),*) -> $parts:ident: $context:ident;)*) => {
        $(fn $method(self, $($name: $type),*) -> Result<Self::$parts, S::Error> {
            Ok(ExactSerializer { context: self.context.$context()?, inner: self.inner.$method($($name),*)? })
        })*
    };
}

impl<'a, S: Serializer> Serializer for ExactSerializer<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = ExactSerializer<'a, S::SerializeSeq>;
    type SerializeTuple = ExactSerializer<'a, S::SerializeTuple>;
    type SerializeTupleStruct = ExactSerializer<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = ExactSerializer<'a, S::SerializeTupleVariant>;
    type SerializeMap = ExactSerializer<'a, S::SerializeMap>;
    type SerializeStruct = ExactSerializer<'a, S::SerializeStruct>;
    type SerializeStructVariant = ExactSerializer<'a, S::SerializeStructVariant>;

    pass_value! {
        serialize_bool: bool, serialize_char: char, serialize_bytes: &[u8],
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        self.context.check_float(value.is_finite())?;
        self.inner.serialize_f32(value)
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        self.context.check_float(value.is_finite())?;
        self.inner.serialize_f64(value)
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<S::Ok, S::Error> {
        self.context.check_text(value)?;
        self.inner.serialize_str(value)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        match self.context.wrapper {
            Wrapper::None | Wrapper::Some => self.inner.collect_str(value),
            Wrapper::Raw | Wrapper::SomeRaw => self.serialize_str(&value.to_string()),
        }
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.context.check_null()?;
        self.inner.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&ValueContext { wrapper: Wrapper::Some, ..self.context }.wrap(value))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.context.check_null()?;
        self.inner.serialize_unit()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.context.check_null()?;
        self.inner.serialize_unit_struct(name)
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_struct(name, &self.context.wrap(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_variant(name, index, variant, &self.context.in_object()?.wrap(value))
    }

    pass_parts_of! {
        serialize_seq(len: Option<usize>) -> SerializeSeq: in_array;
        serialize_tuple(len: usize) -> SerializeTuple: in_array;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct: in_array;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant: in_object;
        serialize_map(len: Option<usize>) -> SerializeMap: in_object;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant: in_object;
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        let context = match self.context.wrapper {
            wrapper if name == RAW_VALUE => {
                // Any type can use this name.
                self.context.notes.is_doubtful.set(true);
                let wrapper = if wrapper == Wrapper::None { Wrapper::Raw } else { Wrapper::SomeRaw };
                ValueContext { wrapper, ..self.context }
            }
            _ => self.context.in_object()?,
        };
        Ok(ExactSerializer { context, inner: self.inner.serialize_struct(name, len)? })
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! pass_parts {
    ($($part:ident::$method:ident($($name:ident)?)),*) => {
        $(impl<S: ser::$part> ser::$part for ExactSerializer<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), S::Error> {
                self.context.note(self.inner.$method($($name,)? &self.context.wrap(value)))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        })*
    };
}

pass_parts! {
    SerializeSeq::serialize_element(), SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(), SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(name), SerializeStructVariant::serialize_field(name)
}

impl<S: ser::SerializeMap> ser::SerializeMap for ExactSerializer<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.context.note(self.inner.serialize_key(key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.context.note(self.inner.serialize_value(&self.context.wrap(value)))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}
