//! The bytes of a record: how they are written, read, searched and checked.
//!
//! ```text
//! body   = format and flags (1 byte) · number of entries (2 bytes) · created_at · [timeout] · [owner length · owner] · entry*
//! entry  = component length · key length · value length · component · key · value (JSON)
//! ```
//!
//! Numbers are unsigned varints in their shortest form, but for the number of entries, which is big-endian and in a fixed
//! place because it is known last. Times are milliseconds, `created_at` 0 means "not yet".
//! Entries are sorted by the bytes of (component, key), each pair once, so that a merge is one walk over two sorted
//! lists. There is no index of entries: sessions have a handful, and lengths are enough to skip from one to the next.
//!
//! Everything that reads is total: bytes that are not a record end the reading, they never panic.

mod merge;

use std::cmp::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;
use unsigned_varint::{decode, encode};

pub(crate) use self::merge::Merge;
use super::{MAX_KEY_BYTES, MAX_KEYS};
use crate::error::{Error, Result};

/// The upper half of the first byte. Another format will have another number.
const FORMAT: u8 = 0x10;
const HAS_TIMEOUT: u8 = 0x01;
const HAS_OWNER: u8 = 0x02;
const FLAGS: u8 = HAS_TIMEOUT | HAS_OWNER;

/// The first byte and the number of entries.
const START: usize = 3;

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

/// Reads forward through bytes; every step is `None` once they are not what was expected.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn number(&mut self) -> Option<u64> {
        // Most lengths are below 128.
        if let [first @ 0..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Some(u64::from(*first));
        }
        let (number, rest) = decode::u64(self.0).ok()?;
        self.0 = rest;
        Some(number)
    }

    #[inline]
    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn head(&mut self) -> Option<(Head<'a>, usize)> {
        let &[flags, high, low] = self.take(START)? else { return None };
        if flags & !FLAGS != FORMAT {
            return None;
        }
        let created_ms = self.number()?;
        let timeout_ms = if flags & HAS_TIMEOUT == 0 { None } else { Some(self.number()?) };
        let owner = if flags & HAS_OWNER == 0 {
            None
        } else {
            let length = self.length()?;
            Some(str::from_utf8(self.take(length)?).ok()?)
        };
        Some((Head { created_ms, timeout_ms, owner }, usize::from(u16::from_be_bytes([high, low]))))
    }

    /// Goes on to the entries without looking at what stands before them.
    #[inline]
    fn skip_head(&mut self) -> Option<()> {
        let flags = *self.take(START)?.first()?;
        if flags & !FLAGS != FORMAT {
            return None;
        }
        self.number()?;
        if flags & HAS_TIMEOUT != 0 {
            self.number()?;
        }
        if flags & HAS_OWNER != 0 {
            let length = self.length()?;
            self.take(length)?;
        }
        Some(())
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let [component, key, value] = self.lengths()?;
        let (component, key) = (str::from_utf8(self.take(component)?).ok()?, str::from_utf8(self.take(key)?).ok()?);
        Some(Entry { component, key, value: self.take(value)? })
    }

    /// The three lengths that an entry begins with.
    #[inline]
    fn lengths(&mut self) -> Option<[usize; 3]> {
        // Nearly always none of them takes more than a byte: one test for all three.
        if let [component, key, value, rest @ ..] = self.0
            && (component | key | value) & 0x80 == 0
        {
            self.0 = rest;
            return Some([usize::from(*component), usize::from(*key), usize::from(*value)]);
        }
        self.long_lengths()
    }

    #[cold]
    fn long_lengths(&mut self) -> Option<[usize; 3]> {
        Some([self.length()?, self.length()?, self.length()?])
    }

    /// Passes an entry: where it stands, seen from a name.
    #[inline]
    fn pass(&mut self, name: (&str, &str)) -> Option<Ordering> {
        let [component, key, value] = self.lengths()?;
        let names = component + key;
        let (component, key) = self.0.get(..names)?.split_at(component);
        self.0 = self.0.get(names + value..)?;
        Some(order_of([component, key], name))
    }
}

/// Where an entry stands, seen from a name.
#[inline]
fn order_of([component, key]: [&[u8]; 2], other: (&str, &str)) -> Ordering {
    order(component, other.0.as_bytes()).then_with(|| order(key, other.1.as_bytes()))
}

/// The order of two names. Most pairs differ in their first byte, which spares the call that compares all of them.
#[inline]
fn order(one: &[u8], other: &[u8]) -> Ordering {
    match (one.first(), other.first()) {
        (Some(first), Some(second)) if first == second => one.cmp(other),
        (first, second) => first.cmp(&second),
    }
}

/// The parts of a body.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    /// The number of entries and what stands before them.
    start: &'a [u8],
    entries: &'a [u8],
}

impl<'a> Body<'a> {
    /// Of bytes that are no body: an empty one.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Reader(bytes);
        let split = reader.skip_head().and_then(|()| bytes.split_at_checked(bytes.len() - reader.0.len()));
        let (start, entries) = split.unwrap_or((&[FORMAT, 0, 0, 0], &[]));
        Self { start, entries }
    }

    pub(crate) fn head(self) -> Head<'a> {
        Reader(self.start).head().map(|(head, _)| head).unwrap_or_default()
    }

    /// The head as it is stored.
    pub(crate) fn head_bytes(self) -> &'a [u8] {
        self.start
    }

    pub(crate) fn count(self) -> usize {
        let [_, high, low, ..] = self.start else { return 0 };
        usize::from(u16::from_be_bytes([*high, *low]))
    }

    /// The entries as they are stored.
    pub(crate) fn entry_bytes(self) -> &'a [u8] {
        self.entries
    }

    pub(crate) fn entries(self) -> Entries<'a> {
        Entries(Reader(self.entries))
    }
}

/// The value of a key, in bytes that are a body. What a request does most: nothing is read but lengths, and the names that
/// are as long as this one and begin like it.
pub(crate) fn find<'a>(body: &'a [u8], component: &str, key: &str) -> Option<&'a [u8]> {
    let (component, key) = (component.as_bytes(), key.as_bytes());
    let mut reader = Reader(body);
    reader.skip_head()?;
    loop {
        let lengths = reader.lengths()?;
        let names = lengths[0] + lengths[1];
        if lengths[..2] == [component.len(), key.len()] {
            let (component_found, key_found) = reader.0.get(..names)?.split_at(lengths[0]);
            if key_found.first() == key.first()
                && key_found == key
                && (component.is_empty() || component_found == component)
            {
                return reader.0.get(names..names + lengths[2]);
            }
        }
        reader.0 = reader.0.get(names + lengths[2]..)?;
    }
}

/// Iterates over a body's entries in their order.
pub(crate) struct Entries<'a>(Reader<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        self.0.entry()
    }
}

/// Writes a body. Entries are written in their order.
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// Begins the body. The number of entries is written by [`finish`](Self::finish).
    pub(crate) fn head(&mut self, head: &Head<'_>) {
        let has = |part: bool, flag: u8| if part { flag } else { 0 };
        let flags = has(head.timeout_ms.is_some(), HAS_TIMEOUT) | has(head.owner.is_some(), HAS_OWNER);
        self.bytes.extend([FORMAT | flags, 0, 0]);
        self.number(head.created_ms);
        if let Some(timeout) = head.timeout_ms {
            self.number(timeout);
        }
        if let Some(owner) = head.owner {
            self.number(owner.len() as u64);
            self.bytes.extend_from_slice(owner.as_bytes());
        }
    }

    /// Ends the body: the bytes. More entries than a body can count are as many as it can; [`check_limits`] and
    /// [`check_count`] refuse both.
    pub(crate) fn finish(&mut self, entries: usize) -> &[u8] {
        let count = u16::try_from(entries).unwrap_or(u16::MAX);
        self.bytes[START - 2..START].copy_from_slice(&count.to_be_bytes());
        &self.bytes
    }

    #[inline]
    pub(crate) fn entry(&mut self, component: &str, key: &str, value: &[u8]) {
        for part in [component.as_bytes(), key.as_bytes(), value] {
            self.number(part.len() as u64);
        }
        for part in [component.as_bytes(), key.as_bytes(), value] {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Copies what is written already: a head, or entries.
    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    #[inline]
    fn number(&mut self, number: u64) {
        if let Ok(small @ 0..0x80) = u8::try_from(number) {
            return self.bytes.push(small);
        }
        self.bytes.extend_from_slice(encode::u64(number, &mut encode::u64_buffer()));
    }
}

/// Refuses what no record may hold.
pub(crate) fn check_limits(body: Body<'_>) -> Result<()> {
    check_count(body.count())?;
    body.entries().try_for_each(|entry| check_name(entry.component, entry.key))?;
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
    let mut reader = Reader(bytes);
    let (head, count) = reader.head().ok_or(Error::corrupt("the head is not readable"))?;
    if count > MAX_KEYS {
        return Err(Error::corrupt("more keys than a record may have"));
    }
    if head.created_ms > MAX_MILLIS || head.timeout_ms.is_some_and(|millis| millis > MAX_MILLIS) {
        return Err(Error::corrupt("a time that is out of range"));
    }
    if head.owner.is_some_and(|owner| check_owner(owner).is_err()) {
        return Err(Error::corrupt("an owner that is empty or too long"));
    }
    let mut last = None;
    for _ in 0..count {
        let entry = reader.entry().ok_or(Error::corrupt("an entry is not readable"))?;
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
    if !reader.0.is_empty() {
        return Err(Error::corrupt("bytes after the last entry"));
    }
    Ok(())
}
