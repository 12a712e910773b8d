//! Nonces: the proof that a repeated commit was carried out before.

/// The nonces of the commits that made the last versions of a row, newest last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nonces {
    last: [u64; Self::MOST],
    len: usize,
}

impl Nonces {
    pub(crate) const MOST: usize = 4;

    /// For a store that keeps none.
    pub(crate) const NONE: Self = Self { last: [0; Self::MOST], len: 0 };

    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.last[..self.len]
    }

    pub(super) fn contains(&self, nonce: u64) -> bool {
        self.as_slice().contains(&nonce)
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }

    /// These nonces after one more version.
    pub(crate) fn push(mut self, nonce: u64) -> Self {
        if self.len == Self::MOST {
            self.last.rotate_left(1);
            self.len -= 1;
        }
        self.last[self.len] = nonce;
        self.len += 1;
        self
    }
}
