//! The trait every backend implements, with its contract in prose.

mod owners;

use std::time::Duration;

pub use self::owners::{EndReason, Owners};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::record::{Changes, Expected, Record};

/// Where sessions are kept. Seven methods; four more may be left out.
///
/// # The contract
///
/// **Finding.** A session is found by its id's [`Handle`]; then the secret is compared. Unknown, expired, destroyed
/// and "right handle, wrong secret" are all the same: the session is not there. That is a value (`None`,
/// [`Outcome::Gone`]), never an error. An `Err` means that the system failed and nothing is known.
///
/// **Time.** A `ttl` counts from now. A session is expired from the very instant its time is over (`now >= deadline`),
/// whether or not anything has removed it yet: it is not found, not counted, not listed, and its handle is free.
///
/// **Existence.** Only [`create`](Self::create) and [`set`](Self::set) make a session. `save`, `touch` and `rotate` never
/// bring one back, so that a logout is final while slow requests are still under way.
///
/// **Atomicity.** Each method happens at one instant. Two saves at once both count; `rotate` beside a save loses neither.
///
/// **Bytes, not user code.** Values arrive as JSON. A store never runs anything of the application's, so it may hold
/// its locks.
///
/// # Writing one
///
/// `examples/custom_store.rs` is a whole store on one screen. The rules that are easy to get wrong are methods:
/// [`Record::admit`] for `create`, [`Record::admit_anew`] for `set`, [`Expected::fits`] and [`Changes::apply`] for
/// `save`, [`SessionId::check_renews`] for `rotate`. Then run the contract suite of `lembro::testing`
/// against it: one line.
///
/// A store outside this process keeps a record's parts or its bytes, its version beside them
/// ([`Record::with_version`]), and a digest in place of the secret ([`SessionId::digest`]).
/// `lembro::redis` (feature `redis`) is one: a hash per session and a script per method.
pub trait Store: Send + Sync + 'static {
    /// The session and the time it has left; `None` if it is not there. Does not prolong it.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn get(&self, id: &SessionId) -> Result<Option<Stored>>;

    /// Stores a new session. [`Outcome::Conflict`] if the handle is taken by a live session, which stays as it is.
    /// A `ttl` of zero is done and leaves nothing.
    ///
    /// # Errors
    ///
    /// When the record is over a limit, or the store failed.
    fn create(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<Outcome>;

    /// Stores a session, in place of the one with this id if there is one.
    ///
    /// For applications that keep sessions by hand, and for moving them from another store. What it replaces counts as
    /// gone: a save that was made for it finds another incarnation.
    ///
    /// # Errors
    ///
    /// [`Error::is_conflict`] when the handle belongs to a live session with another secret; when the record is over a
    /// limit; when the store failed. The stored state stays.
    #[doc(alias = "upsert")]
    fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()>;

    /// Merges changes into what is stored at this instant, gives it the next version, and sets its time to `ttl`.
    ///
    /// Changes that name an owner and an [epoch](Changes::expect_epoch) that is over by now are `Gone` too: the owner logged out
    /// everywhere meanwhile. Only a store with [`owners`](Self::owners) gives out epochs, so only it has to know.
    ///
    /// `expected` says what must be found ([`Expected::fits`]): with `Incarnation` the outcome is `Done` or `Gone`, with
    /// `Exactly` it can be `Conflict` too. In both other cases nothing is written.
    ///
    /// # Errors
    ///
    /// When the result would be over a limit, or the store failed. The stored state stays.
    fn save(&self, id: &SessionId, changes: &Changes, ttl: Duration, expected: Expected) -> Result<Outcome>;

    /// Sets the session's time to exactly `ttl`, longer or shorter, and leaves its data and version alone.
    ///
    /// # Errors
    ///
    /// When the store failed.
    #[doc(alias = "update")]
    fn touch(&self, id: &SessionId, ttl: Duration) -> Result<Outcome>;

    /// Gives the session a new id: the same handle, the secret of `new`. Data, time and version stay.
    ///
    /// From then on `new` opens it. With a `grace` of zero the old id is dead at once; otherwise the old one can still
    /// `get`, `save`, `touch` and `destroy` for that long, so that requests under way finish, but not `rotate` again, and
    /// what it gets says that it is [in its grace](Stored::in_grace). An even older id is dead in any case.
    ///
    /// # Errors
    ///
    /// [`Error::is_id`] when `new` has another handle; when the store failed.
    #[doc(alias("regenerate", "cycle_id", "renew"))]
    fn rotate(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Result<Outcome>;

    /// Ends the session. `Gone` if it was not there, which is just as good.
    ///
    /// # Errors
    ///
    /// When the store failed: the session may still be there.
    #[doc(alias("delete", "remove"))]
    fn destroy(&self, id: &SessionId) -> Result<Outcome>;

    /// Every live session. Not one instant's picture: sessions come and go while it runs.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`] unless the store has it; when the store failed, at once or on the way.
    fn all(&self) -> Result<Listing<'_>> {
        Err(Error::unsupported("listing its sessions"))
    }

    /// How many live sessions there are.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`] unless the store has it; when the store failed.
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
    /// [`Error::is_unsupported`] unless the store has it; when the store failed.
    fn clear(&self) -> Result<()> {
        Err(Error::unsupported("clearing itself"))
    }

    /// The store's powers over all the sessions of one owner; `None` unless it has them.
    fn owners(&self) -> Option<&dyn Owners> {
        None
    }

    /// The clock that the store goes by. Sessions use the same one.
    fn clock(&self) -> Clock {
        Clock::system()
    }
}

/// A session as a store gives it out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Its data.
    pub record: Record,
    /// The time it has left.
    pub ttl: Duration,
    /// Whether it was opened by an id from before a [`rotate`](Store::rotate), which still has its grace.
    pub in_grace: bool,
}

impl Stored {
    /// A session with its data and the time it has left.
    pub fn new(record: Record, ttl: Duration) -> Self {
        Self { record, ttl, in_grace: false }
    }

    /// The same, saying whether the id that opened it was rotated away and is in its grace.
    #[must_use]
    pub fn in_grace(self, in_grace: bool) -> Self {
        Self { in_grace, ..self }
    }
}

/// What became of a write. Ignoring it would be a logout undone or an id taken twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It is done.
    Done,
    /// The session is not there (any more); nothing was written.
    Gone,
    /// Somebody else was first: the handle is taken, or the version is not the expected one. Nothing was written.
    Conflict,
}

impl Outcome {
    /// Whether it is [`Done`](Self::Done).
    pub fn is_done(self) -> bool {
        self == Self::Done
    }

    /// Whether it is [`Gone`](Self::Gone).
    pub fn is_gone(self) -> bool {
        self == Self::Gone
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
    /// Its whole id, from a store that keeps whole ids: what moving to another store needs.
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

/// Passes every method on, the optional ones too: a forgotten one would silently turn into "unsupported".
macro_rules! forward_store {
    ($pointer:ident) => {
        impl<S: Store + ?Sized> Store for $pointer<S> {
            fn get(&self, id: &SessionId) -> Result<Option<Stored>> {
                (**self).get(id)
            }
            fn create(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<Outcome> {
                (**self).create(id, record, ttl)
            }
            fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
                (**self).set(id, record, ttl)
            }
            fn save(&self, id: &SessionId, changes: &Changes, ttl: Duration, expected: Expected) -> Result<Outcome> {
                (**self).save(id, changes, ttl, expected)
            }
            fn touch(&self, id: &SessionId, ttl: Duration) -> Result<Outcome> {
                (**self).touch(id, ttl)
            }
            fn rotate(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Result<Outcome> {
                (**self).rotate(id, new, grace)
            }
            fn destroy(&self, id: &SessionId) -> Result<Outcome> {
                (**self).destroy(id)
            }
            fn all(&self) -> Result<Listing<'_>> {
                (**self).all()
            }
            fn len(&self) -> Result<usize> {
                (**self).len()
            }
            fn is_empty(&self) -> Result<bool> {
                (**self).is_empty()
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
        }
    };
}

use std::sync::Arc;
forward_store!(Arc);
forward_store!(Box);
