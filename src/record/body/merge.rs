//! The merge: writes a body from another one, with some entries replaced or removed and new ones in
//! between.

use std::cell::Cell;
use std::cmp::Ordering;
use std::ops::Range;

use smallvec::SmallVec;

use super::entries::{Entries, Entry, Place};
use super::head::{Head, set_counts};
use super::lengths::{Three, Width};
use super::{Body, SHORT, order};
use crate::record::block::{FRONT_BYTES, Frame};

/// The largest buffer that is kept for the next body.
const MAX_KEPT: usize = 16 * 1024;

thread_local! {
    /// The buffer of this thread's last body, which was copied into a block at once.
    static KEPT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The edits to a body's entries, found in one walk over two sorted lists.
pub(crate) struct Merge<'a> {
    body: Body<'a>,
    old: Entries<'a>,
    /// Entries before this place sort before every name that is still to be put.
    passed: Place,
    /// How many entries result.
    pub(crate) count: usize,
    edits: SmallVec<[Edit<'a>; 8]>,
}

/// The replacement or removal of at most one entry, or an insertion.
struct Edit<'a> {
    from: Place,
    to: Place,
    new: Option<Entry<'a>>,
}

impl Edit<'_> {
    fn removed(&self) -> usize {
        self.to.entries - self.from.entries
    }

    fn keeps_name(&self) -> bool {
        self.removed() == 1 && self.new.is_some()
    }

    fn new_lengths(&self) -> Option<Three> {
        self.new.map(|entry| [entry.component.len(), entry.key.len(), entry.value.len()])
    }
}

impl<'a> Merge<'a> {
    pub(crate) fn new(old: Body<'a>) -> Self {
        Self { body: old, old: old.parts(), passed: Place::default(), count: old.count(), edits: SmallVec::new() }
    }

    /// Sets or, with `None`, removes the entry with this name. Names must come in their order.
    pub(crate) fn put(&mut self, component: &'a str, key: &'a str, value: Option<&'a [u8]>) {
        let to = self.pass(component, key);
        let from = self.passed;
        self.passed = to.unwrap_or(from);
        let edit = Edit { from, to: self.passed, new: value.map(|value| Entry { component, key, value }) };
        self.count = self.count + usize::from(edit.new.is_some()) - edit.removed();
        self.edits.push(edit);
    }

    /// Passes the entries before this name. Returns the place after the entry that has it, if there
    /// is one.
    fn pass(&mut self, component: &str, key: &str) -> Option<Place> {
        loop {
            let lengths = self.old.lengths.get(self.passed.entries)?;
            let name = self.old.name(self.passed, lengths)?;
            let behind = self.passed.behind(lengths);
            match order(name, [component.as_bytes(), key.as_bytes()]) {
                Ordering::Less => self.passed = behind,
                Ordering::Equal => return Some(behind),
                Ordering::Greater => return None,
            }
        }
    }

    /// Writes the body in its frame and gives it to `take`. Without a `head` the old one stays.
    pub(crate) fn write<R>(&self, head: Option<&Head<'_>>, frame: &Frame, take: impl FnOnce(&[u8]) -> R) -> R {
        // Thread-local buffers are gone while a thread ends.
        let mut bytes = KEPT.try_with(Cell::take).unwrap_or_default();
        frame.write_front(&mut bytes);
        match head {
            Some(head) => head.write(&mut bytes),
            None => bytes.extend_from_slice(self.body.start),
        }
        let width = self.width();
        self.write_lengths(width, &mut bytes);
        let start = bytes.len();
        self.write_names(&mut bytes);
        let names = bytes.len() - start;
        set_counts(&mut bytes[FRONT_BYTES..], width, self.count, names);
        self.write_values(self.old.short, |place| place.short, |value| value.len() <= SHORT, &mut bytes);
        self.write_values(self.old.long, |place| place.long, |value| value.len() > SHORT, &mut bytes);
        frame.write_back(&mut bytes);
        let taken = take(&bytes);
        bytes.clear();
        bytes.shrink_to(MAX_KEPT);
        let _ = KEPT.try_with(|kept| kept.set(bytes));
        taken
    }

    /// The width that the longest of all lengths needs.
    fn width(&self) -> Width {
        let new = self.edits.iter().filter_map(Edit::new_lengths).map(Width::of_longest).max().unwrap_or_default();
        if self.old.lengths.width <= new {
            return new;
        }
        let ends = self.edits.iter().map(|edit| edit.from.entries).chain([self.body.count()]);
        let kept = [0].into_iter().chain(self.edits.iter().map(|edit| edit.to.entries)).zip(ends);
        let kept = kept.flat_map(|(from, to)| from..to).filter_map(|number| self.old.lengths.get(number));
        kept.map(Width::of_longest).fold(new, Width::max)
    }

    fn write_lengths(&self, width: Width, bytes: &mut Vec<u8>) {
        let mut done = 0;
        for edit in &self.edits {
            if done < edit.from.entries {
                self.old.lengths.copy(done..edit.from.entries, width, bytes);
            }
            if let Some(new) = edit.new_lengths() {
                width.write(new, bytes);
            }
            done = edit.to.entries;
        }
        self.old.lengths.copy(done..self.body.count(), width, bytes);
    }

    fn write_names(&self, bytes: &mut Vec<u8>) {
        let edits = self.edits.iter().filter(|edit| !edit.keeps_name()).map(|edit| {
            let new = edit.new.map_or([""; 2], |new| [new.component, new.key]);
            (edit.from.names..edit.to.names, new.map(str::as_bytes))
        });
        splice(self.old.names, edits, bytes);
    }

    /// Writes the short or the long values.
    fn write_values(
        &self,
        old: &[u8],
        at: impl Fn(Place) -> usize,
        is_of_kind: impl Fn(&[u8]) -> bool,
        bytes: &mut Vec<u8>,
    ) {
        let edits = self.edits.iter().map(|edit| {
            let new = edit.new.map(|new| new.value).filter(|value| is_of_kind(value)).unwrap_or_default();
            (at(edit.from)..at(edit.to), [new])
        });
        splice(old, edits.filter(|(range, [new])| !(range.is_empty() && new.is_empty())), bytes);
    }
}

/// Copies `old` with the ranges of the edits replaced.
fn splice<'a, const PARTS: usize>(
    old: &'a [u8],
    edits: impl Iterator<Item = (Range<usize>, [&'a [u8]; PARTS])>,
    bytes: &mut Vec<u8>,
) {
    let mut done = 0;
    for (range, new) in edits {
        // Mostly there is nothing between two edits.
        if done < range.start {
            bytes.extend_from_slice(old.get(done..range.start).unwrap_or_default());
        }
        new.into_iter().for_each(|part| bytes.extend_from_slice(part));
        done = range.end;
    }
    bytes.extend_from_slice(old.get(done..).unwrap_or_default());
}
