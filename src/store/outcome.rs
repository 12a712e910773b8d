//! The answers of a store: the results of looks, lists and actions.

use std::time::Duration;

use crate::error::Result;
use crate::id::{Handle, SessionId};
use crate::record::{Record, Version};

/// How a request looks at its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Reads the session without prolonging it, as for a page that polls.
    Peek,
    /// Reads the session, and prolongs it if that is [due](crate::Lease::touch_after).
    Visit,
    /// A peek of a process that has read the session at this version before. The session is found
    /// by its incarnation, even if its id was renewed since.
    Held(Version),
}

/// The result of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The session that the id opens.
    Found(Stored),
    /// The id was superseded by a login, `regenerate` or a timed renewal.
    Superseded {
        /// A login or `regenerate` superseded it, at most a grace ago. So the request was in
        /// flight, and the client has the new id or receives it soon.
        recent: bool,
    },
    /// No session. The handle is unknown, the session has expired or ended, or the session never
    /// had this secret.
    Missing,
}

impl Lookup {
    /// The session, if one was found.
    pub fn found(self) -> Option<Stored> {
        match self {
            Self::Found(stored) => Some(stored),
            Self::Superseded { .. } | Self::Missing => None,
        }
    }
}

/// A session as a store returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Its data.
    pub record: Record,
    /// The time that it has left.
    pub ttl: Duration,
    /// The role of the id that opened it.
    pub presented: Presented,
}

impl Stored {
    /// A session with its data and the time that it has left, opened by its current id.
    pub fn new(record: Record, ttl: Duration) -> Self {
        Self { record, ttl, presented: Presented::Current }
    }
}

/// The live sessions of a store.
pub type Listing<'a> = Box<dyn Iterator<Item = Result<Listed>> + 'a>;

/// One session of a [`Listing`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// The public half of its id.
    pub handle: Handle,
    /// Its whole id, if the store keeps whole ids. A move to another store needs it.
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

/// The role of an id that opens a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// The session's current id.
    Current,
    /// The current id while a timed renewal is pending. The client must be given this new id.
    Renewing(SessionId),
    /// The id before a timed renewal, within its grace. The client has the new id. After the grace
    /// only a [`Look::Held`] finds the session with this id.
    Previous,
}

/// The outcome of an action. Code that ignores it can lose a logout or use an id that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The action was carried out.
    Done(Receipt),
    /// The session that the action was made for is not live. Nothing was written. A repeated
    /// commit may have been carried out the first time, before the session ended.
    Gone,
    /// The id was superseded by another request's login or `regenerate`, or by a timed renewal
    /// whose grace is over. Nothing was written.
    Superseded,
    /// The handle belongs to a live session. Nothing was written.
    Taken,
    /// The stored version is not the expected one. Nothing was written.
    Changed,
    /// All of the owner's sessions were ended since the login began. Nothing was written.
    LoginRevoked,
    /// The owner has as many sessions as the limit allows, and the limit refuses new ones. Nothing
    /// was written.
    AtLimit,
}

impl Outcome {
    /// Returns true if it is [`Done`](Self::Done).
    pub fn is_done(self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// The receipt, if the action was carried out.
    pub fn receipt(self) -> Option<Receipt> {
        match self {
            Self::Done(receipt) => Some(receipt),
            _ => None,
        }
    }
}

/// The state of a session after an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its version; the last one if the session ended.
    pub version: Version,
    /// The time that it has left.
    pub ttl: Duration,
    /// The id that the client must be given, if it is not the one that the request presented.
    pub announce: Option<SessionId>,
}

impl Receipt {
    pub(crate) fn new(version: Version, ttl: Duration) -> Self {
        Self { version, ttl, announce: None }
    }

    /// The receipt for a session that ended with this version, such as the answer of
    /// [`Owners::destroy_handle`](crate::Owners::destroy_handle).
    pub fn ended(version: Version) -> Self {
        Self::new(version, Duration::ZERO)
    }

    pub(crate) fn announcing(self, announce: Option<SessionId>) -> Self {
        Self { announce, ..self }
    }
}
