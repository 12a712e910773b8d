//! The secrets of a row: which of them an id presents, and which secrets the row has after a
//! commit.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::id::{SecretCheck, SessionId, is_same};
use crate::record::{NEVER, Record, SecondSecret};
use crate::store::commit::{Commit, Identity};
use crate::store::lease::{Lease, Now};
use crate::store::outcome::Outcome;

/// Which secret of a live row an id presents.
pub(super) enum IdRole {
    Current,
    /// The id that a pending timed renewal derived.
    Successor,
    Previous,
    Superseded {
        /// The id's grace is not over.
        recent: bool,
    },
    /// The session never had this secret, or the row no longer has it.
    Unknown,
}

#[inline]
pub(super) fn id_role(row: &Record, id: &SessionId, now: Now) -> IdRole {
    let is_current = row.state().is_opened_by(id);
    match row.second() {
        None if is_current => IdRole::Current,
        None => IdRole::Unknown,
        Some(second) => role_beside(&second, id, is_current, now),
    }
}

fn role_beside(second: &SecondSecret, id: &SessionId, is_current: bool, now: Now) -> IdRole {
    let (SecondSecret::Superseded { digest, until }
    | SecondSecret::Pending { digest, until, .. }
    | SecondSecret::Previous { digest, until }) = second;
    let is_over = now.clock >= *until;
    let is_pending = matches!(second, SecondSecret::Pending { .. });
    if is_current {
        return if is_pending && is_over { IdRole::Superseded { recent: false } } else { IdRole::Current };
    }
    if !is_same(digest, &id.digest()) {
        return IdRole::Unknown;
    }
    match second {
        SecondSecret::Pending { .. } => IdRole::Successor,
        SecondSecret::Previous { .. } if !is_over => IdRole::Previous,
        SecondSecret::Previous { .. } => IdRole::Superseded { recent: false },
        SecondSecret::Superseded { .. } => IdRole::Superseded { recent: !is_over },
    }
}

/// Why the row refuses an action with this id; `None` if the id opens the row.
pub(super) fn refusal(row: &Record, id: &SessionId, now: Now) -> Option<Outcome> {
    match id_role(row, id, now) {
        IdRole::Current | IdRole::Successor | IdRole::Previous => None,
        IdRole::Superseded { .. } => Some(Outcome::Superseded),
        IdRole::Unknown => Some(Outcome::Gone),
    }
}

/// The secrets of the row after this commit: the current secret and the second secret.
pub(super) fn next_secrets(
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
/// and old enough, no other renewal is pending, and no replaced id is within its grace.
fn is_renewed(row: &Record, id: &SessionId, second: Option<SecondSecret>, lease: &Lease, now: Now) -> bool {
    let is_second_in_use = match second {
        None => false,
        Some(SecondSecret::Pending { .. }) => true,
        // A row has room for one second secret, and must keep it until its grace is over.
        Some(SecondSecret::Superseded { until, .. } | SecondSecret::Previous { until, .. }) => now.clock < until,
    };
    row.is_owned() && !is_second_in_use && lease.renewal_due(id_age(row, now)) && row.state().is_opened_by(id)
}

/// How long the session has had its id.
pub(crate) fn id_age(row: &Record, now: Now) -> Duration {
    let head = row.head();
    // If the calendar was set back, the id may seem to come from the future. Then its age is zero.
    Duration::from_millis(now.calendar_ms.saturating_sub(head.id_since_ms.unwrap_or(head.created_ms)))
}

/// The new id for a client that presented the current one, if a renewal is pending.
pub(super) fn announced(row: &Record, id: &SessionId) -> Option<SessionId> {
    row.second().and_then(|second| announced_by(&second, row, id))
}

/// As [`announced`], for a given second secret of the row.
pub(super) fn announced_by(second: &SecondSecret, row: &Record, id: &SessionId) -> Option<SessionId> {
    match second {
        SecondSecret::Pending { seed, .. } if row.state().is_opened_by(id) => Some(id.successor(*seed)),
        _ => None,
    }
}
