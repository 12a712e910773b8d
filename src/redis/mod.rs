//! `RedisStore`: sessions on Redis or Valkey, for more than one process.
//!
#![doc = include_str!("guide.md")]
//!
//! # How it works inside
//!
//! ```text
//! mod           the store: what users see
//!   options       what can be set, checked in one place
//!   owners        the sessions of one owner
//!   listing       all sessions: listed, counted, cleared, taken over from another store
//!   logins        commits, and what a login needs before its commit
//!   calls         looks, and plans that are carried out until they have an answer
//!   plan          a script on one session, and what it is told
//!   replies       what scripts answer
//!   scripts       the rule in Lua, and what happens at one instant to an owner
//!   row           a session as it stands in its hash
//!   fields        its entries as fields of the hash
//!   keys          what the keys are called
//!   hints         which sessions were visited lately, and what the server's clock says
//!   connections   a bounded pool, and a time limit for all that is done with it
//!   breaker       one caller tries again when the server is down
//!   link          one connection, to a server or to the nodes of a cluster
//!   tls           certificates
//! ```
//!
//! A session is one hash under its handle, and every action one script on it: it happens at one
//! instant, in one round trip, by the server's clock. The scripts do what the rule does
//! ([`Entry`](crate::Entry)), and `tests/it/redis/rule.rs` holds them to it. Redis' own expiry ends
//! sessions. For an hour after another request ended a session, a key beside it says why.
//!
//! A look on one server is a pipeline: a script that writes only what the visit changes and tells
//! the time, and a plain command that reads the hash behind it. The rule itself, in Rust, judges
//! what was read. If the server refuses the writing, the reading is served all the same. A look
//! without a script goes by a reading of the server's clock that is at most a second old. For a
//! session that this process saw not to be due yet, the script is left out; if there is something
//! to note after all, it follows.
//!
//! In a cluster a script sees the keys of one slot only, so what concerns an owner, or the index of
//! all sessions, takes several steps. Why their order is safe:
//!
//! - **The sets are hints, and know too much rather than too little.** A session is *noted* in the
//!   index and in the set of its owner for twice the time it has, before it gets that time. Its row
//!   says until when; a script that would prolong it beyond that answers "note" and writes nothing.
//!   So sets are written once per session and lifetime, not at every visit. What reads a set looks
//!   at each session, too.
//! - **A login enters its owner's set first**, which tells the epoch and reserves a place. The
//!   commit then carries the epoch. Log out everywhere raises the epoch and then reads the set, so
//!   it finds every login that entered before; if the commit of such a login comes later, it
//!   carries an epoch that is over.
//! - **A login is confirmed before it is served.** On one server the commit has the owner's keys at
//!   hand: it counts, or it is refused. In a cluster it is stored as not confirmed, and the first
//!   script that meets it writes nothing and asks: if the owner's epoch is still the commit's and
//!   its place was not given away, the session is confirmed, else it is ended.
//! - **The limit is held in the owner's set**, which knows when each session logged in. Over the
//!   limit, the login looks at the sessions that the set knows, and enters once more with those
//!   that are not there any more. The script drops these, and gives the places of the oldest away;
//!   their sessions are ended before the commit. A place whose login is not carried out counts for
//!   30 seconds. If a process dies in between, the next login finds the places that were given away
//!   and ends their sessions.
//! - **All but this one**: the next epoch is drawn, the spared session is lifted to it, and only
//!   then it begins. In the other order a second call could end that session.
//! - Epochs are milliseconds, so that they go on growing when the keys of an owner who was away
//!   have expired. They live as long as any session in the set, and a day: longer than any login
//!   takes.
//!
//! **Whatever is sent may be sent twice.** The row keeps the nonces of its last four versions, so a
//! commit that is repeated is recognised; looks, touches and ends do the same again or nothing. A
//! connection that was lost while it lay idle is therefore replaced and all is sent once more. Any
//! other lost answer is [`Error::is_unknown`](crate::Error::is_unknown).

mod breaker;
mod calls;
mod connections;
mod fields;
mod hints;
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
mod sentinel;
mod tls;

use std::fmt;

use crossbeam_channel::{Receiver, Sender};

use self::calls::Calls;
pub use self::options::RedisOptions;
use self::plan::Plan;
use self::scripts::{END, PUT};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::subscription;
use crate::id::SessionId;
use crate::store::{Action, Lease, Listing, Look, Lookup, Outcome, Owners, Store};
use crate::sync::Arc;

/// Sessions on a Redis or Valkey server, or a cluster of them: for more than one process.
///
/// It keeps every promise that [`LembroStore`](crate::LembroStore) keeps: parallel commits merge, a
/// logout is final, logins and renewals are part of a commit. A clone is another handle on the same
/// connections. In a child that was forked later, the store works on, with connections of its own;
/// a call that another thread had under way at the moment of the fork is the parent's alone. (If
/// that thread held a lock just then, the child waits for it for ever: a process with threads
/// should fork before it makes its store.)
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
    /// Nothing is connected yet: the first call does that, and whenever the connection was lost
    /// another one does.
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

    /// Asks the server whether it answers: for a start that is to fail at once without it, and for
    /// health checks.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn ping(&self) -> Result<()> {
        // As good as any question: a user who may not ask this may do nothing.
        self.calls.epoch("").map(drop)
    }

    /// Subscribes to failures of the server from now on: one in a second at most, however many
    /// requests met it.
    ///
    /// A visit that the server refused to note is one of them; its request was served.
    ///
    /// Each subscriber has a queue of 1,024 errors; what does not fit is dropped.
    #[doc(alias = "on_error")]
    pub fn errors(&self) -> Receiver<Error> {
        let (sender, receiver) = subscription();
        self.calls.unheard.add(sender.clone());
        self.calls.errors.add(sender);
        receiver
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
            Action::Put(record, ttl) => calls.put(Plan::of(&PUT, id, lease), b'p', record, *ttl),
            Action::Touch(held) => calls.touch(id, *held, lease),
            Action::End(held) => {
                let plan = Plan { held: *held, ..Plan::of(&END, id, lease) };
                calls.end(&plan.told(calls::ending(b'i', b'-', [0, 0])))
            }
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

    fn send_errors(&self, to: Sender<Error>) {
        self.calls.unheard.add(to);
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.fmt(f)
    }
}
