//! The scan of a value's JSON, which checks its depth and the keys of each object.

use std::borrow::Cow;
use std::slice::Iter;

use serde_json::value::RawValue;
use smallvec::SmallVec;

/// The maximum depth that `serde_json` reads. It counts down from 128 and fails at 0.
pub(super) const MAX_DEPTH: usize = 127;

/// The maximum number of keys for which comparing each pair is faster than sorting.
const FEW: usize = 8;

/// The prefix of the object keys to which `serde_json` gives a special meaning. Cargo features,
/// which any crate of the application can turn on, decide which of these keys it recognises.
const RESERVED: &str = "$serde_json::private::";

pub(super) const TOO_DEEP: &str = "the value is nested more than 127 levels deep and could not be read; \
                        insert it as a flat list, or its parts under keys of their own";
const EQUAL_KEYS: &str = "an object in the value has two equal keys, of which one would be lost; \
                          rename one, or insert a list of pairs";
const RESERVED_KEY: &str = "an object in the value has a key that begins with \"$serde_json::private::\", \
                            which serde_json reads as something else; rename it";
const NOT_JSON: &str = "what the value's `Serialize` wrote is not JSON; it has to pass on every error, \
                        and a raw value has to be one JSON value without spaces around it";

/// Refuses a text that `serde_json` cannot read as a generic value, or whose objects have equal
/// keys. If `is_doubtful` is false, the text is assumed to be valid JSON.
pub(super) fn check(json: &[u8], is_doubtful: bool) -> Result<(), &'static str> {
    if is_doubtful && !is_json(json) {
        return Err(NOT_JSON);
    }
    // For each open array and object, the number of keys before it.
    let mut open: SmallVec<[usize; 16]> = SmallVec::new();
    let mut keys: SmallVec<[&[u8]; 16]> = SmallVec::new();
    let mut rest = json.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => {
                let text = skip_string(&mut rest);
                if is_before_colon(rest.as_slice()) {
                    keys.push(text);
                }
            }
            b'[' | b'{' if open.len() == MAX_DEPTH => return Err(TOO_DEEP),
            b'[' | b'{' => open.push(keys.len()),
            b']' | b'}' => {
                let start = open.pop().unwrap_or_default();
                if start < keys.len() {
                    check_keys(&mut keys[start..])?;
                    keys.truncate(start);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns true if these bytes are one JSON value without spaces around it.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    json_text(bytes).is_some_and(|text| text.len() == bytes.len())
}

/// The JSON value in these bytes, without the spaces around it. The value is read as `RawValue`,
/// because serde does not check the UTF-8 of a value that it skips.
pub(crate) fn json_text(bytes: &[u8]) -> Option<&str> {
    serde_json::from_slice::<&RawValue>(bytes).ok().map(RawValue::get)
}

/// Skips a string and its closing quote, and returns the string.
fn skip_string<'a>(rest: &mut Iter<'a, u8>) -> &'a [u8] {
    let text = rest.as_slice();
    loop {
        match rest.next() {
            Some(b'"') | None => break,
            Some(b'\\') => drop(rest.next()),
            Some(_) => {}
        }
    }
    &text[..text.len().saturating_sub(rest.len() + 1)]
}

/// Returns true if a colon comes next, so that the string before it is a key. Only a raw value can
/// have spaces before the colon.
fn is_before_colon(rest: &[u8]) -> bool {
    match rest.first() {
        Some(b' ' | b'\t' | b'\r' | b'\n') => rest.trim_ascii_start().first() == Some(&b':'),
        first => first == Some(&b':'),
    }
}

/// Checks the keys of one object.
fn check_keys(keys: &mut [&[u8]]) -> Result<(), &'static str> {
    if keys.iter().any(|key| key.contains(&b'\\')) {
        let texts: Vec<_> = keys.iter().map(|key| unescaped(key)).collect();
        return check_texts(&mut texts.iter().map(|text| &**text).collect::<Vec<_>>());
    }
    check_texts(keys)
}

fn check_texts(keys: &mut [&[u8]]) -> Result<(), &'static str> {
    if keys.len() > FEW {
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(EQUAL_KEYS);
        }
    } else if keys.iter().enumerate().any(|(number, key)| keys[..number].contains(key)) {
        return Err(EQUAL_KEYS);
    }
    if keys.iter().any(|key| key.starts_with(RESERVED.as_bytes())) {
        return Err(RESERVED_KEY);
    }
    Ok(())
}

/// Decodes the escapes of a key, because a raw value can spell one key in two ways.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    let read = serde_json::from_slice::<String>(&[b"\"", text, b"\""].concat());
    read.map_or(Cow::Borrowed(text), |read| Cow::Owned(read.into_bytes()))
}
