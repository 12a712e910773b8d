//! The scan of a written text: its depth, and the keys of each object.

use std::borrow::Cow;

use serde_json::value::RawValue;
use smallvec::SmallVec;

/// How deep serde_json reads: it counts 128 down, and fails at 0.
pub(super) const MAX_DEPTH: usize = 127;

/// What the names begin with that serde_json treats as its own. Which of them are active depends on
/// features that any crate of the application can turn on.
const RESERVED: &str = "$serde_json::private::";

pub(super) const TOO_DEEP: &str = "the value is nested more than 127 levels deep and could not be read; \
                        insert it as a flat list, or its parts under keys of their own";
const EQUAL_KEYS: &str = "an object in the value has two equal keys, of which one would be lost; \
                          rename one, or insert a list of pairs";
const RESERVED_KEY: &str = "an object in the value has a key that begins with \"$serde_json::private::\", \
                            which serde_json reads as something else; rename it";
pub(super) const NOT_JSON: &str = "what the value's `Serialize` wrote is not JSON; it has to pass on every error, \
                        and a raw value has to be one JSON value without spaces around it";

/// Checks a text: is it JSON that can be read as any type, with each key of an object once?
pub(crate) fn check(json: &[u8]) -> Result<(), &'static str> {
    serde_json::from_slice::<&RawValue>(json).map_err(|_| NOT_JSON)?;
    // For each open array and object, how many keys were open before it.
    let mut open: SmallVec<[usize; 16]> = SmallVec::new();
    let mut keys: SmallVec<[Cow<'_, [u8]>; 16]> = SmallVec::new();
    let mut rest = json;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'"' => {
                let (text, behind) = split_text(rest);
                rest = behind.trim_ascii_start();
                if rest.first() == Some(&b':') {
                    keys.push(unescaped(text));
                }
            }
            b'[' | b'{' if open.len() == MAX_DEPTH => return Err(TOO_DEEP),
            b'[' | b'{' => open.push(keys.len()),
            b']' | b'}' => {
                let start = open.pop().unwrap_or_default();
                check_keys(&mut keys[start..])?;
                keys.truncate(start);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Splits what stands behind a quote into the text and what stands behind its other quote.
fn split_text(json: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    loop {
        match json.get(end) {
            Some(b'\\') => end += 2,
            Some(b'"') => return (&json[..end], &json[end + 1..]),
            Some(_) => end += 1,
            None => return (json, &[]),
        }
    }
}

/// Only a raw value can spell one key in two ways.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    let quoted = || [b"\"", text, b"\""].concat();
    let is_plain = !text.contains(&b'\\');
    let read = if is_plain { None } else { serde_json::from_slice::<String>(&quoted()).ok() };
    read.map_or(Cow::Borrowed(text), |text| Cow::Owned(text.into_bytes()))
}

/// Checks the keys of one object.
fn check_keys(keys: &mut [Cow<'_, [u8]>]) -> Result<(), &'static str> {
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(EQUAL_KEYS);
    }
    if keys.iter().any(|key| key.starts_with(RESERVED.as_bytes())) {
        return Err(RESERVED_KEY);
    }
    Ok(())
}
