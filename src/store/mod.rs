//! The store: the trait that every backend implements, and the rule that decides for all of them.

mod commit;
mod entry;
mod lease;
mod nonces;
mod outcome;
mod owners;
mod rule;

use std::sync::Arc;
use std::time::Duration;

pub use self::commit::{Action, Commit, Expect, Identity, Login};
pub use self::entry::{Entry, Write};
pub(crate) use self::entry::{read_row, take, write_row};
pub(crate) use self::lease::nanos;
pub use self::lease::{Lease, Now};
pub(crate) use self::nonces::Nonces;
pub use self::outcome::{Look, Lookup, Outcome, Presented, Receipt, Stored};
pub use self::owners::{AtLimit, EndReason, Epoch, Limit, Owner, Owners};
pub(crate) use self::rule::{Edit, Sight, id_age, is_expired};
pub(crate) use self::rule::{apply, look, preview};
use crossbeam_channel::Sender;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::{Handle, SessionId, random_number};
use crate::record::{Record, Version};

/// A backend that keeps sessions. Two methods are required; five more are optional.
///
/// For one process there is less to write: a [`KeyValue`](crate::KeyValue) is a backend of three
/// methods, and [`KeyValueStore`](crate::KeyValueStore) is the store on it.
///
/// # The contract
///
/// **The rule decides.** [`Entry::look`] and [`Entry::apply`] decide what a look finds and what an
/// action does. A store reads the row of the id's [`Handle`], asks, and writes what they say, all
/// in one atomic step: under a lock, or in a transaction that overlaps no other one.
///
/// **Errors.** "Unknown", "expired", "destroyed" and "superseded" are values. An `Err` says that
/// the system failed or that the action is impossible. If a failed write may have been carried out
/// all the same, the error is [`Error::is_unknown`]; for every other error nothing was written.
///
/// **Bytes, not user code.** Values arrive as JSON. A store never runs code of the application, so
/// it may hold its locks.
///
/// # Writing one
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// use lembro::{
///     Action, Clock, Entry, Handle, Lease, Look, Lookup, Now, Outcome, Result, SessionId, Store,
///     Write,
/// };
///
/// #[derive(Default)]
/// struct MyStore {
///     rows: Mutex<HashMap<Handle, Entry>>,
/// }
///
/// impl Store for MyStore {
///     fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
///         let mut rows = self.rows.lock().unwrap();
///         let (row, now) = (rows.get(&id.handle()), Now::of(&self.clock()));
///         let (lookup, write) = Entry::look(row, id, how, lease, now);
///         keep(&mut rows, id, write);
///         Ok(lookup)
///     }
///
///     fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
///         let mut rows = self.rows.lock().unwrap();
///         let (row, now) = (rows.get(&id.handle()), Now::of(&self.clock()));
///         let (outcome, write) = Entry::apply(row, id, action, lease, now, None)?;
///         keep(&mut rows, id, write);
///         Ok(outcome)
///     }
/// }
///
/// fn keep(rows: &mut HashMap<Handle, Entry>, id: &SessionId, write: Write) {
///     match write {
///         Write::Nothing => {}
///         Write::Put(row) => drop(rows.insert(id.handle(), row)),
///         Write::Remove => drop(rows.remove(&id.handle())),
///     }
/// }
/// ```
///
/// `lembro::testing` (feature `testing`) has the contract as code, to run against your own store,
/// and a store that fails on purpose, for the tests of an application.
#[cfg_attr(
    any(doc, doctest),
    doc = "[`store_in_a_database`](crate::store_in_a_database) says what a store that outlives its process needs."
)]
pub trait Store: Send + Sync + 'static {
    /// Answers a request's look. A visit prolongs the session if that is due.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup>;

    /// Carries out an action on one session, in one atomic step.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`] when the session would be too large, [`Error::is_full`] when there is no
    /// room for it, [`Error::is_unknown`] when it may have been carried out or not, and otherwise
    /// when the store failed: then, and in every case but `is_unknown`, nothing was written.
    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome>;

    /// The session that an id opens. Neither prolongs it nor applies a lease.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn get(&self, id: &SessionId) -> Result<Option<Stored>> {
        self.look(id, Look::Peek, &Lease::UNLIMITED).map(Lookup::found)
    }

    /// Looks at a session, and prolongs it if the last visit that did is long enough ago.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn visit(&self, id: &SessionId, lease: &Lease) -> Result<Lookup> {
        self.look(id, Look::Visit, lease)
    }

    /// Applies everything that a request did to its session.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    fn commit(&self, id: &SessionId, commit: &Commit, lease: &Lease) -> Result<Outcome> {
        self.apply(id, &Action::Commit(commit), lease)
    }

    /// Stores a session, in place of the one with this id if there is one. With a `ttl` of zero,
    /// ends that session and stores nothing.
    ///
    /// For applications that keep sessions by hand, and for moving sessions from another store. It
    /// begins a new incarnation, so a commit that was made for the replaced session is
    /// [`Outcome::Gone`].
    ///
    /// # Errors
    ///
    /// [`Error::is_taken`] when the handle belongs to a live session with another secret; otherwise
    /// as [`apply`](Self::apply).
    #[doc(alias = "upsert")]
    fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
        let version = Version::first(random_number()?);
        let record = record.prepare(version, Now::of(&self.clock()).calendar_ms)?;
        match self.apply(id, &Action::Put(&record, ttl), &Lease::UNLIMITED)? {
            Outcome::Done(_) => Ok(()),
            _ => Err(Error::taken(id.handle())),
        }
    }

    /// Prolongs a session now, without changing its data.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    #[doc(alias = "update")]
    fn touch(&self, id: &SessionId, lease: &Lease) -> Result<Outcome> {
        self.apply(id, &Action::Touch(None), lease)
    }

    /// Ends a session. [`Outcome::Gone`] says that there was none, which is a success too.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    #[doc(alias("delete", "remove"))]
    fn destroy(&self, id: &SessionId) -> Result<Outcome> {
        self.apply(id, &Action::End(None), &Lease::UNLIMITED)
    }

    /// Every live session. The list is not the picture of one instant: sessions begin and end while
    /// it runs.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`] unless the store has this method; when the store failed, at once
    /// or on the way.
    fn all(&self) -> Result<Listing<'_>> {
        Err(Error::unsupported("listing its sessions"))
    }

    /// How many live sessions there are.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`] unless the store has this method; when the store failed.
    #[doc(alias = "length")]
    fn len(&self) -> Result<usize> {
        Err(Error::unsupported("counting its sessions"))
    }

    /// Whether there are no live sessions.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    fn is_empty(&self) -> Result<bool> {
        self.len().map(|sessions| sessions == 0)
    }

    /// Destroys every session.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`] unless the store has this method; when the store failed.
    fn clear(&self) -> Result<()> {
        Err(Error::unsupported("clearing itself"))
    }

    /// The store's operations on all sessions of one owner; `None` unless it has them.
    fn owners(&self) -> Option<&dyn Owners> {
        None
    }

    /// The clock of the store, which its sessions use too.
    fn clock(&self) -> Clock {
        Clock::system()
    }

    /// Sends what happens to sessions in the store to a subscriber, from now on, if the store
    /// notices it. [`Sessions::events`](crate::Sessions::events) subscribes with it.
    fn send_events(&self, to: Sender<Event>) {
        drop(to);
    }

    /// Sends the errors that no caller receives to a subscriber, from now on, if there can be any.
    /// [`Sessions::errors`](crate::Sessions::errors) subscribes with it.
    fn send_errors(&self, to: Sender<Error>) {
        drop(to);
    }
}

/// The live sessions of a store, one by one.
pub type Listing<'a> = Box<dyn Iterator<Item = Result<Listed>> + 'a>;

/// One session of a [`Listing`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// Which session.
    pub handle: Handle,
    /// Its whole id, if the store keeps whole ids: what a move to another store needs.
    pub id: Option<SessionId>,
    /// The session.
    pub stored: Stored,
}

impl Listed {
    /// A session whose secret the store does not know.
    pub fn new(handle: Handle, stored: Stored) -> Self {
        Self { handle, id: None, stored }
    }

    /// A session with its whole id.
    pub fn with_id(id: SessionId, stored: Stored) -> Self {
        Self { handle: id.handle(), id: Some(id), stored }
    }
}

/// Forwards the required and the optional methods. The provided ones build on these.
macro_rules! forward_store {
    ($pointer:ident) => {
        impl<S: Store + ?Sized> Store for $pointer<S> {
            fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
                (**self).look(id, how, lease)
            }
            fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
                (**self).apply(id, action, lease)
            }
            fn all(&self) -> Result<Listing<'_>> {
                (**self).all()
            }
            fn len(&self) -> Result<usize> {
                (**self).len()
            }
            fn clear(&self) -> Result<()> {
                (**self).clear()
            }
            fn owners(&self) -> Option<&dyn Owners> {
                (**self).owners()
            }
            fn clock(&self) -> Clock {
                (**self).clock()
            }
            fn send_events(&self, to: Sender<Event>) {
                (**self).send_events(to);
            }
            fn send_errors(&self, to: Sender<Error>) {
                (**self).send_errors(to);
            }
        }
    };
}

forward_store!(Arc);
forward_store!(Box);
