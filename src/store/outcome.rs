//! The answers of a store: what a look found, and the outcome of an action.

use std::time::Duration;

use crate::id::SessionId;
use crate::record::{Record, Version};

/// How a request looks at its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Reads the session without prolonging it: for a page that polls.
    Peek,
    /// Reads the session, and prolongs it if the last visit that did is long enough ago.
    Visit,
    /// A peek of a process that has seen the session with this version: it is found by its
    /// incarnation, even if its id was renewed since.
    Held(Version),
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The session that the id opens.
    Found(Stored),
    /// The id was superseded by a login, `regenerate` or a timed renewal.
    Superseded {
        /// It was a login or `regenerate`, at most a grace ago: the request is in flight, and the
        /// client has the new id or receives it soon.
        recent: bool,
    },
    /// No session: the id is unknown, the session has expired or ended, or the handle is right and
    /// the secret never was.
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

/// A session as a store gives it out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Its data.
    pub record: Record,
    /// The time it has left.
    pub ttl: Duration,
    /// The role of the id that opened it.
    pub presented: Presented,
}

impl Stored {
    /// A session with its data and the time it has left, opened by its current id.
    pub fn new(record: Record, ttl: Duration) -> Self {
        Self { record, ttl, presented: Presented::Current }
    }
}

/// The role of an id that opens a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// The session's current id.
    Current,
    /// The current id while a timed renewal is pending: the client must be given this new id.
    Renewing(SessionId),
    /// A timed renewal took its place, and its grace is not over: the client has the new id. After
    /// the grace only a session that is [held](Look::Held) is found like this.
    Previous,
}

/// The outcome of an action. Code that ignores it can lose a logout, or use an id that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The action was carried out.
    Done(Receipt),
    /// There is no live session that the action was made for. Nothing was written. If a repeated
    /// commit was carried out the first time, that ended with the session.
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
    /// The owner has as many sessions as the limit allows, and it refuses new ones. Nothing was
    /// written.
    AtLimit,
}

impl Outcome {
    /// Returns true if it is [`Done`](Self::Done).
    pub fn is_done(self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// The receipt, if it is done.
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
    /// Its version; for an ended session the last one.
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

    /// The receipt for a session that ended with this version, for a store that ends one by its
    /// handle.
    pub fn ended(version: Version) -> Self {
        Self::new(version, Duration::ZERO)
    }

    pub(crate) fn announcing(self, announce: Option<SessionId>) -> Self {
        Self { announce, ..self }
    }
}
