//! Events, and the broadcast of events and errors to the bounded queue of each subscriber.

use std::fmt;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use serde::Serialize;

use crate::id::Handle;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, RwLock};

/// Something that happened to a session in its store, or to a request for it.
///
/// An event names its session by the [`Handle`] and never contains the secret part of an id.
/// `bytes` is the memory that the session takes, out of `max_size`.
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
    /// An expired session was removed from memory. No request has found it since the instant it
    /// expired.
    Expired {
        /// The session.
        handle: Handle,
        /// The freed memory.
        bytes: usize,
    },
    /// A live session was removed to keep the store within `max_size`.
    Evicted {
        /// The session.
        handle: Handle,
        /// The freed memory.
        bytes: usize,
        /// True if the session had an owner, so its user was logged out.
        owned: bool,
    },
    /// A session was destroyed: by a logout, by a call with its id or handle, because its owner
    /// reached the limit of sessions, or together with all sessions of its owner.
    Destroyed {
        /// The session.
        handle: Handle,
        /// The freed memory.
        bytes: usize,
    },
    /// `clear` removed all sessions.
    Cleared {
        /// The number of sessions.
        sessions: usize,
    },
    /// A purge of the whole store is finished. The event follows one [`Expired`](Self::Expired) for
    /// each session that the purge removed.
    Purged {
        /// The number of expired sessions that were removed.
        sessions: usize,
        /// The duration of the purge.
        took: Duration,
    },
    /// A compaction wrote a new snapshot of a store that [persists](crate::LembroOptions::persist).
    Snapshot {
        /// The number of sessions in the snapshot.
        sessions: usize,
        /// The size of the snapshot's file, in bytes.
        bytes: u64,
        /// The duration of the compaction.
        took: Duration,
    },
    /// The store started and restored the sessions from its files. Only the first subscriber
    /// receives this event, because a store cannot have a subscriber while it starts.
    Restored {
        /// The number of restored sessions.
        sessions: usize,
        /// The number of sessions that had expired since the snapshot.
        expired: usize,
        /// The number of sessions that were evicted because there was no room for all.
        evicted: usize,
        /// The number of sessions that were refused because they are larger than
        /// `max_session_size`.
        refused: usize,
        /// The duration of the start.
        took: Duration,
    },
    /// A session was refused because it is larger than `max_session_size`. The stored session, if
    /// there is one, stays.
    Refused {
        /// The session.
        handle: Handle,
        /// The memory that the session would have taken.
        bytes: usize,
    },
    /// A session without an owner, new or larger than before, was refused because the store is
    /// full: see [`WhenFull`](crate::WhenFull) and
    /// [`anonymous_share`](crate::LembroOptions::anonymous_share). The stored session, if there is
    /// one, stays.
    TurnedAway {
        /// The session.
        handle: Handle,
    },
    /// A request presented an id that opens no session. The session has expired or was evicted or
    /// destroyed, or the id is a guess.
    UnknownId {
        /// The handle part of the id, as the client sent it.
        handle: Handle,
    },
    /// The changes of a request were lost, because its session ended during the request, or because
    /// another request's login superseded its id.
    LostChange {
        /// The session.
        handle: Handle,
    },
    /// A request presented a superseded id too late to be a request that was under way when the id
    /// was superseded. The id is possibly stolen.
    SupersededId {
        /// The session.
        handle: Handle,
    },
}

/// The capacity of a subscriber's queue, in messages. A message for a full queue is dropped and
/// counted as missed.
const QUEUE: usize = 1024;

/// The channel of a subscriber.
///
/// If the receiver is dropped, the channel stays in memory until the next message fails. Until then
/// an unbounded channel takes half a kilobyte, but a bounded channel would take the memory of a
/// whole queue.
pub(crate) fn subscription<T>() -> (Sender<T>, Receiver<T>) {
    unbounded()
}

/// Sends every message to every subscriber without blocking. Without a subscriber, a message is not
/// built.
pub(crate) struct Broadcast<T> {
    subscribers: RwLock<Vec<Sender<T>>>,
    /// The number of subscribers, read without the lock, so that an event without subscribers costs
    /// one load.
    count: AtomicUsize,
    missed: AtomicU64,
    /// Messages from before the first subscription.
    early: Mutex<Vec<T>>,
}

impl<T: Clone> Broadcast<T> {
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

    /// Adds a subscriber.
    pub(crate) fn add(&self, sender: Sender<T>) {
        for message in self.early.lock().drain(..) {
            // If the receiver was dropped already, the message is lost.
            let _ = sender.try_send(message);
        }
        let mut subscribers = self.subscribers.write();
        subscribers.push(sender);
        self.count.store(subscribers.len(), Ordering::Relaxed);
    }

    /// Keeps a message for the first subscriber, because a store that starts has no subscriber yet.
    pub(crate) fn publish_early(&self, message: T) {
        self.early.lock().push(message);
    }

    /// Returns true if there is a subscriber.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Sends a message. It never blocks and never fails. If a queue is full, the message is counted
    /// as missed. If a receiver was dropped, its subscriber is removed.
    pub(crate) fn publish(&self, message: impl FnOnce() -> T) {
        if !self.has_subscribers() {
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

    /// The number of messages that did not fit into a queue, over all subscribers.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

impl<T> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("subscribers", &self.count)
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}
