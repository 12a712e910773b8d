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
mod options;
mod owners;
mod replies;
mod scripts;
mod tls;

use std::fmt;
use std::time::Duration;

use crossbeam_channel::Receiver;

use self::calls::{Call, Calls};
use self::connections::Repeat;
pub use self::options::RedisOptions;
use self::replies::{conflict_or_done, outcome};
use self::scripts::{CREATE, DESTROY, ROTATE, SAVE, SET, TOUCH};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::SessionId;
use crate::record::{Changes, Epoch, Expected, Record};
use crate::store::{Listing, Outcome, Owners, Store, Stored};
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
        self.calls.ping()
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

    fn create_in(&self, id: &SessionId, record: Record, ttl: Duration, begun: Option<Epoch>) -> Result<Outcome> {
        let record = record.admit(self.clock().wall())?;
        let call = Call::new(&CREATE, id).ttl(ttl).repeat(Repeat::Never);
        self.calls.add(call, &record, begun).and_then(|reply| outcome(&reply))
    }
}

impl Store for RedisStore {
    fn get(&self, id: &SessionId) -> Result<Option<Stored>> {
        self.calls.find(id)
    }

    fn create(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<Outcome> {
        self.create_in(id, record, ttl, None)
    }

    fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
        let record = record.admit_anew(self.clock().wall())?;
        let reply = self.calls.add(Call::new(&SET, id).ttl(ttl), &record, None)?;
        conflict_or_done(id.handle(), &reply)
    }

    fn save(&self, id: &SessionId, changes: &Changes, ttl: Duration, expected: Expected) -> Result<Outcome> {
        self.calls.check_size(id.handle(), fields::size_of_changes(changes))?;
        let mut call = Call::new(&SAVE, id).ttl(ttl).repeat(Repeat::Never);
        let login = match changes.owner().flatten() {
            None => None,
            Some(owner) => {
                let begun = changes.login().map(|(_, begun)| begun);
                let Some(epoch) = self.calls.begin_login(id.handle(), owner, ttl, begun)? else {
                    return Ok(Outcome::Gone);
                };
                call = call.noted();
                Some((owner, epoch))
            }
        };
        let epoch = login.map(|(_, epoch)| epoch);
        let call = call.with(fields::of_changes(changes, epoch, expected, self.calls.max_session_size));
        let outcome = outcome(&self.calls.run(&call)?)?;
        match login.filter(|_| outcome.is_done()) {
            Some((owner, epoch)) if !self.calls.confirm(id.handle(), owner, epoch)? => Ok(Outcome::Gone),
            _ => Ok(outcome),
        }
    }

    fn touch(&self, id: &SessionId, ttl: Duration) -> Result<Outcome> {
        outcome(&self.calls.run(&Call::new(&TOUCH, id).ttl(ttl))?)
    }

    fn rotate(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Result<Outcome> {
        new.check_renews(id)?;
        let digest = calls::digest(new);
        let call = Call::new(&ROTATE, id).ttl(grace).repeat(Repeat::Never).with([digest.as_slice().into()]);
        outcome(&self.calls.run(&call)?)
    }

    fn destroy(&self, id: &SessionId) -> Result<Outcome> {
        outcome(&self.calls.run(&Call::new(&DESTROY, id))?)
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
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.fmt(f)
    }
}
