//! The model of a `LembroStore`: random histories, compared with the rule over a plain map.
//!
//! Properties after every step: (1) with room for everything, every answer and every row is that of
//! the map; (2) the store validates; (3) with little room, the bound holds, and every session that
//! is found is in the map with the same row. The rule has a model of its own.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use lembro::{
    Action, AtLimit, Changes, Clock, Commit, EndReason, Entry, Epoch, Handle, Identity, Lease, LembroOptions,
    LembroStore, Limit, Listed, Login, Look, Lookup, ManualClock, Now, Outcome, Owner, Result, SessionId, Store,
    Version, Write,
};
use proptest::prelude::*;

use crate::support::scratch::Folder;
use crate::support::steps::{owner, owners};

/// Few ids, few secrets and two owners, so that the steps of a history meet.
const IDS: u8 = 5;
const SECRETS: u8 = 3;
const OWNERS: [&str; 2] = ["ada", "grace"];

/// The id that a step presents: one of a few, or the last that a renewal announced for its handle.
#[derive(Clone, Copy, Debug)]
struct Name {
    handle: u8,
    secret: u8,
}

#[derive(Clone, Debug)]
enum Step {
    Look(Name, bool, Lease),
    Commit(Name, Expected, Change, NewId, Option<LogIn>, Lease),
    Touch(Name, Lease),
    /// A look, a touch or an end by a version that the handle has or had.
    Held(Name, u8, Option<usize>, Lease),
    Put(Name, usize, u64),
    End(Name),
    DestroyAll(u8, Option<Name>),
    DestroyOne(u8, Option<u8>),
    Advance(u64),
    /// The calendar jumps.
    Wall(u64),
    Purge,
    Clear,
    Restart(Ending),
}

/// The end of a process before a restart.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Killed,
    Dropped,
    Closed,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Absent,
    /// The version that is stored, or an earlier one of the handle.
    Incarnation(Option<usize>),
    Exactly(Option<usize>),
}

#[derive(Clone, Copy, Debug)]
enum NewId {
    Keep,
    Renew(u64),
    /// The secret, and whether the handle is the same.
    Replace(u8, bool),
}

#[derive(Clone, Copy, Debug)]
struct LogIn {
    owner: u8,
    /// In epochs before the current one.
    begun: Option<u64>,
    limit: Option<Limit>,
}

#[derive(Clone, Debug)]
enum Change {
    Set(u8, usize),
    Remove(u8),
    Clear,
    Timeout(Option<u64>),
    Remember(bool),
    Label(Option<usize>),
    Nothing,
}

fn lease() -> impl Strategy<Value = Lease> {
    let idle = (0..40_u64).prop_map(|idle| Lease::new(seconds(idle)));
    let strict =
        (1..60_u64, 0..10_u64, prop::option::of(0..20_u64), 0..8_u64).prop_map(|(life, touch, renew, grace)| Lease {
            lifetime: Some(seconds(life)),
            remembered: Some((seconds(40), Some(seconds(2 * life)))),
            touch_after: seconds(touch),
            renew_after: renew.map(seconds),
            grace: seconds(grace),
            idle: seconds(30),
        });
    prop_oneof![2 => idle, 2 => strict, 3 => Just(RENEWING)]
}

fn name() -> impl Strategy<Value = Name> {
    (0..IDS, 0..=SECRETS).prop_map(|(handle, secret)| Name { handle, secret })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0..4_u8, prop_oneof![0..40_usize, 0..600_usize]).prop_map(|(key, size)| Change::Set(key, size)),
        1 => (0..4_u8).prop_map(Change::Remove),
        1 => Just(Change::Clear),
        1 => prop::option::of(0..50_u64).prop_map(Change::Timeout),
        1 => any::<bool>().prop_map(Change::Remember),
        1 => prop::option::of(0..100_usize).prop_map(Change::Label),
        2 => Just(Change::Nothing),
    ]
}

fn commit() -> impl Strategy<Value = Step> {
    let base = || prop_oneof![4 => Just(None), 1 => prop::option::of(0..20_usize)];
    let expected = prop_oneof![
        3 => Just(Expected::Absent),
        6 => base().prop_map(Expected::Incarnation),
        2 => base().prop_map(Expected::Exactly),
    ];
    let new_id = prop_oneof![
        4 => Just(NewId::Keep),
        3 => (0..3_u64).prop_map(NewId::Renew),
        4 => (0..SECRETS, prop::bool::weighted(0.95)).prop_map(|(secret, same)| NewId::Replace(secret, same)),
    ];
    let at_limit = prop_oneof![Just(AtLimit::EndOldest), Just(AtLimit::RefuseNewest)];
    let limit = (1..3_usize, at_limit).prop_map(|(max, at_limit)| Limit { max, at_limit });
    let login = (0..2_u8, prop::option::of(0..2_u64), prop::option::of(limit))
        .prop_map(|(owner, begun, limit)| LogIn { owner, begun, limit });
    (name(), expected, change(), new_id, prop::option::of(login), lease()).prop_map(
        |(name, expected, change, new_id, login, lease)| Step::Commit(name, expected, change, new_id, login, lease),
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => commit(),
        8 => (name(), any::<bool>(), lease()).prop_map(|(name, visit, lease)| Step::Look(name, visit, lease)),
        3 => (name(), lease()).prop_map(|(name, lease)| Step::Touch(name, lease)),
        3 => (name(), 0..6_u8, prop::option::weighted(0.3, 0..20_usize), lease())
            .prop_map(|(name, what, seen, lease)| Step::Held(name, what, seen, lease)),
        2 => (name(), 0..600_usize, 0..40_u64).prop_map(|(name, size, ttl)| Step::Put(name, size, ttl)),
        1 => name().prop_map(Step::End),
        1 => (0..2_u8, prop::option::of(name())).prop_map(|(owner, except)| Step::DestroyAll(owner, except)),
        1 => (0..IDS, prop::option::of(0..2_u8)).prop_map(|(handle, owner)| Step::DestroyOne(handle, owner)),
        4 => (1..15_u64).prop_map(Step::Advance),
        1 => (0..120_u64).prop_map(Step::Wall),
        1 => Just(Step::Purge),
        1 => (0..10_u8).prop_map(|n| if n == 0 { Step::Clear } else { Step::Purge }),
        2 => prop::sample::select(vec![Ending::Killed, Ending::Killed, Ending::Dropped, Ending::Closed])
            .prop_map(Step::Restart),
    ]
}

/// Single steps, and sometimes those that lead to a timed renewal, which single steps hardly reach.
fn history(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let one = step().prop_map(|step| vec![step]);
    let renewal =
        (0..IDS, 0..2_u8, any::<bool>(), 4..7_u64, 0..4_u8).prop_map(|(handle, owner, visit, age, length)| {
            let (first, announced) = (Name { handle, secret: 0 }, Name { handle, secret: SECRETS });
            let login = Some(LogIn { owner, begun: None, limit: None });
            let change = || Change::Set(0, 10);
            let mut steps = vec![
                Step::Commit(first, Expected::Absent, change(), NewId::Keep, login, RENEWING),
                Step::Advance(age),
                Step::Commit(first, Expected::Incarnation(None), change(), NewId::Renew(1), None, RENEWING),
                Step::Look(announced, visit, RENEWING),
                Step::Look(first, visit, RENEWING),
            ];
            steps.truncate(usize::from(length) + 2);
            steps
        });
    let part = prop_oneof![12 => one, 1 => renewal];
    prop::collection::vec(part, 1..most).prop_map(|parts| parts.concat())
}

const RENEWING: Lease = Lease { renew_after: Some(seconds(5)), grace: seconds(3), ..Lease::new(seconds(60)) };

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn id(Name { handle, secret }: Name) -> SessionId {
    SessionId::derive(&format!("handle {handle}")).renewed(&SessionId::derive(&format!("secret {handle} {secret}")))
}

fn handle(number: u8) -> Handle {
    id(Name { handle: number, secret: 0 }).handle()
}

/// A row as this store keeps it: without nonces, because no answer of it is lost.
fn without_nonces(entry: &Entry) -> Entry {
    let mut bytes = entry.to_bytes();
    let nonces = 3 + 8 + 8 + 16 + if bytes[1] == 0 { 0 } else { 32 };
    bytes.drain(nonces..nonces + 8 * usize::from(bytes[2]));
    bytes[2] = 0;
    Entry::from_bytes(&bytes).unwrap()
}

/// The store and its model.
struct Both {
    store: LembroStore,
    options: LembroOptions,
    folder: Folder,
    time: ManualClock,
    map: HashMap<Handle, Entry>,
    /// The last "log out everywhere" of each owner.
    ended: BTreeMap<Owner, u64>,
    epoch: u64,
    /// The last id that was announced for a handle, and all its versions.
    announced: HashMap<Handle, SessionId>,
    versions: HashMap<Handle, Vec<Version>>,
    roomy: bool,
    /// The calendar has jumped since the files were written whole.
    has_jumped: bool,
    counted: Counted,
}

/// The figures that the store must have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    hits: u64,
    misses: u64,
    superseded: u64,
    created: u64,
    saved: u64,
    destroyed: u64,
}

impl Both {
    fn new(options: LembroOptions, roomy: bool) -> Self {
        let time = Clock::manual();
        let (options, folder) = (options.interval(0).clock(&time), Folder::in_memory());
        let store = open(&options, &folder);
        Self {
            store,
            options,
            folder,
            time,
            map: HashMap::new(),
            ended: BTreeMap::new(),
            epoch: 0,
            announced: HashMap::new(),
            versions: HashMap::new(),
            roomy,
            has_jumped: false,
            counted: Counted::default(),
        }
    }

    fn now(&self) -> Now {
        Now::of(&Clock::from(&self.time))
    }

    fn id(&self, name: Name) -> SessionId {
        let announced = self.announced.get(&handle(name.handle)).filter(|_| name.secret == SECRETS);
        announced.copied().unwrap_or_else(|| id(name))
    }

    /// Removes from the map the sessions that a store with little room has evicted.
    fn follow_evictions(&mut self) {
        if !self.roomy {
            let (now, listed) = (self.now(), self.listed());
            self.map.retain(|handle, entry| entry.ttl(now).is_zero() || listed.contains_key(handle));
        }
    }

    fn listed(&self) -> HashMap<Handle, Listed> {
        self.store.all().unwrap().map(|listed| listed.unwrap()).map(|listed| (listed.handle, listed)).collect()
    }

    fn take(&mut self, step: &Step) {
        match step.clone() {
            Step::Look(name, visit, lease) => {
                self.look(self.id(name), if visit { Look::Visit } else { Look::Peek }, &lease);
            }
            Step::Commit(name, expected, change, new_id, login, lease) => {
                let commit = self.commit(name, expected, &change, new_id, login);
                self.apply(self.id(name), &Action::Commit(&commit), &lease);
            }
            Step::Touch(name, lease) => self.apply(self.id(name), &Action::Touch(None), &lease),
            Step::Held(name, what, seen, lease) => {
                let (id, version) = (self.id(name), self.seen(handle(name.handle), seen));
                match what {
                    0 => self.apply(id, &Action::End(Some(version)), &lease),
                    1 | 2 => self.apply(id, &Action::Touch(Some(version)), &lease),
                    _ => self.look(id, Look::Held(version), &lease),
                }
            }
            Step::Put(name, size, ttl) => {
                let commit = Commit::create().unwrap().with(changes(&Change::Set(0, size)));
                let new = Entry::apply(None, &id(name), &Action::Commit(&commit), &Lease::UNLIMITED, self.now(), None);
                let (_, Write::Put(entry)) = new.unwrap() else { panic!("it is a new session") };
                self.apply(self.id(name), &Action::Put(entry.record(), seconds(ttl)), &Lease::UNLIMITED);
            }
            Step::End(name) => self.apply(self.id(name), &Action::End(None), &Lease::UNLIMITED),
            Step::DestroyAll(owner, except) => self.destroy_all(owner, except),
            Step::DestroyOne(number, owner) => self.destroy_one(number, owner),
            Step::Advance(passed) => self.time.advance(seconds(passed)),
            Step::Wall(at) => {
                self.time.set_wall(SystemTime::UNIX_EPOCH + seconds(1_000_000_000 + at));
                self.has_jumped = true;
            }
            Step::Purge => {
                let before = self.store.stats();
                let purged = self.store.purge();
                let after = self.store.stats();
                assert_eq!(after.sessions, before.sessions - purged);
                assert_eq!(after.sessions, self.store.len().unwrap(), "nothing expired is left");
                let now = self.now();
                self.map.retain(|_, entry| !entry.ttl(now).is_zero());
            }
            Step::Clear => {
                self.counted.destroyed += self.store.stats().sessions as u64;
                self.store.clear().unwrap();
                self.map.clear();
            }
            Step::Restart(ending) => self.restart(ending),
        }
        self.compare();
    }

    fn look(&mut self, id: SessionId, how: Look, lease: &Lease) {
        let (expected, write) = Entry::look(self.map.get(&id.handle()), &id, how, lease, self.now());
        assert_eq!(self.store.look(&id, how, lease).unwrap(), expected);
        let counter = match expected {
            Lookup::Found(_) => &mut self.counted.hits,
            Lookup::Missing | Lookup::Superseded { .. } => &mut self.counted.misses,
        };
        *counter += 1;
        self.counted.superseded += u64::from(expected == Lookup::Superseded { recent: false });
        self.write(id.handle(), write);
    }

    /// The version that is stored, or an earlier one of the handle.
    fn seen(&self, handle: Handle, which: Option<usize>) -> Version {
        let known = self.versions.get(&handle).map_or(&[][..], |versions| versions);
        let stored = self.map.get(&handle).map(|entry| entry.record().version());
        let old = which.and_then(|which| known.get(which % known.len().max(1)).copied());
        old.or(stored).unwrap_or(Version::from_u64(7))
    }

    fn commit(&self, name: Name, expected: Expected, change: &Change, new_id: NewId, login: Option<LogIn>) -> Commit {
        let handle = handle(name.handle);
        let base = |which: Option<usize>| self.seen(handle, which);
        let commit = match expected {
            Expected::Absent => Commit::create(),
            Expected::Incarnation(which) => Commit::merge(base(which)),
            Expected::Exactly(which) => Commit::exactly(base(which)),
        };
        let identity = match new_id {
            NewId::Keep => Identity::Keep,
            NewId::Renew(seed) => Identity::Renew(seed),
            NewId::Replace(secret, true) => Identity::Replace(id(Name { secret, ..name })),
            NewId::Replace(secret, false) => Identity::Replace(id(Name { handle: (name.handle + 1) % IDS, secret })),
        };
        let commit = commit.unwrap().with(changes(change)).identity(identity);
        let Some(LogIn { owner, begun, limit }) = login else { return commit };
        let begun = begun.map(|ago| Epoch::from_u64(self.epoch.saturating_sub(ago)));
        commit.log_in(Login { owner: crate::support::steps::owner(OWNERS[usize::from(owner)]), begun, limit })
    }

    fn apply(&mut self, id: SessionId, action: &Action<'_>, lease: &Lease) {
        let (answer, wall) = (self.store.apply(&id, action, lease), Clock::from(&self.time).wall());
        if let Some(login) = action.login() {
            self.let_later(login);
        }
        let expected = self.expected(&id, action, lease);
        self.time.set_wall(wall);
        match (answer, expected) {
            (Ok(outcome), Ok(expected)) => {
                assert_eq!(outcome, expected, "{action:?}");
                let announced = outcome.receipt().and_then(|receipt| receipt.announce);
                self.announced.extend(announced.map(|announced| (id.handle(), announced)));
            }
            (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected.to_string()),
            (answer, expected) => panic!("{answer:?}, not {expected:?}"),
        }
    }

    /// A login under a limit is later than all other logins of the owner.
    fn let_later(&self, login: &Login) {
        let since = self.owned(&login.owner).into_iter().filter_map(|listed| listed.stored.record.owner_since());
        let latest = since.max().filter(|_| login.limit.is_some()).map(|latest| latest + Duration::from_millis(1));
        self.time.set_wall(latest.map_or(SystemTime::UNIX_EPOCH, |latest| latest).max(Clock::from(&self.time).wall()));
    }

    /// Applies the rule to the map. Returns the outcome that the store must have.
    fn expected(&mut self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        let (handle, login) = (id.handle(), action.login());
        let epoch = login.map(|login| Epoch::from_u64(self.ended.get(&login.owner).copied().unwrap_or(0)));
        let row = self.map.get(&handle);
        let is_creation = !matches!(action, Action::Commit(commit) if commit.expect() != lembro::Expect::Absent);
        let (outcome, write) = Entry::apply(row, id, action, lease, self.now(), epoch)?;
        if let (Write::Put(_), Some(Login { owner, limit: Some(limit), .. })) = (&write, login) {
            let Some(surplus) = limit.surplus(self.owned(owner), handle) else { return Ok(Outcome::AtLimit) };
            self.counted.destroyed += surplus.len() as u64;
            self.map.retain(|handle, _| !surplus.contains(handle));
        }
        match (&write, action) {
            (Write::Put(_), Action::Commit(_) | Action::Put(..)) if is_creation => self.counted.created += 1,
            (Write::Put(_), Action::Commit(_)) => self.counted.saved += 1,
            (Write::Remove, _) => self.counted.destroyed += 1,
            _ => {}
        }
        self.write(handle, write);
        Ok(outcome)
    }

    fn write(&mut self, handle: Handle, write: Write) {
        match write {
            Write::Nothing => {}
            Write::Put(entry) => {
                self.versions.entry(handle).or_default().push(entry.record().version());
                self.map.insert(handle, without_nonces(&entry));
            }
            Write::Remove => drop(self.map.remove(&handle)),
        }
    }

    /// The live sessions of an owner.
    fn owned(&self, owner: &Owner) -> Vec<Listed> {
        let now = self.now();
        let live = self.map.iter().filter_map(|(handle, entry)| entry.listed(*handle, now));
        live.filter(|listed| listed.stored.record.owner() == Some(owner.as_str())).collect()
    }

    fn destroy_all(&mut self, number: u8, except: Option<Name>) {
        let (owner, except) = (owner(OWNERS[usize::from(number)]), except.map(|name| self.id(name).handle()));
        let theirs = self.owned(&owner).into_iter().map(|listed| listed.handle);
        let ended: Vec<_> = theirs.filter(|handle| Some(*handle) != except).collect();
        assert_eq!(owners(&self.store).destroy_all(&owner, except).unwrap(), ended.len());
        self.map.retain(|handle, _| !ended.contains(handle));
        self.counted.destroyed += ended.len() as u64;
        self.epoch += 1;
        self.ended.insert(owner, self.epoch);
    }

    fn destroy_one(&mut self, number: u8, of: Option<u8>) {
        let (handle, of, now) = (handle(number), of.map(|of| owner(OWNERS[usize::from(of)])), self.now());
        let live = self.map.get(&handle).filter(|entry| !entry.ttl(now).is_zero());
        let theirs = live.filter(|entry| of.as_ref().is_none_or(|of| entry.record().owner() == Some(of.as_str())));
        let version = theirs.map(|entry| entry.record().version());
        let outcome = owners(&self.store).destroy_handle(handle, of.as_ref(), EndReason::Named).unwrap();
        assert_eq!(outcome.receipt().map(|receipt| receipt.version), version);
        if version.is_some() {
            self.map.remove(&handle);
            self.counted.destroyed += 1;
        }
    }

    /// Replaces the store by one that reads its files.
    fn restart(&mut self, ending: Ending) {
        let (image, before) = (self.folder.image(), self.listed());
        match ending {
            // A jump of the calendar changes the deadlines of rows that were written before it.
            _ if self.has_jumped => self.store.close().unwrap(),
            Ending::Killed => self.folder = image,
            Ending::Dropped => self.store = open(&self.options, &image),
            Ending::Closed => self.store.close().unwrap(),
        }
        self.store = open(&self.options, &self.folder);
        self.has_jumped = false;
        // A restart evicts no session that the store had.
        assert!(before.keys().all(|handle| self.listed().contains_key(handle)), "{:?}", self.store.stats());
        let now = self.now();
        self.map.retain(|_, entry| !entry.ttl(now).is_zero());
        self.counted = Counted::default();
    }

    fn compare(&mut self) {
        self.store.validate().unwrap();
        self.follow_evictions();
        let (now, listed) = (self.now(), self.listed());
        let live: Vec<_> = self.map.iter().filter_map(|(handle, entry)| entry.listed(*handle, now)).collect();
        assert_eq!((listed.len(), self.store.len().unwrap()), (live.len(), live.len()));
        for expected in &live {
            let found = &listed[&expected.handle];
            assert_eq!(found.stored, expected.stored);
            assert_eq!(found.stored.record.version(), expected.stored.record.version());
        }
        for name in OWNERS {
            let owner = owner(name);
            assert_eq!(owners(&self.store).count(&owner).unwrap(), self.owned(&owner).len());
        }
        let stats = self.store.stats();
        assert!(stats.bytes <= stats.max_size && stats.sessions >= live.len());
        let counted = Counted {
            hits: stats.hits,
            misses: stats.misses,
            superseded: stats.superseded,
            created: stats.created,
            saved: stats.saved,
            destroyed: stats.destroyed,
        };
        assert_eq!(counted, self.counted);
    }
}

fn open(options: &LembroOptions, folder: &Folder) -> LembroStore {
    LembroStore::with_options(options.clone().persist(folder.join("sessions"))).unwrap()
}

fn changes(change: &Change) -> Changes {
    let mut changes = Changes::new();
    match change {
        Change::Set(key, size) => changes.insert("", &format!("key{key}"), &"x".repeat(*size)).unwrap(),
        Change::Remove(key) => changes.remove("", &format!("key{key}")).unwrap(),
        Change::Clear => changes.clear(),
        Change::Timeout(timeout) => changes.set_timeout(timeout.map(seconds)),
        Change::Remember(remembered) => changes.remember(*remembered),
        Change::Label(label) => changes.set_label(label.map(|length| "l".repeat(length)).as_deref()).unwrap(),
        Change::Nothing => {}
    }
    changes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn model_with_room_for_everything(steps in history(80)) {
        let mut both = Both::new(LembroOptions::new().max_size("16M").shards(4), true);
        steps.iter().for_each(|step| both.take(step));
    }

    #[test]
    fn model_with_little_room(steps in history(120)) {
        let options = LembroOptions::new().max_size(7_200).max_session_size(3_600).shards(1);
        let mut both = Both::new(options, false);
        steps.iter().for_each(|step| both.take(step));
    }
}
