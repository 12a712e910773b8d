//! A stored session as it was last seen.

use std::cell::OnceCell;
use std::time::Duration;

use crate::error::Result;
use crate::record::{Changes, MAX_KEYS, Record, Times};

/// What was read from the store, and what was saved on top of it since.
#[derive(Clone)]
pub(super) struct Live {
    read: Record,
    saved: Option<Changes>,
    /// Both together, from the first look on: after the last save of a request nobody looks.
    merged: OnceCell<Record>,
    /// When the session was last seen, on the store's clock, and how long it had left then.
    pub(super) seen_at: Duration,
    pub(super) ttl: Duration,
    /// Our id was rotated away by another request and is in its grace.
    pub(super) in_grace: bool,
}

impl Live {
    pub(super) fn new(read: Record, seen_at: Duration, ttl: Duration) -> Self {
        Self { read, saved: None, merged: OnceCell::new(), seen_at, ttl, in_grace: false }
    }

    /// The same with changes that the store has saved on top of what was read.
    pub(super) fn with(self, saved: Changes) -> Self {
        Self { saved: Some(saved), ..self }
    }

    pub(super) fn in_grace(self, in_grace: bool) -> Self {
        Self { in_grace, ..self }
    }

    pub(super) fn record(&self) -> &Record {
        let Some(saved) = &self.saved else { return &self.read };
        // It cannot fail: see `check`.
        self.merged.get_or_init(|| saved.apply(&self.read).unwrap_or_else(|_| self.read.clone()))
    }

    pub(super) fn times(&self) -> Times {
        self.saved.as_ref().map_or_else(|| self.read.times(), |saved| saved.times(&self.read))
    }
}

/// Refuses changes that do not go on top of a record. Nearly always counting is enough to know that they do.
pub(super) fn check(changes: &Changes, stored: &Record) -> Result<()> {
    if stored.len() + changes.keys().count() > MAX_KEYS {
        changes.apply(stored)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // From outside the store refuses the same, unless it breaks its contract.
    #[test]
    fn changes_are_refused_exactly_if_there_would_be_too_many_keys() {
        let full: Record = (0..MAX_KEYS).map(|number| (number.to_string(), number)).collect();
        let mut changes = Changes::new();
        changes.insert("", "7", "changed").unwrap();
        assert!(check(&changes, &full).is_ok());
        changes.insert("", "new", "one more").unwrap();
        assert!(check(&changes, &full).unwrap_err().is_limit());
        changes.remove("", "8").unwrap();
        assert!(check(&changes, &full).is_ok());
    }
}
