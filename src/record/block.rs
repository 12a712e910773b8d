//! The block: reference count, store state and bytes of a record, in one allocation.
//!
//! ```text
//! block = reference count · length · store state · version (8) · body · [second secret (32)]
//! ```
//!
//! A look reads one cache line, the header. A session that was rotated has a second secret behind
//! its body, and its store charges it 32 bytes more: a superseded id, or the other id of a timed
//! renewal. `Clone`, `==` and serde see the body alone.

use triomphe::ThinArc;

use super::body::{self, Times};
use super::version::Version;
use crate::id::{Digest, Handle, Secret, SecretCheck, SessionId, is_same};
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// The eviction queue that a session is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// New: not visited yet.
    Probation,
    /// Visited while in probation.
    Main,
    /// With an owner: evicted last.
    Owned,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Probation, Self::Main, Self::Owned];

    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL[usize::from(number).min(Self::ALL.len() - 1)]
    }
}

/// The part of a row beside the record. The atomics change under a shard's read lock.
pub(crate) struct StoreState {
    pub(crate) handle: Handle,
    /// The body's times: bit 0 is set if the session is remembered, bit 1 if it has a timeout of
    /// its own, which only the body holds. The other bits say when its lifetime began.
    times: u64,
    /// When the session expires, in nanoseconds of the store's clock.
    pub(crate) deadline: AtomicU64,
    /// Or its digest, as `kinds` says.
    secret: [u8; 16],
    /// The slot in its shard's queues and expiry index.
    pub(crate) slot: AtomicU32,
    class: AtomicU8,
    /// Whether the session was visited since its last examination.
    pub(crate) visited: AtomicBool,
    /// The generation of its last visit, as its shard counts them.
    pub(crate) generation: AtomicU8,
    /// Bit 0: the secret is known by its digest only. Bits 1 and 2: the kind of the second secret.
    kinds: u8,
}

const DIGEST: u8 = 0x01;
const SECOND: u8 = 0x06;
const SUPERSEDED: u8 = 0x02;
const PENDING: u8 = 0x04;
const PREVIOUS: u8 = 0x06;

const REMEMBERED: u64 = 0x01;
const OWN_TIMEOUT: u64 = 0x02;
const BEGAN_SHIFT: u32 = 2;

impl StoreState {
    pub(crate) fn row(handle: Handle, secret: SecretCheck) -> Self {
        let mut state = Self { handle, ..Self::default() };
        state.set_secret(secret);
        state
    }

    /// The state of the next row of the same session, opened by the same secret.
    #[inline]
    pub(crate) fn next(state: &Self) -> Self {
        Self { handle: state.handle, secret: state.secret, kinds: state.kinds & DIGEST, ..Self::default() }
    }

    pub(crate) fn secret(&self) -> SecretCheck {
        if self.kinds & DIGEST == 0 {
            SecretCheck::Secret(Secret::from_bytes(self.secret))
        } else {
            SecretCheck::Digest(self.secret)
        }
    }

    /// Returns true if `id` has the session's secret, in constant time.
    #[inline]
    pub(crate) fn is_opened_by(&self, id: &SessionId) -> bool {
        if self.kinds & DIGEST == 0 { id.has_secret(&self.secret) } else { is_same(&self.secret, &id.digest()) }
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

    #[inline]
    pub(crate) fn has_second(&self) -> bool {
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
            times: 0,
            deadline: AtomicU64::new(0),
            secret: [0; 16],
            slot: AtomicU32::new(0),
            class: AtomicU8::new(Class::Probation as u8),
            visited: AtomicBool::new(false),
            generation: AtomicU8::new(0),
            kinds: 0,
        }
    }
}

impl Clone for StoreState {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle,
            times: self.times,
            deadline: AtomicU64::new(self.deadline.load(Ordering::Relaxed)),
            secret: self.secret,
            slot: AtomicU32::new(self.slot.load(Ordering::Relaxed)),
            class: AtomicU8::new(self.class.load(Ordering::Relaxed)),
            visited: AtomicBool::new(self.visited.load(Ordering::Relaxed)),
            generation: AtomicU8::new(self.generation.load(Ordering::Relaxed)),
            kinds: self.kinds,
        }
    }
}

/// The second secret of a session that was rotated. Instants are nanoseconds of the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecondSecret {
    /// The secret that a login or `regenerate` superseded. `until` is the end of its grace.
    Superseded { digest: Digest, until: u64 },
    /// The secret of a pending timed renewal, derived from the current one and `seed`. It opens the
    /// session too, and becomes the current one when it is first presented. The current one ends at
    /// `until`, which is [`NEVER`] until this one was announced a second time.
    Pending { digest: Digest, seed: u64, until: u64 },
    /// The secret before a timed renewal. It opens the session until `until`, the end of its grace.
    Previous { digest: Digest, until: u64 },
}

/// An instant that no clock reaches.
pub(crate) const NEVER: u64 = u64::MAX;

/// Bytes of a second secret: digest, seed, instant.
pub(crate) const SECOND_BYTES: usize = 32;

/// Bytes of the version, in front of a body.
pub(crate) const FRONT_BYTES: usize = 8;

/// The parts around a body.
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
    pub(crate) fn write_front(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.version.to_u64().to_ne_bytes());
    }

    #[inline]
    pub(crate) fn write_back(&self, bytes: &mut Vec<u8>) {
        if let Some(second) = &self.second {
            bytes.extend_from_slice(&second.to_bytes());
        }
    }
}

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
            PENDING => Self::Pending { digest, seed, until },
            // Only a renewal has a seed: one value has one form.
            _ if seed != 0 => return None,
            SUPERSEDED => Self::Superseded { digest, until },
            PREVIOUS => Self::Previous { digest, until },
            _ => return None,
        })
    }

    /// The same with its instant converted to another clock.
    pub(crate) fn on(self, on: impl Fn(u64) -> u64) -> Self {
        match self {
            Self::Superseded { digest, until } => Self::Superseded { digest, until: on(until) },
            Self::Pending { digest, seed, until } => Self::Pending { digest, seed, until: on(until) },
            Self::Previous { digest, until } => Self::Previous { digest, until: on(until) },
        }
    }

    /// The kind and the bytes, for a row that leaves the process.
    pub(crate) fn to_parts(self) -> (u8, [u8; SECOND_BYTES]) {
        (self.kind() >> 1, self.to_bytes())
    }

    /// Reads what [`to_parts`](Self::to_parts) gave.
    pub(crate) fn from_parts(kind: u8, bytes: &[u8; SECOND_BYTES]) -> Option<Self> {
        Self::from_bytes(kind.checked_mul(2)?, bytes)
    }
}

/// Reference count, length and store state.
const HEADER_BYTES: usize = 2 * size_of::<usize>() + size_of::<StoreState>();

// The header is most of a session's cost beside its data, so it grows by decision, never by
// accident.
#[cfg(not(shuttle))]
const _: () = assert!(HEADER_BYTES <= 64);

#[derive(Clone)]
pub(crate) struct Block(ThinArc<StoreState, u8>);

impl Block {
    /// Makes a block. `bytes`: the body with the parts around it.
    #[inline]
    pub(crate) fn new(mut state: StoreState, second: Option<&SecondSecret>, bytes: &[u8]) -> Self {
        state.kinds = state.kinds & DIGEST | second.map_or(0, SecondSecret::kind);
        state.times = packed_times(bytes.get(FRONT_BYTES..).unwrap_or_default());
        Self(ThinArc::from_header_and_slice(state, bytes))
    }

    pub(crate) fn state(&self) -> &StoreState {
        &self.0.header.header
    }

    #[inline]
    pub(crate) fn body(&self) -> &[u8] {
        let bytes = &self.0.slice;
        let behind = if self.state().has_second() { SECOND_BYTES } else { 0 };
        bytes.get(FRONT_BYTES..bytes.len() - behind).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn second(&self) -> Option<SecondSecret> {
        if !self.state().has_second() {
            return None;
        }
        SecondSecret::from_bytes(self.state().kinds & SECOND, self.0.slice.last_chunk()?)
    }

    #[inline]
    pub(crate) fn version(&self) -> Version {
        let bytes = self.0.slice.first_chunk();
        bytes.map_or_else(Version::default, |bytes| Version::from_u64(u64::from_ne_bytes(*bytes)))
    }

    /// The times of the body, from the header unless the session has a timeout of its own.
    #[inline]
    pub(crate) fn times(&self) -> Times {
        let packed = self.state().times;
        if packed & OWN_TIMEOUT != 0 {
            return body::times(self.body()).unwrap_or_default();
        }
        Times { began_ms: packed >> BEGAN_SHIFT, timeout_ms: None, remembered: packed & REMEMBERED != 0 }
    }

    pub(crate) fn size(&self) -> usize {
        HEADER_BYTES + self.0.slice.len()
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.ptr(), other.0.ptr())
    }

    /// Changes the state: in place if this is the only pointer to the block, else on a copy.
    pub(crate) fn stamp(&mut self, stamp: impl FnOnce(&mut StoreState)) {
        self.make_unique();
        self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).map(|block| stamp(block.header_mut())));
    }

    /// Changes the time of creation, which is in the body, in the same way.
    pub(crate) fn set_created_ms(&mut self, millis: u64) {
        self.patch(|bytes| body::set_created_ms(bytes.get_mut(FRONT_BYTES..).unwrap_or_default(), millis));
        let times = packed_times(self.body());
        self.stamp(|state| state.times = times);
    }

    fn patch(&mut self, patch: impl FnOnce(&mut [u8])) {
        self.make_unique();
        self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).map(|block| patch(block.slice_mut())));
    }

    fn make_unique(&mut self) {
        if self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).is_none()) {
            *self = Self(ThinArc::from_header_and_slice(self.state().clone(), &self.0.slice));
        }
    }
}

fn packed_times(bytes: &[u8]) -> u64 {
    let times = body::times(bytes).unwrap_or_default();
    let flag = |part: bool, flag: u64| if part { flag } else { 0 };
    times.began_ms << BEGAN_SHIFT | flag(times.remembered, REMEMBERED) | flag(times.timeout_ms.is_some(), OWN_TIMEOUT)
}
