//! The body: the bytes of a record, how they are laid out, searched and checked.
//!
//! ```text
//! body    = head · lengths · names · short values · long values
//! head    = format and flags (1 byte) · flags of the notes (1) · number of entries (2)
//!           · length of the names (3) · created_at (6) · [timeout (6)]
//!           · [owner since (6) · length of the owner (1) · owner] · [id since (6)]
//!           · [length of the label (1) · label]
//! lengths = (length of the component · of the key · of the value)*,
//!           each of 1, 2 or 4 bytes, as the longest of all needs
//! names   = (component · key)*
//! values  = value (JSON)*
//! ```
//!
//! Numbers are big-endian. Times are milliseconds; a `created_at` of 0 means "not yet". Entries are
//! sorted by the bytes of (component, key), each pair once, so that a merge is one walk over two
//! sorted lists. Lengths, names and the values of each kind keep that order.
//!
//! To read a key of a session that is not in the processor's cache is to wait for memory, one cache
//! line after the other. So all that is searched comes first, where the processor fetches it along
//! with the block's header. The search adds up lengths and compares only names of the right length.
//! Next come the values that fit a cache line, because ids, tokens and flags, which every request
//! reads, are among them.
//!
//! Every reading function is total: bytes that are not a record end the reading and never panic.

mod checks;
mod entries;
mod head;
mod lengths;
mod merge;

use std::cmp::Ordering;
use std::ops::ControlFlow;

pub(crate) use self::checks::{check_count, check_label, check_limits, check_name, check_owner, check_value, validate};
pub(crate) use self::entries::Entry;
use self::entries::{Entries, Place};
use self::head::COUNTED;
pub(crate) use self::head::{
    CsrfKey, EMPTY, Head, MAX_MILLIS, Owned, Times, calendar_time, has_owner, is_created, millis, set_created_ms, times,
};
use self::lengths::{Lengths, Width};
pub(crate) use self::merge::Merge;

/// The longest short value, in bytes: a cache line.
const SHORT: usize = 64;

/// The parts of a body.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    /// The bytes of the head.
    start: &'a [u8],
    lengths: Lengths<'a>,
    names: &'a [u8],
    values: &'a [u8],
}

impl<'a> Body<'a> {
    pub(crate) const EMPTY: Self = Body { start: EMPTY, lengths: Lengths::NONE, names: &[], values: &[] };

    /// The parts of a body; those of an empty one if the bytes are not a body.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self::split(bytes).unwrap_or(Self::EMPTY)
    }

    #[inline]
    fn split(bytes: &'a [u8]) -> Option<Self> {
        let (start, rest) = bytes.split_at_checked(head::length(bytes)?)?;
        let width = Width::from_flags(*start.first()?)?;
        let (lengths, rest) = rest.split_at_checked(count(start) * width.of_three())?;
        let &[high, middle, low] = start.get(COUNTED)?.last_chunk()?;
        let (names, values) =
            rest.split_at_checked(usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?)?;
        Some(Self { start, lengths: Lengths { bytes: lengths, width }, names, values })
    }

    pub(crate) fn head(self) -> Head<'a> {
        Head::read(self.start).unwrap_or_default()
    }

    pub(crate) fn count(self) -> usize {
        count(self.start)
    }

    pub(crate) fn entries(self) -> impl Iterator<Item = Entry<'a>> + Clone {
        self.parts().iter()
    }

    fn parts(self) -> Entries<'a> {
        let (short, long) = self.values.split_at_checked(self.short()).unwrap_or((self.values, &[]));
        Entries { lengths: self.lengths, names: self.names, short, long }
    }

    /// The length of all short values together.
    fn short(self) -> usize {
        let mut short = 0;
        self.lengths.each(|[_, _, value]| {
            short += if value <= SHORT { value } else { 0 };
            ControlFlow::<()>::Continue(())
        });
        short
    }

    /// The place of the entry with a name, and the length of its value. Reads only lengths, and
    /// names of the same length.
    #[inline]
    fn position(self, component: &str, key: &str) -> Option<(Place, usize)> {
        let (component, key) = (component.as_bytes(), key.as_bytes());
        let mut place = Place::default();
        self.lengths.each(|lengths| {
            if lengths[0] == component.len() && lengths[1] == key.len() && self.is_named(place, component, key) {
                return ControlFlow::Break((place, lengths[2]));
            }
            place = place.behind(lengths);
            ControlFlow::Continue(())
        })
    }

    /// Returns true if the name at a place is this one. The caller has compared the lengths.
    #[inline]
    fn is_named(self, place: Place, component: &[u8], key: &[u8]) -> bool {
        let Some(both) = self.names.get(place.names..place.names + component.len() + key.len()) else { return false };
        let (found, name) = both.split_at(component.len());
        // Comparing the last bytes first, and no empty component, saves two calls.
        name.last() == key.last() && name == key && (component.is_empty() || found == component)
    }

    /// Returns true if names and values are as long as their lengths say.
    fn is_whole(self) -> bool {
        let (names, values) = self.lengths.iter().fold((0_u64, 0_u64), |(names, values), [component, key, value]| {
            (names + component as u64 + key as u64, values + value as u64)
        });
        (names, values) == (self.names.len() as u64, self.values.len() as u64)
    }
}

/// How many entries a body has that begins so.
pub(crate) fn count(start: &[u8]) -> usize {
    let [_, _, high, low, ..] = start else { return 0 };
    usize::from(u16::from_be_bytes([*high, *low]))
}

/// Compares two names, each a component and a key, in the order of a body.
///
/// Most names have no component and differ in the first byte of the key; comparing that first saves
/// two calls.
#[inline]
pub(crate) fn order(one: [&[u8]; 2], other: [&[u8]; 2]) -> Ordering {
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

/// The value of a key, in bytes that are a body: the most frequent call of a request.
pub(crate) fn find<'a>(body: &'a [u8], component: &str, key: &str) -> Option<&'a [u8]> {
    let body = Body::split(body)?;
    let (place, length) = body.position(component, key)?;
    let before = if length <= SHORT { place.short } else { body.short() + place.long };
    body.values.get(before..before + length)
}
