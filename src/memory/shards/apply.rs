//! Carries out actions: the next row of a session is worked out without a lock, from the row that is
//! stored, and takes its place if that is still the same one.

use super::{Cell, Shards};
use crate::error::{Error, Result};
use crate::id::{SecretCheck, SessionId};
use crate::memory::shard::{InsertOutcome, RemovalCause, Removed, Shard};
use crate::memory::stats::count;
use crate::memory::weight::weight;
use crate::record::Record;
use crate::store::{self, Action, Edit, EndReason, Epoch, Expect, Identity, Lease, Login, Nonces, Now, Outcome};
use crate::sync::Ordering;

/// How often a row is worked out without the lock before it is worked out under it. Each defeat
/// means that another request succeeded.
const OPTIMISTIC_ATTEMPTS: usize = 8;

impl Shards {
    pub(in crate::memory) fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        match action {
            Action::Touch(_) => self.touch(id, action, lease),
            Action::End(_) => self.end_session(id, action),
            Action::Commit(_) | Action::Put(..) => match action.login() {
                None => self.put(id, action, lease, None),
                Some(login) => {
                    let _gate = self.gate(login.owner.as_str()).lock();
                    self.put(id, action, lease, Some(login))
                }
            },
        }
    }

    fn touch(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let (cell, hash) = self.cell(id.handle());
        let now = Now::of(&self.clock);
        let shard = cell.shard.read();
        let row = shard.by_handle(hash, id.handle());
        let (outcome, edit) = store::apply(row, &Nonces::NONE, id, action, lease, now, None)?;
        if let (Edit::Deadline(deadline), Some(row)) = (edit, row) {
            shard.touch(row, deadline);
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
        drop(shard);
        self.release(cell, removed);
        Ok(outcome)
    }

    /// Carries out an action that may store a row. A login holds its owner's gate.
    fn put(&self, id: &SessionId, action: &Action<'_>, lease: &Lease, login: Option<&Login>) -> Result<Outcome> {
        let (cell, hash) = self.cell(id.handle());
        let epoch = login.map(|login| self.epochs.of(login.owner.as_str()));
        let is_creation = !matches!(action, Action::Commit(commit) if commit.expect() != Expect::Absent);
        for attempt in 0.. {
            let mut removed = Removed::new();
            // The last resort keeps the lock from here on, so it cannot be overtaken again.
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
            let mut shard = held.take().unwrap_or_else(|| cell.shard.write());
            let done = shard.swap(hash, id.handle(), current.as_ref(), next, now.clock, &mut removed);
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

    /// What the rule says, unless the row that it wants stored is too large.
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
        let (outcome, edit) = store::apply(row, &Nonces::NONE, id, action, lease, now, epoch)?;
        let Edit::Put(next) = &edit else { return Ok((outcome, edit)) };
        if let Action::Commit(commit) = action
            && matches!(commit.identity, Identity::Renew(_))
            && weight(next) > self.max_session_size
        {
            // A timed renewal is the policy's wish. A commit that has room without it is not refused for it.
            let kept = (*commit).clone().identity(Identity::Keep);
            return self.next(cell, row, id, &Action::Commit(&kept), lease, now, epoch);
        }
        self.check_size(cell, next)?;
        Ok((outcome, edit))
    }

    /// Now; for a login under a limit later than all other logins of its owner, even if the calendar
    /// was set back: or the next login would end this session as the oldest.
    fn login_time(&self, login: Option<&Login>) -> Now {
        let now = Now::of(&self.clock);
        let Some(login) = login.filter(|login| login.limit.is_some()) else { return now };
        let sessions = self.list(login.owner.as_str());
        let since = sessions.iter().filter_map(|session| Some(session.stored.record.head().owner?.since_ms));
        Now { calendar_ms: since.max().map_or(now.calendar_ms, |latest| now.calendar_ms.max(latest + 1)), ..now }
    }

    /// Ends sessions of a login's owner until one more is within the limit. `false`: the limit
    /// refuses the login. Under the owner's gate, so no other login comes in between.
    ///
    /// Before the login, so that there are never more than the limit allows. If the session to log in
    /// is ended or evicted at this very moment, those others have ended all the same.
    fn make_room_for(&self, login: &Login, id: &SessionId) -> bool {
        let Some(limit) = login.limit else { return true };
        let Some(surplus) = limit.surplus(self.list(login.owner.as_str()), id.handle()) else { return false };
        for handle in surplus {
            let _ended = self.destroy_handle(handle, Some(&login.owner), EndReason::Limit);
        }
        true
    }

    /// A look changed the secrets of a session. If another request changed the session since it was
    /// read, or there is no room for what is noted about a new id, the next visit will do.
    #[cold]
    pub(super) fn reseat(&self, cell: &Cell, hash: u64, current: &Record, next: Record, now: Now) {
        if weight(&next) > self.max_session_size {
            return;
        }
        let (handle, mut removed) = (next.state().handle, Removed::new());
        let mut shard = cell.shard.write();
        // A touch takes the read lock only: it may have come after the row was read.
        next.state().deadline.store(current.state().deadline.load(Ordering::Relaxed), Ordering::Relaxed);
        let (InsertOutcome::Done | InsertOutcome::Overtaken | InsertOutcome::Refused) =
            shard.swap(hash, handle, Some(current), Some(next), now.clock, &mut removed);
        drop(shard);
        self.release(cell, removed);
    }

    /// A session that was restored from a file has been opened by its id: from now on the id is
    /// compared with its secret, not with a digest.
    #[cold]
    pub(super) fn learn(&self, id: &SessionId, restored: &Record, now: Now) {
        if restored.state().is_opened_by(id) {
            let known = restored.clone().with_state(|state| state.set_secret(SecretCheck::of(id)));
            let (cell, hash) = self.cell(id.handle());
            self.reseat(cell, hash, restored, known, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::memory::LembroOptions;
    use crate::store::{Commit, Look};

    // From outside this is a race that is lost once in a blue moon.
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
        assert_eq!(read().unwrap().get::<&str>("user").unwrap(), Some("ada"));

        let restored = read().unwrap();
        assert!(shards.apply(&id, &Action::End(None), &lease).unwrap().is_done());
        shards.learn(&id, &restored, now);
        assert!(read().is_none());
        shards.validate().unwrap();
    }
}
