//! Durations and sizes as people write them in options: a number or a text, checked in one place.

use std::time::Duration;

use bytesize::{ByteSize, Unit};
use serde::Deserialize;

use crate::error::{Error, Result};

/// A value of an option as it was given, before anybody checked it.
///
/// Made by `into()` from numbers, texts, [`Duration`] and [`ByteSize`], and by serde from a number or a text. What is
/// wrong with it is said where the whole set of options is checked, with the option's name.
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
    /// Any other number. Always refused, but with a message that repeats it.
    Number(f64),
    /// A text such as `"5m"` or `"4M"`.
    Text(String),
    /// A span of time. Not read by serde.
    #[serde(skip)]
    Span(Duration),
}

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
    /// The setting as a span of time: a number is milliseconds, a text is what `humantime` reads.
    pub(crate) fn duration(&self, option: &'static str) -> Result<Duration> {
        match self {
            Self::Span(span) => Ok(*span),
            Self::Whole(millis) => Ok(Duration::from_millis(*millis)),
            Self::Number(number) => {
                Err(Error::option(option, format!("{number} is not a whole number of milliseconds from 0 up")))
            }
            Self::Text(text) => humantime::parse_duration(text)
                .map_err(|_| Error::option(option, format!("{text:?} is not a duration such as \"5m\" or \"1h 30m\""))),
        }
    }

    /// The setting as a number of bytes, at least one.
    pub(crate) fn bytes(&self, option: &'static str) -> Result<u64> {
        let bytes = match self {
            Self::Whole(bytes) => *bytes,
            Self::Number(number) => {
                return Err(Error::option(option, format!("{number} is not a whole number of bytes")));
            }
            Self::Text(text) => parse_size(text)
                .ok_or_else(|| Error::option(option, format!("{text:?} is not a size such as 4194304 or \"4M\"")))?,
            Self::Span(span) => return Err(Error::option(option, format!("{span:?} is not a size"))),
        };
        if bytes == 0 {
            return Err(Error::option(option, "0 bytes is no size to work with"));
        }
        Ok(bytes)
    }
}

/// Reads a size. A bare K, M or G is 1024-based, as in the document lembro's options come from; every other unit is
/// read by `bytesize` ("4MB" is 4,000,000, "4MiB" is 4,194,304). `bytesize` alone would round "0.5" down to nothing
/// and cap what does not fit, so the number is read here.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let unit = match unit {
        "" => Unit::Byte,
        "K" | "k" => Unit::KibiByte,
        "M" | "m" => Unit::MebiByte,
        "G" | "g" => Unit::GibiByte,
        other => other.parse().ok()?,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1_u64 * unit);
    }
    let bytes = number.parse::<f64>().ok()? * unit;
    // 2^53: from there on a float cannot tell one byte from the next.
    let exact = bytes.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&bytes);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range, checked above")]
    exact.then_some(bytes as u64)
}
