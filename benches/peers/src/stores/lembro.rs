//! lembro, through its trait `Store`, as an application without the cookie layer uses it.

use std::time::Duration;

use lembro::{Changes, Expected, LembroOptions, LembroStore, Record, Sessions, Store as _};

use super::{HOUR, Peer, Room};
use crate::work::{Data, Id};

/// lembro.
#[derive(Debug)]
pub struct Lembro(pub LembroStore);

impl Lembro {
    fn holding(bytes: usize) -> Self {
        Self::with(LembroOptions::new().max_size(bytes as u64))
    }

    /// A store with options; without a reaper, because whoever measures a purge calls it.
    pub fn with(options: LembroOptions) -> Self {
        Self(LembroStore::with_options(options.interval(0)).expect("valid options"))
    }

    /// What one such session counts for.
    pub fn weight(data: &Data) -> usize {
        let store = Self::new(Room::Plenty);
        store.create(data);
        store.0.bytes()
    }
}

impl Peer for Lembro {
    const NAME: &'static str = "lembro";
    type Payload = Record;

    fn new(room: Room) -> Self {
        match room {
            Room::Plenty => Self::holding(16 << 30),
            Room::For(sessions, sample) => Self::holding(sessions * Self::weight(&sample())),
        }
    }

    fn prepare(data: &Data) -> Record {
        let mut changes = Changes::new();
        changes.insert("", "user_id", &data.user_id).unwrap();
        changes.insert("", "csrf", &data.csrf).unwrap();
        changes.insert("", "cart", &data.cart).unwrap();
        changes.insert("", "flash", &data.flash).unwrap();
        changes.insert("", "signed_in_at", &data.at).unwrap();
        changes.insert("", "seen_at", &data.at).unwrap();
        changes.insert("", "locale", data.locale).unwrap();
        changes.apply(&Record::new()).unwrap()
    }

    fn insert(&self, id: &Id, record: Record, ttl: Duration) {
        assert!(self.0.create(&id.own, record, ttl).unwrap().is_done());
    }

    fn get(&self, id: &Id) -> Option<u64> {
        let stored = self.0.get(&id.own).unwrap()?;
        Some(stored.ttl.as_secs())
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let stored = self.0.get(&id.own).unwrap()?;
        let user: u64 = stored.record.get("user_id").unwrap().expect("every session has it");
        let csrf: &str = stored.record.get("csrf").unwrap().expect("every session has it");
        let done = match change {
            Some(at) => {
                let mut changes = Changes::new();
                changes.insert("", "seen_at", &at).unwrap();
                self.0.save(&id.own, &changes, HOUR, Expected::Incarnation(stored.record.version())).unwrap()
            }
            None => self.0.touch(&id.own, HOUR).unwrap(),
        };
        done.is_done().then_some(user + csrf.len() as u64)
    }

    fn touch(&self, id: &Id, ttl: Duration) {
        assert!(self.0.touch(&id.own, ttl).unwrap().is_done());
    }

    fn purge(&self) {
        self.0.purge();
    }

    fn count(&self) -> usize {
        self.0.len().unwrap()
    }

    fn fresh() -> Id {
        Id::random_own()
    }
}

/// lembro, through `Sessions` and `Session`, as an application uses it.
#[derive(Debug)]
pub struct LembroSessions(Sessions);

impl Peer for LembroSessions {
    const NAME: &'static str = "lembro Sessions";
    type Payload = Record;

    fn new(room: Room) -> Self {
        Self(Sessions::new(Lembro::new(room).0))
    }

    fn prepare(data: &Data) -> Record {
        Lembro::prepare(data)
    }

    fn insert(&self, id: &Id, record: Record, ttl: Duration) {
        assert!(self.0.store().create(&id.own, record, ttl).unwrap().is_done());
    }

    fn get(&self, id: &Id) -> Option<u64> {
        let session = self.0.load(&id.own).unwrap()?;
        Some(session.handle().unwrap().to_u64())
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let mut session = self.0.load(&id.own).unwrap()?;
        let user: u64 = session.get("user_id").unwrap().expect("every session has it");
        let csrf = session.get::<&str>("csrf").unwrap().expect("every session has it").len() as u64;
        match change {
            Some(at) => {
                session.insert("seen_at", &at).unwrap();
                session.save().unwrap();
            }
            None => {
                session.touch().unwrap();
            }
        }
        Some(user + csrf)
    }

    fn fresh() -> Id {
        Lembro::fresh()
    }
}
