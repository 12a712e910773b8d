//! The sessions of one owner, over all shards: listed, counted and ended one shard at a time.

use super::{Cell, Shards, left};
use crate::id::{Handle, SessionId};
use crate::memory::shard::{Freed, Reason};
use crate::record::Record;
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
            let is_other = |record: &&Record| except.is_none_or(|kept| !record.state().is_opened_by(kept));
            // Most shards have none of them, and then nobody waits.
            let others: Vec<Handle> =
                cell.shard.read().owned_by(owner, now).filter(is_other).map(|record| record.state().handle).collect();
            if others.is_empty() {
                continue;
            }
            sessions += self.end(cell, &others, owner, EndReason::Everywhere);
        }
        sessions
    }

    pub(in crate::memory) fn destroy_handle(&self, handle: Handle, reason: EndReason) -> Outcome {
        let (cell, hash) = self.cell(handle);
        let mut freed = Freed::new();
        let now = self.now();
        let mut shard = cell.shard.write();
        let proof = shard.live_proof(hash, handle, now);
        if proof.is_some() {
            shard.remove(hash, handle, Reason::Destroyed, &mut freed);
        }
        drop(shard);
        self.release(cell, freed);
        let Some(proof) = proof else { return Outcome::Gone };
        self.endings.note([(handle, proof)], reason);
        Outcome::Done
    }

    /// Removes those of these sessions that are still there and still the owner's; how many.
    fn end(&self, cell: &Cell, handles: &[Handle], owner: &str, reason: EndReason) -> usize {
        let mut freed = Freed::new();
        let now = self.now();
        let mut shard = cell.shard.write();
        for handle in handles {
            let (_, hash) = self.cell(*handle);
            // By now it may have another id, but not another owner unless somebody else logged in with it.
            if shard.owned_by(owner, now).any(|record| record.state().handle == *handle) {
                shard.remove(hash, *handle, Reason::Destroyed, &mut freed);
            }
        }
        drop(shard);
        let ended = freed.len();
        self.endings.note(freed.iter().map(|(record, _)| (record.state().handle, record.state().proof)), reason);
        self.release(cell, freed);
        ended
    }
}
