//! The head of a body: format and flags, counts, times, the owner, and notes (optional fields).

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::entries::Width;

/// The number of the format, in the upper half of the first byte.
const FORMAT: u8 = 0x20;
const HAS_TIMEOUT: u8 = 0x01;
const HAS_OWNER: u8 = 0x02;
const FLAGS: u8 = HAS_TIMEOUT | HAS_OWNER | Width::MASK;

/// The position of the byte that says which notes exist.
const NOTES: usize = 1;
const HAS_ID_SINCE: u8 = 0x01;
const HAS_LABEL: u8 = 0x02;
const REMEMBERED: u8 = 0x04;
const HAS_CSRF: u8 = 0x08;
const NOTE_FLAGS: u8 = HAS_ID_SINCE | HAS_LABEL | REMEMBERED | HAS_CSRF;

/// The position of the number of entries and the length of the names.
pub(super) const COUNTS: Range<usize> = 2..7;

/// The position of the time of creation.
const CREATED: Range<usize> = COUNTS.end..COUNTS.end + TIME;

/// Bytes of a time.
const TIME: usize = 6;

/// The key that a session's CSRF tokens are made from.
pub(crate) type CsrfKey = [u8; 16];

/// A body without entries and without a time of creation. It is only a head.
pub(super) const EMPTY: &[u8] = &[FORMAT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The longest owner and the longest label, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 255;

/// The latest time that a head can hold, in milliseconds since 1970. It is the latest that
/// `SystemTime` can represent on every platform.
pub(crate) const MAX_MILLIS: u64 = i64::MAX as u64 / 1_000_000;

/// Writes the counts into a head. Counts saturate; `limits::check_body` rejects saturated ones.
pub(super) fn set_counts(body: &mut [u8], width: Width, entries: usize, names: usize) {
    let [high, low] = u16::try_from(entries).unwrap_or(u16::MAX).to_be_bytes();
    let [_, names @ ..] = u32::try_from(names).unwrap_or(u32::MAX).min(0xff_ffff).to_be_bytes();
    body[0] = body[0] & !Width::MASK | width.flags();
    body[COUNTS].copy_from_slice(&[high, low, names[0], names[1], names[2]]);
}

/// The number of entries of a body that starts with these bytes.
pub(super) fn count(start: &[u8]) -> usize {
    let [_, _, high, low, ..] = start else { return 0 };
    usize::from(u16::from_be_bytes([*high, *low]))
}

/// Returns true if the session of this body has an owner.
pub(super) fn has_owner(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|flags| flags & HAS_OWNER != 0)
}

/// The fields of a head. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// 0 before a store has stored the record.
    pub(crate) created_ms: u64,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) owner: Option<Ownership<'a>>,
    /// When the session got its id. `None` if that was at its creation, or if ids are not renewed.
    pub(crate) id_since_ms: Option<u64>,
    pub(crate) label: Option<&'a str>,
    pub(crate) remembered: bool,
    pub(crate) csrf: Option<CsrfKey>,
}

/// The owner of a session, and the time of the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ownership<'a> {
    pub(crate) name: &'a str,
    pub(crate) since_ms: u64,
}

impl<'a> Head<'a> {
    pub(crate) fn created_at(&self) -> Option<SystemTime> {
        Some(self.created_ms).filter(|millis| *millis > 0).and_then(calendar_time)
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }

    /// Reads the bytes of a head.
    #[inline]
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, mut rest) = bytes.split_at_checked(EMPTY.len())?;
        let (flags, notes) = (fixed[0], fixed[NOTES]);
        let mut head =
            Self { created_ms: number(&fixed[CREATED]), remembered: notes & REMEMBERED != 0, ..Self::default() };
        if flags & HAS_TIMEOUT != 0 {
            head.timeout_ms = Some(take_time(&mut rest)?);
        }
        if flags & HAS_OWNER != 0 {
            head.owner = Some(Ownership { since_ms: take_time(&mut rest)?, name: take_text(&mut rest)? });
        }
        if notes & HAS_ID_SINCE != 0 {
            head.id_since_ms = Some(take_time(&mut rest)?);
        }
        if notes & HAS_LABEL != 0 {
            head.label = Some(take_text(&mut rest)?);
        }
        if notes & HAS_CSRF != 0 {
            head.csrf = Some(*rest.first_chunk()?);
        }
        Some(head)
    }

    /// Writes a head. Times saturate; a text that is too long for any record is cut.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let flag = |part: bool, flag: u8| if part { flag } else { 0 };
        let flags = flag(self.timeout_ms.is_some(), HAS_TIMEOUT) | flag(self.owner.is_some(), HAS_OWNER);
        let notes = flag(self.id_since_ms.is_some(), HAS_ID_SINCE)
            | flag(self.label.is_some(), HAS_LABEL)
            | flag(self.remembered, REMEMBERED)
            | flag(self.csrf.is_some(), HAS_CSRF);
        bytes.extend([FORMAT | flags, notes]);
        bytes.extend([0; COUNTS.end - COUNTS.start]);
        bytes.extend(time(self.created_ms));
        bytes.extend(self.timeout_ms.map(time).into_iter().flatten());
        if let Some(Ownership { name, since_ms }) = self.owner {
            bytes.extend(time(since_ms));
            write_text(name, bytes);
        }
        bytes.extend(self.id_since_ms.map(time).into_iter().flatten());
        if let Some(label) = self.label {
            write_text(label, bytes);
        }
        bytes.extend(self.csrf.into_iter().flatten());
    }

    pub(crate) fn times(&self) -> Times {
        Times {
            began_ms: self.owner.map_or(self.created_ms, |owner| owner.since_ms.max(self.created_ms)),
            timeout_ms: self.timeout_ms,
            remembered: self.remembered,
        }
    }

    /// Returns true if all times are in range.
    pub(super) fn is_in_range(&self) -> bool {
        let times = [Some(self.created_ms), self.timeout_ms, self.owner.map(|owner| owner.since_ms), self.id_since_ms];
        times.into_iter().flatten().all(|millis| millis <= MAX_MILLIS)
    }
}

/// The fields that decide how long a session lives, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// When the lifetime began: at the creation, or at the owner's login if that was later. 0
    /// before a store has stored the record.
    pub(crate) began_ms: u64,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) remembered: bool,
}

/// The times of a body. Skips the texts, because every look reads the times.
#[inline]
pub(super) fn times(body: &[u8]) -> Option<Times> {
    let (fixed, mut rest) = body.split_at_checked(EMPTY.len())?;
    let mut times =
        Times { began_ms: number(&fixed[CREATED]), timeout_ms: None, remembered: fixed[NOTES] & REMEMBERED != 0 };
    if fixed[0] & HAS_TIMEOUT != 0 {
        times.timeout_ms = Some(take_time(&mut rest)?);
    }
    if fixed[0] & HAS_OWNER != 0 {
        times.began_ms = take_time(&mut rest)?.max(times.began_ms);
    }
    Some(times)
}

/// The length of the head at the start of these bytes.
#[inline]
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let &[flags, notes, ..] = bytes else { return None };
    if flags & !FLAGS != FORMAT || notes & !NOTE_FLAGS != 0 {
        return None;
    }
    let mut length = EMPTY.len();
    if flags & HAS_TIMEOUT != 0 {
        length += TIME;
    }
    if flags & HAS_OWNER != 0 {
        length += TIME;
        length += 1 + usize::from(*bytes.get(length)?);
    }
    if notes & HAS_ID_SINCE != 0 {
        length += TIME;
    }
    if notes & HAS_LABEL != 0 {
        length += 1 + usize::from(*bytes.get(length)?);
    }
    if notes & HAS_CSRF != 0 {
        length += size_of::<CsrfKey>();
    }
    Some(length)
}

/// Milliseconds of a time span, saturating.
#[inline]
pub(super) fn millis(span: Duration) -> u64 {
    // Not from `as_nanos`, because a division of 128 bits takes longer than the rest of a look.
    let millis = span.as_secs().saturating_mul(1000).saturating_add(span.subsec_millis().into());
    millis.min(MAX_MILLIS)
}

/// The instant of a number of milliseconds since 1970, if the platform can represent it.
pub(crate) fn calendar_time(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

fn time(millis: u64) -> [u8; TIME] {
    let [_, _, bytes @ ..] = millis.min(MAX_MILLIS).to_be_bytes();
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn take_time(bytes: &mut &[u8]) -> Option<u64> {
    let (time, rest) = bytes.split_first_chunk::<TIME>()?;
    *bytes = rest;
    Some(number(time))
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    *bytes = rest;
    str::from_utf8(text).ok()
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    bytes.push(length);
    bytes.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

const _: () = assert!(MAX_MILLIS < 1 << (8 * TIME));
