//! Values of options: durations and sizes as numbers or texts, and choices by their names.

mod choice;
pub(crate) mod tree;

use std::fmt;
use std::time::Duration;

use bytesize::{ByteSize, Unit};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

pub(crate) use self::choice::{choice, parse, read};
use crate::error::{Error, Result};

/// A duration or a size of an option: a number, a text or a [`Duration`].
///
/// The methods of options take `impl Into<Setting>`, and serde reads the same numbers and texts.
/// Functions that take options, such as
/// [`LembroStore::with_options`](crate::LembroStore::with_options) and
/// [`Sessions::with_policy`](crate::Sessions::with_policy), check the values. The error about a
/// wrong value names the option. Options are equal if the same values were set.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::{LembroOptions, LembroStore, Policy, Sessions};
///
/// let options = LembroOptions::new().interval("5m").max_size("4M");
/// let same = LembroOptions::new().interval(Duration::from_secs(300)).max_size(4 * 1024 * 1024);
/// assert_eq!(options, same);
///
/// let policy = Policy::new().timeout("30 parsecs");
/// let error = Sessions::with_policy(LembroStore::new()?, policy).unwrap_err();
/// let expected = r#"timeout: "30 parsecs" is not a duration such as "5m" or "1h 30m""#;
/// assert_eq!(error.to_string(), expected);
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A whole number: milliseconds or bytes.
    Whole(u64),
    /// A float, which some formats use for every number. It is refused unless it is whole and not
    /// negative.
    Number(f64),
    /// A text such as `"5m"` or `"4M"`. The units of time are ms, s, m (minutes), h, d, w, and
    /// their long names. A text of time without a unit is refused, and so are months and years.
    Text(String),
    /// A span of time, from code only.
    #[serde(skip)]
    Span(Duration),
    /// `None` in code, null in a configuration file, for options that may be switched off.
    Nothing,
    /// Any other value in a configuration file. It is always refused.
    Other(IgnoredAny),
}

/// 2^53, from which on a float does not represent every whole number.
const FLOAT_LIMIT: f64 = 9_007_199_254_740_992.0;

/// The conversions to a [`Setting`].
macro_rules! settings {
    ($($given:ident: $type:ty => $setting:expr;)*) => {
        $(
            impl From<$type> for Setting {
                fn from($given: $type) -> Self {
                    $setting
                }
            }
        )*
    };
}

settings! {
    number: u64 => Self::Whole(number);
    text: &str => Self::Text(text.to_owned());
    text: String => Self::Text(text);
    span: Duration => Self::Span(span);
    span: Option<Duration> => span.map_or(Self::Nothing, Self::Span);
    size: ByteSize => Self::Whole(size.as_u64());
}

impl Setting {
    /// The setting as a span of time. A number is in milliseconds.
    fn duration(&self) -> Result<Duration, String> {
        match self {
            Self::Span(span) => Ok(*span),
            Self::Whole(millis) => Ok(Duration::from_millis(*millis)),
            Self::Number(number) => whole(*number)
                .map(Duration::from_millis)
                .ok_or_else(|| format!("{number} is not a whole number of milliseconds from 0 to {FLOAT_LIMIT}")),
            Self::Text(text) => parse_span(text).map_err(|problem| format!("{text:?} {problem}")),
            Self::Nothing | Self::Other(_) => {
                Err("neither a number of milliseconds nor a text such as \"5m\"".to_owned())
            }
        }
    }

    /// The setting as a number of bytes, at least one.
    fn bytes(&self) -> Result<u64, String> {
        let bytes = match self {
            Self::Whole(bytes) => Ok(*bytes),
            Self::Number(number) => {
                whole(*number).ok_or_else(|| format!("{number} is not a whole number of bytes from 1 to {FLOAT_LIMIT}"))
            }
            Self::Text(text) => parse_size(text).map_err(|problem| format!("{text:?} is {problem}")),
            Self::Span(span) => Err(format!("{span:?} is not a size")),
            Self::Nothing | Self::Other(_) => Err("neither a number of bytes nor a text such as \"4M\"".to_owned()),
        };
        match bytes {
            Ok(0) => Err("0 bytes is no size to work with".to_owned()),
            other => other,
        }
    }

    /// The setting as a plain number. A number above `usize::MAX` becomes `usize::MAX`.
    fn count(&self) -> Result<usize, String> {
        let count = match self {
            Self::Whole(count) => Ok(*count),
            Self::Number(number) => whole(*number).ok_or_else(|| format!("{number} is not a whole number")),
            Self::Text(text) => Err(format!("{text:?} is not a whole number")),
            Self::Span(span) => Err(format!("{span:?} is not a whole number")),
            Self::Nothing | Self::Other(_) => Err("not a whole number".to_owned()),
        };
        count.map(|count| usize::try_from(count).unwrap_or(usize::MAX))
    }
}

/// The value of an option: not set, a value, or a text that says why the value is wrong.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Input<T>(Option<Result<T, String>>);

impl<T: Clone> Input<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Some(Ok(value)))
    }

    /// The value, `default` if none is set, or an error that names the option.
    pub(crate) fn check(&self, option: &'static str, default: T) -> Result<T> {
        self.0.clone().unwrap_or(Ok(default)).map_err(|problem| Error::option(option, problem))
    }

    /// The value, or `default` if none or a wrong one is set. Used in getters and after `check`.
    pub(crate) fn or(&self, default: T) -> T {
        self.0.clone().and_then(Result::ok).unwrap_or(default)
    }
}

impl<T> Default for Input<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// The conversions of a [`Setting`] to values of each type.
macro_rules! inputs {
    ($($type:ty: $setting:ident => $value:expr;)*) => {
        $(
            impl From<Setting> for Input<$type> {
                fn from($setting: Setting) -> Self {
                    Self(Some($value))
                }
            }
        )*
    };
}

inputs! {
    Duration: setting => setting.duration();
    // A span that may be switched off.
    Option<Duration>: setting => if setting == Setting::Nothing { Ok(None) } else { setting.duration().map(Some) };
    // A number of things. The default `None` means any number.
    Option<usize>: setting => setting.count().map(Some);
    // A number of bytes.
    u64: setting => setting.bytes();
    // A number of things.
    usize: setting => setting.count();
}

/// Null sets no value.
impl<'de, T> Deserialize<'de> for Input<T>
where
    Self: From<Setting>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Setting>::deserialize(deserializer)?.map_or_else(Self::default, Self::from))
    }
}

/// Reads a span that may be switched off, by null or zero.
pub(crate) fn or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Input<Option<Duration>>, D::Error> {
    Ok(Input::from(Setting::deserialize(deserializer)?).zero_is_none())
}

impl Input<Option<Duration>> {
    pub(crate) fn zero_is_none(self) -> Self {
        if self == Self::new(Some(Duration::ZERO)) { Self::new(None) } else { self }
    }
}

impl<T: fmt::Debug> fmt::Debug for Input<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("default"),
            Some(Ok(value)) => value.fmt(f),
            Some(Err(problem)) => f.write_str(problem),
        }
    }
}

/// Getters of options, named as std's `Command::get_args` beside `Command::args`.
macro_rules! getters {
    ($options:ident: $($getter:ident $option:ident -> $type:ty $value:block)*) => {
        $(
            #[doc = concat!("The option [`", stringify!($option), "`](Self::", stringify!($option), ").")]
            pub fn $getter(&self) -> $type {
                let $options = self;
                $value
            }
        )*
    };
}
pub(crate) use getters;

/// The whole number that a float represents.
fn whole(number: f64) -> Option<u64> {
    let exact = number.fract() == 0.0 && (0.0..FLOAT_LIMIT).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range, checked above")]
    exact.then_some(number as u64)
}

/// Reads a span of time. `humantime` reads "M" as a month of 30.44 days, but the writer probably
/// means minutes, and in a size "M" is a mebibyte.
fn parse_span(text: &str) -> Result<Duration, &'static str> {
    const NO_SPAN: &str = "is not a duration such as \"5m\" or \"1h 30m\"";
    let mut units = text.split(|c: char| !c.is_alphabetic());
    match humantime::parse_duration(text) {
        Ok(_) if units.any(|unit| unit == "M" || ["mo", "y"].iter().any(|start| unit.starts_with(start))) => {
            Err("has months or years, whose length differs: write days, such as \"30d\" (\"m\" is minutes)")
        }
        Ok(span) => Ok(span),
        Err(humantime::DurationError::NumberOverflow) => Err("is a longer or finer duration than can be counted"),
        Err(_) => Err(NO_SPAN),
    }
}

/// Reads a size. K, M and G alone are 1024-based; `bytesize` reads every other unit ("4MB" is
/// 4,000,000, "4MiB" is 4,194,304). The number is read here, because `bytesize` rounds "0.5" to
/// zero and caps a number that is too large.
fn parse_size(text: &str) -> Result<u64, &'static str> {
    const NO_SIZE: &str = "not a size such as 4194304 or \"4M\"";
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let unit = match unit {
        "" => Unit::Byte,
        "K" | "k" => Unit::KibiByte,
        "M" | "m" => Unit::MebiByte,
        "G" | "g" => Unit::GibiByte,
        other => other.parse().map_err(|_| NO_SIZE)?,
    };
    if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) {
        return number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(1_u64 * unit))
            .ok_or("too large a size");
    }
    let bytes = number.parse::<f64>().map_err(|_| NO_SIZE)? * unit;
    whole(bytes).ok_or("not a whole number of bytes")
}
