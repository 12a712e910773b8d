//! Versions: how a save knows that the session it was made for is still the same one.

use std::fmt;

use crate::error::Result;
use crate::id::random_bytes;

/// Which state of which session: a random incarnation, drawn anew whenever a session is created, and a counter of saves.
///
/// Opaque: ask [`Record::version`](crate::Record::version) and hand it back in an [`Expected`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Version {
    incarnation: u32,
    saves: u32,
}

impl Version {
    /// The first version of a session made now.
    pub(crate) fn first() -> Result<Self> {
        // Zero means "no store has had it yet".
        let incarnation = u32::from_ne_bytes(random_bytes()?).max(1);
        Ok(Self { incarnation, saves: 0 })
    }

    /// Whether this is the version of a record that no store has had yet. The counter does not matter: a record may be
    /// changed before that, and sessions that begin with changes must not all be one incarnation.
    pub(crate) fn is_unset(self) -> bool {
        self.incarnation == 0
    }

    /// The version after one more save.
    pub(crate) fn next(self) -> Self {
        Self { saves: self.saves.wrapping_add(1), ..self }
    }

    /// The version as a number, for a store that keeps records elsewhere.
    ///
    /// The upper 32 bits are the incarnation, the lower 32 count the saves and start over after the last, so that a
    /// script within a database can compare and advance it.
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

/// What a save demands of the session it finds.
///
/// # Examples
///
/// ```
/// use lembro::{Clock, Changes, Expected, Fit, Record};
///
/// let old = Record::new().admit(Clock::system().wall())?;
/// let mut changes = Changes::new();
/// changes.insert("", "theme", &"dark")?;
/// let new = changes.apply(&old)?;
///
/// // Somebody saved in between: a merge goes on, a compare-and-swap does not.
/// assert_eq!(Expected::Incarnation(old.version()).fits(&new), Fit::Yes);
/// assert_eq!(Expected::Exactly(old.version()).fits(&new), Fit::Changed);
///
/// // The session was destroyed and another one was made under its id.
/// let another = Record::new().admit(Clock::system().wall())?;
/// assert_eq!(Expected::Incarnation(old.version()).fits(&another), Fit::Another);
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The same session, whatever was saved to it since: the changes are merged into what is stored now.
    Incarnation(Version),
    /// The same session, unchanged since: compare and swap.
    Exactly(Version),
}

/// Whether a stored record is the one that was [`Expected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is: save.
    Yes,
    /// It is the same session, but it changed: the outcome is `Conflict`.
    Changed,
    /// It is another session under the same id: the outcome is `Gone`.
    Another,
}

impl Expected {
    /// Compares with what is stored: the one rule that every store's `save` follows.
    pub fn fits(self, stored: &crate::Record) -> Fit {
        let found = stored.version();
        match self {
            Self::Incarnation(version) | Self::Exactly(version) if version.incarnation != found.incarnation => {
                Fit::Another
            }
            Self::Exactly(version) if version != found => Fit::Changed,
            Self::Incarnation(_) | Self::Exactly(_) => Fit::Yes,
        }
    }
}
