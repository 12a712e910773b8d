//! The sessions of one owner, over all shards: listed, counted and ended one shard at a time.

use std::hash::BuildHasher as _;

use super::{Cell, Shards, left};
use crate::error::Result;
use crate::id::{Handle, SecretCheck};
use crate::memory::expiry::BATCH;
use crate::memory::persist::Mutation;
use crate::memory::shard::{RemovalCause, Removed};
use crate::record::{Record, SecondSecret};
use crate::store::{EndReason, Listed, Outcome, Owner, Receipt, Stored};
use crate::sync::Mutex;

impl Shards {
    pub(in crate::memory) fn list(&self, owner: &str) -> Vec<Listed> {
        let mut listed = Vec::new();
        for cell in &self.cells {
            let now = self.clock_now();
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
        self.cells.iter().map(|cell| cell.shard.read().owned_by(owner, self.clock_now()).count()).sum()
    }

    /// Ends all sessions of an owner but one. The owner's gate is held, so no login overlaps: each
    /// either stored its session before and is found here, or reads the epoch that this raised.
    pub(in crate::memory) fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        self.check_files()?;
        let _gate = self.gate(owner.as_str()).lock();
        let epoch = self.epochs.end(owner.as_str());
        if let Some(persist) = &self.persist {
            persist.queue(Mutation::Epoch(owner.as_str().into(), epoch));
        }
        let mut sessions = 0;
        for cell in &self.cells {
            let now = self.clock_now();
            // Most shards have none of these sessions; they are not write-locked.
            let others: Vec<Handle> = (cell.shard.read().owned_by(owner.as_str(), now))
                .map(|record| record.state().handle)
                .filter(|handle| Some(*handle) != except)
                .collect();
            sessions += self.end(cell, &others, Some(owner), EndReason::Everywhere).map_or(0, |(ended, _)| ended);
        }
        self.settle("(all of an owner)")?;
        Ok(sessions)
    }

    pub(super) fn gate(&self, owner: &str) -> &Mutex<()> {
        // There are 64 gates, so the remainder fits.
        let number = usize::try_from(self.hasher.hash_one(owner) % self.gates.len() as u64).unwrap_or(0);
        &self.gates[number]
    }

    pub(in crate::memory) fn end_handle(
        &self,
        handle: Handle,
        owner: Option<&Owner>,
        reason: EndReason,
    ) -> Result<Outcome> {
        self.check_files()?;
        let outcome = self.destroy_handle(handle, owner, reason);
        self.settle(handle)?;
        Ok(outcome)
    }

    /// The same for the surplus of a login, whose commit is written after it.
    pub(super) fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Outcome {
        let (cell, _) = self.cell(handle);
        match self.end(cell, &[handle], owner, reason) {
            None => Outcome::Gone,
            Some((_, last)) => Outcome::Done(last),
        }
    }

    /// Removes those of these sessions of a shard that are live and belong to `owner`, a few at a
    /// time. Returns how many, with the receipt of the last.
    fn end(
        &self,
        cell: &Cell,
        handles: &[Handle],
        owner: Option<&Owner>,
        reason: EndReason,
    ) -> Option<(usize, Receipt)> {
        let is_theirs = |row: &Record| owner.is_none_or(|owner| row.owner() == Some(owner.as_str()));
        let (mut ended, mut last) = (0, None);
        for batch in handles.chunks(BATCH) {
            let mut removed = Removed::new();
            let now = self.clock_now();
            let mut shard = cell.shard.write();
            for handle in batch {
                let (_, hash) = self.cell(*handle);
                if shard.live(hash, *handle, now).is_some_and(is_theirs) {
                    shard.remove(hash, *handle, RemovalCause::Destroyed, &mut removed);
                }
            }
            self.note_ends(&removed);
            drop(shard);
            ended += removed.len();
            last = removed.last().map(|(row, _)| Receipt::ended(row.version())).or(last);
            let openers = || removed.iter().flat_map(|(row, _)| openers(row));
            if let Some(persist) = &self.persist {
                let note = |(handle, secret): (Handle, SecretCheck)| Mutation::Why(handle, secret.digest(), reason);
                openers().for_each(|opener| persist.queue(note(opener)));
            }
            self.endings.note(openers(), reason);
            self.release(cell, removed);
        }
        last.map(|last| (ended, last))
    }
}

/// The secrets that open a row: the current one, and the second one if it belongs to a timed
/// renewal.
fn openers(row: &Record) -> impl Iterator<Item = (Handle, SecretCheck)> {
    let (handle, current) = (row.state().handle, row.state().secret());
    let other = match row.second() {
        Some(SecondSecret::Pending { digest, .. } | SecondSecret::Previous { digest, .. }) => Some(digest),
        Some(SecondSecret::Superseded { .. }) | None => None,
    };
    [Some(current), other.map(SecretCheck::Digest)].into_iter().flatten().map(move |secret| (handle, secret))
}
