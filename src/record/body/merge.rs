//! The merge: copies the entries of a body, less some and with others in between, run by run.

use std::cmp::Ordering;

use super::{Body, Reader, Writer};

/// Copies a body's entries to a writer, less some and with others in between, in one walk over two sorted lists.
pub(crate) struct Merge<'a, 'w> {
    rest: Reader<'a>,
    /// Entries that were passed and not copied yet: a run of them is copied at once.
    run: &'a [u8],
    writer: &'w mut Writer,
    entries: usize,
}

impl<'a, 'w> Merge<'a, 'w> {
    pub(crate) fn new(old: Body<'a>, writer: &'w mut Writer) -> Self {
        let bytes = old.entry_bytes();
        Self { rest: Reader(bytes), run: bytes, writer, entries: old.count() }
    }

    /// Puts this in the place of the entry with its name, if there is one; `None` removes it. Names come in their order.
    pub(crate) fn put(&mut self, component: &str, key: &str, value: Option<&[u8]>) {
        loop {
            let before = self.rest.0;
            match self.rest.pass((component, key)) {
                Some(Ordering::Less) => {}
                Some(Ordering::Equal) => {
                    self.copy_run(before);
                    self.run = self.rest.0;
                    self.entries -= 1;
                    break;
                }
                Some(Ordering::Greater) | None => {
                    self.copy_run(before);
                    self.rest = Reader(before);
                    break;
                }
            }
        }
        if let Some(value) = value {
            self.writer.entry(component, key, value);
            self.entries += 1;
        }
    }

    /// Copies what is left: how many entries there are now.
    pub(crate) fn finish(mut self) -> usize {
        self.copy_run(&[]);
        self.entries
    }

    /// Copies the run up to where `rest` begins.
    fn copy_run(&mut self, rest: &'a [u8]) {
        let (run, _) = self.run.split_at(self.run.len() - rest.len());
        self.writer.copy(run);
        self.run = rest;
    }
}
