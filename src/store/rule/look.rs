//! The answer to a request's look, and the edit that a visit makes.

use std::time::Duration;

use super::secrets::{IdRole, id_role};
use crate::id::{SecretCheck, SessionId};
use crate::record::{Frame, Head, NEVER, Record, SecondSecret, StoreState};
use crate::store::lease::{Lease, Now};
use crate::store::outcome::{Look, Presented};

/// The answer to a look, without the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookAnswer {
    Missing,
    Superseded { recent: bool },
    Found(Opener),
}

/// The answer to a look, and the edit to the row.
pub(crate) struct LookResult {
    pub(crate) answer: LookAnswer,
    /// The time left.
    pub(crate) ttl: Duration,
    /// The next deadline, if the visit prolongs the session.
    pub(crate) touch: Option<u64>,
    /// The next row, with that deadline, if the visit changes the secrets.
    pub(crate) next: Option<Record>,
}

/// The role of an id that opens a row. It is [`Presented`] with a seed in place of the derived id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    Current,
    /// The current id, beside a pending renewal with this seed.
    Renewing(u64),
    Previous,
}

impl Opener {
    #[inline]
    pub(crate) fn presented(self, id: &SessionId) -> Presented {
        match self {
            Self::Current => Presented::Current,
            Self::Renewing(seed) => Presented::Renewing(id.successor(seed)),
            Self::Previous => Presented::Previous,
        }
    }
}

/// Answers a request's look.
#[expect(clippy::inline_always, reason = "it is a large part of the time that a look takes")]
#[inline(always)]
pub(crate) fn look(row: &Record, id: &SessionId, how: Look, lease: &Lease, now: Now) -> LookResult {
    let (full, left) = (lease.ttl_nanos(row.times(), now), row.state().deadline().saturating_sub(now.clock));
    let ttl = full.min(left);
    // A session whose lifetime is over is not removed, because the calendar may have jumped.
    if ttl == 0 {
        return LookResult { answer: LookAnswer::Missing, ttl: Duration::ZERO, touch: None, next: None };
    }
    let touch = (how == Look::Visit && lease.touch_due(full, left)).then(|| now.after_nanos(full));
    let ttl = Duration::from_nanos(if touch.is_some() { full } else { ttl });
    let (answer, next) = if row.state().has_second() {
        look_rotated(row, id, how, lease, now, touch)
    } else if row.state().is_opened_by(id) {
        (LookAnswer::Found(Opener::Current), None)
    } else {
        (unless_held(row, how, LookAnswer::Missing), None)
    };
    LookResult { answer, ttl, touch, next }
}

/// Answers a look at a session that was rotated. `touch`: the next deadline if the visit prolongs.
fn look_rotated(
    row: &Record,
    id: &SessionId,
    how: Look,
    lease: &Lease,
    now: Now,
    touch: Option<u64>,
) -> (LookAnswer, Option<Record>) {
    match id_role(row, id, now) {
        IdRole::Unknown => (unless_held(row, how, LookAnswer::Missing), None),
        IdRole::Superseded { recent } => (unless_held(row, how, LookAnswer::Superseded { recent }), None),
        IdRole::Previous => (LookAnswer::Found(Opener::Previous), None),
        IdRole::Successor => {
            let next = (how == Look::Visit).then(|| confirm(row, id, lease, touch, now));
            (LookAnswer::Found(Opener::Current), next)
        }
        IdRole::Current => match row.second() {
            Some(SecondSecret::Pending { digest, seed, until }) => {
                let end = lease.renew_after.filter(|_| how == Look::Visit && until == NEVER);
                let next = end.map(|end| {
                    // This visit announces the new id a second time, which sets the end of the old
                    // id.
                    let until = now.after(end.max(lease.grace).max(Duration::from_millis(1)));
                    let pending = SecondSecret::Pending { digest, seed, until };
                    with_secrets(row, id, None, row.state().secret(), pending, touch)
                });
                (LookAnswer::Found(Opener::Renewing(seed)), next)
            }
            _ => (LookAnswer::Found(Opener::Current), None),
        },
    }
}

/// Returns `answer`, which is for an id that does not open the row. But a [`Look::Held`] with the
/// row's incarnation finds the session.
#[cold]
fn unless_held(row: &Record, how: Look, answer: LookAnswer) -> LookAnswer {
    match how {
        Look::Held(version) if row.version().is_same_incarnation(version) => LookAnswer::Found(Opener::Previous),
        Look::Peek | Look::Visit | Look::Held(_) => answer,
    }
}

/// The row after the first visit with a derived id, which becomes the current id. The previous id
/// works until its grace ends, or until the end that was set before, if that is earlier.
fn confirm(row: &Record, id: &SessionId, lease: &Lease, touch: Option<u64>, now: Now) -> Record {
    let grace = now.after(lease.grace);
    let until = match row.second() {
        Some(SecondSecret::Pending { until, .. }) if until != NEVER => until.min(grace),
        _ => grace,
    };
    let previous = SecondSecret::Previous { digest: row.state().secret().digest(), until };
    let head = Head { id_since_ms: Some(now.calendar_ms), ..row.head() };
    with_secrets(row, id, Some(&head), SecretCheck::of(id), previous, touch)
}

/// The row with other secrets, and the same data and version.
fn with_secrets(
    row: &Record,
    id: &SessionId,
    head: Option<&Head<'_>>,
    secret: SecretCheck,
    second: SecondSecret,
    touch: Option<u64>,
) -> Record {
    let frame = Frame { second: Some(second), version: row.version() };
    let state = StoreState::row(id.handle(), secret, touch.unwrap_or(row.state().deadline()));
    row.rewrite(head, state, &frame)
}
