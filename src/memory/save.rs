//! Saving: the optimistic commit of a session's next row.
//!
//! The next row is computed from the stored row without a lock. It replaces the stored row only if
//! no other request has replaced that row in between.

use super::persist::encoding::Mutation;
use super::queue::charge;
use super::routing::{LockedShard, ShardedStore};
use super::shard::{InsertOutcome, RemovalCause, Removed, Shard};
use super::stats::count;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::{Action, Edit, EndReason, Epoch, Expect, Identity, Lease, Login, Nonces, Now, Outcome};

/// How many times a row is computed without the lock. After that, it is computed under the lock,
/// except for a login. Each lost race means that another request succeeded.
const OPTIMISTIC_ATTEMPTS: usize = 8;

impl ShardedStore {
    pub(super) fn touch(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let (locked, hash) = self.locate(id.handle());
        let now = Now::of(&self.clock);
        let shard = locked.shard.read();
        let row = shard.by_handle(hash, id.handle());
        let (outcome, edit) = crate::store::apply(row, &Nonces::NONE, id, action, lease, now, None)?;
        if let (Edit::Deadline(deadline), Some(row)) = (edit, row) {
            self.prolong(&shard, row, deadline);
            count(&locked.counters.touched);
        }
        Ok(outcome)
    }

    pub(super) fn end_session(&self, id: &SessionId, action: &Action<'_>) -> Result<Outcome> {
        let (locked, hash) = self.locate(id.handle());
        let now = Now { clock: self.clock_now(), calendar_ms: 0 };
        let mut removed = Removed::new();
        let mut shard = locked.shard.write();
        let row = shard.by_handle(hash, id.handle());
        let (outcome, edit) = crate::store::apply(row, &Nonces::NONE, id, action, &Lease::UNLIMITED, now, None)?;
        if matches!(edit, Edit::Remove) {
            shard.remove(hash, id.handle(), RemovalCause::Destroyed, &mut removed);
        }
        self.queue_ends(&removed);
        drop(shard);
        self.report_removed(locked, removed);
        Ok(outcome)
    }

    /// Carries out an action that may store a row. For a login, the caller holds the owner's gate.
    pub(super) fn save(
        &self,
        id: &SessionId,
        action: &Action<'_>,
        lease: &Lease,
        login: Option<&Login>,
    ) -> Result<Outcome> {
        let (locked, hash) = self.locate(id.handle());
        let epoch = login.map(|login| self.epochs.of(login.owner.as_str()));
        let is_creation = !matches!(action, Action::Commit(commit) if commit.expect() != Expect::Absent);
        for attempt in 0.. {
            let mut removed = Removed::new();
            // If the lock is held from here on, no other request can win the race.
            let mut held = (attempt >= OPTIMISTIC_ATTEMPTS && login.is_none()).then(|| locked.shard.write());
            let now = self.login_time(login);
            let live = |shard: &Shard| shard.live(hash, id.handle(), now.clock).cloned();
            let current = held.as_ref().map_or_else(|| live(&locked.shard.read()), |shard| live(shard));
            let (outcome, next) = match self.next_row(locked, current.as_ref(), id, action, lease, now, epoch)? {
                (outcome, Edit::Put(next)) => (outcome, Some(next)),
                (outcome, Edit::Remove) => (outcome, None),
                (outcome, _) => return Ok(outcome),
            };
            if let Some(login) = login
                && !self.enforce_limit(login, id)
            {
                return Ok(Outcome::AtLimit);
            }
            let is_put = next.is_some();
            let journalled = self.log.as_ref().and_then(|_| next.clone());
            let mut shard = held.take().unwrap_or_else(|| locked.shard.write());
            let insert = shard.swap(hash, id.handle(), current.as_ref(), next, now.clock, &mut removed);
            // The ends come first. Otherwise a replay would find the shard full and evict others.
            self.queue_ends(&removed);
            if let (InsertOutcome::Done, Some(row)) = (insert, journalled) {
                self.queue(|| Mutation::Put(row));
            }
            drop(shard);
            self.report_removed(locked, removed);
            match insert {
                InsertOutcome::Done => {
                    if is_put {
                        count(if is_creation { &locked.counters.created } else { &locked.counters.saved });
                    }
                    return Ok(outcome);
                }
                InsertOutcome::Refused => {
                    count(&locked.counters.turned_away);
                    self.events.publish(|| Event::TurnedAway { handle: id.handle() });
                    return Err(Error::full());
                }
                InsertOutcome::Conflict => {}
            }
        }
        Err(Error::contention(id.handle(), u32::MAX))
    }

    /// Asks the rule for the next row, and refuses a row that is too large.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "the rule's, and the shard that counts")]
    fn next_row(
        &self,
        locked: &LockedShard,
        row: Option<&Record>,
        id: &SessionId,
        action: &Action<'_>,
        lease: &Lease,
        now: Now,
        epoch: Option<Epoch>,
    ) -> Result<(Outcome, Edit)> {
        let decide = |action: &Action<'_>| crate::store::apply(row, &Nonces::NONE, id, action, lease, now, epoch);
        let mut decided = decide(action)?;
        if let (Edit::Put(next), Action::Commit(commit)) = (&decided.1, action)
            && matches!(commit.identity, Identity::Renew(_))
            && charge(next) > self.max_session_size
        {
            // The timed renewal comes from the policy, not from the request. If the row fits only
            // without it, the renewal waits.
            let without_renewal = (*commit).clone().with_identity(Identity::Keep);
            decided = decide(&Action::Commit(&without_renewal))?;
        }
        if let Edit::Put(next) = &decided.1 {
            self.check_size(locked, next)?;
        }
        Ok(decided)
    }

    /// The instant of an action. For a login under a limit it is later than all other logins of the
    /// owner, even if the calendar was set back. Otherwise the next login would end this session as
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

    /// Ends sessions of a login's owner until one more is within the limit. Returns false if the
    /// limit refuses the login. The caller holds the owner's gate, so no other login interferes.
    ///
    /// The sessions end before the login, so that the owner never has more than the limit allows.
    /// They stay ended even if the session to log in is destroyed or evicted in between.
    fn enforce_limit(&self, login: &Login, id: &SessionId) -> bool {
        let Some(limit) = login.limit else { return true };
        let Some(surplus) = limit.surplus(self.list(login.owner.as_str()), id.handle()) else { return false };
        for handle in surplus {
            let _ended = self.end_handle(handle, Some(&login.owner), EndReason::Limit);
        }
        true
    }
}
