//! The lengths of a body's entries: three numbers for each, all of one width, so that a search is
//! an addition.

use std::ops::{ControlFlow, Range};

/// The lengths of one entry: component, key, value.
pub(super) type Three = [usize; 3];

/// The bytes of a number: as many as the longest in the body needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Width {
    #[default]
    One,
    Two,
    Four,
}

impl Width {
    /// The bits of a body's first byte that hold the width.
    pub(super) const MASK: u8 = 0x0c;

    /// The width that the longest of three numbers needs.
    pub(super) fn of_longest([one, two, three]: Three) -> Self {
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

    /// Writes three numbers. Numbers beyond four bytes saturate.
    #[inline]
    pub(super) fn write(self, three: Three, bytes: &mut Vec<u8>) {
        let [one, two, three] = three.map(|number| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
        match self {
            Self::One => bytes.extend_from_slice(&[one[3], two[3], three[3]]),
            Self::Two => bytes.extend_from_slice(&[one[2], one[3], two[2], two[3], three[2], three[3]]),
            Self::Four => bytes.extend_from_slice([one, two, three].as_flattened()),
        }
    }

    /// Bytes of three numbers.
    #[inline]
    pub(super) fn of_three(self) -> usize {
        match self {
            Self::One => 3,
            Self::Two => 6,
            Self::Four => 12,
        }
    }
}

/// The lengths of all entries, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Lengths<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) width: Width,
}

impl<'a> Lengths<'a> {
    pub(super) const NONE: Self = Lengths { bytes: &[], width: Width::One };

    /// The lengths of the entry with this index.
    #[inline]
    pub(super) fn get(self, number: usize) -> Option<Three> {
        let bytes = self.bytes.get(number * self.width.of_three()..)?;
        Some(match self.width {
            Width::One => bytes.first_chunk().copied().map(|three: [u8; 3]| three.map(usize::from))?,
            Width::Two => wide::<6, 2>(bytes)?.map(|length| usize::from(u16::from_be_bytes(length))),
            // On a platform where this does not fit, neither does the entry.
            Width::Four => {
                wide::<12, 4>(bytes)?.map(|length| usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX))
            }
        })
    }

    /// Copies the lengths of a range of entries, in a width that is enough for them.
    pub(super) fn copy(self, range: Range<usize>, width: Width, bytes: &mut Vec<u8>) {
        if width == self.width {
            let range = range.start * width.of_three()..range.end * width.of_three();
            bytes.extend_from_slice(self.bytes.get(range).unwrap_or_default());
        } else {
            range.map_while(|number| self.get(number)).for_each(|three| width.write(three, bytes));
        }
    }

    /// The width that the longest of the lengths needs.
    pub(super) fn longest_width(self) -> Width {
        self.iter().map(Width::of_longest).max().unwrap_or(Width::One)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Three> + use<'a> {
        (0..).map_while(move |number| self.get(number))
    }

    /// Calls `look` for one entry after the other until it breaks. The width is tested once, not
    /// for each entry.
    #[inline]
    pub(super) fn each<R>(self, mut look: impl FnMut(Three) -> ControlFlow<R>) -> Option<R> {
        let flow = if self.width == Width::One {
            let (three, _) = self.bytes.as_chunks::<3>();
            three.iter().try_for_each(|&[component, key, value]| look([component.into(), key.into(), value.into()]))
        } else {
            self.iter().try_for_each(look)
        };
        flow.break_value()
    }
}

#[inline]
fn wide<const ALL: usize, const ONE: usize>(bytes: &[u8]) -> Option<[[u8; ONE]; 3]> {
    let (three, _) = bytes.first_chunk::<ALL>()?.as_chunks();
    three.try_into().ok()
}
