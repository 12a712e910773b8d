//! The store under test beside the plain store. Each call goes to both, and their answers must be
//! equal.

use std::error::Error as _;
use std::fmt::Debug;
use std::time::Duration;

use serde_json::{Value, json};

use super::request::{Session, keys, login, new_id, owner};
use super::{Passing, PlainStore, Time};
use crate::clock::ManualClock;
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId, random_number};
use crate::record::{Changes, Record, Version};
use crate::store::{
    Action, Commit, EndReason, Epoch, Lease, Listed, Login, Look, Lookup, Now, Outcome, Owners, Receipt, Store, Stored,
};

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

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

/// The answer of an optional method; the rule is skipped if the store does not have it.
pub(super) fn optional<T>(found: Result<T>) -> Checked<T> {
    match found {
        Err(error) if error.is_unsupported() => Err(Stop::Skipped(error.to_string())),
        found => Ok(found?),
    }
}

/// A store under test.
pub(super) struct Fixture<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) plain: PlainStore,
    time: &'a Time,
}

/// Time.
impl<'a> Fixture<'a> {
    pub(super) fn new(store: &'a dyn Store, time: &'a Time) -> Self {
        Self { store, plain: PlainStore::new(time.clock()), time }
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
        self.units(1000)
    }

    /// A time that is over after [`over`](Self::over).
    pub(super) fn short(&self) -> Duration {
        self.units(2)
    }

    /// Lets so many units pass.
    pub(super) fn pass(&self, units: u32) {
        match &self.time.0 {
            Passing::Manual(clock) => clock.advance(self.units(units)),
            Passing::Real(_) => std::thread::sleep(self.units(units)),
        }
    }

    /// Lets whatever had a [`short`](Self::short) time expire: with real time nothing is exact, so
    /// it waits a little more.
    pub(super) fn over(&self) {
        self.pass(3);
    }

    /// The clock, for a rule that stops time.
    pub(super) fn clock(&self) -> Checked<&ManualClock> {
        match &self.time.0 {
            Passing::Manual(clock) => Ok(clock),
            Passing::Real(_) => Err(Stop::Skipped("needs a clock that is turned by hand".to_owned())),
        }
    }

    /// A lease with this idle timeout and a grace that outlasts the rule, under which every visit
    /// prolongs.
    pub(super) fn lease(&self, idle: Duration) -> Lease {
        Lease { grace: self.long(), ..Lease::new(idle) }
    }

    /// A lease under which ids are renewed at the age of a unit, with this grace.
    pub(super) fn renews(&self, grace: Duration) -> Lease {
        Lease { renew_after: Some(self.units(1)), grace, ..self.lease(self.long()) }
    }

    /// What of a session is compared: all of it with a clock that stands still; with one that runs,
    /// times as far as they are there, and the time left apart.
    fn seen(&self, stored: &Stored) -> Checked<(Value, u64)> {
        let written = serde_json::to_value(&stored.record);
        let mut data = written.map_err(|error| Stop::Broken(format!("a record cannot be written: {error}")))?;
        let is_real = matches!(self.time.0, Passing::Real(_));
        for time in ["created_at", "owner_since", "id_since"].into_iter().filter(|_| is_real) {
            if let Some(at) = data.get_mut(time) {
                *at = json!("noted");
            }
        }
        Ok((data, stored.record.version().to_u64()))
    }

    fn same_stored(&self, what: &str, found: &Stored, expected: &Stored) -> Checked {
        same(what, self.seen(found)?, self.seen(expected)?)?;
        self.same_time(what, found.ttl, expected.ttl)
    }

    fn same_time(&self, what: &str, found: Duration, expected: Duration) -> Checked {
        // More than a century is "never", however a store counts it.
        let (found, expected) = (found.min(CENTURY), expected.min(CENTURY));
        // Both stores are asked one after the other, on a busy machine a while after.
        let most = if self.clock().is_ok() { Duration::ZERO } else { self.units(1).max(expected / 10) };
        if found.abs_diff(expected) <= most {
            return Ok(());
        }
        broken(format!("{what}: expected {expected:?} left, found {found:?}"))
    }
}

/// Looks and actions.
impl Fixture<'_> {
    pub(super) fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Checked<Option<Stored>> {
        let what = format!("a look ({how:?}) with an id of {}", id.handle());
        match (self.store.look(id, how, lease)?, self.plain.look(id, how, lease)?) {
            (Lookup::Found(found), Lookup::Found(expected)) => {
                same(&what, found.presented, expected.presented)?;
                self.same_stored(&what, &found, &expected)?;
                Ok(Some(found))
            }
            (found, expected) => same(&what, &found, &expected).map(|()| found.found()),
        }
    }

    /// Looks at a session without regard to any lease.
    pub(super) fn get(&self, id: &SessionId) -> Checked<Option<Stored>> {
        self.look(id, Look::Peek, &Lease::UNLIMITED)
    }

    /// Looks at a session that is there.
    pub(super) fn found(&self, id: &SessionId) -> Checked<Record> {
        match self.get(id)? {
            Some(stored) => Ok(stored.record),
            None => broken("a look: expected the session, found none"),
        }
    }

    /// Visits under a lease that outlasts the rule.
    pub(super) fn visit(&self, id: &SessionId) -> Checked<Option<Stored>> {
        self.look(id, Look::Visit, &self.lease(self.long()))
    }

    /// Carries out an action, and looks at what became of the session. The receipt, if it was done.
    pub(super) fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Checked<Option<Receipt>> {
        let found = self.store.apply(id, action, lease);
        let is_repeated = matches!(action, Action::Commit(commit) if commit.is_repeated());
        // A store that keeps few nonces, or none, may say so to any repeat, and has done nothing.
        let is_unknown = is_repeated && found.as_ref().is_err_and(Error::is_unknown);
        let expected = if is_unknown { found.clone() } else { self.plain.apply(id, action, lease) };
        let what = format!("{action:?} with an id of {}", id.handle());
        let receipt = self.same_outcome(&what, found, expected)?;
        for id in receipt.and_then(|receipt| receipt.announce).iter().chain([id]) {
            self.get(id)?;
        }
        Ok(receipt)
    }

    fn same_outcome(&self, what: &str, found: Result<Outcome>, expected: Result<Outcome>) -> Checked<Option<Receipt>> {
        let kinds = |error: &Error| (error.is_size(), error.is_id(), error.is_taken(), error.is_unknown());
        match (found, expected) {
            (Ok(Outcome::Done(found)), Ok(Outcome::Done(expected))) => {
                self.same_time(what, found.ttl, expected.ttl)?;
                same(what, found, Receipt { ttl: found.ttl, ..expected })?;
                Ok(Some(found))
            }
            // The plain store has forgotten a nonce that this one still knows.
            (Ok(Outcome::Done(found)), Err(error)) if error.is_unknown() => Ok(Some(found)),
            (Ok(found), Ok(expected)) => same(what, found, expected).map(|()| None),
            (Err(found), Err(expected)) if kinds(&found) == kinds(&expected) => Ok(None),
            (found, expected) => broken(format!("{what}: expected {expected:?}, found {found:?}")),
        }
    }

    /// Commits under a lease that outlasts the rule.
    pub(super) fn commit(&self, id: &SessionId, commit: &Commit) -> Checked<Option<Receipt>> {
        self.commit_for(id, commit, &self.lease(self.long()))
    }

    pub(super) fn commit_for(&self, id: &SessionId, commit: &Commit, lease: &Lease) -> Checked<Option<Receipt>> {
        self.apply(id, &Action::Commit(commit), lease)
    }

    /// Merges changes into a session.
    pub(super) fn merge(&self, session: &Session, changes: Changes) -> Checked<Option<Receipt>> {
        self.commit(&session.id, &session.merge(changes)?)
    }

    pub(super) fn touch(&self, id: &SessionId, held: Option<Version>, lease: &Lease) -> Checked<Option<Receipt>> {
        self.apply(id, &Action::Touch(held), lease)
    }

    pub(super) fn destroy(&self, id: &SessionId, held: Option<Version>) -> Checked<Option<Receipt>> {
        self.apply(id, &Action::End(held), &Lease::UNLIMITED)
    }

    /// Puts a record under an id, as `set` does.
    pub(super) fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Checked<Option<Receipt>> {
        let version = Version::first(random_number()?);
        let record = record.clone().prepare(version, Now::of(&self.time.clock()).calendar_ms)?;
        self.apply(id, &Action::Put(&record, ttl), &Lease::UNLIMITED)
    }

    /// Everything that a request may do with an id, the end last; each is compared.
    pub(super) fn everything(&self, session: &Session) -> Checked {
        let (id, lease) = (&session.id, self.lease(self.long()));
        self.look(id, Look::Peek, &lease)?;
        self.visit(id)?;
        self.touch(id, None, &lease)?;
        for commit in [session.put("a", &1)?, session.exactly("b", &1)?, session.replace()?.1] {
            self.commit(id, &commit)?;
        }
        self.destroy(id, None).map(drop)
    }
}

/// Sessions.
impl Fixture<'_> {
    /// Creates a session that outlasts the rule.
    pub(super) fn session(&self, entries: Value) -> Checked<Session> {
        self.committed(&new_id()?, &Commit::create()?.with(keys(entries)), &self.lease(self.long()))
    }

    /// Commits, and gives out what the session is then.
    pub(super) fn committed(&self, id: &SessionId, commit: &Commit, lease: &Lease) -> Checked<Session> {
        match self.commit_for(id, commit, lease)? {
            Some(receipt) => Ok(Session { id: receipt.announce.unwrap_or(*id), version: receipt.version }),
            None => broken(format!("{commit:?}: expected Done")),
        }
    }

    /// Logs an owner in.
    pub(super) fn logged_in(&self, session: &Session, login: Login) -> Checked<Session> {
        self.committed(&session.id, &session.replace()?.1.log_in(login), &self.lease(self.long()))
    }

    /// Creates a session and logs an owner in.
    pub(super) fn session_of(&self, name: &str) -> Checked<Session> {
        self.logged_in(&self.session(json!({"cart": 1}))?, login(name)?)
    }
}

/// Owners, and all sessions.
impl<'a> Fixture<'a> {
    /// The store's powers, or the rule is skipped.
    pub(super) fn owners(&self) -> Checked<&'a dyn Owners> {
        self.store.owners().ok_or_else(|| Stop::Skipped("this store has no powers over owners".to_owned()))
    }

    /// The owner's epoch.
    pub(super) fn epoch(&self, name: &str) -> Checked<Epoch> {
        Ok(self.owners()?.epoch(&owner(name)?)?)
    }

    /// The sessions of an owner.
    pub(super) fn list(&self, name: &str) -> Checked<Vec<Handle>> {
        let (owners, owner) = (self.owners()?, owner(name)?);
        let listed =
            self.same_list(&format!("the list of {name:?}"), owners.list(&owner)?, self.plain.list(&owner)?)?;
        same(&format!("the count of {name:?}"), owners.count(&owner)?, listed.len())?;
        Ok(listed)
    }

    /// How many sessions there are, and all of them.
    pub(super) fn all(&self) -> Checked {
        let len = optional(self.store.len())?;
        same("len and is_empty", (len, self.store.is_empty()?), (self.plain.len()?, self.plain.is_empty()?))?;
        let listed = optional(self.store.all())?.collect::<Result<Vec<_>>>()?;
        self.same_list("all", listed, self.plain.all()?.collect::<Result<_>>()?).map(drop)
    }

    fn same_list(&self, what: &str, mut found: Vec<Listed>, mut expected: Vec<Listed>) -> Checked<Vec<Handle>> {
        let handles = |listed: &mut Vec<Listed>| -> Vec<Handle> {
            listed.sort_by_key(|one| one.handle);
            listed.iter().map(|one| one.handle).collect()
        };
        same(what, handles(&mut found), handles(&mut expected))?;
        let mut pairs = found.iter().zip(&expected);
        pairs.try_for_each(|(found, expected)| self.same_stored(what, &found.stored, &expected.stored))?;
        Ok(found.iter().map(|one| one.handle).collect())
    }

    pub(super) fn destroy_all(&self, name: &str, except: Option<&SessionId>) -> Checked<usize> {
        let (owners, owner) = (self.owners()?, owner(name)?);
        let before = owners.epoch(&owner)?;
        let (ended, expected) = (owners.destroy_all(&owner, except)?, self.plain.destroy_all(&owner, except)?);
        same("how many sessions destroy_all ends", ended, expected)?;
        // Epochs are each store's own numbers.
        let after = owners.epoch(&owner)?;
        self.plain.set_epoch(&owner, after);
        same("whether destroy_all begins a later epoch", after > before, true).map(|()| ended)
    }

    /// Ends a session by its handle, for this owner.
    pub(super) fn end(&self, id: &SessionId, name: Option<&str>, reason: EndReason) -> Checked<Option<Receipt>> {
        let (handle, owner) = (id.handle(), name.map(owner).transpose()?);
        let found = self.owners()?.destroy(handle, owner.as_ref(), reason);
        let expected = Owners::destroy(&self.plain, handle, owner.as_ref(), reason);
        let receipt = self.same_outcome("destroy by handle", found, expected)?;
        self.get(id).map(|_| receipt)
    }

    pub(super) fn why_ended(&self, id: &SessionId) -> Checked<Option<EndReason>> {
        let (found, expected) = (self.owners()?.why_ended(id)?, self.plain.why_ended(id)?);
        same("why a session ended", found, expected).map(|()| found)
    }
}
