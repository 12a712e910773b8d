//! Secrets in options: no error quotes one, for every type of wrong value and every format.
//!
//! The wrong values are a number (whole, negative, a float, 128 bits), a flag, a list, a list in a
//! list, a list of mixed types, a table, null in a list, bytes and a character, in the place of the
//! option and of the table of options. The texts in a wrong place are a URL for the options, a URL
//! for a list, and a key for the name of its file.
#![cfg(feature = "web")]

use lembro::Config;
use lembro::web::CookieOptions;
use serde::de::value::{Error as ValueError, MapDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Parts of the secret, in each form below.
const NEEDLES: [&str; 3] = ["hunter2", "424242", "hunt"];

/// A value of a format that calls any method of a visitor, as TOML, YAML and others do.
#[derive(Clone, Copy, Debug)]
enum Value {
    Bool(bool),
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F64(f64),
    Str(&'static str),
    Bytes(&'static [u8]),
    List(&'static [Value]),
    Map(&'static [(&'static str, Value)]),
    Some(&'static Value),
    Unit,
}

impl<'de> Deserializer<'de> for Value {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Bool(value) => visitor.visit_bool(value),
            Self::I64(value) => visitor.visit_i64(value),
            Self::U64(value) => visitor.visit_u64(value),
            Self::I128(value) => visitor.visit_i128(value),
            Self::U128(value) => visitor.visit_u128(value),
            Self::F64(value) => visitor.visit_f64(value),
            Self::Str(value) => visitor.visit_str(value),
            Self::Bytes(value) => visitor.visit_bytes(value),
            Self::List(all) => visitor.visit_seq(serde::de::value::SeqDeserializer::new(all.iter().copied())),
            Self::Map(all) => visitor.visit_map(MapDeserializer::new(all.iter().copied())),
            Self::Some(inner) => visitor.visit_some(*inner),
            Self::Unit => visitor.visit_unit(),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if matches!(self, Self::Unit) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl IntoDeserializer<'_> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

const SECRET: Value = Value::Str("hunter2");

/// Values that are no text.
const WRONG: &[Value] = &[
    Value::Bool(true),
    Value::I64(-424_242),
    Value::U64(424_242),
    Value::I128(-424_242_424_242_424_242_424_242),
    Value::U128(424_242_424_242_424_242_424_242),
    Value::F64(424_242.5),
    Value::Bytes(b"hunter2"),
    Value::List(&[Value::U64(424_242)]),
    Value::List(&[SECRET, Value::U64(424_242)]),
    Value::List(&[Value::List(&[SECRET])]),
    Value::List(&[SECRET, Value::Unit]),
    Value::Map(&[("hunter2", SECRET)]),
    Value::Map(&[("key", Value::U64(424_242))]),
    Value::Some(&Value::F64(424_242.0)),
];

/// The error about options.
#[track_caller]
fn told<T: for<'de> Deserialize<'de>>(value: Value) -> String {
    let told = T::deserialize(value).map(|_| ()).unwrap_err().to_string();
    for needle in NEEDLES {
        assert!(!told.contains(needle), "{value:?}: {told}");
    }
    told
}

fn with(option: &'static str, value: Value) -> Value {
    Value::Map(Vec::leak(vec![(option, value)]))
}

#[test]
fn key_of_wrong_type_is_not_quoted() {
    for option in ["keys", "secret"] {
        for value in WRONG {
            assert_eq!(told::<CookieOptions>(with(option, *value)), "keys: neither a text nor a list of texts");
        }
        for right in [SECRET, Value::List(&[SECRET]), Value::Some(&SECRET), Value::Unit] {
            assert!(CookieOptions::deserialize(with(option, right)).is_ok(), "{right:?}");
        }
    }
    for text in [
        r#"{"keys": 424242}"#,
        r#"{"keys": 4242424242424242424242424242}"#,
        r#"{"keys": -424242.5}"#,
        r#"{"keys": {"a": "hunter2"}}"#,
        r#"{"keys": ["hunter2", null]}"#,
        r#"{"keys": "hunter2", "secret": "hunter2"}"#,
        r#"["hunter2"]"#,
        r#""hunter2""#,
        "424242",
    ] {
        let told = serde_json::from_str::<CookieOptions>(text).unwrap_err().to_string();
        assert!(!NEEDLES.iter().any(|needle| told.contains(needle)), "{text}: {told}");
    }
}

#[test]
fn secret_in_place_of_options_is_not_quoted() {
    for value in WRONG.iter().copied().filter(|value| !matches!(value, Value::Map(_))).chain([SECRET]) {
        assert!(!told::<CookieOptions>(value).is_empty());
        #[cfg(feature = "redis")]
        assert!(!told::<lembro::redis::RedisOptions>(value).is_empty());
    }
    assert_eq!(told::<CookieOptions>(SECRET), "cookie: not a table of options with their names");
}

// `store` returns the error, so that no format shows the line of the secret.
#[test]
fn config_quotes_no_secret_anywhere() {
    let paths: [&[&'static str]; 9] = [
        &[],
        &["store"],
        &["store", "memory"],
        &["store", "redis"],
        &["store", "redis", "url"],
        &["store", "redis", "password"],
        &["policy"],
        &["cookie"],
        &["cookie", "keys"],
    ];
    for path in paths {
        // A text is a valid password.
        let text = (path.last() != Some(&"password")).then_some(SECRET);
        for value in WRONG.iter().copied().filter(|value| !matches!(value, Value::Map(_))).chain(text) {
            let value = path.iter().rev().fold(value, |value, key| with(key, value));
            let config = Config::deserialize(value).unwrap();
            let error = config.store().and_then(|store| config.layer(store)).map(drop).unwrap_err();
            let told = format!("{error} {error:?} {config:?}");
            assert!(!NEEDLES.iter().any(|needle| told.contains(needle)), "{value:?}: {told}");
        }
    }
}

#[cfg(feature = "redis")]
mod redis {
    use lembro::redis::{RedisOptions, RedisStore};

    use super::*;

    #[test]
    fn redis_secrets_are_not_quoted() {
        for option in [
            "url",
            "username",
            "password",
            "ca_certificate",
            "clientCertificate",
            "client_key",
            "prefix",
            "cluster",
            "sentinels",
            "primary",
        ] {
            for value in WRONG {
                let told = told::<RedisOptions>(with(option, *value));
                let name = if option == "clientCertificate" { "client_certificate" } else { option };
                assert!(told.starts_with(&format!("{name}: not a ")), "{option}, {value:?}: {told}");
            }
        }
        let told = told::<RedisOptions>(with("cluster", Value::Str("redis://:hunter2@h")));
        assert_eq!(told, "cluster: not a list of texts");
    }

    #[test]
    fn key_in_place_of_file_is_not_quoted() {
        for option in ["ca_certificate", "client_certificate", "client_key"] {
            let told = told::<RedisOptions>(with(option, Value::Str("-----BEGIN PRIVATE KEY-----\nhunter2")));
            assert_eq!(told, format!("{option}: this is the text itself: write it to a file, and name the file"));
        }
    }

    // Each character that ends a host or begins a port, in a password that is not encoded.
    #[test]
    fn unencoded_password_error_says_how() {
        for url in [
            "redis://:hunter2/x@h",
            "redis://:hunter2#x@h",
            "redis://:hunter2?x@h",
            "redis://u:42#4242@h",
            "redis://u:42?4242@h",
            "redis://u:42/4242@h",
            "redis://hunter2#@h:1",
            "redis://u:hunter2[@h",
            "redis://u:hunter2 @h:x",
            "redis://u:hunter2@h:424242",
            "redis://u:hunter2@h/hunter2",
            "redis://u:%ff@h",
            "rediss://:hunter2/x@h",
            "valkey://:hunter2/x@h",
            "redis:/u:hunter2@h",
            "u:hunter2@h:6379",
        ] {
            let options = RedisOptions::new;
            for options in [options().url(url), options().cluster([url]), options().sentinels([url])] {
                let Err(error) = RedisStore::with_options(options.clone()) else {
                    assert!(url.contains('['), "{url} was accepted");
                    continue;
                };
                let text = format!("{error} {error:?} {options:?}");
                assert!(error.is_option() && !NEEDLES.iter().any(|needle| text.contains(needle)), "{url}: {text}");
                let is_tls = text.contains("redis_tls");
                assert!(is_tls || text.contains("percent-encoded (\"@\" is %40"), "{url}: {text}");
            }
        }
        for url in ["redis://u:p%40ss%2Fw%23rd@h", "redis+unix:///run/r.sock?user=u&pass=p@ss", "redis://u:p@ss@h"] {
            RedisStore::with_options(RedisOptions::new().url(url)).unwrap();
        }
    }
}
