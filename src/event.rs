//! Events and the hub that hands them out: every subscriber has its own bounded queue, and nobody waits for a slow one.

use std::fmt;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use serde::Serialize;

use crate::id::Handle;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, RwLock};

/// Something that happened to a session without its own request asking for it, or worth knowing about.
///
/// Sessions are named by [`Handle`]; the secret part of an id is never in an event. `bytes` is what the session
/// counted for against `max_size`.
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
/// assert!(matches!(events.try_recv(), Ok(Event::Destroyed { handle, .. }) if handle == id.handle()));
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
        /// Whether it had an owner, that is, whether somebody was logged in.
        owned: bool,
    },
    /// Somebody asked for the session to end.
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
    /// A purge went over the whole store. Follows an [`Expired`](Self::Expired) for each session it removed.
    Purged {
        /// How many expired sessions it removed.
        sessions: usize,
        /// How long it took.
        took: Duration,
    },
    /// The store was written to a file.
    Snapshot {
        /// How many sessions the file holds.
        sessions: usize,
        /// The size of the file.
        bytes: u64,
        /// How long it took.
        took: Duration,
    },
    /// The store began with the sessions of a file. That was before anybody could subscribe, so the first subscriber is told.
    Restored {
        /// How many sessions were restored.
        sessions: usize,
        /// How many had expired since they were written.
        expired: usize,
        /// How many there was no room for.
        evicted: usize,
        /// How many are larger than `max_session_size` now.
        refused: usize,
        /// How long it took.
        took: Duration,
    },
    /// A session was refused because it is larger than `max_session_size`. What was stored before stays.
    Refused {
        /// Which session.
        handle: Handle,
        /// How large it wanted to be.
        bytes: usize,
    },
    /// A new session without an owner was refused because the store is full, as its options have it.
    TurnedAway {
        /// Which session it would have been.
        handle: Handle,
    },
    /// An id was presented that opens no session: expired, evicted, destroyed, or a guess.
    UnknownId {
        /// The handle part of it, as the client sent it.
        handle: Handle,
    },
    /// A request looked for its session by an id that another one took the place of, later than a
    /// request in flight could: possibly a stolen one.
    SupersededId {
        /// Which session.
        handle: Handle,
    },
}

/// How many messages wait for one subscriber before further ones are counted as missed.
const QUEUE: usize = 1024;

/// Hands every message to every subscriber. Without a subscriber a message is not even built.
pub(crate) struct Hub<T> {
    subscribers: RwLock<Vec<Sender<T>>>,
    /// How many subscribers there are: read without the lock, so that nobody pays for events nobody wants.
    count: AtomicUsize,
    missed: AtomicU64,
    /// What happened before anybody could subscribe.
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
        let (sender, receiver) = bounded(QUEUE);
        for message in self.early.lock().drain(..) {
            // An empty queue has room for it, and its receiver is here.
            let _ = sender.try_send(message);
        }
        let mut subscribers = self.subscribers.write();
        subscribers.push(sender);
        self.count.store(subscribers.len(), Ordering::Relaxed);
        receiver
    }

    /// Keeps a message for the first subscriber: for the few things that happen while a store is made.
    pub(crate) fn leave(&self, message: T) {
        self.early.lock().push(message);
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Never blocks and never fails: a full queue misses the message, a subscriber that is gone is forgotten.
    pub(crate) fn publish(&self, message: impl FnOnce() -> T) {
        if !self.is_heard() {
            return;
        }
        let message = message();
        let mut gone = Vec::new();
        for subscriber in self.subscribers.read().iter() {
            match subscriber.try_send(message.clone()) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    self.missed.fetch_add(1, Ordering::Relaxed);
                }
                Err(TrySendError::Disconnected(_)) => gone.push(subscriber.clone()),
            }
        }
        if !gone.is_empty() {
            let mut subscribers = self.subscribers.write();
            subscribers.retain(|one| !gone.iter().any(|other| other.same_channel(one)));
            self.count.store(subscribers.len(), Ordering::Relaxed);
        }
    }

    /// How many messages did not fit into a subscriber's queue, over all subscribers.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

impl<T> fmt::Debug for Hub<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("subscribers", &self.count).field("missed", &self.missed).finish_non_exhaustive()
    }
}
