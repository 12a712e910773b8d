//! The sessions of one owner, over all shards: listed, counted and ended one shard at a time.

use super::{Cell, Shards, left};
use crate::id::{Handle, SessionId};
use crate::memory::expiry::BATCH;
use crate::memory::shard::{Found, Freed, Reason};
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
        let kept = except.and_then(|id| self.opened_by(id));
        let mut sessions = 0;
        for cell in &self.cells {
            let now = self.now();
            // Most shards have none of them, and then nobody waits.
            let others: Vec<Handle> = (cell.shard.read().owned_by(owner, now))
                .map(|record| record.state().handle)
                .filter(|handle| Some(*handle) != kept)
                .collect();
            // By now one of them may have another id, but not another owner unless somebody else logged in with it.
            let theirs = |record: &Record| record.owner() == Some(owner);
            sessions += self.end(cell, &others, EndReason::Everywhere, theirs);
        }
        sessions
    }

    /// The session that an id opens, be it by an id in its grace.
    fn opened_by(&self, id: &SessionId) -> Option<Handle> {
        let (cell, hash) = self.cell(id.handle());
        let shard = cell.shard.read();
        matches!(shard.find(hash, id, self.now()), Found::Live { .. }).then(|| id.handle())
    }

    pub(in crate::memory) fn destroy_handle(&self, handle: Handle, reason: EndReason) -> Outcome {
        let (cell, _) = self.cell(handle);
        match self.end(cell, &[handle], reason, |_| true) {
            0 => Outcome::Gone,
            _ => Outcome::Done,
        }
    }

    /// Removes those of these sessions of a shard that are live and still `theirs`, a few at a time; how many there were.
    fn end(&self, cell: &Cell, handles: &[Handle], reason: EndReason, theirs: impl Fn(&Record) -> bool) -> usize {
        let mut ended = 0;
        for batch in handles.chunks(BATCH) {
            let mut freed = Freed::new();
            let now = self.now();
            let mut shard = cell.shard.write();
            for handle in batch {
                let (_, hash) = self.cell(*handle);
                if shard.live(hash, *handle, now).is_some_and(&theirs) {
                    shard.remove(hash, *handle, Reason::Destroyed, &mut freed);
                }
            }
            drop(shard);
            ended += freed.len();
            self.endings.note(freed.iter().map(|(record, _)| (record.state().handle, record.state().proof)), reason);
            self.release(cell, freed);
        }
        ended
    }
}
