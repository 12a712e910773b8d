//! Versions: which state of which session a commit was made for.

use std::fmt;

/// One state of one session: a random incarnation, and a counter of commits. A session gets another
/// incarnation when it is created, at a login and at `regenerate`; a timed renewal keeps it.
///
/// Opaque: ask [`Record::version`](crate::Record::version) and hand it back in a
/// [`Commit`](crate::Commit).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Version {
    incarnation: u32,
    saves: u32,
}

impl Version {
    /// The first version of the incarnation that a commit with this nonce begins.
    pub(crate) fn first(nonce: u64) -> Self {
        // Zero means "not stored yet".
        Self { incarnation: ((nonce >> 32) as u32).max(1), saves: 0 }
    }

    /// Returns true if both are versions of the same incarnation.
    pub(crate) fn is_same_incarnation(self, other: Self) -> bool {
        self.incarnation == other.incarnation
    }

    /// How many commits lie between an earlier version and this one.
    pub(crate) fn commits_since(self, earlier: Self) -> u32 {
        self.saves.wrapping_sub(earlier.saves)
    }

    /// The version after one more commit.
    pub(crate) fn next(self) -> Self {
        Self { saves: self.saves.wrapping_add(1), ..self }
    }

    /// The version as a number, for a store outside the process.
    ///
    /// The upper 32 bits are the incarnation. The lower 32 count the commits and wrap around, so
    /// that a script within a database can compare and advance them.
    pub fn to_u64(self) -> u64 {
        u64::from(self.incarnation) << 32 | u64::from(self.saves)
    }

    /// The version that [`to_u64`](Self::to_u64) gave.
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the number")]
    pub fn from_u64(number: u64) -> Self {
        Self { incarnation: (number >> 32) as u32, saves: number as u32 }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({:08x}.{})", self.incarnation, self.saves)
    }
}
