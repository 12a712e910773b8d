//! The row: the layout of a session in its hash.
//!
//! Each entry of the session has a field, whose name is `k`, the length of the component as a byte,
//! the component, and the key. Fields of one letter hold the rest: the `o`wner, the `e`poch of the
//! login, the `l`abel, the key of the `c`srf tokens, the `m`eta field, and `d`, the deadline, which
//! exists only while a test sets the clock; otherwise the key's own expiry is the deadline.
//!
//! The meta field holds all values that every session has, because each field more would make a
//! fetch slower. It has 64 bytes, the maximum for which Redis keeps a small hash flat:
//!
//! ```text
//! layout ('2') · login ('s'ure, 'u'nsure: not confirmed yet) · digest of the secret (16) · kind of
//! the second secret (1) · indexed until (6) · incarnation (4) · created (6) · owner since (6) · id
//! since (6) · own timeout (6; all ones: none) · saves (4) · upper bound of the entries' bytes (4)
//! · upper bound of their number (2) · flags (1): both bounds are exact, remembered, owned
//! ```
//!
//! The parts that every commit changes are at the end, so a script copies the front in one piece.
//!
//! A session that was rotated or changed also has `x`: its second secret, if any (digest 16, seed
//! 8, instant 8), and the nonces of its last four versions (8 each, newest first). Times are
//! milliseconds since 1970.

use std::time::Duration;

use ::redis::Value;

use super::lua::{Arg, NONE};
use crate::error::{Error, Result};
use crate::id::{Handle, SecretCheck, SessionId};
use crate::record::{
    Changes, Frame, Head, NEVER, Ownership, Record, RecordEntry, SecondSecret, StoreState, Version, json_text,
};
use crate::store::{self, Epoch, Lease, Listed, Look, LookAnswer, Lookup, Now, Stored};

/// The number of the layout, as a digit.
pub(super) const LAYOUT: u8 = b'2';

/// "No own timeout", in the six bytes of the meta field.
pub(super) const NO_TIMEOUT: u64 = (1 << 48) - 1;

const NANOS: u64 = 1_000_000;

/// A session as it was read from its hash.
pub(super) struct HashRow {
    record: Record,
    /// The owner and the epoch of a login that is not confirmed yet.
    pub(super) unconfirmed: Option<(String, Epoch)>,
    now: Now,
    ttl_ms: u64,
}

impl HashRow {
    /// Reads fields and values. Returns `None` if there is no live session. Without `left_ms` the
    /// deadline is one of the fields.
    pub(super) fn read(handle: Handle, now_ms: u64, left_ms: Option<i64>, fields: &[Value]) -> Result<Option<Self>> {
        let find = |name: &[u8]| pairs(fields).find_map(|(field, value)| (field == name).then_some(value));
        let left = match left_ms {
            // The key has no expiry: the next visit sets one.
            Some(-1) => 1,
            Some(left) => u64::try_from(left).unwrap_or(0),
            None => find(b"d").and_then(number).unwrap_or(0).saturating_sub(now_ms),
        };
        let Some(meta) = find(b"m").filter(|_| left > 0) else { return Ok(None) };
        if meta.first() != Some(&LAYOUT) {
            return Err(other_layout(handle, &meta[..meta.len().min(1)]));
        }
        let now = Now { clock: now_ms.saturating_mul(NANOS), calendar_ms: now_ms };
        let deadline = now.clock.saturating_add(left.saturating_mul(NANOS));
        let record = record_from(handle, meta, find(b"x").unwrap_or_default(), fields, deadline);
        let record = record.ok_or_else(|| not_ours(handle))?;
        let epoch = || find(b"e").and_then(number).unwrap_or(0);
        let owner = record.owner().filter(|_| meta[1] == b'u');
        let unconfirmed = owner.map(|owner| (owner.to_owned(), Epoch::from_u64(epoch())));
        Ok(Some(Self { record, unconfirmed, now, ttl_ms: left }))
    }

    /// Applies the rule of a look. The flag says whether the look has something to write.
    pub(super) fn look(self, id: &SessionId, how: Look, lease: &Lease) -> (Lookup, bool) {
        let seen = store::look(&self.record, id, how, lease, self.now);
        match seen.answer {
            LookAnswer::Missing => (Lookup::Missing, false),
            LookAnswer::Superseded { recent } => (Lookup::Superseded { recent }, false),
            LookAnswer::Found(opener) => {
                let stored = Stored { presented: opener.presented(id), ..Stored::new(self.record, seen.ttl) };
                (Lookup::Found(stored), seen.touch.is_some() || seen.next.is_some())
            }
        }
    }

    /// The time until a visit prolongs the session again.
    pub(super) fn quiet_for(&self, lease: &Lease) -> Duration {
        let (full, left) = (lease.ttl(&self.record, self.now), Duration::from_millis(self.ttl_ms));
        let since = full.checked_sub(left);
        since.map_or(Duration::ZERO, |since| lease.touch_after.min(full / 2).saturating_sub(since))
    }

    pub(super) fn listed(self, handle: Handle) -> Listed {
        Listed::new(handle, Stored::new(self.record, Duration::from_millis(self.ttl_ms)))
    }
}

/// Returns `None` if lembro cannot have written this row.
fn record_from(handle: Handle, mut meta: &[u8], tail: &[u8], fields: &[Value], deadline: u64) -> Option<Record> {
    let [_, _, digest @ ..] = take::<18>(&mut meta)?;
    let ([kind], _indexed_until) = (take::<1>(&mut meta)?, take::<6>(&mut meta)?);
    let incarnation = take::<4>(&mut meta)?;
    let mut time = || take::<6>(&mut meta).map(six);
    let (created_ms, since_ms, id_since_ms, timeout_ms) = (time()?, time()?, time()?, time()?);
    let saves = take::<4>(&mut meta)?;
    let [incarnation, saves] = [incarnation, saves].map(|bytes| u64::from(u32::from_be_bytes(bytes)));
    let version = Version::from_u64(incarnation << 32 | saves);
    let [.., flags] = take::<7>(&mut meta)?;
    let mut entries = Vec::with_capacity(fields.len() / 2);
    let mut head = Head {
        created_ms,
        timeout_ms: Some(timeout_ms).filter(|timeout| *timeout != NO_TIMEOUT),
        id_since_ms: Some(id_since_ms).filter(|since| *since > 0),
        remembered: flags & 2 != 0,
        ..Head::default()
    };
    for (field, value) in pairs(fields) {
        match field {
            b"o" => head.owner = Some(Ownership { name: str::from_utf8(value).ok()?, since_ms }),
            b"l" => head.label = Some(str::from_utf8(value).ok()?),
            b"c" => head.csrf = Some(value.try_into().ok()?),
            [b'k', length, name @ ..] => {
                let (component, key) = str::from_utf8(name).ok()?.split_at_checked(usize::from(*length))?;
                entries.push(RecordEntry { component, key, value: json_text(value)?.as_bytes() });
            }
            _ => {}
        }
    }
    let second = match kind {
        0 => None,
        // The scripts' "never" is the largest exact number in Lua.
        kind => {
            let never = |until: u64| if until == NONE - 1 { NEVER } else { until.saturating_mul(NANOS) };
            Some(SecondSecret::from_parts(kind, tail.first_chunk()?)?.on(never))
        }
    };
    let state = StoreState::row(handle, SecretCheck::Digest(digest), deadline);
    Record::from_parts(&head, state, &Frame { second, version }, entries).ok()
}

fn pairs(fields: &[Value]) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.chunks_exact(2).filter_map(|pair| match pair {
        [Value::BulkString(field), Value::BulkString(value)] => Some((field.as_slice(), value.as_slice())),
        _ => None,
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn six(bytes: [u8; 6]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn number(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// The changes of a commit as arguments of a script.
pub(super) struct EntryArgs<'a> {
    /// Field and value of each entry to set, the field of each to remove, and the beginnings of the
    /// fields to clear.
    pub(super) args: Vec<Arg<'a>>,
    /// The number of entries to set, and their bytes.
    pub(super) set: usize,
    pub(super) bytes: usize,
    /// The positions of the last argument to set and of the last to remove.
    pub(super) last_set: usize,
    pub(super) last_removed: usize,
}

/// The arguments of a commit that logs `owner` in, and that creates the session if `is_new`.
pub(super) fn args_of_changes<'a>(changes: &'a Changes, owner: Option<&'a str>, is_new: bool) -> EntryArgs<'a> {
    let (mut args, mut removed, mut cleared) = (Vec::new(), Vec::new(), Vec::new());
    if changes.clears_everything() {
        cleared.push(arg("k"));
    }
    cleared.extend(changes.cleared_components().map(|component| field(component, "").into()));
    // The script expects the key of the csrf tokens first.
    match changes.csrf() {
        Some(key) => args.extend([arg("c"), key.to_vec().into()]),
        None if owner.is_some() && !is_new => removed.push(arg("c")),
        None => {}
    }
    args.extend(owner.into_iter().flat_map(|owner| [arg("o"), arg(owner)]));
    match changes.label() {
        Some(Some(label)) => args.extend([arg("l"), arg(label)]),
        Some(None) => removed.push(arg("l")),
        None => {}
    }
    let (mut set, mut bytes) = (0, 0);
    for change in changes.keys() {
        let field = field(change.component, change.key);
        match change.value {
            Some(value) => {
                set += 1;
                bytes += field.len() + value.len();
                args.extend([field.into(), value.into()]);
            }
            None => removed.push(field.into()),
        }
    }
    let last_set = 1 + args.len();
    let last_removed = last_set + removed.len();
    args.extend(removed.into_iter().chain(cleared));
    EntryArgs { args, set, bytes, last_set, last_removed }
}

/// A record's entries, owner, label and token key as fields and values.
pub(super) fn args_of_record(record: &Record) -> Vec<Arg<'_>> {
    let mut args = Vec::new();
    args.extend(record.owner().into_iter().flat_map(|owner| [arg("o"), arg(owner)]));
    args.extend(record.label().into_iter().flat_map(|label| [arg("l"), arg(label)]));
    args.extend(record.head().csrf.into_iter().flat_map(|key| [arg("c"), key.to_vec().into()]));
    args.extend(record.entries().flat_map(|(component, key, json)| [field(component, key).into(), arg(json.get())]));
    args
}

/// The size of a record's entries in bytes.
pub(super) fn size_of_record(record: &Record) -> usize {
    record.entries().map(|(component, key, json)| 2 + component.len() + key.len() + json.get().len()).sum()
}

/// The field of an entry.
fn field(component: &str, key: &str) -> Vec<u8> {
    // A component's name has at most 255 bytes.
    let length = u8::try_from(component.len()).unwrap_or(u8::MAX);
    [b"k", [length].as_slice(), component.as_bytes(), key.as_bytes()].concat()
}

fn arg(text: &str) -> Arg<'_> {
    text.as_bytes().into()
}

/// The error about a session with another layout, or with none.
pub(super) fn other_layout(handle: Handle, layout: &[u8]) -> Error {
    match layout {
        [] | [LAYOUT] => not_ours(handle),
        _ => Error::corrupt(format!(
            "session {handle} has layout {}, and this version of lembro knows layout {} only",
            String::from_utf8_lossy(layout),
            char::from(LAYOUT)
        )),
    }
}

pub(super) fn not_ours(handle: Handle) -> Error {
    Error::corrupt(format!("session {handle} is not what lembro wrote"))
}
