//! Actions: works out the next row of a session without a lock, from the stored row, and swaps it
//! in if that row is still stored.

use super::{Cell, Shards};
use crate::error::{Error, Result};
use crate::id::{SecretCheck, SessionId};
use crate::memory::persist::Mutation;
use crate::memory::shard::{InsertOutcome, RemovalCause, Removed, Shard};
use crate::memory::stats::count;
use crate::memory::weight::weight;
use crate::record::Record;
use crate::store::{self, Action, Edit, EndReason, Epoch, Expect, Identity, Lease, Login, Nonces, Now, Outcome};
use crate::sync::Ordering;

/// How often a row is worked out without the lock before it is worked out under it. Each lost race
/// means that another request succeeded.
const OPTIMISTIC_ATTEMPTS: usize = 8;

impl Shards {
    pub(in crate::memory) fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let outcome = match action {
            Action::Touch(_) => {
                let outcome = self.touch(id, action, lease)?;
                self.settle_later();
                return Ok(outcome);
            }
            Action::End(_) => self.check_files().and_then(|()| self.end_session(id, action))?,
            Action::Commit(_) | Action::Put(..) => {
                self.check_files().map_err(|error| unknown_again(error, id, action))?;
                let login = action.login();
                let _gate = login.map(|login| self.gate(login.owner.as_str()).lock());
                self.put(id, action, lease, login)?
            }
        };
        // The end of a session that is gone, too: what ended it must be written.
        if matches!(outcome, Outcome::Done(_) | Outcome::Gone) {
            self.settle(id.handle())?;
        }
        Ok(outcome)
    }

    fn touch(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let (cell, hash) = self.cell(id.handle());
        let now = Now::of(&self.clock);
        let shard = cell.shard.read();
        let row = shard.by_handle(hash, id.handle());
        let (outcome, edit) = store::apply(row, &Nonces::NONE, id, action, lease, now, None)?;
        if let (Edit::Deadline(deadline), Some(row)) = (edit, row) {
            self.prolong(&shard, row, deadline);
            count(&cell.counters.touched);
        }
        Ok(outcome)
    }

    fn end_session(&self, id: &SessionId, action: &Action<'_>) -> Result<Outcome> {
        let (cell, hash) = self.cell(id.handle());
        let now = Now { clock: self.clock_now(), calendar_ms: 0 };
        let mut removed = Removed::new();
        let mut shard = cell.shard.write();
        let row = shard.by_handle(hash, id.handle());
        let (outcome, edit) = store::apply(row, &Nonces::NONE, id, action, &Lease::UNLIMITED, now, None)?;
        if matches!(edit, Edit::Remove) {
            shard.remove(hash, id.handle(), RemovalCause::Destroyed, &mut removed);
        }
        self.note_ends(&removed);
        drop(shard);
        self.release(cell, removed);
        Ok(outcome)
    }

    /// Carries out an action that may store a row. For a login, the caller holds the owner's gate.
    fn put(&self, id: &SessionId, action: &Action<'_>, lease: &Lease, login: Option<&Login>) -> Result<Outcome> {
        let (cell, hash) = self.cell(id.handle());
        let epoch = login.map(|login| self.epochs.of(login.owner.as_str()));
        let is_creation = !matches!(action, Action::Commit(commit) if commit.expect() != Expect::Absent);
        for attempt in 0.. {
            let mut removed = Removed::new();
            // After these attempts the lock is held from here on, so no other request can come
            // first.
            let mut held = (attempt >= OPTIMISTIC_ATTEMPTS && login.is_none()).then(|| cell.shard.write());
            let now = self.login_time(login);
            let live = |shard: &Shard| shard.live(hash, id.handle(), now.clock).cloned();
            let current = held.as_ref().map_or_else(|| live(&cell.shard.read()), |shard| live(shard));
            let (outcome, next) = match self.next(cell, current.as_ref(), id, action, lease, now, epoch)? {
                (outcome, Edit::Put(next)) => (outcome, Some(next)),
                (outcome, Edit::Remove) => (outcome, None),
                (outcome, _) => return Ok(outcome),
            };
            if let Some(login) = login
                && !self.make_room_for(login, id)
            {
                return Ok(Outcome::AtLimit);
            }
            let is_put = next.is_some();
            let change = self.persist.as_ref().and_then(|_| next.clone());
            let mut shard = held.take().unwrap_or_else(|| cell.shard.write());
            let done = shard.swap(hash, id.handle(), current.as_ref(), next, now.clock, &mut removed);
            // The ends first: otherwise a replay finds the shard full and evicts others.
            self.note_ends(&removed);
            if let (InsertOutcome::Done, Some(persist), Some(row)) = (done, &self.persist, change) {
                persist.queue(Mutation::Put(row));
            }
            drop(shard);
            self.release(cell, removed);
            match done {
                InsertOutcome::Done => {
                    if is_put {
                        count(if is_creation { &cell.counters.created } else { &cell.counters.saved });
                    }
                    return Ok(outcome);
                }
                InsertOutcome::Refused => return Err(self.turn_away(cell, id.handle())),
                InsertOutcome::Overtaken => {}
            }
        }
        Err(Error::contention(id.handle(), u32::MAX))
    }

    /// Asks the rule, and refuses a row that is too large.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "the rule's, and where to count")]
    fn next(
        &self,
        cell: &Cell,
        row: Option<&Record>,
        id: &SessionId,
        action: &Action<'_>,
        lease: &Lease,
        now: Now,
        epoch: Option<Epoch>,
    ) -> Result<(Outcome, Edit)> {
        let decide = |action: &Action<'_>| store::apply(row, &Nonces::NONE, id, action, lease, now, epoch);
        let mut decided = decide(action)?;
        if let (Edit::Put(next), Action::Commit(commit)) = (&decided.1, action)
            && matches!(commit.identity, Identity::Renew(_))
            && weight(next) > self.max_session_size
        {
            // The policy asks for a timed renewal, not the request. If the commit fits without it,
            // the renewal waits.
            let kept = (*commit).clone().with_identity(Identity::Keep);
            decided = decide(&Action::Commit(&kept))?;
        }
        if let Edit::Put(next) = &decided.1 {
            self.check_size(cell, next)?;
        }
        Ok(decided)
    }

    /// The instant of an action. For a login under a limit it is later than all other logins of the
    /// owner, even if the calendar was set back; otherwise the next login would end this session as
    /// the oldest.
    fn login_time(&self, login: Option<&Login>) -> Now {
        let now = Now::of(&self.clock);
        let Some(login) = login.filter(|login| login.limit.is_some()) else { return now };
        let sessions = self.list(login.owner.as_str());
        let since = sessions.iter().filter_map(|session| Some(session.stored.record.head().owner?.since_ms));
        Now {
            calendar_ms: since.max().map_or(now.calendar_ms, |latest| now.calendar_ms.max(latest.saturating_add(1))),
            ..now
        }
    }

    /// Ends sessions of a login's owner until one more is within the limit. `false`: the limit
    /// refuses the login. The owner's gate is held, so no other login comes in between.
    ///
    /// The surplus ends before the login, so that the owner never has more sessions than the limit
    /// allows. If the session to log in is destroyed or evicted in between, the surplus has ended
    /// all the same.
    fn make_room_for(&self, login: &Login, id: &SessionId) -> bool {
        let Some(limit) = login.limit else { return true };
        let Some(surplus) = limit.surplus(self.list(login.owner.as_str()), id.handle()) else { return false };
        for handle in surplus {
            let _ended = self.destroy_handle(handle, Some(&login.owner), EndReason::Limit);
        }
        true
    }

    /// Stores the row of a look that changed the secrets of a session. If another request changed
    /// the session since it was read, or the row is too large, nothing is written, and the next
    /// visit tries again.
    #[cold]
    ///
    /// `change`: what to queue for the journal.
    pub(super) fn reseat(
        &self,
        cell: &Cell,
        hash: u64,
        current: &Record,
        next: Record,
        now: Now,
        change: Option<fn(Record) -> Mutation>,
    ) {
        if weight(&next) > self.max_session_size {
            return;
        }
        let (handle, mut removed) = (next.state().handle, Removed::new());
        let mut shard = cell.shard.write();
        // A touch takes only the read lock, so it may have moved the deadline after the row was
        // read.
        next.state().deadline.store(current.state().deadline.load(Ordering::Relaxed), Ordering::Relaxed);
        let done = shard.swap(hash, handle, Some(current), Some(next.clone()), now.clock, &mut removed);
        self.note_ends(&removed);
        if let (InsertOutcome::Done, Some(persist), Some(change)) = (done, &self.persist, change) {
            persist.queue(change(next));
        }
        drop(shard);
        self.release(cell, removed);
    }

    /// Notes the secret of a session that was read from a file and has been opened by its id. From
    /// then on the store compares secrets, not digests.
    #[cold]
    pub(super) fn learn(&self, id: &SessionId, restored: &Record, now: Now) {
        if restored.state().is_opened_by(id) {
            let known = restored.clone().with_state(|state| state.set_secret(SecretCheck::of(id)));
            let (cell, hash) = self.cell(id.handle());
            // Nothing that the files have changes.
            self.reseat(cell, hash, restored, known, now, None);
        }
    }
}

/// The error for a commit that was sent before and may be in memory.
fn unknown_again(error: Error, id: &SessionId, action: &Action<'_>) -> Error {
    match action {
        Action::Commit(commit) if commit.is_repeated => Error::unknown(id.handle()).caused_by(error),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::memory::LembroOptions;
    use crate::store::{Commit, Look};

    // From outside, this race is lost too seldom to be tested.
    #[test]
    fn learning_a_secret_overwrites_no_commit_and_brings_no_session_back() {
        let shards = Shards::new(&LembroOptions::new().resolve().unwrap());
        let (id, lease) = (SessionId::random().unwrap(), Lease::new(Duration::from_secs(3600)));
        let now = Now::of(&shards.clock);
        let apply = |commit: Commit| shards.apply(&id, &Action::Commit(&commit), &lease).unwrap();
        let read = || shards.look(&id, Look::Peek, &lease).found().map(|stored| stored.record);
        assert!(apply(Commit::create().unwrap()).is_done());
        let restored = read().unwrap();
        let mut commit = Commit::exactly(restored.version()).unwrap();
        commit.changes.insert("", "user", "ada").unwrap();
        assert!(apply(commit).is_done());
        shards.learn(&id, &restored, now);
        assert_eq!(read().unwrap().get_str("user").unwrap().as_deref(), Some("ada"));

        let restored = read().unwrap();
        assert!(shards.apply(&id, &Action::End(None), &lease).unwrap().is_done());
        shards.learn(&id, &restored, now);
        assert!(read().is_none());
        shards.validate().unwrap();
    }
}
