//! The entries of a body, and the places between them.

use super::SHORT;
use super::lengths::{Lengths, Three};

/// One entry as bytes.
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

/// A place between two entries: how much of each part comes before it.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) entries: usize,
    pub(super) names: usize,
    pub(super) short: usize,
    pub(super) long: usize,
}

impl Place {
    /// The place after the entry with these lengths. The sum cannot overflow, because a body is no
    /// longer than its bytes.
    #[inline]
    pub(super) fn behind(self, [component, key, value]: Three) -> Self {
        let (short, long) = if value <= SHORT { (value, 0) } else { (0, value) };
        Self {
            entries: self.entries + 1,
            names: self.names + component + key,
            short: self.short + short,
            long: self.long + long,
        }
    }
}

/// The parts that entries are made of.
#[derive(Clone, Copy)]
pub(super) struct Entries<'a> {
    pub(super) lengths: Lengths<'a>,
    pub(super) names: &'a [u8],
    pub(super) short: &'a [u8],
    pub(super) long: &'a [u8],
}

impl<'a> Entries<'a> {
    /// The name of the entry at a place: component and key.
    #[inline]
    pub(super) fn name(&self, place: Place, [component, key, _]: Three) -> Option<[&'a [u8]; 2]> {
        let (component, key) = self.names.get(place.names..place.names + component + key)?.split_at(component);
        Some([component, key])
    }

    fn value(&self, place: Place, [_, _, value]: Three) -> Option<&'a [u8]> {
        if value <= SHORT {
            self.short.get(place.short..place.short + value)
        } else {
            self.long.get(place.long..place.long + value)
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Entry<'a>> + Clone {
        let mut place = Place::default();
        std::iter::from_fn(move || {
            let lengths = self.lengths.get(place.entries)?;
            let [component, key] = self.name(place, lengths)?;
            let value = self.value(place, lengths)?;
            place = place.behind(lengths);
            Some(Entry { component: str::from_utf8(component).ok()?, key: str::from_utf8(key).ok()?, value })
        })
    }
}
