//! The sessions of one owner, over all shards: listed, counted and ended one shard at a time.

use super::{Cell, Shards, left};
use crate::id::{Handle, SessionId};
use crate::memory::shard::{Freed, Reason};
use crate::store::{EndReason, Listed, Outcome, Stored};

impl Shards {
    pub(in crate::memory) fn sessions_of(&self, owner: &str) -> Vec<Listed> {
        let mut listed = Vec::new();
        for cell in &self.cells {
            let now = self.now();
            let shard = cell.shard.read();
            listed.extend(
                shard
                    .owned_by(owner, now)
                    .map(|record| Listed::new(record.state().handle, Stored::new(record.clone(), left(record, now)))),
            );
        }
        listed
    }

    pub(in crate::memory) fn count_of(&self, owner: &str) -> usize {
        self.cells.iter().map(|cell| cell.shard.read().owned_by(owner, self.now()).count()).sum()
    }

    /// Ends all of an owner's sessions but one. Whoever logs in meanwhile is either found, here, or refused, there: a
    /// save looks at the epoch under its shard's lock, and the epoch changes before the first shard is looked at.
    pub(in crate::memory) fn destroy_of(&self, owner: &str, except: Option<&SessionId>) -> usize {
        self.epochs.end(owner);
        let mut sessions = 0;
        for cell in &self.cells {
            let now = self.now();
            let others = |id: &SessionId| except.is_none_or(|kept| kept != id);
            // Most shards have none of them, and then nobody waits.
            let ids: Vec<SessionId> =
                cell.shard.read().owned_by(owner, now).map(|record| record.state().id()).filter(others).collect();
            if ids.is_empty() {
                continue;
            }
            sessions += self.end(cell, &ids, owner, EndReason::Everywhere);
        }
        sessions
    }

    pub(in crate::memory) fn destroy_handle(&self, handle: Handle, reason: EndReason) -> Outcome {
        let (cell, hash) = self.cell(handle);
        let mut freed = Freed::new();
        let now = self.now();
        let mut shard = cell.shard.write();
        let id = shard.live_id(hash, handle, now);
        if id.is_some() {
            shard.remove(hash, handle, Reason::Destroyed, &mut freed);
        }
        drop(shard);
        self.release(cell, freed);
        let Some(id) = id else { return Outcome::Gone };
        self.endings.note([id], reason);
        Outcome::Done
    }

    /// Removes those of these sessions that are still there and still the owner's; how many.
    fn end(&self, cell: &Cell, ids: &[SessionId], owner: &str, reason: EndReason) -> usize {
        let mut freed = Freed::new();
        let now = self.now();
        let mut shard = cell.shard.write();
        for id in ids {
            let (_, hash) = self.cell(id.handle());
            // By now it may have another id, but not another owner unless somebody else logged in with it.
            if shard.owned_by(owner, now).any(|record| record.state().handle == id.handle()) {
                shard.remove(hash, id.handle(), Reason::Destroyed, &mut freed);
            }
        }
        drop(shard);
        let ended = freed.len();
        self.endings.note(freed.iter().map(|(record, _)| record.state().id()), reason);
        self.release(cell, freed);
        ended
    }
}
