//! Logins: an owner's set is told of the session first, and holds the owner to the limit.

use super::calls::{Calls, noted_for};
use super::connections::Command;
use super::fields;
use super::plan::{self, Plan};
use super::replies::Reply;
use super::scripts::{COMMIT, ENTER, LEAVE};
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::record::Record;
use crate::store::{AtLimit, Commit, EndReason, Epoch, Expect, Identity, Lease, Limit, Outcome, Receipt};

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
        let (mut first, mut ends, mut begun) = (Vec::new(), Vec::new(), (None, None));
        if let Some(login) = &commit.login {
            let owner = login.owner.as_str();
            let entrance = Entrance { handle, owner, ttl_ms, since: Since::Now, limit: login.limit };
            let Some((epoch, surplus)) = self.enter(&entrance, is_new)? else { return Ok(Outcome::AtLimit) };
            self.log_in(&mut plan, owner, ttl_ms);
            begun = (login.begun, Some(epoch));
            ends.extend(surplus.iter().map(|handle| self.ending(*handle, Some(owner), EndReason::Limit)));
            first.extend(ends.iter().map(|end| self.sent(end)));
            let left = surplus.iter().map(Handle::to_string);
            first.extend((!surplus.is_empty()).then(|| self.on_owner(&LEAVE, owner, left)));
        } else if is_new {
            first.push(self.noting(handle, ttl_ms));
        }
        let plan = plan.told([rest, plan::login(begun.0, begun.1, handle)].concat());
        self.write_after(first, &plan).map(|reply| outcome(id, commit, &reply))
    }

    /// Stores a record as it is. `how`: 'p'ut, or 't'ake over where there is none yet.
    pub(super) fn put(&self, plan: Plan<'static>, how: u8, record: &Record, ttl_ms: u64) -> Result<Outcome> {
        let handle = plan.handle;
        self.check_size(handle, fields::size_of_record(record))?;
        let (rest, words) = plan::put(how, ttl_ms, record);
        let mut plan = Plan { words, keys: vec![self.keys.of_why(handle)], noted: ttl_ms * 2, ..plan };
        let (mut first, mut epoch) = (Vec::new(), None);
        if let Some(owned) = record.head().owner {
            let (owner, since) = (owned.by, Since::At(owned.since_ms));
            let entered = self.enter(&Entrance { handle, owner, ttl_ms, since, limit: None }, true)?;
            epoch = entered.map(|(epoch, _)| epoch);
            self.log_in(&mut plan, owner, ttl_ms);
        } else {
            first.push(self.noting(handle, ttl_ms));
        }
        let plan = plan.told([rest, plan::login(None, epoch, handle)].concat());
        Ok(match self.write_after(first, &plan)? {
            Reply::Done { version, ttl, .. } => Outcome::Done(Receipt::new(version, ttl)),
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
    /// sessions that lose theirs. `None`: there is no place.
    fn enter(&self, entrance: &Entrance<'_>, is_new: bool) -> Result<Option<(Epoch, Vec<Handle>)>> {
        let mut calls = if is_new { vec![self.noting(entrance.handle, entrance.ttl_ms)] } else { Vec::new() };
        calls.push(self.entering(entrance, None));
        let mut reply = Reply::of(entrance.handle, &self.ask(&calls)?.pop().unwrap_or_default())?;
        if let Reply::Others(others) = reply {
            let mut gone = Vec::new();
            for (handle, reply) in self.look_at(b"e0", &others)? {
                match reply? {
                    Reply::Seen { text, .. } if text == entrance.owner => {}
                    _ => gone.push(handle),
                }
            }
            reply = Reply::of(entrance.handle, &self.ask_one(self.entering(entrance, Some(&gone)))?)?;
        }
        Ok(match reply {
            Reply::Entered(epoch, surplus) => Some((epoch, surplus)),
            _ => None,
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
