//! Rules of histories: what a store answers to a long random history is what the rule says.

use std::time::Duration;

use super::PlainStore;
use super::fixture::{Checked, Fixture, Stop, broken, data, new_id, other_secret, owner, same};
use crate::error::Result;
use crate::id::SessionId;
use crate::record::{Changes, Version};
use crate::store::{
    Action, AtLimit, Commit, EndReason, Epoch, Identity, Lease, Limit, Login, Look, Lookup, Outcome, Owners, Presented,
    Store,
};

super::table![the_store_does_what_the_rule_says, the_store_does_with_owners_what_the_rule_says];

const STEPS: usize = 1000;

/// A generator of random numbers with a seed, so that a history that fails is the same the next time:
/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound.max(1) as u64).unwrap_or_default()
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).copied()
    }
}

/// The store under test, the plain store beside it, and what clients know.
struct History<'a> {
    p: &'a Fixture<'a>,
    plain: PlainStore,
    owners: Option<&'a dyn Owners>,
    random: Random,
    /// Ids that clients have or had, and versions that they saw.
    ids: Vec<SessionId>,
    versions: Vec<Version>,
    /// Commits whose answer may have been lost.
    sent: Vec<(SessionId, Commit)>,
    /// Logins under way: whose, and the epoch in which they began.
    begun: Vec<(&'static str, Epoch)>,
}

fn the_store_does_what_the_rule_says(p: &Fixture<'_>) -> Checked {
    history(p, None)
}

fn the_store_does_with_owners_what_the_rule_says(p: &Fixture<'_>) -> Checked {
    history(p, Some(p.owners()?))
}

fn history(p: &Fixture<'_>, owners: Option<&dyn Owners>) -> Checked {
    let (plain, random) = (PlainStore::new(p.clock()?), Random(0x1E3B20));
    let (ids, versions, sent, begun) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut history = History { p, plain, owners, random, ids, versions, sent, begun };
    for step in 0..STEPS {
        history.step().map_err(|stop| match stop {
            Stop::Broken(problem) => Stop::Broken(format!("step {step} of a random history: {problem}")),
            skipped @ Stop::Skipped(_) => skipped,
        })?;
    }
    let ids = std::mem::take(&mut history.ids);
    ids.into_iter().try_for_each(|id| history.looks_like(id, Look::Peek, &Lease::UNLIMITED))
}

impl History<'_> {
    fn step(&mut self) -> Checked {
        // No two logins in the same instant: which of them is older would be left to the store.
        self.p.clock()?.advance(Duration::from_millis(1));
        let (id, lease) = (self.id()?, self.lease());
        match self.random.below(20) {
            0 | 1 => self.p.pass(1 + u32::from(self.random.chance(4)) * 5),
            2 | 3 => self.create(id, &lease)?,
            4..=9 => self.merge(id, &lease)?,
            10 | 11 => self.repeat(&lease)?,
            12 => {
                let (found, expected) = (self.p.store.touch(&id, &lease), self.plain.touch(&id, &lease));
                self.answer("touch", &id, found, expected)?;
            }
            13 if self.random.chance(3) => {
                self.answer("destroy", &id, self.p.store.destroy(&id), Store::destroy(&self.plain, &id))?;
            }
            14 if self.random.chance(2) => self.put(id)?,
            15..=17 => self.own(id)?,
            _ => self.looks_like(id, Look::Visit, &lease)?,
        }
        self.looks_like(id, Look::Peek, &lease)?;
        let id = self.id()?;
        self.looks_like(id, Look::Peek, &Lease::UNLIMITED)
    }

    fn lease(&mut self) -> Lease {
        let (p, random) = (self.p, &mut self.random);
        Lease {
            idle: p.units([8, 12, 50][random.below(3)]),
            lifetime: [None, Some(p.units(30))][random.below(2)],
            remembered: [None, Some((p.units(40), Some(p.units(60))))][random.below(2)],
            touch_after: p.units([0, 1, 10][random.below(3)]),
            renew_after: [None, Some(p.units(2))][random.below(2)],
            grace: p.units([0, 1, 4][random.below(3)]),
        }
    }

    /// An id that a client has or had, rarely one with another secret.
    fn id(&mut self) -> Checked<SessionId> {
        let recent = self.ids.len().saturating_sub(12);
        match self.random.pick(&self.ids[recent..]) {
            Some(id) if self.random.chance(12) => other_secret(&id),
            Some(id) => Ok(id),
            None => new_id(),
        }
    }

    fn changes(&mut self) -> Checked<Changes> {
        let (mut changes, random) = (Changes::new(), &mut self.random);
        for _ in 0..random.below(3) {
            let (component, key) = (["", "cart"][random.below(2)], ["a", "b", "c"][random.below(3)]);
            match random.below(8) {
                0 => changes.clear(),
                1 => changes.clear_component(component),
                2 => changes.remove(component, key)?,
                n => changes.insert(component, key, &n)?,
            }
        }
        match random.below(12) {
            0 => changes.set_timeout([None, Some(self.p.units(5))][random.below(2)]),
            1 => changes.set_label([None, Some("a phone")][random.below(2)])?,
            2 => changes.remember(random.chance(2)),
            _ => {}
        }
        Ok(changes)
    }

    fn create(&mut self, id: SessionId, lease: &Lease) -> Checked {
        let id = if self.random.chance(4) { id } else { new_id()? };
        let create = Commit::create()?.with(self.changes()?);
        let create = if self.random.chance(2) { create.log_in(self.login()?) } else { create };
        self.commit(id, create, lease)
    }

    fn merge(&mut self, id: SessionId, lease: &Lease) -> Checked {
        let seen = self.plain.get(&id)?.map(|stored| stored.record.version());
        let recent = self.versions.len().saturating_sub(20);
        let stale = self.random.pick(&self.versions[recent..]);
        let Some(version) = seen.filter(|_| !self.random.chance(4)).or(stale) else { return Ok(()) };
        let merge = if self.random.chance(3) { Commit::exactly(version)? } else { Commit::merge(version)? };
        let merge = merge.with(self.changes()?);
        let replace = Identity::Replace(other_secret(&id)?);
        let merge = match self.random.below(8) {
            0 => merge.identity(replace),
            1 => merge.identity(replace).log_in(self.login()?),
            2 => merge.log_in(self.login()?),
            3 | 4 => merge.identity(Identity::Renew(self.random.below(usize::MAX) as u64)),
            _ => merge,
        };
        self.commit(id, merge, lease)
    }

    fn login(&mut self) -> Checked<Login> {
        let (name, begun) = match self.random.pick(&self.begun) {
            Some((name, epoch)) if self.random.chance(2) => (name, Some(epoch)),
            _ => (self.name(), None),
        };
        let at_limit = [AtLimit::EndOldest, AtLimit::RefuseNewest][self.random.below(2)];
        let limit = (self.owners.is_some() && self.random.chance(2)).then_some(Limit { max: 2, at_limit });
        Ok(Login { begun, limit, ..Login::new(owner(name)?) })
    }

    fn name(&mut self) -> &'static str {
        ["ada", "bob"][self.random.below(2)]
    }

    fn repeat(&mut self, lease: &Lease) -> Checked {
        let recent = self.sent.len().saturating_sub(8);
        let at = recent + self.random.below(8);
        match self.sent.get(at).cloned() {
            Some((id, commit)) => self.commit(id, commit.repeated(), lease),
            None => Ok(()),
        }
    }

    fn commit(&mut self, id: SessionId, commit: Commit, lease: &Lease) -> Checked {
        let action = Action::Commit(&commit);
        // Whether a store looks at the limit or at the session first is its own affair.
        let limit = action.login().and_then(|login| login.limit);
        if limit.is_some() && !self.plain.foresee(&id, &action, lease).is_ok_and(Outcome::is_done) {
            return Ok(());
        }
        let found = self.p.store.commit(&id, &commit, lease);
        // A store that keeps few nonces, or none, may say so to any repeat, and has done nothing.
        if commit.is_repeated() && found.as_ref().is_err_and(crate::Error::is_unknown) {
            return Ok(());
        }
        let expected = self.plain.commit(&id, &commit, lease);
        // The same for the epoch of a login that is refused either way.
        let is_refused = expected.as_ref().is_ok_and(|expected| !expected.is_done());
        if action.login().is_some() && is_refused && matches!(found, Ok(Outcome::LoginRevoked)) {
            return Ok(());
        }
        let what = format!("{commit:?}");
        if commit.expect() == crate::Expect::Absent {
            self.ids.push(id);
        }
        self.sent.push((id, commit));
        self.answer(&what, &id, found, expected)
    }

    /// Compares the answers of both stores, and has the client note what it was told.
    fn answer(&mut self, what: &str, id: &SessionId, found: Result<Outcome>, expected: Result<Outcome>) -> Checked {
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                same(&format!("{what} with {}", id.handle()), found, expected)?;
                let receipt = found.receipt();
                self.versions.extend(receipt.map(|receipt| receipt.version));
                self.ids.extend(receipt.and_then(|receipt| receipt.announce));
                Ok(())
            }
            // The plain store has forgotten a nonce that the other one still knows.
            (Ok(Outcome::Done(_)), Err(error)) if error.is_unknown() => Ok(()),
            (Err(found), Err(expected)) => same(what, found.to_string(), expected.to_string()),
            (found, expected) => broken(format!("{what}: expected {expected:?}, found {found:?}")),
        }
    }

    /// Looks in both stores.
    fn looks_like(&mut self, id: SessionId, how: Look, lease: &Lease) -> Checked {
        let what = format!("a look ({how:?}) with {}", id.handle());
        match (self.p.store.look(&id, how, lease)?, self.plain.look(&id, how, lease)?) {
            (Lookup::Found(found), Lookup::Found(expected)) => {
                let times = (found.ttl, found.presented, found.record.version());
                same(&what, times, (expected.ttl, expected.presented, expected.record.version()))?;
                if let Presented::Renewing(new) = found.presented {
                    self.ids.push(new);
                }
                same(&what, data(&found.record)?, data(&expected.record)?)
            }
            (found, expected) => same(&what, found, expected),
        }
    }

    /// Puts a record that is stored somewhere under an id.
    fn put(&mut self, id: SessionId) -> Checked {
        let other = self.id()?;
        let Some(stored) = self.plain.get(&other)? else { return Ok(()) };
        let put = Action::Put(&stored.record, self.p.units([0, 5][self.random.below(2)]));
        let found = self.p.store.apply(&id, &put, &Lease::UNLIMITED);
        let expected = self.plain.apply(&id, &put, &Lease::UNLIMITED);
        self.answer("put", &id, found, expected)
    }

    /// Something with all the sessions of an owner.
    fn own(&mut self, id: SessionId) -> Checked {
        let (Some(owners), name) = (self.owners, self.name()) else { return Ok(()) };
        let theirs = owner(name)?;
        match self.random.below(6) {
            0 if self.random.chance(3) => {
                let except = Some(&id).filter(|_| self.random.chance(2));
                let expected = self.plain.destroy_all(&theirs, except)?;
                same("destroy_all", owners.destroy_all(&theirs, except)?, expected)?;
                self.plain.set_epoch(&theirs, owners.epoch(&theirs)?);
            }
            1 => {
                let (of, reason) = (Some(&theirs).filter(|_| self.random.chance(2)), EndReason::Named);
                let (found, expected) =
                    (owners.destroy(id.handle(), of, reason), Owners::destroy(&self.plain, id.handle(), of, reason));
                self.answer("destroy by handle", &id, found, expected)?;
            }
            2 => {
                // Either store may have forgotten.
                if let (Some(found), Some(expected)) = (owners.why_ended(&id)?, self.plain.why_ended(&id)?) {
                    same("why_ended", found, expected)?;
                }
            }
            3 => {
                let epoch = owners.epoch(&theirs)?;
                self.plain.set_epoch(&theirs, epoch);
                self.begun.push((name, epoch));
            }
            _ => {
                let listed = |owners: &dyn Owners| -> Result<Vec<_>> {
                    let listed = owners.list(&theirs)?.into_iter();
                    let mut listed: Vec<_> =
                        listed.map(|one| (one.handle, one.stored.record.version().to_u64(), one.stored.ttl)).collect();
                    listed.sort_unstable();
                    Ok(listed)
                };
                same(&format!("the list of {name}"), listed(owners)?, listed(&self.plain)?)?;
            }
        }
        Ok(())
    }
}
