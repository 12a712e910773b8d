//! The rule: decides what happens to a session. Two pure functions, without clock, lock or I/O;
//! stores only keep rows.
//!
//! A row is a [`Record`] with its store state: handle, version, deadline, secrets. [`look`] answers
//! a request's look, [`apply`] carries out an action; both return the edit to write.

mod look;
mod secrets;

use std::time::Duration;

pub(crate) use self::look::{Sight, look};
pub(crate) use self::secrets::id_age;
use self::secrets::{Standing, announced, announced_beside, closed, secrets, standing};
use super::commit::{Action, Commit, Expect, Identity};
use super::lease::{Lease, Now};
use super::nonces::Nonces;
use super::outcome::{Outcome, Receipt};
use super::owners::Epoch;
use crate::error::{Error, Result};
use crate::id::{SecretCheck, SessionId};
use crate::record::{Frame, Head, Owned, Record, StoreState, Version};
use crate::sync::Ordering;

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

#[inline]
fn deadline(row: &Record) -> u64 {
    row.state().deadline.load(Ordering::Relaxed)
}

#[inline]
pub(crate) fn is_expired(row: &Record, now: u64) -> bool {
    deadline(row) <= now
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
        Action::Touch(held) => Ok(row.map_or((Outcome::Gone, Edit::Nothing), |row| touch(row, id, *held, lease, now))),
        Action::End(held) => Ok(row.map_or((Outcome::Gone, Edit::Nothing), |row| end(row, id, *held, now))),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the callers' type")]
fn refuse(outcome: Outcome) -> Result<(Outcome, Edit)> {
    Ok((outcome, Edit::Nothing))
}

fn done(row: &Record, ttl: Duration, announce: Option<SessionId>) -> Outcome {
    Outcome::Done(Receipt::new(row.version(), ttl).announcing(announce))
}

fn touch(row: &Record, id: &SessionId, held: Option<Version>, lease: &Lease, now: Now) -> (Outcome, Edit) {
    let full = lease.ttl(row, now);
    match refused(row, id, held, now) {
        Some(outcome) => (outcome, Edit::Nothing),
        None if full.is_zero() => (Outcome::Gone, Edit::Nothing),
        None => (done(row, full, announced(row, id)), Edit::Deadline(now.after(full))),
    }
}

fn end(row: &Record, id: &SessionId, held: Option<Version>, now: Now) -> (Outcome, Edit) {
    match refused(row, id, held, now) {
        Some(outcome) => (outcome, Edit::Nothing),
        None => (done(row, Duration::ZERO, None), Edit::Remove),
    }
}

/// Why a row is not the session that is meant: neither the id opens it, nor is it held.
fn refused(row: &Record, id: &SessionId, held: Option<Version>, now: Now) -> Option<Outcome> {
    closed(row, id, now).filter(|_| !held.is_some_and(|held| row.version().is_same_incarnation(held)))
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
    // The first time, it may have created a session that ended with all of its owner's sessions.
    if commit.is_repeated && commit.login.as_ref().is_some_and(|login| login.begun.is_none()) {
        return Err(Error::unknown(id.handle()));
    }
    let head = head_over(None, commit, now);
    let frame = Frame::of(Version::first(commit.nonce));
    let state = StoreState::row(id.handle(), SecretCheck::of(id));
    let ttl = Duration::from_nanos(lease.ttl_nanos(head.times(), now));
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
    let left = || now.until(deadline(row));
    if commit.begins().is_some_and(|begun| row.version().is_same_incarnation(begun)) {
        // Carried out before: the stored incarnation is the one that this commit begins.
        let announce = match commit.identity {
            Identity::Replace(new) if commit.expect != Expect::Absent => Some(new),
            _ => None,
        };
        return refuse(done(row, left(), announce));
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
        return refuse(done(row, left(), announced(row, id)));
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
    let (mut state, mut second) = (StoreState::next(row.state()), row.second());
    if commit.identity != Identity::Keep || commit.login.is_some() {
        let secret;
        (secret, second) = secrets(row, id, commit, lease, now)?;
        state.set_secret(secret);
    }
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
        return commit.changes.write(None, Some(&head_over(None, commit, now)), state, &frame);
    };
    let base = (!changes_owner(read, commit)).then_some(read);
    commit.changes.write(base, next_head(read, commit, lease, now).as_ref(), state, &frame)
}

/// Returns true if the commit logs in another owner than the session has.
#[inline]
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

/// The head of the next row; `None` if it does not change.
#[inline]
fn next_head<'a>(row: &'a Record, commit: &'a Commit, lease: &Lease, now: Now) -> Option<Head<'a>> {
    let has_new_id = matches!(commit.identity, Identity::Replace(_));
    if !has_new_id && !commit.changes.changes_head() {
        return None;
    }
    let head = head_over((!changes_owner(row, commit)).then(|| row.head()), commit, now);
    let id_since_ms = if has_new_id && lease.renew_after.is_some() { Some(now.calendar_ms) } else { head.id_since_ms };
    Some(Head { id_since_ms, ..head })
}

/// The head that a commit leaves over another one, or over that of a session that begins now.
fn head_over<'a>(base: Option<Head<'a>>, commit: &'a Commit, now: Now) -> Head<'a> {
    let base = base.unwrap_or_else(|| Head { created_ms: now.calendar_ms, ..Head::default() });
    let head = commit.changes.head_over(base);
    let Some(login) = &commit.login else { return head };
    let owner = Some(Owned { by: login.owner.as_str(), since_ms: now.calendar_ms });
    // A token from before the login is worthless after it.
    Head { owner, csrf: commit.changes.csrf(), ..head }
}
