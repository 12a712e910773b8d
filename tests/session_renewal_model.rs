//! Renewal against a simple model: several handles on sessions, random steps, and a clock that moves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod session_support;

use std::collections::BTreeMap;
use std::time::Duration;

use lembro::{LembroStore, ManualClock, Outcome, Policy, Saved, Session, SessionId, Sessions, Store};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};
use session_support::{HOUR, manual_store, validate};

#[derive(Clone, Debug)]
enum Step {
    /// One more handle, on the id that another has.
    Load(usize),
    Save(usize, u8),
    Touch(usize),
    Reload(usize),
    Renew(usize, u64),
    Regenerate(usize),
    Destroy(usize),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (handle, seconds) = (|| any::<usize>(), || prop_oneof![Just(0), 1..40_u64]);
    prop_oneof![
        3 => handle().prop_map(Step::Load),
        4 => (handle(), 0..4_u8).prop_map(|(handle, key)| Step::Save(handle, key)),
        1 => handle().prop_map(Step::Touch),
        2 => handle().prop_map(Step::Reload),
        4 => (handle(), seconds()).prop_map(|(handle, grace)| Step::Renew(handle, grace)),
        1 => handle().prop_map(Step::Regenerate),
        1 => handle().prop_map(Step::Destroy),
        3 => seconds().prop_map(Step::Advance),
    ]
}

/// A session as it should be in the store.
struct Stored {
    id: SessionId,
    /// The id before, and when its grace ends.
    old: Option<(SessionId, Duration)>,
    data: BTreeMap<String, u32>,
    saves: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    Current,
    InGrace,
    Dead,
}

/// A handle, and what it should know.
struct Held {
    session: Session,
    stage: Stage,
    /// What was put into it after it ended: it goes into the session that is begun next.
    kept: BTreeMap<String, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    /// As it was last seen: after how many saves, and whether the id was in its grace.
    Live {
        saves: u32,
        in_grace: bool,
    },
    Gone,
}

struct World {
    sessions: Sessions,
    store: LembroStore,
    time: ManualClock,
    stored: Vec<Stored>,
    held: Vec<Held>,
    /// Every id there ever was.
    ids: Vec<SessionId>,
    counter: u32,
}

impl World {
    fn new() -> Self {
        let (store, time) = manual_store();
        let policy = Policy::new().timeout(1_000 * HOUR).lifetime(None).renew_after(HOUR);
        let sessions = Sessions::with_policy(store.clone(), policy).unwrap();
        let first = Held { session: sessions.generate().unwrap(), stage: Stage::New, kept: BTreeMap::new() };
        Self { sessions, store, time, stored: Vec::new(), held: vec![first], ids: Vec::new(), counter: 0 }
    }

    fn now(&self) -> Duration {
        self.sessions.clock().now()
    }

    /// What an id can do now, and in which session.
    fn power(&self, id: SessionId) -> (Power, usize) {
        for (place, stored) in self.stored.iter().enumerate() {
            if stored.id == id {
                return (Power::Current, place);
            }
            if stored.old.is_some_and(|(old, until)| old == id && until > self.now()) {
                return (Power::InGrace, place);
            }
        }
        (Power::Dead, usize::MAX)
    }

    fn take(&mut self, step: &Step) {
        let count = self.held.len();
        let pick = |handle: usize| handle % count;
        match *step {
            Step::Advance(seconds) => self.time.advance(Duration::from_secs(seconds)),
            Step::Load(handle) => self.load(pick(handle)),
            Step::Save(handle, key) => self.save(pick(handle), key),
            Step::Touch(handle) => self.touch(pick(handle)),
            Step::Reload(handle) => self.reload(pick(handle)),
            Step::Renew(handle, grace) => self.renew(pick(handle), Duration::from_secs(grace)),
            Step::Regenerate(handle) => self.regenerate(pick(handle)),
            Step::Destroy(handle) => self.destroy(pick(handle)),
        }
    }

    fn id(&self, handle: usize) -> SessionId {
        self.held[handle].session.id().unwrap()
    }

    fn load(&mut self, handle: usize) {
        let id = self.id(handle);
        let found = self.sessions.load(&id).unwrap();
        match (self.power(id), found) {
            ((Power::Dead, _), None) => {}
            ((power, place), Some(session)) if power != Power::Dead => {
                let stage = Stage::Live { saves: self.stored[place].saves, in_grace: power == Power::InGrace };
                self.held.push(Held { session, stage, kept: BTreeMap::new() });
            }
            (power, found) => panic!("{power:?}, and a load found {found:?}"),
        }
    }

    fn save(&mut self, handle: usize, key: u8) {
        let (id, (power, place)) = (self.id(handle), self.power(self.id(handle)));
        self.counter += 1;
        let (key, value) = (format!("key {key}"), self.counter);
        let held = &mut self.held[handle];
        held.session.insert(&key, &value).unwrap();
        let saved = held.session.save().unwrap();
        match (held.stage, power) {
            (Stage::Gone, _) => {
                assert_eq!(saved, Saved::Gone);
                held.kept.insert(key, value);
            }
            (Stage::New, _) => {
                assert_eq!(saved, Saved::Written);
                let id = held.session.id().unwrap();
                held.stage = Stage::Live { saves: 0, in_grace: false };
                self.ids.push(id);
                let mut data = std::mem::take(&mut held.kept);
                data.insert(key, value);
                self.stored.push(Stored { id, old: None, data, saves: 0 });
            }
            (Stage::Live { .. }, Power::Dead) => {
                assert_eq!(saved, Saved::Gone);
                held.stage = Stage::Gone;
            }
            (Stage::Live { saves, in_grace }, _) => {
                assert_eq!((saved, held.session.id().unwrap()), (Saved::Written, id));
                let stored = &mut self.stored[place];
                // Overtaken, it has looked again.
                let in_grace = if saves == stored.saves { in_grace } else { power == Power::InGrace };
                stored.saves += 1;
                stored.data.insert(key, value);
                held.stage = Stage::Live { saves: stored.saves, in_grace };
            }
        }
    }

    fn touch(&mut self, handle: usize) {
        let (power, _) = self.power(self.id(handle));
        let held = &mut self.held[handle];
        let touched = held.session.touch().unwrap();
        match held.stage {
            Stage::New => assert_eq!(touched, Saved::Unchanged),
            Stage::Live { .. } if power != Power::Dead => assert_eq!(touched, Saved::Written),
            _ => {
                assert_eq!(touched, Saved::Gone);
                held.stage = Stage::Gone;
            }
        }
    }

    fn reload(&mut self, handle: usize) {
        let (power, place) = self.power(self.id(handle));
        let held = &mut self.held[handle];
        let reloaded = held.session.reload().unwrap();
        held.kept.clear();
        match held.stage {
            Stage::New => assert_eq!(reloaded, Outcome::Done),
            Stage::Live { .. } if power != Power::Dead => {
                assert_eq!(reloaded, Outcome::Done);
                held.stage = Stage::Live { saves: self.stored[place].saves, in_grace: power == Power::InGrace };
            }
            _ => {
                assert_eq!(reloaded, Outcome::Gone);
                held.stage = Stage::Gone;
            }
        }
    }

    fn renew(&mut self, handle: usize, grace: Duration) {
        let (id, now) = (self.id(handle), self.now());
        let (power, place) = self.power(id);
        let held = &mut self.held[handle];
        let renewed = held.session.renew(grace).unwrap();
        let after = held.session.id().unwrap();
        match (held.stage, power) {
            (Stage::New, _) => assert_eq!((renewed, after), (Outcome::Done, id)),
            (Stage::Live { in_grace: true, .. }, _) => assert_eq!((renewed, after), (Outcome::Conflict, id)),
            (Stage::Live { .. }, Power::Current) => {
                assert_eq!(renewed, Outcome::Done);
                assert!(after != id && after.handle() == id.handle());
                let stored = &mut self.stored[place];
                (stored.id, stored.old) = (after, Some((id, now + grace)));
                self.ids.push(after);
            }
            (Stage::Live { .. }, Power::InGrace) => {
                assert_eq!((renewed, after), (Outcome::Conflict, id));
                held.stage = Stage::Live { saves: self.stored[place].saves, in_grace: true };
            }
            (Stage::Live { .. }, Power::Dead) | (Stage::Gone, _) => {
                assert_eq!(renewed, Outcome::Gone);
                held.stage = Stage::Gone;
            }
        }
    }

    fn regenerate(&mut self, handle: usize) {
        let id = self.id(handle);
        let (power, place) = self.power(id);
        let held = &mut self.held[handle];
        held.session.regenerate().unwrap();
        let after = held.session.id().unwrap();
        assert_ne!(after, id);
        if matches!(held.stage, Stage::Live { .. }) && power == Power::Current {
            assert_eq!(after.handle(), id.handle());
            (self.stored[place].id, self.stored[place].old) = (after, None);
            self.ids.push(after);
        } else {
            assert!(held.session.is_new().unwrap() && after.handle() != id.handle());
            held.stage = Stage::New;
        }
    }

    fn destroy(&mut self, handle: usize) {
        let (power, place) = self.power(self.id(handle));
        let held = &mut self.held[handle];
        held.session.destroy().unwrap();
        held.kept.clear();
        if matches!(held.stage, Stage::Live { .. }) && power != Power::Dead {
            self.stored.remove(place);
        }
        held.stage = Stage::Gone;
    }

    /// The store holds what the model holds, and every id ever drawn can do what it should.
    fn check(&self) {
        assert_eq!(self.store.len().unwrap(), self.stored.len());
        for id in &self.ids {
            let (power, place) = self.power(*id);
            let found = self.store.get(id).unwrap();
            assert_eq!(found.is_some(), power != Power::Dead, "{power:?}");
            let Some(found) = found else { continue };
            assert_eq!(found.in_grace, power == Power::InGrace);
            let session = self.sessions.load(id).unwrap().unwrap();
            let entries = session.iter().unwrap().map(|(key, value)| (key.to_owned(), value.get().parse().unwrap()));
            assert_eq!(entries.collect::<BTreeMap<_, _>>(), self.stored[place].data);
        }
        validate(&self.store);
    }
}

proptest! {
    #[test]
    fn every_id_can_do_what_it_should_and_nothing_that_was_saved_is_lost(steps in collection::vec(step(), 1..60)) {
        let mut world = World::new();
        world.take(&Step::Save(0, 0));
        for step in &steps {
            world.take(step);
            world.check();
        }
    }
}
