//! A right store, each method of which can be replaced by a wrong one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lembro::testing::PlainStore;
use lembro::{
    Action, Changes, Clock, Commit, EndReason, Epoch, Expect, Handle, Lease, Listed, Listing, Look, Lookup,
    ManualClock, Outcome, Owner, Owners, Record, Result, SessionId, Store, Version,
};

/// The right store, and the ids of its sessions, which a right store does not know.
pub(crate) struct Right {
    pub(crate) store: PlainStore,
    ids: Mutex<HashMap<Handle, SessionId>>,
}

type OnLook = dyn Fn(&Right, &SessionId, Look, &Lease) -> Result<Lookup> + Send + Sync;
type OnCommit = dyn Fn(&Right, &SessionId, &Commit, &Lease) -> Result<Outcome> + Send + Sync;
type OnTouch = dyn Fn(&Right, &SessionId, &Lease) -> Result<Outcome> + Send + Sync;
type OnHeld = dyn Fn(&Right, &SessionId, &Action<'_>, &Lease) -> Result<Outcome> + Send + Sync;
type OnPut = dyn Fn(&Right, &SessionId, &Record, Duration) -> Result<Outcome> + Send + Sync;
type OnEnd = dyn Fn(&Right, &SessionId) -> Result<Outcome> + Send + Sync;
type OnAll = dyn Fn(&Right) -> Result<Vec<Listed>> + Send + Sync;
type OnLen = dyn Fn(&Right) -> Result<usize> + Send + Sync;
type OnClear = dyn Fn(&Right) -> Result<()> + Send + Sync;
type OnEpoch = dyn Fn(&Right, &Owner) -> Result<Epoch> + Send + Sync;
type OnList = dyn Fn(&Right, &Owner) -> Result<Vec<Listed>> + Send + Sync;
type OnCount = dyn Fn(&Right, &Owner) -> Result<usize> + Send + Sync;
type OnNamed = dyn Fn(&Right, Handle, Option<&Owner>, EndReason) -> Result<Outcome> + Send + Sync;
type OnEverywhere = dyn Fn(&Right, &Owner, Option<Handle>) -> Result<usize> + Send + Sync;
type OnWhy = dyn Fn(&Right, &SessionId) -> Result<Option<EndReason>> + Send + Sync;

impl Right {
    pub(crate) fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        let found = self.store.look(id, how, lease)?;
        if how == Look::Visit
            && matches!(&found, Lookup::Found(stored) if stored.presented == lembro::Presented::Current)
        {
            self.ids.lock().unwrap().insert(id.handle(), *id);
        }
        Ok(found)
    }

    pub(crate) fn commit(&self, id: &SessionId, commit: &Commit, lease: &Lease) -> Result<Outcome> {
        let outcome = self.store.commit(id, commit, lease)?;
        let new = outcome.receipt().and_then(|receipt| receipt.announce).filter(|_| replaces(commit));
        let current = new.or(Some(*id).filter(|_| is_create(commit) && outcome.is_done()));
        self.ids.lock().unwrap().extend(current.map(|current| (current.handle(), current)));
        Ok(outcome)
    }

    pub(crate) fn touch(&self, id: &SessionId, lease: &Lease) -> Result<Outcome> {
        self.store.touch(id, lease)
    }

    pub(crate) fn put(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<Outcome> {
        let outcome = self.store.apply(id, &Action::Put(record, ttl), &Lease::UNLIMITED)?;
        if outcome.is_done() {
            self.ids.lock().unwrap().insert(id.handle(), *id);
        }
        Ok(outcome)
    }

    pub(crate) fn end(&self, id: &SessionId) -> Result<Outcome> {
        self.store.destroy(id)
    }

    pub(crate) fn named(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        self.store.destroy_handle(handle, owner, reason)
    }

    pub(crate) fn all(&self) -> Result<Vec<Listed>> {
        self.store.all()?.collect()
    }

    /// The record under a handle, for any secret.
    pub(crate) fn stored(&self, id: &SessionId) -> Result<Option<Record>> {
        Ok(self.all()?.into_iter().find(|one| one.handle == id.handle()).map(|one| one.stored.record))
    }

    /// The current id of the session with this id's handle, or this id.
    pub(crate) fn current(&self, id: &SessionId) -> SessionId {
        self.opens(id.handle()).unwrap_or(*id)
    }

    /// The current id of the session with this handle.
    pub(crate) fn opens(&self, handle: Handle) -> Option<SessionId> {
        self.ids.lock().unwrap().get(&handle).copied()
    }

    /// Merges changes into the stored session, whatever its version.
    pub(crate) fn merge(&self, id: &SessionId, changes: Changes, lease: &Lease) -> Result<Outcome> {
        let Some(stored) = self.stored(id)? else { return Ok(Outcome::Gone) };
        self.store.commit(id, &Commit::merge(stored.version())?.with(changes), lease)
    }
}

/// A store whose methods are those of the right store, until a test replaces one.
pub(crate) struct Wrap {
    right: Right,
    pub(crate) look: Box<OnLook>,
    pub(crate) commit: Box<OnCommit>,
    pub(crate) touch: Box<OnTouch>,
    /// A touch or an end with a version.
    pub(crate) held: Box<OnHeld>,
    pub(crate) put: Box<OnPut>,
    pub(crate) end: Box<OnEnd>,
    pub(crate) all: Box<OnAll>,
    pub(crate) len: Box<OnLen>,
    pub(crate) clear: Box<OnClear>,
    pub(crate) clock: Clock,
    pub(crate) epoch: Box<OnEpoch>,
    pub(crate) list: Box<OnList>,
    pub(crate) count: Box<OnCount>,
    pub(crate) named: Box<OnNamed>,
    pub(crate) everywhere: Box<OnEverywhere>,
    pub(crate) why: Box<OnWhy>,
    /// Whether `set` drops the keys beyond the limit.
    pub(crate) cuts: bool,
}

impl Wrap {
    pub(crate) fn around(time: &ManualClock) -> Self {
        Self::over(PlainStore::new(time))
    }

    pub(crate) fn over(store: PlainStore) -> Self {
        Self {
            clock: store.clock(),
            right: Right { store, ids: Mutex::default() },
            look: Box::new(Right::look),
            commit: Box::new(Right::commit),
            touch: Box::new(Right::touch),
            held: Box::new(|right, id, action, lease| right.store.apply(id, action, lease)),
            put: Box::new(Right::put),
            end: Box::new(Right::end),
            all: Box::new(Right::all),
            len: Box::new(|right| right.store.len()),
            clear: Box::new(|right| right.store.clear()),
            epoch: Box::new(|right, owner| right.store.epoch(owner)),
            list: Box::new(|right, owner| right.store.list(owner)),
            count: Box::new(|right, owner| right.store.count(owner)),
            named: Box::new(Right::named),
            everywhere: Box::new(|right, owner, except| right.store.destroy_all(owner, except)),
            why: Box::new(|right, id| right.store.end_reason(id)),
            cuts: false,
        }
    }
}

impl Store for Wrap {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        (self.look)(&self.right, id, how, lease)
    }
    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        match action {
            Action::Commit(commit) => (self.commit)(&self.right, id, commit, lease),
            Action::Touch(None) => (self.touch)(&self.right, id, lease),
            Action::Put(record, ttl) => (self.put)(&self.right, id, record, *ttl),
            Action::End(None) => (self.end)(&self.right, id),
            Action::Touch(Some(_)) | Action::End(Some(_)) => (self.held)(&self.right, id, action, lease),
        }
    }
    fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
        let entries = record.entries().map(|(_, key, json)| (key, serde_json::to_value(json).unwrap()));
        self.right.store.set(id, if self.cuts { entries.take(9).collect() } else { record.clone() }, ttl)
    }
    fn all(&self) -> Result<Listing<'_>> {
        Ok(Box::new((self.all)(&self.right)?.into_iter().map(Ok)))
    }
    fn len(&self) -> Result<usize> {
        (self.len)(&self.right)
    }
    fn clear(&self) -> Result<()> {
        (self.clear)(&self.right)
    }
    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }
    fn clock(&self) -> Clock {
        self.clock.clone()
    }
}

impl Owners for Wrap {
    fn epoch(&self, owner: &Owner) -> Result<Epoch> {
        (self.epoch)(&self.right, owner)
    }
    fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
        (self.list)(&self.right, owner)
    }
    fn count(&self, owner: &Owner) -> Result<usize> {
        (self.count)(&self.right, owner)
    }
    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        (self.named)(&self.right, handle, owner, reason)
    }
    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        (self.everywhere)(&self.right, owner, except)
    }
    fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
        (self.why)(&self.right, id)
    }
}

/// The notes of a wrong store, by handle.
pub(crate) type Memory<T> = Arc<Mutex<HashMap<Handle, T>>>;

pub(crate) fn is_create(commit: &Commit) -> bool {
    commit.expect() == Expect::Absent
}

pub(crate) fn replaces(commit: &Commit) -> bool {
    format!("{commit:?}").contains("identity: Replace(")
}

pub(crate) fn renews(commit: &Commit) -> bool {
    format!("{commit:?}").contains("identity: Renew(")
}

/// The login of a commit.
pub(crate) fn login(commit: &Commit) -> Option<lembro::Login> {
    Action::Commit(commit).login().cloned()
}

/// The version that a commit was made for.
pub(crate) fn base(commit: &Commit) -> Option<Version> {
    match commit.expect() {
        Expect::Absent => None,
        Expect::Incarnation(version) | Expect::Exactly(version) => Some(version),
    }
}

/// Replaces the changes of every commit.
pub(crate) fn other_changes(store: &mut Wrap, other: fn(&Changes, Option<Record>) -> Changes) {
    store.commit = Box::new(move |right, id, commit, lease| {
        let changes = other(&commit.changes, right.stored(id)?);
        right.commit(id, &commit.clone().with(changes), lease)
    });
}

/// Replaces every lease.
pub(crate) fn other_lease(store: &mut Wrap, other: fn(Lease) -> Lease) {
    store.look = Box::new(move |right, id, how, lease| right.look(id, how, &other(*lease)));
    store.touch = Box::new(move |right, id, lease| right.touch(id, &other(*lease)));
    store.commit = Box::new(move |right, id, commit, lease| right.commit(id, commit, &other(*lease)));
}

/// The same changes with only the keys that `keep` accepts.
pub(crate) fn only(changes: &Changes, keep: impl Fn(&str, bool) -> bool) -> Changes {
    let mut rest = unkeyed(changes);
    copy_keys(changes, &mut rest, |component, key| (component, key), keep);
    rest
}

/// The same changes without their keys.
pub(crate) fn unkeyed(changes: &Changes) -> Changes {
    let mut rest = Changes::new();
    changes.timeout().into_iter().for_each(|timeout| rest.set_timeout(timeout));
    changes.remembered().into_iter().for_each(|remembered| rest.remember(remembered));
    changes.label().into_iter().for_each(|label| rest.set_label(label).unwrap());
    if changes.clears_everything() {
        rest.clear();
    }
    changes.cleared_components().for_each(|component| rest.clear_component(component));
    rest
}

/// The changed keys alone.
pub(crate) fn keys_only(changes: &Changes) -> Changes {
    let mut rest = Changes::new();
    copy_keys(changes, &mut rest, |component, key| (component, key), |_, _| true);
    rest
}

/// Copies the keys that `keep` accepts, under the names that `rename` returns.
pub(crate) fn copy_keys(
    from: &Changes,
    to: &mut Changes,
    rename: impl Fn(String, String) -> (String, String),
    keep: impl Fn(&str, bool) -> bool,
) {
    for change in from.keys().filter(|change| keep(change.key, change.value.is_none())) {
        let (component, key) = rename(change.component.to_owned(), change.key.to_owned());
        match change.value {
            Some(json) => {
                let value: serde_json::Value = serde_json::from_slice(json).unwrap();
                to.insert(&component, &key, &value).unwrap();
            }
            None => to.remove(&component, &key).unwrap(),
        }
    }
}
