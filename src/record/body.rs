//! The bytes of a record: how they are laid out, searched and checked.
//!
//! ```text
//! body       = format and flags (1 byte) · number of entries (2 bytes) · length of the names (3 bytes)
//!              · created_at (6 bytes) · [timeout] · [owner length · owner] · names · values
//! names      = (component length · key length · value length · component · key)*
//! values     = value (JSON)*, in the same order
//! ```
//!
//! Numbers are unsigned varints in their shortest form, but for the three at the beginning, which are big-endian and in a fixed
//! place because they are known last. Times are milliseconds, `created_at` 0 means "not yet".
//! Entries are sorted by the bytes of (component, key), each pair once, so that a merge is one walk over two sorted
//! lists. Names stand together in front, where the processor has fetched them along with the block's header: finding a key
//! costs one more cache line, that of its value, wherever it stands.
//!
//! Everything that reads is total: bytes that are not a record end the reading, they never panic.

mod merge;
mod reader;
mod writer;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;

pub(crate) use self::merge::Merge;
pub(crate) use self::reader::Entries;
use self::reader::{Reader, order};
pub(crate) use self::writer::Writer;
use super::{MAX_KEY_BYTES, MAX_KEYS};
use crate::error::{Error, Result};

/// The upper half of the first byte. Another format will have another number.
const FORMAT: u8 = 0x10;
const HAS_TIMEOUT: u8 = 0x01;
const HAS_OWNER: u8 = 0x02;
const FLAGS: u8 = HAS_TIMEOUT | HAS_OWNER;

/// Where the time of creation stands: behind the first byte, the number of entries and the length of the names.
const CREATED: std::ops::Range<usize> = 6..12;

/// All that has a fixed place.
const START: usize = CREATED.end;

/// A body without entries.
const EMPTY: &[u8] = &[FORMAT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Notes when a session was created in bytes that are a body.
pub(crate) fn set_created_at(body: &mut [u8], at: SystemTime) {
    if let Some(place) = body.get_mut(CREATED) {
        place.copy_from_slice(&created_bytes(Head::default().with_created_at(Some(at)).created_ms));
    }
}

fn created_bytes(millis: u64) -> [u8; 6] {
    let [_, _, bytes @ ..] = millis.to_be_bytes();
    bytes
}

/// Whether it is noted in these bytes.
pub(crate) fn is_created(body: &[u8]) -> bool {
    body.get(CREATED).is_some_and(|bytes| bytes != [0; 6])
}

const _: () = assert!(MAX_KEYS <= u16::MAX as usize);

/// The longest owner name, in bytes.
pub(crate) const MAX_OWNER_BYTES: usize = 255;

/// Later than any time that is kept: the largest number of milliseconds that `SystemTime` can add to 1970 everywhere.
const MAX_MILLIS: u64 = i64::MAX as u64 / 1_000_000;

/// Whether bytes that are a body have an owner.
pub(crate) fn has_owner(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|flags| flags & HAS_OWNER != 0)
}

/// What stands before the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// 0: not yet.
    created_ms: u64,
    timeout_ms: Option<u64>,
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
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(MAX_MILLIS).min(MAX_MILLIS)
}

/// One entry, still as bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) component: &'a str,
    pub(crate) key: &'a str,
    pub(crate) value: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(crate) fn name(&self) -> (&'a str, &'a str) {
        (self.component, self.key)
    }
}

/// The parts of a body.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    /// All that stands before the names.
    start: &'a [u8],
    names: &'a [u8],
    values: &'a [u8],
}

impl<'a> Body<'a> {
    /// Of bytes that are no body: an empty one.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self::split(bytes).unwrap_or(Self { start: EMPTY, names: &[], values: &[] })
    }

    #[inline]
    fn split(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let names = reader.skip_head()?;
        let (start, rest) = bytes.split_at_checked(bytes.len() - reader.0.len())?;
        let (names, values) = rest.split_at_checked(names)?;
        Some(Self { start, names, values })
    }

    pub(crate) fn head(self) -> Head<'a> {
        Reader(self.start).head().unwrap_or_default()
    }

    /// Whether there are as many names as it says, and none is too long. Looks at nothing but lengths.
    fn are_names_short(self) -> bool {
        let mut names = Reader(self.names);
        let is_short = |_| {
            let [component, key, _] = names.lengths()?;
            let is_short = component <= MAX_KEY_BYTES && key <= MAX_KEY_BYTES;
            names.take(component + key).map(|_| is_short)
        };
        (0..self.count()).map(is_short).all(|is_short| is_short == Some(true))
    }

    pub(crate) fn count(self) -> usize {
        let [_, high, low, ..] = self.start else { return 0 };
        usize::from(u16::from_be_bytes([*high, *low]))
    }

    pub(crate) fn entries(self) -> Entries<'a> {
        Entries { names: Reader(self.names), values: Reader(self.values) }
    }
}

/// The order in which entries with these components and keys stand.
#[inline]
pub(crate) fn order_of(one: (&str, &str), other: (&str, &str)) -> std::cmp::Ordering {
    order([one.0.as_bytes(), one.1.as_bytes()], [other.0.as_bytes(), other.1.as_bytes()])
}

/// The value of a key, in bytes that are a body. What a request does most: nothing is read but lengths, and the names that
/// are as long as this one and begin like it.
pub(crate) fn find<'a>(body: &'a [u8], component: &str, key: &str) -> Option<&'a [u8]> {
    let Body { names, values, .. } = Body::split(body)?;
    let (component, key) = (component.as_bytes(), key.as_bytes());
    let (mut names, mut before) = (Reader(names), 0);
    loop {
        let [component_length, key_length, value_length] = names.lengths()?;
        let both = names.take(component_length + key_length)?;
        if [component_length, key_length] == [component.len(), key.len()] {
            let (component_found, key_found) = both.split_at(component_length);
            if key_found.first() == key.first()
                && key_found == key
                && (component.is_empty() || component_found == component)
            {
                return values.get(before..before + value_length);
            }
        }
        before += value_length;
    }
}

/// Refuses what no record may hold.
pub(crate) fn check_limits(body: Body<'_>) -> Result<()> {
    check_count(body.count())?;
    if !body.are_names_short() {
        body.entries().try_for_each(|entry| check_name(entry.component, entry.key))?;
        return Err(Error::corrupt("an entry is not readable"));
    }
    body.head().owner.map_or(Ok(()), check_owner)
}

pub(crate) fn check_count(entries: usize) -> Result<()> {
    if entries > MAX_KEYS {
        return Err(Error::limit(format!("{entries} keys in one session, at most {MAX_KEYS} are allowed")));
    }
    Ok(())
}

pub(crate) fn check_name(component: &str, key: &str) -> Result<()> {
    for (what, name) in [("component", component), ("key", key)] {
        if name.len() > MAX_KEY_BYTES {
            let start: String = name.chars().take(20).collect();
            return Err(Error::limit(format!(
                "{what} {start:?}... has {} bytes, at most {MAX_KEY_BYTES} are allowed",
                name.len()
            )));
        }
    }
    Ok(())
}

pub(crate) fn check_owner(owner: &str) -> Result<()> {
    if owner.is_empty() || owner.len() > MAX_OWNER_BYTES {
        return Err(Error::limit(format!("owner has {} bytes, 1 to {MAX_OWNER_BYTES} are allowed", owner.len())));
    }
    Ok(())
}

/// Checks that bytes from outside are a body this crate could have written.
pub(crate) fn validate(bytes: &[u8]) -> Result<()> {
    let body = Body::split(bytes).ok_or(Error::corrupt("the head is not readable"))?;
    let head = Reader(body.start).head().ok_or(Error::corrupt("the head is not readable"))?;
    let count = body.count();
    if count > MAX_KEYS {
        return Err(Error::corrupt("more keys than a record may have"));
    }
    if head.created_ms > MAX_MILLIS || head.timeout_ms.is_some_and(|millis| millis > MAX_MILLIS) {
        return Err(Error::corrupt("a time that is out of range"));
    }
    if head.owner.is_some_and(|owner| check_owner(owner).is_err()) {
        return Err(Error::corrupt("an owner that is empty or too long"));
    }
    let (mut entries, mut last) = (body.entries(), None);
    for _ in 0..count {
        let entry = entries.next().ok_or(Error::corrupt("an entry is not readable"))?;
        if last >= Some(entry.name()) {
            return Err(Error::corrupt("entries are not in order"));
        }
        if check_name(entry.component, entry.key).is_err() {
            return Err(Error::corrupt("a key is too long"));
        }
        // As raw text, because ignoring a value would also ignore broken UTF-8 in it; of its full length, because JSON
        // may have spaces around it and ours never has.
        let value = serde_json::from_slice::<&RawValue>(entry.value);
        if value.map_or(true, |value| value.get().len() != entry.value.len()) {
            return Err(Error::corrupt("a value is not JSON"));
        }
        last = Some(entry.name());
    }
    if !entries.names.0.is_empty() || !entries.values.0.is_empty() {
        return Err(Error::corrupt("bytes after the last entry"));
    }
    Ok(())
}
