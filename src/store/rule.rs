//! The rule: decides what happens to a session. Two pure functions, without clock, lock or I/O;
//! stores only keep rows.
//!
//! A row is a [`Record`] with its store state: handle, version, deadline, secrets. [`look`] answers
//! a request's look, [`apply`] carries out an action; both return the edit to write.

use std::time::Duration;

use super::commit::{Action, Commit, Expect, Identity};
use super::lease::{Lease, Now};
use super::outcome::{Look, Outcome, Presented, Receipt};
use super::owners::Epoch;
use crate::error::{Error, Result};
use crate::id::{SecretCheck, SessionId, is_same};
use crate::record::{Frame, Head, NEVER, Owned, Record, SecondSecret, StoreState, Version};
use crate::sync::Ordering;

/// The answer to a look, without the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Missing,
    Superseded { recent: bool },
    Found { ttl: Duration, opened: Opened },
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

/// The edit to write.
#[derive(Debug)]
pub(crate) enum Edit {
    Nothing,
    /// The same row with another deadline.
    Deadline(u64),
    /// This row, in place of the one that was read.
    Put(Record),
    Remove,
}

/// The role of an id beside a live row.
enum Standing {
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
fn deadline(row: &Record) -> u64 {
    row.state().deadline.load(Ordering::Relaxed)
}

#[inline]
pub(crate) fn is_expired(row: &Record, now: u64) -> bool {
    deadline(row) <= now
}

#[inline]
fn standing(row: &Record, id: &SessionId, now: Now) -> Standing {
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

/// Answers a request's look.
#[expect(clippy::inline_always, reason = "it is a large part of the time that a look takes")]
#[inline(always)]
pub(crate) fn look(row: Option<&Record>, id: &SessionId, how: Look, lease: &Lease, now: Now) -> (Sight, Edit) {
    let Some(row) = row.filter(|row| !is_expired(row, now.clock)) else { return (Sight::Missing, Edit::Nothing) };
    let full = lease.ttl_nanos(row.times(), now);
    // The calendar may have jumped, so a session whose lifetime is over is not found, but not
    // removed either.
    if full == 0 {
        return (Sight::Missing, Edit::Nothing);
    }
    let left = deadline(row).saturating_sub(now.clock);
    let touch = (how == Look::Visit && lease.touch_due(full, left)).then(|| now.after_nanos(full));
    let ttl = Duration::from_nanos(if touch.is_some() { full } else { left.min(full) });
    if row.state().has_second() {
        return look_rotated(row, id, how, lease, now, touch, ttl);
    }
    if !row.state().is_opened_by(id) {
        return (Sight::Missing, Edit::Nothing);
    }
    (Sight::Found { ttl, opened: Opened::Current }, touch.map_or(Edit::Nothing, Edit::Deadline))
}

/// The same for a session that was rotated. `touch`: the next deadline if the visit prolongs.
fn look_rotated(
    row: &Record,
    id: &SessionId,
    how: Look,
    lease: &Lease,
    now: Now,
    touch: Option<u64>,
    ttl: Duration,
) -> (Sight, Edit) {
    let found = |opened| Sight::Found { ttl, opened };
    let prolong = touch.map_or(Edit::Nothing, Edit::Deadline);
    match standing(row, id, now) {
        Standing::Unknown => (Sight::Missing, Edit::Nothing),
        Standing::Superseded { recent } => (Sight::Superseded { recent }, Edit::Nothing),
        Standing::Previous => (found(Opened::Previous), prolong),
        Standing::Successor if how == Look::Visit => (found(Opened::Current), confirm(row, id, lease, touch, now)),
        Standing::Successor => (found(Opened::Current), Edit::Nothing),
        Standing::Current => match row.second() {
            Some(SecondSecret::Pending { digest, seed, until }) => {
                let is_second_announcement = how == Look::Visit && until == NEVER;
                let edit = if is_second_announcement {
                    let until = now.after(lease.renew_after.unwrap_or(lease.grace).max(lease.grace));
                    let pending = SecondSecret::Pending { digest, seed, until };
                    reseat(row, id, None, row.state().secret(), pending, touch)
                } else {
                    prolong
                };
                (found(Opened::Renewing(seed)), edit)
            }
            _ => (found(Opened::Current), prolong),
        },
    }
}

/// The first visit with a derived id: it becomes the current one, and the grace of the one before
/// begins.
fn confirm(row: &Record, id: &SessionId, lease: &Lease, touch: Option<u64>, now: Now) -> Edit {
    let previous = SecondSecret::Previous { digest: row.state().secret().digest(), until: now.after(lease.grace) };
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
) -> Edit {
    let frame = Frame { second: Some(second), version: row.version() };
    let next = row.rewritten(head, StoreState::row(id.handle(), secret), &frame);
    next.state().deadline.store(touch.unwrap_or(deadline(row)), Ordering::Relaxed);
    Edit::Put(next)
}

/// Carries out an action. `epoch`: the present epoch of the owner that the action logs in, if the
/// store has owners. `nonces`: those of the last versions, if the store keeps them.
#[inline]
pub(crate) fn apply(
    row: Option<&Record>,
    nonces: &Nonces,
    id: &SessionId,
    action: &Action<'_>,
    lease: &Lease,
    now: Now,
    epoch: Option<Epoch>,
) -> Result<(Outcome, Edit)> {
    let row = row.filter(|row| !is_expired(row, now.clock));
    match action {
        Action::Commit(commit) => match row {
            Some(row) => merge(row, nonces, id, commit, lease, now, epoch),
            None if commit.expect == Expect::Absent => create(id, commit, lease, now, epoch),
            None => refuse(Outcome::Gone),
        },
        Action::Put(record, ttl) => put(row, id, record, *ttl, now),
        Action::Touch => Ok(row.map_or((Outcome::Gone, Edit::Nothing), |row| touch(row, id, lease, now))),
        Action::End => Ok(row.map_or((Outcome::Gone, Edit::Nothing), |row| end(row, id, now))),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the callers' type")]
fn refuse(outcome: Outcome) -> Result<(Outcome, Edit)> {
    Ok((outcome, Edit::Nothing))
}

fn done(row: &Record, ttl: Duration, announce: Option<SessionId>) -> Outcome {
    Outcome::Done(Receipt::new(row.version(), ttl).announcing(announce))
}

/// Why an id no longer opens a live row; `None` if it does.
fn closed(row: &Record, id: &SessionId, now: Now) -> Option<Outcome> {
    match standing(row, id, now) {
        Standing::Current | Standing::Successor | Standing::Previous => None,
        Standing::Superseded { .. } => Some(Outcome::Superseded),
        Standing::Unknown => Some(Outcome::Gone),
    }
}

fn touch(row: &Record, id: &SessionId, lease: &Lease, now: Now) -> (Outcome, Edit) {
    let full = lease.ttl_of(row.times(), now);
    match closed(row, id, now) {
        Some(outcome) => (outcome, Edit::Nothing),
        None if full.is_zero() => (Outcome::Gone, Edit::Nothing),
        None => (done(row, full, announced(row, id)), Edit::Deadline(now.after(full))),
    }
}

fn end(row: &Record, id: &SessionId, now: Now) -> (Outcome, Edit) {
    match closed(row, id, now) {
        Some(outcome) => (outcome, Edit::Nothing),
        None => (done(row, Duration::ZERO, None), Edit::Remove),
    }
}

fn put(row: Option<&Record>, id: &SessionId, record: &Record, ttl: Duration, now: Now) -> Result<(Outcome, Edit)> {
    if row.is_some_and(|row| !matches!(standing(row, id, now), Standing::Current)) {
        return refuse(Outcome::Taken);
    }
    let outcome = done(record, ttl, None);
    if ttl.is_zero() {
        return Ok((outcome, if row.is_some() { Edit::Remove } else { Edit::Nothing }));
    }
    let state = StoreState::row(id.handle(), SecretCheck::of(id));
    let next = record.rewritten(None, state, &Frame::of(record.version()));
    next.state().deadline.store(now.after(ttl), Ordering::Relaxed);
    Ok((outcome, Edit::Put(next)))
}

fn create(id: &SessionId, commit: &Commit, lease: &Lease, now: Now, epoch: Option<Epoch>) -> Result<(Outcome, Edit)> {
    if is_revoked(commit, epoch) {
        return refuse(Outcome::LoginRevoked);
    }
    let begun = Head { created_ms: now.calendar_ms, ..Head::default() };
    let head = logged_in(commit.changes.head_over(begun), commit, now);
    let frame = Frame::of(Version::first(commit.nonce));
    let state = StoreState::row(id.handle(), SecretCheck::of(id));
    let ttl = lease.ttl_of(head.times(), now);
    let record = commit.changes.write(None, Some(&head), state, &frame)?;
    let outcome = done(&record, ttl, None);
    if ttl.is_zero() {
        return Ok((outcome, Edit::Nothing));
    }
    record.state().deadline.store(now.after(ttl), Ordering::Relaxed);
    Ok((outcome, Edit::Put(record)))
}

#[inline]
fn merge(
    row: &Record,
    nonces: &Nonces,
    id: &SessionId,
    commit: &Commit,
    lease: &Lease,
    now: Now,
    epoch: Option<Epoch>,
) -> Result<(Outcome, Edit)> {
    let left = now.until(deadline(row));
    if commit.begins().is_some_and(|begun| row.version().is_same_incarnation(begun)) {
        // Carried out before: the stored incarnation is the one that this commit begins.
        let announce = match commit.identity {
            Identity::Replace(new) if commit.expect != Expect::Absent => Some(new),
            _ => None,
        };
        return refuse(done(row, left, announce));
    }
    let (Expect::Incarnation(base) | Expect::Exactly(base)) = commit.expect else { return refuse(Outcome::Taken) };
    if !row.version().is_same_incarnation(base) {
        // It may have been carried out before the stored incarnation began.
        if commit.is_repeated {
            return Err(Error::unknown(id.handle()));
        }
        // Another session under this handle, or the same one after a login: the commit was not made
        // for its data.
        return refuse(closed(row, id, now).unwrap_or(Outcome::Gone));
    }
    if nonces.contains(commit.nonce) {
        return refuse(done(row, left, announced(row, id)));
    }
    // A new id would have begun another incarnation. Without one, only the nonces tell.
    if commit.is_repeated && commit.begins().is_none() && nonces.len() < row.version().commits_since(base) {
        return Err(Error::unknown(id.handle()));
    }
    match commit.expect {
        Expect::Exactly(version) if version != row.version() => refuse(Outcome::Changed),
        _ => write(row, id, commit, lease, now, epoch),
    }
}

/// Writes the next row of a session that the commit was made for.
#[inline]
fn write(
    row: &Record,
    id: &SessionId,
    commit: &Commit,
    lease: &Lease,
    now: Now,
    epoch: Option<Epoch>,
) -> Result<(Outcome, Edit)> {
    let ttl = lease.ttl_nanos(row.times(), now);
    if ttl == 0 {
        return refuse(Outcome::Gone);
    }
    if is_revoked(commit, epoch) {
        return refuse(Outcome::LoginRevoked);
    }
    let version = commit.begins().unwrap_or_else(|| row.version().next());
    let head = next_head(row, commit, lease, now);
    let ttl = head.map_or(ttl, |head| lease.ttl_nanos(head.times(), now));
    // After a change of owner, none of the other owner's data stays.
    let base = Some(row).filter(|row| !changes_owner(row, commit));
    let (state, second) = if commit.identity == Identity::Keep && commit.login.is_none() {
        (StoreState::next(row.state()), row.second())
    } else {
        let (secret, second) = secrets(row, id, commit, lease, now)?;
        (StoreState::row(id.handle(), secret), second)
    };
    state.deadline.store(now.after_nanos(ttl), Ordering::Relaxed);
    let next = commit.changes.write(base, head.as_ref(), state, &Frame { second, version })?;
    let announce = match commit.identity {
        Identity::Replace(new) => Some(new),
        Identity::Keep | Identity::Renew(_) => second.and_then(|second| announced_beside(&second, row, id)),
    };
    let receipt = Receipt::new(version, Duration::from_nanos(ttl)).announcing(announce);
    Ok((Outcome::Done(receipt), Edit::Put(next)))
}

/// The record that a commit leaves, as far as the session that sent it can know. The session reads
/// it after the commit.
pub(crate) fn preview(
    read: Option<&Record>,
    commit: &Commit,
    lease: &Lease,
    now: Now,
    version: Version,
) -> Result<Record> {
    let (state, frame) = (StoreState::default(), Frame::of(version));
    let Some(read) = read else {
        let begun = Head { created_ms: now.calendar_ms, ..Head::default() };
        let head = logged_in(commit.changes.head_over(begun), commit, now);
        return commit.changes.write(None, Some(&head), state, &frame);
    };
    let base = (!changes_owner(read, commit)).then_some(read);
    commit.changes.write(base, next_head(read, commit, lease, now).as_ref(), state, &frame)
}

/// Returns true if the commit logs in another owner than the session has.
fn changes_owner(row: &Record, commit: &Commit) -> bool {
    let Some(login) = &commit.login else { return false };
    row.owner().is_some_and(|owner| owner != login.owner.as_str())
}

/// Returns true if all of the owner's sessions were ended since the login began.
#[inline]
fn is_revoked(commit: &Commit, epoch: Option<Epoch>) -> bool {
    let begun = commit.login.as_ref().and_then(|login| login.begun);
    begun.zip(epoch).is_some_and(|(begun, present)| begun < present)
}

/// The secrets that open the next row.
fn secrets(
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
fn announced(row: &Record, id: &SessionId) -> Option<SessionId> {
    row.second().and_then(|second| announced_beside(&second, row, id))
}

/// The same for this second secret.
fn announced_beside(second: &SecondSecret, row: &Record, id: &SessionId) -> Option<SessionId> {
    match second {
        SecondSecret::Pending { seed, .. } if row.state().is_opened_by(id) => Some(id.successor(*seed)),
        _ => None,
    }
}

/// The head of the next row; `None` if it does not change.
#[inline]
fn next_head<'a>(row: &'a Record, commit: &'a Commit, lease: &Lease, now: Now) -> Option<Head<'a>> {
    let has_new_id = matches!(commit.identity, Identity::Replace(_));
    if !has_new_id && !commit.changes.changes_head() {
        return None;
    }
    let base =
        if changes_owner(row, commit) { Head { created_ms: now.calendar_ms, ..Head::default() } } else { row.head() };
    let head = logged_in(commit.changes.head_over(base), commit, now);
    let id_since_ms = if has_new_id && lease.renew_after.is_some() { Some(now.calendar_ms) } else { head.id_since_ms };
    Some(Head { id_since_ms, ..head })
}

fn logged_in<'a>(head: Head<'a>, commit: &'a Commit, now: Now) -> Head<'a> {
    let Some(login) = &commit.login else { return head };
    Head { owner: Some(Owned { by: login.owner.as_str(), since_ms: now.calendar_ms }), ..head }
}

/// The nonces of the commits that made the last versions of a row, newest last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nonces {
    last: [u64; Self::MOST],
    len: usize,
}

impl Nonces {
    pub(crate) const MOST: usize = 4;

    /// For a store that keeps none.
    pub(crate) const NONE: Self = Self { last: [0; Self::MOST], len: 0 };

    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.last[..self.len]
    }

    fn contains(&self, nonce: u64) -> bool {
        self.as_slice().contains(&nonce)
    }

    fn len(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }

    /// These nonces after one more version.
    pub(crate) fn push(mut self, nonce: u64) -> Self {
        if self.len == Self::MOST {
            self.last.rotate_left(1);
            self.len -= 1;
        }
        self.last[self.len] = nonce;
        self.len += 1;
        self
    }
}
