//! What histories and the model are written in.

use std::time::Duration;

use lembro::SessionId;

const NEVER: Duration = Duration::from_nanos(u64::MAX);

/// One instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant {
    /// Since the clock began by which deadlines are counted.
    pub(crate) clock: Duration,
    /// Since 1970, in whole milliseconds.
    pub(crate) calendar: Duration,
}

impl Instant {
    /// A span of zero is over for every reader, even when the clock is set back.
    pub(super) fn after(self, span: Duration) -> Duration {
        if span.is_zero() { Duration::ZERO } else { self.clock.saturating_add(span).min(NEVER) }
    }
}

/// What began an incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The commit with this serial number.
    Commit(usize),
    /// So many calls of `set` came before this one.
    Set(usize),
}

/// A version: an incarnation, and how many commits it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) incarnation: Origin,
    pub(crate) commits: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Set(String, String, String),
    Unset(String, String),
    Clear,
    ClearComponent(String),
    Timeout(Option<Duration>),
    Remember(bool),
    Label(Option<String>),
    /// One key more than a session may have.
    Flood,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Base {
    Absent,
    Merge(Seen),
    Exactly(Seen),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum NewId {
    Keep,
    Renew(u64),
    Replace(SessionId),
}

/// A commit: which one of all there were, and what it does.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) serial: usize,
    pub(crate) base: Base,
    pub(crate) edits: Vec<Edit>,
    pub(crate) new_id: NewId,
    /// Whose, and the epoch that the login began in.
    pub(crate) login: Option<(String, Option<u64>)>,
    pub(crate) is_repeated: bool,
}

/// What the rule is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done { version: Seen, ttl: Duration, announce: Option<SessionId> },
    Gone,
    Superseded,
    Taken,
    Changed,
    LoginRevoked,
    Unknown,
    BadId,
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Missing,
    Superseded { recent: bool },
    Current(Duration),
    Renewing(Duration, SessionId),
    Previous(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Nothing,
    Row,
    Removal,
}
