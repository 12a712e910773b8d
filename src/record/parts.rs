//! A record assembled from parts that a store keeps apart, in any order.

use serde_json::value::RawValue;

use super::body::{self, Entry, Head};
use super::{Record, Version};
use crate::error::{Error, Result};

/// The parts of a record.
pub(crate) struct RecordParts<'a> {
    pub(crate) head: Head<'a>,
    entries: Vec<Entry<'a>>,
}

impl<'a> RecordParts<'a> {
    pub(crate) fn with_capacity(entries: usize) -> Self {
        Self { head: Head::default(), entries: Vec::with_capacity(entries) }
    }

    /// Adds an entry. No two may have the same name.
    pub(crate) fn push(&mut self, component: &'a str, key: &'a str, value: &'a [u8]) {
        self.entries.push(Entry { component, key, value });
    }

    /// The record.
    ///
    /// # Errors
    ///
    /// When the parts are not a record that this crate could have written.
    pub(crate) fn into_record(mut self, version: Version) -> Result<Record> {
        self.entries.sort_unstable_by(|one, other| one.name().cmp(&other.name()));
        body::check_count(self.entries.len())?;
        self.entries.iter().try_for_each(|entry| body::check_name(entry.component, entry.key))?;
        for entry in &mut self.entries {
            let json = serde_json::from_slice::<&RawValue>(entry.value);
            entry.value = json.map_err(|_| Error::corrupt("a value is not JSON"))?.get().as_bytes();
        }
        let record = Record::written(&self.head, version, self.entries);
        body::check_limits(record.body())?;
        Ok(record)
    }
}
