//! Which sessions of a shard belong to an owner: the slots of each owner, found by a hash of the name.
//!
//! Sessions without an owner cost nothing here. The names are not kept a second time: the shard compares them in the
//! records that the slots lead to.

use hashbrown::HashTable;

#[derive(Debug, Default)]
pub(super) struct Owned {
    table: HashTable<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    owner: u32,
    slot: u32,
}

impl Owned {
    pub(super) fn insert(&mut self, owner: u32, slot: u32) {
        self.table.insert_unique(spread(owner), Entry { owner, slot }, |entry| spread(entry.owner));
    }

    pub(super) fn remove(&mut self, owner: u32, slot: u32) {
        if let Ok(entry) = self.table.find_entry(spread(owner), |entry| entry.slot == slot) {
            entry.remove();
        }
    }

    /// The slots of all owners whose names hash so: nearly always one owner.
    pub(super) fn slots(&self, owner: u32) -> impl Iterator<Item = u32> + '_ {
        self.table.iter_hash(spread(owner)).filter(move |entry| entry.owner == owner).map(|entry| entry.slot)
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

/// The table takes its place from the lowest bits and its tag from the highest.
fn spread(owner: u32) -> u64 {
    u64::from(owner) << 32 | u64::from(owner)
}
