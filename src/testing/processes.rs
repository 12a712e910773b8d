//! Test stores that act like several processes on the same data. They reopen a store before each
//! call, or use two stores at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::verdict::Time;
use super::wrapper::{Call, owners, wrap_store};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::store::{Action, EndReason, Epoch, Lease, Listed, Listing, Look, Lookup, Outcome, Owner, Owners, Store};

/// Makes stores that are closed and opened again before each call, to check that acknowledged
/// writes survive a restart of the process.
///
/// `data` makes new, empty data for each rule of the contract and returns a closure that opens a
/// store on them. The closure gets the clock of a new process: [`Clock::now`] begins at zero, and
/// the calendar time continues. Parallel calls share one store.
///
/// # Examples
///
/// ```
/// use lembro::testing::{self, PlainStore};
/// use lembro::Clock;
///
/// let time = Clock::manual();
/// testing::contract(&time, testing::reopened(&time, || {
///     // A database makes a new, empty file here, and opens that file in the closure.
///     let data = PlainStore::new(Clock::system());
///     move |clock: &Clock| data.open(clock.clone())
/// }));
/// ```
pub fn reopened<S, D>(time: impl Into<Time>, data: impl Fn() -> D) -> impl Fn() -> Box<dyn Store>
where
    S: Store,
    D: Fn(&Clock) -> S + Send + Sync + 'static,
{
    let time = time.into();
    move || ProcessStores::boxed(time.clone(), data(), 1, true)
}

/// Makes pairs of stores on the same data, like the stores of two processes. The calls are divided
/// between both stores, and parallel calls can use both at once.
///
/// # Examples
///
/// ```
/// use lembro::testing::{self, PlainStore};
/// use lembro::Clock;
///
/// let time = Clock::manual();
/// testing::contract(&time, testing::two_handles(&time, || {
///     let data = PlainStore::new(Clock::system());
///     move |clock: &Clock| data.open(clock.clone())
/// }));
/// ```
pub fn two_handles<S, D>(time: impl Into<Time>, data: impl Fn() -> D) -> impl Fn() -> Box<dyn Store>
where
    S: Store,
    D: Fn(&Clock) -> S + Send + Sync + 'static,
{
    let time = time.into();
    move || ProcessStores::boxed(time.clone(), data(), 2, false)
}

struct ProcessStores {
    open: Box<dyn Fn() -> Box<dyn Store> + Send + Sync>,
    stores: RwLock<Vec<Box<dyn Store>>>,
    turn: AtomicUsize,
    is_reopened: bool,
    has_owners: bool,
}

impl ProcessStores {
    fn boxed<S, D>(time: Time, data: D, count: usize, is_reopened: bool) -> Box<dyn Store>
    where
        S: Store,
        D: Fn(&Clock) -> S + Send + Sync + 'static,
    {
        let open = move || Box::new(data(&time.restarted())) as Box<dyn Store>;
        let stores: Vec<_> = (0..count).map(|_| open()).collect();
        let has_owners = stores.iter().all(|store| store.owners().is_some());
        let (open, stores, turn) = (Box::new(open), RwLock::new(stores), AtomicUsize::new(0));
        Box::new(Self { open, stores, turn, is_reopened, has_owners })
    }

    fn on<T>(&self, _: Call, _: Option<Handle>, run: impl FnOnce(&dyn Store) -> Result<T>) -> Result<T> {
        if self.is_reopened
            && let Some(mut stores) = self.stores.try_write()
        {
            // The old store is closed first, because it may have locked its file.
            stores.clear();
            stores.push((self.open)());
        }
        let stores = self.stores.read();
        // The Thue-Morse sequence chooses the store. If the stores took turns, a rule that
        // alternates between two calls would send each of them to one store only.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).count_ones() as usize % stores.len().max(1);
        run(&**stores.get(turn).ok_or_else(|| Error::store("the store was not opened"))?)
    }

    fn has_owners(&self) -> bool {
        self.has_owners
    }

    fn inner_clock(&self) -> Clock {
        self.on(Call::Whole, None, |store| Ok(store.clock())).unwrap_or_default()
    }
}

wrap_store!(impl[] for ProcessStores);
