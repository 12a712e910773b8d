//! Promise: the scripts do what the rule does. Random histories are driven through a store on a
//! real server and through the rule over a map, with the time as an argument.
#![cfg(feature = "testing")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{
    Action, Changes, Clock, Commit, Entry, Epoch, Error, Handle, Identity, Lease, Login, Look, Lookup, ManualClock,
    Now, Outcome, Owner, Presented, Record, Result, SessionId, Store, Version, Write,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::redis::server::{Server, soon};

/// Numbers choose among what there is at that moment.
#[derive(Clone, Debug)]
enum Op {
    Look {
        id: usize,
        visit: bool,
        lease: usize,
    },
    Commit {
        id: usize,
        expect: Expect,
        version: usize,
        changes: Vec<Change>,
        identity: New,
        login: Option<Who>,
        lease: usize,
    },
    /// A commit that was sent before, once more.
    Again {
        commit: usize,
        lease: usize,
    },
    /// So many commits in between, and the last one that was kept once more.
    Others {
        id: usize,
        commits: usize,
    },
    Touch {
        id: usize,
        lease: usize,
    },
    /// A look, a touch or the end by a version that was seen.
    Held {
        id: usize,
        what: usize,
        version: usize,
        lease: usize,
    },
    Put {
        id: usize,
        record: usize,
        ttl_ms: u64,
    },
    End {
        id: usize,
    },
    EndAll {
        owner: usize,
        except: Option<usize>,
    },
    Wait {
        ms: u64,
    },
    /// The calendar is set.
    Jump {
        ms: i64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Expect {
    Absent,
    Incarnation,
    Exactly,
}

#[derive(Clone, Copy, Debug)]
enum New {
    Keep,
    Renew,
    Replace,
}

#[derive(Clone, Debug)]
struct Who {
    owner: usize,
    /// How many of the owner's last epochs ago the login began; `None`: with the commit.
    begun: Option<usize>,
}

#[derive(Clone, Debug)]
enum Change {
    Insert(usize, usize, u64),
    Remove(usize, usize),
    Clear,
    ClearComponent(usize),
    Timeout(Option<u64>),
    Remember(bool),
    Label(Option<bool>),
    /// So many keys that twice is too many.
    Many(usize),
}

const COMPONENTS: [&str; 3] = ["", "cart", "c"];
const KEYS: [&str; 3] = ["a", "key", "é\0"];

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (0..3_usize, 0..3_usize, any::<u64>()).prop_map(|(c, k, v)| Change::Insert(c, k, v)),
        3 => (0..3_usize, 0..3_usize).prop_map(|(c, k)| Change::Remove(c, k)),
        1 => Just(Change::Clear),
        1 => (0..3_usize).prop_map(Change::ClearComponent),
        2 => prop::option::weighted(0.8, prop_oneof![1 => Just(0), 3 => 1..2_000_u64, 2 => 10_000..100_000_u64])
            .prop_map(Change::Timeout),
        2 => any::<bool>().prop_map(Change::Remember),
        2 => any::<Option<bool>>().prop_map(Change::Label),
        2 => (0..3_usize).prop_map(Change::Many),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let expect = prop_oneof![2 => Just(Expect::Absent), 5 => Just(Expect::Incarnation), 2 => Just(Expect::Exactly)];
    let identity = prop_oneof![4 => Just(New::Keep), 4 => Just(New::Renew), 2 => Just(New::Replace)];
    let who = (prop_oneof![3 => Just(0_usize), 1 => Just(1)], prop::option::weighted(0.8, 0..4_usize))
        .prop_map(|(owner, begun)| Who { owner, begun });
    // The last ids and commits are the most interesting.
    let recent = || prop_oneof![4 => 0..2_usize, 2 => 0..3_usize, 1 => 0..100_usize];
    let commit = (
        recent(),
        expect,
        prop_oneof![4 => Just(0_usize), 1 => 0..20_usize],
        prop::collection::vec(change(), 0..4),
        identity,
        prop::option::weighted(0.2, who),
        prop_oneof![2 => 0..3_usize, 1 => 3..5_usize],
    );
    let commit = commit.prop_map(|(id, expect, version, changes, identity, login, lease)| Op::Commit {
        id,
        expect,
        version,
        changes,
        identity,
        login,
        lease,
    });
    let renewal = (0..2_usize, 0..3_usize).prop_map(|(id, lease)| Op::Commit {
        id,
        expect: Expect::Incarnation,
        version: 0,
        changes: Vec::new(),
        identity: New::Renew,
        login: None,
        lease,
    });
    prop_oneof![
        4 => renewal,
        11 => (recent(), prop::bool::weighted(0.8), prop_oneof![4 => 0..3_usize, 1 => 3..5_usize]).prop_map(|(id, visit, lease)| Op::Look { id, visit, lease }),
        10 => commit,
        3 => (prop_oneof![1 => 0..3_usize, 2 => 3..12_usize], 0..5_usize).prop_map(|(commit, lease)| Op::Again { commit, lease }),
        2 => (recent(), 1..7_usize).prop_map(|(id, commits)| Op::Others { id, commits }),
        2 => (recent(), 0..5_usize).prop_map(|(id, lease)| Op::Touch { id, lease }),
        4 => (recent(), 0..6_usize, prop_oneof![1 => Just(0_usize), 1 => 0..20_usize], 0..5_usize)
            .prop_map(|(id, what, version, lease)| Op::Held { id, what, version, lease }),
        1 => (recent(), 0..20_usize, prop_oneof![1 => Just(0), 4 => 1..5_000_u64])
            .prop_map(|(id, record, ttl_ms)| Op::Put { id, record, ttl_ms }),
        1 => (1..100_usize).prop_map(|id| Op::End { id }),
        2 => (prop_oneof![3 => Just(0_usize), 1 => Just(1)], prop::option::weighted(0.8, 0..3_usize)).prop_map(|(owner, except)| Op::EndAll { owner, except }),
        5 => prop_oneof![2 => 1..600_u64, 6 => (1..8_u64).prop_map(|n| n * 100), 1 => 600..1_500_u64, 1 => 1_500..30_000_u64].prop_map(|ms| Op::Wait { ms }),
        1 => (-20_000..20_000_i64).prop_map(|ms| Op::Jump { ms }),
    ]
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn lease(number: usize) -> Lease {
    let base = Lease { touch_after: ms(400), grace: ms(500), ..Lease::new(ms(2_000)) };
    match number {
        0 => Lease { renew_after: Some(ms(300)), ..base },
        1 => {
            Lease { renew_after: Some(ms(900)), lifetime: Some(ms(7_000)), remembered: Some((ms(9_000), None)), ..base }
        }
        2 => Lease { lifetime: Some(ms(5_001)), grace: Duration::ZERO, renew_after: Some(ms(1)), ..base },
        3 => Lease { remembered: Some((ms(500), Some(ms(1_500)))), touch_after: Duration::ZERO, ..base },
        _ => Lease::UNLIMITED,
    }
}

/// A store and the rule over a map, side by side.
struct Pair {
    store: RedisStore,
    clock: ManualClock,
    rows: HashMap<Handle, Entry>,
    ids: Vec<SessionId>,
    versions: Vec<Version>,
    records: Vec<Record>,
    commits: Vec<(SessionId, Commit)>,
    epochs: BTreeMap<usize, Vec<Epoch>>,
    reached: BTreeSet<String>,
}

fn owner(number: usize) -> Owner {
    Owner::new(["ada", "bob é"][number]).unwrap()
}

/// An outcome, or what kind of an error.
fn seen(result: Result<Outcome>) -> Result<Outcome, &'static str> {
    result.map_err(|error: Error| match () {
        () if error.is_unknown() => "unknown",
        () if error.is_size() => "size",
        () if error.is_id() => "id",
        () => panic!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)),
    })
}

/// All that can be told of a lookup.
fn told(lookup: Lookup) -> String {
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

/// What sort of lookup it is.
fn sort(how: Look, lookup: &Lookup) -> String {
    let sort = match lookup {
        Lookup::Found(stored) => match stored.presented {
            Presented::Renewing(_) => "found renewing".to_owned(),
            other => format!("found {other:?}"),
        },
        other => format!("{other:?}"),
    };
    let how = if let Look::Held(_) = how { "Held".to_owned() } else { format!("{how:?}") };
    format!("{how}: {sort}")
}

impl Pair {
    fn new(options: RedisOptions) -> Self {
        let clock = Clock::manual();
        let options = options.timeout("10s").clock(&clock);
        let first = SessionId::random().unwrap();
        Self {
            store: RedisStore::with_options(options.max_session_size("1M")).unwrap(),
            clock,
            rows: HashMap::new(),
            ids: vec![first, SessionId::random().unwrap()],
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

    /// The one chosen by a number: the last is 0.
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
        self.reached.insert(sort(how, &expected));
        (told(expected), told(self.store.look(id, how, lease).unwrap()))
    }

    fn apply(&mut self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> (String, String) {
        let epoch = action.login().map(|login| self.store.owners().unwrap().epoch(&login.owner).unwrap());
        let expected = Entry::apply(self.rows.get(&id.handle()), id, action, lease, self.now(), epoch);
        let expected = seen(expected.map(|(outcome, write)| {
            self.keep(id.handle(), write);
            outcome
        }));
        let outcome = seen(self.store.apply(id, action, lease));
        let sort = match &expected {
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
        self.reached.insert(format!("{what}: {sort}"));
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
        let new = id.renewed(&SessionId::random().unwrap());
        let identity = match identity {
            New::Replace => Identity::Replace(new),
            _ if login.is_some() => Identity::Replace(new),
            New::Renew => Identity::Renew(7),
            New::Keep => Identity::Keep,
        };
        let mut commit = commit.unwrap().with(made(changes)).identity(identity);
        if let Some(Who { owner: number, begun }) = login {
            let owner = owner(*number);
            let known = self.epochs.entry(*number).or_default();
            known.push(self.store.owners().unwrap().epoch(&owner).unwrap());
            let begun = begun.and_then(|ago| Self::pick(known, ago).copied());
            commit = commit.log_in(Login { begun, ..Login::new(owner) });
        }
        self.commits.push((id, commit.clone()));
        Some((id, commit))
    }

    /// Most of what can happen happens to a user's session.
    fn log_in(&mut self) {
        let login = Some(Who { owner: 0, begun: None });
        let (expect, identity) = (Expect::Absent, New::Keep);
        let create = Op::Commit { id: 0, expect, version: 0, changes: Vec::new(), identity, login, lease: 4 };
        let (expected, done) = self.carry_out(&create).unwrap();
        assert_eq!(expected, done);
    }

    /// What the rule says and what the store did.
    fn carry_out(&mut self, op: &Op) -> Option<(String, String)> {
        Some(match op {
            Op::Look { id, visit, lease: number } => {
                let id = self.id(*id);
                self.look(&id, if *visit { Look::Visit } else { Look::Peek }, &lease(*number))
            }
            Op::Commit { lease: number, .. } => {
                let (id, commit) = self.commit(op)?;
                self.apply(&id, &Action::Commit(&commit), &lease(*number))
            }
            Op::Again { commit, lease: number } => {
                let (id, commit) = Self::pick(&self.commits, *commit)?.clone();
                self.apply(&id, &Action::Commit(&commit.repeated()), &lease(*number))
            }
            Op::Others { id, commits } => {
                let id = self.id(*id);
                let version = self.rows.get(&id.handle())?.record().version();
                let pairs: Vec<_> = (0..*commits)
                    .map(|_| self.apply(&id, &Action::Commit(&Commit::merge(version).unwrap()), &lease(4)))
                    .collect();
                let differs = pairs.into_iter().find(|(expected, done)| expected != done);
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

    /// What each id that there ever was opens now.
    fn compare(&mut self, after: &Op) -> Result<(), TestCaseError> {
        for id in self.ids.clone() {
            let row = self.rows.get(&id.handle());
            let (expected, _) = Entry::look(row, &id, Look::Peek, &Lease::UNLIMITED, self.now());
            self.reached.insert(sort(Look::Peek, &expected));
            let expected = told(expected);
            let found = told(self.store.look(&id, Look::Peek, &Lease::UNLIMITED).unwrap());
            prop_assert_eq!(expected, found, "{:?} after {:?}", id, after);
        }
        Ok(())
    }

    fn count(&self) -> Result<(), TestCaseError> {
        let now = self.now();
        let live = self.rows.iter().filter(|(handle, row)| row.listed(**handle, now).is_some()).count();
        prop_assert_eq!(self.store.len().unwrap(), live);
        let listed = self.store.all().unwrap().map(|listed| listed.unwrap().handle).collect::<BTreeSet<_>>();
        prop_assert_eq!(listed.len(), live);
        Ok(())
    }
}

fn made(list: &[Change]) -> Changes {
    let mut changes = Changes::new();
    for change in list {
        match change {
            Change::Insert(component, key, value) => {
                changes.insert(COMPONENTS[*component], KEYS[*key], value).unwrap();
            }
            Change::Remove(component, key) => changes.remove(COMPONENTS[*component], KEYS[*key]).unwrap(),
            Change::Clear => changes.clear(),
            Change::ClearComponent(component) => changes.clear_component(COMPONENTS[*component]),
            Change::Timeout(timeout) => changes.set_timeout(timeout.map(ms)),
            Change::Remember(remembered) => changes.remember(*remembered),
            Change::Label(label) => changes.set_label(label.map(|one| if one { "a phone" } else { "" })).unwrap(),
            Change::Many(which) => {
                (0..600).for_each(|n| changes.insert("many", &format!("{}", n + which * 400), &n).unwrap());
            }
        }
    }
    changes
}

fn histories(server: &Server, options: &RedisOptions, cases: u32, is_fixed: bool) -> BTreeSet<String> {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    // By default the same histories each time, so that it is known what they reach.
    let mut runner = if is_fixed {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    } else {
        TestRunner::new(config)
    };
    let reached = std::cell::RefCell::new(BTreeSet::new());
    let history = prop::collection::vec(op(), 1..50);
    let result = runner.run(&history, |history| {
        server.empty();
        let mut pair = Pair::new(options.clone());
        pair.log_in();
        for op in &history {
            if let Some((expected, done)) = pair.carry_out(op) {
                prop_assert_eq!(expected, done, "{:?}", op);
            }
            pair.compare(op)?;
        }
        pair.count()?;
        reached.borrow_mut().append(&mut pair.reached);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    reached.into_inner()
}

/// How many histories: `.ci/full` runs more.
fn cases() -> Option<u32> {
    std::env::var("LEMBRO_CASES").ok().map(|cases| cases.parse().unwrap())
}

/// There a look is a script, and a login is confirmed when it is first looked at.
#[test]
fn in_a_cluster_too() {
    let server = Server::with(&["--cluster-enabled", "yes"]);
    redis::cmd("CLUSTER").arg(&["ADDSLOTSRANGE", "0", "16383"]).exec(&mut server.connect()).unwrap();
    soon("one node with all slots is a cluster", || {
        let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut server.connect()).unwrap();
        info.contains("cluster_state:ok")
    });
    histories(&server, &RedisOptions::new().cluster([server.url()]), cases().unwrap_or(60), false);
}

/// What random histories meet too rarely: each instant of a renewal, and the one before and after.
#[test]
fn at_the_instants_of_a_renewal_too() {
    let server = Server::start();
    let renew = |lease| Op::Commit {
        id: 0,
        expect: Expect::Incarnation,
        version: 0,
        changes: Vec::new(),
        identity: New::Renew,
        login: None,
        lease,
    };
    let visit = |id| Op::Look { id, visit: true, lease: 0 };
    for around in [0, 499, 500, 501] {
        // The old id, announced twice; then the new one, and the old one in its grace.
        let twice = [visit(1), Op::Wait { ms: around }, Op::Touch { id: 1, lease: 0 }, visit(1), visit(0)];
        let grace = [visit(0), Op::Wait { ms: around }, visit(1), renew(2), Op::Touch { id: 1, lease: 0 }, visit(0)];
        let put = [visit(1), Op::Wait { ms: around }, Op::Put { id: 1, record: 0, ttl_ms: 1_000 }];
        // Held by the old id, and by one that never was.
        let held = |id, what| Op::Held { id, what, version: 0, lease: 0 };
        let presented = [visit(0), Op::Wait { ms: around }, held(1, 3), held(1, 1), held(2, 3), held(1, 0)];
        let leave =
            [visit(1), Op::Wait { ms: around }, held(1, 3), held(1, 1), visit(0), held(1, 1), held(1, 0), held(1, 3)];
        for (number, then) in [&twice[..], &grace, &put, &presented, &leave].into_iter().enumerate() {
            let mut pair = Pair::new(RedisOptions::new().url(server.url()).prefix(format!("{around} {number}:")));
            pair.log_in();
            for op in [Op::Wait { ms: 500 }, renew(0)].iter().chain(then) {
                if let Some((expected, done)) = pair.carry_out(op) {
                    assert_eq!(expected, done, "{around}: {op:?}");
                }
                pair.compare(op).unwrap();
            }
        }
    }
}

#[test]
fn what_the_scripts_do_is_what_the_rule_does() {
    let server = Server::start();
    let options = RedisOptions::new().url(server.url());
    let reached = histories(&server, &options, cases().unwrap_or(250), cases().is_none());
    let all = [
        "Held: Missing",
        "Held: Superseded { recent: true }",
        "Held: found Current",
        "Held: found Previous",
        "Held: found renewing",
        "Peek: Missing",
        "Peek: Superseded { recent: false }",
        "Peek: Superseded { recent: true }",
        "Peek: found Current",
        "Peek: found Previous",
        "Peek: found renewing",
        "Visit: Missing",
        "Visit: Superseded { recent: false }",
        "Visit: Superseded { recent: true }",
        "Visit: found Current",
        "Visit: found Previous",
        "Visit: found renewing",
        "create: Ok(LoginRevoked)",
        "create: Ok(Taken)",
        "create: done, same id",
        "end: Ok(Gone)",
        "end: Ok(Superseded)",
        "end held: Ok(Gone)",
        "end held: done, same id",
        "end: done, same id",
        "exactly: Ok(Changed)",
        "exactly: Ok(Gone)",
        "exactly: done, announced",
        "exactly: done, same id",
        "merge: Err(\"size\")",
        "merge: Err(\"unknown\")",
        "merge: Ok(Gone)",
        "merge: Ok(LoginRevoked)",
        "merge: Ok(Superseded)",
        "merge: done, announced",
        "merge: done, same id",
        "put: Ok(Taken)",
        "put: done, same id",
        "touch: Ok(Gone)",
        "touch: Ok(Superseded)",
        "touch: done, announced",
        "touch held: Ok(Gone)",
        "touch held: Ok(Superseded)",
        "touch held: done, announced",
        "touch held: done, same id",
        "touch: done, same id",
    ];
    let missed: Vec<_> = all.iter().filter(|what| !reached.contains(**what)).collect();
    assert!(missed.is_empty(), "no history reached {missed:?} but {reached:#?}");
}
