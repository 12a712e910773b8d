//! A stored session as it was last seen.

use std::cell::OnceCell;
use std::time::Duration;

use crate::error::Result;
use crate::id::SessionId;
use crate::record::{Changes, MAX_KEYS, Record, Version};
use crate::store::{Commit, Lease, Now, Presented, Receipt, Stored, preview};

/// A stored session: what was read from the store or committed to it, and the time it has left.
#[derive(Clone)]
pub(crate) struct Live {
    data: Data,
    pub(super) version: Version,
    /// When the session was last seen, on the store's clock, and how long it had left then.
    pub(super) seen_at: Duration,
    pub(super) ttl: Duration,
    /// The role of the id that opened it.
    pub(super) presented: Presented,
}

#[derive(Clone)]
enum Data {
    Read(Record),
    /// Merged when it is read: after the last save of a request it seldom is.
    Committed(Committed, OnceCell<Record>),
}

/// A commit that was carried out, and the record it was made from.
#[derive(Clone)]
pub(super) struct Committed {
    /// `None`: it created the session.
    pub(super) read: Option<Record>,
    pub(super) commit: Commit,
    pub(super) now: Now,
}

impl Committed {
    fn record(&self, version: Version, lease: &Lease) -> Record {
        let Self { read, commit, now } = self;
        // It cannot fail: see `check`.
        let record = preview(read.as_ref(), commit, lease, *now, version);
        record.unwrap_or_else(|_| read.clone().unwrap_or_default())
    }
}

impl Live {
    pub(super) fn read(stored: Stored, seen_at: Duration) -> Self {
        let Stored { record, ttl, presented } = stored;
        Self { version: record.version(), data: Data::Read(record), seen_at, ttl, presented }
    }

    pub(super) fn committed(committed: Committed, receipt: &Receipt, presented: Presented) -> Self {
        Self {
            version: receipt.version,
            seen_at: Duration::from_nanos(committed.now.clock),
            ttl: receipt.ttl,
            data: Data::Committed(committed, OnceCell::new()),
            presented,
        }
    }

    /// `lease`: the one that it was committed under.
    pub(super) fn record(&self, lease: &Lease) -> &Record {
        match &self.data {
            Data::Read(record) => record,
            Data::Committed(committed, record) => record.get_or_init(|| committed.record(self.version, lease)),
        }
    }
}

/// The role of an id after an action, from the id that the receipt announces.
pub(super) fn presented_after(before: Presented, announce: Option<SessionId>) -> Presented {
    match announce {
        Some(new) => Presented::Renewing(new),
        None if before == Presented::Current => before,
        // The new id has been presented since.
        None => Presented::Previous,
    }
}

/// Refuses changes that would put too many keys into a record. Nearly always counting is enough.
pub(super) fn check(changes: &Changes, stored: &Record) -> Result<()> {
    if stored.len() + changes.len() > MAX_KEYS {
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
        assert!(check(&changes, &full).unwrap_err().is_size());
        changes.remove("", "8").unwrap();
        assert!(check(&changes, &full).is_ok());
    }
}
