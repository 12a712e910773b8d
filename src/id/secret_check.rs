//! The check of an id's secret: a row has the secret itself, or half of its SHA-256.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{SECRET_BYTES, Secret, SessionId};

/// The first half of the SHA-256 of a secret, for files and databases.
///
/// To find a secret with a given 128-bit digest is as much work as to guess a secret of 128 bits.
/// So the other half of the SHA-256 would only take memory.
pub(crate) type Digest = [u8; SECRET_BYTES];

/// The domain that separates the digests of renewals from other uses of SHA-256.
const RENEWAL_DOMAIN: &[u8] = b"lembro renewal 1";

/// The value that a row compares the secret of an id with, in constant time.
#[derive(Clone, Copy)]
pub(crate) enum SecretCheck {
    Secret(Secret),
    /// The digest of the secret, for a row that was read from a file or a database.
    Digest(Digest),
}

impl SecretCheck {
    pub(crate) fn of(id: &SessionId) -> Self {
        Self::Secret(id.secret)
    }

    /// Returns true if `id` has this secret. The caller compares the handle.
    #[inline]
    pub(crate) fn matches(&self, id: &SessionId) -> bool {
        match self {
            Self::Secret(secret) => *secret == id.secret,
            Self::Digest(digest) => is_same(digest, &id.digest()),
        }
    }

    /// The digest, for a file or a database.
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Secret(secret) => digest_of(*secret),
            Self::Digest(digest) => *digest,
        }
    }

    /// The secret, if it is known.
    pub(crate) fn secret(&self) -> Option<Secret> {
        match self {
            Self::Secret(secret) => Some(*secret),
            Self::Digest(_) => None,
        }
    }
}

impl SessionId {
    /// The digest of the secret.
    pub(crate) fn digest(&self) -> Digest {
        digest_of(self.secret)
    }

    /// The id after a timed renewal: the same handle, and a secret derived from this id's secret
    /// and the row's seed. Neither the secret nor the seed alone is enough to compute the id.
    pub(crate) fn successor(&self, seed: u64) -> Self {
        let digest = Sha256::new()
            .chain_update(RENEWAL_DOMAIN)
            .chain_update(self.secret.0)
            .chain_update(seed.to_be_bytes())
            .finalize();
        Self { handle: self.handle, secret: Secret(half(digest.into())) }
    }
}

/// Compares two digests or two secrets in constant time, as one number. `subtle` compares slices
/// byte by byte, which takes longer than the lookup of a session.
#[inline]
pub(crate) fn is_same(one: &Digest, other: &Digest) -> bool {
    u128::from_ne_bytes(*one).ct_eq(&u128::from_ne_bytes(*other)).into()
}

fn digest_of(secret: Secret) -> Digest {
    half(Sha256::digest(secret.0).into())
}

fn half(digest: [u8; 32]) -> Digest {
    std::array::from_fn(|n| digest[n])
}
