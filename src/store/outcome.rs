//! What a store answers: what a look found, and what became of an action.

use std::time::Duration;

use crate::id::SessionId;
use crate::record::{Record, Version};

/// How a request looks at its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Reads it and leaves its time alone: a page that polls.
    Peek,
    /// Reads it and prolongs it, if the last visit that did is long enough ago.
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
    /// A login, `regenerate` or a timed renewal put another id in the place of this one.
    Superseded {
        /// It was a login or `regenerate`, and not longer than a grace ago: its holder is a request in
        /// flight, and the client has the new id or is about to.
        recent: bool,
    },
    /// No session: unknown, expired, ended, or the right handle with a secret that never was.
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
    /// How the id that opened it stands.
    pub presented: Presented,
}

impl Stored {
    /// A session with its data and the time it has left, opened by its current id.
    pub fn new(record: Record, ttl: Duration) -> Self {
        Self { record, ttl, presented: Presented::Current }
    }
}

/// How an id stands that opens a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// It is the session's id.
    Current,
    /// It is, and a timed renewal is pending: the client is to be given this id.
    Renewing(SessionId),
    /// A timed renewal took its place, and its grace is not over: the client has the new id. After the
    /// grace only a session that is [held](Look::Held) is found like this.
    Previous,
}

/// What became of an action. Ignoring it would be a logout undone, or an id taken twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It is done.
    Done(Receipt),
    /// The session is not there (any more), or its id now opens another one. Nothing was written; what
    /// a repeated commit may have written the first time ended with the session.
    Gone,
    /// A login or `regenerate` of another request put a new id in the place of this one. Nothing was
    /// written.
    Superseded,
    /// The handle belongs to a live session. Nothing was written.
    Taken,
    /// The version is not the one that the commit compares with. Nothing was written.
    Changed,
    /// All of the owner's sessions were ended since the login began. Nothing was written.
    LoginRevoked,
    /// The owner has as many sessions as the limit allows. Nothing was written.
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

/// What a session is after an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its version; that of an ended session is the last one.
    pub version: Version,
    /// The time it has.
    pub ttl: Duration,
    /// The id that the client is to be given, if it is another one than the request presented.
    pub announce: Option<SessionId>,
}

impl Receipt {
    pub(crate) fn new(version: Version, ttl: Duration) -> Self {
        Self { version, ttl, announce: None }
    }

    /// Of a session that ended, which had this version: for a store that ends one by its handle.
    pub fn ended(version: Version) -> Self {
        Self::new(version, Duration::ZERO)
    }

    pub(crate) fn announcing(self, announce: Option<SessionId>) -> Self {
        Self { announce, ..self }
    }
}
