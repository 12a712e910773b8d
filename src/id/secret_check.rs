//! The secret check: what a row compares an id with, the secret or half of its SHA-256.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{SECRET_BYTES, Secret, SessionId};

/// The first half of the SHA-256 of a secret: what a file or a database may hold.
///
/// Finding a secret for 128 bits of digest is as much work as guessing its 128 bits; the other half
/// would only take memory.
pub(crate) type Digest = [u8; SECRET_BYTES];

/// Separates the digests of renewals from every other use of SHA-256 here.
const RENEWAL_DOMAIN: &[u8] = b"lembro renewal 1";

/// Checks the secret of an id, in constant time.
#[derive(Clone, Copy)]
pub(crate) enum SecretCheck {
    /// The secret.
    Secret(Secret),
    /// Its digest, if the row was read from a file or a database.
    Digest(Digest),
}

impl SecretCheck {
    pub(crate) fn of(id: &SessionId) -> Self {
        Self::Secret(id.secret)
    }

    /// Returns true if `id` has this secret. The caller has compared the handle.
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

    /// The id that a timed renewal gives the session: the same handle, and a secret derived from
    /// this id's secret and the row's seed. Neither of the two alone is enough to derive it.
    pub(crate) fn successor(&self, seed: u64) -> Self {
        let digest = Sha256::new()
            .chain_update(RENEWAL_DOMAIN)
            .chain_update(self.secret.0)
            .chain_update(seed.to_be_bytes())
            .finalize();
        Self { handle: self.handle, secret: Secret(half(digest.into())) }
    }
}

/// Compares two digests or two secrets in constant time, as one number: `subtle` compares slices
/// byte by byte, which takes longer than finding the session.
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
