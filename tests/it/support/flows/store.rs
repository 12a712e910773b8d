//! The store of a run, which fails at chosen calls.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lembro::testing::{FaultStore, When};
use lembro::{Action, Clock, Error, Lease, Listing, Look, Lookup, Outcome, Owners, Result, SessionId, Store};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Before the call was carried out, and the error says so.
    Before,
    /// After the call was carried out: the answer is lost.
    After,
    /// Before the call was carried out, but the error of an action says that its outcome is
    /// unknown: the request was lost.
    Lost,
}

/// A fault store with a third kind of fault: the lost request.
pub(crate) struct FaultyStore {
    store: FaultStore<Arc<dyn Store>>,
    in_doubt: AtomicBool,
    own: AtomicUsize,
}

impl FaultyStore {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store: FaultStore::new(store), in_doubt: AtomicBool::new(false), own: AtomicUsize::new(0) }
    }

    /// Makes the `nth` call from now on fail.
    pub(crate) fn fail(&self, nth: usize, kind: FaultKind) {
        self.in_doubt.store(kind == FaultKind::Lost, Ordering::SeqCst);
        self.store.fail(None, nth, if kind == FaultKind::After { When::After } else { When::Before });
    }

    pub(crate) fn heal(&self) {
        self.store.heal();
    }

    /// The number of calls.
    pub(crate) fn calls(&self) -> usize {
        self.store.calls(None)
    }

    /// The number of repeated commits of which the store below did not know whether they were
    /// carried out.
    pub(crate) fn own_errors(&self) -> usize {
        self.own.load(Ordering::SeqCst)
    }

    /// The store below, which never fails.
    pub(crate) fn below(&self) -> &dyn Store {
        self.store.store()
    }
}

impl Store for FaultyStore {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        self.store.look(id, how, lease)
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        self.store.apply(id, action, lease).map_err(|error| {
            if error.is_unknown() && error.source().is_none() {
                self.own.fetch_add(1, Ordering::SeqCst);
            }
            let is_lost = self.in_doubt.load(Ordering::SeqCst) && error.is_store() && !error.is_unknown();
            if is_lost { Error::unknown(id.handle()).caused_by(error) } else { error }
        })
    }

    fn all(&self) -> Result<Listing<'_>> {
        self.store.all()
    }

    fn owners(&self) -> Option<&dyn Owners> {
        self.store.owners()
    }

    fn clock(&self) -> Clock {
        self.store.clock()
    }
}
