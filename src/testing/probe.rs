//! One store under test, how its time passes, and the words that the rules are written in.

use std::error::Error as _;
use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{Passing, Time};
use crate::clock::ManualClock;
use crate::error::{Error, Result};
use crate::id::SessionId;
use crate::record::{Changes, Expected, Record};
use crate::store::{Outcome, Store, Stored};

/// Units that no rule waits for: for sessions that are to live until the rule is over.
pub(super) const LONG: u32 = 1000;

/// Units that a rule waits for when it wants a session to expire...
pub(super) const SHORT: u32 = 2;

/// ... and for how long: with real time nothing is exact, so it waits a little more.
pub(super) const OVER: u32 = SHORT + 1;

/// How a rule ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    Broken(String),
    Skipped(String),
}

pub(super) type Checked<T = ()> = Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        let source = error.source().map(|source| format!(" ({source})")).unwrap_or_default();
        Self::Broken(format!("expected no error, found {:?}{source}", error.to_string()))
    }
}

/// Breaks the rule. `problem`: what was expected and what was found.
pub(super) fn broken<T>(problem: impl Into<String>) -> Checked<T> {
    Err(Stop::Broken(problem.into()))
}

/// Expects two things to be equal. `what` names the first.
#[expect(clippy::needless_pass_by_value, reason = "most of what is compared was just made for that")]
pub(super) fn same<T: PartialEq<U> + Debug, U: Debug>(what: &str, found: T, expected: U) -> Checked {
    if found == expected {
        return Ok(());
    }
    broken(format!("{what}: expected {expected:?}, found {found:?}"))
}

/// Expects the outcome of a method. `what` names the call.
pub(super) fn outcome(what: &str, found: Result<Outcome>, expected: Outcome) -> Checked {
    match found {
        Ok(found) => same(what, found, expected),
        Err(error) => broken(format!("{what}: expected {expected:?}, found the error {:?}", error.to_string())),
    }
}

pub(super) fn done(what: &str, found: Result<Outcome>) -> Checked {
    outcome(what, found, Outcome::Done)
}

pub(super) fn gone(what: &str, found: Result<Outcome>) -> Checked {
    outcome(what, found, Outcome::Gone)
}

pub(super) fn conflict(what: &str, found: Result<Outcome>) -> Checked {
    outcome(what, found, Outcome::Conflict)
}

/// Expects an error of a certain kind.
pub(super) fn refused<T: Debug>(what: &str, found: Result<T>, kind: fn(&Error) -> bool, name: &str) -> Checked {
    match found {
        Err(error) if kind(&error) => Ok(()),
        Err(error) => broken(format!("{what}: expected an error with `{name}`, found {:?}", error.to_string())),
        Ok(found) => broken(format!("{what}: expected an error with `{name}`, found {found:?}")),
    }
}

/// The answer of an optional method; the rule is skipped if the store does not have it.
pub(super) fn optional<T>(found: Result<T>) -> Checked<T> {
    match found {
        Err(error) if error.is_unsupported() => Err(Stop::Skipped(error.to_string())),
        found => Ok(found?),
    }
}

/// A record from the keys of a JSON object.
pub(super) fn record(entries: Value) -> Record {
    match entries {
        Value::Object(entries) => entries.into_iter().collect(),
        _ => Record::new(),
    }
}

/// Changes that set one key.
pub(super) fn put<T: Serialize + ?Sized>(key: &str, value: &T) -> Checked<Changes> {
    let mut changes = Changes::new();
    changes.insert("", key, value)?;
    Ok(changes)
}

/// Any save of this session, whatever was saved before.
pub(super) fn to(record: &Record) -> Expected {
    Expected::Incarnation(record.version())
}

/// A record's data as JSON: a store may keep `1` and ` 1 ` apart or not, but not `1` and `2`.
pub(super) fn data(record: &Record) -> Checked<Value> {
    serde_json::to_value(record).map_err(|error| Stop::Broken(format!("the record cannot be written: {error}")))
}

/// Expects the entries of a record.
pub(super) fn holds(what: &str, record: &Record, entries: Value) -> Checked {
    let expected = data(&self::record(entries))?;
    same(what, &data(record)?["entries"], &expected["entries"])
}

pub(super) fn new_id() -> Checked<SessionId> {
    Ok(SessionId::random()?)
}

/// Another id with the same handle.
pub(super) fn other_secret(id: &SessionId) -> Checked<SessionId> {
    Ok(id.renewed(&SessionId::random()?))
}

/// A store under test.
pub(super) struct Probe<'a> {
    pub(super) store: &'a dyn Store,
    time: &'a Time,
}

impl<'a> Probe<'a> {
    pub(super) fn new(store: &'a dyn Store, time: &'a Time) -> Self {
        Self { store, time }
    }

    /// So many units of time.
    pub(super) fn units(&self, units: u32) -> Duration {
        match &self.time.0 {
            Passing::Manual(_) => Duration::from_secs(60) * units,
            Passing::Real(unit) => *unit * units,
        }
    }

    /// A time to live that outlasts the rule.
    pub(super) fn long(&self) -> Duration {
        self.units(LONG)
    }

    /// A time to live that is over after [`over`](Self::over).
    pub(super) fn short(&self) -> Duration {
        self.units(SHORT)
    }

    /// Lets so many units pass.
    pub(super) fn pass(&self, units: u32) {
        match &self.time.0 {
            Passing::Manual(clock) => clock.advance(self.units(units)),
            Passing::Real(_) => std::thread::sleep(self.units(units)),
        }
    }

    /// Lets whatever had a [`short`](Self::short) time expire.
    pub(super) fn over(&self) {
        self.pass(OVER);
    }

    /// The clock, for a rule that needs to stop time.
    pub(super) fn clock(&self) -> Checked<&ManualClock> {
        match &self.time.0 {
            Passing::Manual(clock) => Ok(clock),
            Passing::Real(_) => Err(Stop::Skipped("needs a clock that is turned by hand".to_owned())),
        }
    }

    /// Expects the time that a session has left: exactly with a clock that stands still, roughly with one that runs.
    pub(super) fn left(&self, what: &str, found: Duration, expected: Duration) -> Checked {
        match &self.time.0 {
            Passing::Manual(_) => same(what, found, expected),
            Passing::Real(_) if found <= expected && found > expected / 2 => Ok(()),
            Passing::Real(_) => {
                broken(format!("{what}: expected {expected:?} at most, and not much less, found {found:?}"))
            }
        }
    }

    /// Creates a session under a new id, for a long time.
    pub(super) fn session(&self, entries: Value) -> Checked<SessionId> {
        self.session_for(entries, self.long())
    }

    /// Creates a session under a new id.
    pub(super) fn session_for(&self, entries: Value, ttl: Duration) -> Checked<SessionId> {
        let id = new_id()?;
        done("create under a new id", self.store.create(&id, record(entries), ttl))?;
        Ok(id)
    }

    /// Expects to find a session. `whose` completes "get with ...".
    pub(super) fn found(&self, whose: &str, id: &SessionId) -> Checked<Stored> {
        match self.store.get(id)? {
            Some(stored) => Ok(stored),
            None => broken(format!("get with {whose}: expected the session, found none")),
        }
    }

    /// Expects that no session is found. `whose` completes "get with ...".
    pub(super) fn nothing(&self, whose: &str, id: &SessionId) -> Checked {
        match self.store.get(id)? {
            None => Ok(()),
            Some(stored) => broken(format!("get with {whose}: expected no session, found {}", data(&stored.record)?)),
        }
    }

    /// Expects that an id opens nothing, whatever is asked. `whose` completes "get with ...". `seen`: what it used to open.
    pub(super) fn dead(&self, whose: &str, id: &SessionId, seen: &Record) -> Checked {
        let (store, long) = (self.store, self.long());
        self.nothing(whose, id)?;
        gone(&format!("save with {whose}"), store.save(id, &put("ghost", &1)?, long, to(seen)))?;
        let exactly = Expected::Exactly(seen.version());
        gone(&format!("save exactly with {whose}"), store.save(id, &put("ghost", &1)?, long, exactly))?;
        gone(&format!("touch with {whose}"), store.touch(id, long))?;
        gone(&format!("rotate with {whose}"), store.rotate(id, &other_secret(id)?, Duration::ZERO))?;
        gone(&format!("destroy with {whose}"), store.destroy(id))?;
        self.nothing(&format!("{whose}, after all that"), id)
    }

    /// Expects a session to be exactly as it was seen: data, version and time left.
    pub(super) fn unchanged(&self, whose: &str, id: &SessionId, seen: &Stored) -> Checked {
        let now = self.found(whose, id)?;
        same(&format!("the data of {whose}"), data(&now.record)?, data(&seen.record)?)?;
        same(&format!("the version of {whose}"), now.record.version(), seen.record.version())?;
        self.left(&format!("the time left of {whose}"), now.ttl, seen.ttl)
    }
}
