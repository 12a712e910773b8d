//! `RedisStore`: sessions on Redis or Valkey, for more than one process.
//!
#![doc = include_str!("guide.md")]
//!
//! # How it works inside
//!
//! A session is one hash under its handle. Every action is one script on this hash: the script is
//! atomic, takes one round trip and uses the server's clock. The scripts decide as the rule
//! ([`Entry`](crate::Entry)) does; `tests/it/redis/rule.rs` compares both. Redis' own expiry ends
//! sessions. If another request ended a session, a key beside the hash holds the reason for an
//! hour.
//!
//! On one server a visit is a pipeline of two commands: a script, which writes only what the visit
//! changes and returns the time, and a plain command that reads the hash. The rule in Rust then
//! judges the row that was read. If the server refuses the write, the request still gets the
//! session. If a hint says that the visit writes nothing, the script is left out, and the time
//! comes from a reading of the server's clock that is at most a second old. If the visit must write
//! after all, the script runs next.
//!
//! In a cluster a script can use the keys of one hash slot only. So an action on the keys of an
//! owner, or on the index of all sessions, takes several steps. Their order is safe for these
//! reasons:
//!
//! - **The sets are hints: they may hold a session that is gone, but never miss a live one.**
//!   Before a session is stored, it is added to the index and to the set of its owner for twice its
//!   time. Its row holds the instant until which it is indexed. If a script would prolong the
//!   session beyond this instant, the script writes nothing and asks the client to index the
//!   session first. So most visits do not write the sets. Each reader of a set also looks at the
//!   sessions in it.
//! - **A login is added to its owner's set first.** The script that adds it reserves a slot and
//!   returns the epoch, which the commit then carries. Logging out everywhere first raises the
//!   epoch and then reads the set, so it finds every login that was added before. If the commit of
//!   such a login comes later, its epoch is revoked already.
//! - **A login is confirmed before it is served.** On one server the commit has the owner's keys,
//!   so the login counts or is refused at once. In a cluster the login is stored as unconfirmed.
//!   The first script on such a session writes nothing and asks the client to confirm the login. If
//!   the owner's epoch is still that of the commit and no other login took the slot, the client
//!   confirms the session; else the client ends the session.
//! - **The owner's set enforces the limit**, because it holds the time of each login. If a login
//!   exceeds the limit, the client examines the sessions of the set, and repeats the call with the
//!   handles that are gone. The script removes these handles and takes the slots of the oldest
//!   sessions for the login. The client ends the oldest sessions before the commit. If a process
//!   dies between these steps, the next login finds the slots that were taken and ends their
//!   sessions. The reservation of a login that is not carried out expires after 30 seconds.
//! - **Logging out everywhere but here** draws the next epoch, gives it to the exempt session, and
//!   only then makes it the owner's epoch. In the other order a parallel call could end the exempt
//!   session.
//! - Epochs are times in milliseconds, so that they grow even after the keys of an owner expired.
//!   An owner's epoch is stored as long as any session in the set, and at least a day, which is
//!   longer than any login takes.
//!
//! **Every command may be sent twice.** The row keeps the nonces of its last four versions, so a
//! repeated commit is recognised. A repeated look, touch or end has the same effect, or none. So if
//! an idle connection turns out to be lost, the store opens another one and sends the commands
//! again. If the answer to a write is lost in another way, the error is
//! [`Error::is_unknown`](crate::Error::is_unknown).

mod client;
mod connection;
mod failure;
mod hints;
mod invocation;
mod keys;
mod logins;
mod look;
mod lua;
mod options;
mod owner_scripts;
mod pool;
mod replies;
mod row;
mod sentinel;
mod session_scripts;
mod sets;
mod tls;

use std::fmt;

use crossbeam_channel::{Receiver, Sender};

use self::client::Client;
use self::invocation::Invocation;
pub use self::options::RedisOptions;
use self::session_scripts::{END, PUT};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::subscription;
use crate::id::{Handle, SecretCheck, SessionId};
use crate::store::{Action, EndReason, Epoch, Lease, Listed, Listing, Look, Lookup, Outcome, Owner, Owners, Store};
use crate::sync::Arc;

/// A store on a Redis or Valkey server or cluster, which several processes can share.
///
/// It keeps every promise of [`LembroStore`](crate::LembroStore): parallel commits merge, a logout
/// is final, logins and renewals are part of a commit. Clones share their connections.
///
/// In a forked child the store opens connections of its own. A process with several threads should
/// fork before it creates the store: if another thread holds one of the store's locks during the
/// fork, the child waits for that lock for ever.
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
    client: Arc<Client>,
}

impl RedisStore {
    /// Creates a store on one server, with the default options.
    ///
    /// The first request opens a connection, and so does any request after a connection was lost.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] if the URL is invalid.
    pub fn new(url: &str) -> Result<Self> {
        Self::with_options(RedisOptions::new().url(url))
    }

    /// Creates a store with these options.
    ///
    /// # Errors
    ///
    /// [`Error::is_option`] if an option is invalid; the error names the option.
    #[expect(clippy::needless_pass_by_value, reason = "as the options of every other store")]
    pub fn with_options(options: RedisOptions) -> Result<Self> {
        Ok(Self { client: Arc::new(Client::new(options.resolve()?)) })
    }

    /// Checks that the server answers: for health checks, and for an application that should not
    /// start without its server.
    ///
    /// # Errors
    ///
    /// The server did not answer, or refused the command.
    pub fn ping(&self) -> Result<()> {
        // Every Redis user who can use the store may run this command.
        self.client.epoch("").map(drop)
    }

    /// Subscribes to failures of the server from now on. A subscriber gets at most one error a
    /// second, even if many requests failed.
    ///
    /// A visit that the server refused to write is reported, too, although its request was served.
    ///
    /// Each subscriber has a queue of 1,024 errors. While it is full, further errors are dropped.
    #[doc(alias = "on_error")]
    pub fn errors(&self) -> Receiver<Error> {
        let (sender, receiver) = subscription();
        self.client.background_errors.add(sender.clone());
        self.client.request_errors.add(sender);
        receiver
    }

    /// Takes over sessions that another store lists with [`all`](crate::Store::all). Cookies keep
    /// working. Returns the number of sessions that were new here. A session whose handle exists
    /// already stays as it is.
    ///
    /// Sessions of a [`LembroStore`](crate::LembroStore) are taken over even if it read them [from
    /// files](crate::LembroOptions::persist) and so has only digests of their secrets. Superseded
    /// ids in their grace are not taken over, because no list contains them. Stop the requests to
    /// the other store first: changes that they write after their session was listed are lost.
    ///
    /// # Errors
    ///
    /// The other store or the server failed, or a session is larger than
    /// [`max_session_size`](RedisOptions::max_session_size). Sessions that were taken over
    /// before the failure stay, and the method can be called again.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lembro::redis::RedisStore;
    /// use lembro::{LembroOptions, LembroStore, Store};
    ///
    /// // The files that the old process wrote.
    /// let options = LembroOptions::new().max_size("64M").persist("sessions.lembro");
    /// let memory = LembroStore::with_options(options)?;
    /// let redis = RedisStore::new("redis://127.0.0.1:6379")?;
    /// let taken_over = redis.take_over(memory.all()?)?;
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("import", "migrate"))]
    pub fn take_over(&self, sessions: impl IntoIterator<Item = Result<Listed>>) -> Result<usize> {
        let mut taken_over = 0;
        for listed in sessions {
            let Listed { handle, id, stored } = listed?;
            let secret = id.map_or(stored.record.state().secret(), |id| SecretCheck::of(&id));
            let invocation = Invocation { secret, ..Invocation::new(&PUT, handle) };
            let outcome = self.client.put(invocation, b't', &stored.record, stored.ttl)?;
            taken_over += usize::from(outcome.is_done());
        }
        Ok(taken_over)
    }
}

impl Store for RedisStore {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        self.client.look(id, how, lease)
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let client = &self.client;
        match action {
            Action::Commit(commit) => client.commit(id, commit, lease),
            Action::Put(record, ttl) => client.put(Invocation::of(&PUT, id, lease), b'p', record, *ttl),
            Action::Touch(held) => client.touch(id, *held, lease),
            Action::End(held) => {
                let invocation = Invocation { held: *held, ..Invocation::of(&END, id, lease) };
                client.end(&invocation.with(client::end_args(b'i', b'-', [0, 0])))
            }
        }
    }

    fn all(&self) -> Result<Listing<'_>> {
        Ok(Box::new(self.client.all()))
    }

    fn len(&self) -> Result<usize> {
        self.client.len()
    }

    fn clear(&self) -> Result<()> {
        self.client.clear()
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn clock(&self) -> Clock {
        self.client.clock.clone()
    }

    fn send_errors(&self, to: Sender<Error>) {
        self.client.background_errors.add(to);
    }
}

impl Owners for RedisStore {
    fn epoch(&self, owner: &Owner) -> Result<Epoch> {
        self.client.epoch(owner.as_str())
    }

    fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
        self.client.sessions_of(owner.as_str())
    }

    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        self.client.end(&self.client.ending(handle, owner.map(Owner::as_str), reason))
    }

    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        self.client.end_all(owner.as_str(), except)
    }

    fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
        self.client.end_reason(id)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)
    }
}
