//! The sessions of one owner: the owner's set is a hint where they are, the epoch decides which
//! logins count.

use ::redis::Value;

use super::RedisStore;
use super::calls::Calls;
use super::plan::Plan;
use super::replies::{self, Reply, unexpected};
use super::scripts::{MARK, RAISE};
use crate::error::Result;
use crate::id::{Handle, SessionId};
use crate::store::{EndReason, Epoch, Listed, Outcome, Owner, Owners, Receipt};

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

    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        self.calls.end(&self.calls.ending(handle, owner.map(Owner::as_str), reason))
    }

    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        let (calls, owner) = (&self.calls, owner.as_str());
        let (next, _) = calls.raise(owner, None)?;
        if let Some(handle) = except {
            // Whether it was spared or there was none to spare: the rest is the same.
            drop(calls.write(&Plan::new(&MARK, handle).by(owner).told(next.to_u64().to_be_bytes()))?);
        }
        let (before, sessions) = calls.raise(owner, Some(next))?;
        let burial = |handle: &Handle| calls.burial(*handle, owner, EndReason::Everywhere, next, before);
        let ended = calls.each(&sessions.iter().map(burial).collect::<Vec<_>>())?;
        let ended: Vec<Reply> = ended.into_iter().map(|(_, reply)| reply).collect::<Result<_>>()?;
        Ok(ended.iter().filter(|reply| matches!(reply, Reply::Done { .. })).count())
    }

    fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
        let answer = self.calls.read("GET", self.calls.keys.of_why(id.handle()), &[])?;
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
        replies::epoch_of(&self.read("GET", epoch, &[])?)
    }

    pub(super) fn end(&self, plan: &Plan<'_>) -> Result<Outcome> {
        Ok(match self.write(plan)? {
            Reply::Done { version, .. } => Outcome::Done(Receipt::ended(version)),
            Reply::Refused(outcome) => outcome,
            _ => Outcome::Gone,
        })
    }

    /// Draws the epoch to come, or has it begin: the one before, and the sessions.
    fn raise(&self, owner: &str, to: Option<Epoch>) -> Result<(Epoch, Vec<Handle>)> {
        let answer = self.ask_one(self.on_owner(&RAISE, owner, to.map(|epoch| epoch.to_u64().to_string())))?;
        match Reply::of(Handle::from_u64(0), &answer)? {
            Reply::Entered(epoch, sessions) => Ok((epoch, sessions)),
            _ => Err(unexpected(&answer)),
        }
    }
}
