//! Commits and logins: a login first gets a slot in its owner's set, which enforces the limit.

use std::time::Duration;

use super::client::{Client, LoginTime, OwnerMember};
use super::invocation::{self, Invocation};
use super::owner_scripts::OWNER_RELEASE;
use super::replies::Reply;
use super::row;
use super::session_scripts::COMMIT;
use super::sets::look_at;
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::record::Record;
use crate::store::{Commit, EndReason, Epoch, Expect, Identity, Lease, Outcome, Receipt, Stored};

/// The owner's epoch, and the surplus sessions whose slots the login took.
type LoginSlot = (Epoch, Vec<Handle>);

impl Client {
    /// Carries out a commit. A login gets its slot first.
    pub(super) fn commit(&self, id: &SessionId, commit: &Commit, lease: &Lease) -> Result<Outcome> {
        let (handle, is_new) = (id.handle(), commit.expect() == Expect::Absent);
        let (packed, entries) = invocation::commit(id, commit, self.max_session_size);
        self.check_size(handle, entries.bytes)?;
        let ttl_ms = invocation::longest(lease, commit.changes.timeout().flatten());
        let mut invocation = Invocation { args: entries.args, ..Invocation::of(&COMMIT, id, lease) };
        (invocation.is_repeated, invocation.in_index) = (commit.is_repeated, is_new);
        if is_new {
            (invocation.index_for, invocation.keys) = (ttl_ms * 2, vec![self.keys.of_end_reason(handle)]);
        } else {
            check_identity(id, commit)?;
        }
        let Some(login) = &commit.login else {
            let first = if is_new { vec![self.index_add(handle, ttl_ms)] } else { Vec::new() };
            let invocation = invocation.with([packed, invocation::login(None, None, handle)].concat());
            return self.write_after(first, &invocation).map(|reply| outcome(id, commit, reply));
        };
        if is_new && commit.is_repeated && login.begun.is_none() {
            return self.recall(id, commit);
        }
        let owner = login.owner.as_str();
        self.log_in(&mut invocation, owner, ttl_ms);
        // If the login has no `begun`, it begins in the epoch that it gets with its slot. So a
        // repeated commit is still the login of that epoch.
        let args =
            |epoch: Option<Epoch>| [&packed[..], &invocation::login(login.begun.or(epoch), epoch, handle)].concat();
        let member = OwnerMember { handle, owner, ttl_ms, since: LoginTime::Now, limit: login.limit };
        let (epoch, surplus) = match self.take_slot(&member, is_new, Some(invocation.clone().with(args(None))))? {
            Ok(slot) => slot,
            Err(reply) => return Ok(outcome(id, commit, reply)),
        };
        let release = |handles: &[Handle]| self.on_owner(&OWNER_RELEASE, owner, handles.iter().map(Handle::to_string));
        let ends: Vec<_> = surplus.iter().map(|one| self.ending(*one, Some(owner), EndReason::Limit)).collect();
        let mut first: Vec<_> = ends.iter().map(|end| self.command(end)).collect();
        first.extend((!ends.is_empty()).then(|| release(&surplus)));
        let invocation = invocation.with(args(Some(epoch)));
        let outcome = self.write_after(first, &invocation).map(|reply| outcome(id, commit, reply))?;
        // On one server, a repeated commit that was already done does not use its reservation. In a
        // cluster, a login keeps the reservation until the login is confirmed.
        if !outcome.is_done() || commit.is_repeated && !self.pool.is_cluster() {
            self.ask_one(release(&[handle]))?;
        }
        Ok(outcome)
    }

    /// Finds the outcome of a login that created a session, if the server's answer was lost. The
    /// login is not repeated, because all sessions of the owner may have been ended since.
    fn recall(&self, id: &SessionId, commit: &Commit) -> Result<Outcome> {
        let handle = id.handle();
        let row = self.row_of(id, b'p', &Lease::UNLIMITED)?.ok_or_else(|| Error::unknown(handle))?;
        let Stored { record, ttl, .. } = row.listed(handle).stored;
        let is_done = commit.begins().is_some_and(|begun| record.version().is_same_incarnation(begun));
        Ok(if is_done { Outcome::Done(Receipt::new(record.version(), ttl)) } else { Outcome::Taken })
    }

    /// Stores a record. `mode` is 'p' (put) or 't' (take over: only if there is no such session).
    pub(super) fn put(
        &self,
        invocation: Invocation<'static>,
        mode: u8,
        record: &Record,
        ttl: Duration,
    ) -> Result<Outcome> {
        let (handle, ttl_ms) = (invocation.handle, invocation::millis(ttl));
        self.check_size(handle, row::size_of_record(record))?;
        let (packed, args) = invocation::put(mode, ttl_ms, record);
        let keys = vec![self.keys.of_end_reason(handle)];
        let mut invocation = Invocation { args, keys, index_for: ttl_ms * 2, ..invocation };
        let (mut first, mut epoch) = (Vec::new(), None);
        if let Some(owned) = record.head().owner {
            let (owner, since) = (owned.name, LoginTime::At(owned.since_ms));
            let slot = self.take_slot(&OwnerMember { handle, owner, ttl_ms, since, limit: None }, true, None)?;
            epoch = slot.ok().map(|(epoch, _)| epoch);
            self.log_in(&mut invocation, owner, ttl_ms);
        } else {
            first.push(self.index_add(handle, ttl_ms));
        }
        let invocation = invocation.with([packed, invocation::login(None, epoch, handle)].concat());
        Ok(self.write_after(first, &invocation)?.outcome(|version, _, _| Receipt::new(version, ttl)))
    }

    /// Adds a login of `owner` to an invocation. On one server the script gets the owner's keys.
    fn log_in(&self, invocation: &mut Invocation<'_>, owner: &str, ttl_ms: u64) {
        (invocation.owner, invocation.index_for) = (owner.to_owned(), ttl_ms * 2);
        if !self.pool.is_cluster() {
            let [epoch, _, _, logins] = self.keys.of_owner(owner);
            invocation.keys = vec![self.keys.of_end_reason(invocation.handle), epoch, logins];
        }
    }

    /// Adds a session to its owner's set and reserves a slot, or returns the reply that refuses the
    /// login. `trial` is the login without a slot. If the owner is at the limit, `trial` runs first
    /// and finds whether anything but the limit refuses the login. If so, no session is ended.
    fn take_slot(
        &self,
        member: &OwnerMember<'_>,
        is_new: bool,
        trial: Option<Invocation<'_>>,
    ) -> Result<Result<LoginSlot, Reply>> {
        let mut commands = if is_new { vec![self.index_add(member.handle, member.ttl_ms)] } else { Vec::new() };
        commands.push(self.owner_add(member, None));
        let mut reply = Reply::of(member.handle, &self.ask(&commands)?.pop().unwrap_or_default())?;
        if let (Reply::MustExamine(others), Some(trial)) = (&reply, trial) {
            let looks = others.iter().map(|other| look_at(*other, b"e0"));
            let mut replies = self.run_all(&[trial].into_iter().chain(looks).collect::<Vec<_>>())?.into_iter();
            match replies.next().map(|(_, reply)| reply).transpose()? {
                None | Some(Reply::Refused(Outcome::AtLimit)) => {}
                Some(other) => return Ok(Err(other)),
            }
            let mut gone = Vec::new();
            for (handle, reply) in replies {
                match reply? {
                    Reply::Seen { text, .. } if text == member.owner => {}
                    _ => gone.push(handle),
                }
            }
            reply = Reply::of(member.handle, &self.ask_one(self.owner_add(member, Some(&gone)))?)?;
        }
        Ok(match reply {
            Reply::Added(epoch, surplus) => Ok((epoch, surplus)),
            other => Err(other),
        })
    }
}

/// Refuses a new id with another handle, and a login without a new id.
fn check_identity(id: &SessionId, commit: &Commit) -> Result<()> {
    let handle = id.handle();
    match commit.identity {
        Identity::Replace(new) if new.handle() != handle => {
            Err(Error::id(format!("the new id of session {handle} has another handle")))
        }
        Identity::Keep | Identity::Renew(_) if commit.login.is_some() => {
            Err(Error::id(format!("session {handle} is logged in without a new id")))
        }
        _ => Ok(()),
    }
}

/// The outcome of a commit, with the id to announce to the browser.
fn outcome(id: &SessionId, commit: &Commit, reply: Reply) -> Outcome {
    reply.outcome(|version, ttl, seed| {
        let announce = match commit.identity {
            _ if commit.expect() == Expect::Absent => None,
            Identity::Replace(new) => Some(new),
            Identity::Keep | Identity::Renew(_) => seed.map(|seed| id.successor(seed)),
        };
        Receipt::new(version, ttl).announcing(announce)
    })
}
