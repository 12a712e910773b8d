//! The way back: sessions of a snapshot that may fit, and the changes of the journals after it.

use std::collections::HashMap;

use super::changes::ReadMutation;
use super::format::{MAX_COUNT, Noon, read_record};
use crate::id::SecretCheck;
use crate::memory::shard::Kept;
use crate::memory::shards::{Replayed, Shards};
use crate::memory::weight::weight;
use crate::record::{Class, Record};
use crate::store::is_expired;
use crate::sync::Ordering;

/// Sessions of a snapshot, as far as they may fit into the store: of each queue the newest ones,
/// visited or not. So a large file takes no more memory than a few times `max_size`.
pub(super) struct Pool {
    pub(super) kept: Vec<Kept>,
    bytes: usize,
    max_size: usize,
    pub(super) evicted: usize,
}

impl Pool {
    pub(super) fn new(max_size: usize) -> Self {
        Self { kept: Vec::new(), bytes: 0, max_size, evicted: 0 }
    }

    pub(super) fn add(&mut self, kept: Kept) {
        self.bytes += weight(&kept.record);
        self.kept.push(kept);
        if self.bytes / 10 > self.max_size {
            self.prune();
        }
    }

    #[cold]
    fn prune(&mut self) {
        // A quarter more than there is room for, because the shards do not fill evenly.
        let room = self.max_size + self.max_size / 4;
        let mut taken = [0; 2 * Class::ALL.len()];
        self.kept.sort_by_key(|kept| std::cmp::Reverse(kept.age));
        let before = self.kept.len();
        self.kept.retain(|kept| {
            let (state, bytes) = (kept.record.state(), weight(&kept.record));
            let group = 2 * state.class() as usize + usize::from(state.visited.load(Ordering::Relaxed));
            taken[group] += bytes;
            taken[group] <= room
        });
        self.evicted += before - self.kept.len();
        self.bytes = self.kept.iter().map(|kept| weight(&kept.record)).sum();
    }
}

/// The last touch of each session since its last commit. A session whose deadline has passed is
/// live if a later touch prolonged it.
pub(super) struct Touches {
    /// When the files are read. Touches that have passed by then prolong nothing.
    wall: u64,
    last: HashMap<u64, u64>,
}

impl Touches {
    pub(super) fn new(wall: u64) -> Self {
        Self { wall, last: HashMap::new() }
    }

    pub(super) fn frame(&mut self, mut entries: &[u8]) {
        while let Some(change) = ReadMutation::read(&mut entries) {
            match change {
                ReadMutation::Touch(handle, _, deadline) if deadline > self.wall => {
                    self.last.insert(handle.to_u64(), deadline);
                }
                ReadMutation::Put(handle, _) | ReadMutation::End(handle, _) | ReadMutation::Touch(handle, ..) => {
                    self.last.remove(&handle.to_u64());
                }
                ReadMutation::Epoch(..) | ReadMutation::Others(_) | ReadMutation::Why(..) => {}
            }
        }
    }

    /// Returns true if a session that was read is live. If it is so by a touch, it gets the touch's
    /// deadline.
    pub(super) fn keep(&self, record: &Record, noon: Noon) -> bool {
        let state = record.state();
        if let Some(deadline) = self.last.get(&state.handle.to_u64()).filter(|_| is_expired(record, noon.now)) {
            state.deadline.store(noon.on_clock(*deadline), Ordering::Relaxed);
        }
        !is_expired(record, noon.now)
    }
}

/// Carries out the changes of journals on a new store.
pub(super) struct Replay<'a> {
    shards: &'a Shards,
    noon: Noon,
    touches: &'a Touches,
    pub(super) done: Replayed,
    /// False: there was something that is no change.
    pub(super) is_sound: bool,
}

impl<'a> Replay<'a> {
    pub(super) fn new(shards: &'a Shards, noon: Noon, touches: &'a Touches) -> Self {
        Self { shards, noon, touches, done: Replayed::default(), is_sound: true }
    }

    pub(super) fn frame(&mut self, mut entries: &[u8]) {
        while !entries.is_empty() {
            let Some(()) = self.change(&mut entries) else {
                self.is_sound = false;
                return;
            };
        }
    }

    fn change(&mut self, entries: &mut &[u8]) -> Option<()> {
        let (shards, noon) = (self.shards, self.noon);
        let change = ReadMutation::read(entries)?;
        let is_of_session = matches!(change, ReadMutation::Put(..) | ReadMutation::End(..) | ReadMutation::Touch(..));
        self.done.changes += u64::from(is_of_session);
        match change {
            ReadMutation::Put(handle, row) => {
                let record = read_record(row, handle, noon)?;
                let is_live = self.touches.keep(&record, noon);
                shards.replay_put(handle, Some(record).filter(|_| is_live), &mut self.done);
            }
            ReadMutation::End(handle, version) => shards.replay_end(handle, version),
            ReadMutation::Touch(handle, version, deadline) => {
                shards.replay_touch(handle, version, noon.on_clock(deadline));
            }
            ReadMutation::Epoch(_, epoch) | ReadMutation::Others(epoch) if epoch > MAX_COUNT => return None,
            ReadMutation::Epoch(owner, epoch) => shards.epochs.resume_end(owner, epoch),
            ReadMutation::Others(epoch) => shards.epochs.resume_others(epoch),
            ReadMutation::Why(handle, digest, reason) => {
                shards.endings.note([(handle, SecretCheck::Digest(digest))], reason);
            }
        }
        Some(())
    }
}
