//! Which sessions of a shard belong to an owner: the slots of each owner, in the order of a hash of the name.
//!
//! Sessions without an owner cost nothing here. The names are not kept a second time: the shard compares them in the
//! records that the slots lead to. It is a tree because all the sessions of one owner have one hash: in a hash table somebody
//! who logs in a million times would make every other login slow.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

use super::Shard;
use crate::record::Record;
use crate::store::is_expired;

#[derive(Debug, Default)]
pub(super) struct Owned {
    /// Hash and slot.
    slots: BTreeSet<(u32, u32)>,
}

impl Owned {
    /// The session in a slot has another owner than before.
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
        // Nearly always of one owner.
        let slots = self.owned.slots.range((hash, 0)..=(hash, u32::MAX));
        let records = slots.filter_map(|(_, slot)| self.in_slot(*slot));
        records.filter(move |record| !is_expired(record, now) && record.owner() == Some(owner))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half a hash tells owners apart well enough")]
fn hash_of_owner(hasher: &RandomState, owner: &str) -> u32 {
    hasher.hash_one(owner) as u32
}
