//! lembro: its store through the trait `Store`, and the same through `Sessions` and `Session`.

use std::time::Duration;

use lembro::{Commit, Lease, LembroOptions, LembroStore, Policy, Sessions, Store as _};

use crate::peer::{Capacity, Peer};
use crate::sessions::{Data, HOUR, Id};

/// The time rules of the default policy. Each visit prolongs, as it does for the peers.
pub const LEASE: Lease = Lease { lifetime: Some(Duration::from_secs(24 * 60 * 60)), ..Lease::new(HOUR) };

/// `LembroStore`, as an application without the cookie layer uses it.
#[derive(Debug)]
pub struct Lembro(LembroStore);

impl Lembro {
    fn with_max_size(bytes: usize) -> Self {
        // Without a reaper, because the purge is measured.
        let options = LembroOptions::new().max_size(bytes as u64).interval(0);
        Self(LembroStore::with_options(options).expect("valid options"))
    }
}

impl Peer for Lembro {
    const NAME: &'static str = "lembro";
    type Payload = Commit;

    fn new(capacity: Capacity) -> Self {
        let unlimited = Self::with_max_size(16 << 30);
        match capacity {
            Capacity::Unlimited => unlimited,
            Capacity::Sessions(sessions) => {
                unlimited.log_in(&Data::new(0));
                Self::with_max_size(sessions * unlimited.0.bytes())
            }
        }
    }

    fn prepare(data: &Data) -> Commit {
        let mut commit = Commit::create().unwrap();
        let changes = &mut commit.changes;
        changes.insert("", "user_id", &data.user_id).unwrap();
        changes.insert("", "csrf", &data.csrf).unwrap();
        changes.insert("", "cart", &data.cart).unwrap();
        changes.insert("", "flash", data.flash).unwrap();
        changes.insert("", "signed_in_at", &data.at).unwrap();
        changes.insert("", "seen_at", &data.at).unwrap();
        changes.insert("", "locale", data.locale).unwrap();
        commit
    }

    fn insert(&self, id: &Id, commit: Commit, ttl: Duration) {
        assert!(self.0.commit(&id.own, &commit, &Lease::new(ttl)).unwrap().is_done());
    }

    fn get(&self, id: &Id) -> Option<u64> {
        Some(self.0.get(&id.own).unwrap()?.ttl.as_secs())
    }

    fn request(&self, id: &Id, change: Option<u64>) -> Option<u64> {
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

    fn fresh() -> Id {
        Id::random()
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
}

/// `Sessions` and `Session` on the same store, as an application uses them.
#[derive(Debug)]
pub struct LembroSessions(Sessions);

impl Peer for LembroSessions {
    const NAME: &'static str = "lembro Session";
    type Payload = Commit;

    fn new(capacity: Capacity) -> Self {
        // Each visit prolongs, as under `LEASE`.
        let policy = Policy::new().touch_after(Duration::ZERO);
        Self(Sessions::with_policy(Lembro::new(capacity).0, policy).unwrap())
    }

    fn prepare(data: &Data) -> Commit {
        Lembro::prepare(data)
    }

    fn insert(&self, id: &Id, commit: Commit, ttl: Duration) {
        assert!(self.0.store().commit(&id.own, &commit, &Lease::new(ttl)).unwrap().is_done());
    }

    fn get(&self, id: &Id) -> Option<u64> {
        Some(self.0.load(&id.own).unwrap()?.handle().unwrap().to_u64())
    }

    fn request(&self, id: &Id, change: Option<u64>) -> Option<u64> {
        let mut session = self.0.load(&id.own).unwrap()?;
        let user: u64 = session.get("user_id").unwrap().expect("every session has it");
        let csrf = session.get_str("csrf").unwrap().expect("every session has it").len() as u64;
        if let Some(at) = change {
            session.insert("seen_at", &at).unwrap();
            session.save().unwrap();
        }
        Some(user + csrf)
    }

    fn fresh() -> Id {
        Id::random()
    }
}
