//! The row: a session as it stands in its hash.
//!
//! Beside the [entries](super::fields) a hash has fields of one letter: the `o`wner, the `e`poch of
//! the login, the `l`abel, the key of its `c`srf tokens, and `d`, the deadline, where tests turn
//! the clock by hand; elsewhere the key's own expiry is the deadline. What every session has is in
//! one field, `m`, because each field costs as much to fetch as its bytes. It has 64 bytes, the
//! most that a small hash is kept flat with:
//!
//! ```text
//! layout ('2') · login ('s'ure, 'u'nsure: not confirmed yet) · digest of the secret (16) · kind of
//! the second secret (1) · noted in the sets until (6) · incarnation (4) · created (6) · owner
//! since (6) · id since (6) · timeout of its own (6; all ones: none) · saves (4) · bytes of the
//! entries, at most (4) · entries, at most (2) · flags: these two are exact, remembered, owned (1)
//! ```
//!
//! What every commit changes is at the end, so that a script keeps the front in one piece.
//!
//! A session that was rotated or changed also has `x`: its second secret (digest 16, seed 8,
//! instant 8), if there is one, and the nonces of its last four versions (8 each, newest first).
//! Times are milliseconds since 1970.

use std::time::Duration;

use ::redis::Value;

use super::plan::NO_TIME;
use crate::error::{Error, Result};
use crate::id::{Handle, SecretCheck, SessionId};
use crate::record::{Frame, Head, NEVER, Ownership, Record, RecordEntry, SecondSecret, StoreState, Version, json_text};
use crate::store::{self, Epoch, Lease, Listed, Look, Lookup, Now, Sight, Stored};

/// The number of the layout, as a digit.
pub(super) const LAYOUT: u8 = b'2';

const NANOS: u64 = 1_000_000;

/// What was read of a session.
pub(super) struct Row {
    record: Record,
    /// Whose login was not confirmed yet, and its epoch.
    pub(super) unsure: Option<(String, Epoch)>,
    now: Now,
    ttl_ms: u64,
}

impl Row {
    /// Reads fields and values; `None`: there is no live session. Without `left_ms` the deadline is
    /// in the fields.
    pub(super) fn read(handle: Handle, now_ms: u64, left_ms: Option<i64>, fields: &[Value]) -> Result<Option<Self>> {
        let find = |name: &[u8]| pairs(fields).find_map(|(field, value)| (field == name).then_some(value));
        let left = match left_ms {
            // A hash that lost its expiry gets another one at the next visit.
            Some(-1) => 1,
            Some(left) => u64::try_from(left).unwrap_or(0),
            None => find(b"d").and_then(number).unwrap_or(0).saturating_sub(now_ms),
        };
        let Some(meta) = find(b"m").filter(|_| left > 0) else { return Ok(None) };
        if meta.first() != Some(&LAYOUT) {
            return Err(other_layout(handle, &meta[..meta.len().min(1)]));
        }
        let now = Now { clock: now_ms.saturating_mul(NANOS), calendar_ms: now_ms };
        let read = read(
            handle,
            meta,
            find(b"x").unwrap_or_default(),
            fields,
            now.clock.saturating_add(left.saturating_mul(NANOS)),
        );
        let record = read.ok_or_else(|| not_ours(handle))?;
        let epoch = || find(b"e").and_then(number).unwrap_or(0);
        let owner = record.owner().filter(|_| meta[1] == b'u');
        let unsure = owner.map(|owner| (owner.to_owned(), Epoch::from_u64(epoch())));
        Ok(Some(Self { record, unsure, now, ttl_ms: left }))
    }

    /// What a look finds, by the rule, and whether it has anything to write.
    pub(super) fn seen_by(self, id: &SessionId, how: Look, lease: &Lease) -> (Lookup, bool) {
        let seen = store::look(&self.record, id, how, lease, self.now);
        match seen.sight {
            Sight::Missing => (Lookup::Missing, false),
            Sight::Superseded { recent } => (Lookup::Superseded { recent }, false),
            Sight::Found(opened) => {
                let stored = Stored { presented: opened.presented(id), ..Stored::new(self.record, seen.ttl) };
                (Lookup::Found(stored), seen.touch.is_some() || seen.next.is_some())
            }
        }
    }

    /// For how long no visit is due.
    pub(super) fn quiet_for(&self, lease: &Lease) -> Duration {
        let (full, left) = (lease.ttl(&self.record, self.now), Duration::from_millis(self.ttl_ms));
        let since = full.checked_sub(left);
        since.map_or(Duration::ZERO, |since| lease.touch_after.min(full / 2).saturating_sub(since))
    }

    pub(super) fn listed(self, handle: Handle) -> Listed {
        Listed::new(handle, Stored::new(self.record, Duration::from_millis(self.ttl_ms)))
    }
}

/// `None`: this is not what lembro wrote.
fn read(handle: Handle, mut meta: &[u8], tail: &[u8], fields: &[Value], deadline: u64) -> Option<Record> {
    let [_, _, digest @ ..] = take::<18>(&mut meta)?;
    let ([kind], _known) = (take::<1>(&mut meta)?, take::<6>(&mut meta)?);
    let incarnation = take::<4>(&mut meta)?;
    let mut time = || take::<6>(&mut meta).map(six);
    let (created_ms, since_ms, id_since_ms, timeout_ms) = (time()?, time()?, time()?, time()?);
    let saves = take::<4>(&mut meta)?;
    let version =
        Version::from_u64(u64::from(u32::from_be_bytes(incarnation)) << 32 | u64::from(u32::from_be_bytes(saves)));
    let [_, _, _, _, _, _, flags] = take::<7>(&mut meta)?;
    let mut entries = Vec::with_capacity(fields.len() / 2);
    let mut head = Head {
        created_ms,
        timeout_ms: Some(timeout_ms).filter(|timeout| *timeout != NO_TIME),
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
        // The script's "never" is the largest number that Lua is exact with.
        kind => {
            let never = |until: u64| if until == super::plan::NONE - 1 { NEVER } else { until.saturating_mul(NANOS) };
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

/// Says that a session is of another layout, or of none.
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
