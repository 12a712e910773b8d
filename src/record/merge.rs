//! The merge: a body written from another one, with entries inserted, replaced and removed.

use std::cell::Cell;
use std::cmp::Ordering;
use std::ops::Range;

use smallvec::SmallVec;

use super::body::Body;
use super::entries::{Entries, EntryLengths, Offsets, RecordEntry, SHORT, Width, order};
use super::frame::{FRONT_BYTES, Frame};
use super::head::{Head, set_counts};

/// The largest buffer that a thread keeps for its next body.
const MAX_BUFFER_BYTES: usize = 16 * 1024;

thread_local! {
    /// The buffer that this thread wrote its last body in.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A body and the edits to its entries, found in one walk over two sorted lists.
pub(super) struct Merge<'a> {
    body: Body<'a>,
    old: Entries<'a>,
    /// The end of the walk so far. All entries before it sort before the names that are put next.
    end: Offsets,
    /// How many entries result.
    pub(super) count: usize,
    edits: SmallVec<[BodyEdit<'a>; 8]>,
}

/// The insertion, replacement or removal of one entry. Removing a missing one does nothing.
struct BodyEdit<'a> {
    from: Offsets,
    to: Offsets,
    new: Option<RecordEntry<'a>>,
}

impl BodyEdit<'_> {
    fn removed(&self) -> usize {
        self.to.entries - self.from.entries
    }

    fn keeps_name(&self) -> bool {
        self.removed() == 1 && self.new.is_some()
    }

    fn new_lengths(&self) -> Option<EntryLengths> {
        self.new.as_ref().map(RecordEntry::lengths)
    }
}

impl<'a> Merge<'a> {
    pub(super) fn new(old: Body<'a>) -> Self {
        Self { body: old, old: old.entries(), end: Offsets::default(), count: old.count(), edits: SmallVec::new() }
    }

    /// Sets or, with `None`, removes the entry with this name. Names must come in their order.
    pub(super) fn put(&mut self, component: &'a str, key: &'a str, value: Option<&'a [u8]>) {
        let after = self.advance(component, key);
        let from = self.end;
        self.end = after.unwrap_or(from);
        let edit = BodyEdit { from, to: self.end, new: value.map(|value| RecordEntry { component, key, value }) };
        self.count = self.count + usize::from(edit.new.is_some()) - edit.removed();
        self.edits.push(edit);
    }

    /// Advances over the entries before this name. Returns the offsets after the entry that has it,
    /// if there is one.
    fn advance(&mut self, component: &str, key: &str) -> Option<Offsets> {
        loop {
            let lengths = self.old.lengths.get(self.end.entries)?;
            let name = self.old.name(self.end, lengths)?;
            let after = self.end.after(lengths);
            match order(name, [component.as_bytes(), key.as_bytes()]) {
                Ordering::Less => self.end = after,
                Ordering::Equal => return Some(after),
                Ordering::Greater => return None,
            }
        }
    }

    /// Writes the body in its frame and passes the bytes to `finish`. Without a `head` the old one
    /// stays.
    pub(super) fn write<R>(&self, head: Option<&Head<'_>>, frame: &Frame, finish: impl FnOnce(&[u8]) -> R) -> R {
        // While a thread ends, its buffer is gone.
        let mut bytes = BUFFER.try_with(Cell::take).unwrap_or_default();
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
        self.write_values(self.old.short, |at| at.short, |value| value.len() <= SHORT, &mut bytes);
        self.write_values(self.old.long, |at| at.long, |value| value.len() > SHORT, &mut bytes);
        frame.write_back(&mut bytes);
        let finished = finish(&bytes);
        bytes.clear();
        bytes.shrink_to(MAX_BUFFER_BYTES);
        let _ = BUFFER.try_with(|buffer| buffer.set(bytes));
        finished
    }

    /// The width that the longest of all resulting lengths needs.
    fn width(&self) -> Width {
        let new = self.edits.iter().filter_map(BodyEdit::new_lengths).map(Width::of_longest).max().unwrap_or_default();
        if self.old.lengths.width <= new {
            return new;
        }
        let ends = self.edits.iter().map(|edit| edit.from.entries).chain([self.body.count()]);
        let kept = [0].into_iter().chain(self.edits.iter().map(|edit| edit.to.entries)).zip(ends);
        let kept = kept.flat_map(|(from, to)| from..to).filter_map(|index| self.old.lengths.get(index));
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
        offset: impl Fn(Offsets) -> usize,
        is_of_kind: impl Fn(&[u8]) -> bool,
        bytes: &mut Vec<u8>,
    ) {
        let edits = self.edits.iter().map(|edit| {
            let new = edit.new.map(|new| new.value).filter(|value| is_of_kind(value)).unwrap_or_default();
            (offset(edit.from)..offset(edit.to), [new])
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
        // Usually nothing lies between two edits.
        if done < range.start {
            bytes.extend_from_slice(old.get(done..range.start).unwrap_or_default());
        }
        new.into_iter().for_each(|part| bytes.extend_from_slice(part));
        done = range.end;
    }
    bytes.extend_from_slice(old.get(done..).unwrap_or_default());
}
