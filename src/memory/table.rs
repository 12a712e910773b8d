//! The table: finds a row by its hash, through lines of five tags and five pointers that fill a
//! cache line each (the "groups" of F14).
//!
//! A tag is 32 bits of the hash. A pointer is followed only if the tag beside it matches, so a
//! lookup costs two cache misses: one for the line, one for the row. The tag also chooses the
//! item's home line. If that line is full, the item goes to the next one with room, and every line
//! that it passes counts it (F14's overflow count). So the search for an absent item knows where to
//! stop, and a removal moves nothing. To grow, the table moves its items by the tags alone and
//! reads no row. It does so in the order of the lines, which is the order of the tags, so both
//! tables are walked from end to end.
//!
//! Not `hashbrown`: it keeps seven bits of the hash beside an item, so it reads every row to grow,
//! a cache miss each, and one login waits for all of them.

use crate::record::Record;

/// Items in a line.
const WIDTH: usize = 5;

#[repr(align(64))]
struct Line<T> {
    /// Meaningless where there is no item.
    tags: [u32; WIDTH],
    /// How many items passed this line because it was full, and are stored further on.
    passed: u32,
    items: [Option<T>; WIDTH],
}

// A lookup costs as much as the cache lines that it reads.
const _: () = assert!(size_of::<Line<Record>>() == 64);

impl<T> Line<T> {
    fn empty() -> Self {
        Self { tags: [0; WIDTH], passed: 0, items: [const { None }; WIDTH] }
    }

    /// The places with this tag. No branch depends on which place matches, because no branch
    /// predictor could foresee it.
    fn tagged(&self, tag: u32) -> Places {
        Places::of(|place| self.tags[place] == tag)
    }

    fn free(&self) -> Places {
        Places::of(|place| self.items[place].is_none())
    }
}

/// A set of places in a line, as bits.
struct Places(u32);

impl Places {
    fn of(is_one: impl Fn(usize) -> bool) -> Self {
        Self((0..WIDTH).fold(0, |places, place| places | u32::from(is_one(place)) << place))
    }
}

impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let place = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (place < WIDTH).then_some(place)
    }
}

/// A table of pointers. Among several items with the same hash, the caller's predicate chooses.
pub(super) struct Table<T> {
    lines: Box<[Line<T>]>,
    len: usize,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self { lines: Box::default(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Every item, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.lines.iter().flat_map(|line| &line.items).flatten()
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        let (line, place) = self.position(tag(hash), is_it)?;
        self.lines[line].items[place].as_ref()
    }

    pub(super) fn find_mut(&mut self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<&mut T> {
        let (line, place) = self.position(tag(hash), is_it)?;
        self.lines[line].items[place].as_mut()
    }

    /// Adds an item. The caller has checked that it is absent.
    pub(super) fn insert(&mut self, hash: u64, item: T) {
        if self.len == room(self.lines.len()) {
            // By a half, not to twice the size: half-empty tables would be a twentieth of a small
            // session's cost.
            self.resize(self.lines.len() + self.lines.len() / 2 + 1);
        }
        put(&mut self.lines, tag(hash), item);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let tag = tag(hash);
        let (line, place) = self.position(tag, is_it)?;
        let item = self.lines[line].items[place].take();
        self.len -= 1;
        let mut passed = home(tag, self.lines.len());
        while passed != line {
            self.lines[passed].passed -= 1;
            passed = after(passed, self.lines.len());
        }
        item
    }

    /// Frees unused lines, but for some room to grow.
    pub(super) fn shrink(&mut self) {
        let needed = (1..self.lines.len()).find(|lines| room(*lines) >= self.len);
        if let Some(lines) = needed.map(|lines| lines + lines / 8) {
            self.resize(lines);
        }
    }

    fn resize(&mut self, lines: usize) {
        let lines = (0..lines).map(|_| Line::empty()).collect();
        for line in std::mem::replace(&mut self.lines, lines) {
            for (tag, item) in line.tags.into_iter().zip(line.items) {
                if let Some(item) = item {
                    put(&mut self.lines, tag, item);
                }
            }
        }
    }

    #[inline]
    fn position(&self, tag: u32, is_it: impl Fn(&T) -> bool) -> Option<(usize, usize)> {
        let mut number = home(tag, self.lines.len());
        // At most once round: in a small table every line can have been passed.
        for _ in 0..self.lines.len() {
            let line = &self.lines[number];
            if let Some(place) = line.tagged(tag).find(|place| line.items[*place].as_ref().is_some_and(&is_it)) {
                return Some((number, place));
            }
            if line.passed == 0 {
                break;
            }
            number = after(number, self.lines.len());
        }
        None
    }

    /// Recomputes tags, counts and overflow counts, and compares.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self, hash_of: impl Fn(&T) -> u64) -> Result<(), String> {
        let (mut len, mut passed) = (0, vec![0; self.lines.len()]);
        for (number, line) in self.lines.iter().enumerate() {
            for (noted, item) in line.tags.iter().zip(&line.items) {
                let Some(item) = item else { continue };
                len += 1;
                let tag = tag(hash_of(item));
                if *noted != tag {
                    return Err(format!("an item in line {number} has the tag {tag}, {noted} is noted"));
                }
                let mut at = home(tag, self.lines.len());
                while at != number {
                    passed[at] += 1;
                    at = after(at, self.lines.len());
                }
            }
        }
        if len != self.len || len > room(self.lines.len()) {
            return Err(format!("{} items noted, {len} found, room for {}", self.len, room(self.lines.len())));
        }
        match self.lines.iter().zip(passed).position(|(line, passed)| line.passed != passed) {
            Some(line) => Err(format!("line {line} counts {} that passed it, wrongly", self.lines[line].passed)),
            None => Ok(()),
        }
    }
}

/// The capacity of so many lines: 85 % of the places, so a search seldom goes beyond the first line
/// and always ends.
fn room(lines: usize) -> usize {
    lines * 17 / 4
}

/// The half of a hash that is kept beside an item. The other half chooses the shard.
#[expect(clippy::cast_possible_truncation, reason = "half of it")]
fn tag(hash: u64) -> u32 {
    hash as u32
}

/// The home line of a tag: as far along the lines as the tag is along all tags.
fn home(tag: u32, lines: usize) -> usize {
    ((u64::from(tag) * lines as u64) >> 32) as usize
}

fn after(line: usize, lines: usize) -> usize {
    if line + 1 == lines { 0 } else { line + 1 }
}

/// Stores an item in the first line with a free place. There is one, because the capacity leaves
/// some free.
fn put<T>(lines: &mut [Line<T>], tag: u32, item: T) {
    let mut number = home(tag, lines.len());
    loop {
        let line = &mut lines[number];
        if let Some(place) = line.free().next() {
            (line.tags[place], line.items[place]) = (tag, Some(item));
            return;
        }
        line.passed += 1;
        number = after(number, lines.len());
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
    enum Step {
        Insert(u64, u32),
        Remove(u64, u32),
        Rename(u64, u32),
        /// Removes all but so many.
        Purge(usize),
        Shrink,
    }

    /// Few hashes, near the ends and the middle of their range, so that items crowd, collide and
    /// wrap around the end.
    fn hash() -> impl Strategy<Value = u64> {
        let crowded = (0..8_u32, prop_oneof![Just(0), Just(1 << 31), Just(u32::MAX - 7)]);
        prop_oneof![
            crowded.prop_map(|(low, from)| u64::from(from + low)),
            any::<u8>().prop_map(|byte| u64::from(byte) << 24),
            any::<u64>(),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => (hash(), 0..4_u32).prop_map(|(hash, name)| Step::Insert(hash, name)),
            5 => (hash(), 0..4_u32).prop_map(|(hash, name)| Step::Remove(hash, name)),
            2 => (hash(), 0..4_u32).prop_map(|(hash, name)| Step::Rename(hash, name)),
            1 => (0..20_usize).prop_map(Step::Purge),
            1 => Just(Step::Shrink),
        ]
    }

    fn is(name: u32, hash: u64) -> impl Fn(&Item) -> bool {
        move |item| **item == (hash, name)
    }

    proptest! {
        #[test]
        fn a_table_holds_what_a_plain_set_would(steps in prop::collection::vec(step(), 1..300)) {
            let mut table: Table<Item> = Table::new();
            let mut model: HashSet<(u64, u32)> = HashSet::new();
            for step in steps {
                match step {
                    Step::Insert(hash, name) => {
                        if model.insert((hash, name)) {
                            table.insert(hash, Box::new((hash, name)));
                        }
                    }
                    Step::Remove(hash, name) => {
                        let removed = table.remove(hash, is(name, hash)).map(|item| *item);
                        prop_assert_eq!(removed, model.take(&(hash, name)));
                    }
                    Step::Rename(hash, name) => {
                        let found = table.find_mut(hash, is(name, hash));
                        prop_assert_eq!(found.is_some(), model.contains(&(hash, name)));
                        if let Some(item) = found && !model.contains(&(hash, name + 100)) {
                            item.1 = name + 100;
                            model.remove(&(hash, name));
                            model.insert((hash, name + 100));
                        }
                    }
                    Step::Purge(left) => {
                        let gone: Vec<_> = model.iter().copied().skip(left).collect();
                        for (hash, name) in gone {
                            prop_assert!(table.remove(hash, is(name, hash)).is_some());
                            model.remove(&(hash, name));
                        }
                    }
                    Step::Shrink => {
                        table.shrink();
                        prop_assert!(room(table.lines.len()) <= table.len() * 9 / 8 + 9);
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

    // In a large table a line is passed now and then. In a small one every line can be, and then
    // only the bound on the steps ends the search.
    #[test]
    fn a_search_for_what_is_not_there_ends_although_every_line_was_passed() {
        let mut table: Table<Item> = Table::new();
        let [first, last] = [0, u64::from(u32::MAX)];
        for name in 0..8 {
            table.insert(last, Box::new((last, name)));
        }
        for name in 0..3 {
            assert!(table.remove(last, is(name, last)).is_some());
            table.insert(first, Box::new((first, name)));
        }
        let passed: Vec<_> = table.lines.iter().map(|line| line.passed).collect();
        assert_eq!(passed, [1, 3]);
        assert!([first, last].into_iter().all(|hash| table.find(hash, |_| false).is_none()));
    }
}
