//! Sets of sessions: the index of all sessions, and the sessions of one owner.

use ::redis::Value;

use super::client::{Client, reason_letter};
use super::connection::{Command, Verb};
use super::invocation::Invocation;
use super::keys::{BATCH, INDEX_PARTS};
use super::owner_scripts::BUMP_EPOCH;
use super::replies::{self, Reply};
use super::session_scripts::{LOOK, SET_EPOCH};
use crate::error::Result;
use crate::id::{Handle, SessionId};
use crate::store::{EndReason, Epoch, Listed, Outcome, Receipt};

impl Client {
    pub(super) fn all(&self) -> impl Iterator<Item = Result<Listed>> + '_ {
        let parts = (0..INDEX_PARTS).flat_map(|part| match self.members(self.keys.of_index(part)) {
            Ok(handles) => handles.chunks(BATCH).map(|batch| Ok(batch.to_vec())).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        });
        parts.flat_map(|batch| match batch.and_then(|batch| self.listed(&batch)) {
            Err(error) => vec![Err(error)],
            Ok(listed) => listed,
        })
    }

    pub(super) fn len(&self) -> Result<usize> {
        let mut sessions = 0;
        for part in 0..INDEX_PARTS {
            for (_, reply) in self.look_at_all(b"e0", &self.members(self.keys.of_index(part))?)? {
                sessions += usize::from(matches!(reply?, Reply::Seen { .. }));
            }
        }
        Ok(sessions)
    }

    pub(super) fn clear(&self) -> Result<()> {
        let command = |name, keys, args| Command { verb: Verb::Name(name), keys, args };
        for part in 0..INDEX_PARTS {
            for batch in self.members(self.keys.of_index(part))?.chunks(BATCH) {
                let delete = |handle: &Handle| {
                    let [session, reason] = [self.keys.of_record(*handle), self.keys.of_end_reason(*handle)];
                    [command("DEL", vec![session], Vec::new()), command("DEL", vec![reason], Vec::new())]
                };
                let answers = self.ask(&batch.iter().flat_map(delete).collect::<Vec<_>>())?;
                // A handle without a session stays in the index, because its session may be created
                // next.
                let deleted = batch.iter().zip(answers.iter().step_by(2)).filter(|(_, one)| **one == Value::Int(1));
                let handles: Vec<_> = deleted.map(|(handle, _)| handle.to_string().into_bytes().into()).collect();
                if !handles.is_empty() {
                    self.ask_one(command("ZREM", vec![self.keys.of_index(part)], handles))?;
                }
            }
        }
        Ok(())
    }

    /// Returns the live sessions among these handles, and an error for each session that cannot be
    /// read.
    fn listed(&self, handles: &[Handle]) -> Result<Vec<Result<Listed>>> {
        let listed = self.look_at_all(b"p1", handles)?.into_iter().filter_map(|(handle, reply)| match reply {
            Ok(Reply::Seen { row, .. }) => row.map(|row| Ok(row.listed(handle))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        Ok(listed.collect())
    }

    fn look_at_all(&self, args: &[u8], handles: &[Handle]) -> Result<Vec<(Handle, Result<Reply>)>> {
        self.run_all(&handles.iter().map(|handle| look_at(*handle, args)).collect::<Vec<_>>())
    }

    /// Runs scripts. On one server, many scripts take one round trip.
    pub(super) fn run_all(&self, invocations: &[Invocation<'_>]) -> Result<Vec<(Handle, Result<Reply>)>> {
        let mut replies = Vec::with_capacity(invocations.len());
        for batch in invocations.chunks(BATCH) {
            let answers = self.ask(&batch.iter().map(|one| self.command(one)).collect::<Vec<_>>())?;
            for (one, answer) in batch.iter().zip(answers) {
                let reply = Reply::of(one.handle, &answer);
                let settled = reply.and_then(|reply| self.settle(one, reply, |one| self.send(Vec::new(), one)));
                replies.push((one.handle, settled));
            }
        }
        Ok(replies)
    }

    /// The handles in a set.
    fn members(&self, set: Vec<u8>) -> Result<Vec<Handle>> {
        replies::handles(&self.read("ZRANGE", set, &["0", "-1"])?)
    }

    pub(super) fn epoch(&self, owner: &str) -> Result<Epoch> {
        let [epoch, ..] = self.keys.of_owner(owner);
        replies::epoch_of(&self.read("GET", epoch, &[])?)
    }

    pub(super) fn sessions_of(&self, owner: &str) -> Result<Vec<Listed>> {
        let [_, _, sessions, _] = self.keys.of_owner(owner);
        // After the set was written, a different owner may have logged in to one of these sessions.
        let is_owners = |listed: &Result<Listed>| {
            listed.as_ref().map_or(true, |listed| listed.stored.record.owner() == Some(owner))
        };
        self.listed(&self.members(sessions)?)?.into_iter().filter(is_owners).collect()
    }

    pub(super) fn end(&self, invocation: &Invocation<'_>) -> Result<Outcome> {
        Ok(self.write(invocation)?.outcome(|version, _, _| Receipt::ended(version)))
    }

    pub(super) fn end_all(&self, owner: &str, exempt: Option<Handle>) -> Result<usize> {
        let (next, _) = self.bump_epoch(owner, None)?;
        if let Some(handle) = exempt {
            // If the exempt session does not exist, the other sessions are still ended.
            let set = Invocation::new(&SET_EPOCH, handle).with_owner(owner).with(next.to_u64().to_be_bytes());
            drop(self.write(&set)?);
        }
        let (previous, sessions) = self.bump_epoch(owner, Some(next))?;
        let revoke = |handle: &Handle| self.revocation(*handle, owner, EndReason::LoggedOutEverywhere, next, previous);
        let ended = self.run_all(&sessions.iter().map(revoke).collect::<Vec<_>>())?;
        let ended: Vec<Reply> = ended.into_iter().map(|(_, reply)| reply).collect::<Result<_>>()?;
        Ok(ended.iter().filter(|reply| matches!(reply, Reply::Done { .. })).count())
    }

    /// Without `to`, draws the next epoch and returns it. With `to`, makes that the owner's epoch,
    /// and returns the previous epoch and the owner's sessions.
    fn bump_epoch(&self, owner: &str, to: Option<Epoch>) -> Result<(Epoch, Vec<Handle>)> {
        let answer = self.ask_one(self.on_owner(&BUMP_EPOCH, owner, to.map(|epoch| epoch.to_u64().to_string())))?;
        match Reply::of(Handle::from_u64(0), &answer)? {
            Reply::Added(epoch, sessions) => Ok((epoch, sessions)),
            _ => Err(replies::unexpected(&answer)),
        }
    }

    pub(super) fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
        let answer = self.read("GET", self.keys.of_end_reason(id.handle()), &[])?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let digest = id.digest();
        let Some((letter, digests)) = replies::bytes(&answer)?.split_first() else { return Ok(None) };
        let is_meant = digests.chunks_exact(digest.len()).any(|one| one == digest);
        let mut reasons = [EndReason::LoggedOutEverywhere, EndReason::Limit, EndReason::Revoked].into_iter();
        Ok(reasons.find(|reason| is_meant && reason_letter(*reason) == *letter))
    }
}

/// Makes an invocation that looks at the session with this handle. [`LOOK`] describes `args`.
pub(super) fn look_at(handle: Handle, args: &[u8]) -> Invocation<'static> {
    Invocation { is_write: false, ..Invocation::new(&LOOK, handle) }.with(args)
}
