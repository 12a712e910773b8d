//! Replay: restores a snapshot's sessions into a new store, and carries out the journals' changes.

use std::collections::HashMap;

use super::encoding::{ClockAnchor, MAX_COUNT, MutationRef, read_record};
use crate::id::{Handle, SecretCheck};
use crate::memory::queue::charge;
use crate::memory::routing::ShardedStore;
use crate::memory::shard::copy::RestoredEntry;
use crate::memory::shard::{InsertOutcome, RemovalCause, Removed, count_evicted};
use crate::memory::stats::{add, count};
use crate::record::{Class, Record, Version};
use crate::store::is_expired;
use crate::sync::Ordering;

/// The sessions of a snapshot that can fit into the store. The pool keeps the newest visited and
/// the newest unvisited sessions of each queue. So reading a large file takes no more memory than a
/// few times `max_size`.
pub(super) struct RestorePool {
    pub(super) sessions: Vec<RestoredEntry>,
    bytes: usize,
    max_size: usize,
    pub(super) evicted: usize,
}

impl RestorePool {
    pub(super) fn new(max_size: usize) -> Self {
        Self { sessions: Vec::new(), bytes: 0, max_size, evicted: 0 }
    }

    pub(super) fn add(&mut self, session: RestoredEntry) {
        self.bytes += charge(&session.record);
        self.sessions.push(session);
        if self.bytes / 10 > self.max_size {
            self.prune();
        }
    }

    #[cold]
    fn prune(&mut self) {
        // The shards do not fill evenly, so a quarter more than `max_size` is kept of each kind.
        let room = self.max_size + self.max_size / 4;
        let mut taken = [0; 2 * Class::ALL.len()];
        self.sessions.sort_by_key(|session| std::cmp::Reverse(session.age));
        let before = self.sessions.len();
        self.sessions.retain(|session| {
            let (state, bytes) = (session.record.state(), charge(&session.record));
            let kind = 2 * state.class() as usize + usize::from(state.visited.load(Ordering::Relaxed));
            taken[kind] += bytes;
            taken[kind] <= room
        });
        self.evicted += before - self.sessions.len();
        self.bytes = self.sessions.iter().map(|session| charge(&session.record)).sum();
    }
}

/// The deadline of each session's last touch since its last commit. A session whose stored deadline
/// has passed is live if such a touch prolonged it.
pub(super) struct LastTouches {
    /// The calendar time at which the files are read. A touch with an earlier deadline prolongs no
    /// session.
    now: u64,
    deadlines: HashMap<u64, u64>,
}

impl LastTouches {
    pub(super) fn new(now: u64) -> Self {
        Self { now, deadlines: HashMap::new() }
    }

    /// Collects the touches of one frame of a journal.
    pub(super) fn frame(&mut self, mut entries: &[u8]) {
        while let Some(change) = MutationRef::read(&mut entries) {
            match change {
                MutationRef::Touch(handle, _, deadline) if deadline > self.now => {
                    self.deadlines.insert(handle.to_u64(), deadline);
                }
                MutationRef::Put(handle, _) | MutationRef::End(handle, _) | MutationRef::Touch(handle, ..) => {
                    self.deadlines.remove(&handle.to_u64());
                }
                MutationRef::Epoch(..) | MutationRef::OtherEpochs(_) | MutationRef::Reason(..) => {}
            }
        }
    }

    /// Returns true if a session from a file is live. If only a touch keeps the session live, this
    /// stores the touch's deadline in the session.
    pub(super) fn prolong(&self, record: &Record, anchor: ClockAnchor) -> bool {
        let state = record.state();
        if let Some(deadline) = self.deadlines.get(&state.handle.to_u64()).filter(|_| is_expired(record, anchor.clock))
        {
            state.deadline.store(anchor.on_clock(*deadline), Ordering::Relaxed);
        }
        !is_expired(record, anchor.clock)
    }
}

/// A restore of files into a new store, with its counts.
pub(super) struct Replay<'a> {
    store: &'a ShardedStore,
    anchor: ClockAnchor,
    touches: &'a LastTouches,
    pub(super) changes: u64,
    pub(super) evicted: usize,
    pub(super) refused: usize,
    /// False if a journal had bytes that are not a change.
    pub(super) is_sound: bool,
}

impl<'a> Replay<'a> {
    /// Gives each shard twice its budget while the files are read. The first journal to replay
    /// begins before the snapshot was taken. So the replay can store sessions that had ended by
    /// then, and removes them when it reads their ends. Until then, they must not evict later
    /// sessions.
    pub(super) fn begin(store: &'a ShardedStore, anchor: ClockAnchor, touches: &'a LastTouches) -> Self {
        store.shards.iter().for_each(|locked| locked.shard.write().set_budget(2 * store.limits.budget));
        Self { store, anchor, touches, changes: 0, evicted: 0, refused: 0, is_sound: true }
    }

    /// Restores the sessions of a snapshot, oldest first. If the store gets full, the newest stay.
    pub(super) fn restore(&mut self, pool: RestorePool) {
        let RestorePool { mut sessions, evicted, .. } = pool;
        self.evicted += evicted;
        if let Some(locked) = self.store.shards.first() {
            add(&locked.counters.evicted, evicted);
        }
        sessions.sort_by_key(|session| session.age);
        let now = self.store.clock_now();
        for RestoredEntry { record, .. } in sessions {
            let (locked, hash) = self.store.locate(record.state().handle);
            let mut removed = Removed::new();
            let outcome = if charge(&record) <= self.store.max_session_size {
                locked.shard.write().restore(hash, record, now, &mut removed)
            } else {
                InsertOutcome::Conflict
            };
            self.evicted += count_evicted(&removed);
            match outcome {
                InsertOutcome::Done => {}
                // There is no room for this session, so it counts as evicted.
                InsertOutcome::Refused => {
                    count(&locked.counters.evicted);
                    self.evicted += 1;
                }
                InsertOutcome::Conflict => {
                    count(&locked.counters.refused);
                    self.refused += 1;
                }
            }
            self.store.report_removed(locked, removed);
        }
    }

    /// Carries out the changes of one frame.
    pub(super) fn frame(&mut self, mut entries: &[u8]) {
        while !entries.is_empty() {
            let Some(()) = self.change(&mut entries) else {
                self.is_sound = false;
                return;
            };
        }
    }

    fn change(&mut self, entries: &mut &[u8]) -> Option<()> {
        let (store, anchor) = (self.store, self.anchor);
        let change = MutationRef::read(entries)?;
        let is_of_session = matches!(change, MutationRef::Put(..) | MutationRef::End(..) | MutationRef::Touch(..));
        self.changes += u64::from(is_of_session);
        match change {
            MutationRef::Put(handle, row) => {
                let record = read_record(row, handle, anchor)?;
                let is_live = self.touches.prolong(&record, anchor);
                self.put(handle, Some(record).filter(|_| is_live));
            }
            MutationRef::End(handle, version) => self.end(handle, version),
            MutationRef::Touch(handle, version, deadline) => self.touch(handle, version, anchor.on_clock(deadline)),
            MutationRef::Epoch(_, epoch) | MutationRef::OtherEpochs(epoch) if epoch > MAX_COUNT => return None,
            MutationRef::Epoch(owner, epoch) => store.epochs.resume_owner(owner, epoch),
            MutationRef::OtherEpochs(epoch) => store.epochs.resume_others(epoch),
            MutationRef::Reason(handle, digest, reason) => {
                store.recent_ends.add([(handle, SecretCheck::Digest(digest))], reason);
            }
        }
        Some(())
    }

    /// Carries out a commit. If its row has expired, `row` is `None`.
    fn put(&mut self, handle: Handle, row: Option<Record>) {
        let (locked, hash) = self.store.locate(handle);
        let (now, mut removed) = (self.store.clock_now(), Removed::new());
        let fits = row.as_ref().is_none_or(|row| charge(row) <= self.store.max_session_size);
        if !fits {
            count(&locked.counters.refused);
            self.refused += 1;
        }
        let mut shard = locked.shard.write();
        let current = shard.by_handle(hash, handle).cloned();
        let outcome = shard.swap(hash, handle, current.as_ref(), row.filter(|_| fits), now, &mut removed);
        if outcome == InsertOutcome::Refused {
            // The refused row was acknowledged, so the current row is out of date.
            shard.remove(hash, handle, RemovalCause::Evicted, &mut removed);
        }
        drop(shard);
        // If the refused row belongs to a new session, `removed` does not contain it.
        let evicted = count_evicted(&removed).max(usize::from(outcome == InsertOutcome::Refused));
        self.evicted += evicted;
        add(&locked.counters.evicted, evicted);
    }

    /// Removes a session, if the stored row is of the incarnation that ended.
    fn end(&self, handle: Handle, version: Version) {
        let (locked, hash) = self.store.locate(handle);
        let mut removed = Removed::new();
        let mut shard = locked.shard.write();
        if shard.by_handle(hash, handle).is_some_and(|row| row.version().is_same_incarnation(version)) {
            shard.remove(hash, handle, RemovalCause::Destroyed, &mut removed);
        }
    }

    /// Prolongs a session, if the stored row is of the incarnation that was touched.
    fn touch(&self, handle: Handle, version: Version, deadline: u64) {
        let (locked, hash) = self.store.locate(handle);
        let shard = locked.shard.read();
        if let Some(row) = shard.by_handle(hash, handle).filter(|row| row.version().is_same_incarnation(version)) {
            shard.touch(row, deadline);
        }
    }

    /// Gives each shard its own budget, and evicts the surplus.
    pub(super) fn end_restore(&mut self) {
        for locked in &self.store.shards {
            let mut removed = Removed::new();
            let mut shard = locked.shard.write();
            shard.set_budget(self.store.limits.budget);
            shard.evict_surplus(&mut removed);
            drop(shard);
            self.evicted += count_evicted(&removed);
            self.store.report_removed(locked, removed);
        }
    }
}
