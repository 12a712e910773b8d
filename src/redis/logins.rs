//! Logins: an owner's set is told of the session first, and holds the owner to the limit.

use std::time::Duration;

use super::calls::{Calls, noted_for};
use super::connections::Command;
use super::fields;
use super::listing::looking;
use super::plan::{self, Plan};
use super::replies::Reply;
use super::scripts::{COMMIT, ENTER, LEAVE};
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::record::Record;
use crate::store::{AtLimit, Commit, EndReason, Epoch, Expect, Identity, Lease, Limit, Outcome, Receipt, Stored};

/// The owner's epoch, and the sessions that lose their places.
type Entered = (Epoch, Vec<Handle>);

/// A session on its way into its owner's set.
pub(super) struct Entrance<'a> {
    pub(super) handle: Handle,
    pub(super) owner: &'a str,
    /// How long it lives.
    pub(super) ttl_ms: u64,
    pub(super) since: Since,
    pub(super) limit: Option<Limit>,
}

impl Calls {
    /// Carries out a commit: a login enters its owner's set first.
    pub(super) fn commit(&self, id: &SessionId, commit: &Commit, lease: &Lease) -> Result<Outcome> {
        let (handle, is_new) = (id.handle(), commit.expect() == Expect::Absent);
        let (rest, entries) = plan::commit(id, commit, self.max_session_size);
        self.check_size(handle, entries.bytes)?;
        let ttl_ms = plan::longest(lease, commit.changes.timeout().flatten());
        let mut plan = Plan { words: entries.words, ..Plan::of(&COMMIT, id, lease) };
        (plan.is_repeated, plan.in_index) = (commit.is_repeated, is_new);
        if is_new {
            (plan.noted, plan.keys) = (ttl_ms * 2, vec![self.keys.of_why(handle)]);
        } else {
            check_identity(id, commit)?;
        }
        let Some(login) = &commit.login else {
            let first = if is_new { vec![self.noting(handle, ttl_ms)] } else { Vec::new() };
            let plan = plan.told([rest, plan::login(None, None, handle)].concat());
            return self.write_after(first, &plan).map(|reply| outcome(id, commit, &reply));
        };
        if is_new && commit.is_repeated && login.begun.is_none() {
            return self.recall(id, commit);
        }
        let owner = login.owner.as_str();
        self.log_in(&mut plan, owner, ttl_ms);
        // A login that begins with its commit begins when it enters: what is sent twice is one
        // login.
        let told = |epoch: Option<Epoch>| [&rest[..], &plan::login(login.begun.or(epoch), epoch, handle)].concat();
        let entrance = Entrance { handle, owner, ttl_ms, since: Since::Now, limit: login.limit };
        let (epoch, surplus) = match self.enter(&entrance, is_new, Some(plan.clone().told(told(None))))? {
            Ok(entered) => entered,
            Err(reply) => return Ok(outcome(id, commit, &reply)),
        };
        let ends: Vec<_> = surplus.iter().map(|one| self.ending(*one, Some(owner), EndReason::Limit)).collect();
        let mut first: Vec<_> = ends.iter().map(|end| self.sent(end)).collect();
        first.extend((!ends.is_empty()).then(|| self.on_owner(&LEAVE, owner, surplus.iter().map(Handle::to_string))));
        let plan = plan.told(told(Some(epoch)));
        let outcome = self.write_after(first, &plan).map(|reply| outcome(id, commit, &reply))?;
        // In a cluster a login that is done has its place until it is confirmed.
        if !outcome.is_done() || commit.is_repeated && !self.connections.is_cluster() {
            self.ask_one(self.on_owner(&LEAVE, owner, [handle.to_string()]))?;
        }
        Ok(outcome)
    }

    /// What became of a login that created a session, whose outcome is unknown. It is not carried
    /// out now: the session may have ended since, with all others of its owner.
    fn recall(&self, id: &SessionId, commit: &Commit) -> Result<Outcome> {
        let handle = id.handle();
        let row = self.row_of(id, b'p', &Lease::UNLIMITED)?.ok_or_else(|| Error::unknown(handle))?;
        let Stored { record, ttl, .. } = row.listed(handle).stored;
        let is_done = commit.begins().is_some_and(|begun| record.version().is_same_incarnation(begun));
        Ok(if is_done { Outcome::Done(Receipt::new(record.version(), ttl)) } else { Outcome::Taken })
    }

    /// Stores a record as it is. `how`: 'p'ut, or 't'ake over where there is none yet.
    pub(super) fn put(&self, plan: Plan<'static>, how: u8, record: &Record, ttl: Duration) -> Result<Outcome> {
        let (handle, ttl_ms) = (plan.handle, plan::millis(ttl));
        self.check_size(handle, fields::size_of_record(record))?;
        let (rest, words) = plan::put(how, ttl_ms, record);
        let mut plan = Plan { words, keys: vec![self.keys.of_why(handle)], noted: ttl_ms * 2, ..plan };
        let (mut first, mut epoch) = (Vec::new(), None);
        if let Some(owned) = record.head().owner {
            let (owner, since) = (owned.name, Since::At(owned.since_ms));
            let entered = self.enter(&Entrance { handle, owner, ttl_ms, since, limit: None }, true, None)?;
            epoch = entered.ok().map(|(epoch, _)| epoch);
            self.log_in(&mut plan, owner, ttl_ms);
        } else {
            first.push(self.noting(handle, ttl_ms));
        }
        let plan = plan.told([rest, plan::login(None, epoch, handle)].concat());
        Ok(match self.write_after(first, &plan)? {
            Reply::Done { version, .. } => Outcome::Done(Receipt::new(version, ttl)),
            Reply::Refused(outcome) => outcome,
            _ => Outcome::Gone,
        })
    }

    /// On one server the script has the owner's keys too.
    fn log_in(&self, plan: &mut Plan<'_>, owner: &str, ttl_ms: u64) {
        (plan.by, plan.noted) = (owner.to_owned(), ttl_ms * 2);
        if !self.connections.is_cluster() {
            let [epoch, _, _, logins] = self.keys.of_owner(owner);
            plan.keys = vec![self.keys.of_why(plan.handle), epoch, logins];
        }
    }

    /// Has an owner's set know a session, and reserves a place for its login: the epoch, and the
    /// sessions that lose theirs. Or what becomes of the commit without one: `trial`, which has no
    /// place, tells whether anything but the limit is in its way, before a session ends for it.
    fn enter(&self, entrance: &Entrance<'_>, is_new: bool, trial: Option<Plan<'_>>) -> Result<Result<Entered, Reply>> {
        let mut calls = if is_new { vec![self.noting(entrance.handle, entrance.ttl_ms)] } else { Vec::new() };
        calls.push(self.entering(entrance, None));
        let mut reply = Reply::of(entrance.handle, &self.ask(&calls)?.pop().unwrap_or_default())?;
        if let (Reply::Others(others), Some(trial)) = (&reply, trial) {
            let plans: Vec<_> = [trial].into_iter().chain(others.iter().map(|one| looking(*one, b"e0"))).collect();
            let mut replies = self.each(&plans)?.into_iter();
            match replies.next().map(|(_, reply)| reply).transpose()? {
                None | Some(Reply::Refused(Outcome::AtLimit)) => {}
                Some(other) => return Ok(Err(other)),
            }
            let mut gone = Vec::new();
            for (handle, reply) in replies {
                match reply? {
                    Reply::Seen { text, .. } if text == entrance.owner => {}
                    _ => gone.push(handle),
                }
            }
            reply = Reply::of(entrance.handle, &self.ask_one(self.entering(entrance, Some(&gone)))?)?;
        }
        Ok(match reply {
            Reply::Entered(epoch, surplus) => Ok((epoch, surplus)),
            other => Err(other),
        })
    }

    /// The script for it. `gone`: which of the others were looked at and are not there.
    pub(super) fn entering(&self, entrance: &Entrance<'_>, gone: Option<&[Handle]>) -> Command<'static> {
        let Entrance { handle, owner, ttl_ms, since, limit } = entrance;
        let is_refused = limit.is_some_and(|limit| limit.at_limit == AtLimit::RefuseNewest);
        let words = [
            handle.to_string(),
            noted_for(*ttl_ms).to_string(),
            match since {
                Since::Now => "now".to_owned(),
                Since::Known => "known".to_owned(),
                Since::At(millis) => millis.to_string(),
            },
            limit.map_or_else(String::new, |limit| limit.max.to_string()),
            if is_refused { "r" } else { "" }.to_owned(),
            if gone.is_some() { "looked" } else { "" }.to_owned(),
        ];
        let gone = gone.unwrap_or_default().iter().map(Handle::to_string);
        self.on_owner(&ENTER, owner, words.into_iter().chain(gone))
    }
}

/// When a session logged in.
#[derive(Clone, Copy)]
pub(super) enum Since {
    /// It does so now, and may be refused.
    Now,
    /// The owner's set knows.
    Known,
    /// In milliseconds since 1970.
    At(u64),
}

/// Refuses a new id for another session, and a login without a new id.
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

/// What became of a commit, with the id that the client is to be given.
fn outcome(id: &SessionId, commit: &Commit, reply: &Reply) -> Outcome {
    match reply {
        Reply::Done { version, ttl, seed } => {
            let announce = match commit.identity {
                _ if commit.expect() == Expect::Absent => None,
                Identity::Replace(new) => Some(new),
                Identity::Keep | Identity::Renew(_) => seed.map(|seed| id.successor(seed)),
            };
            Outcome::Done(Receipt::new(*version, *ttl).announcing(announce))
        }
        Reply::Refused(outcome) => *outcome,
        _ => Outcome::Gone,
    }
}
