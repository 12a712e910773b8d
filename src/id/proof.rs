//! The proof: what a store in memory compares an id with, the secret itself or what a file kept in its place.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{SECRET_BYTES, Secret, SessionId};

/// Proves an id. Both ways take the same time wherever an id differs.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    /// The secret.
    Secret(Secret),
    /// The first half of the secret's SHA-256, all that is known of it after a restart. Finding a secret for 128 bits of digest
    /// is as much work as guessing its 128 bits; the other half would only take memory.
    Digest([u8; SECRET_BYTES]),
}

impl Proof {
    pub(crate) fn of(id: &SessionId) -> Self {
        Self::Secret(id.secret)
    }

    /// Whether `id` has this secret. Its handle is the caller's business.
    pub(crate) fn accepts(&self, id: &SessionId) -> bool {
        match self {
            Self::Secret(secret) => *secret == id.secret,
            Self::Digest(digest) => {
                u128::from_ne_bytes(*digest).ct_eq(&u128::from_ne_bytes(digest_of(id.secret))).into()
            }
        }
    }

    /// What a file may hold.
    pub(crate) fn digest(&self) -> [u8; SECRET_BYTES] {
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

fn digest_of(secret: Secret) -> [u8; SECRET_BYTES] {
    let mut half = [0; SECRET_BYTES];
    half.copy_from_slice(&Sha256::digest(secret.0)[..SECRET_BYTES]);
    half
}
