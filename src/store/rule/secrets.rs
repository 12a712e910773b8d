//! The secrets of a row: the role of an id beside it, and the secrets that open the next row.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::id::{SecretCheck, SessionId, is_same};
use crate::record::{NEVER, Record, SecondSecret};
use crate::store::commit::{Commit, Identity};
use crate::store::lease::{Lease, Now};
use crate::store::outcome::Outcome;

/// The role of an id beside a live row.
pub(super) enum Standing {
    Current,
    /// Derived by a pending timed renewal.
    Successor,
    Previous,
    Superseded {
        recent: bool,
    },
    /// A secret that never was, or one that the row no longer has.
    Unknown,
}

#[inline]
pub(super) fn standing(row: &Record, id: &SessionId, now: Now) -> Standing {
    let is_current = row.state().is_opened_by(id);
    match row.second() {
        None if is_current => Standing::Current,
        None => Standing::Unknown,
        Some(second) => standing_beside(&second, id, is_current, now),
    }
}

fn standing_beside(second: &SecondSecret, id: &SessionId, is_current: bool, now: Now) -> Standing {
    let (SecondSecret::Superseded { digest, until }
    | SecondSecret::Pending { digest, until, .. }
    | SecondSecret::Previous { digest, until }) = second;
    let is_over = now.clock >= *until;
    let is_pending = matches!(second, SecondSecret::Pending { .. });
    if is_current {
        return if is_pending && is_over { Standing::Superseded { recent: false } } else { Standing::Current };
    }
    if !is_same(digest, &id.digest()) {
        return Standing::Unknown;
    }
    match second {
        SecondSecret::Pending { .. } => Standing::Successor,
        SecondSecret::Previous { .. } if !is_over => Standing::Previous,
        SecondSecret::Previous { .. } => Standing::Superseded { recent: false },
        SecondSecret::Superseded { .. } => Standing::Superseded { recent: !is_over },
    }
}

/// Why an id no longer opens a live row; `None` if it does.
pub(super) fn closed(row: &Record, id: &SessionId, now: Now) -> Option<Outcome> {
    match standing(row, id, now) {
        Standing::Current | Standing::Successor | Standing::Previous => None,
        Standing::Superseded { .. } => Some(Outcome::Superseded),
        Standing::Unknown => Some(Outcome::Gone),
    }
}

/// The secrets that open the next row.
pub(super) fn secrets(
    row: &Record,
    id: &SessionId,
    commit: &Commit,
    lease: &Lease,
    now: Now,
) -> Result<(SecretCheck, Option<SecondSecret>)> {
    let (current, second) = (row.state().secret(), row.second());
    match commit.identity {
        Identity::Replace(new) if new.handle() != id.handle() => {
            Err(Error::id(format!("the new id of session {} has another handle", id.handle())))
        }
        Identity::Replace(new) => {
            let superseded = SecondSecret::Superseded { digest: current.digest(), until: now.after(lease.grace) };
            Ok((SecretCheck::of(&new), Some(superseded)))
        }
        Identity::Keep | Identity::Renew(_) if commit.login.is_some() => {
            Err(Error::id(format!("session {} is logged in without a new id", id.handle())))
        }
        Identity::Renew(seed) if is_renewed(row, id, second, lease, now) => {
            let digest = id.successor(seed).digest();
            Ok((current, Some(SecondSecret::Pending { digest, seed, until: NEVER })))
        }
        Identity::Keep | Identity::Renew(_) => Ok((current, second)),
    }
}

/// Returns true if a timed renewal begins now: the session has an owner, the id is the current one
/// and old enough, no other renewal is pending, and no earlier id is within its grace.
fn is_renewed(row: &Record, id: &SessionId, second: Option<SecondSecret>, lease: &Lease, now: Now) -> bool {
    let is_second_in_use = match second {
        None => false,
        Some(SecondSecret::Pending { .. }) => true,
        // A row has room for one second secret, and keeps it for as long as its grace lasts.
        Some(SecondSecret::Superseded { until, .. } | SecondSecret::Previous { until, .. }) => now.clock < until,
    };
    row.is_owned() && !is_second_in_use && lease.renewal_due(id_age(row, now)) && row.state().is_opened_by(id)
}

/// How long the session has had its id.
pub(crate) fn id_age(row: &Record, now: Now) -> Duration {
    let head = row.head();
    // An id from the future, after the calendar was set back, is new.
    Duration::from_millis(now.calendar_ms.saturating_sub(head.id_since_ms.unwrap_or(head.created_ms)))
}

/// The new id for a client that presented the current one, if a renewal is pending.
pub(super) fn announced(row: &Record, id: &SessionId) -> Option<SessionId> {
    row.second().and_then(|second| announced_beside(&second, row, id))
}

/// The same for this second secret.
pub(super) fn announced_beside(second: &SecondSecret, row: &Record, id: &SessionId) -> Option<SessionId> {
    match second {
        SecondSecret::Pending { seed, .. } if row.state().is_opened_by(id) => Some(id.successor(*seed)),
        _ => None,
    }
}
