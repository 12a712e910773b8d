//! Durations and sizes as people write them in options: a number or a text, checked in one place.

#[cfg(any(feature = "web", feature = "redis"))]
pub(crate) mod quiet;

use std::time::Duration;

use bytesize::{ByteSize, Unit};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, Result};

/// A value of an option as it was given, before anybody checked it.
///
/// Made by `into()` from numbers, texts, [`Duration`] and [`ByteSize`], and by serde from a number
/// or a text. What is wrong with it is said where the whole set of options is checked, with the
/// option's name.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::LembroOptions;
///
/// let options = LembroOptions::new().interval("5m").max_size("4M");
/// let same = LembroOptions::new().interval(Duration::from_secs(300)).max_size(4 * 1024 * 1024_u64);
/// # let _ = (options, same);
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A whole number: milliseconds or bytes.
    Whole(u64),
    /// A number that came as a float. Some formats write every number so; refused, with a message
    /// that repeats it, unless it is whole and not negative.
    Number(f64),
    /// A text such as `"5m"` or `"4M"`. Of time: ms, s, m (minutes), h, d, w, and their long names;
    /// a number alone is refused, and so are months and years.
    Text(String),
    /// A span of time. Not read by serde.
    #[serde(skip)]
    Span(Duration),
    /// Whatever else a configuration file has in the place. Always refused, with a message that
    /// names the option.
    Other(IgnoredAny),
}

/// 2^53: from there on a float cannot tell one number from the next.
const FLOAT_LIMIT: f64 = 9_007_199_254_740_992.0;

impl From<u64> for Setting {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Setting {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Duration> for Setting {
    fn from(span: Duration) -> Self {
        Self::Span(span)
    }
}

impl From<ByteSize> for Setting {
    fn from(size: ByteSize) -> Self {
        Self::Whole(size.as_u64())
    }
}

impl Setting {
    /// The setting as a span of time: a number is milliseconds, a text is what `humantime` reads,
    /// but for months and years.
    pub(crate) fn duration(&self, option: &'static str) -> Result<Duration> {
        let problem = match self {
            Self::Span(span) => return Ok(*span),
            Self::Whole(millis) => return Ok(Duration::from_millis(*millis)),
            Self::Number(number) => match whole(*number) {
                Some(millis) => return Ok(Duration::from_millis(millis)),
                None => format!("{number} is not a whole number of milliseconds from 0 to {FLOAT_LIMIT}"),
            },
            Self::Text(text) => match parse_span(text) {
                Ok(span) => return Ok(span),
                Err(problem) => format!("{text:?} {problem}"),
            },
            Self::Other(_) => "neither a number of milliseconds nor a text such as \"5m\"".to_owned(),
        };
        Err(Error::option(option, problem))
    }

    /// The setting as a number of bytes, at least one.
    pub(crate) fn bytes(&self, option: &'static str) -> Result<u64> {
        let bytes = match self {
            Self::Whole(bytes) => Ok(*bytes),
            Self::Number(number) => {
                whole(*number).ok_or_else(|| format!("{number} is not a whole number of bytes from 1 to {FLOAT_LIMIT}"))
            }
            Self::Text(text) => parse_size(text).map_err(|problem| format!("{text:?} is {problem}")),
            Self::Span(span) => Err(format!("{span:?} is not a size")),
            Self::Other(_) => Err("neither a number of bytes nor a text such as \"4M\"".to_owned()),
        };
        match bytes {
            Ok(0) => Err(Error::option(option, "0 bytes is no size to work with")),
            other => other.map_err(|problem| Error::option(option, problem)),
        }
    }

    /// The setting as a plain number.
    pub(crate) fn count(&self, option: &'static str) -> Result<u64> {
        let problem = match self {
            Self::Whole(count) => return Ok(*count),
            Self::Number(number) => match whole(*number) {
                Some(count) => return Ok(count),
                None => format!("{number} is not a whole number"),
            },
            Self::Text(text) => format!("{text:?} is not a whole number"),
            Self::Span(span) => format!("{span:?} is not a whole number"),
            Self::Other(_) => "not a whole number".to_owned(),
        };
        Err(Error::option(option, problem))
    }
}

/// A float that stands for a whole number, as some formats write them.
fn whole(number: f64) -> Option<u64> {
    let exact = number.fract() == 0.0 && (0.0..FLOAT_LIMIT).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range, checked above")]
    exact.then_some(number as u64)
}

/// Reads a span of time. `humantime` takes "M" for a month of 30.44 days, which is a slip for "m"
/// more often than it is meant, and in a size it is a mebibyte.
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

/// Reads a size. A bare K, M or G is 1024-based, as in the document lembro's options come from;
/// every other unit is read by `bytesize` ("4MB" is 4,000,000, "4MiB" is 4,194,304). `bytesize`
/// alone would round "0.5" down to nothing and cap what does not fit, so the number is read here.
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
