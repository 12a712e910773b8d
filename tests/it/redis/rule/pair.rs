//! A store on a server beside the rule over a map: one history, two results to compare.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{
    Action, Clock, Commit, Entry, Epoch, Error, Handle, Identity, Lease, Login, Look, Lookup, ManualClock, Now,
    Outcome, Owner, Presented, Record, Result, SessionId, Store, Version, Write,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::history::{Expect, LoginOp, NewId, Op, changes_of, lease, ms};
use crate::redis::fixture::{new_id, renewed};

/// A store, and the rule over a map.
pub(super) struct Pair {
    store: RedisStore,
    clock: ManualClock,
    rows: HashMap<Handle, Entry>,
    ids: Vec<SessionId>,
    versions: Vec<Version>,
    records: Vec<Record>,
    commits: Vec<(SessionId, Commit)>,
    epochs: BTreeMap<usize, Vec<Epoch>>,
    /// The kinds of results so far.
    pub(super) reached: BTreeSet<String>,
}

fn owner(number: usize) -> Owner {
    Owner::new(["ada", "bob é"][number]).unwrap()
}

/// An outcome, or the kind of the error.
fn outcome_of(result: Result<Outcome>) -> Result<Outcome, &'static str> {
    result.map_err(|error: Error| match () {
        () if error.is_unknown() => "unknown",
        () if error.is_size() => "size",
        () if error.is_id() => "id",
        () => panic!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)),
    })
}

/// All of a lookup as text.
fn describe(lookup: Lookup) -> String {
    match lookup {
        Lookup::Found(stored) => {
            let json = serde_json::to_string(&stored.record).unwrap();
            let presented = match stored.presented {
                Presented::Renewing(id) => id.expose(),
                other => format!("{other:?}"),
            };
            format!("{json} {:?} {:?} {presented}", stored.record.version(), stored.ttl)
        }
        other => format!("{other:?}"),
    }
}

/// The kind of a lookup.
fn kind_of(how: Look, lookup: &Lookup) -> String {
    let kind = match lookup {
        Lookup::Found(stored) => match stored.presented {
            Presented::Renewing(_) => "found renewing".to_owned(),
            other => format!("found {other:?}"),
        },
        other => format!("{other:?}"),
    };
    let how = if let Look::Held(_) = how { "Held".to_owned() } else { format!("{how:?}") };
    format!("{how}: {kind}")
}

impl Pair {
    pub(super) fn new(options: RedisOptions) -> Self {
        let clock = Clock::manual();
        let options = options.timeout("10s").clock(&clock);
        let first = new_id();
        Self {
            store: RedisStore::with_options(options.max_session_size("1M")).unwrap(),
            clock,
            rows: HashMap::new(),
            ids: vec![first, new_id()],
            versions: Vec::new(),
            records: vec![Record::new(), [("n", 1)].into_iter().collect()],
            commits: Vec::new(),
            epochs: BTreeMap::new(),
            reached: BTreeSet::new(),
        }
    }

    fn now(&self) -> Now {
        Now::on_calendar(&Clock::from(&self.clock))
    }

    /// Chooses by number; 0 is the last.
    fn pick<T>(of: &[T], number: usize) -> Option<&T> {
        of.iter().rev().nth(number % of.len().max(1))
    }

    fn id(&self, number: usize) -> SessionId {
        *Self::pick(&self.ids, number).unwrap()
    }

    fn know(&mut self, id: SessionId) {
        self.ids.retain(|known| *known != id);
        self.ids.push(id);
    }

    fn keep(&mut self, handle: Handle, write: Write) {
        match write {
            Write::Nothing => {}
            Write::Put(row) => drop(self.rows.insert(handle, row)),
            Write::Remove => drop(self.rows.remove(&handle)),
        }
    }

    fn look(&mut self, id: &SessionId, how: Look, lease: &Lease) -> (String, String) {
        let (expected, write) = Entry::look(self.rows.get(&id.handle()), id, how, lease, self.now());
        self.keep(id.handle(), write);
        if let Lookup::Found(stored) = &expected {
            self.versions.push(stored.record.version());
            self.records.push(stored.record.clone());
            if let Presented::Renewing(new) = stored.presented {
                self.know(new);
            }
        }
        self.reached.insert(kind_of(how, &expected));
        (describe(expected), describe(self.store.look(id, how, lease).unwrap()))
    }

    fn apply(&mut self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> (String, String) {
        let epoch = action.login().map(|login| self.store.owners().unwrap().epoch(&login.owner).unwrap());
        let expected = Entry::apply(self.rows.get(&id.handle()), id, action, lease, self.now(), epoch);
        let expected = outcome_of(expected.map(|(outcome, write)| {
            self.keep(id.handle(), write);
            outcome
        }));
        let outcome = outcome_of(self.store.apply(id, action, lease));
        let kind = match &expected {
            Ok(Outcome::Done(receipt)) => {
                self.versions.push(receipt.version);
                if let Some(new) = receipt.announce {
                    self.know(new);
                }
                format!("done, {}", if receipt.announce.is_some() { "announced" } else { "same id" })
            }
            other => format!("{other:?}"),
        };
        let what = match action {
            Action::Commit(commit) => match commit.expect() {
                lembro::Expect::Absent => "create",
                lembro::Expect::Incarnation(_) => "merge",
                lembro::Expect::Exactly(_) => "exactly",
            },
            Action::Touch(None) => "touch",
            Action::Touch(Some(_)) => "touch held",
            Action::Put(..) => "put",
            Action::End(None) => "end",
            Action::End(Some(_)) => "end held",
        };
        self.reached.insert(format!("{what}: {kind}"));
        let show = |result: Result<Outcome, &'static str>| {
            let announced = result.ok().and_then(Outcome::receipt).and_then(|receipt| receipt.announce);
            format!("{result:?} {:?}", announced.map(|id| id.expose()))
        };
        (show(expected), show(outcome))
    }

    fn commit(&mut self, op: &Op) -> Option<(SessionId, Commit)> {
        let Op::Commit { id, expect, version, changes, identity, login, .. } = op else { return None };
        let id = self.id(*id);
        let row = self.rows.get(&id.handle()).map(|row| row.record().version());
        let version = row.filter(|_| *version == 0).or(Self::pick(&self.versions, *version).copied());
        let commit = match expect {
            Expect::Absent => Commit::create(),
            Expect::Incarnation => Commit::merge(version?),
            Expect::Exactly => Commit::exactly(version?),
        };
        // A login has a new id.
        let new = renewed(&id);
        let identity = match identity {
            NewId::Replace => Identity::Replace(new),
            _ if login.is_some() => Identity::Replace(new),
            NewId::Renew => Identity::Renew(7),
            NewId::Keep => Identity::Keep,
        };
        let mut commit = commit.unwrap().with(changes_of(changes)).with_identity(identity);
        if let Some(LoginOp { owner: number, begun }) = login {
            let owner = owner(*number);
            let known = self.epochs.entry(*number).or_default();
            known.push(self.store.owners().unwrap().epoch(&owner).unwrap());
            let begun = begun.and_then(|ago| Self::pick(known, ago).copied());
            commit = commit.log_in(Login { begun, ..Login::new(owner) });
        }
        self.commits.push((id, commit.clone()));
        Some((id, commit))
    }

    /// Begins with a session of an owner, to which most operations apply.
    pub(super) fn log_in(&mut self) {
        let login = Some(LoginOp { owner: 0, begun: None });
        let (expect, identity) = (Expect::Absent, NewId::Keep);
        let create = Op::Commit { id: 0, expect, version: 0, changes: Vec::new(), identity, login, lease: 4 };
        let (expected, actual) = self.run(&create).unwrap();
        assert_eq!(expected, actual);
    }

    /// Runs an operation. Returns the results of the rule and of the store.
    pub(super) fn run(&mut self, op: &Op) -> Option<(String, String)> {
        Some(match op {
            Op::Look { id, visit, lease: number } => {
                let id = self.id(*id);
                self.look(&id, if *visit { Look::Visit } else { Look::Peek }, &lease(*number))
            }
            Op::Commit { lease: number, .. } => {
                let (id, commit) = self.commit(op)?;
                self.apply(&id, &Action::Commit(&commit), &lease(*number))
            }
            Op::Repeat { commit, lease: number } => {
                let (id, commit) = Self::pick(&self.commits, *commit)?.clone();
                self.apply(&id, &Action::Commit(&commit.repeated()), &lease(*number))
            }
            Op::Others { id, commits } => {
                let id = self.id(*id);
                let version = self.rows.get(&id.handle())?.record().version();
                let pairs: Vec<_> = (0..*commits)
                    .map(|_| self.apply(&id, &Action::Commit(&Commit::merge(version).unwrap()), &lease(4)))
                    .collect();
                let differs = pairs.into_iter().find(|(expected, actual)| expected != actual);
                let (id, commit) = self.commits.last()?.clone();
                let last = self.apply(&id, &Action::Commit(&commit.repeated()), &lease(4));
                differs.unwrap_or(last)
            }
            Op::Touch { id, lease: number } => {
                let id = self.id(*id);
                self.apply(&id, &Action::Touch(None), &lease(*number))
            }
            Op::Held { id, what, version, lease: number } => {
                let id = self.id(*id);
                let row = self.rows.get(&id.handle()).map(|row| row.record().version());
                let version = row.filter(|_| *version == 0).or(Self::pick(&self.versions, *version).copied())?;
                match what {
                    0 => self.apply(&id, &Action::End(Some(version)), &lease(*number)),
                    1 | 2 => self.apply(&id, &Action::Touch(Some(version)), &lease(*number)),
                    _ => self.look(&id, Look::Held(version), &lease(*number)),
                }
            }
            Op::Put { id, record, ttl_ms } => {
                let (id, record) = (self.id(*id), Self::pick(&self.records, *record)?.clone());
                self.apply(&id, &Action::Put(&record, ms(*ttl_ms)), &Lease::UNLIMITED)
            }
            Op::End { id } => {
                let id = self.id(*id);
                self.apply(&id, &Action::End(None), &Lease::UNLIMITED)
            }
            Op::EndAll { owner: number, except } => {
                let (owner, except) = (owner(*number), except.map(|id| self.id(id).handle()));
                let now = self.now();
                let before = self.rows.len();
                self.rows.retain(|handle, row| {
                    let is_live = row.listed(*handle, now).is_some();
                    !is_live || row.record().owner() != Some(owner.as_str()) || Some(*handle) == except
                });
                let ended = self.store.owners().unwrap().destroy_all(&owner, except).unwrap();
                ((before - self.rows.len()).to_string(), ended.to_string())
            }
            Op::Wait { ms: millis } => {
                self.clock.advance(ms(*millis));
                return None;
            }
            Op::Jump { ms } => {
                let wall = Clock::from(&self.clock).wall();
                let span = Duration::from_millis(ms.unsigned_abs());
                self.clock.set_wall(if *ms < 0 { wall - span } else { wall + span });
                assert!(Clock::from(&self.clock).wall() > SystemTime::UNIX_EPOCH);
                return None;
            }
        })
    }

    /// Compares what each id so far opens now.
    pub(super) fn compare(&mut self, after: &Op) -> Result<(), TestCaseError> {
        for id in self.ids.clone() {
            let row = self.rows.get(&id.handle());
            let (expected, _) = Entry::look(row, &id, Look::Peek, &Lease::UNLIMITED, self.now());
            self.reached.insert(kind_of(Look::Peek, &expected));
            let expected = describe(expected);
            let found = describe(self.store.look(&id, Look::Peek, &Lease::UNLIMITED).unwrap());
            prop_assert_eq!(expected, found, "{:?} after {:?}", id, after);
        }
        Ok(())
    }

    pub(super) fn count(&self) -> Result<(), TestCaseError> {
        let now = self.now();
        let live = self.rows.iter().filter(|(handle, row)| row.listed(**handle, now).is_some()).count();
        prop_assert_eq!(self.store.len().unwrap(), live);
        let listed = self.store.all().unwrap().map(|listed| listed.unwrap().handle).collect::<BTreeSet<_>>();
        prop_assert_eq!(listed.len(), live);
        Ok(())
    }
}
