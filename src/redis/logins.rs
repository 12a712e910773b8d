//! Logins: an owner's set is told of the session first, and holds the owner to the limit.

use super::calls::{Call, Calls, noted_for};
use super::connections::{self, What};
use super::fields;
use super::plan::{self, Plan};
use super::replies::Reply;
use super::scripts::{COMMIT, ENTER, LEAVE};
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::record::Record;
use crate::store::{AtLimit, Commit, EndReason, Epoch, Expect, Identity, Lease, Limit, Outcome, Receipt};

impl Calls {
    /// Carries out a commit: a login enters its owner's set first.
    pub(super) fn commit(&self, id: &SessionId, commit: &Commit, lease: &Lease) -> Result<Outcome> {
        let (handle, is_new) = (id.handle(), commit.expect() == Expect::Absent);
        if !is_new {
            check_identity(id, commit)?;
        }
        let (rest, entries) = plan::commit(id, commit, self.max_session_size);
        self.check_size(handle, entries.bytes)?;
        let longest = plan::longest(lease, commit.changes.timeout().flatten());
        let mut call = Call { words: entries.words, ..self.on_session(&COMMIT, id, lease) };
        (call.plan.is_repeated, call.plan.in_index) = (commit.is_repeated, is_new);
        let mut first = Vec::new();
        if is_new {
            call.keys.push(self.keys.of_why(handle));
            call.plan.noted = longest * 2;
        }
        let Some(login) = &commit.login else {
            call.plan.rest = [plan::login(None, None, handle), rest].concat();
            first.extend(is_new.then(|| self.noting(handle, longest)));
            return self.write_after(first, &call).map(|reply| outcome(id, commit, &reply));
        };
        let owner = login.owner.as_str();
        let Some((epoch, surplus)) = self.enter(handle, owner, longest, Since::Now, login.limit, is_new)? else {
            return Ok(Outcome::AtLimit);
        };
        self.log_in(&mut call, owner, longest);
        call.plan.rest = [plan::login(login.begun, Some(epoch), handle), rest].concat();
        let ends: Vec<_> =
            surplus.iter().map(|handle| self.ending_handle(*handle, Some(owner), EndReason::Limit)).collect();
        first.extend(ends.iter().map(|end| self.sent(end)));
        first.extend((!surplus.is_empty()).then(|| self.leaving(owner, &surplus)));
        self.write_after(first, &call).map(|reply| outcome(id, commit, &reply))
    }

    /// Stores a record as it is. `how`: 'p'ut, or 't'ake over where there is none yet.
    pub(super) fn put(&self, call: Call<'static>, how: u8, record: &Record, ttl_ms: u64) -> Result<Outcome> {
        let handle = call.handle;
        self.check_size(handle, fields::size_of_record(record))?;
        let (rest, words) = plan::put(how, ttl_ms, record);
        let mut call = Call { words, keys: vec![self.keys.of_why(handle)], ..call };
        call.plan.noted = ttl_ms * 2;
        let (mut first, mut epoch) = (vec![self.noting(handle, ttl_ms)], None);
        if let Some(owner) = record.head().owner {
            let entered = self.enter(handle, owner.by, ttl_ms, Since::At(owner.since_ms), None, true)?;
            (first, epoch) = (Vec::new(), entered.map(|(epoch, _)| epoch));
            self.log_in(&mut call, owner.by, ttl_ms);
        }
        call.plan.rest = [plan::login(None, epoch, handle), rest].concat();
        match self.write_after(first, &call)? {
            Reply::Done { version, ttl, .. } => Ok(Outcome::Done(Receipt::new(version, ttl))),
            Reply::Refused(outcome) => Ok(outcome),
            _ => Ok(Outcome::Gone),
        }
    }

    /// On one server the script has the owner's keys too.
    fn log_in(&self, call: &mut Call<'_>, owner: &str, longest: u64) {
        call.plan = Plan { by: owner.to_owned(), noted: longest * 2, ..call.plan.clone() };
        if !self.connections.is_cluster() {
            let [epoch, _, _, logins] = self.keys.of_owner(owner);
            call.keys = vec![self.keys.of_why(call.handle), epoch, logins];
        }
    }

    /// Has an owner's set know a session, and reserves a place for its login: the epoch, and the sessions that
    /// lose theirs. `None`: there is no place.
    fn enter(
        &self,
        handle: Handle,
        owner: &str,
        longest: u64,
        since: Since,
        limit: Option<Limit>,
        in_index: bool,
    ) -> Result<Option<(Epoch, Vec<Handle>)>> {
        let mut calls = if in_index { vec![self.noting(handle, longest)] } else { Vec::new() };
        calls.push(self.entering(handle, owner, longest, since, limit, None));
        let mut reply = self.ask(&calls)?.pop().unwrap_or_default();
        if let Reply::Others(others) = Reply::of(handle, &reply)? {
            let gone = self.not_theirs(owner, &others)?;
            reply = self.ask_one(self.entering(handle, owner, longest, since, limit, Some(&gone)))?;
        }
        Ok(match Reply::of(handle, &reply)? {
            Reply::Entered(epoch, surplus) => Some((epoch, surplus)),
            _ => None,
        })
    }

    /// The script for it. `gone`: which of the others were
    /// looked at and are not there.
    pub(super) fn entering(
        &self,
        handle: Handle,
        owner: &str,
        ttl_ms: u64,
        since: Since,
        limit: Option<Limit>,
        gone: Option<&[Handle]>,
    ) -> connections::Call<'static> {
        let is_refused = limit.is_some_and(|limit| limit.at_limit == AtLimit::RefuseNewest);
        let mut words = vec![
            self.now().to_string(),
            handle.to_string(),
            noted_for(ttl_ms).to_string(),
            match since {
                Since::Now => "now".to_owned(),
                Since::Known => "known".to_owned(),
                Since::At(millis) => millis.to_string(),
            },
            limit.map_or_else(String::new, |limit| limit.max.to_string()),
            if is_refused { "r" } else { "" }.to_owned(),
            if gone.is_some() { "looked" } else { "" }.to_owned(),
        ];
        words.extend(gone.unwrap_or_default().iter().map(Handle::to_string));
        let words = words.into_iter().map(|word| word.into_bytes().into()).collect();
        connections::Call { what: What::Script(&ENTER), keys: self.keys.of_owner(owner).into(), words }
    }

    fn leaving(&self, owner: &str, handles: &[Handle]) -> connections::Call<'static> {
        let mut words = vec![fields::number(self.now())];
        words.extend(handles.iter().map(|handle| handle.to_string().into_bytes().into()));
        connections::Call { what: What::Script(&LEAVE), keys: self.keys.of_owner(owner).into(), words }
    }

    /// Which of these sessions are not there, or another owner's.
    fn not_theirs(&self, owner: &str, handles: &[Handle]) -> Result<Vec<Handle>> {
        let mut gone = Vec::new();
        for (handle, reply) in self.look_at(b"e0", handles)? {
            match reply? {
                Reply::Seen { text, .. } if text == owner => {}
                _ => gone.push(handle),
            }
        }
        Ok(gone)
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
