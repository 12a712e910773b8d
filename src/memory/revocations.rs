//! Revocations: the epochs of owners, and the reasons of the last ends of sessions.

use std::collections::{HashMap, VecDeque};

use crate::id::{Handle, SecretCheck, SessionId};
use crate::store::{EndReason, Epoch};
use crate::sync::{Mutex, RwLock};

/// The most owners and ended sessions that are remembered. Each list takes about 80 KiB at most.
const MAX_OWNERS: usize = 1024;
const MAX_ENDS: usize = 1024;

/// The epochs of owners. One counter numbers every "log out everywhere"; an owner's epoch is the
/// number of that owner's last one.
#[derive(Default)]
pub(super) struct Epochs {
    state: RwLock<EpochState>,
}

#[derive(Default)]
struct EpochState {
    counter: u64,
    owners: HashMap<Box<str>, u64>,
    /// The epoch of owners that are not in the map. If this epoch is too high, a login under way is
    /// refused, which is safe.
    others: u64,
}

impl EpochState {
    fn set(&mut self, owner: &str, epoch: u64) {
        if self.owners.len() >= MAX_OWNERS && !self.owners.contains_key(owner) {
            self.owners.clear();
            self.others = self.counter;
        }
        self.owners.insert(owner.into(), epoch);
    }
}

impl Epochs {
    /// The epoch that a login of any owner begins in.
    pub(super) fn current(&self) -> Epoch {
        Epoch::from_u64(self.state.read().counter)
    }

    /// The epoch of an owner. A login that began in an earlier one is revoked.
    pub(super) fn of(&self, owner: &str) -> Epoch {
        let state = self.state.read();
        Epoch::from_u64(state.owners.get(owner).copied().unwrap_or(state.others))
    }

    /// Begins a new epoch for an owner. Runs before the owner's sessions are ended, so a concurrent
    /// login is either refused, or its session is ended too.
    pub(super) fn bump(&self, owner: &str) -> u64 {
        let mut state = self.state.write();
        state.counter += 1;
        let epoch = state.counter;
        state.set(owner, epoch);
        epoch
    }

    /// Continues from the epoch in a file, so that a login from before the restart is still refused
    /// if its owner logged out everywhere after it began.
    pub(super) fn resume(&self, epoch: u64) {
        let mut state = self.state.write();
        let epoch = epoch.max(state.counter);
        (state.counter, state.others) = (epoch, epoch);
        state.owners.clear();
    }

    /// Sets the epoch of the owners that are not in the map, after `resume` set that of all owners.
    pub(super) fn resume_others(&self, epoch: u64) {
        let mut state = self.state.write();
        state.others = epoch.min(state.counter);
    }

    /// Continues from the epoch of one owner in a file.
    pub(super) fn resume_owner(&self, owner: &str, epoch: u64) {
        let mut state = self.state.write();
        state.counter = state.counter.max(epoch);
        state.set(owner, epoch);
    }

    /// The epoch of the owners that are not in the map, and the map.
    pub(super) fn all(&self) -> (u64, Vec<(Box<str>, u64)>) {
        let state = self.state.read();
        (state.others, state.owners.iter().map(|(owner, epoch)| (owner.clone(), *epoch)).collect())
    }
}

/// The last sessions that were ended, with the reason.
#[derive(Default)]
pub(super) struct RecentEnds {
    ends: Mutex<VecDeque<(Handle, SecretCheck, EndReason)>>,
}

impl RecentEnds {
    pub(super) fn add(&self, ended: impl IntoIterator<Item = (Handle, SecretCheck)>, reason: EndReason) {
        let mut ends = self.ends.lock();
        for (handle, secret) in ended {
            if ends.len() == MAX_ENDS {
                ends.pop_front();
            }
            ends.push_back((handle, secret, reason));
        }
    }

    /// The ended sessions that are remembered, oldest first.
    pub(super) fn all(&self) -> Vec<(Handle, SecretCheck, EndReason)> {
        self.ends.lock().iter().copied().collect()
    }

    /// Why the session of an id was ended. The secret must match, not only the handle.
    pub(super) fn reason(&self, id: &SessionId) -> Option<EndReason> {
        let ends = self.ends.lock();
        let end = ends.iter().rev().find(|(handle, secret, _)| *handle == id.handle() && secret.matches(id));
        end.map(|(_, _, reason)| *reason)
    }
}
