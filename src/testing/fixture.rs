//! The fixture of a rule: the store under test beside the plain store. Each call goes to both, and
//! their answers must be equal.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::plain::PlainStore;
use super::verdict::{Checked, Time, Verdict, broken, optional, same};
use crate::clock::ManualClock;
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId, random_number};
use crate::record::{Changes, Record, Version};
use crate::store::{
    Action, Commit, EndReason, Epoch, Identity, Lease, Listed, Login, Look, Lookup, Now, Outcome, Owner, Owners,
    Receipt, Store, Stored,
};

/// A longer time counts as "never".
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A rule of the contract that is a function, not a script. Its name is a sentence.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodeRule {
    pub(super) name: &'static str,
    pub(super) run: fn(&Fixture<'_>) -> Checked,
}

impl CodeRule {
    pub(super) const fn new(name: &'static str, run: fn(&Fixture<'_>) -> Checked) -> Self {
        Self { name, run }
    }
}

/// The store under test, and the plain store. Both must give the same answers.
pub(super) struct Fixture<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) plain: PlainStore,
    time: &'a Time,
}

/// Time, and comparisons of sessions.
impl<'a> Fixture<'a> {
    pub(super) fn new(store: &'a dyn Store, time: &'a Time) -> Self {
        Self { store, plain: PlainStore::new(time.clock()), time }
    }

    /// The duration of so many units.
    pub(super) fn units(&self, units: u32) -> Duration {
        self.time.unit * units
    }

    /// Lets so many units of time pass.
    pub(super) fn pass(&self, units: u32) {
        match &self.time.manual {
            Some(clock) => clock.advance(self.units(units)),
            None => std::thread::sleep(self.units(units)),
        }
    }

    /// Lets three units pass, so that a session with two units left expires even if real time is
    /// not exact.
    pub(super) fn over(&self) {
        self.pass(3);
    }

    /// The manual clock. Skips the rule if time is real.
    pub(super) fn clock(&self) -> Checked<&ManualClock> {
        let missing = || Verdict::Skipped("needs a manual clock".to_owned());
        self.time.manual.as_ref().ok_or_else(missing)
    }

    /// A lease with an idle timeout and a grace that outlast the rule. Every visit prolongs.
    pub(super) fn lease(&self) -> Lease {
        let long = self.units(1000);
        Lease { grace: long, ..Lease::new(long) }
    }

    /// The parts of a session that are compared: its record and its version. If time is real, each
    /// time in the record becomes a `bool` that says whether it is less than ten minutes from now.
    fn seen(&self, stored: &Stored) -> Checked<(Value, u64)> {
        let written = serde_json::to_value(&stored.record);
        let mut data = written.map_err(|error| Verdict::Broken(format!("a record cannot be written: {error}")))?;
        let now = Now::of(&self.time.clock()).calendar_ms;
        for time in ["created_at", "owner_since", "id_since"].into_iter().filter(|_| self.clock().is_err()) {
            if let Some(at) = data.get_mut(time) {
                // A database may have a clock of its own.
                *at = json!(at.as_u64().is_some_and(|at| at.abs_diff(now) < 600_000));
            }
        }
        Ok((data, stored.record.version().to_u64()))
    }

    fn same_stored(&self, what: &str, found: &Stored, expected: &Stored) -> Checked {
        same(what, self.seen(found)?, self.seen(expected)?)?;
        self.same_time(what, found.ttl, expected.ttl)
    }

    fn same_time(&self, what: &str, found: Duration, expected: Duration) -> Checked {
        let (found, expected) = (found.min(CENTURY), expected.min(CENTURY));
        // The stores are asked one after the other. On a busy machine a while passes in between.
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

    /// Looks at a session that must be there.
    pub(super) fn found(&self, id: &SessionId) -> Checked<Record> {
        match self.get(id)? {
            Some(stored) => Ok(stored.record),
            None => broken("a look: expected the session, found none"),
        }
    }

    /// Carries out an action, then looks the session up. Returns the receipt if the action was
    /// done.
    pub(super) fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Checked<Option<Receipt>> {
        let found = self.store.apply(id, action, lease);
        let is_repeated = matches!(action, Action::Commit(commit) if commit.is_repeated());
        // A store that keeps few nonces, or none, may refuse any repeat as unknown.
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
            // The plain store has forgotten a nonce that the store under test still knows.
            (Ok(Outcome::Done(found)), Err(error)) if error.is_unknown() => Ok(Some(found)),
            (Ok(found), Ok(expected)) => same(what, found, expected).map(|()| None),
            (Err(found), Err(expected)) if kinds(&found) == kinds(&expected) => Ok(None),
            (found, expected) => broken(format!("{what}: expected {expected:?}, found {found:?}")),
        }
    }

    /// Commits under the [lease](Self::lease) that outlasts the rule.
    pub(super) fn commit(&self, id: &SessionId, commit: &Commit) -> Checked<Option<Receipt>> {
        self.apply(id, &Action::Commit(commit), &self.lease())
    }

    /// Puts a record under an id, as `set` does.
    pub(super) fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Checked<Option<Receipt>> {
        let version = Version::first(random_number()?);
        let record = record.clone().prepare(version, Now::of(&self.time.clock()).calendar_ms)?;
        self.apply(id, &Action::Put(&record, ttl), &Lease::UNLIMITED)
    }

    /// Does everything that a request can do with an id. Ends the session last.
    pub(super) fn everything(&self, session: &SeenSession) -> Checked {
        let (id, lease) = (&session.id, self.lease());
        self.look(id, Look::Peek, &lease)?;
        self.look(id, Look::Visit, &lease)?;
        self.apply(id, &Action::Touch(None), &lease)?;
        for commit in [session.put("a", &1)?, session.exactly("b", &1)?, session.replace()?.1] {
            self.commit(id, &commit)?;
        }
        self.apply(id, &Action::End(None), &lease).map(drop)
    }
}

/// Sessions.
impl Fixture<'_> {
    /// Creates a session that has this data and outlasts the rule.
    pub(super) fn session(&self, record: &Record) -> Checked<SeenSession> {
        self.committed(&SessionId::random()?, &Commit::create()?.with(Changes::from(record)))
    }

    /// Commits, and breaks the rule unless the commit is done. Returns the session after it.
    pub(super) fn committed(&self, id: &SessionId, commit: &Commit) -> Checked<SeenSession> {
        match self.commit(id, commit)? {
            Some(receipt) => Ok(SeenSession { id: receipt.announce.unwrap_or(*id), version: receipt.version }),
            None => broken(format!("{commit:?}: expected Done")),
        }
    }

    /// Creates a session and logs an owner in.
    pub(super) fn session_of(&self, name: &str) -> Checked<SeenSession> {
        let session = self.session(&[("cart", 1)].into_iter().collect())?;
        self.committed(&session.id, &session.replace()?.1.log_in(Login::new(Owner::new(name)?)))
    }
}

/// Operations on owners and on all sessions.
impl<'a> Fixture<'a> {
    /// The store's operations on owners. Skips the rule if it has none.
    pub(super) fn owners(&self) -> Checked<&'a dyn Owners> {
        self.store.owners().ok_or_else(|| Verdict::Skipped("this store has no operations on owners".to_owned()))
    }

    /// The owner's epoch, which must not have gone back.
    pub(super) fn epoch(&self, name: &str) -> Checked<Epoch> {
        let owner = Owner::new(name)?;
        let (epoch, last) = (self.owners()?.epoch(&owner)?, self.plain.epoch(&owner)?);
        same("whether the epoch went back", epoch < last, false).map(|()| epoch)
    }

    /// Compares the sessions of an owner.
    pub(super) fn list(&self, name: &str) -> Checked {
        let (owners, owner) = (self.owners()?, Owner::new(name)?);
        let (listed, expected) = (owners.list(&owner)?, self.plain.list(&owner)?);
        same(&format!("the count of {name:?}"), owners.count(&owner)?, expected.len())?;
        same("the ids in a list of an owner", listed.iter().filter_map(|one| one.id).count(), 0)?;
        self.same_list(&format!("the list of {name:?}"), listed, expected)
    }

    /// Compares the number of sessions and the list of all.
    pub(super) fn all(&self) -> Checked {
        let len = optional(self.store.len())?;
        same("len and is_empty", (len, self.store.is_empty()?), (self.plain.len()?, self.plain.is_empty()?))?;
        let listed = optional(self.store.all())?.collect::<Result<Vec<_>>>()?;
        for id in listed.iter().filter_map(|one| one.id) {
            self.found(&id)?;
        }
        self.same_list("all", listed, self.plain.all()?.collect::<Result<_>>()?)
    }

    fn same_list(&self, what: &str, mut found: Vec<Listed>, mut expected: Vec<Listed>) -> Checked {
        let handles = |listed: &mut Vec<Listed>| -> Vec<Handle> {
            listed.sort_by_key(|one| one.handle);
            listed.iter().map(|one| one.handle).collect()
        };
        same(what, handles(&mut found), handles(&mut expected))?;
        let mut pairs = found.iter().zip(&expected);
        pairs.try_for_each(|(found, expected)| self.same_stored(what, &found.stored, &expected.stored))
    }

    pub(super) fn destroy_all(&self, name: &str, except: Option<Handle>) -> Checked {
        let (owners, owner) = (self.owners()?, Owner::new(name)?);
        let before = owners.epoch(&owner)?;
        let (ended, expected) = (owners.destroy_all(&owner, except)?, self.plain.destroy_all(&owner, except)?);
        same("how many sessions destroy_all ends", ended, expected)?;
        // The stores number their epochs differently.
        let after = owners.epoch(&owner)?;
        self.plain.set_epoch(&owner, after);
        same("whether destroy_all begins a later epoch", after > before, true)
    }

    /// Ends a session by its handle. If a name is given, it must be that owner's session.
    pub(super) fn end(&self, id: &SessionId, name: Option<&str>) -> Checked {
        let (handle, owner) = (id.handle(), name.map(Owner::new).transpose()?);
        let found = self.owners()?.destroy_handle(handle, owner.as_ref(), EndReason::Revoked);
        let expected = self.plain.destroy_handle(handle, owner.as_ref(), EndReason::Revoked);
        self.same_outcome("destroy by handle", found, expected)?;
        self.get(id).map(drop)
    }

    pub(super) fn end_reason(&self, id: &SessionId) -> Checked {
        same("why a session ended", self.owners()?.end_reason(id)?, self.plain.end_reason(id)?)
    }
}

/// Changes that set one key.
pub(super) fn put<T: Serialize + ?Sized>(key: &str, value: &T) -> Checked<Changes> {
    let mut changes = Changes::new();
    changes.insert("", key, value)?;
    Ok(changes)
}

/// Another id with the same handle.
pub(super) fn other_secret(id: &SessionId) -> Checked<SessionId> {
    Ok(id.renewed(&SessionId::random()?))
}

/// A session that a request has seen: its id, and its version then.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenSession {
    pub(super) id: SessionId,
    pub(super) version: Version,
}

impl SeenSession {
    /// A commit that merges these changes into it.
    pub(super) fn merge(&self, changes: Changes) -> Checked<Commit> {
        Ok(Commit::merge(self.version)?.with(changes))
    }

    /// A commit that sets one key.
    pub(super) fn put<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Checked<Commit> {
        self.merge(put(key, value)?)
    }

    /// A commit that sets one key if the stored version is still the one that was seen.
    pub(super) fn exactly<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Checked<Commit> {
        Ok(Commit::exactly(self.version)?.with(put(key, value)?))
    }

    /// A new id, and a commit that replaces the session's id with it.
    pub(super) fn replace(&self) -> Checked<(SessionId, Commit)> {
        let new = other_secret(&self.id)?;
        Ok((new, Commit::merge(self.version)?.with_identity(Identity::Replace(new))))
    }
}
