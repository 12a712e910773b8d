//! The hash table finds a row by its hash, through groups of five tags and five pointers.
//!
//! It follows F14 (Bronson and Shi, Facebook, 2019). A group fills one cache line. A tag is 32 bits
//! of the hash, and a pointer is followed only if the tag beside it matches, so a lookup costs two
//! cache misses: one for the group, one for the row. The tag also chooses the item's home group. If
//! that group is full, the item goes to the next group with a free slot, and each full group on the
//! way counts it (the overflow count). A search stops at a group whose overflow count is zero, so a
//! removal leaves no tombstone.
//!
//! `hashbrown` would keep only seven bits of an item's hash. So it would read every row when it
//! grows, at one cache miss per row, and the request that added the last row would wait. This table
//! moves its items by the tags alone. The groups are in the order of the tags, so to grow, the old
//! and the new table are each walked once, from end to end.

use crate::record::Record;

/// Items in a group.
const WIDTH: usize = 5;

#[repr(align(64))]
struct Group<T> {
    /// The tag of a free slot has no meaning.
    tags: [u32; WIDTH],
    /// How many items found this group full and are stored in a later one.
    overflow: u32,
    items: [Option<T>; WIDTH],
}

// If a group filled two cache lines, a lookup could cost two cache misses per group.
const _: () = assert!(size_of::<Group<Record>>() == 64);

impl<T> Group<T> {
    fn empty() -> Self {
        Self { tags: [0; WIDTH], overflow: 0, items: [const { None }; WIDTH] }
    }

    /// The slots with this tag. No branch depends on which slot matches, because a branch predictor
    /// could not foresee it.
    fn match_tag(&self, tag: u32) -> BitMask {
        BitMask::of(|slot| self.tags[slot] == tag)
    }

    fn match_empty(&self) -> BitMask {
        BitMask::of(|slot| self.items[slot].is_none())
    }
}

/// A set of slots in a group.
struct BitMask(u32);

impl BitMask {
    fn of(is_member: impl Fn(usize) -> bool) -> Self {
        Self((0..WIDTH).fold(0, |bits, slot| bits | u32::from(is_member(slot)) << slot))
    }
}

impl Iterator for BitMask {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let slot = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (slot < WIDTH).then_some(slot)
    }
}

/// A table of pointers. If items have the same hash, the caller's predicate chooses one.
pub(super) struct Table<T> {
    groups: Box<[Group<T>]>,
    len: usize,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self { groups: Box::default(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Every item, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.groups.iter().flat_map(|group| &group.items).flatten()
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        let (group, slot) = self.position(tag(hash), is_it)?;
        self.groups[group].items[slot].as_ref()
    }

    pub(super) fn find_mut(&mut self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<&mut T> {
        let (group, slot) = self.position(tag(hash), is_it)?;
        self.groups[group].items[slot].as_mut()
    }

    /// Adds an item. The caller has checked that it is absent.
    pub(super) fn insert(&mut self, hash: u64, item: T) {
        if self.len == capacity(self.groups.len()) {
            // Grows by a half. If the table doubled, its free slots would add up to a twentieth to
            // the memory of small sessions.
            self.resize(self.groups.len() + self.groups.len() / 2 + 1);
        }
        insert_unchecked(&mut self.groups, tag(hash), item);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let tag = tag(hash);
        let (group, slot) = self.position(tag, is_it)?;
        let item = self.groups[group].items[slot].take();
        self.len -= 1;
        let mut full = home(tag, self.groups.len());
        while full != group {
            self.groups[full].overflow -= 1;
            full = next(full, self.groups.len());
        }
        item
    }

    /// Frees unused groups, but keeps an eighth more groups than needed, as room to grow.
    pub(super) fn shrink(&mut self) {
        let needed = (1..self.groups.len()).find(|groups| capacity(*groups) >= self.len);
        if let Some(groups) = needed.map(|groups| groups + groups / 8) {
            self.resize(groups);
        }
    }

    fn resize(&mut self, groups: usize) {
        let groups = (0..groups).map(|_| Group::empty()).collect();
        for group in std::mem::replace(&mut self.groups, groups) {
            for (tag, item) in group.tags.into_iter().zip(group.items) {
                if let Some(item) = item {
                    insert_unchecked(&mut self.groups, tag, item);
                }
            }
        }
    }

    #[inline]
    fn position(&self, tag: u32, is_it: impl Fn(&T) -> bool) -> Option<(usize, usize)> {
        let mut number = home(tag, self.groups.len());
        // In a small table every group can overflow, so the loop visits each group at most once.
        for _ in 0..self.groups.len() {
            let group = &self.groups[number];
            if let Some(slot) = group.match_tag(tag).find(|slot| group.items[*slot].as_ref().is_some_and(&is_it)) {
                return Some((number, slot));
            }
            if group.overflow == 0 {
                break;
            }
            number = next(number, self.groups.len());
        }
        None
    }

    /// Recomputes tags, length and overflow counts. Returns an error if a stored one differs.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self, hash_of: impl Fn(&T) -> u64) -> Result<(), String> {
        let (mut len, mut overflow) = (0, vec![0; self.groups.len()]);
        for (number, group) in self.groups.iter().enumerate() {
            for (stored, item) in group.tags.iter().zip(&group.items) {
                let Some(item) = item else { continue };
                len += 1;
                let tag = tag(hash_of(item));
                if *stored != tag {
                    return Err(format!("an item in group {number} has the tag {tag}, {stored} is stored"));
                }
                let mut full = home(tag, self.groups.len());
                while full != number {
                    overflow[full] += 1;
                    full = next(full, self.groups.len());
                }
            }
        }
        let capacity = capacity(self.groups.len());
        if len != self.len || len > capacity {
            return Err(format!("the length is {}, {len} items are found, the capacity is {capacity}", self.len));
        }
        match self.groups.iter().zip(overflow).position(|(group, overflow)| group.overflow != overflow) {
            Some(group) => Err(format!("group {group} has a wrong overflow count of {}", self.groups[group].overflow)),
            None => Ok(()),
        }
    }
}

/// The maximum number of items in so many groups: 85 % of the slots, so that a search seldom goes
/// beyond the home group.
fn capacity(groups: usize) -> usize {
    groups * 17 / 4
}

/// The lower half of a hash. The upper half chooses the shard.
#[expect(clippy::cast_possible_truncation, reason = "the tag is the lower half")]
fn tag(hash: u64) -> u32 {
    hash as u32
}

/// The home group of a tag. The groups divide the range of all tags evenly, in ascending order.
fn home(tag: u32, groups: usize) -> usize {
    ((u64::from(tag) * groups as u64) >> 32) as usize
}

fn next(group: usize, groups: usize) -> usize {
    if group + 1 == groups { 0 } else { group + 1 }
}

/// Stores an item in the first group with a free slot. One exists because the capacity is below the
/// number of slots.
fn insert_unchecked<T>(groups: &mut [Group<T>], tag: u32, item: T) {
    let mut number = home(tag, groups.len());
    loop {
        let group = &mut groups[number];
        if let Some(slot) = group.match_empty().next() {
            (group.tags[slot], group.items[slot]) = (tag, Some(item));
            return;
        }
        group.overflow += 1;
        number = next(number, groups.len());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// An item: its hash, and a name that tells it from others with the same hash.
    type Item = Box<(u64, u32)>;

    #[derive(Clone, Debug)]
    enum Operation {
        Insert(u64, u32),
        Remove(u64, u32),
        Rename(u64, u32),
        /// Removes all items but this many.
        Purge(usize),
        Shrink,
    }

    /// Generates many hashes near the ends and the middle of their range, so that groups overflow,
    /// hashes collide, and items wrap around the end of the table.
    fn hash() -> impl Strategy<Value = u64> {
        let crowded = (0..8_u32, prop_oneof![Just(0), Just(1 << 31), Just(u32::MAX - 7)]);
        prop_oneof![
            crowded.prop_map(|(low, from)| u64::from(from + low)),
            any::<u8>().prop_map(|byte| u64::from(byte) << 24),
            any::<u64>(),
        ]
    }

    fn step() -> impl Strategy<Value = Operation> {
        prop_oneof![
            12 => (hash(), 0..4_u32).prop_map(|(hash, name)| Operation::Insert(hash, name)),
            5 => (hash(), 0..4_u32).prop_map(|(hash, name)| Operation::Remove(hash, name)),
            2 => (hash(), 0..4_u32).prop_map(|(hash, name)| Operation::Rename(hash, name)),
            1 => (0..20_usize).prop_map(Operation::Purge),
            1 => Just(Operation::Shrink),
        ]
    }

    fn is(name: u32, hash: u64) -> impl Fn(&Item) -> bool {
        move |item| **item == (hash, name)
    }

    proptest! {
        #[test]
        fn model_table_holds_what_a_plain_set_holds(steps in prop::collection::vec(step(), 1..300)) {
            let mut table: Table<Item> = Table::new();
            let mut model: HashSet<(u64, u32)> = HashSet::new();
            for step in steps {
                match step {
                    Operation::Insert(hash, name) => {
                        if model.insert((hash, name)) {
                            table.insert(hash, Box::new((hash, name)));
                        }
                    }
                    Operation::Remove(hash, name) => {
                        let removed = table.remove(hash, is(name, hash)).map(|item| *item);
                        prop_assert_eq!(removed, model.take(&(hash, name)));
                    }
                    Operation::Rename(hash, name) => {
                        let found = table.find_mut(hash, is(name, hash));
                        prop_assert_eq!(found.is_some(), model.contains(&(hash, name)));
                        if let Some(item) = found && !model.contains(&(hash, name + 100)) {
                            item.1 = name + 100;
                            model.remove(&(hash, name));
                            model.insert((hash, name + 100));
                        }
                    }
                    Operation::Purge(left) => {
                        let gone: Vec<_> = model.iter().copied().skip(left).collect();
                        for (hash, name) in gone {
                            prop_assert!(table.remove(hash, is(name, hash)).is_some());
                            model.remove(&(hash, name));
                        }
                    }
                    Operation::Shrink => {
                        table.shrink();
                        prop_assert!(capacity(table.groups.len()) <= table.len() * 9 / 8 + 9);
                    }
                }
                table.validate(|item| item.0).map_err(TestCaseError::fail)?;
                prop_assert_eq!(table.len(), model.len());
                for (hash, name) in &model {
                    prop_assert!(table.find(*hash, is(*name, *hash)).is_some());
                    prop_assert!(table.find(*hash, is(name + 1000, *hash)).is_none());
                }
                let mut listed: Vec<_> = table.iter().map(|item| **item).collect();
                let mut kept: Vec<_> = model.iter().copied().collect();
                listed.sort_unstable();
                kept.sort_unstable();
                prop_assert_eq!(listed, kept);
            }
        }
    }

    // In a small table every group can overflow. Then a search ends only because it visits each
    // group once.
    #[test]
    fn search_for_an_absent_item_ends_if_every_group_overflows() {
        let mut table: Table<Item> = Table::new();
        let [first, last] = [0, u64::from(u32::MAX)];
        for name in 0..8 {
            table.insert(last, Box::new((last, name)));
        }
        for name in 0..3 {
            assert!(table.remove(last, is(name, last)).is_some());
            table.insert(first, Box::new((first, name)));
        }
        let overflow: Vec<_> = table.groups.iter().map(|group| group.overflow).collect();
        assert_eq!(overflow, [1, 3]);
        assert!([first, last].into_iter().all(|hash| table.find(hash, |_| false).is_none()));
    }
}
