//! The plain store: [`Entry`] decides, and a map under a lock keeps the rows as bytes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::error::Result;
use crate::id::{Handle, SessionId};
use crate::store::{
    Action, EndReason, Entry, Epoch, Lease, Listed, Listing, Look, Lookup, Now, Outcome, Owner, Owners, Receipt, Store,
    Write,
};

/// A simple store that keeps rows in a map. [`Entry`] decides each look and action.
///
/// The contract compares other stores with it. It has every optional method, but it is slow and
/// unbounded, and it removes an expired row only when its handle is used again. Like a database, it
/// keeps bytes and counts deadlines by the calendar.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::testing::PlainStore;
/// use lembro::{Clock, Commit, Lease, SessionId, Store};
///
/// let (store, id) = (PlainStore::new(Clock::system()), SessionId::random()?);
/// let created = store.commit(&id, &Commit::create()?, &Lease::new(Duration::from_secs(60)))?;
/// assert!(created.is_done());
///
/// let restarted = store.open(Clock::system());
/// assert!(restarted.get(&id)?.is_some());
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone)]
pub struct PlainStore {
    data: Arc<Mutex<PlainRows>>,
    clock: Clock,
}

#[derive(Default)]
struct PlainRows {
    rows: BTreeMap<Handle, Vec<u8>>,
    ended: HashMap<Handle, (Vec<u8>, EndReason)>,
    epochs: HashMap<Owner, u64>,
}

impl PlainStore {
    /// An empty store with this clock.
    pub fn new(clock: impl Into<Clock>) -> Self {
        Self { data: Arc::default(), clock: clock.into() }
    }

    /// Another store on the same data, as a second process opens it, or the same process after a
    /// restart.
    #[must_use]
    pub fn open(&self, clock: impl Into<Clock>) -> Self {
        Self { data: Arc::clone(&self.data), clock: clock.into() }
    }

    fn now(&self) -> Now {
        Now::on_calendar(&self.clock)
    }

    fn is_open(&self, row: Option<&Entry>, id: &SessionId) -> bool {
        Entry::look(row, id, Look::Peek, &Lease::UNLIMITED, self.now()).0.found().is_some()
    }

    /// Sets an owner's epoch to that of another store.
    pub(super) fn set_epoch(&self, owner: &Owner, epoch: Epoch) {
        self.data.lock().epochs.insert(owner.clone(), epoch.to_u64());
    }
}

impl PlainRows {
    fn row(&self, handle: Handle) -> Result<Option<Entry>> {
        self.rows.get(&handle).map(|bytes| Entry::from_bytes(bytes)).transpose()
    }

    fn write(&mut self, handle: Handle, write: Write) {
        match write {
            Write::Nothing => {}
            Write::Put(row) => drop(self.rows.insert(handle, row.to_bytes())),
            Write::Remove => drop(self.rows.remove(&handle)),
        }
    }

    fn live(&self, now: Now) -> Result<Vec<Listed>> {
        let listed = |(handle, bytes): (&Handle, &Vec<u8>)| {
            Entry::from_bytes(bytes).map(|row| row.listed(*handle, now)).transpose()
        };
        self.rows.iter().filter_map(listed).collect()
    }

    fn list(&self, owner: &Owner, now: Now) -> Result<Vec<Listed>> {
        let mut sessions = self.live(now)?;
        sessions.retain(|session| session.stored.record.owner() == Some(owner.as_str()));
        Ok(sessions)
    }

    fn epoch(&self, owner: &Owner) -> Epoch {
        Epoch::from_u64(self.epochs.get(owner).copied().unwrap_or_default())
    }

    /// Removes a live row and remembers the reason.
    fn end(&mut self, handle: Handle, reason: EndReason) {
        self.ended.extend(self.rows.remove(&handle).map(|row| (handle, (row, reason))));
    }
}

impl Store for PlainStore {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        let mut data = self.data.lock();
        let row = data.row(id.handle())?;
        let (lookup, write) = Entry::look(row.as_ref(), id, how, lease, self.now());
        data.write(id.handle(), write);
        Ok(lookup)
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let mut data = self.data.lock();
        let (now, handle) = (self.now(), id.handle());
        let epoch = action.login().map(|login| data.epoch(&login.owner));
        let (outcome, write) = Entry::apply(data.row(handle)?.as_ref(), id, action, lease, now, epoch)?;
        // The limit is part of the login, so the surplus sessions end in the same step.
        if let (Some(login), Write::Put(_)) = (action.login(), &write)
            && let Some(limit) = login.limit
        {
            let Some(surplus) = limit.surplus(data.list(&login.owner, now)?, handle) else {
                return Ok(Outcome::AtLimit);
            };
            surplus.into_iter().for_each(|handle| data.end(handle, EndReason::Limit));
        }
        data.write(handle, write);
        Ok(outcome)
    }

    fn all(&self) -> Result<Listing<'_>> {
        let live = self.data.lock().live(self.now())?;
        Ok(Box::new(live.into_iter().map(Ok)))
    }

    fn len(&self) -> Result<usize> {
        Ok(self.data.lock().live(self.now())?.len())
    }

    fn clear(&self) -> Result<()> {
        self.data.lock().rows.clear();
        Ok(())
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }
}

impl Owners for PlainStore {
    fn epoch(&self, owner: &Owner) -> Result<Epoch> {
        Ok(self.data.lock().epoch(owner))
    }

    fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
        self.data.lock().list(owner, self.now())
    }

    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        let mut data = self.data.lock();
        let Some(listed) = data.row(handle)?.and_then(|row| row.listed(handle, self.now())) else {
            return Ok(Outcome::Gone);
        };
        let record = &listed.stored.record;
        if owner.is_some_and(|owner| record.owner() != Some(owner.as_str())) {
            return Ok(Outcome::Gone);
        }
        data.end(handle, reason);
        Ok(Outcome::Done(Receipt::ended(record.version())))
    }

    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        let mut data = self.data.lock();
        *data.epochs.entry(owner.clone()).or_default() += 1;
        let mut sessions = data.list(owner, self.now())?;
        sessions.retain(|session| Some(session.handle) != except);
        sessions.iter().for_each(|session| data.end(session.handle, EndReason::LoggedOutEverywhere));
        Ok(sessions.len())
    }

    fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
        let data = self.data.lock();
        let Some((row, reason)) = data.ended.get(&id.handle()) else { return Ok(None) };
        let is_live = self.is_open(data.row(id.handle())?.as_ref(), id);
        Ok((!is_live && self.is_open(Some(&Entry::from_bytes(row)?), id)).then_some(*reason))
    }
}

impl fmt::Debug for PlainStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainStore")
    }
}
