//! The frame of a record: the version before the record's body, and the second secret after it.

use std::fmt;

use crate::id::Digest;

/// The version of a session's data: a random incarnation number, and a counter of commits. A
/// session gets a new incarnation when it is created, at a login and at `regenerate`; a timed
/// renewal keeps it.
///
/// The value is opaque: read it with [`Record::version`](crate::Record::version), and pass it to a
/// [`Commit`](crate::Commit).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Version {
    incarnation: u32,
    saves: u32,
}

impl Version {
    /// The first version of the incarnation that a commit with this nonce begins.
    pub(crate) fn first(nonce: u64) -> Self {
        // Incarnation 0 means "not stored yet".
        Self { incarnation: ((nonce >> 32) as u32).max(1), saves: 0 }
    }

    /// Returns true if both are versions of the same incarnation.
    pub(crate) fn is_same_incarnation(self, other: Self) -> bool {
        self.incarnation == other.incarnation
    }

    /// The number of commits between an earlier version and this one.
    pub(crate) fn commits_since(self, earlier: Self) -> u32 {
        self.saves.wrapping_sub(earlier.saves)
    }

    /// The version after one more commit.
    pub(crate) fn next(self) -> Self {
        Self { saves: self.saves.wrapping_add(1), ..self }
    }

    /// The version as a number, for a store outside the process.
    ///
    /// The upper 32 bits are the incarnation. The lower 32 bits count the commits and wrap around.
    /// A script in a database can compare and advance them.
    pub fn to_u64(self) -> u64 {
        u64::from(self.incarnation) << 32 | u64::from(self.saves)
    }

    /// Converts a number that [`to_u64`](Self::to_u64) returned back to the version.
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

/// The instant that means "never".
pub(crate) const NEVER: u64 = u64::MAX;

/// The size of a second secret in bytes: digest (16), seed (8), instant (8).
pub(super) const SECOND_BYTES: usize = 32;

/// The size of the version in bytes.
pub(super) const FRONT_BYTES: usize = 8;

/// The parts of a record's bytes before and after its body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frame {
    pub(crate) second: Option<SecondSecret>,
    pub(crate) version: Version,
}

impl Frame {
    pub(crate) fn of(version: Version) -> Self {
        Self { second: None, version }
    }

    #[inline]
    pub(super) fn write_front(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.version.to_u64().to_ne_bytes());
    }

    #[inline]
    pub(super) fn write_back(&self, bytes: &mut Vec<u8>) {
        if let Some(second) = &self.second {
            bytes.extend_from_slice(&second.to_bytes());
        }
    }
}

/// The kinds of a second secret, as stored in two bits. 0 means that there is no second secret.
const SUPERSEDED: u8 = 1;
const PENDING: u8 = 2;
const PREVIOUS: u8 = 3;

/// The second secret of a session that was rotated. Instants are nanoseconds of the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecondSecret {
    /// The secret that a login or `regenerate` superseded, with the end of its grace.
    Superseded { digest: Digest, until: u64 },
    /// The secret of a pending timed renewal, derived from the current secret and `seed`. Both
    /// secrets open the session. When the pending secret is first presented, it becomes the current
    /// one. The current secret ends at `until`, which is [`NEVER`] until the pending secret was
    /// announced a second time.
    Pending { digest: Digest, seed: u64, until: u64 },
    /// The secret before a timed renewal. It opens the session until the end of its grace.
    Previous { digest: Digest, until: u64 },
}

impl SecondSecret {
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Superseded { .. } => SUPERSEDED,
            Self::Pending { .. } => PENDING,
            Self::Previous { .. } => PREVIOUS,
        }
    }

    fn to_bytes(self) -> [u8; SECOND_BYTES] {
        let (digest, seed, until) = match self {
            Self::Superseded { digest, until } | Self::Previous { digest, until } => (digest, 0, until),
            Self::Pending { digest, seed, until } => (digest, seed, until),
        };
        let mut bytes = [0; SECOND_BYTES];
        bytes[..16].copy_from_slice(&digest);
        bytes[16..24].copy_from_slice(&seed.to_be_bytes());
        bytes[24..].copy_from_slice(&until.to_be_bytes());
        bytes
    }

    /// Reads the kind and the bytes that [`to_parts`](Self::to_parts) returned.
    pub(crate) fn from_parts(kind: u8, bytes: &[u8; SECOND_BYTES]) -> Option<Self> {
        let (digest, rest) = bytes.split_first_chunk::<16>()?;
        let (seed, until) = rest.split_first_chunk::<8>()?;
        let (digest, seed) = (*digest, u64::from_be_bytes(*seed));
        let until = u64::from_be_bytes(*until.first_chunk::<8>()?);
        Some(match kind {
            PENDING => Self::Pending { digest, seed, until },
            // Only a pending renewal has a seed.
            _ if seed != 0 => return None,
            SUPERSEDED => Self::Superseded { digest, until },
            PREVIOUS => Self::Previous { digest, until },
            _ => return None,
        })
    }

    /// The same secret with its instant converted to another clock.
    pub(crate) fn on(self, convert: impl Fn(u64) -> u64) -> Self {
        match self {
            Self::Superseded { digest, until } => Self::Superseded { digest, until: convert(until) },
            Self::Pending { digest, seed, until } => Self::Pending { digest, seed, until: convert(until) },
            Self::Previous { digest, until } => Self::Previous { digest, until: convert(until) },
        }
    }

    /// Returns the kind and the bytes, for a row that is stored outside the process.
    pub(crate) fn to_parts(self) -> (u8, [u8; SECOND_BYTES]) {
        (self.kind(), self.to_bytes())
    }
}
