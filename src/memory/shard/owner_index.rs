//! The owner index: the slots of sessions with an owner, ordered by a hash of the owner.
//!
//! Sessions without an owner cost nothing here. The index holds hashes, not owners, so the shard
//! compares the owners in the rows. The index is a tree because all sessions of one owner have the
//! same hash. In a hash table, an owner with a million sessions would slow down every other login.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

#[derive(Debug, Default)]
pub(super) struct OwnerIndex {
    /// The hash of the owner, and the slot.
    slots: BTreeSet<(u32, u32)>,
}

impl OwnerIndex {
    /// Updates the index after the owner of the session in a slot changed.
    pub(super) fn change(&mut self, hasher: &RandomState, slot: u32, before: Option<&str>, after: Option<&str>) {
        if before == after {
            return;
        }
        if let Some(owner) = before {
            self.slots.remove(&(hash_of_owner(hasher, owner), slot));
        }
        if let Some(owner) = after {
            self.slots.insert((hash_of_owner(hasher, owner), slot));
        }
    }

    /// The slots of an owner's sessions, and of other owners with the same hash.
    pub(super) fn candidates(&self, hasher: &RandomState, owner: &str) -> impl Iterator<Item = u32> + '_ {
        let hash = hash_of_owner(hasher, owner);
        self.slots.range((hash, 0)..=(hash, u32::MAX)).map(|(_, slot)| *slot)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the caller compares the owners, too")]
fn hash_of_owner(hasher: &RandomState, owner: &str) -> u32 {
    hasher.hash_one(owner) as u32
}
