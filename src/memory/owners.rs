//! Lists, counts and ends one owner's sessions in a `LembroStore`, one shard at a time.

use std::hash::BuildHasher as _;

use super::LembroStore;
use super::expiry::BATCH;
use super::persist::encoding::Mutation;
use super::routing::{LockedShard, ShardedStore};
use super::shard::{RemovalCause, Removed};
use super::store::time_left;
use crate::error::Result;
use crate::id::{Handle, SecretCheck, SessionId};
use crate::record::{Record, SecondSecret};
use crate::store::{EndReason, Epoch, Listed, Outcome, Owner, Owners, Receipt, Stored};
use crate::sync::Mutex;

impl Owners for LembroStore {
    fn epoch(&self, _owner: &Owner) -> Result<Epoch> {
        Ok(self.store.epochs.current())
    }

    fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
        Ok(self.store.list(owner.as_str()))
    }

    fn count(&self, owner: &Owner) -> Result<usize> {
        let store = &*self.store;
        let count = |locked: &LockedShard| locked.shard.read().owned_by(owner.as_str(), store.clock_now()).count();
        Ok(store.shards.iter().map(|locked| count(locked)).sum())
    }

    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        self.store.check_writable()?;
        let outcome = self.store.end_handle(handle, owner, reason);
        self.store.wait_written(handle)?;
        Ok(outcome)
    }

    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        let store = &*self.store;
        store.check_writable()?;
        // A login of this owner locks the gate, too. If it locked the gate earlier, its session is
        // found here. If it locks the gate later, it is checked against the new epoch.
        let _gate = store.gate(owner.as_str()).lock();
        let epoch = store.epochs.bump(owner.as_str());
        store.queue(|| Mutation::Epoch(owner.as_str().into(), epoch));
        let mut sessions = 0;
        for locked in &store.shards {
            let now = store.clock_now();
            // Most shards have none of the owner's sessions, so they are only read-locked.
            let others: Vec<Handle> = (locked.shard.read().owned_by(owner.as_str(), now))
                .map(|record| record.state().handle)
                .filter(|handle| Some(*handle) != except)
                .collect();
            sessions +=
                store.end(locked, &others, Some(owner), EndReason::LoggedOutEverywhere).map_or(0, |(ended, _)| ended);
        }
        store.wait_written("(all of an owner)")?;
        Ok(sessions)
    }

    fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
        Ok(self.store.recent_ends.reason(id))
    }
}

impl ShardedStore {
    pub(super) fn list(&self, owner: &str) -> Vec<Listed> {
        let mut listed = Vec::new();
        for locked in &self.shards {
            let now = self.clock_now();
            let shard = locked.shard.read();
            let sessions = shard
                .owned_by(owner, now)
                .map(|record| Listed::new(record.state().handle, Stored::new(record.clone(), time_left(record, now))));
            listed.extend(sessions);
        }
        listed
    }

    /// The lock that an owner's logins and the end of all the owner's sessions take.
    pub(super) fn gate(&self, owner: &str) -> &Mutex<()> {
        // There are 64 gates, so the remainder fits into `usize`.
        let number = usize::try_from(self.hasher.hash_one(owner) % self.gates.len() as u64).unwrap_or(0);
        &self.gates[number]
    }

    /// Ends one session, without waiting until the journal has the end.
    pub(super) fn end_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Outcome {
        let (locked, _) = self.locate(handle);
        match self.end(locked, &[handle], owner, reason) {
            None => Outcome::Gone,
            Some((_, last)) => Outcome::Done(last),
        }
    }

    /// Ends the sessions with these handles, all of one shard, if they are live and belong to
    /// `owner` (if given). Locks the shard for a batch at a time. Returns the number of ended
    /// sessions and the receipt of the last one, or `None` if no session ended.
    fn end(
        &self,
        locked: &LockedShard,
        handles: &[Handle],
        owner: Option<&Owner>,
        reason: EndReason,
    ) -> Option<(usize, Receipt)> {
        let is_theirs = |row: &Record| owner.is_none_or(|owner| row.owner() == Some(owner.as_str()));
        let (mut ended, mut last) = (0, None);
        for batch in handles.chunks(BATCH) {
            let mut removed = Removed::new();
            let now = self.clock_now();
            let mut shard = locked.shard.write();
            for handle in batch {
                let (_, hash) = self.locate(*handle);
                if shard.live(hash, *handle, now).is_some_and(is_theirs) {
                    shard.remove(hash, *handle, RemovalCause::Destroyed, &mut removed);
                }
            }
            self.queue_ends(&removed);
            drop(shard);
            ended += removed.len();
            last = removed.last().map(|(row, _)| Receipt::ended(row.version())).or(last);
            let secrets = || removed.iter().flat_map(|(row, _)| valid_secrets(row));
            secrets().for_each(|(handle, secret)| self.queue(|| Mutation::Reason(handle, secret.digest(), reason)));
            self.recent_ends.add(secrets(), reason);
            self.report_removed(locked, removed);
        }
        last.map(|last| (ended, last))
    }
}

/// The secrets that open a row: the current one, and the second one if it is part of a timed
/// renewal.
fn valid_secrets(row: &Record) -> impl Iterator<Item = (Handle, SecretCheck)> {
    let (handle, current) = (row.state().handle, row.state().secret());
    let other = match row.second() {
        Some(SecondSecret::Pending { digest, .. } | SecondSecret::Previous { digest, .. }) => Some(digest),
        Some(SecondSecret::Superseded { .. }) | None => None,
    };
    [Some(current), other.map(SecretCheck::Digest)].into_iter().flatten().map(move |secret| (handle, secret))
}
