//! A session as the fields of a hash, and back.
//!
//! Each entry is a field that starts with `k`, the length of the component as a byte, and the component. Fields of one letter are
//! ours: `o`wner with the `e`poch of the login, the `t`imeout of the session's own, the `p`revious digest and the end of its `g`race;
//! times are milliseconds since 1970. What every session has is in one, `m`, because each field costs as much to fetch as its bytes:
//!
//! ```text
//! layout ('1') · login ('s'ure, 'u'nsure: nobody has looked whether it counts) · digest of the secret (16 bytes)
//! · noted in the indexes until (8) · incarnation (4) · saves (4)
//! · bytes of the entries, at most (4) · entries, at most (2) · whether these two are exact (1) · created (8)
//! ```

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use ::redis::Value;

use crate::record::{Changes, Epoch, Expected, MAX_KEYS, Record, RecordParts, Version};

/// Where the parts of the meta field begin that are read here.
const VERSION: usize = 26;
const CREATED: usize = 41;

/// Which argument of the save script is the plan; the first is 1.
const PLAN: usize = 4;

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

/// How the meta field begins for whoever knows the secret, of a login that is sure or of none.
pub(super) fn usual(digest: &[u8]) -> Vec<u8> {
    [b"1s", digest].concat()
}

/// A record as the arguments of the scripts that store one. `epoch`: that of its owner's login, which nobody has confirmed yet.
pub(super) fn of_record(record: &Record, epoch: Option<Epoch>) -> Vec<Word<'_>> {
    let created = record.created_at().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let meta = [
        &record.version().to_u64().to_be_bytes()[..],
        &u32::try_from(size_of_record(record)).unwrap_or(u32::MAX).to_be_bytes(),
        &u16::try_from(record.len()).unwrap_or(u16::MAX).to_be_bytes(),
        &[0],
        &u64::try_from(created.as_millis()).unwrap_or(0).to_be_bytes(),
    ];
    let mut words = vec![word(if epoch.is_some() { "u" } else { "s" }), meta.concat().into()];
    words.extend(record.timeout().into_iter().flat_map(|timeout| [word("t"), millis(timeout).into()]));
    words.extend(record.owner().into_iter().flat_map(|owner| [word("o"), word(owner)]));
    words.extend(epoch.into_iter().flat_map(|epoch| [word("e"), number(epoch.to_u64()).into()]));
    for (component, key, json) in record.entries() {
        words.extend([entry(component, key).into(), word(json.get())]);
    }
    words
}

/// Whether it can be told without a script that these are the session that whoever knows the secret looks for.
pub(super) fn are_usual(fields: &[Value], usual: &[u8]) -> bool {
    pairs(fields).any(|(field, value)| field == b"m" && value.starts_with(usual))
}

/// The record that fields and values are. `None`: these are not a session's.
pub(super) fn to_record(fields: &[Value]) -> Option<Record> {
    let mut parts = RecordParts::with_capacity(fields.len() / 2);
    let mut version = None;
    for (field, value) in pairs(fields) {
        match field {
            b"m" => {
                let created = u64::from_be_bytes(value.get(CREATED..)?.try_into().ok()?);
                parts.created_at = Some(UNIX_EPOCH.checked_add(Duration::from_millis(created))?);
                let bytes = value.get(VERSION..VERSION + 8)?.try_into().ok()?;
                version = Some(Version::from_u64(u64::from_be_bytes(bytes)));
            }
            b"t" => parts.timeout = Some(Duration::from_millis(str::from_utf8(value).ok()?.parse().ok()?)),
            b"o" => parts.owner = Some(str::from_utf8(value).ok()?),
            [b'k', length, name @ ..] => {
                let (component, key) = str::from_utf8(name).ok()?.split_at_checked(usize::from(*length))?;
                parts.push(component, key, value);
            }
            _ => {}
        }
    }
    parts.into_record(version?).ok()
}

fn pairs(fields: &[Value]) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.chunks_exact(2).filter_map(|pair| match pair {
        [Value::BulkString(field), Value::BulkString(value)] => Some((field.as_slice(), value.as_slice())),
        _ => None,
    })
}

/// Changes as the arguments of the save script. The plan comes first, so many bytes that Lua has little to read:
///
/// ```text
/// 'e'xactly this version or any of this 'i'ncarnation · the version (8 bytes) · most entries (4) · most bytes (4)
/// · entries that are set (4) · their bytes (4) · which of the arguments is the last to set (4) · and the last to remove (4)
/// · whether the login is 's'ure, 'u'nsure, or as it was ('-')
/// ```
pub(super) fn of_changes(
    changes: &Changes,
    epoch: Option<Epoch>,
    expected: Expected,
    max_bytes: usize,
) -> Vec<Word<'_>> {
    let (mut set, mut removed, mut cleared) = (vec![Word::default()], Vec::new(), Vec::new());
    if changes.clears_everything() {
        cleared.push(word("k"));
    }
    cleared.extend(changes.cleared_components().map(|component| entry(component, "").into()));
    match changes.timeout() {
        Some(Some(timeout)) => set.extend([word("t"), millis(timeout).into()]),
        Some(None) => removed.push(word("t")),
        None => {}
    }
    let login = match changes.owner() {
        Some(Some(owner)) => {
            set.extend([word("o"), word(owner)]);
            set.extend(epoch.into_iter().flat_map(|epoch| [word("e"), number(epoch.to_u64()).into()]));
            b"u"
        }
        Some(None) => {
            removed.extend(["o", "e"].map(word));
            b"s"
        }
        None => b"-",
    };
    let (mut entries, mut bytes) = (0, 0);
    for change in changes.keys() {
        let field = entry(change.component, change.key);
        match change.value {
            Some(value) => {
                entries += 1;
                bytes += field.len() + value.len();
                set.extend([field.into(), value.into()]);
            }
            None => removed.push(field.into()),
        }
    }
    let (kind, version) = match expected {
        Expected::Exactly(version) => (b"e", version),
        Expected::Incarnation(version) => (b"i", version),
    };
    let set_end = PLAN - 1 + set.len();
    let counts = [MAX_KEYS, max_bytes, entries, bytes, set_end, set_end + removed.len()];
    let counts = counts.map(|count| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
    set[0] = [&kind[..], &version.to_u64().to_be_bytes(), counts.as_flattened(), login].concat().into();
    set.extend(removed.into_iter().chain(cleared));
    set
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

fn millis(span: Duration) -> Vec<u8> {
    span.as_millis().to_string().into_bytes()
}
