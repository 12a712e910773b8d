//! The sessions of one owner: the set of the owner is a hint where they are, the epoch decides which logins count.

use std::time::Duration;

use ::redis::Value;

use super::calls::Call;
use super::connections::Repeat;
use super::replies::{epoch_of, is, letter, outcome, text, unexpected};
use super::scripts::{DESTROY_HANDLE, LIST, PEEK, RAISE, RESERVE, SPARE, WHY};
use super::{RedisStore, fields};
use crate::error::Result;
use crate::id::{Handle, SessionId};
use crate::record::{Epoch, Record};
use crate::store::{EndReason, Listed, Outcome, Owners};

impl Owners for RedisStore {
    fn epoch(&self, owner: &str) -> Result<Epoch> {
        self.calls.epoch(owner)
    }

    fn create_owned(&self, id: &SessionId, record: Record, ttl: Duration, begun: Epoch) -> Result<Outcome> {
        self.create_in(id, record, ttl, Some(begun))
    }

    fn sessions_of(&self, owner: &str) -> Result<Vec<Listed>> {
        let listing = self.calls.on_owner(&LIST, owner, Vec::new());
        let replies = self.calls.send(&[listing], Repeat::Once)?;
        let handles = handles(replies.last().unwrap_or(&Value::Nil))?;
        let looked_at = self.calls.look_at(&PEEK, &handles)?.into_iter();
        let theirs = looked_at.filter_map(|(handle, reply)| self.calls.listed(handle, reply));
        // By now one of them may be somebody else's.
        theirs
            .filter(|listed| listed.as_ref().map_or(true, |listed| listed.stored.record.owner() == Some(owner)))
            .collect()
    }

    fn destroy_of(&self, owner: &str, except: Option<&SessionId>) -> Result<usize> {
        let reserve = self.calls.on_owner(&RESERVE, owner, Vec::new());
        let replies = self.calls.send(&[reserve], Repeat::Once)?;
        let next = epoch_of(replies.last().unwrap_or(&Value::Nil))?;
        let word = || fields::number(next.to_u64()).into();
        if let Some(id) = except {
            // Whether it was spared or there was none to spare: the rest is the same.
            drop(self.calls.run(&Call::new(&SPARE, id).with([fields::word(owner), word()]))?);
        }
        let raise = self.calls.on_owner(&RAISE, owner, vec![word()]);
        let replies = self.calls.send(&[raise], Repeat::Once)?;
        let Some(Value::Array(parts)) = replies.last() else {
            return Err(unexpected(replies.last().unwrap_or(&Value::Nil)));
        };
        let [before, sessions] = parts.as_slice() else { return Err(unexpected(&Value::Nil)) };
        self.calls.bury(&handles(sessions)?, owner, next, epoch_of(before)?)
    }

    fn destroy_handle(&self, handle: Handle, reason: EndReason) -> Result<Outcome> {
        outcome(&self.calls.run(&Call::without_id(&DESTROY_HANDLE, handle).with([letter(reason)]))?)
    }

    fn why_ended(&self, id: &SessionId) -> Result<Option<EndReason>> {
        let reply = self.calls.run(&Call::new(&WHY, id))?;
        Ok(match &reply {
            reply if is(reply, "e") => Some(EndReason::Everywhere),
            reply if is(reply, "l") => Some(EndReason::Limit),
            reply if is(reply, "n") => Some(EndReason::Named),
            _ => None,
        })
    }
}

pub(super) fn handles(reply: &Value) -> Result<Vec<Handle>> {
    let Value::Array(handles) = reply else { return Err(unexpected(reply)) };
    handles.iter().map(|handle| text(handle)?.parse()).collect()
}
