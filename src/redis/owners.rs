//! The sessions of one owner: the owner's set is a hint where they are, the epoch decides which logins count.

use ::redis::Value;

use super::RedisStore;
use super::calls::{Call, Calls, letter, mark};
use super::connections::{self, What};
use super::fields;
use super::plan::Plan;
use super::replies::{self, Reply, unexpected};
use super::scripts::{END, MARK, RAISE, RESERVE, Script};
use crate::error::Result;
use crate::id::{Handle, SessionId};
use crate::store::{EndReason, Epoch, Lease, Listed, Outcome, Owner, Owners, Receipt};

impl Owners for RedisStore {
    fn epoch(&self, owner: &Owner) -> Result<Epoch> {
        self.calls.epoch(owner.as_str())
    }

    fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
        let [_, _, sessions, _] = self.calls.keys.of_owner(owner.as_str());
        let handles = self.calls.members(sessions)?;
        // By now one of them may be another owner's.
        let is_theirs = |listed: &Result<Listed>| {
            listed.as_ref().map_or(true, |listed| listed.stored.record.owner() == Some(owner.as_str()))
        };
        self.calls.listed(&handles)?.into_iter().filter(is_theirs).collect()
    }

    fn destroy(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        self.calls.end(&self.calls.ending_handle(handle, owner.map(Owner::as_str), reason))
    }

    fn destroy_all(&self, owner: &Owner, except: Option<&SessionId>) -> Result<usize> {
        let (calls, owner) = (&self.calls, owner.as_str());
        let (next, _) = calls.raise(&RESERVE, owner, None)?;
        if let Some(id) = except {
            let spare = calls.on_session(&MARK, id, &Lease::UNLIMITED).told(mark(b's', next));
            // Whether it was spared or there was none to spare: the rest is the same.
            drop(calls.write(&Call { plan: Plan { by: owner.to_owned(), ..spare.plan }, ..spare })?);
        }
        let (before, sessions) = calls.raise(&RAISE, owner, Some(next))?;
        let end = |handle: &Handle| {
            let epochs = [Some(next), Some(before)];
            let call = calls.ending(calls.on_handle(&END, *handle), b'b', letter(EndReason::Everywhere), epochs);
            Call { plan: Plan { by: owner.to_owned(), ..call.plan }, ..call }
        };
        let ended = calls.each(&sessions.iter().map(end).collect::<Vec<_>>())?;
        let ended: Vec<Reply> = ended.into_iter().map(|(_, reply)| reply).collect::<Result<_>>()?;
        Ok(ended.iter().filter(|reply| matches!(reply, Reply::Done { .. })).count())
    }

    fn why_ended(&self, id: &SessionId) -> Result<Option<EndReason>> {
        let keys = vec![self.calls.keys.of_why(id.handle())];
        let answer = self.calls.ask_one(connections::Call { what: What::Command("GET"), keys, words: Vec::new() })?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let digest = id.digest();
        Ok(match replies::bytes(&answer)?.split_first() {
            Some((reason, digests)) if digests.chunks_exact(digest.len()).any(|one| one == digest) => match reason {
                b'e' => Some(EndReason::Everywhere),
                b'l' => Some(EndReason::Limit),
                b'n' => Some(EndReason::Named),
                _ => None,
            },
            _ => None,
        })
    }
}

impl Calls {
    pub(super) fn epoch(&self, owner: &str) -> Result<Epoch> {
        let [epoch, ..] = self.keys.of_owner(owner);
        let call = connections::Call { what: What::Command("GET"), keys: vec![epoch], words: Vec::new() };
        replies::epoch_of(&self.ask_one(call)?)
    }

    pub(super) fn end(&self, call: &Call<'_>) -> Result<Outcome> {
        Ok(match self.write(call)? {
            Reply::Done { version, .. } => Outcome::Done(Receipt::ended(version)),
            Reply::Refused(outcome) => outcome,
            _ => Outcome::Gone,
        })
    }

    fn raise(&self, script: &'static Script, owner: &str, to: Option<Epoch>) -> Result<(Epoch, Vec<Handle>)> {
        let mut words = vec![fields::number(self.now())];
        words.extend(to.map(|epoch| fields::number(epoch.to_u64())));
        let keys = self.keys.of_owner(owner).into();
        let answer = self.ask_one(connections::Call { what: What::Script(script), keys, words })?;
        match Reply::of(Handle::from_u64(0), &answer)? {
            Reply::Entered(epoch, sessions) => Ok((epoch, sessions)),
            _ => Err(unexpected(&answer)),
        }
    }
}
