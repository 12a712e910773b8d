//! Names of the keys on the server.
//!
//! The part in braces decides which node of a cluster holds a key. The keys of a session share this
//! part, and so do the keys of an owner. Each part of the index has its own.

use crate::id::Handle;

/// The number of parts of the index of all sessions, which may be on different nodes.
pub(super) const INDEX_PARTS: u64 = 16;

/// The maximum number of sessions in one round trip.
pub(super) const BATCH: usize = 256;

#[derive(Clone)]
pub(super) struct KeyNames {
    pub(super) prefix: String,
}

impl KeyNames {
    /// The hash of a session.
    pub(super) fn of_record(&self, handle: Handle) -> Vec<u8> {
        format!("{}{{{handle}}}", self.prefix).into_bytes()
    }

    /// Why the session was ended.
    pub(super) fn of_end_reason(&self, handle: Handle) -> Vec<u8> {
        format!("{}{{{handle}}}:why", self.prefix).into_bytes()
    }

    /// An owner's epoch, next epoch, set of sessions, and login times.
    pub(super) fn of_owner(&self, owner: &str) -> [Vec<u8>; 4] {
        // In hexadecimal digits, because a name may contain braces.
        let name: String = owner.bytes().map(|byte| format!("{byte:02x}")).collect();
        let key = |what| format!("{}{{owner:{name}}}:{what}", self.prefix).into_bytes();
        ["epoch", "next", "sessions", "logins"].map(key)
    }

    pub(super) fn of_index(&self, part: u64) -> Vec<u8> {
        format!("{}{{index:{part}}}", self.prefix).into_bytes()
    }

    /// The part of the index that a session belongs to.
    pub(super) fn of_index_with(&self, handle: Handle) -> Vec<u8> {
        self.of_index(handle.to_u64() % INDEX_PARTS)
    }
}
