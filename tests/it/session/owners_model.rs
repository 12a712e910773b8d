//! Owners against a model: random logins and logouts on a few devices, and a map of their owners.
//!
//! Properties, after every step: (1) each owner's list is the map's; (2) every device finds the
//! session in the map, and a handle on an ended session learns that and stores nothing; (3) every
//! counter, queue and index of the store is what a recount finds.

use std::collections::BTreeMap;

use crate::support::session::{HOUR, manual_sessions, save_login, validate};
use lembro::{Epoch, LembroStore, ManualClock, Owner, Saved, Session, Sessions, Store};
use proptest::prelude::*;

const DEVICES: usize = 5;
const OWNERS: [&str; 2] = ["ada", "bob"];

#[derive(Clone, Debug)]
enum Step {
    Login {
        device: usize,
        owner: usize,
    },
    /// A login with an epoch from before the owner's last "log out everywhere", if there was one.
    LateLogin {
        device: usize,
        owner: usize,
    },
    Save {
        device: usize,
    },
    Regenerate {
        device: usize,
    },
    Destroy {
        device: usize,
    },
    DestroyOf {
        owner: usize,
        except: Option<usize>,
    },
    /// "Log out everywhere else" on this device.
    DestroyOthers {
        device: usize,
    },
    DestroyHandle {
        device: usize,
    },
    /// The end of a device's session as one of this owner's, which it may not be.
    DestroyHandleOf {
        owner: usize,
        device: usize,
    },
    Expire,
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    let (device, owner) = (0..DEVICES, 0..OWNERS.len());
    prop_oneof![
        6 => (device.clone(), owner.clone()).prop_map(|(device, owner)| Step::Login { device, owner }),
        2 => (device.clone(), owner.clone()).prop_map(|(device, owner)| Step::LateLogin { device, owner }),
        3 => device.clone().prop_map(|device| Step::Save { device }),
        2 => device.clone().prop_map(|device| Step::Regenerate { device }),
        1 => device.clone().prop_map(|device| Step::Destroy { device }),
        2 => (owner.clone(), prop::option::of(device.clone()))
            .prop_map(|(owner, except)| Step::DestroyOf { owner, except }),
        2 => device.clone().prop_map(|device| Step::DestroyOthers { device }),
        1 => device.clone().prop_map(|device| Step::DestroyHandle { device }),
        1 => (device, owner).prop_map(|(device, owner)| Step::DestroyHandleOf { owner, device }),
        1 => Just(Step::Expire),
        1 => Just(Step::Purge),
    ]
}

struct World {
    sessions: Sessions,
    store: LembroStore,
    time: ManualClock,
    devices: Vec<Session>,
    /// The owner on each device: `None` without a live session, `Some(None)` without a login.
    model: BTreeMap<usize, Option<usize>>,
    before: [Option<Epoch>; 2],
}

impl World {
    fn new() -> Self {
        let (sessions, store, time) = manual_sessions();
        let devices = (0..DEVICES).map(|_| sessions.generate().unwrap()).collect();
        Self { sessions, store, time, devices, model: BTreeMap::new(), before: [None; 2] }
    }

    /// The device with a live session, loaded as by the next request.
    fn device(&mut self, device: usize) -> &mut Session {
        self.devices[device] = match self.sessions.load(&self.devices[device].id().unwrap()).unwrap() {
            Some(session) => session,
            None => self.sessions.generate().unwrap(),
        };
        &mut self.devices[device]
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Login { device, owner } => {
                let session = self.device(device);
                save_login(session, OWNERS[owner]);
                self.model.insert(device, Some(owner));
            }
            Step::LateLogin { device, owner } => {
                let Some(begun) = self.before[owner] else { return };
                let session = self.device(device);
                session.log_in_since(OWNERS[owner], begun).unwrap();
                assert_eq!(session.save().unwrap(), Saved::Gone);
                // The next request finds the stored session as it was.
                self.device(device);
            }
            Step::Save { device } => {
                // By the request that loaded it before. If it has ended since, nothing is stored.
                let live = self.model.contains_key(&device);
                let session = &mut self.devices[device];
                session.insert("page", &1).unwrap();
                let was_new = session.is_new().unwrap();
                let saved = session.save().unwrap();
                assert_eq!(saved == Saved::Gone, !live && !was_new);
                if was_new {
                    self.model.insert(device, None);
                }
            }
            Step::Regenerate { device } => {
                let live = self.model.contains_key(&device);
                if live {
                    let session = self.device(device);
                    session.regenerate().unwrap();
                    assert_eq!(session.save().unwrap(), Saved::Written);
                }
            }
            Step::Destroy { device } => {
                self.device(device).log_out().unwrap();
                self.model.remove(&device);
            }
            Step::DestroyOf { owner, except } => {
                self.before[owner] = Some(self.sessions.owner(OWNERS[owner]).unwrap().epoch().unwrap());
                let spared = except.map(|device| self.devices[device].handle().unwrap());
                let owners = self.sessions.store().owners().unwrap();
                let ended = owners.destroy_all(&Owner::new(OWNERS[owner]).unwrap(), spared).unwrap();
                let before = self.model.len();
                self.model.retain(|device, whose| *whose != Some(owner) || Some(*device) == except);
                assert_eq!(ended, before - self.model.len());
            }
            Step::DestroyOthers { device } => {
                let before = self.model.len();
                let whose = self.model.get(&device).copied().flatten();
                if let Some(owner) = whose {
                    self.before[owner] = Some(self.sessions.owner(OWNERS[owner]).unwrap().epoch().unwrap());
                }
                let ended = self.device(device).destroy_others().unwrap();
                if let Some(owner) = whose {
                    self.model.retain(|other, whose| *other == device || *whose != Some(owner));
                }
                assert_eq!(ended, before - self.model.len());
            }
            Step::DestroyHandle { device } => {
                let handle = self.devices[device].handle().unwrap();
                let done = self.sessions.destroy(handle).unwrap().is_done();
                assert_eq!(done, self.model.remove(&device).is_some());
            }
            Step::DestroyHandleOf { owner, device } => {
                let handle = self.devices[device].handle().unwrap();
                let done = self.sessions.owner(OWNERS[owner]).unwrap().destroy(handle).unwrap().is_done();
                assert_eq!(done, self.model.get(&device) == Some(&Some(owner)));
                if done {
                    self.model.remove(&device);
                }
            }
            Step::Expire => {
                self.time.advance(2 * HOUR);
                self.model.clear();
            }
            Step::Purge => drop(self.store.purge()),
        }
        self.compare();
    }

    fn compare(&self) {
        validate(&self.store);
        for (owner, name) in OWNERS.iter().enumerate() {
            let theirs = self.model.iter().filter(|(_, whose)| **whose == Some(owner));
            let mut expected: Vec<_> = theirs.map(|(device, _)| self.devices[*device].handle().unwrap()).collect();
            let listed = self.sessions.owner(name).unwrap().list().unwrap();
            let mut listed: Vec<_> = listed.iter().map(|device| device.handle).collect();
            expected.sort();
            listed.sort();
            assert_eq!(listed, expected, "{name}");
            assert_eq!(self.sessions.owner(name).unwrap().count().unwrap(), expected.len());
        }
        assert_eq!(self.store.len().unwrap(), self.model.len());
        for (device, session) in self.devices.iter().enumerate() {
            let found = self.sessions.load(&session.id().unwrap()).unwrap();
            assert_eq!(found.is_some(), self.model.contains_key(&device));
            let owner = found.as_ref().and_then(|session| session.owner().unwrap());
            assert_eq!(owner, self.model.get(&device).copied().flatten().map(|owner| OWNERS[owner]));
        }
    }
}

proptest! {
    #[test]
    fn model_owners_have_their_sessions(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.take(step));
    }
}
