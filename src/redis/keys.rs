//! What the keys are called.
//!
//! The part in braces decides which node of a cluster has a key. All keys of a session share one,
//! all keys of an owner, and each part of the index has its own.

use crate::id::Handle;

/// How many parts the index of all sessions has, so that not all of it is on one node.
pub(super) const INDEX_PARTS: u64 = 16;

#[derive(Clone)]
pub(super) struct Keys {
    pub(super) prefix: String,
}

impl Keys {
    /// The session.
    pub(super) fn of_record(&self, handle: Handle) -> Vec<u8> {
        format!("{}{{{handle}}}", self.prefix).into_bytes()
    }

    /// Why it was ended.
    pub(super) fn of_why(&self, handle: Handle) -> Vec<u8> {
        format!("{}{{{handle}}}:why", self.prefix).into_bytes()
    }

    /// The owner's epoch, the one to come, the sessions, and when each logged in.
    pub(super) fn of_owner(&self, owner: &str) -> [Vec<u8>; 4] {
        // As hexadecimal digits: a name may have braces in it, or anything else.
        let name: String = owner.bytes().map(|byte| format!("{byte:02x}")).collect();
        let key = |what| format!("{}{{owner:{name}}}:{what}", self.prefix).into_bytes();
        ["epoch", "next", "sessions", "logins"].map(key)
    }

    pub(super) fn of_index(&self, part: u64) -> Vec<u8> {
        format!("{}{{index:{part}}}", self.prefix).into_bytes()
    }

    /// The part of the index that knows a session.
    pub(super) fn of_index_with(&self, handle: Handle) -> Vec<u8> {
        self.of_index(handle.to_u64() % INDEX_PARTS)
    }
}
