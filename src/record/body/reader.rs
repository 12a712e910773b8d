//! Reads the bytes of a body, forward; every step is `None` once they are not what was expected.

use std::cmp::Ordering;

use unsigned_varint::decode;

use super::{CREATED, Entry, FLAGS, FORMAT, HAS_OWNER, HAS_TIMEOUT, Head, START};

#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

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
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn head(&mut self) -> Option<Head<'a>> {
        let start = self.take(START)?;
        let flags = *start.first()?;
        if flags & !FLAGS != FORMAT {
            return None;
        }
        let created_ms = start.get(CREATED)?.iter().fold(0, |millis, byte| millis << 8 | u64::from(*byte));
        let timeout_ms = if flags & HAS_TIMEOUT == 0 { None } else { Some(self.number()?) };
        let owner = if flags & HAS_OWNER == 0 {
            None
        } else {
            let length = self.length()?;
            Some(str::from_utf8(self.take(length)?).ok()?)
        };
        Some(Head { created_ms, timeout_ms, owner })
    }

    /// Goes on to the names without looking at what stands before them. How many bytes they are.
    #[inline]
    pub(super) fn skip_head(&mut self) -> Option<usize> {
        let &[flags, _, _, high, middle, low, ..] = self.take(START)? else { return None };
        if flags & !FLAGS != FORMAT {
            return None;
        }
        if flags & HAS_TIMEOUT != 0 {
            self.number()?;
        }
        if flags & HAS_OWNER != 0 {
            let length = self.length()?;
            self.take(length)?;
        }
        usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()
    }

    /// The lengths of an entry: component, key, value.
    #[inline]
    pub(super) fn lengths(&mut self) -> Option<[usize; 3]> {
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

    /// Passes the names of an entry: where it stands, seen from another name, and the length of its value.
    #[inline]
    pub(super) fn pass(&mut self, name: (&str, &str)) -> Option<(Ordering, usize)> {
        let [component, key, value] = self.lengths()?;
        let (component, key) = self.take(component + key)?.split_at(component);
        Some((order([component, key], [name.0.as_bytes(), name.1.as_bytes()]), value))
    }
}

/// The order of two names, each of them component and key. Most pairs differ in a first byte, which spares the call that compares all
/// of them.
#[inline]
pub(super) fn order(one: [&[u8]; 2], other: [&[u8]; 2]) -> Ordering {
    let order = |one: &[u8], other: &[u8]| match (one.first(), other.first()) {
        (Some(first), Some(second)) if first == second => one.cmp(other),
        (first, second) => first.cmp(&second),
    };
    order(one[0], other[0]).then_with(|| order(one[1], other[1]))
}

/// Iterates over a body's entries in their order.
#[derive(Clone)]
pub(crate) struct Entries<'a> {
    pub(super) names: Reader<'a>,
    pub(super) values: Reader<'a>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let [component, key, value] = self.names.lengths()?;
        let component = str::from_utf8(self.names.take(component)?).ok()?;
        let key = str::from_utf8(self.names.take(key)?).ok()?;
        Some(Entry { component, key, value: self.values.take(value)? })
    }
}
