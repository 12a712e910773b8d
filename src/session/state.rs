//! The state of a `Session`: the ids that its request presented, the stage, and the loaded session.

use std::cell::OnceCell;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::id::SessionId;
use crate::record::{Changes, MAX_KEYS, Record, Version};
use crate::store::{Commit, Lease, Now, Presented, Receipt, Stored, preview};

/// The maximum number of ids that one request may present in cookies. A browser sends several
/// cookies of one name if they were set for several paths or domains.
pub(crate) const MAX_COOKIES: usize = 4;

/// The ids that a request presented, in the order in which they are tried: first the ids of its
/// cookies, then the id of its token.
pub(crate) type Candidates = [Option<Candidate>; MAX_COOKIES + 1];

/// The carrier of an id between the client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A browser sends it with every request.
    Cookie,
    /// The client's code puts it into a header.
    Token,
}

/// An id that a request presented, and the cookie or the token that carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: SessionId,
    pub(crate) carrier: Carrier,
    /// When the cookie was written, in seconds since 1970. Only persistent cookies contain this
    /// time.
    pub(crate) written: Option<u64>,
    /// True if the signature was made with the key that signs new cookies.
    pub(crate) well_signed: bool,
}

impl From<SessionId> for Candidate {
    fn from(id: SessionId) -> Self {
        Self { id, carrier: Carrier::Cookie, written: None, well_signed: true }
    }
}

/// The state of a session from the first look on.
#[derive(Clone)]
pub(super) struct State {
    pub(super) id: SessionId,
    pub(super) stage: Stage,
}

/// The stage of a session's life, as this `Session` knows it. The cookie layer's decision uses a
/// stage without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage<L = LoadedSession, E = Error> {
    /// Nothing is stored under this id yet.
    New,
    /// The session was stored when the store was last asked.
    Live(L),
    Ended(Ending),
    /// The store failed with this error, and the policy lets the request go on without a session.
    StoreUnavailable(E),
}

/// How a session ended for the `Session` that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By `log_out` on this `Session`.
    Here,
    /// By a logout elsewhere, by expiry or by eviction.
    Elsewhere,
    /// A login in another request superseded the id while this request was in flight.
    Superseded,
}

/// A stored session: the record that was read or committed, and the time that it has left.
#[derive(Clone)]
pub(crate) struct LoadedSession {
    data: RecordSource,
    pub(super) version: Version,
    /// The time on the store's clock when the session had `ttl` left.
    pub(super) seen_at: Duration,
    pub(super) ttl: Duration,
    /// The role of the id that opened the session.
    pub(super) presented: Presented,
}

#[derive(Clone)]
enum RecordSource {
    Read(Record),
    /// The record is computed when it is read, because few requests read after their last save.
    Applied(AppliedCommit, OnceCell<Record>),
}

/// A commit that was carried out, and the record that it changed.
#[derive(Clone)]
pub(super) struct AppliedCommit {
    /// The record before the commit. `None`: the commit created the session.
    pub(super) read: Option<Record>,
    pub(super) commit: Commit,
    pub(super) now: Now,
}

impl AppliedCommit {
    fn record(&self, version: Version, lease: &Lease) -> Record {
        let Self { read, commit, now } = self;
        // The preview cannot fail, because `check_key_count` accepted the changes.
        let record = preview(read.as_ref(), commit, lease, *now, version);
        record.unwrap_or_else(|_| read.clone().unwrap_or_default())
    }
}

impl LoadedSession {
    pub(super) fn read(stored: Stored, seen_at: Duration) -> Self {
        let Stored { record, ttl, presented } = stored;
        Self { version: record.version(), data: RecordSource::Read(record), seen_at, ttl, presented }
    }

    /// The session as a commit left it.
    pub(super) fn after(applied: AppliedCommit, receipt: &Receipt, presented: Presented) -> Self {
        Self {
            version: receipt.version,
            seen_at: Duration::from_nanos(applied.now.clock),
            ttl: receipt.ttl,
            data: RecordSource::Applied(applied, OnceCell::new()),
            presented,
        }
    }

    /// Returns the record. `lease` is the lease that the commit was made under.
    pub(super) fn record(&self, lease: &Lease) -> &Record {
        match &self.data {
            RecordSource::Read(record) => record,
            RecordSource::Applied(applied, record) => record.get_or_init(|| applied.record(self.version, lease)),
        }
    }
}

/// Returns the role of the id after an action. `announce` is the id in the action's receipt.
pub(super) fn presented_after(before: Presented, announce: Option<SessionId>) -> Presented {
    match announce {
        Some(new) => Presented::Renewing(new),
        None if before == Presented::Current => before,
        // Another request has presented the new id since.
        None => Presented::Previous,
    }
}

/// Refuses changes that would put too many keys into a record. The changes are applied to count the
/// keys only if the sum of both counts exceeds the limit, which is rare.
pub(super) fn check_key_count(changes: &Changes, stored: &Record) -> Result<()> {
    if stored.len() + changes.len() > MAX_KEYS {
        changes.apply(stored)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The store refuses the same changes, so this cannot be tested through the public API.
    #[test]
    fn changes_that_exceed_the_key_limit_are_refused() {
        let full: Record = (0..MAX_KEYS).map(|number| (number.to_string(), number)).collect();
        let mut changes = Changes::new();
        changes.insert("", "7", "changed").unwrap();
        assert!(check_key_count(&changes, &full).is_ok());
        changes.insert("", "new", "one more").unwrap();
        assert!(check_key_count(&changes, &full).unwrap_err().is_size());
        changes.remove("", "8").unwrap();
        assert!(check_key_count(&changes, &full).is_ok());
    }
}
