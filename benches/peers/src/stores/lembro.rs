//! lembro, through its trait `Store`, as an application without the cookie layer uses it.

use std::time::Duration;

use lembro::{Commit, Lease, LembroOptions, LembroStore, Policy, Sessions, Store as _};

use super::{HOUR, Peer, Room};
use crate::work::{Data, Id};

/// How long a session lives, as the default policy has it; each visit prolongs it, as the peers do.
pub const LEASE: Lease = Lease { lifetime: Some(Duration::from_secs(24 * 60 * 60)), ..Lease::new(HOUR) };

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
    type Payload = Commit;

    fn new(room: Room) -> Self {
        match room {
            Room::Plenty => Self::holding(16 << 30),
            Room::For(sessions, sample) => Self::holding(sessions * Self::weight(&sample())),
        }
    }

    fn prepare(data: &Data) -> Commit {
        let mut commit = Commit::create().unwrap();
        let changes = &mut commit.changes;
        changes.insert("", "user_id", &data.user_id).unwrap();
        changes.insert("", "csrf", &data.csrf).unwrap();
        changes.insert("", "cart", &data.cart).unwrap();
        changes.insert("", "flash", &data.flash).unwrap();
        changes.insert("", "signed_in_at", &data.at).unwrap();
        changes.insert("", "seen_at", &data.at).unwrap();
        changes.insert("", "locale", data.locale).unwrap();
        commit
    }

    fn insert(&self, id: &Id, commit: Commit, ttl: Duration) {
        assert!(self.0.commit(&id.own, &commit, &Lease::new(ttl)).unwrap().is_done());
    }

    fn get(&self, id: &Id) -> Option<u64> {
        let stored = self.0.get(&id.own).unwrap()?;
        Some(stored.ttl.as_secs())
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let stored = self.0.visit(&id.own, &LEASE).unwrap().found()?;
        let user: u64 = stored.record.get("user_id").unwrap().expect("every session has it");
        let csrf = stored.record.get_str("csrf").unwrap().expect("every session has it");
        if let Some(at) = change {
            let mut commit = Commit::merge(stored.record.version()).unwrap();
            commit.changes.insert("", "seen_at", &at).unwrap();
            self.0.commit(&id.own, &commit, &LEASE).unwrap().receipt()?;
        }
        Some(user + csrf.len() as u64)
    }

    fn touch(&self, id: &Id, ttl: Duration) {
        assert!(self.0.touch(&id.own, &Lease::new(ttl)).unwrap().is_done());
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
    type Payload = Commit;

    fn new(room: Room) -> Self {
        // Each visit prolongs, as under `LEASE`.
        Self(Sessions::with_policy(Lembro::new(room).0, Policy::new().touch_after(Duration::ZERO)).unwrap())
    }

    fn prepare(data: &Data) -> Commit {
        Lembro::prepare(data)
    }

    fn insert(&self, id: &Id, commit: Commit, ttl: Duration) {
        assert!(self.0.store().commit(&id.own, &commit, &Lease::new(ttl)).unwrap().is_done());
    }

    fn get(&self, id: &Id) -> Option<u64> {
        let session = self.0.load(&id.own).unwrap()?;
        Some(session.handle().unwrap().to_u64())
    }

    fn cycle(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let mut session = self.0.load(&id.own).unwrap()?;
        let user: u64 = session.get("user_id").unwrap().expect("every session has it");
        let csrf = session.get_str("csrf").unwrap().expect("every session has it").len() as u64;
        if let Some(at) = change {
            session.insert("seen_at", &at).unwrap();
            session.save().unwrap();
        }
        Some(user + csrf)
    }

    fn create(&self, data: &Data) -> Id {
        let mut session = self.0.generate().unwrap();
        session.insert("user_id", &data.user_id).unwrap();
        session.insert("csrf", &data.csrf).unwrap();
        session.insert("cart", &data.cart).unwrap();
        session.insert("flash", &data.flash).unwrap();
        session.insert("signed_in_at", &data.at).unwrap();
        session.insert("seen_at", &data.at).unwrap();
        session.insert("locale", data.locale).unwrap();
        session.save().unwrap();
        Id::of(session.id().unwrap())
    }

    fn fresh() -> Id {
        Lembro::fresh()
    }
}
