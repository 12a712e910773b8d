//! The block: reference count, store state and the bytes of a record, in one allocation behind one
//! pointer.
//!
//! What a store notes beside a record lives in the block's header, so that finding a session,
//! checking its secret, seeing its deadline and reading it take one pointer. What only few sessions
//! have, a second secret, is a tail behind the body. `Clone`, `==` and serde ignore both.

use triomphe::ThinArc;

use super::version::Version;
use crate::id::{Digest, Handle, Secret, SecretCheck, SessionId};
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Which eviction queue a session is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// New: not visited yet.
    Probation,
    /// Visited again.
    Main,
    /// With an owner: last to be evicted.
    Owned,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Probation, Self::Main, Self::Owned];

    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL[usize::from(number) % Self::ALL.len()]
    }
}

/// What a store notes beside a record. The atomics change under a shard's read lock.
pub(crate) struct StoreState {
    pub(crate) handle: Handle,
    pub(crate) version: Version,
    /// When the session expires, in nanoseconds of the store's clock.
    pub(crate) deadline: AtomicU64,
    /// The secret or its digest, as `kinds` says.
    secret: [u8; 16],
    /// Where the session stands in its shard's queue and expiry index.
    pub(crate) slot: AtomicU32,
    class: AtomicU8,
    /// Whether the session was visited since its last examination.
    pub(crate) visited: AtomicBool,
    /// The last of the shard's turns in which it was visited.
    pub(crate) turn: AtomicU8,
    /// Bit 0: only the digest of the secret is known. Bits 1 and 2: the kind of the second secret.
    kinds: u8,
}

const DIGEST: u8 = 0x01;
const SECOND: u8 = 0x06;
const SUPERSEDED: u8 = 0x02;
const PENDING: u8 = 0x04;
const PREVIOUS: u8 = 0x06;

impl StoreState {
    /// The state of a record that no store has yet.
    pub(crate) fn versioned(version: Version) -> Self {
        Self { version, ..Self::default() }
    }

    /// The state of a row.
    pub(crate) fn row(handle: Handle, version: Version, secret: SecretCheck, second: Option<&SecondSecret>) -> Self {
        let mut state = Self { handle, version, ..Self::default() };
        state.set_secret(secret);
        state.kinds |= second.map_or(0, SecondSecret::kind);
        state
    }

    pub(crate) fn secret(&self) -> SecretCheck {
        if self.kinds & DIGEST == 0 {
            SecretCheck::Secret(Secret::from_bytes(self.secret))
        } else {
            SecretCheck::Digest(self.secret)
        }
    }

    pub(crate) fn set_secret(&mut self, secret: SecretCheck) {
        let (bytes, kind) = match secret {
            SecretCheck::Secret(secret) => (secret.to_bytes(), 0),
            SecretCheck::Digest(digest) => (digest, DIGEST),
        };
        self.secret = bytes;
        self.kinds = self.kinds & SECOND | kind;
    }

    /// The id that opens the session, if its secret is known and not only the digest.
    pub(crate) fn id(&self) -> Option<SessionId> {
        Some(SessionId::new(self.handle, self.secret().secret()?))
    }

    fn has_second(&self) -> bool {
        self.kinds & SECOND != 0
    }

    pub(crate) fn class(&self) -> Class {
        Class::from_number(self.class.load(Ordering::Relaxed))
    }

    pub(crate) fn set_class(&self, class: Class) {
        self.class.store(class as u8, Ordering::Relaxed);
    }
}

impl Default for StoreState {
    fn default() -> Self {
        Self {
            handle: Handle::from_u64(0),
            version: Version::default(),
            deadline: AtomicU64::new(0),
            secret: [0; 16],
            slot: AtomicU32::new(0),
            class: AtomicU8::new(Class::Probation as u8),
            visited: AtomicBool::new(false),
            turn: AtomicU8::new(0),
            kinds: 0,
        }
    }
}

impl Clone for StoreState {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle,
            version: self.version,
            deadline: AtomicU64::new(self.deadline.load(Ordering::Relaxed)),
            secret: self.secret,
            slot: AtomicU32::new(self.slot.load(Ordering::Relaxed)),
            class: AtomicU8::new(self.class.load(Ordering::Relaxed)),
            visited: AtomicBool::new(self.visited.load(Ordering::Relaxed)),
            turn: AtomicU8::new(self.turn.load(Ordering::Relaxed)),
            kinds: self.kinds,
        }
    }
}

/// A second secret of a session that was rotated, beside the current one. Instants are nanoseconds
/// of the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecondSecret {
    /// A login or `regenerate` took this secret's place. Until `until` its holders are taken for
    /// requests in flight.
    Superseded { digest: Digest, until: u64 },
    /// A timed renewal is pending: this secret, derived from the current one and `seed`, opens the
    /// session too, and takes the current one's place when it is first presented. The current one
    /// ends at `until`; [`NEVER`] until it was announced a second time.
    Pending { digest: Digest, seed: u64, until: u64 },
    /// A timed renewal took this secret's place. It opens the session until `until`.
    Previous { digest: Digest, until: u64 },
}

/// An instant that no clock reaches.
pub(crate) const NEVER: u64 = u64::MAX;

/// Bytes of a second secret: digest, seed, instant.
pub(crate) const SECOND_BYTES: usize = 32;

impl SecondSecret {
    fn kind(&self) -> u8 {
        match self {
            Self::Superseded { .. } => SUPERSEDED,
            Self::Pending { .. } => PENDING,
            Self::Previous { .. } => PREVIOUS,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; SECOND_BYTES] {
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

    fn from_bytes(kind: u8, bytes: &[u8; SECOND_BYTES]) -> Option<Self> {
        let (digest, rest) = bytes.split_first_chunk::<16>()?;
        let (seed, until) = rest.split_first_chunk::<8>()?;
        let (digest, seed) = (*digest, u64::from_be_bytes(*seed));
        let until = u64::from_be_bytes(*until.first_chunk::<8>()?);
        Some(match kind {
            SUPERSEDED => Self::Superseded { digest, until },
            PENDING => Self::Pending { digest, seed, until },
            PREVIOUS => Self::Previous { digest, until },
            _ => return None,
        })
    }

    /// The same with its instant on another clock.
    pub(crate) fn on(self, on: impl Fn(u64) -> u64) -> Self {
        match self {
            Self::Superseded { digest, until } => Self::Superseded { digest, until: on(until) },
            Self::Pending { digest, seed, until } => Self::Pending { digest, seed, until: on(until) },
            Self::Previous { digest, until } => Self::Previous { digest, until: on(until) },
        }
    }

    /// The kind as a byte and the rest as bytes, for a row that is written somewhere.
    pub(crate) fn to_parts(self) -> (u8, [u8; SECOND_BYTES]) {
        (self.kind() >> 1, self.to_bytes())
    }

    /// Reads what [`to_parts`](Self::to_parts) gave.
    pub(crate) fn from_parts(kind: u8, bytes: &[u8; SECOND_BYTES]) -> Option<Self> {
        Self::from_bytes(kind.checked_mul(2)?, bytes)
    }
}

/// Bytes before the body: reference count, length and store state.
const HEADER_BYTES: usize = 2 * size_of::<usize>() + size_of::<StoreState>();

// The header is most of what a session costs beside its data: growing it is a decision, not an accident.
#[cfg(not(shuttle))]
const _: () = assert!(HEADER_BYTES <= 64);

#[derive(Clone)]
pub(crate) struct Block(ThinArc<StoreState, u8>);

impl Block {
    /// `bytes`: the body, and behind it those of the second secret if the state has one.
    pub(crate) fn new(state: StoreState, bytes: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice(state, bytes))
    }

    pub(crate) fn state(&self) -> &StoreState {
        &self.0.header.header
    }

    pub(crate) fn body(&self) -> &[u8] {
        let bytes = &self.0.slice;
        if self.state().has_second() { &bytes[..bytes.len().saturating_sub(SECOND_BYTES)] } else { bytes }
    }

    pub(crate) fn second(&self) -> Option<SecondSecret> {
        if !self.state().has_second() {
            return None;
        }
        SecondSecret::from_bytes(self.state().kinds & SECOND, self.0.slice.last_chunk()?)
    }

    pub(crate) fn size(&self) -> usize {
        HEADER_BYTES + self.0.slice.len()
    }

    /// Returns true if both are the same allocation.
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.ptr(), other.0.ptr())
    }

    /// Changes the state, but not whether there is a second secret: in place if this is the only
    /// pointer to the block, else on a copy of it.
    pub(crate) fn stamp(&mut self, stamp: impl FnOnce(&mut StoreState)) {
        self.make_unique();
        self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).map(|block| stamp(block.header_mut())));
    }

    /// The same for the bytes.
    pub(crate) fn patch(&mut self, patch: impl FnOnce(&mut [u8])) {
        self.make_unique();
        self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).map(|block| patch(block.slice_mut())));
    }

    fn make_unique(&mut self) {
        if self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).is_none()) {
            *self = Self::new(self.state().clone(), &self.0.slice);
        }
    }
}
