//! The owner index: which sessions of a shard have an owner, as slots in the order of a hash of the
//! owner.
//!
//! Sessions without an owner cost nothing here. The index holds no owners: the shard compares them
//! in the rows that the slots lead to. It is a tree because all sessions of one owner have one
//! hash: in a hash table, a user with a million sessions would slow down every other login.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

use super::Shard;
use crate::record::Record;
use crate::store::is_expired;

#[derive(Debug, Default)]
pub(super) struct Owned {
    /// The hash of the owner, and the slot.
    slots: BTreeSet<(u32, u32)>,
}

impl Owned {
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

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

impl Shard {
    /// The live sessions of an owner.
    pub(in crate::memory) fn owned_by<'s>(&'s self, owner: &'s str, now: u64) -> impl Iterator<Item = &'s Record> {
        let hash = hash_of_owner(&self.hasher, owner);
        // Nearly always the slots of one owner.
        let slots = self.owned.slots.range((hash, 0)..=(hash, u32::MAX));
        let records = slots.filter_map(|(_, slot)| self.in_slot(*slot));
        records.filter(move |record| !is_expired(record, now) && record.owner() == Some(owner))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half a hash tells owners apart well enough")]
fn hash_of_owner(hasher: &RandomState, owner: &str) -> u32 {
    hasher.hash_one(owner) as u32
}
