//! The rule: two pure functions that decide what happens to a session, without clock, lock or I/O.
//!
//! A row is a [`Record`] with its store state: handle, deadline, secrets. [`look`] answers a
//! request's look, [`apply`] carries out an action. Both return the edit to the row, which the
//! store writes.

mod look;
mod secrets;

use std::time::Duration;

pub(crate) use self::look::{LookAnswer, look};
pub(crate) use self::secrets::id_age;
use self::secrets::{IdRole, announced, announced_by, id_role, next_secrets, refusal};
use super::commit::{Action, Commit, Expect, Identity, Nonces};
use super::lease::{Lease, Now};
use super::outcome::{Outcome, Receipt};
use super::owners::Epoch;
use crate::error::{Error, Result};
use crate::id::{SecretCheck, SessionId};
use crate::record::{Frame, Head, Ownership, Record, StoreState, Version};

/// The edit to a row.
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
pub(crate) fn is_expired(row: &Record, now: u64) -> bool {
    row.state().deadline() <= now
}

/// Carries out an action. `epoch`: the present epoch of the owner that the action logs in, if the
/// store has owners. `nonces`: the nonces of the last versions, if the store keeps them.
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
            None => unchanged(Outcome::Gone),
        },
        Action::Put(record, ttl) => put(row, id, record, *ttl, now),
        Action::Touch(held) => Ok(row.map_or((Outcome::Gone, Edit::Nothing), |row| touch(row, id, *held, lease, now))),
        Action::End(held) => Ok(row.map_or((Outcome::Gone, Edit::Nothing), |row| end(row, id, *held, now))),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the callers' type")]
fn unchanged(outcome: Outcome) -> Result<(Outcome, Edit)> {
    Ok((outcome, Edit::Nothing))
}

fn done(row: &Record, ttl: Duration, announce: Option<SessionId>) -> Outcome {
    Outcome::Done(Receipt::new(row.version(), ttl).announcing(announce))
}

fn touch(row: &Record, id: &SessionId, held: Option<Version>, lease: &Lease, now: Now) -> (Outcome, Edit) {
    let full = lease.ttl(row, now);
    match refusal_unless_held(row, id, held, now) {
        Some(outcome) => (outcome, Edit::Nothing),
        None if full.is_zero() => (Outcome::Gone, Edit::Nothing),
        None => (done(row, full, announced(row, id)), Edit::Deadline(now.after(full))),
    }
}

fn end(row: &Record, id: &SessionId, held: Option<Version>, now: Now) -> (Outcome, Edit) {
    match refusal_unless_held(row, id, held, now) {
        Some(outcome) => (outcome, Edit::Nothing),
        None => (done(row, Duration::ZERO, None), Edit::Remove),
    }
}

/// The refusal of an action on a row that the id does not open, and that is not of the incarnation
/// `held`.
fn refusal_unless_held(row: &Record, id: &SessionId, held: Option<Version>, now: Now) -> Option<Outcome> {
    refusal(row, id, now).filter(|_| !held.is_some_and(|held| row.version().is_same_incarnation(held)))
}

fn put(row: Option<&Record>, id: &SessionId, record: &Record, ttl: Duration, now: Now) -> Result<(Outcome, Edit)> {
    if row.is_some_and(|row| !matches!(id_role(row, id, now), IdRole::Current)) {
        return unchanged(Outcome::Taken);
    }
    let outcome = done(record, ttl, None);
    if ttl.is_zero() {
        return Ok((outcome, if row.is_some() { Edit::Remove } else { Edit::Nothing }));
    }
    let state = StoreState::row(id.handle(), SecretCheck::of(id), now.after(ttl));
    Ok((outcome, Edit::Put(record.rewrite(None, state, &Frame::of(record.version())))))
}

fn create(id: &SessionId, commit: &Commit, lease: &Lease, now: Now, epoch: Option<Epoch>) -> Result<(Outcome, Edit)> {
    if is_revoked(commit, epoch) {
        return unchanged(Outcome::LoginRevoked);
    }
    // The first attempt may have created the session, and a log out everywhere may have ended it.
    if commit.is_repeated && commit.login.as_ref().is_some_and(|login| login.begun.is_none()) {
        return Err(Error::unknown(id.handle()));
    }
    let head = head_after(None, commit, now);
    let frame = Frame::of(Version::first(commit.nonce));
    let ttl = Duration::from_nanos(lease.ttl_nanos(head.times(), now));
    let state = StoreState::row(id.handle(), SecretCheck::of(id), now.after(ttl));
    let record = commit.changes.write(None, Some(&head), state, &frame)?;
    let outcome = done(&record, ttl, None);
    Ok((outcome, if ttl.is_zero() { Edit::Nothing } else { Edit::Put(record) }))
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
    let left = || now.until(row.state().deadline());
    if commit.begins().is_some_and(|begun| row.version().is_same_incarnation(begun)) {
        // This commit was carried out before, because it began the stored incarnation.
        let announce = match commit.identity {
            Identity::Replace(new) if commit.expect != Expect::Absent => Some(new),
            _ => None,
        };
        return unchanged(done(row, left(), announce));
    }
    let (Expect::Incarnation(base) | Expect::Exactly(base)) = commit.expect else { return unchanged(Outcome::Taken) };
    if !row.version().is_same_incarnation(base) {
        // The commit may have been carried out before the stored incarnation began.
        if commit.is_repeated {
            return Err(Error::unknown(id.handle()));
        }
        // The row is another session, or the same one after a login. The commit was not made for
        // it.
        return unchanged(refusal(row, id, now).unwrap_or(Outcome::Gone));
    }
    if nonces.contains(commit.nonce) {
        return unchanged(done(row, left(), announced(row, id)));
    }
    // A commit with a new id would have begun another incarnation. Otherwise only the nonces show
    // whether it was carried out.
    if commit.is_repeated && commit.begins().is_none() && nonces.len() < row.version().commits_since(base) {
        return Err(Error::unknown(id.handle()));
    }
    match commit.expect {
        Expect::Exactly(version) if version != row.version() => unchanged(Outcome::Changed),
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
        return unchanged(Outcome::Gone);
    }
    if is_revoked(commit, epoch) {
        return unchanged(Outcome::LoginRevoked);
    }
    let version = commit.begins().unwrap_or_else(|| row.version().next());
    let head = next_head(row, commit, lease, now);
    let ttl = head.map_or(ttl, |head| lease.ttl_nanos(head.times(), now));
    // After a change of owner, none of the previous owner's data stays.
    let base = Some(row).filter(|row| !changes_owner(row, commit));
    let (mut state, mut second) = (row.state().next(now.after_nanos(ttl)), row.second());
    if commit.identity != Identity::Keep || commit.login.is_some() {
        let secret;
        (secret, second) = next_secrets(row, id, commit, lease, now)?;
        state.set_secret(secret);
    }
    let next = commit.changes.write(base, head.as_ref(), state, &Frame { second, version })?;
    let announce = match commit.identity {
        Identity::Replace(new) => Some(new),
        Identity::Keep | Identity::Renew(_) => second.and_then(|second| announced_by(&second, row, id)),
    };
    let receipt = Receipt::new(version, Duration::from_nanos(ttl)).announcing(announce);
    Ok((Outcome::Done(receipt), Edit::Put(next)))
}

/// The record after a commit, computed from the record that the request read. Later commits of
/// other requests are missing.
pub(crate) fn preview(
    read: Option<&Record>,
    commit: &Commit,
    lease: &Lease,
    now: Now,
    version: Version,
) -> Result<Record> {
    let (state, frame) = (StoreState::default(), Frame::of(version));
    let Some(read) = read else {
        return commit.changes.write(None, Some(&head_after(None, commit, now)), state, &frame);
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
    let head = head_after((!changes_owner(row, commit)).then(|| row.head()), commit, now);
    let id_since_ms = if has_new_id && lease.renew_after.is_some() { Some(now.calendar_ms) } else { head.id_since_ms };
    Some(Head { id_since_ms, ..head })
}

/// The head after a commit: its changes on top of `base`, or of the head of a session that begins
/// now.
fn head_after<'a>(base: Option<Head<'a>>, commit: &'a Commit, now: Now) -> Head<'a> {
    let base = base.unwrap_or_else(|| Head { created_ms: now.calendar_ms, ..Head::default() });
    let head = commit.changes.apply_to_head(base);
    let Some(login) = &commit.login else { return head };
    let owner = Some(Ownership { name: login.owner.as_str(), since_ms: now.calendar_ms });
    // A CSRF token from before the login must not be valid after it.
    Head { owner, csrf: commit.changes.csrf(), ..head }
}
