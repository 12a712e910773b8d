//! The merge: copies the entries of a body, less some and with others in between, run by run.

use std::cmp::Ordering;

use super::{Body, Entries, Writer};

/// Copies a body's entries to a writer, less some and with others in between, in one walk over two sorted lists.
pub(crate) struct Merge<'a, 'w> {
    rest: Entries<'a>,
    /// Entries that were passed and not copied yet: a run of them is copied at once.
    run: Entries<'a>,
    writer: &'w mut Writer,
    entries: usize,
}

impl<'a, 'w> Merge<'a, 'w> {
    pub(crate) fn new(old: Body<'a>, writer: &'w mut Writer) -> Self {
        Self { rest: old.entries(), run: old.entries(), writer, entries: old.count() }
    }

    /// Puts this in the place of the entry with its name, if there is one; `None` removes it. Names come in their order.
    pub(crate) fn put(&mut self, component: &str, key: &str, value: Option<&[u8]>) {
        loop {
            let before = self.rest.clone();
            let order = self.rest.names.pass((component, key)).and_then(|(order, length)| {
                self.rest.values.take(length)?;
                Some(order)
            });
            match order {
                Some(Ordering::Less) => {}
                Some(Ordering::Equal) => {
                    self.copy_run(before);
                    self.run = self.rest.clone();
                    self.entries -= 1;
                    break;
                }
                Some(Ordering::Greater) | None => {
                    self.copy_run(before.clone());
                    self.rest = before;
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
    pub(crate) fn finish(self) -> usize {
        self.writer.copy(self.run.names.0, self.run.values.0);
        self.entries
    }

    /// Copies the run up to where `rest` begins.
    fn copy_run(&mut self, rest: Entries<'a>) {
        let until = |run: &'a [u8], rest: &[u8]| run.split_at(run.len() - rest.len()).0;
        self.writer.copy(until(self.run.names.0, rest.names.0), until(self.run.values.0, rest.values.0));
        self.run = rest;
    }
}
