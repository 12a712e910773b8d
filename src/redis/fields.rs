//! A session as the fields of a hash, and back.
//!
//! Fields of one letter are ours: `f`ormat, `v`ersion (16 hex digits: incarnation and saves), `c`reated, `d`igest of the secret,
//! `p`revious digest and the end of its `g`race, `t`imeout, `s`ize of the entries, `o`wner with the `e`poch of the login, `q` while
//! nobody has looked whether that login counts, and until when the indexes have `n`oted the session. Each entry is a field that starts
//! with `k`, the length of the component as a byte, and the component. Times are milliseconds since 1970.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use ::redis::Value;
use serde_json::value::RawValue;

use crate::record::{Changes, Epoch, Record, Version};

/// An argument of a script.
pub(super) type Word<'a> = Cow<'a, [u8]>;

/// How many bytes the entries of a record take.
pub(super) fn size_of_record(record: &Record) -> usize {
    record.entries().map(|(component, key, json)| size_of(component, key) + json.get().len()).sum()
}

/// How many bytes the entries take that changes set.
pub(super) fn size_of_changes(changes: &Changes) -> usize {
    let set = changes.keys().filter_map(|change| Some(size_of(change.component, change.key) + change.value?.len()));
    set.sum()
}

/// A record as fields and values. `epoch`: that of its owner's login, which nobody has confirmed yet.
pub(super) fn of_record(record: &Record, epoch: Option<Epoch>) -> Vec<Word<'_>> {
    let created = record.created_at().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let mut fields = vec![word("v"), hex(record.version()).into(), word("c"), millis(created).into()];
    fields.extend(record.timeout().into_iter().flat_map(|timeout| [word("t"), millis(timeout).into()]));
    fields.extend(record.owner().into_iter().flat_map(|owner| [word("o"), word(owner)]));
    fields.extend(epoch.into_iter().flat_map(login));
    for (component, key, json) in record.entries() {
        fields.extend([entry(component, key).into(), word(json.get())]);
    }
    fields.extend([word("s"), number(size_of_record(record) as u64).into()]);
    fields
}

/// The record that fields and values are. `None`: these are not a session's.
pub(super) fn to_record(fields: &[Value]) -> Option<Record> {
    let (mut parts, mut version, mut created) = (Changes::new(), None, None);
    for pair in fields.chunks_exact(2) {
        let [Value::BulkString(field), Value::BulkString(value)] = pair else { return None };
        let text = || str::from_utf8(value).ok();
        let millis = || text()?.parse().ok().map(Duration::from_millis);
        match field.as_slice() {
            b"v" => version = u64::from_str_radix(text()?, 16).ok().map(Version::from_u64),
            b"c" => created = UNIX_EPOCH.checked_add(millis()?),
            b"t" => parts.set_timeout(Some(millis()?)),
            b"o" => parts.set_owner(Some(text()?)).ok()?,
            [b'k', length, name @ ..] => {
                let (component, key) = str::from_utf8(name).ok()?.split_at_checked(usize::from(*length))?;
                parts.insert(component, key, serde_json::from_slice::<&RawValue>(value).ok()?).ok()?;
            }
            _ => {}
        }
    }
    parts.apply(&Record::new()).ok()?.with_version(version?).admit(created?).ok()
}

/// Changes as the arguments of the save script.
pub(super) fn of_changes(changes: &Changes, epoch: Option<Epoch>) -> Vec<Word<'_>> {
    let mut verbs = Vec::new();
    if changes.clears_everything() {
        verbs.extend([word("clear"), word("k")]);
    }
    verbs.extend(changes.cleared_components().flat_map(|component| [word("clear"), entry(component, "").into()]));
    match changes.timeout() {
        Some(Some(timeout)) => verbs.extend([word("set"), word("t"), millis(timeout).into()]),
        Some(None) => verbs.extend([word("del"), word("t")]),
        None => {}
    }
    match changes.owner() {
        Some(Some(owner)) => {
            verbs.extend([word("set"), word("o"), word(owner)]);
            let login = epoch.into_iter().flat_map(login);
            verbs.extend(login.collect::<Vec<_>>().chunks(2).flat_map(|pair| [&[word("set")], pair].concat()));
        }
        Some(None) => verbs.extend(["o", "e", "q"].into_iter().flat_map(|field| [word("del"), word(field)])),
        None => {}
    }
    for change in changes.keys() {
        let field = entry(change.component, change.key).into();
        match change.value {
            Some(value) => verbs.extend([word("set"), field, value.into()]),
            None => verbs.extend([word("del"), field]),
        }
    }
    verbs
}

/// The fields of a login that nobody has confirmed yet.
fn login<'a>(epoch: Epoch) -> [Word<'a>; 4] {
    [word("e"), number(epoch.to_u64()).into(), word("q"), word("1")]
}

/// How many bytes the field of an entry has.
fn size_of(component: &str, key: &str) -> usize {
    2 + component.len() + key.len()
}

/// The field of an entry.
fn entry(component: &str, key: &str) -> Vec<u8> {
    // A component's name is no longer than 255 bytes.
    let length = u8::try_from(component.len()).unwrap_or(u8::MAX);
    [b"k", [length].as_slice(), component.as_bytes(), key.as_bytes()].concat()
}

pub(super) fn word(text: &str) -> Word<'_> {
    Cow::Borrowed(text.as_bytes())
}

pub(super) fn number(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

pub(super) fn hex(version: Version) -> Vec<u8> {
    format!("{:016x}", version.to_u64()).into_bytes()
}

fn millis(span: Duration) -> Vec<u8> {
    span.as_millis().to_string().into_bytes()
}
