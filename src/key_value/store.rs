//! The store on a backend of three methods: a loop around the rule, under striped locks.
//!
//! Each session has a lock, each owner has one; both are shared by those of the same stripe. An
//! owner's lock is taken before a session's, and never two of a kind at once.

use std::fmt;
use std::time::Duration;

use super::KeyValue;
use super::entries::{OwnerEntry, SessionEntry, owner_key, session_key};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::store::{Action, EndReason, Entry, Epoch, Lease, Look, Lookup, Now, Outcome, Owners, Store, Write};
use crate::sync::{Mutex, RwLock};

/// How many locks there are of each kind.
const STRIPES: usize = 256;

/// No backend is asked to keep an entry for longer: a century.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A whole [`Store`] on a [`KeyValue`], owners included.
///
/// Every promise of [`Store`] and [`Owners`] holds among the calls to one such store: make one for
/// the process and share it. A promise is as durable as the backend's `set` is.
///
/// A look is one `get`, and one `get` and `set` more if the visit prolongs the session. A commit is
/// a `get` and a `set`. A login reads and writes the owner's entry first; with a limit, it also
/// reads each of the owner's sessions. Of a session with an owner, about one write in each of its
/// timeouts writes the owner's entry, too: it is kept for longer than the session.
///
/// Three methods cannot list keys, so [`all`](Store::all), [`len`](Store::len) and
/// [`clear`](Store::clear) are [not supported](Error::is_unsupported). What one owner has is listed
/// and ended as everywhere.
///
/// # Examples
///
/// A store in memory; [`KeyValue`] has the code of `Map`.
///
/// ```
/// # use std::{collections::HashMap, sync::Mutex, time::Duration};
/// # #[derive(Default)]
/// # struct Map(Mutex<HashMap<String, Vec<u8>>>);
/// # impl lembro::KeyValue for Map {
/// #     fn get(&self, key: &str) -> lembro::Result<Option<Vec<u8>>> {
/// #         Ok(self.0.lock().unwrap().get(key).cloned())
/// #     }
/// #     fn set(&self, key: &str, bytes: &[u8], _: Duration) -> lembro::Result<()> {
/// #         self.0.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
/// #         Ok(())
/// #     }
/// #     fn remove(&self, key: &str) -> lembro::Result<()> {
/// #         self.0.lock().unwrap().remove(key);
/// #         Ok(())
/// #     }
/// # }
/// use std::sync::Arc;
/// use lembro::{Commit, KeyValueStore, Lease, SessionId, Store};
///
/// let (map, id) = (Arc::new(Map::default()), SessionId::random()?);
/// let store = KeyValueStore::new(Arc::clone(&map));
/// let created = store.commit(&id, &Commit::create()?, &Lease::new(Duration::from_secs(60)))?;
/// assert!(created.is_done());
///
/// // What is in the backend is all there is.
/// drop(store);
/// assert!(KeyValueStore::new(map).get(&id)?.is_some());
/// # Ok::<(), lembro::Error>(())
/// ```
pub struct KeyValueStore<K> {
    pub(super) backend: K,
    clock: Clock,
    sessions: Box<[RwLock<()>]>,
    owners: Box<[Mutex<()>]>,
}

impl<K: KeyValue> KeyValueStore<K> {
    /// A store that keeps its entries there.
    pub fn new(backend: K) -> Self {
        Self::with_clock(backend, Clock::system())
    }

    /// The same with another clock: for tests, [`Clock::manual`].
    pub fn with_clock(backend: K, clock: impl Into<Clock>) -> Self {
        let sessions = (0..STRIPES).map(|_| RwLock::new(())).collect();
        let owners = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { backend, clock: clock.into(), sessions, owners }
    }

    pub(super) fn now(&self) -> Now {
        Now::on_calendar(&self.clock)
    }

    /// The lock of a session: shared to read its entry, alone to write it.
    pub(super) fn lock_of(&self, handle: Handle) -> &RwLock<()> {
        &self.sessions[stripe(handle.to_u64())]
    }

    pub(super) fn entry(&self, handle: Handle) -> Result<Option<SessionEntry>> {
        let bytes = self.backend.get(&session_key(handle))?;
        bytes.map(|bytes| SessionEntry::from_bytes(&bytes)).transpose()
    }

    pub(super) fn put(&self, handle: Handle, entry: &SessionEntry, now: Now) -> Result<()> {
        let set = self.backend.set(&session_key(handle), &entry.to_bytes(), kept_for(entry.row.ttl(now)));
        set.map_err(|error| outcome_of_write(handle, error))
    }

    pub(super) fn remove(&self, handle: Handle) -> Result<()> {
        self.backend.remove(&session_key(handle)).map_err(|error| outcome_of_write(handle, error))
    }

    /// Runs something with the entry of an owner, under the owner's lock.
    pub(super) fn owned<R>(&self, owner: &str, run: impl FnOnce(&mut OwnerEntry) -> Result<R>) -> Result<R> {
        let key = owner_key(owner);
        let number = key.bytes().fold(0, |number: u64, byte| number.wrapping_mul(31) + u64::from(byte));
        let _lock = self.owners[stripe(number)].lock();
        let bytes = self.backend.get(&key)?;
        run(&mut OwnerEntry::from_bytes(bytes.as_deref())?)
    }

    /// Writes the entry of an owner. Its failure says nothing about a session.
    pub(super) fn put_owner(&self, owner: &str, entry: &OwnerEntry, now: Now) -> Result<()> {
        let left = Duration::from_millis(entry.until.saturating_sub(now.calendar_ms));
        let set = self.backend.set(&owner_key(owner), &entry.to_bytes(), kept_for(left));
        set.map_err(|error| if error.is_unknown() { Error::store(error) } else { error })
    }

    /// Asks the rule about a session and writes what it says. `owner`: whose lock is taken first,
    /// because the session may become this owner's; `admit` may then answer before the rule is
    /// asked. Any other session with an owner is asked about again under its owner's lock, if it
    /// would outlive the owner's entry.
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
                Some(name) => self.owned(name, |entry| {
                    if let Some(refused) = admit(entry)? {
                        return Ok(Ok(refused));
                    }
                    self.tidy(name, entry);
                    self.try_step(handle, Some((name, entry)), &ask)
                })?,
            };
            match tried {
                Ok(answer) => return Ok(answer),
                Err(name) => owner = Some(name),
            }
        }
    }

    /// One attempt at a step; or the owner whose lock it needs.
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
                // Twice its time: then the visits that prolong the session seldom come here.
                let kept = until.saturating_add(until.saturating_sub(now.calendar_ms));
                entry.enter(handle, kept);
                self.put_owner(owner, entry, now)?;
                entry.until
            }
            // Without a login the owner is still the same.
            (Some(_), None, Some(found)) if found.listed_until >= until => found.listed_until,
            (Some(name), ..) => return Ok(Err(name.to_owned())),
        };
        self.put(handle, &SessionEntry { ended: None, listed_until, row }, now)?;
        Ok(Ok(answer))
    }
}

fn stripe(number: u64) -> usize {
    usize::try_from(number % STRIPES as u64).unwrap_or(0)
}

/// For how long a backend keeps what must be there for so long: backends count in seconds.
fn kept_for(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs().saturating_add(1)).min(LONGEST)
}

/// Only what a backend refuses is known not to have been written.
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
        let noted = self.step(id.handle(), None, |_| Ok(None), |row, now, _| Ok(ask(row, now)));
        // Only commits are refused. A visit that cannot be noted is a failure, behind which the
        // session can still be peeked at.
        noted.map_err(|error| if error.is_store() || error.is_corrupt() { error } else { Error::store(error) })
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
            let trial = {
                let _lock = self.lock_of(id.handle()).read();
                let found = self.entry(id.handle())?;
                ask(found.as_ref().and_then(SessionEntry::live), self.now(), Some(owner.epoch))?
            };
            // Before a session ends for this login, it is certain that nothing else is in its way.
            if !matches!(trial.1, Write::Put(_)) {
                return Ok(Some(trial.0));
            }
            let Some(surplus) = limit.surplus(self.listed(&login.owner, owner)?, id.handle()) else {
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

impl<K> fmt::Debug for KeyValueStore<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyValueStore")
    }
}
