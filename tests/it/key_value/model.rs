//! The key-value store against the plain store: random histories, in which backend calls fail.
//!
//! Properties, after every step: (1) an acknowledged write is there; (2) a refused write is not;
//! (3) a write with an unknown outcome was carried out or not, and its repeat shows which; (4)
//! lists, epochs and reasons are the plain store's. The backend drops each entry at the end of its
//! time to live, and the store is reopened between steps.
//!
//! `PROPTEST_CASES` sets the number of histories.

use std::sync::Arc;
use std::time::Duration;

use crate::support::key_values::Map;
use lembro::testing::{PlainStore, When};
use lembro::{
    Action, AtLimit, Clock, Commit, EndReason, Epoch, Error, Identity, KeyValueStore, Lease, Limit, Login, Look,
    ManualClock, Outcome, Owner, Owners, Record, Result, SessionId, Store, Version,
};
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);
const SLOTS: usize = 4;
const OWNERS: [&str; 2] = ["ada", "bob"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Create {
        slot: usize,
        login: Option<Entrance>,
        minutes: u32,
    },
    Merge {
        slot: usize,
        is_exact: bool,
        minutes: u32,
    },
    Login {
        slot: usize,
        login: Entrance,
        minutes: u32,
    },
    Renew {
        slot: usize,
    },
    Visit {
        slot: usize,
        minutes: u32,
    },
    Touch {
        slot: usize,
        minutes: u32,
    },
    End {
        slot: usize,
    },
    Move {
        from: usize,
        to: usize,
        minutes: u32,
    },
    EndByHandle {
        slot: usize,
        owner: Option<usize>,
    },
    EndAll {
        owner: usize,
        except: Option<usize>,
    },
    /// A login begins with the check of its password.
    Begin {
        owner: usize,
    },
    Pass {
        minutes: u32,
    },
    Reopen,
}

#[derive(Clone, Copy, Debug)]
struct Entrance {
    owner: usize,
    is_begun: bool,
    limit: Option<Limit>,
}

/// The call of a step that fails, and when it fails.
type Fault = Option<(usize, When)>;

fn entrance() -> impl Strategy<Value = Entrance> {
    let at_limit = prop_oneof![Just(AtLimit::EndOldest), Just(AtLimit::RefuseNewest)];
    let limit = prop::option::of((1..3_usize, at_limit).prop_map(|(max, at_limit)| Limit { max, at_limit }));
    (0..OWNERS.len(), any::<bool>(), limit).prop_map(|(owner, is_begun, limit)| Entrance { owner, is_begun, limit })
}

fn step() -> impl Strategy<Value = Step> {
    let (slot, owner, minutes) = (0..SLOTS, 0..OWNERS.len(), prop_oneof![Just(0_u32), Just(10), Just(40), Just(200)]);
    prop_oneof![
        4 => (slot.clone(), prop::option::of(entrance()), minutes.clone())
            .prop_map(|(slot, login, minutes)| Step::Create { slot, login, minutes }),
        4 => (slot.clone(), any::<bool>(), minutes.clone())
            .prop_map(|(slot, is_exact, minutes)| Step::Merge { slot, is_exact, minutes }),
        4 => (slot.clone(), entrance(), minutes.clone())
            .prop_map(|(slot, login, minutes)| Step::Login { slot, login, minutes }),
        1 => slot.clone().prop_map(|slot| Step::Renew { slot }),
        4 => (slot.clone(), minutes.clone()).prop_map(|(slot, minutes)| Step::Visit { slot, minutes }),
        1 => (slot.clone(), minutes.clone()).prop_map(|(slot, minutes)| Step::Touch { slot, minutes }),
        1 => slot.clone().prop_map(|slot| Step::End { slot }),
        1 => (slot.clone(), slot.clone(), minutes).prop_map(|(from, to, minutes)| Step::Move { from, to, minutes }),
        1 => (slot.clone(), prop::option::of(owner.clone()))
            .prop_map(|(slot, owner)| Step::EndByHandle { slot, owner }),
        2 => (owner.clone(), prop::option::of(slot)).prop_map(|(owner, except)| Step::EndAll { owner, except }),
        2 => owner.prop_map(|owner| Step::Begin { owner }),
        3 => (1..60_u32).prop_map(|minutes| Step::Pass { minutes }),
        1 => Just(Step::Reopen),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop::option::of((1..9_usize, prop_oneof![Just(When::Before), Just(When::After)]))
}

/// One call on each of the two stores.
enum Call {
    Commit { id: SessionId, commits: Box<[Commit; 2]>, lease: Lease, has_limit: bool },
    Put { id: SessionId, record: Record, ttl: Duration },
    Touch { id: SessionId, lease: Lease },
    End { id: SessionId },
    Visit { id: SessionId, lease: Lease },
    EndByHandle { id: SessionId, owner: Option<Owner> },
    EndAll { owner: Owner, except: Option<SessionId> },
}

/// The answer that both stores must give.
#[derive(Debug, PartialEq)]
enum Answer {
    Outcome(Outcome),
    Found(bool),
    Ended(usize),
}

impl Call {
    fn on(&self, store: &dyn Store, which: usize) -> Result<Answer> {
        let owners = store.owners().unwrap();
        let outcome = match self {
            Self::Commit { id, commits, lease, .. } => store.commit(id, &commits[which], lease),
            Self::Put { id, record, ttl } => store.apply(id, &Action::Put(record, *ttl), &Lease::UNLIMITED),
            Self::Touch { id, lease } => store.touch(id, lease),
            Self::End { id } => store.destroy(id),
            Self::Visit { id, lease } => {
                return Ok(Answer::Found(store.look(id, Look::Visit, lease)?.found().is_some()));
            }
            Self::EndByHandle { id, owner } => owners.destroy_handle(id.handle(), owner.as_ref(), EndReason::Revoked),
            Self::EndAll { owner, except } => {
                let ended = owners.destroy_all(owner, except.map(|id| id.handle()))?;
                return Ok(Answer::Ended(ended));
            }
        };
        outcome.map(Answer::Outcome)
    }

    fn repeated(self) -> Self {
        match self {
            Self::Commit { id, commits, lease, has_limit } => {
                Self::Commit { id, commits: Box::new(commits.map(Commit::repeated)), lease, has_limit }
            }
            other => other,
        }
    }
}

struct World {
    map: Arc<Map>,
    store: KeyValueStore<Arc<Map>>,
    plain: PlainStore,
    time: ManualClock,
    /// The current id of each client, and the last version that it saw.
    slots: [Option<(SessionId, Version)>; SLOTS],
    /// All ids that there were.
    ids: Vec<SessionId>,
    begun: [Option<[Epoch; 2]>; 2],
    faults: usize,
}

fn owner(number: usize) -> Owner {
    Owner::new(OWNERS[number]).unwrap()
}

fn lease(minutes: u32) -> Lease {
    Lease { lifetime: Some(500 * MINUTE), ..Lease::new(minutes * MINUTE) }
}

impl World {
    fn new() -> Self {
        let time = Clock::manual();
        let map = Arc::new(Map::punctual(&time));
        let store = KeyValueStore::with_clock(Arc::clone(&map), &time);
        let plain = PlainStore::new(&time);
        Self { map, store, plain, time, slots: [None; SLOTS], ids: Vec::new(), begun: [None; 2], faults: 0 }
    }

    fn run(steps: &[(Step, Fault)]) -> usize {
        let mut world = Self::new();
        for (step, fault) in steps {
            // No two logins are at the same instant.
            world.time.advance(Duration::from_millis(1));
            world.take(step, *fault);
            world.compare(&format!("after {step:?} with {fault:?}"));
        }
        world.faults
    }

    fn take(&mut self, step: &Step, fault: Fault) {
        let call = match *step {
            Step::Begin { owner: number } => {
                let epochs = [self.store.epoch(&owner(number)), self.plain.epoch(&owner(number))];
                self.begun[number] = Some(epochs.map(Result::unwrap));
                return;
            }
            Step::Pass { minutes } => return self.time.advance(minutes * MINUTE),
            Step::Reopen => {
                self.store = KeyValueStore::with_clock(Arc::clone(&self.map), self.time.restarted());
                return;
            }
            Step::EndAll { owner: number, except } => {
                let except = except.and_then(|slot| self.slots[slot]).map(|(id, _)| id);
                return self.end_all(&Call::EndAll { owner: owner(number), except }, fault);
            }
            Step::Create { slot, login, minutes } => {
                let id = SessionId::random().unwrap();
                self.slots[slot] = Some((id, Version::default()));
                self.ids.push(id);
                self.commit(id, Commit::create().unwrap(), login, minutes)
            }
            _ => match self.on_session(step) {
                Some(call) => call,
                None => return,
            },
        };
        self.carry_out(call, fault);
    }

    /// A step with the session of a client.
    fn on_session(&mut self, step: &Step) -> Option<Call> {
        let slot = match *step {
            Step::Move { from, .. } => from,
            Step::Merge { slot, .. }
            | Step::Login { slot, .. }
            | Step::Renew { slot }
            | Step::Visit { slot, .. }
            | Step::Touch { slot, .. }
            | Step::End { slot }
            | Step::EndByHandle { slot, .. } => slot,
            _ => return None,
        };
        let (id, version) = self.slots[slot]?;
        let merge = Commit::merge(version).unwrap();
        Some(match *step {
            Step::Merge { is_exact, minutes, .. } => {
                let merge = if is_exact { Commit::exactly(version).unwrap() } else { merge };
                self.commit(id, merge, None, minutes)
            }
            Step::Login { login, minutes, .. } => {
                let new = id.renewed(&SessionId::random().unwrap());
                self.ids.push(new);
                self.commit(id, merge.with_identity(Identity::Replace(new)), Some(login), minutes)
            }
            Step::Renew { .. } => {
                let lease = Lease { renew_after: Some(MINUTE), grace: MINUTE, ..lease(40) };
                let merge = merge.with_identity(Identity::Renew(7));
                Call::Commit { id, commits: Box::new([merge.clone(), merge]), lease, has_limit: false }
            }
            Step::Visit { minutes, .. } => Call::Visit { id, lease: lease(minutes) },
            Step::Touch { minutes, .. } => Call::Touch { id, lease: lease(minutes) },
            Step::End { .. } => Call::End { id },
            // With its owner, because `set` stores records from other stores.
            Step::Move { to, minutes, .. } => {
                let record = self.plain.get(&id).unwrap()?.record;
                // It must not replace an ended session, because the plain store keeps the reason
                // for longer.
                let (id, _) = self.slots[to].filter(|(id, _)| self.plain.get(id).unwrap().is_some())?;
                Call::Put { id, record, ttl: minutes * MINUTE }
            }
            Step::EndByHandle { owner: number, .. } => Call::EndByHandle { id, owner: number.map(owner) },
            _ => return None,
        })
    }

    fn commit(&self, id: SessionId, mut commit: Commit, login: Option<Entrance>, minutes: u32) -> Call {
        commit.changes.insert("", &format!("key {}", self.ids.len() % 3), &self.ids.len()).unwrap();
        let has_limit = login.is_some_and(|login| login.limit.is_some());
        let commits = [0, 1].map(|which| match login {
            None => commit.clone(),
            Some(login) => {
                let begun = self.begun[login.owner].filter(|_| login.is_begun).map(|epochs| epochs[which]);
                commit.clone().log_in(Login { begun, limit: login.limit, owner: owner(login.owner) })
            }
        });
        Call::Commit { id, commits: Box::new(commits), lease: lease(minutes), has_limit }
    }

    /// Returns the store's answer, and true if a call to its backend failed.
    fn ask(&mut self, call: &Call, fault: Fault) -> (Result<Answer>, bool) {
        if let Some((nth, when)) = fault {
            self.map.fail(nth, when);
        }
        let said = call.on(&self.store, 0);
        let has_failed = self.map.heal();
        self.faults += usize::from(has_failed);
        (said, has_failed)
    }

    fn carry_out(&mut self, call: Call, fault: Fault) {
        let (said, has_failed) = self.ask(&call, fault);
        match said {
            Err(error) if has_failed => {
                self.end_surplus(&call);
                // After an unknown outcome, either state is right.
                if error.is_unknown() && !self.is_alike() {
                    drop(call.on(&self.plain, 1));
                }
                self.compare(&format!("after {error}"));
                if error.is_unknown() && matches!(call, Call::Commit { .. }) {
                    self.carry_out(call.repeated(), None);
                }
            }
            said => {
                let expected = call.on(&self.plain, 1);
                match (&said, &expected) {
                    (Ok(said), Ok(expected)) => assert_eq!(said, expected),
                    (Err(said), Err(expected)) => {
                        assert_eq!(said.is_unknown(), expected.is_unknown(), "{said}, {expected}");
                    }
                    both => panic!("{both:?}"),
                }
                let (Call::Commit { id, .. }, Ok(Answer::Outcome(Outcome::Done(receipt)))) = (&call, said) else {
                    return;
                };
                let slot = self.slots.iter_mut().flatten().find(|slot| slot.0 == *id);
                let new = receipt.announce.unwrap_or(*id);
                self.ids.push(new);
                if let Some(slot) = slot {
                    *slot = (new, receipt.version);
                }
            }
        }
    }

    /// Checks that a failed login ended no sessions but those beyond its limit.
    fn end_surplus(&self, call: &Call) {
        let Call::Commit { id, commits, has_limit: true, .. } = call else { return };
        let login = Action::Commit(&commits[1]).login().unwrap().clone();
        let left = self.store.list(&login.owner).unwrap();
        for listed in self.plain.list(&login.owner).unwrap() {
            let handle = listed.handle;
            if handle != id.handle() && left.iter().all(|left| left.handle != handle) {
                assert!(self.plain.destroy_handle(handle, None, EndReason::Limit).unwrap().is_done());
            }
        }
    }

    fn end_all(&mut self, call: &Call, fault: Fault) {
        let (said, has_failed) = self.ask(call, fault);
        let said = if has_failed && said.is_err() { None } else { Some(said.unwrap()) };
        // Some sessions may have ended. The user tries again.
        if said.is_none() {
            call.on(&self.store, 0).unwrap();
        }
        let expected = call.on(&self.plain, 1).unwrap();
        assert_eq!(said.as_ref().unwrap_or(&expected), &expected);
    }

    /// Compares all that the two stores show.
    fn seen(store: &(impl Store + Owners), ids: &[SessionId]) -> Vec<String> {
        let looks = ids.iter().map(|id| {
            let why = store.end_reason(id).unwrap();
            let lookup = store.look(id, Look::Peek, &Lease::UNLIMITED).unwrap();
            let version = lookup.clone().found().map(|stored| stored.record.version());
            format!("{id:?} {lookup:?} {version:?} {why:?}")
        });
        let lists = OWNERS.map(|name| {
            let mut handles: Vec<_> = store.list(&Owner::new(name).unwrap()).unwrap();
            handles.sort_by_key(|listed| listed.handle);
            format!("{name}: {:?}", handles.iter().map(|listed| listed.handle).collect::<Vec<_>>())
        });
        looks.chain(lists).collect()
    }

    fn is_alike(&self) -> bool {
        Self::seen(&self.store, &self.ids) == Self::seen(&self.plain, &self.ids)
    }

    #[track_caller]
    fn compare(&self, when: &str) {
        let (found, expected) = (Self::seen(&self.store, &self.ids), Self::seen(&self.plain, &self.ids));
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{when}");
        }
    }
}

proptest! {
    #[test]
    fn model_key_value_equals_plain_store(
        steps in prop::collection::vec((step(), Just(None)), 1..60),
    ) {
        World::run(&steps);
    }

    #[test]
    fn model_faults_lose_nothing_acknowledged(
        steps in prop::collection::vec((step(), fault()), 1..60),
    ) {
        World::run(&steps);
    }
}

proptest! {
    #[test]
    fn model_corrupt_bytes_cause_no_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        flipped in prop::option::of((any::<prop::sample::Index>(), 0..8_u32)),
    ) {
        let map = Arc::new(Map::default());
        let (store, ada) = (KeyValueStore::new(Arc::clone(&map)), owner(0));
        let id = SessionId::random().unwrap();
        let create = Commit::create().unwrap().log_in(Login::new(ada.clone()));
        assert!(store.commit(&id, &create, &lease(10)).unwrap().is_done());
        for key in map.keys() {
            let whole = map.bytes(&key).unwrap();
            let damaged = flipped.as_ref().map_or(bytes.clone(), |(place, bit)| {
                let mut flipped = whole.clone();
                flipped[place.index(whole.len())] ^= 1 << bit;
                flipped
            });
            map.put(&key, &damaged);
            let kinds = [
                store.visit(&id, &lease(10)).map(drop),
                store.end_reason(&id).map(drop),
                store.list(&ada).map(drop),
                store.destroy_all(&ada, None).map(drop),
                store.commit(&SessionId::random().unwrap(), &create, &lease(10)).map(drop),
            ];
            for error in kinds.into_iter().filter_map(Result::err) {
                assert!(error.is_corrupt(), "{error}");
            }
            map.put(&key, &whole);
        }
    }
}

/// Each kind of step, with the steps that it needs before it.
fn tour() -> Vec<Step> {
    let entrance = |owner| Entrance { owner, is_begun: true, limit: None };
    let limit = Limit { max: 2, at_limit: AtLimit::EndOldest };
    let limited = Entrance { limit: Some(limit), ..entrance(0) };
    vec![
        Step::Begin { owner: 0 },
        Step::Create { slot: 0, login: None, minutes: 10 },
        Step::Login { slot: 0, login: entrance(0), minutes: 10 },
        Step::Create { slot: 1, login: Some(entrance(0)), minutes: 40 },
        Step::Pass { minutes: 5 },
        Step::Visit { slot: 0, minutes: 200 },
        Step::Merge { slot: 0, is_exact: false, minutes: 40 },
        Step::Merge { slot: 1, is_exact: true, minutes: 200 },
        Step::Renew { slot: 1 },
        Step::Create { slot: 2, login: Some(limited), minutes: 40 },
        Step::Login { slot: 1, login: entrance(1), minutes: 40 },
        Step::Touch { slot: 2, minutes: 200 },
        Step::Move { from: 2, to: 1, minutes: 10 },
        Step::Reopen,
        Step::EndByHandle { slot: 1, owner: Some(0) },
        Step::EndAll { owner: 0, except: None },
        Step::Login { slot: 3, login: limited, minutes: 40 },
        Step::Create { slot: 3, login: Some(Entrance { is_begun: false, ..limited }), minutes: 40 },
        Step::End { slot: 3 },
    ]
}

#[test]
fn fault_at_any_call_breaks_nothing() {
    let tour = tour();
    let mut faults = 0;
    for (place, nth, when) in (0..tour.len())
        .flat_map(|place| (1..12).flat_map(move |nth| [When::Before, When::After].map(|when| (place, nth, when))))
    {
        let with_fault = |(number, step): (usize, &Step)| (*step, (number == place).then_some((nth, when)));
        faults += World::run(&tour.iter().enumerate().map(with_fault).collect::<Vec<_>>());
    }
    assert!(faults > 120, "only {faults} faults");
}

#[test]
fn refused_entries_are_not_written() {
    struct Refusing;
    impl lembro::KeyValue for Refusing {
        fn get(&self, _: &str) -> Result<Option<Vec<u8>>> {
            Ok(None)
        }
        fn set(&self, _: &str, bytes: &[u8], _: Duration) -> Result<()> {
            Err(if bytes.len() > 100 { Error::size("100 bytes are allowed") } else { Error::store("down") })
        }
        fn remove(&self, _: &str) -> Result<()> {
            Ok(())
        }
    }
    let (store, id) = (KeyValueStore::new(Refusing), SessionId::random().unwrap());
    let create = |length| {
        let mut create = Commit::create().unwrap();
        create.changes.insert("", "text", &"x".repeat(length)).unwrap();
        store.commit(&id, &create, &lease(10)).unwrap_err()
    };
    let (large, small) = (create(200), create(1));
    assert!(large.is_size() && !large.is_unknown() && small.is_unknown());
}
