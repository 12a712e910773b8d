//! Rules of long random histories: every answer of the store is that of the plain store.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::fixture::{CodeRule, Fixture, other_secret, put};
use super::verdict::{Checked, Verdict};
use crate::id::SessionId;
use crate::record::{Changes, Version};
use crate::store::{
    Action, AtLimit, Commit, Epoch, Identity, Lease, Limit, Login, Look, Owner, Presented, Receipt, Store,
};

pub(super) const RULES: &[CodeRule] = &[
    CodeRule::new("the store does what the rule says", |fixture| history(fixture, false)),
    CodeRule::new("the store does with owners what the rule says", |fixture| {
        fixture.owners().and_then(|_| history(fixture, true))
    }),
];

const STEPS: usize = 1000;

/// The ids, versions and commits that the clients of both stores know.
struct History<'a> {
    fixture: &'a Fixture<'a>,
    has_owners: bool,
    /// It begins with a fixed seed, so that a failure can be repeated.
    random: StdRng,
    /// The ids that clients have or had.
    ids: Vec<SessionId>,
    /// The versions that clients have seen.
    versions: Vec<Version>,
    /// Commits that may be repeated, as if their answers were lost.
    sent: Vec<(SessionId, Commit)>,
    /// The logins under way: each owner, and the epoch in which the login began.
    begun: Vec<(&'static str, Epoch)>,
}

fn history(fixture: &Fixture<'_>, has_owners: bool) -> Checked {
    let (ids, versions, sent, begun) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let random = StdRng::seed_from_u64(0x1E_3B20);
    let mut history = History { fixture, has_owners, random, ids, versions, sent, begun };
    for step in 0..STEPS {
        history.step().map_err(|verdict| verdict.at(format_args!("step {step} of a random history")))?;
    }
    history.ids.iter().try_for_each(|id| fixture.get(id).map(drop))
}

impl History<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.random.random_range(0..bound.max(1))
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// A random one of the `last` newest items.
    fn recent<T>(&mut self, of: fn(&Self) -> &[T], last: usize) -> Option<&T> {
        let back = self.below(last.min(of(self).len()));
        of(self).iter().rev().nth(back)
    }

    fn step(&mut self) -> Checked {
        let fixture = self.fixture;
        // A store may order logins of one instant either way, so no two steps share an instant.
        fixture.clock()?.advance(Duration::from_millis(1));
        let (id, lease) = (self.id()?, self.lease());
        match self.below(20) {
            0 | 1 => fixture.pass([1, 1, 2, 6][self.below(4)]),
            2 | 3 => self.create(id, &lease)?,
            4..=9 => self.merge(id, &lease)?,
            10 | 11 => {
                if let Some((id, commit)) = self.recent(|history| &history.sent, 8).cloned() {
                    self.commit(id, commit.repeated(), &lease)?;
                }
            }
            12 => drop(fixture.apply(&id, &Action::Touch(self.held()), &lease)?),
            13 if self.chance(3) => drop(fixture.apply(&id, &Action::End(self.held()), &Lease::UNLIMITED)?),
            14 if self.chance(2) => {
                if let Some(stored) = fixture.get(&self.id()?)? {
                    let put = Action::Put(&stored.record, fixture.units([0, 5][self.below(2)]));
                    let receipt = fixture.apply(&id, &put, &Lease::UNLIMITED)?;
                    self.note(receipt);
                }
            }
            15..=17 if self.has_owners => self.own(id)?,
            _ => {
                let seen = fixture.look(&id, Look::Visit, &lease)?;
                if let Some(Presented::Renewing(new)) = seen.map(|stored| stored.presented) {
                    self.ids.push(new);
                }
            }
        }
        fixture.look(&id, self.held().map_or(Look::Peek, Look::Held), &lease)?;
        fixture.get(&self.id()?).map(drop)
    }

    /// A version of any session that a client has seen, or `None`.
    fn held(&mut self) -> Option<Version> {
        if self.chance(2) { None } else { self.recent(|history| &history.versions, 8).copied() }
    }

    fn lease(&mut self) -> Lease {
        let fixture = self.fixture;
        Lease {
            idle: fixture.units([8, 12, 50][self.below(3)]),
            lifetime: [None, Some(fixture.units(30))][self.below(2)],
            remembered: [None, Some((fixture.units(40), Some(fixture.units(60))))][self.below(2)],
            touch_after: fixture.units([0, 1, 10][self.below(3)]),
            renew_after: [None, Some(fixture.units(2))][self.below(2)],
            grace: fixture.units([0, 1, 4][self.below(3)]),
        }
    }

    /// An id that a client has or had. Most of them open a session; a few have another secret.
    fn id(&mut self) -> Checked<SessionId> {
        let Some(mut id) = self.recent(|history| &history.ids, 16).copied() else { return Ok(SessionId::random()?) };
        for _ in 0..3 {
            let is_live = self.fixture.plain.get(&id)?.is_some();
            id = self.recent(|history| &history.ids, 16).copied().filter(|_| !is_live).unwrap_or(id);
        }
        if self.chance(16) { other_secret(&id) } else { Ok(id) }
    }

    fn changes(&mut self) -> Checked<Changes> {
        let (n, key) = (self.below(100), ["a", "b", "c"][self.below(3)]);
        let mut changes = put(key, &n)?;
        match self.below(8) {
            0 => changes.clear(),
            1 => changes.clear_component("cart"),
            2 => changes.remove("", key)?,
            3 => {
                changes.set_timeout([None, Some(self.fixture.units(5))][self.below(2)]);
                changes.set_label([None, Some(key)][self.below(2)])?;
                changes.remember(n > 50);
            }
            _ => changes.insert(["", "cart"][self.below(2)], key, &n)?,
        }
        Ok(changes)
    }

    fn create(&mut self, id: SessionId, lease: &Lease) -> Checked {
        let id = if self.chance(4) { id } else { SessionId::random()? };
        let create = Commit::create()?.with(self.changes()?);
        let create = if self.chance(2) { create.log_in(self.login()?) } else { create };
        self.ids.push(id);
        self.commit(id, create, lease)
    }

    fn merge(&mut self, id: SessionId, lease: &Lease) -> Checked {
        let seen = self.fixture.get(&id)?.map(|stored| stored.record.version()).filter(|_| !self.chance(4));
        let Some(version) = seen.or(self.recent(|history| &history.versions, 20).copied()) else { return Ok(()) };
        let merge = if self.chance(3) { Commit::exactly(version)? } else { Commit::merge(version)? };
        let merge = merge.with(self.changes()?);
        let replace = Identity::Replace(other_secret(&id)?);
        let merge = match self.below(8) {
            0 => merge.with_identity(replace),
            1 | 2 => merge.with_identity(replace).log_in(self.login()?),
            3 | 4 => merge.with_identity(Identity::Renew(self.random.random())),
            _ => merge,
        };
        self.commit(id, merge, lease)
    }

    fn login(&mut self) -> Checked<Login> {
        let begun = self.recent(|history| &history.begun, 8).copied().filter(|_| self.chance(2));
        let (name, begun) = begun.map_or((self.name(), None), |(name, epoch)| (name, Some(epoch)));
        let at_limit = [AtLimit::EndOldest, AtLimit::RefuseNewest][self.below(2)];
        let limit = (self.has_owners && self.chance(2)).then_some(Limit { max: 1, at_limit });
        Ok(Login { begun, limit, owner: Owner::new(name)? })
    }

    fn name(&mut self) -> &'static str {
        ["ada", "bob"][self.below(2)]
    }

    fn commit(&mut self, id: SessionId, commit: Commit, lease: &Lease) -> Checked {
        let receipt = self.fixture.apply(&id, &Action::Commit(&commit), lease)?;
        self.sent.push((id, commit));
        self.note(receipt);
        Ok(())
    }

    fn note(&mut self, receipt: Option<Receipt>) {
        self.versions.extend(receipt.map(|receipt| receipt.version));
        self.ids.extend(receipt.and_then(|receipt| receipt.announce));
    }

    /// Carries out an operation on an owner's sessions.
    fn own(&mut self, id: SessionId) -> Checked {
        let (fixture, name) = (self.fixture, self.name());
        match self.below(6) {
            0 => fixture.destroy_all(name, Some(id.handle()).filter(|_| self.chance(2)))?,
            1 => fixture.end(&id, Some(name).filter(|_| self.chance(2)))?,
            // Only this step is skipped for a store without a list of all sessions.
            2 => match fixture.all() {
                Err(Verdict::Skipped(_)) => {}
                found => found?,
            },
            3 | 4 => {
                let epoch = fixture.epoch(name)?;
                self.begun.push((name, epoch));
            }
            _ => fixture.list(name)?,
        }
        Ok(())
    }
}
