//! `RedisStore`: sessions on Redis or Valkey, for more than one process.
//!
#![doc = include_str!("guide.md")]
//!
//! # How it works inside
//!
//! ```text
//! mod           the store: what users see, and a session's life
//!   options       what can be set, checked in one place
//!   owners        the sessions of one owner
//!   listing       all sessions: listed, counted, cleared, taken over from another store
//!   calls         scripts on a session, until they have an answer
//!   replies       what they answer, and what it means
//!   scripts       what happens at one instant, in Lua
//!   fields        a session as the fields of a hash, and back
//!   keys          what the keys are called
//!   connections   a bounded pool, and a time limit for all that is done with it
//!   breaker       who tries again when the server is down
//!   link          one connection, to a server or to the nodes of a cluster
//!   tls           certificates
//! ```
//!
//! A session is one hash under its handle, and every method one script on it: it happens at one instant, in one round trip. Redis'
//! own expiry ends it. Beside it, for an hour after somebody ended it, there is a key that says why.
//!
//! In a cluster a script sees the keys of one slot only, so what concerns an owner, or the index of all sessions, takes several
//! steps. Why their order is safe:
//!
//! - **The sets are hints, and know too much rather than too little.** A session is *noted* in the index and in the set of its owner
//!   for twice the time it has, before it gets that time. Its meta field says until when; a script that would prolong it
//!   beyond that says `Note` and does nothing. So sets are written once per session and lifetime, not at every visit. Whoever reads one
//!   looks at each session, too.
//! - **A login is confirmed.** First the owner's set notes the session and tells the epoch. Then the session is saved with that epoch,
//!   marked as not yet confirmed. Then the epoch is asked again: if it is still the same, whoever raises it from now on finds
//!   the session in the set; if not, the login is undone. Whoever meets a session that is marked asks, too.
//! - **Log out everywhere** raises the epoch, reads the set and ends each session of an earlier epoch. A login that was under way is either
//!   found or finds the epoch raised.
//! - **All but this one**: the next epoch is reserved, the spared session is lifted to it, and only then it is everybody's. In the other
//!   order a second call could end it.
//! - Epochs are milliseconds, so that they go on growing when the keys of an owner nobody thinks of any more have expired. They live
//!   as long as any session in the set, and a day: longer than any login takes.

mod breaker;
mod calls;
mod connections;
mod fields;
mod keys;
mod link;
mod listing;
mod logins;
mod options;
mod owners;
mod plan;
mod replies;
mod row;
mod scripts;
mod tls;

use std::fmt;

use crossbeam_channel::Receiver;

use self::calls::Calls;
pub use self::options::RedisOptions;
use self::plan::Plan;
use self::scripts::{END, PUT};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::SessionId;
use crate::store::{Action, Lease, Listing, Look, Lookup, Outcome, Owners, Store};
use crate::sync::Arc;

/// Sessions on a Redis or Valkey server, or a cluster of them: for more than one process.
///
/// It keeps every promise that [`LembroStore`](crate::LembroStore) keeps: parallel saves merge, a logout is final, ids that were renewed have
/// a grace. A clone is another handle on the same connections.
///
/// # Examples
///
/// ```no_run
/// use lembro::Sessions;
/// use lembro::redis::{RedisOptions, RedisStore};
///
/// let store = RedisStore::with_options(RedisOptions::new().url("redis://127.0.0.1:6379").timeout("250ms"))?;
/// store.ping()?;
/// let sessions = Sessions::new(store);
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias("ValkeyStore", "redis"))]
pub struct RedisStore {
    calls: Arc<Calls>,
}

impl RedisStore {
    /// A store on one server, with the default options.
    ///
    /// Nothing is connected yet: the first call does that, and whenever the connection was lost another one does.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] when the URL is none.
    pub fn new(url: &str) -> Result<Self> {
        Self::with_options(RedisOptions::new().url(url))
    }

    /// A store with options of your own.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] when one of them is wrong, with its name.
    #[expect(clippy::needless_pass_by_value, reason = "as every other store's options")]
    pub fn with_options(options: RedisOptions) -> Result<Self> {
        Ok(Self { calls: Arc::new(Calls::new(options.resolve()?)) })
    }

    /// Asks the server whether it answers: for a start that is to fail at once without it, and for health checks.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn ping(&self) -> Result<()> {
        // As good as any question: a user who may not ask this may do nothing.
        self.calls.epoch("").map(drop)
    }

    /// Subscribes to ids that lead nowhere and to dead ids, from now on.
    ///
    /// Each subscriber has a queue of 1,024 events; what does not fit is dropped.
    pub fn events(&self) -> Receiver<Event> {
        self.calls.events.subscribe()
    }

    /// Subscribes to failures of the server from now on: one in a second at most, however many requests met it.
    ///
    /// A queue of 1,024 errors, as for [`events`](Self::events).
    #[doc(alias = "on_error")]
    pub fn errors(&self) -> Receiver<Error> {
        self.calls.errors.subscribe()
    }
}

impl Store for RedisStore {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        self.calls.look(id, how, lease)
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let calls = &self.calls;
        match action {
            Action::Commit(commit) => calls.commit(id, commit, lease),
            Action::Put(record, ttl) => calls.put(Plan::of(&PUT, id, lease), b'p', record, plan::millis(*ttl)),
            Action::Touch => calls.touch(id, lease),
            Action::End => calls.end(&Plan::of(&END, id, lease).told(calls::ending(b'i', b'-', [0, 0]))),
        }
    }

    fn all(&self) -> Result<Listing<'_>> {
        Ok(Box::new(self.calls.all()))
    }

    fn len(&self) -> Result<usize> {
        self.calls.len()
    }

    fn clear(&self) -> Result<()> {
        self.calls.clear()
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn clock(&self) -> Clock {
        self.calls.clock.clone()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.fmt(f)
    }
}
