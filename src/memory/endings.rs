//! The memory of ended sessions: the epoch of each owner's last "log out everywhere", and why the
//! last sessions were ended.

use std::collections::{HashMap, VecDeque};

use crate::id::{Handle, SecretCheck, SessionId};
use crate::store::{EndReason, Epoch};
use crate::sync::{Mutex, RwLock};

/// How many owners and how many endings are remembered one by one: about 80 KiB each at most.
const OWNERS: usize = 1024;
const ENDINGS: usize = 1024;

/// The epochs of owners, from one counter: an owner's epoch is the number of that owner's last "log
/// out everywhere".
#[derive(Default)]
pub(super) struct Epochs {
    past: RwLock<Past>,
}

#[derive(Default)]
struct Past {
    count: u64,
    ended: HashMap<Box<str>, u64>,
    /// The epoch of owners that are not remembered. One that is too high refuses a login under way,
    /// which is safe.
    others: u64,
}

impl Past {
    fn note(&mut self, owner: &str, epoch: u64) {
        if self.ended.len() >= OWNERS && !self.ended.contains_key(owner) {
            self.ended.clear();
            self.others = self.count;
        }
        self.ended.insert(owner.into(), epoch);
    }
}

impl Epochs {
    /// The epoch that a login begins in, for every owner.
    pub(super) fn current(&self) -> Epoch {
        Epoch::from_u64(self.past.read().count)
    }

    /// Continues from the epoch in a file. A login that began before the restart, and whose owner
    /// logged out everywhere after that, is then still refused.
    pub(super) fn resume(&self, epoch: u64) {
        let mut past = self.past.write();
        let epoch = epoch.max(past.count);
        (past.count, past.others) = (epoch, epoch);
        past.ended.clear();
    }

    /// The same for the owners that are not remembered, if all others are.
    pub(super) fn resume_others(&self, epoch: u64) {
        let mut past = self.past.write();
        past.others = epoch.min(past.count);
    }

    /// The same for one owner.
    pub(super) fn resume_end(&self, owner: &str, epoch: u64) {
        let mut past = self.past.write();
        past.count = past.count.max(epoch);
        past.note(owner, epoch);
    }

    /// The epoch of owners that are not remembered, and those of the others.
    pub(super) fn known(&self) -> (u64, Vec<(Box<str>, u64)>) {
        let past = self.past.read();
        (past.others, past.ended.iter().map(|(owner, epoch)| (owner.clone(), *epoch)).collect())
    }

    /// Begins a new epoch for an owner. Runs before the owner's sessions are ended, so that a login
    /// is either refused or found.
    pub(super) fn end(&self, owner: &str) -> u64 {
        let mut past = self.past.write();
        past.count += 1;
        let count = past.count;
        past.note(owner, count);
        count
    }

    /// The epoch of an owner: a login that began in an earlier one is revoked.
    pub(super) fn of(&self, owner: &str) -> Epoch {
        let past = self.past.read();
        Epoch::from_u64(past.ended.get(owner).copied().unwrap_or(past.others))
    }
}

/// Why the last sessions were ended.
#[derive(Default)]
pub(super) struct Endings {
    last: Mutex<VecDeque<(Handle, SecretCheck, EndReason)>>,
}

impl Endings {
    pub(super) fn note(&self, ended: impl IntoIterator<Item = (Handle, SecretCheck)>, reason: EndReason) {
        let mut last = self.last.lock();
        for (handle, secret) in ended {
            if last.len() == ENDINGS {
                last.pop_front();
            }
            last.push_back((handle, secret, reason));
        }
    }

    /// All of them, oldest first.
    pub(super) fn all(&self) -> Vec<(Handle, SecretCheck, EndReason)> {
        self.last.lock().iter().copied().collect()
    }

    pub(super) fn why(&self, id: &SessionId) -> Option<EndReason> {
        // The handle finds, the secret proves.
        let last = self.last.lock();
        let named = last.iter().rev().find(|(handle, secret, _)| *handle == id.handle() && secret.matches(id));
        named.map(|(_, _, reason)| *reason)
    }
}
