//! What stands before a body's entries: format and flags, times, and the owner.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::lengths::Width;

/// The upper half of the first byte. Another format will have another number.
const FORMAT: u8 = 0x10;
const HAS_TIMEOUT: u8 = 0x01;
const HAS_OWNER: u8 = 0x02;
const FLAGS: u8 = HAS_TIMEOUT | HAS_OWNER | Width::MASK;

/// Where the number of entries and the length of the names stand.
pub(super) const COUNTED: Range<usize> = 1..6;

/// Where the time of creation stands.
const CREATED: Range<usize> = COUNTED.end..COUNTED.end + TIME;

/// Bytes of a time.
const TIME: usize = 6;

/// A body without entries, that of a record that no store has had yet: nothing but a head.
pub(crate) const EMPTY: &[u8] = &[FORMAT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The longest owner name, in bytes.
pub(crate) const MAX_OWNER_BYTES: usize = 255;

/// Later than any time that is kept: the largest number of milliseconds that `SystemTime` can add to 1970 everywhere.
pub(super) const MAX_MILLIS: u64 = i64::MAX as u64 / 1_000_000;

/// Notes when a session was created in bytes that are a body.
pub(crate) fn set_created_at(body: &mut [u8], at: SystemTime) {
    if let Some(place) = body.get_mut(CREATED) {
        place.copy_from_slice(&time(Head::default().with_created_at(Some(at)).created_ms));
    }
}

/// Notes what follows on a head. More than it can count is written as the most that it can; [`check_limits`](super::check_limits) refuses
/// both.
pub(super) fn set_counts(body: &mut [u8], width: Width, entries: usize, names: usize) {
    let [high, low] = u16::try_from(entries).unwrap_or(u16::MAX).to_be_bytes();
    let [_, names @ ..] = u32::try_from(names).unwrap_or(u32::MAX).min(0xff_ffff).to_be_bytes();
    body[0] = body[0] & !Width::MASK | width.flags();
    body[COUNTED].copy_from_slice(&[high, low, names[0], names[1], names[2]]);
}

/// Whether it is noted in these bytes.
pub(crate) fn is_created(body: &[u8]) -> bool {
    body.get(CREATED).is_some_and(|bytes| bytes != [0; TIME])
}

/// Whether bytes that are a body have an owner.
pub(crate) fn has_owner(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|flags| flags & HAS_OWNER != 0)
}

/// The head as it is read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// 0: not yet.
    pub(super) created_ms: u64,
    pub(super) timeout_ms: Option<u64>,
    pub(crate) owner: Option<&'a str>,
}

impl<'a> Head<'a> {
    pub(crate) fn created_at(&self) -> Option<SystemTime> {
        let since = Some(self.created_ms).filter(|millis| *millis > 0)?;
        UNIX_EPOCH.checked_add(Duration::from_millis(since))
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }

    /// A session made in 1970 exactly, or before, counts as made a millisecond later: 0 means "not yet".
    pub(crate) fn with_created_at(self, at: Option<SystemTime>) -> Self {
        let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(1, |since| millis(since).max(1));
        Self { created_ms: at.map_or(0, since), ..self }
    }

    pub(crate) fn with_timeout(self, timeout: Option<Duration>) -> Self {
        Self { timeout_ms: timeout.map(millis), ..self }
    }

    pub(crate) fn with_owner(self, owner: Option<&'a str>) -> Self {
        Self { owner, ..self }
    }

    /// Reads bytes that [`length`] has measured.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, mut rest) = bytes.split_at_checked(EMPTY.len())?;
        let flags = fixed[0];
        let mut timeout_ms = None;
        if flags & HAS_TIMEOUT != 0 {
            let (timeout, after) = rest.split_first_chunk::<TIME>()?;
            (timeout_ms, rest) = (Some(number(timeout)), after);
        }
        let owner = if flags & HAS_OWNER == 0 { None } else { Some(str::from_utf8(rest.get(1..)?).ok()?) };
        Some(Self { created_ms: number(&fixed[CREATED]), timeout_ms, owner })
    }

    /// Of an owner that is too long for any record, only the beginning.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let has = |part: bool, flag: u8| if part { flag } else { 0 };
        let flags = has(self.timeout_ms.is_some(), HAS_TIMEOUT) | has(self.owner.is_some(), HAS_OWNER);
        bytes.push(FORMAT | flags);
        bytes.extend([0; COUNTED.end - COUNTED.start]);
        bytes.extend(time(self.created_ms));
        bytes.extend(self.timeout_ms.map(time).into_iter().flatten());
        if let Some(owner) = self.owner {
            let length = u8::try_from(owner.len()).unwrap_or(u8::MAX);
            bytes.push(length);
            bytes.extend_from_slice(&owner.as_bytes()[..usize::from(length)]);
        }
    }
}

/// How long the head is with which these bytes begin.
#[inline]
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let flags = *bytes.first()?;
    if flags & !FLAGS != FORMAT {
        return None;
    }
    let mut length = EMPTY.len();
    if flags & HAS_TIMEOUT != 0 {
        length += TIME;
    }
    if flags & HAS_OWNER != 0 {
        length += 1 + usize::from(*bytes.get(length)?);
    }
    Some(length)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(MAX_MILLIS).min(MAX_MILLIS)
}

fn time(millis: u64) -> [u8; TIME] {
    let [_, _, bytes @ ..] = millis.to_be_bytes();
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

// What a time holds is more than any that is kept.
const _: () = assert!(MAX_MILLIS < 1 << (8 * TIME));
