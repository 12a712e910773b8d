//! The block: reference count, store state and the bytes of a record, in one allocation behind one pointer.
//!
//! What a store notes beside a record lives in the block's header, so that finding a session, proving its id,
//! seeing its deadline and reading it take one pointer. `memory` alone writes it; Clone, `==` and serde ignore it.

use triomphe::ThinArc;

use super::version::Version;
use crate::id::{Handle, Proof, Secret, SessionId};
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Which eviction queue a session is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// New: nobody has come back to it yet.
    Probation,
    /// Somebody came back.
    Main,
    /// Somebody is logged in: last to go.
    Owned,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Probation, Self::Main, Self::Owned];

    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL[usize::from(number) % Self::ALL.len()]
    }
}

/// What the in-memory store notes beside a record. The atomics change under a shard's read lock.
pub(crate) struct StoreState {
    pub(crate) handle: Handle,
    /// Proves the id that opens the session.
    pub(crate) proof: Proof,
    pub(crate) version: Version,
    /// When the session expires, in nanoseconds of the store's clock.
    pub(crate) deadline: AtomicU64,
    /// Where the session stands in its shard's queue and expiry index.
    pub(crate) slot: AtomicU32,
    class: AtomicU8,
    /// Whether somebody came back since the eviction last looked.
    pub(crate) visited: AtomicBool,
    /// The last of the shard's turns in which somebody did.
    pub(crate) turn: AtomicU8,
}

impl StoreState {
    /// The state of a record that no store has yet.
    pub(crate) fn versioned(version: Version) -> Self {
        Self { version, ..Self::default() }
    }

    /// The id that opens the session, unless it was restored from a file and nobody has presented the id since.
    pub(crate) fn id(&self) -> Option<SessionId> {
        Some(SessionId::new(self.handle, self.proof.secret()?))
    }

    /// Whether this is the id that opens the session.
    pub(crate) fn is_opened_by(&self, id: &SessionId) -> bool {
        self.handle == id.handle() && self.proof.accepts(id)
    }

    pub(crate) fn set_id(&mut self, id: &SessionId) {
        self.handle = id.handle();
        self.proof = Proof::of(id);
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
            proof: Proof::Secret(Secret::EMPTY),
            version: Version::default(),
            deadline: AtomicU64::new(0),
            slot: AtomicU32::new(0),
            class: AtomicU8::new(Class::Probation as u8),
            visited: AtomicBool::new(false),
            turn: AtomicU8::new(0),
        }
    }
}

impl Clone for StoreState {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle,
            proof: self.proof,
            version: self.version,
            deadline: AtomicU64::new(self.deadline.load(Ordering::Relaxed)),
            slot: AtomicU32::new(self.slot.load(Ordering::Relaxed)),
            class: AtomicU8::new(self.class.load(Ordering::Relaxed)),
            visited: AtomicBool::new(self.visited.load(Ordering::Relaxed)),
            turn: AtomicU8::new(self.turn.load(Ordering::Relaxed)),
        }
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
    pub(crate) fn new(state: StoreState, body: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice(state, body))
    }

    pub(crate) fn state(&self) -> &StoreState {
        &self.0.header.header
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.0.slice
    }

    pub(crate) fn size(&self) -> usize {
        HEADER_BYTES + self.0.slice.len()
    }

    /// Whether both are the same allocation.
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.ptr(), other.0.ptr())
    }

    /// Changes the state: in place if this is the only pointer to the block, else on a copy of it.
    pub(crate) fn stamp(&mut self, stamp: impl FnOnce(&mut StoreState)) {
        self.own();
        self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).map(|block| stamp(block.header_mut())));
    }

    /// The same for the bytes.
    pub(crate) fn patch(&mut self, patch: impl FnOnce(&mut [u8])) {
        self.own();
        self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).map(|block| patch(block.slice_mut())));
    }

    /// Sees to it that this is the only pointer to the block.
    fn own(&mut self) {
        if self.0.with_arc_mut(|arc| triomphe::Arc::get_mut(arc).is_none()) {
            *self = Self::new(self.state().clone(), self.body());
        }
    }
}
