//! Several stores on the same data, seen as one: reopened before each call, or two at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::Time;
use super::wrapper::{Call, owners, wrap_store};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::store::{Action, EndReason, Epoch, Lease, Listed, Listing, Look, Lookup, Outcome, Owner, Owners, Store};

/// Stores that are closed and opened again before each call: what was acknowledged must outlive the
/// process.
///
/// `data` makes new, empty data for each rule, and what it returns opens a store on them. The store
/// is given a clock whose [`Clock::now`] begins at zero each time, as in a process that was just
/// started, while the calendar goes on. Calls of several threads at once share one store.
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
    move || Handles::boxed(time.clone(), data(), 1, true)
}

/// Two stores on the same data, as two processes have them: the calls go to one and the other in
/// turn, those of several threads to both at once.
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
    move || Handles::boxed(time.clone(), data(), 2, false)
}

struct Handles {
    open: Box<dyn Fn() -> Box<dyn Store> + Send + Sync>,
    stores: RwLock<Vec<Box<dyn Store>>>,
    turn: AtomicUsize,
    is_reopened: bool,
    has_owners: bool,
}

impl Handles {
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
            // Closed first: a store may have locked its file.
            stores.clear();
            stores.push((self.open)());
        }
        let stores = self.stores.read();
        // The Thue-Morse sequence: each handle gets some of any alternating pattern of a rule.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).count_ones() as usize % stores.len().max(1);
        run(&**stores.get(turn).ok_or_else(|| Error::store("the store was not opened"))?)
    }

    fn has_owners(&self) -> bool {
        self.has_owners
    }

    fn below_clock(&self) -> Clock {
        self.on(Call::Whole, None, |store| Ok(store.clock())).unwrap_or_default()
    }
}

wrap_store!(impl[] for Handles);
