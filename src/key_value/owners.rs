//! The sessions of one owner: the owner's entry lists them, each session's own entry decides.

use std::time::Duration;

use super::entries::{OwnerEntry, SessionEntry};
use super::{KeyValue, KeyValueStore};
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::store::{EndReason, Entry, Epoch, Lease, Listed, Look, Outcome, Owner, Owners, Receipt};

/// For how long an epoch is kept at least: longer than a login can take.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl<K: KeyValue> KeyValueStore<K> {
    /// The live sessions among those of an owner's entry.
    pub(super) fn listed(&self, owner: &Owner, entry: &OwnerEntry) -> Result<Vec<Listed>> {
        let now = self.now();
        let listed = |handle: &Handle| {
            let _lock = self.lock_of(*handle).read();
            match self.entry(*handle) {
                Ok(found) => Ok(live(found.as_ref(), Some(owner.as_str())).and_then(|row| row.listed(*handle, now))),
                // What cannot be read opens for no id: it is no session.
                Err(error) if error.is_corrupt() => Ok(None),
                Err(error) => Err(error),
            }
        };
        entry.handles.iter().filter_map(|handle| listed(handle).transpose()).collect()
    }

    /// Ends one live session; with an owner, only if it is that owner's.
    pub(super) fn end(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        let _lock = self.lock_of(handle).write();
        let (now, found) = (self.now(), self.entry(handle));
        if reason == EndReason::Everywhere && found.as_ref().is_err_and(Error::is_corrupt) {
            return self.remove(handle).map(|()| Outcome::Gone);
        }
        let Some(found) = found? else { return Ok(Outcome::Gone) };
        let row = live(Some(&found), owner.map(Owner::as_str));
        let Some(listed) = row.and_then(|row| row.listed(handle, now)) else { return Ok(Outcome::Gone) };
        self.put(handle, &SessionEntry { ended: Some(reason), ..found }, now)?;
        Ok(Outcome::Done(Receipt::ended(listed.stored.record.version())))
    }

    /// Takes handles off an owner's list that lead to none of the owner's sessions, if that is due:
    /// of sessions that ended, and of logins that failed behind the list. The caller writes the
    /// entry. A handle whose entry cannot be read stays.
    pub(super) fn tidy(&self, owner: &str, entry: &mut OwnerEntry) {
        if entry.is_due() {
            entry.tidy(|handle| self.is_worth_listing(*handle, owner).unwrap_or(true));
        }
    }

    /// An expired session leaves the list together with its entry: it cannot come back then,
    /// whatever happens to the calendar.
    fn is_worth_listing(&self, handle: Handle, owner: &str) -> Result<bool> {
        let _lock = self.lock_of(handle).write();
        let found = self.entry(handle)?;
        let Some(row) = live(found.as_ref(), Some(owner)) else { return Ok(false) };
        if row.listed(handle, self.now()).is_some() {
            return Ok(true);
        }
        self.remove(handle).map(|()| false)
    }
}

/// The row of a session that has not been ended, and has this owner.
fn live<'a>(found: Option<&'a SessionEntry>, owner: Option<&str>) -> Option<&'a Entry> {
    found?.live().filter(|row| owner.is_none() || row.record().owner() == owner)
}

impl<K: KeyValue> Owners for KeyValueStore<K> {
    fn epoch(&self, owner: &Owner) -> Result<Epoch> {
        self.owned(owner.as_str(), |entry| Ok(entry.epoch))
    }

    fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
        self.owned(owner.as_str(), |entry| self.listed(owner, entry))
    }

    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        self.end(handle, owner, reason)
    }

    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        self.owned(owner.as_str(), |entry| {
            let now = self.now();
            // The epoch is a time, so that it does not go back when the entry is no longer kept.
            entry.epoch = Epoch::from_u64(now.calendar_ms.max(entry.epoch.to_u64().saturating_add(1)));
            entry.keep_until(now.calendar_ms.saturating_add(DAY.as_secs() * 1000));
            self.put_owner(owner.as_str(), entry, now)?;
            let others = entry.handles.iter().filter(|handle| Some(**handle) != except);
            // One that cannot be ended keeps none of the others.
            let ended: Vec<_> = others.map(|handle| self.end(*handle, Some(owner), EndReason::Everywhere)).collect();
            let ended = ended.into_iter().collect::<Result<Vec<_>>>()?;
            Ok(ended.into_iter().filter(|outcome| outcome.is_done()).count())
        })
    }

    fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
        let _lock = self.lock_of(id.handle()).read();
        let Some(SessionEntry { ended: Some(reason), row, .. }) = self.entry(id.handle())? else { return Ok(None) };
        let (lookup, _) = Entry::look(Some(&row), id, Look::Peek, &Lease::UNLIMITED, self.now());
        Ok(lookup.found().map(|_| reason))
    }
}
