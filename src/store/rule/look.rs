//! The look: what a request finds of its session, and the edit that its visit makes.

use std::time::Duration;

use super::deadline;
use super::secrets::{Standing, standing};
use crate::id::{SecretCheck, SessionId};
use crate::record::{Frame, Head, NEVER, Record, SecondSecret, StoreState};
use crate::store::lease::{Lease, Now};
use crate::store::outcome::{Look, Presented};
use crate::sync::Ordering;

/// The answer to a look, without the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Missing,
    Superseded { recent: bool },
    Found(Opened),
}

/// What a look finds, and what it changes if that is a session.
pub(crate) struct Seen {
    pub(crate) sight: Sight,
    /// The time left.
    pub(crate) ttl: Duration,
    /// The next deadline, if the visit prolongs the session.
    pub(crate) touch: Option<u64>,
    /// The next row, with that deadline, if the visit changes the secrets.
    pub(crate) next: Option<Record>,
}

/// The role of an id that opens a row: [`Presented`], without the id that a renewal derives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    Current,
    /// The current id, beside a pending renewal with this seed.
    Renewing(u64),
    Previous,
}

impl Opened {
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
pub(crate) fn look(row: &Record, id: &SessionId, how: Look, lease: &Lease, now: Now) -> Seen {
    let (full, left) = (lease.ttl_nanos(row.times(), now), deadline(row).saturating_sub(now.clock));
    let ttl = full.min(left);
    // The calendar may have jumped, so a session whose lifetime is over is not found, but not
    // removed either.
    if ttl == 0 {
        return Seen { sight: Sight::Missing, ttl: Duration::ZERO, touch: None, next: None };
    }
    let touch = (how == Look::Visit && lease.touch_due(full, left)).then(|| now.after_nanos(full));
    let ttl = Duration::from_nanos(if touch.is_some() { full } else { ttl });
    let (sight, next) = if row.state().has_second() {
        look_rotated(row, id, how, lease, now, touch)
    } else if row.state().is_opened_by(id) {
        (Sight::Found(Opened::Current), None)
    } else {
        (closed(row, how, Sight::Missing), None)
    };
    Seen { sight, ttl, touch, next }
}

/// The same for a session that was rotated. `touch`: the next deadline if the visit prolongs.
fn look_rotated(
    row: &Record,
    id: &SessionId,
    how: Look,
    lease: &Lease,
    now: Now,
    touch: Option<u64>,
) -> (Sight, Option<Record>) {
    match standing(row, id, now) {
        Standing::Unknown => (closed(row, how, Sight::Missing), None),
        Standing::Superseded { recent } => (closed(row, how, Sight::Superseded { recent }), None),
        Standing::Previous => (Sight::Found(Opened::Previous), None),
        Standing::Successor => {
            let next = (how == Look::Visit).then(|| confirm(row, id, lease, touch, now));
            (Sight::Found(Opened::Current), next)
        }
        Standing::Current => match row.second() {
            Some(SecondSecret::Pending { digest, seed, until }) => {
                let end = lease.renew_after.filter(|_| how == Look::Visit && until == NEVER);
                let next = end.map(|end| {
                    // The second announcement. The old id still works for a moment at least.
                    let until = now.after(end.max(lease.grace).max(Duration::from_millis(1)));
                    let pending = SecondSecret::Pending { digest, seed, until };
                    reseat(row, id, None, row.state().secret(), pending, touch)
                });
                (Sight::Found(Opened::Renewing(seed)), next)
            }
            _ => (Sight::Found(Opened::Current), None),
        },
    }
}

/// What a look finds whose id does not open the row: `sight`, unless the session is held.
#[cold]
fn closed(row: &Record, how: Look, sight: Sight) -> Sight {
    match how {
        Look::Held(version) if row.version().is_same_incarnation(version) => Sight::Found(Opened::Previous),
        Look::Peek | Look::Visit | Look::Held(_) => sight,
    }
}

/// The first visit with a derived id: from now on it is the current one, and the one before it has
/// its grace, unless its end was set before.
fn confirm(row: &Record, id: &SessionId, lease: &Lease, touch: Option<u64>, now: Now) -> Record {
    let grace = now.after(lease.grace);
    let until = match row.second() {
        Some(SecondSecret::Pending { until, .. }) if until != NEVER => until.min(grace),
        _ => grace,
    };
    let previous = SecondSecret::Previous { digest: row.state().secret().digest(), until };
    let head = Head { id_since_ms: Some(now.calendar_ms), ..row.head() };
    reseat(row, id, Some(&head), SecretCheck::of(id), previous, touch)
}

/// The same data and version with other secrets.
fn reseat(
    row: &Record,
    id: &SessionId,
    head: Option<&Head<'_>>,
    secret: SecretCheck,
    second: SecondSecret,
    touch: Option<u64>,
) -> Record {
    let frame = Frame { second: Some(second), version: row.version() };
    let next = row.rewritten(head, StoreState::row(id.handle(), secret), &frame);
    next.state().deadline.store(touch.unwrap_or(deadline(row)), Ordering::Relaxed);
    next
}
