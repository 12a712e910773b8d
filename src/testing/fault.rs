//! The fault store: a store that fails on purpose, before or after it has carried out a call.

use std::fmt;

use parking_lot::Mutex;

use super::wrapper::{Call, owners, wrap_store};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::store::{Action, EndReason, Epoch, Lease, Listed, Listing, Look, Lookup, Outcome, Owner, Owners, Store};

/// When a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the call is carried out. The error is [`Error::is_store`].
    Before,
    /// After the call is carried out, so its answer is lost. If the call can change only one
    /// session, the error is [`Error::is_unknown`], otherwise [`Error::is_store`].
    After,
}

/// A store that passes all calls on to another store, counts them, and fails on purpose. Tests use
/// it to see how an application behaves when its store fails.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::testing::{Call, FaultStore, When};
/// use lembro::{Commit, Lease, LembroStore, SessionId, Store};
///
/// let (store, id) = (FaultStore::new(LembroStore::new()?), SessionId::random()?);
/// let lease = Lease::new(Duration::from_secs(60));
/// store.fail(Call::Commit, 1, When::After);
/// let create = Commit::create()?;
/// assert!(store.commit(&id, &create, &lease).unwrap_err().is_unknown());
///
/// // The commit was carried out, and its answer was lost. The repeat finds that out.
/// assert!(store.commit(&id, &create.repeated(), &lease)?.is_done());
/// assert_eq!(store.calls(Call::Commit), 2);
/// # Ok::<(), lembro::Error>(())
/// ```
pub struct FaultStore<S> {
    store: S,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    faults: Vec<Fault>,
    calls: Vec<Call>,
}

struct Fault {
    /// `None`: any kind.
    call: Option<Call>,
    /// The position, from 1, of the failing call among those of this kind. `None`: all of them.
    nth: Option<usize>,
    when: When,
}

impl<S: Store> FaultStore<S> {
    /// Wraps a store. No call fails until a fault is added.
    pub fn new(store: S) -> Self {
        Self { store, plan: Mutex::default() }
    }

    /// Makes one call fail: the `nth` of this kind from now on, or the `nth` of all calls if `call`
    /// is `None`. For the next call, `nth` is 1.
    pub fn fail(&self, call: impl Into<Option<Call>>, nth: usize, when: When) {
        let (call, mut plan) = (call.into(), self.plan.lock());
        let nth = Some(plan.calls(call) + nth.max(1));
        plan.faults.push(Fault { call, nth, when });
    }

    /// Makes all calls of this kind fail, or all calls if `call` is `None`, until
    /// [`heal`](Self::heal).
    pub fn fail_all(&self, call: impl Into<Option<Call>>, when: When) {
        self.plan.lock().faults.push(Fault { call: call.into(), nth: None, when });
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.plan.lock().faults.clear();
    }

    /// The number of calls of this kind, or of all calls if `call` is `None`, failed ones included.
    pub fn calls(&self, call: impl Into<Option<Call>>) -> usize {
        self.plan.lock().calls(call.into())
    }

    /// The inner store, which never fails on purpose.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Counts a call, and carries it out or fails.
    fn on<T>(&self, call: Call, one: Option<Handle>, run: impl FnOnce(&dyn Store) -> Result<T>) -> Result<T> {
        let when = self.plan.lock().count(call);
        let fault = || std::io::Error::other(format!("a fault was asked for: {call:?}"));
        match when {
            None => run(&self.store),
            Some(When::Before) => Err(Error::store(fault())),
            Some(When::After) => {
                run(&self.store)?;
                let lost = || Error::store("the answer was lost");
                Err(one.map_or_else(lost, |handle| Error::unknown(handle).caused_by(fault())))
            }
        }
    }

    fn has_owners(&self) -> bool {
        self.store.owners().is_some()
    }

    fn inner_clock(&self) -> Clock {
        self.store.clock()
    }
}

wrap_store!(impl[S: Store] for FaultStore<S>);

impl Plan {
    fn calls(&self, kind: Option<Call>) -> usize {
        self.calls.iter().filter(|call| kind.is_none_or(|kind| kind == **call)).count()
    }

    /// Counts this call. If a fault applies to it, returns that fault's [`When`].
    fn count(&mut self, call: Call) -> Option<When> {
        self.calls.push(call);
        let mut faults = self.faults.iter().filter(|fault| fault.call.is_none_or(|kind| kind == call));
        faults.find(|fault| fault.nth.is_none_or(|nth| nth == self.calls(fault.call))).map(|fault| fault.when)
    }
}

impl<S> fmt::Debug for FaultStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStore").field("calls", &self.plan.lock().calls.len()).finish_non_exhaustive()
    }
}
