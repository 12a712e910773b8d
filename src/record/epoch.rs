//! Epochs: how a login knows that its user has not logged out everywhere meanwhile.

use std::fmt;

/// Which login period of an owner: it changes whenever all of the owner's sessions are ended. Opaque.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch as a number, for a store that keeps it elsewhere. A later one is larger.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The epoch that [`to_u64`](Self::to_u64) gave.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.0)
    }
}
