//! Which sessions of a shard belong to an owner: the slots of each owner, in the order of a hash of the name.
//!
//! Sessions without an owner cost nothing here. The names are not kept a second time: the shard compares them in the
//! records that the slots lead to. It is a tree because all the sessions of one owner have one hash: in a hash table somebody
//! who logs in a million times would make every other login slow.

use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Owned {
    slots: BTreeSet<(u32, u32)>,
}

impl Owned {
    pub(super) fn insert(&mut self, owner: u32, slot: u32) {
        self.slots.insert((owner, slot));
    }

    pub(super) fn remove(&mut self, owner: u32, slot: u32) {
        self.slots.remove(&(owner, slot));
    }

    /// The slots of all owners whose names hash so: nearly always one owner.
    pub(super) fn slots(&self, owner: u32) -> impl Iterator<Item = u32> + '_ {
        self.slots.range((owner, 0)..=(owner, u32::MAX)).map(|(_, slot)| *slot)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}
