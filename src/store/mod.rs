//! The store: the trait that every backend implements, and the rule that computes their answers.
//!
//! ```text
//! mod        the trait
//! lease      the rules of a session's time
//! commit     everything that a request did to its session
//! outcome    the answers of a store
//! owners     the operations on all sessions of one owner
//! entry      the row that a store keeps
//! rule       the two pure functions that compute an answer and the next row
//! ```

mod commit;
mod entry;
mod lease;
mod outcome;
mod owners;
mod rule;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

pub(crate) use self::commit::Nonces;
pub use self::commit::{Action, Commit, Expect, Identity, Login};
pub use self::entry::{Entry, Write};
pub(crate) use self::entry::{read_row, take, write_row};
pub(crate) use self::lease::nanos;
pub use self::lease::{Lease, Now};
pub use self::outcome::{Listed, Listing, Look, Lookup, Outcome, Presented, Receipt, Stored};
pub use self::owners::{AtLimit, EndReason, Epoch, Limit, Owner, Owners};
pub(crate) use self::rule::{Edit, LookAnswer, id_age, is_expired};
pub(crate) use self::rule::{apply, look, preview};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::{SessionId, random_number};
use crate::record::{Record, Version};

/// A backend that keeps sessions.
///
/// Two methods are required: [`look`](Self::look) and [`apply`](Self::apply). Six are provided and
/// built on them: [`get`](Self::get), [`visit`](Self::visit), [`commit`](Self::commit),
/// [`set`](Self::set), [`touch`](Self::touch) and [`destroy`](Self::destroy). The others are
/// optional.
///
/// If one process uses the data, implement the three methods of [`KeyValue`](crate::KeyValue)
/// instead, and [`KeyValueStore`](crate::KeyValueStore) makes a store of them.
///
/// # The contract
///
/// **Rows.** A store keeps one row, an [`Entry`], for each [`Handle`](crate::Handle), the public
/// half of an id.
///
/// **The rule decides.** The rule is two functions, [`Entry::look`] and [`Entry::apply`]. They
/// check the secret half of the id, and return the answer and a [`Write`]. A store reads the row of
/// the id's handle, calls one of the two, carries out the write and returns the answer, in one
/// atomic step: under a lock, or in a transaction that overlaps no other one on this handle.
///
/// **Time.** Within that step the store takes the time of its [`clock`](Self::clock): with
/// [`Now::of`] if its rows end with the process, with [`Now::on_calendar`] if they outlive it. The
/// rule treats an expired row like a missing one, so a store may remove expired rows at any time.
///
/// **Errors.** An expired or destroyed session, and an unknown or superseded id, are answers. An
/// `Err` says that the system failed or that the action is impossible. If a failed write may have
/// been carried out, the error is [`Error::is_unknown`]; for every other error nothing was written.
///
/// **Bytes.** Values arrive as JSON, so no `Serialize` code of the application runs under a lock.
///
/// # Writing one
///
/// This store has no [`Owners`], so it passes no [`Epoch`] to the rule.
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
///         carry_out(write, &mut rows, id);
///         Ok(lookup)
///     }
///
///     fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
///         let mut rows = self.rows.lock().unwrap();
///         let (row, now) = (rows.get(&id.handle()), Now::of(&self.clock()));
///         let (outcome, write) = Entry::apply(row, id, action, lease, now, None)?;
///         carry_out(write, &mut rows, id);
///         Ok(outcome)
///     }
/// }
///
/// fn carry_out(write: Write, rows: &mut HashMap<Handle, Entry>, id: &SessionId) {
///     match write {
///         Write::Nothing => {}
///         Write::Put(row) => drop(rows.insert(id.handle(), row)),
///         Write::Remove => drop(rows.remove(&id.handle())),
///     }
/// }
/// ```
///
/// `lembro::testing` (feature `testing`) has a test suite that checks a store against the contract,
/// and a store that fails on purpose, for the tests of an application.
#[cfg_attr(
    any(doc, doctest),
    doc = "[`store_in_a_database`](crate::store_in_a_database) says what a store that outlives its process needs."
)]
pub trait Store: Send + Sync + 'static {
    /// Answers a request's look by [`Entry::look`], in one atomic step. A visit prolongs the
    /// session if that is due.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup>;

    /// Carries out an action on one session by [`Entry::apply`], in one atomic step.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`] when the session would be too large, [`Error::is_full`] when there is no
    /// room for it, [`Error::is_unknown`] when the action may have been carried out, and otherwise
    /// when the store failed. Unless the error is `is_unknown`, nothing was written.
    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome>;

    /// The session that an id opens. Neither prolongs the session nor applies a lease.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn get(&self, id: &SessionId) -> Result<Option<Stored>> {
        self.look(id, Look::Peek, &Lease::UNLIMITED).map(Lookup::found)
    }

    /// Looks at a session, and prolongs it if that is due by [`Lease::touch_after`](Lease).
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

    /// Stores a session, in place of the one with this id if there is one. A `ttl` of zero ends
    /// that session and stores nothing.
    ///
    /// This is for applications that keep sessions by hand, and for moving sessions from another
    /// store. It begins a new incarnation, so a commit that was made for the replaced session is
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

    /// Ends a session. [`Outcome::Gone`] means that there was no such session, also a success.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    #[doc(alias("delete", "remove"))]
    fn destroy(&self, id: &SessionId) -> Result<Outcome> {
        self.apply(id, &Action::End(None), &Lease::UNLIMITED)
    }

    /// All live sessions. The list is not a picture of one instant, because sessions begin and end
    /// while it runs.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`] if the store does not implement this; or if the store fails.
    /// An item of the list is an error if the store fails later.
    fn all(&self) -> Result<Listing<'_>> {
        Err(Error::unsupported("listing its sessions"))
    }

    /// The number of live sessions.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`] if the store does not implement this; or if the store fails.
    #[doc(alias = "length")]
    fn len(&self) -> Result<usize> {
        Err(Error::unsupported("counting its sessions"))
    }

    /// Returns true if there are no live sessions.
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
    /// [`Error::is_unsupported`] if the store does not implement this; or if the store fails.
    fn clear(&self) -> Result<()> {
        Err(Error::unsupported("clearing itself"))
    }

    /// The store's operations on all sessions of one owner; `None` if it has none.
    fn owners(&self) -> Option<&dyn Owners> {
        None
    }

    /// The clock of the store, which its sessions use too. Default: [`Clock::system`].
    fn clock(&self) -> Clock {
        Clock::system()
    }

    /// From now on, sends to a subscriber the store's events, such as expired and evicted sessions.
    /// [`Sessions::events`](crate::Sessions::events) calls it. Default: the store has no events.
    fn send_events(&self, to: Sender<Event>) {
        drop(to);
    }

    /// From now on, sends to a subscriber the errors that no caller receives, such as those of a
    /// background purge. [`Sessions::errors`](crate::Sessions::errors) calls it. Default: the store
    /// has no such errors.
    fn send_errors(&self, to: Sender<Error>) {
        drop(to);
    }
}

/// Forwards the required and the optional methods, on which the provided ones are built.
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
