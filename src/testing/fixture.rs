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
use crate::record::{Changes, Record, Version};
use crate::store::{Commit, Identity, Lease, Login, Look, Lookup, Outcome, Owner, Owners, Receipt, Store, Stored};

/// Units that no rule waits for: for sessions that live until the rule is over.
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

/// Expects an outcome with which nothing was written. `what` names the call.
pub(super) fn says(what: &str, found: Result<Outcome>, expected: Outcome) -> Checked {
    match found {
        Ok(found) => same(what, found, expected),
        Err(error) => broken(format!("{what}: expected {expected:?}, found the error {:?}", error.to_string())),
    }
}

pub(super) fn gone(what: &str, found: Result<Outcome>) -> Checked {
    says(what, found, Outcome::Gone)
}

pub(super) fn done(what: &str, found: Result<Outcome>) -> Checked<Receipt> {
    match found {
        Ok(Outcome::Done(receipt)) => Ok(receipt),
        Ok(found) => broken(format!("{what}: expected Done, found {found:?}")),
        Err(error) => broken(format!("{what}: expected Done, found the error {:?}", error.to_string())),
    }
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

pub(super) fn owner(name: &str) -> Checked<Owner> {
    Ok(Owner::new(name)?)
}

/// A session in the store under test: its id, and the version that a request has seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) version: Version,
}

impl Session {
    /// A commit that merges these changes into it.
    pub(super) fn merge(&self, changes: Changes) -> Checked<Commit> {
        Ok(Commit::merge(self.version)?.with(changes))
    }

    /// A commit that sets one key.
    pub(super) fn put<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Checked<Commit> {
        self.merge(put(key, value)?)
    }

    /// A commit that sets one key if the version is still the one that was seen.
    pub(super) fn exactly<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Checked<Commit> {
        Ok(Commit::exactly(self.version)?.with(put(key, value)?))
    }

    /// A new id, and a commit that puts it in the place of the present one.
    pub(super) fn replace(&self) -> Checked<(SessionId, Commit)> {
        let new = other_secret(&self.id)?;
        Ok((new, Commit::merge(self.version)?.identity(Identity::Replace(new))))
    }

    /// A new id, and a commit that logs an owner in under it.
    pub(super) fn log_in(&self, login: Login) -> Checked<(SessionId, Commit)> {
        let (new, commit) = self.replace()?;
        Ok((new, commit.log_in(login)))
    }
}

/// A store under test.
pub(super) struct Fixture<'a> {
    pub(super) store: &'a dyn Store,
    time: &'a Time,
}

impl<'a> Fixture<'a> {
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

    /// A time that outlasts the rule.
    pub(super) fn long(&self) -> Duration {
        self.units(LONG)
    }

    /// A time that is over after [`over`](Self::over).
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

    /// The clock, for a rule that stops time.
    pub(super) fn clock(&self) -> Checked<&ManualClock> {
        match &self.time.0 {
            Passing::Manual(clock) => Ok(clock),
            Passing::Real(_) => Err(Stop::Skipped("needs a clock that is turned by hand".to_owned())),
        }
    }

    /// A lease with this idle timeout and grace, under which every visit prolongs.
    pub(super) fn lease(&self, idle: Duration) -> Lease {
        Lease { grace: self.long(), ..Lease::new(idle) }
    }

    /// Expects the time that a session has left: exactly with a clock that stands still, roughly with
    /// one that runs.
    pub(super) fn left(&self, what: &str, found: Duration, expected: Duration) -> Checked {
        match &self.time.0 {
            Passing::Manual(_) => same(what, found, expected),
            Passing::Real(_) if found <= expected && found >= expected / 2 => Ok(()),
            Passing::Real(_) => {
                broken(format!("{what}: expected {expected:?} at most, and not much less, found {found:?}"))
            }
        }
    }

    /// Creates a session that outlasts the rule.
    pub(super) fn session(&self, entries: Value) -> Checked<Session> {
        self.session_for(entries, self.long())
    }

    /// Creates a session with this time.
    pub(super) fn session_for(&self, entries: Value, idle: Duration) -> Checked<Session> {
        let create = Commit::create()?.with(Changes::from(&record(entries)));
        let id = new_id()?;
        let receipt = done("create under a new id", self.store.commit(&id, &create, &self.lease(idle)))?;
        Ok(Session { id, version: receipt.version })
    }

    /// Commits under a lease that outlasts the rule.
    pub(super) fn commit(&self, id: &SessionId, commit: &Commit) -> Result<Outcome> {
        self.store.commit(id, commit, &self.lease(self.long()))
    }

    /// Commits and expects it to be done.
    pub(super) fn done(&self, id: &SessionId, commit: &Commit) -> Checked<Receipt> {
        done(&format!("{commit:?}"), self.commit(id, commit))
    }

    /// Commits and expects it to be refused.
    pub(super) fn says(&self, id: &SessionId, commit: &Commit, expected: Outcome) -> Checked {
        says(&format!("{commit:?}"), self.commit(id, commit), expected)
    }

    /// Puts a new id in the place of the present one.
    pub(super) fn replaced(&self, session: &Session) -> Checked<Session> {
        let (id, replace) = session.replace()?;
        Ok(Session { id, version: self.done(&session.id, &replace)?.version })
    }

    /// Logs an owner in.
    pub(super) fn logged_in(&self, session: &Session, login: Login) -> Checked<Session> {
        let (id, commit) = session.log_in(login)?;
        Ok(Session { id, version: self.done(&session.id, &commit)?.version })
    }

    /// Creates a session and logs an owner in.
    pub(super) fn session_of(&self, name: &str) -> Checked<Session> {
        self.logged_in(&self.session(serde_json::json!({"cart": 1}))?, Login::new(owner(name)?))
    }

    /// The store's powers, or the rule is skipped.
    pub(super) fn owners(&self) -> Checked<&'a dyn Owners> {
        self.store.owners().ok_or_else(|| Stop::Skipped("this store has no powers over owners".to_owned()))
    }

    /// Looks with a lease that outlasts the rule.
    pub(super) fn look(&self, id: &SessionId, how: Look) -> Checked<Lookup> {
        Ok(self.store.look(id, how, &self.lease(self.long()))?)
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

    /// Expects the entries of a session.
    pub(super) fn holds(&self, id: &SessionId, entries: Value) -> Checked {
        holds("the entries", &self.found("the id", id)?.record, entries)
    }

    /// Expects that an id opens nothing, whatever is asked, and that everything says `why`. `whose`
    /// completes "get with ...".
    pub(super) fn dead(&self, whose: &str, session: &Session, why: Outcome) -> Checked {
        let (store, id, long) = (self.store, &session.id, self.lease(self.long()));
        self.nothing(whose, id)?;
        for commit in [session.put("ghost", &1)?, session.exactly("ghost", &1)?, session.replace()?.1] {
            says(&format!("{commit:?} with {whose}"), store.commit(id, &commit, &long), why)?;
        }
        says(&format!("touch with {whose}"), store.touch(id, &long), why)?;
        says(&format!("destroy with {whose}"), store.destroy(id), why)?;
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
