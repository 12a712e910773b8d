//! The body: the bytes of a record, how they are laid out and searched.
//!
//! ```text
//! body    = head · lengths · names · short values · long values
//! head    = format and flags (1 byte) · flags of the notes (1) · number of entries (2)
//!           · length of the names (3) · created_at (6) · [timeout (6)]
//!           · [owner since (6) · length of the owner (1) · owner] · [id since (6)]
//!           · [length of the label (1) · label] · [CSRF key (16)]
//! lengths = (length of the component · of the key · of the value)*,
//!           each of 1, 2 or 4 bytes, as the longest of all needs
//! names   = (component · key)*
//! values  = value (JSON)*
//! ```
//!
//! Numbers are big-endian. Times are milliseconds; a `created_at` of 0 means "not stored yet".
//! Entries are sorted by the bytes of (component, key), each pair once, so that a merge is one walk
//! over two sorted lists. Lengths, names and the values of each kind keep that order.
//!
//! Reading a key of a session that is not in the processor's cache waits for memory, one cache line
//! after the other. So the searched parts come first, where the processor fetches them along with
//! the block's header. The search adds up lengths and compares only names of the right length. The
//! values that fit a cache line come next, because they include the ids, tokens and flags that
//! every request reads.
//!
//! No reading function panics. Bytes that are not a record end the reading.

use std::ops::ControlFlow;

use super::entries::{Entries, Lengths, Offsets, RecordEntry, SHORT, Width};
use super::head::{self, COUNTS, EMPTY, Head};

/// The parts of a body.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    /// The bytes of the head.
    pub(super) start: &'a [u8],
    pub(super) lengths: Lengths<'a>,
    names: &'a [u8],
    values: &'a [u8],
}

impl<'a> Body<'a> {
    pub(super) const EMPTY: Self =
        Body { start: EMPTY, lengths: Lengths { bytes: &[], width: Width::One }, names: &[], values: &[] };

    /// The parts of a body; those of an empty one if the bytes are not a body.
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self::split(bytes).unwrap_or(Self::EMPTY)
    }

    #[inline]
    pub(super) fn split(bytes: &'a [u8]) -> Option<Self> {
        let (start, rest) = bytes.split_at_checked(head::length(bytes)?)?;
        let width = Width::from_flags(*start.first()?)?;
        let (lengths, rest) = rest.split_at_checked(head::count(start) * width.bytes_per_entry())?;
        let &[high, middle, low] = start.get(COUNTS)?.last_chunk()?;
        let (names, values) =
            rest.split_at_checked(usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?)?;
        Some(Self { start, lengths: Lengths { bytes: lengths, width }, names, values })
    }

    pub(super) fn head(self) -> Head<'a> {
        Head::read(self.start).unwrap_or_default()
    }

    /// How many entries there are.
    pub(super) fn count(self) -> usize {
        head::count(self.start)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = RecordEntry<'a>> + Clone {
        self.entries().iter()
    }

    pub(super) fn entries(self) -> Entries<'a> {
        let (short, long) = self.values.split_at_checked(self.short_bytes()).unwrap_or((self.values, &[]));
        Entries { lengths: self.lengths, names: self.names, short, long }
    }

    /// The length of all short values together.
    fn short_bytes(self) -> usize {
        let mut short = 0;
        self.lengths.each(|[_, _, value]| {
            short += if value <= SHORT { value } else { 0 };
            ControlFlow::<()>::Continue(())
        });
        short
    }

    /// The offsets of the entry with a name, and the length of its value. Reads only lengths, and
    /// names of the same length.
    #[inline]
    fn position(self, component: &str, key: &str) -> Option<(Offsets, usize)> {
        let (component, key) = (component.as_bytes(), key.as_bytes());
        let mut at = Offsets::default();
        self.lengths.each(|lengths| {
            if lengths[0] == component.len() && lengths[1] == key.len() && self.is_named(at, component, key) {
                return ControlFlow::Break((at, lengths[2]));
            }
            at = at.after(lengths);
            ControlFlow::Continue(())
        })
    }

    /// Returns true if the name at these offsets is this one. The caller has compared the lengths.
    #[inline]
    fn is_named(self, at: Offsets, component: &[u8], key: &[u8]) -> bool {
        let Some(both) = self.names.get(at.names..at.names + component.len() + key.len()) else { return false };
        let (found, name) = both.split_at(component.len());
        // Comparing the last bytes first and skipping an empty component saves two calls.
        name.last() == key.last() && name == key && (component.is_empty() || found == component)
    }

    /// Returns true if names and values are as long as their lengths say.
    pub(super) fn is_whole(self) -> bool {
        let (names, values) = self.lengths.iter().fold((0_u64, 0_u64), |(names, values), [component, key, value]| {
            (names + component as u64 + key as u64, values + value as u64)
        });
        (names, values) == (self.names.len() as u64, self.values.len() as u64)
    }
}

/// The value of a key in the bytes of a body. Requests call this most often.
pub(super) fn find<'a>(body: &'a [u8], component: &str, key: &str) -> Option<&'a [u8]> {
    let body = Body::split(body)?;
    let (at, length) = body.position(component, key)?;
    let before = if length <= SHORT { at.short } else { body.short_bytes() + at.long };
    body.values.get(before..before + length)
}
