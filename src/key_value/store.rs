//! The store on a backend of three methods. It calls the rule between a `get` and a `set`.
//!
//! Each session and each owner belongs to a stripe, which has one lock. A thread holds at most one
//! owner's lock and one session's lock, and takes the owner's first.

use std::fmt;
use std::time::Duration;

use super::backend::KeyValue;
use super::entries::{OwnerEntry, SessionEntry, owner_key, session_key};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::store::{
    Action, EndReason, Entry, Epoch, Lease, Listed, Look, Lookup, Now, Outcome, Owner, Owners, Receipt, Store, Write,
};
use crate::sync::{Mutex, RwLock};

/// The number of locks of each kind.
const STRIPES: usize = 256;

/// The longest time to live that a backend is asked for: a century.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The shortest time for which an epoch is kept: longer than a login can take.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A [`Store`] with [`Owners`] on a [`KeyValue`], which has an example.
///
/// The locks that make each call atomic are in this value, so make one for the process and share
/// it. A write is as durable as the backend's `set`.
///
/// A look is one `get`, with another `get` and a `set` if the visit prolongs the session. A commit
/// is a `get` and a `set`. A login reads and writes the owner's entry first; with a limit, it also
/// reads each of the owner's sessions. For a session with an owner, about once per idle timeout a
/// visit or a commit also writes the owner's entry, which outlives the session.
///
/// A backend cannot list its keys, so [`all`](Store::all), [`len`](Store::len) and
/// [`clear`](Store::clear) are [not supported](Error::is_unsupported). An owner's sessions can be
/// listed and ended.
pub struct KeyValueStore<K> {
    backend: K,
    clock: Clock,
    sessions: Box<[RwLock<()>]>,
    owners: Box<[Mutex<()>]>,
}

impl<K: KeyValue> KeyValueStore<K> {
    /// A store that keeps its entries in this backend.
    pub fn new(backend: K) -> Self {
        Self::with_clock(backend, Clock::system())
    }

    /// A store with another clock: for tests, [`Clock::manual`].
    pub fn with_clock(backend: K, clock: impl Into<Clock>) -> Self {
        let sessions = (0..STRIPES).map(|_| RwLock::new(())).collect();
        let owners = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { backend, clock: clock.into(), sessions, owners }
    }

    fn now(&self) -> Now {
        Now::on_calendar(&self.clock)
    }

    /// The lock of a session's entry.
    fn lock_of(&self, handle: Handle) -> &RwLock<()> {
        &self.sessions[stripe(handle.to_u64())]
    }

    fn entry(&self, handle: Handle) -> Result<Option<SessionEntry>> {
        let bytes = self.backend.get(&session_key(handle))?;
        bytes.map(|bytes| SessionEntry::from_bytes(&bytes)).transpose()
    }

    fn put(&self, handle: Handle, entry: &SessionEntry, now: Now) -> Result<()> {
        let set = self.backend.set(&session_key(handle), &entry.to_bytes(), time_to_live(entry.row.ttl(now)));
        set.map_err(|error| outcome_of_write(handle, error))
    }

    fn remove(&self, handle: Handle) -> Result<()> {
        self.backend.remove(&session_key(handle)).map_err(|error| outcome_of_write(handle, error))
    }

    /// Calls `run` with the entry of an owner, under the owner's lock.
    fn with_owner<R>(&self, owner: &str, run: impl FnOnce(&mut OwnerEntry) -> Result<R>) -> Result<R> {
        let key = owner_key(owner);
        let number = key.bytes().fold(0, |number: u64, byte| number.wrapping_mul(31) + u64::from(byte));
        let _lock = self.owners[stripe(number)].lock();
        let bytes = self.backend.get(&key)?;
        run(&mut OwnerEntry::from_bytes(bytes.as_deref())?)
    }

    /// Writes the entry of an owner. If that fails, the session is unchanged, so the error is never
    /// `is_unknown`.
    fn put_owner(&self, owner: &str, entry: &OwnerEntry, now: Now) -> Result<()> {
        let left = Duration::from_millis(entry.until.saturating_sub(now.calendar_ms));
        let set = self.backend.set(&owner_key(owner), &entry.to_bytes(), time_to_live(left));
        set.map_err(|error| if error.is_unknown() { Error::store(error) } else { error })
    }

    /// The live sessions in an owner's entry.
    fn live_sessions(&self, owner: &Owner, entry: &OwnerEntry) -> Result<Vec<Listed>> {
        let now = self.now();
        let live_session = |handle: &Handle| {
            let _lock = self.lock_of(*handle).read();
            match self.entry(*handle) {
                Ok(found) => Ok(live(found.as_ref(), Some(owner.as_str())).and_then(|row| row.listed(*handle, now))),
                // An entry that cannot be read is no live session, because no id opens it.
                Err(error) if error.is_corrupt() => Ok(None),
                Err(error) => Err(error),
            }
        };
        entry.handles.iter().filter_map(|handle| live_session(handle).transpose()).collect()
    }

    /// Ends one live session; with an owner, only if the session is that owner's.
    fn end(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        let _lock = self.lock_of(handle).write();
        let (now, found) = (self.now(), self.entry(handle));
        if reason == EndReason::LoggedOutEverywhere && found.as_ref().is_err_and(Error::is_corrupt) {
            return self.remove(handle).map(|()| Outcome::Gone);
        }
        let Some(found) = found? else { return Ok(Outcome::Gone) };
        let row = live(Some(&found), owner.map(Owner::as_str));
        let Some(listed) = row.and_then(|row| row.listed(handle, now)) else { return Ok(Outcome::Gone) };
        self.put(handle, &SessionEntry { ended: Some(reason), ..found }, now)?;
        Ok(Outcome::Done(Receipt::ended(listed.stored.record.version())))
    }

    /// If pruning is due, removes the handles without a live session of the owner: the session
    /// ended, or its login failed after the owner's entry was written. If a session's entry cannot
    /// be read, its handle stays. The caller writes the owner's entry.
    fn prune(&self, owner: &str, entry: &mut OwnerEntry) {
        if entry.is_pruning_due() {
            entry.prune(|handle| self.has_live_session(*handle, owner).unwrap_or(true));
        }
    }

    /// Returns true if a handle leads to a live session of an owner. The entry of an expired
    /// session is removed, so that the session does not come back if the calendar is set back.
    fn has_live_session(&self, handle: Handle, owner: &str) -> Result<bool> {
        let _lock = self.lock_of(handle).write();
        let found = self.entry(handle)?;
        let Some(row) = live(found.as_ref(), Some(owner)) else { return Ok(false) };
        if row.listed(handle, self.now()).is_some() {
            return Ok(true);
        }
        self.remove(handle).map(|()| false)
    }

    /// One step: reads a session's entry, calls `ask` for the rule, and carries out the write.
    ///
    /// If the write may give the session an `owner`, the step takes that owner's lock first. Then
    /// `admit` may answer in place of the rule. If the session would outlive the entry of its
    /// owner, the step is repeated under the owner's lock.
    fn step<R>(
        &self,
        handle: Handle,
        owner: Option<&str>,
        admit: impl Fn(&OwnerEntry) -> Result<Option<R>>,
        ask: impl Fn(Option<&Entry>, Now, Option<Epoch>) -> Result<(R, Write)>,
    ) -> Result<R> {
        let mut owner = owner.map(str::to_owned);
        loop {
            let tried = match owner.as_deref() {
                None => self.try_step(handle, None, &ask)?,
                Some(name) => self.with_owner(name, |entry| {
                    if let Some(refused) = admit(entry)? {
                        return Ok(Ok(refused));
                    }
                    self.prune(name, entry);
                    self.try_step(handle, Some((name, entry)), &ask)
                })?,
            };
            match tried {
                Ok(answer) => return Ok(answer),
                Err(name) => owner = Some(name),
            }
        }
    }

    /// One attempt at a step. The inner `Err` is the owner whose lock the step needs.
    fn try_step<R>(
        &self,
        handle: Handle,
        owner: Option<(&str, &mut OwnerEntry)>,
        ask: impl Fn(Option<&Entry>, Now, Option<Epoch>) -> Result<(R, Write)>,
    ) -> Result<Result<R, String>> {
        let _lock = self.lock_of(handle).write();
        let (now, found) = (self.now(), self.entry(handle)?);
        let epoch = owner.as_ref().map(|(_, entry)| entry.epoch);
        let (answer, write) = ask(found.as_ref().and_then(SessionEntry::live), now, epoch)?;
        let row = match write {
            Write::Nothing => return Ok(Ok(answer)),
            Write::Remove => return self.remove(handle).map(|()| Ok(answer)),
            Write::Put(row) => row,
        };
        let until = row.deadline_ms().cast_unsigned();
        let listed_until = match (row.record().owner(), owner, found) {
            (None, ..) => 0,
            (Some(name), Some((owner, entry)), _) if name == owner => {
                // The entry is kept for twice the remaining time, so that visits rarely prolong it.
                let kept = until.saturating_add(until.saturating_sub(now.calendar_ms));
                entry.add(handle, kept);
                self.put_owner(owner, entry, now)?;
                entry.until
            }
            // Without a login the owner is the same as before, so the owner's entry has the handle.
            (Some(_), None, Some(found)) if found.listed_until >= until => found.listed_until,
            (Some(name), ..) => return Ok(Err(name.to_owned())),
        };
        self.put(handle, &SessionEntry { ended: None, listed_until, row }, now)?;
        Ok(Ok(answer))
    }
}

/// The row of a session that has not been ended; with an owner, only if the session is that
/// owner's.
fn live<'a>(found: Option<&'a SessionEntry>, owner: Option<&str>) -> Option<&'a Entry> {
    found?.live().filter(|row| owner.is_none() || row.record().owner() == owner)
}

fn stripe(number: u64) -> usize {
    usize::try_from(number % STRIPES as u64).unwrap_or(0)
}

/// The time to live for an entry that must be kept for this long. Backends count in seconds.
fn time_to_live(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs().saturating_add(1)).min(LONGEST)
}

/// The error for a failed write. Only an entry that the backend refused is certainly not written.
fn outcome_of_write(handle: Handle, error: Error) -> Error {
    if error.is_size() || error.is_full() { error } else { Error::unknown(handle).caused_by(error) }
}

impl<K: KeyValue> Store for KeyValueStore<K> {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        let ask = |row: Option<&Entry>, now| Entry::look(row, id, how, lease, now);
        {
            let _lock = self.lock_of(id.handle()).read();
            let found = self.entry(id.handle())?;
            if let (lookup, Write::Nothing) = ask(found.as_ref().and_then(SessionEntry::live), self.now()) {
                return Ok(lookup);
            }
        }
        let found = self.step(id.handle(), None, |_| Ok(None), |row, now, _| Ok(ask(row, now)));
        // The error is never `is_unknown`, because a look may be repeated after any failure.
        found.map_err(|error| if error.is_store() || error.is_corrupt() { error } else { Error::store(error) })
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let login = action.login();
        let owner = match action {
            Action::Put(record, _) => record.owner(),
            _ => login.map(|login| login.owner.as_str()),
        };
        let ask = |row: Option<&Entry>, now, epoch| Entry::apply(row, id, action, lease, now, epoch);
        let limit = login.and_then(|login| login.limit);
        let admit = |owner: &OwnerEntry| {
            let (Some(login), Some(limit)) = (login, limit) else { return Ok(None) };
            let (outcome, write) = {
                let _lock = self.lock_of(id.handle()).read();
                let found = self.entry(id.handle())?;
                ask(found.as_ref().and_then(SessionEntry::live), self.now(), Some(owner.epoch))?
            };
            // Other sessions end for this login only if the rule allows the login.
            if !matches!(write, Write::Put(_)) {
                return Ok(Some(outcome));
            }
            let Some(surplus) = limit.surplus(self.live_sessions(&login.owner, owner)?, id.handle()) else {
                return Ok(Some(Outcome::AtLimit));
            };
            surplus
                .into_iter()
                .try_for_each(|other| self.end(other, Some(&login.owner), EndReason::Limit).map(drop))?;
            Ok(None)
        };
        self.step(id.handle(), owner, admit, ask)
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }
}

impl<K: KeyValue> Owners for KeyValueStore<K> {
    fn epoch(&self, owner: &Owner) -> Result<Epoch> {
        self.with_owner(owner.as_str(), |entry| Ok(entry.epoch))
    }

    fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
        self.with_owner(owner.as_str(), |entry| self.live_sessions(owner, entry))
    }

    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        self.end(handle, owner, reason)
    }

    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        self.with_owner(owner.as_str(), |entry| {
            let now = self.now();
            // The epoch is at least the time, so it does not go back if the entry was removed.
            entry.epoch = Epoch::from_u64(now.calendar_ms.max(entry.epoch.to_u64().saturating_add(1)));
            entry.keep_until(now.calendar_ms.saturating_add(DAY.as_secs() * 1000));
            self.put_owner(owner.as_str(), entry, now)?;
            let others = entry.handles.iter().filter(|handle| Some(**handle) != except);
            // A session that cannot be ended does not keep the others from ending.
            let ended: Vec<_> =
                others.map(|handle| self.end(*handle, Some(owner), EndReason::LoggedOutEverywhere)).collect();
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

impl<K> fmt::Debug for KeyValueStore<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyValueStore")
    }
}
