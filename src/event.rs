//! Events, and the hub that sends them to every subscriber's own bounded queue, without waiting for
//! any.

use std::fmt;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use serde::Serialize;

use crate::id::Handle;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, RwLock};

/// What happens to a session without a request of its own asking for it, or is worth knowing about.
///
/// A session is named by its [`Handle`]; the secret part of an id is never in an event. `bytes` is
/// what the session counted for against `max_size`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::{Event, LembroStore, Record, SessionId, Store};
///
/// let store = LembroStore::new()?;
/// let events = store.events();
/// let id = SessionId::random()?;
/// store.set(&id, Record::new(), Duration::from_secs(60))?;
/// store.destroy(&id)?;
/// let event = events.try_recv();
/// assert!(matches!(event, Ok(Event::Destroyed { handle, .. }) if handle == id.handle()));
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// An expired session was removed from memory. It had been invisible since its time ran out.
    Expired {
        /// Which session.
        handle: Handle,
        /// The memory that became free.
        bytes: usize,
    },
    /// A live session was removed to keep the store within `max_size`.
    Evicted {
        /// Which session.
        handle: Handle,
        /// The memory that became free.
        bytes: usize,
        /// Whether the session had an owner: its user was logged in.
        owned: bool,
    },
    /// The session was ended on request: by a logout, by its handle, by its owner's limit, or with
    /// all of its owner's sessions.
    Destroyed {
        /// Which session.
        handle: Handle,
        /// The memory that became free.
        bytes: usize,
    },
    /// All sessions were removed by `clear`.
    Cleared {
        /// How many there were.
        sessions: usize,
    },
    /// A purge went over the whole store. It follows an [`Expired`](Self::Expired) for each session
    /// that the purge removed.
    Purged {
        /// How many expired sessions it removed.
        sessions: usize,
        /// How long it took.
        took: Duration,
    },
    /// The files of a store that [persists](crate::LembroOptions::persist) were compacted: a new
    /// snapshot was written.
    Snapshot {
        /// How many sessions it holds.
        sessions: usize,
        /// Its size.
        bytes: u64,
        /// How long it took.
        took: Duration,
    },
    /// The store began with the sessions of its files. The first subscriber receives this event,
    /// although it subscribed later.
    Restored {
        /// How many sessions were restored.
        sessions: usize,
        /// How many had expired since the snapshot.
        expired: usize,
        /// How many were evicted because there was no room for all.
        evicted: usize,
        /// How many are larger than `max_session_size` now.
        refused: usize,
        /// How long it took.
        took: Duration,
    },
    /// A session was refused because it is larger than `max_session_size`. What was stored before
    /// stays.
    Refused {
        /// Which session.
        handle: Handle,
        /// The bytes that it would have counted for.
        bytes: usize,
    },
    /// A session without an owner, new or larger than before, was refused because the store is
    /// full: see [`WhenFull`](crate::WhenFull) and
    /// [`anonymous_share`](crate::LembroOptions::anonymous_share). What was stored before stays.
    TurnedAway {
        /// Which session.
        handle: Handle,
    },
    /// An id was presented that opens no session: expired, evicted, destroyed, or a guess.
    UnknownId {
        /// The handle part of the id, as the client sent it.
        handle: Handle,
    },
    /// What a request changed was lost: its session ended, or was superseded by a login, while the
    /// request held it.
    LostChange {
        /// Which session.
        handle: Handle,
    },
    /// A look presented a superseded id later than a request in flight could: possibly a stolen
    /// one.
    SupersededId {
        /// Which session.
        handle: Handle,
    },
}

/// How many messages wait for one subscriber; further ones are counted as missed.
const QUEUE: usize = 1024;

/// The channel of a subscriber. It takes no memory for a whole queue at once, because a receiver
/// that was dropped is noticed with the next message only: a sender cannot ask whether there is a
/// receiver. Until then it takes half a kilobyte; the messages in its queue went with the receiver.
pub(crate) fn subscription<T>() -> (Sender<T>, Receiver<T>) {
    unbounded()
}

/// Sends every message to every subscriber. Without a subscriber a message is not even built.
pub(crate) struct Hub<T> {
    subscribers: RwLock<Vec<Sender<T>>>,
    /// The number of subscribers, read without the lock, so that an event without subscribers costs
    /// one load.
    count: AtomicUsize,
    missed: AtomicU64,
    /// Messages from before the first subscription.
    early: Mutex<Vec<T>>,
}

impl<T: Clone> Hub<T> {
    pub(crate) fn new() -> Self {
        Self {
            subscribers: RwLock::new(Vec::new()),
            count: AtomicUsize::new(0),
            missed: AtomicU64::new(0),
            early: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn subscribe(&self) -> Receiver<T> {
        let (sender, receiver) = subscription();
        self.add(sender);
        receiver
    }

    /// Sends to this channel, too, from now on.
    pub(crate) fn add(&self, sender: Sender<T>) {
        for message in self.early.lock().drain(..) {
            // A subscriber that is gone by now misses it.
            let _ = sender.try_send(message);
        }
        let mut subscribers = self.subscribers.write();
        subscribers.push(sender);
        self.count.store(subscribers.len(), Ordering::Relaxed);
    }

    /// Keeps a message for the first subscriber: for what happens while a store is made.
    pub(crate) fn leave(&self, message: T) {
        self.early.lock().push(message);
    }

    /// Returns true if there is a subscriber.
    pub(crate) fn is_heard(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Sends a message. Never blocks and never fails: a full queue misses it, and a subscriber
    /// whose channel is closed is removed.
    pub(crate) fn publish(&self, message: impl FnOnce() -> T) {
        if !self.is_heard() {
            return;
        }
        let message = message();
        let mut gone = Vec::new();
        for subscriber in self.subscribers.read().iter() {
            if subscriber.len() >= QUEUE {
                self.missed.fetch_add(1, Ordering::Relaxed);
            } else if subscriber.try_send(message.clone()).is_err_and(|error| error.is_disconnected()) {
                gone.push(subscriber.clone());
            }
        }
        if !gone.is_empty() {
            let mut subscribers = self.subscribers.write();
            subscribers.retain(|one| !gone.iter().any(|other| other.same_channel(one)));
            subscribers.shrink_to_fit();
            self.count.store(subscribers.len(), Ordering::Relaxed);
        }
    }

    /// How many messages did not fit into a queue, over all subscribers.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

impl<T> fmt::Debug for Hub<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("subscribers", &self.count).field("missed", &self.missed).finish_non_exhaustive()
    }
}
