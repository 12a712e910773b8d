//! The context that all sessions share: store, policy, id source, clock and subscribers. Failures
//! of the store are published here and nowhere else.

use std::fmt;

use crossbeam_channel::{Receiver, Sender};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{Broadcast, Event, subscription};
use crate::id::{Handle, SessionId};
use crate::policy::Policy;
use crate::store::{
    Action, EndReason, Epoch, Lease, Listed, Listing, Look, Lookup, Now, Outcome, Owner, Owners, Store,
};
use crate::sync::Arc;

/// A source of ids for new sessions.
pub(crate) type IdSource = Arc<dyn Fn() -> Result<SessionId> + Send + Sync>;

pub(crate) struct Context {
    pub(crate) store: ReportingStore,
    pub(crate) policy: Policy,
    /// The lease of the policy.
    pub(crate) lease: Lease,
    pub(crate) ids: IdSource,
    pub(crate) clock: Clock,
    pub(crate) events: Broadcast<Event>,
}

impl Context {
    pub(crate) fn new(store: Arc<dyn Store>, policy: Policy, ids: IdSource) -> Self {
        let (clock, store) = (store.clock(), ReportingStore { inner: store, errors: Broadcast::new() });
        Self { store, lease: policy.lease(), policy, ids, clock, events: Broadcast::new() }
    }

    /// A channel for the events of the sessions and of the store.
    pub(crate) fn subscribe(&self) -> Receiver<Event> {
        let (sender, receiver) = subscription();
        self.store.send_events(sender.clone());
        self.events.add(sender);
        receiver
    }

    /// A channel for the store's failures, including those of its background work.
    pub(crate) fn subscribe_errors(&self) -> Receiver<Error> {
        let (sender, receiver) = subscription();
        self.store.send_errors(sender.clone());
        self.store.errors.add(sender);
        receiver
    }

    pub(crate) fn now(&self) -> Now {
        Now::of(&self.clock)
    }

    /// The store's operations on owners. If it has none, `what` names the operation in the error.
    pub(crate) fn owners(&self, what: &'static str) -> Result<&dyn Owners> {
        self.store.owners().ok_or_else(|| Error::unsupported(what))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("policy", &self.policy).field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// A decorator of the store that publishes each failure once, before the caller receives it.
pub(crate) struct ReportingStore {
    inner: Arc<dyn Store>,
    pub(crate) errors: Broadcast<Error>,
}

impl ReportingStore {
    /// The store without the reports.
    pub(crate) fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    /// Publishes an error that no caller receives, unless it has been published before.
    #[cfg(feature = "web")]
    pub(crate) fn report(&self, error: &Error) {
        if error.note_report() {
            self.errors.publish(|| error.clone());
        }
    }

    /// Publishes a warning about the application's setup. If there is no subscriber, `warning` is
    /// not called, because a warning that is given only once must not be lost.
    #[cfg(feature = "web")]
    pub(crate) fn warn(&self, warning: impl FnOnce() -> Option<Error>) {
        if self.errors.has_subscribers()
            && let Some(warning) = warning()
        {
            self.report(&warning);
        }
    }

    fn reported<T>(&self, result: Result<T>) -> Result<T> {
        result.inspect_err(|error| {
            error.note_report();
            self.errors.publish(|| error.clone());
        })
    }

    /// Runs `ask` with the store's operations on owners.
    fn ask_owners<T>(&self, ask: impl FnOnce(&dyn Owners) -> Result<T>) -> Result<T> {
        self.reported(self.inner.owners().ok_or(Error::unsupported("the sessions of one owner")).and_then(ask))
    }
}

impl Store for ReportingStore {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        self.reported(self.inner.look(id, how, lease))
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        self.reported(self.inner.apply(id, action, lease))
    }

    fn all(&self) -> Result<Listing<'_>> {
        let all = self.reported(self.inner.all())?;
        Ok(Box::new(all.map(|listed| self.reported(listed))))
    }

    fn len(&self) -> Result<usize> {
        self.reported(self.inner.len())
    }

    fn clear(&self) -> Result<()> {
        self.reported(self.inner.clear())
    }

    fn owners(&self) -> Option<&dyn Owners> {
        self.inner.owners().map(|_| self as &dyn Owners)
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }

    fn send_events(&self, to: Sender<Event>) {
        self.inner.send_events(to);
    }

    fn send_errors(&self, to: Sender<Error>) {
        self.inner.send_errors(to);
    }
}

impl Owners for ReportingStore {
    fn epoch(&self, owner: &Owner) -> Result<Epoch> {
        self.ask_owners(|owners| owners.epoch(owner))
    }

    fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
        self.ask_owners(|owners| owners.list(owner))
    }

    fn count(&self, owner: &Owner) -> Result<usize> {
        self.ask_owners(|owners| owners.count(owner))
    }

    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        self.ask_owners(|owners| owners.destroy_handle(handle, owner, reason))
    }

    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        self.ask_owners(|owners| owners.destroy_all(owner, except))
    }

    fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
        self.ask_owners(|owners| owners.end_reason(id))
    }
}
