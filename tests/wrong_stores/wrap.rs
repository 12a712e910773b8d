//! A right store whose every method can be made wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lembro::{
    Changes, Clock, EndReason, Epoch, Expected, Handle, LembroStore, Listed, Listing, Outcome, Owners, Record, Result,
    SessionId, Store, Stored,
};

type Right = LembroStore;
type Get = dyn Fn(&Right, &SessionId) -> Result<Option<Stored>> + Send + Sync;
type Create = dyn Fn(&Right, &SessionId, Record, Duration) -> Result<Outcome> + Send + Sync;
type Set = dyn Fn(&Right, &SessionId, Record, Duration) -> Result<()> + Send + Sync;
type Save = dyn Fn(&Right, &SessionId, &Changes, Duration, Expected) -> Result<Outcome> + Send + Sync;
type Touch = dyn Fn(&Right, &SessionId, Duration) -> Result<Outcome> + Send + Sync;
type Rotate = dyn Fn(&Right, &SessionId, &SessionId, Duration) -> Result<Outcome> + Send + Sync;
type Destroy = dyn Fn(&Right, &SessionId) -> Result<Outcome> + Send + Sync;
type All = dyn for<'a> Fn(&'a Right) -> Result<Listing<'a>> + Send + Sync;
type Len = dyn Fn(&Right) -> Result<usize> + Send + Sync;
type Clear = dyn Fn(&Right) -> Result<()> + Send + Sync;
type EpochOf = dyn Fn(&Right, &str) -> Result<Epoch> + Send + Sync;
type CreateOwned = dyn Fn(&Right, &SessionId, Record, Duration, Epoch) -> Result<Outcome> + Send + Sync;
type SessionsOf = dyn Fn(&Right, &str) -> Result<Vec<Listed>> + Send + Sync;
type CountOf = dyn Fn(&Right, &str) -> Result<usize> + Send + Sync;
type DestroyOf = dyn Fn(&Right, &str, Option<&SessionId>) -> Result<usize> + Send + Sync;
type DestroyHandle = dyn Fn(&Right, Handle, EndReason) -> Result<Outcome> + Send + Sync;
type WhyEnded = dyn Fn(&Right, &SessionId) -> Result<Option<EndReason>> + Send + Sync;

/// Every method does what the right store does, until a test puts something else in its place.
pub(crate) struct Wrap {
    right: Right,
    pub(crate) get: Box<Get>,
    pub(crate) create: Box<Create>,
    pub(crate) set: Box<Set>,
    pub(crate) save: Box<Save>,
    pub(crate) touch: Box<Touch>,
    pub(crate) rotate: Box<Rotate>,
    pub(crate) destroy: Box<Destroy>,
    pub(crate) all: Box<All>,
    pub(crate) len: Box<Len>,
    pub(crate) clear: Box<Clear>,
    pub(crate) clock: Clock,
    pub(crate) epoch: Box<EpochOf>,
    pub(crate) create_owned: Box<CreateOwned>,
    pub(crate) sessions_of: Box<SessionsOf>,
    pub(crate) count_of: Box<CountOf>,
    pub(crate) destroy_of: Box<DestroyOf>,
    pub(crate) destroy_handle: Box<DestroyHandle>,
    pub(crate) why_ended: Box<WhyEnded>,
}

impl Wrap {
    pub(crate) fn around(right: Right) -> Self {
        Self {
            clock: right.clock(),
            right,
            get: Box::new(Store::get),
            create: Box::new(Store::create),
            set: Box::new(Store::set),
            save: Box::new(Store::save),
            touch: Box::new(Store::touch),
            rotate: Box::new(Store::rotate),
            destroy: Box::new(Store::destroy),
            all: Box::new(Store::all),
            len: Box::new(Store::len),
            clear: Box::new(Store::clear),
            epoch: Box::new(Owners::epoch),
            create_owned: Box::new(Owners::create_owned),
            sessions_of: Box::new(Owners::sessions_of),
            count_of: Box::new(Owners::count_of),
            destroy_of: Box::new(Owners::destroy_of),
            destroy_handle: Box::new(Owners::destroy_handle),
            why_ended: Box::new(Owners::why_ended),
        }
    }
}

impl Store for Wrap {
    fn get(&self, id: &SessionId) -> Result<Option<Stored>> {
        (self.get)(&self.right, id)
    }
    fn create(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<Outcome> {
        (self.create)(&self.right, id, record, ttl)
    }
    fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
        (self.set)(&self.right, id, record, ttl)
    }
    fn save(&self, id: &SessionId, changes: &Changes, ttl: Duration, expected: Expected) -> Result<Outcome> {
        (self.save)(&self.right, id, changes, ttl, expected)
    }
    fn touch(&self, id: &SessionId, ttl: Duration) -> Result<Outcome> {
        (self.touch)(&self.right, id, ttl)
    }
    fn rotate(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Result<Outcome> {
        (self.rotate)(&self.right, id, new, grace)
    }
    fn destroy(&self, id: &SessionId) -> Result<Outcome> {
        (self.destroy)(&self.right, id)
    }
    fn all(&self) -> Result<Listing<'_>> {
        (self.all)(&self.right)
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
    fn epoch(&self, owner: &str) -> Result<Epoch> {
        (self.epoch)(&self.right, owner)
    }
    fn create_owned(&self, id: &SessionId, record: Record, ttl: Duration, begun: Epoch) -> Result<Outcome> {
        (self.create_owned)(&self.right, id, record, ttl, begun)
    }
    fn sessions_of(&self, owner: &str) -> Result<Vec<Listed>> {
        (self.sessions_of)(&self.right, owner)
    }
    fn count_of(&self, owner: &str) -> Result<usize> {
        (self.count_of)(&self.right, owner)
    }
    fn destroy_of(&self, owner: &str, except: Option<&SessionId>) -> Result<usize> {
        (self.destroy_of)(&self.right, owner, except)
    }
    fn destroy_handle(&self, handle: Handle, reason: EndReason) -> Result<Outcome> {
        (self.destroy_handle)(&self.right, handle, reason)
    }
    fn why_ended(&self, id: &SessionId) -> Result<Option<EndReason>> {
        (self.why_ended)(&self.right, id)
    }
}

/// What a wrong store remembers beside the right one.
pub(crate) type Memory<T> = Arc<Mutex<HashMap<Handle, T>>>;

/// The id that opens the session with this handle now.
pub(crate) fn current(right: &Right, handle: Handle) -> Option<SessionId> {
    right.all().unwrap().map(|listed| listed.unwrap().id.unwrap()).find(|id| id.handle() == handle)
}

/// Puts a record in the place of a session, in two steps and with the record's own version.
pub(crate) fn replace(right: &Right, id: &SessionId, record: Record, ttl: Duration) -> Result<Outcome> {
    let _ = right.destroy(id)?;
    right.create(id, record, ttl)
}

/// Has every `get` give out another record than the stored one.
pub(crate) fn distort(store: &mut Wrap, distort: fn(&Record) -> Record) {
    store.get =
        Box::new(move |right, id| Ok(right.get(id)?.map(|stored| Stored::new(distort(&stored.record), stored.ttl))));
}

/// The same changes without the keys that `keep` does not want, cleared and all else as before.
pub(crate) fn only(changes: &Changes, keep: impl Fn(&str, bool) -> bool) -> Changes {
    let mut rest = Changes::new();
    if let Some(timeout) = changes.timeout() {
        rest.set_timeout(timeout);
    }
    if let Some(owner) = changes.owner() {
        rest.set_owner(owner).unwrap();
    }
    if changes.clears_everything() {
        rest.clear();
    }
    changes.cleared_components().for_each(|component| rest.clear_component(component));
    copy_keys(changes, &mut rest, keep);
    rest
}

/// The changed keys alone: nothing cleared, no timeout, no owner.
pub(crate) fn headless(changes: &Changes) -> Changes {
    let mut rest = Changes::new();
    copy_keys(changes, &mut rest, |_, _| true);
    rest
}

pub(crate) fn copy_keys(from: &Changes, to: &mut Changes, keep: impl Fn(&str, bool) -> bool) {
    for change in from.keys().filter(|change| keep(change.key, change.value.is_none())) {
        match change.value {
            Some(json) => {
                let value: serde_json::Value = serde_json::from_slice(json).unwrap();
                to.insert(change.component, change.key, &value).unwrap();
            }
            None => to.remove(change.component, change.key).unwrap(),
        }
    }
}
