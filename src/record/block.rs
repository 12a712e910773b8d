//! The block: reference count, store state and bytes of a record, in one allocation.
//!
//! ```text
//! block = reference count · length · store state · version (8) · body · [second secret (32)]
//! ```
//!
//! A look reads one cache line, the header: all parts before the version. Only a rotated session
//! has a second secret: that of a superseded id, or of the other id of a timed renewal. It counts
//! for the session's size. A clone shares the whole block, store state included; `==` and serde use
//! the body.

use triomphe::ThinArc;

use super::frame::{FRONT_BYTES, SECOND_BYTES, SecondSecret, Version};
use super::head::{self, Times};
use crate::id::{Handle, Secret, SecretCheck, SessionId, is_same};
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// The eviction queue that a session is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// New sessions, not visited yet.
    Probation,
    /// Sessions that were visited while in probation.
    Main,
    /// Sessions with an owner, which are evicted last.
    Owned,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Probation, Self::Main, Self::Owned];

    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL[usize::from(number).min(Self::ALL.len() - 1)]
    }
}

/// The store's part of a row, beside the record. The atomics change under a shard's read lock.
pub(crate) struct StoreState {
    pub(crate) handle: Handle,
    /// The body's times. Bit 0: the session is remembered. Bit 1: it has a timeout of its own,
    /// which only the body holds. The other bits: when the session's lifetime began.
    times: u64,
    /// When the session expires, in nanoseconds of the store's clock.
    pub(crate) deadline: AtomicU64,
    /// The secret or its digest: see `kinds`.
    secret: [u8; 16],
    /// The slot in its shard's queues and expiry index.
    pub(crate) slot: AtomicU32,
    class: AtomicU8,
    /// Whether the session was visited since its last examination.
    pub(crate) visited: AtomicBool,
    /// The shard's generation when the session was last visited.
    pub(crate) generation: AtomicU8,
    /// Bit 0: `secret` is a digest. Bits 1 and 2: the kind of the second secret.
    kinds: u8,
}

const DIGEST: u8 = 0x01;
const SECOND: u8 = 0x06;
const SECOND_SHIFT: u32 = 1;

const REMEMBERED: u64 = 0x01;
const OWN_TIMEOUT: u64 = 0x02;
const BEGAN_SHIFT: u32 = 2;

impl StoreState {
    /// The state of a row that is in no queue yet.
    pub(crate) fn row(handle: Handle, secret: SecretCheck, deadline: u64) -> Self {
        let mut state = Self { handle, deadline: AtomicU64::new(deadline), ..Self::default() };
        state.set_secret(secret);
        state
    }

    /// The state of the session's next row, opened by the same secret.
    #[inline]
    pub(crate) fn next(&self, deadline: u64) -> Self {
        Self {
            handle: self.handle,
            secret: self.secret,
            kinds: self.kinds & DIGEST,
            deadline: AtomicU64::new(deadline),
            ..Self::default()
        }
    }

    #[inline]
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
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

/// Reference count, length and store state.
const HEADER_BYTES: usize = 2 * size_of::<usize>() + size_of::<StoreState>();

// The header is most of a session's cost beside its data, so it must not grow unnoticed.
#[cfg(not(shuttle))]
const _: () = assert!(HEADER_BYTES <= 64);

#[derive(Clone)]
pub(super) struct Block(ThinArc<StoreState, u8>);

impl Block {
    /// Builds a block from a body in its frame. Sets the times and the second kind of the state.
    #[inline]
    pub(super) fn new(mut state: StoreState, second: Option<&SecondSecret>, bytes: &[u8]) -> Self {
        state.kinds = state.kinds & DIGEST | second.map_or(0, |second| second.kind() << SECOND_SHIFT);
        state.times = packed_times(bytes.get(FRONT_BYTES..).unwrap_or_default());
        Self(ThinArc::from_header_and_slice(state, bytes))
    }

    pub(super) fn state(&self) -> &StoreState {
        &self.0.header.header
    }

    #[inline]
    pub(super) fn body(&self) -> &[u8] {
        let bytes = &self.0.slice;
        let behind = if self.state().has_second() { SECOND_BYTES } else { 0 };
        bytes.get(FRONT_BYTES..bytes.len() - behind).unwrap_or_default()
    }

    #[inline]
    pub(super) fn second(&self) -> Option<SecondSecret> {
        if !self.state().has_second() {
            return None;
        }
        SecondSecret::from_parts((self.state().kinds & SECOND) >> SECOND_SHIFT, self.0.slice.last_chunk()?)
    }

    #[inline]
    pub(super) fn version(&self) -> Version {
        let bytes = self.0.slice.first_chunk();
        bytes.map_or_else(Version::default, |bytes| Version::from_u64(u64::from_ne_bytes(*bytes)))
    }

    /// The times of the body, from the header unless the session has a timeout of its own.
    #[inline]
    pub(super) fn times(&self) -> Times {
        let packed = self.state().times;
        if packed & OWN_TIMEOUT != 0 {
            return head::times(self.body()).unwrap_or_default();
        }
        Times { began_ms: packed >> BEGAN_SHIFT, timeout_ms: None, remembered: packed & REMEMBERED != 0 }
    }

    pub(super) fn size(&self) -> usize {
        HEADER_BYTES + self.0.slice.len()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.ptr(), other.0.ptr())
    }

    /// Changes the state: in place if this is the only pointer to the block, else on a copy.
    pub(super) fn update_state(&mut self, update: impl FnOnce(&mut StoreState)) {
        if self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).is_none()) {
            *self = Self(ThinArc::from_header_and_slice(self.state().clone(), &self.0.slice));
        }
        self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).map(|block| update(block.header_mut())));
    }
}

fn packed_times(bytes: &[u8]) -> u64 {
    let times = head::times(bytes).unwrap_or_default();
    let flag = |part: bool, flag: u64| if part { flag } else { 0 };
    times.began_ms << BEGAN_SHIFT | flag(times.remembered, REMEMBERED) | flag(times.timeout_ms.is_some(), OWN_TIMEOUT)
}
