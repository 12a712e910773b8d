//! Names of the keys on the server.
//!
//! The text in braces decides which node of a cluster holds a key. All keys of one session have the
//! same text in braces, and so do all keys of one owner. Each part of the index has its own.

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
    /// The key of a session's hash.
    pub(super) fn of_record(&self, handle: Handle) -> Vec<u8> {
        format!("{}{{{handle}}}", self.prefix).into_bytes()
    }

    /// The key of the reason why a session was ended.
    pub(super) fn of_end_reason(&self, handle: Handle) -> Vec<u8> {
        format!("{}{{{handle}}}:why", self.prefix).into_bytes()
    }

    /// The keys of an owner's epoch, next epoch, set of sessions, and login slots.
    pub(super) fn of_owner(&self, owner: &str) -> [Vec<u8>; 4] {
        // A name may contain braces, so it is written in hexadecimal digits.
        let name: String = owner.bytes().map(|byte| format!("{byte:02x}")).collect();
        let key = |what| format!("{}{{owner:{name}}}:{what}", self.prefix).into_bytes();
        ["epoch", "next", "sessions", "logins"].map(key)
    }

    /// The key of a part of the index.
    pub(super) fn of_index(&self, part: u64) -> Vec<u8> {
        format!("{}{{index:{part}}}", self.prefix).into_bytes()
    }

    /// The key of the part of the index that a session belongs to.
    pub(super) fn of_index_with(&self, handle: Handle) -> Vec<u8> {
        self.of_index(handle.to_u64() % INDEX_PARTS)
    }
}
