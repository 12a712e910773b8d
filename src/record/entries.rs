//! Entries: their names and values, and the lengths that a search adds up to find them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The longest short value, in bytes: a cache line.
pub(super) const SHORT: usize = 64;

/// One entry as bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordEntry<'a> {
    pub(crate) component: &'a str,
    pub(crate) key: &'a str,
    /// JSON.
    pub(crate) value: &'a [u8],
}

impl<'a> RecordEntry<'a> {
    pub(super) fn name(&self) -> (&'a str, &'a str) {
        (self.component, self.key)
    }

    pub(super) fn lengths(&self) -> EntryLengths {
        [self.component.len(), self.key.len(), self.value.len()]
    }
}

/// Reads one value: `None` if it is JSON null. The key is for the error's message.
pub(crate) fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<Option<T>> {
    serde_json::from_slice(value).map_err(|source| Error::read_value(key, source))
}

/// Reads one text: `None` if the value is JSON null. It borrows if the text needs no unescaping.
pub(crate) fn parse_str<'a>(key: &str, value: &'a [u8]) -> Result<Option<Cow<'a, str>>> {
    if let [b'"', text @ .., b'"'] = value
        && !text.contains(&b'\\')
        && let Ok(text) = str::from_utf8(text)
    {
        return Ok(Some(Cow::Borrowed(text)));
    }
    Ok(parse::<String>(key, value)?.map(Cow::Owned))
}

/// Compares two names, each a component and a key, in the order of a body.
///
/// Most names have no component and differ in the first byte of the key. Comparing that byte first
/// saves two calls.
#[inline]
pub(super) fn order(one: [&[u8]; 2], other: [&[u8]; 2]) -> Ordering {
    if !(one[0].is_empty() && other[0].is_empty()) {
        let components = one[0].cmp(other[0]);
        if components.is_ne() {
            return components;
        }
    }
    match (one[1].first(), other[1].first()) {
        (Some(first), Some(second)) if first != second => first.cmp(second),
        _ => one[1].cmp(other[1]),
    }
}

/// The lengths of one entry: component, key, value.
pub(super) type EntryLengths = [usize; 3];

/// How many bytes each length of a body takes. They are enough for the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Width {
    #[default]
    One = 1,
    Two = 2,
    Four = 4,
}

impl Width {
    /// The bits of a body's first byte that hold the width.
    pub(super) const MASK: u8 = 0x0c;

    /// The width that the longest of an entry's lengths needs.
    pub(super) fn of_longest([one, two, three]: EntryLengths) -> Self {
        match one | two | three {
            0..=0xff => Self::One,
            0x100..=0xffff => Self::Two,
            _ => Self::Four,
        }
    }

    pub(super) fn flags(self) -> u8 {
        match self {
            Self::One => 0x00,
            Self::Two => 0x04,
            Self::Four => 0x08,
        }
    }

    #[inline]
    pub(super) fn from_flags(flags: u8) -> Option<Self> {
        match flags & Self::MASK {
            0x00 => Some(Self::One),
            0x04 => Some(Self::Two),
            0x08 => Some(Self::Four),
            _ => None,
        }
    }

    /// Writes the lengths of one entry. Lengths beyond four bytes saturate.
    #[inline]
    pub(super) fn write(self, lengths: EntryLengths, bytes: &mut Vec<u8>) {
        let [one, two, three] = lengths.map(|length| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        match self {
            Self::One => bytes.extend_from_slice(&[one[3], two[3], three[3]]),
            Self::Two => bytes.extend_from_slice(&[one[2], one[3], two[2], two[3], three[2], three[3]]),
            Self::Four => bytes.extend_from_slice([one, two, three].as_flattened()),
        }
    }

    /// The bytes of one entry's lengths.
    #[inline]
    pub(super) fn bytes_per_entry(self) -> usize {
        3 * self as usize
    }
}

/// The lengths of all entries, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Lengths<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) width: Width,
}

impl<'a> Lengths<'a> {
    /// The lengths of the entry with this index.
    #[inline]
    pub(super) fn get(self, index: usize) -> Option<EntryLengths> {
        let bytes = self.bytes.get(index * self.width.bytes_per_entry()..)?;
        Some(match self.width {
            Width::One => bytes.first_chunk().copied().map(|lengths: [u8; 3]| lengths.map(usize::from))?,
            Width::Two => three::<6, 2>(bytes)?.map(|length| usize::from(u16::from_be_bytes(length))),
            // If a length does not fit the platform, neither does the entry.
            Width::Four => {
                three::<12, 4>(bytes)?.map(|length| usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX))
            }
        })
    }

    /// Copies the lengths of a range of entries, in a width that is enough for them.
    pub(super) fn copy(self, range: Range<usize>, width: Width, bytes: &mut Vec<u8>) {
        if width == self.width {
            let range = range.start * width.bytes_per_entry()..range.end * width.bytes_per_entry();
            bytes.extend_from_slice(self.bytes.get(range).unwrap_or_default());
        } else {
            range.map_while(|index| self.get(index)).for_each(|lengths| width.write(lengths, bytes));
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = EntryLengths> + use<'a> {
        (0..).map_while(move |index| self.get(index))
    }

    /// Calls `visit` for one entry after the other until it breaks. The width is tested once, not
    /// for each entry.
    #[inline]
    pub(super) fn each<R>(self, mut visit: impl FnMut(EntryLengths) -> ControlFlow<R>) -> Option<R> {
        let flow = if self.width == Width::One {
            let (lengths, _) = self.bytes.as_chunks::<3>();
            lengths.iter().try_for_each(|&[component, key, value]| visit([component.into(), key.into(), value.into()]))
        } else {
            self.iter().try_for_each(visit)
        };
        flow.break_value()
    }
}

#[inline]
fn three<const ALL: usize, const ONE: usize>(bytes: &[u8]) -> Option<[[u8; ONE]; 3]> {
    let (three, _) = bytes.first_chunk::<ALL>()?.as_chunks();
    three.try_into().ok()
}

/// A position between two entries: how much of each part of a body comes before it.
#[derive(Clone, Copy, Default)]
pub(super) struct Offsets {
    pub(super) entries: usize,
    pub(super) names: usize,
    pub(super) short: usize,
    pub(super) long: usize,
}

impl Offsets {
    /// The offsets after the entry with these lengths. The sums cannot overflow, because the
    /// lengths of a checked body are those of its bytes.
    #[inline]
    pub(super) fn after(self, [component, key, value]: EntryLengths) -> Self {
        let (short, long) = if value <= SHORT { (value, 0) } else { (0, value) };
        Self {
            entries: self.entries + 1,
            names: self.names + component + key,
            short: self.short + short,
            long: self.long + long,
        }
    }
}

/// The parts of a body that its entries are read from.
#[derive(Clone, Copy)]
pub(super) struct Entries<'a> {
    pub(super) lengths: Lengths<'a>,
    pub(super) names: &'a [u8],
    pub(super) short: &'a [u8],
    pub(super) long: &'a [u8],
}

impl<'a> Entries<'a> {
    /// The name of the entry at these offsets: component and key.
    #[inline]
    pub(super) fn name(&self, at: Offsets, [component, key, _]: EntryLengths) -> Option<[&'a [u8]; 2]> {
        let (component, key) = self.names.get(at.names..at.names + component + key)?.split_at(component);
        Some([component, key])
    }

    fn value(&self, at: Offsets, [_, _, value]: EntryLengths) -> Option<&'a [u8]> {
        if value <= SHORT {
            self.short.get(at.short..at.short + value)
        } else {
            self.long.get(at.long..at.long + value)
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = RecordEntry<'a>> + Clone {
        let mut at = Offsets::default();
        std::iter::from_fn(move || {
            let lengths = self.lengths.get(at.entries)?;
            let [component, key] = self.name(at, lengths)?;
            let value = self.value(at, lengths)?;
            at = at.after(lengths);
            Some(RecordEntry { component: str::from_utf8(component).ok()?, key: str::from_utf8(key).ok()?, value })
        })
    }
}
