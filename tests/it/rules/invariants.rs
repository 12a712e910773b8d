//! The invariants of the crate documentation, in their order, one short test for each.
#![cfg(all(feature = "web", feature = "testing"))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use crate::support::session::{save_login, save_value};
use lembro::web::{Finished, RequestHead, SessionLayer};
use lembro::{
    Clock, Commit, Lease, LembroOptions, LembroStore, ManualClock, Outcome, Record, Saved, SessionId, Sessions, Store,
};

const MINUTE: Duration = Duration::from_secs(60);

struct Site {
    store: LembroStore,
    layer: SessionLayer,
    time: ManualClock,
}

fn site() -> Site {
    let time = Clock::manual();
    let store = LembroStore::with_options(LembroOptions::new().interval(0).max_size("64K").clock(&time)).unwrap();
    Site { layer: SessionLayer::new(store.clone()), store, time }
}

impl Site {
    /// A visitor who is logged in: the value of the Cookie header, and the id.
    fn visitor(&self) -> (String, SessionId) {
        let mut session = self.layer.load(RequestHead::default());
        session.insert("user", "ada").unwrap();
        let cookie = cookie(&self.layer.finish(&mut session).unwrap()).unwrap();
        let id = cookie["id=".len()..].parse().unwrap();
        (cookie, id)
    }
}

/// The cookie that a response sets, as the client will send it.
fn cookie(finished: &Finished) -> Option<String> {
    let text = finished.cookie()?;
    Some(text.split(';').next()?.to_owned())
}

#[test]
fn invariant_1_ids_from_clients_are_never_adopted() {
    let site = site();
    let made_up = SessionId::random().unwrap();
    let (_, expired) = site.visitor();
    site.time.advance(24 * 60 * MINUTE);
    for sent in [made_up.expose(), expired.expose(), "x".repeat(32), "../../etc/passwd".to_owned()] {
        let header = format!("id={sent}");
        let mut session = site.layer.load(RequestHead::new([&header]));
        session.insert("user", "mallory").unwrap();
        let given = cookie(&site.layer.finish(&mut session).unwrap()).unwrap();
        assert_ne!(given, header);
        assert!(site.store.get(&made_up).unwrap().is_none() && site.store.get(&expired).unwrap().is_none());
    }
}

#[test]
fn invariant_2_malformed_cookies_mean_no_session() {
    let site = site();
    let (right, _) = site.visitor();
    let large = format!("id={}", "A".repeat(1_000_000));
    let repeated = [&right[..20]; 50].join("; ");
    for header in ["id", "id=", "=;=;;", "id=%00%ff", &large, &repeated] {
        let mut session = site.layer.load(RequestHead::new([header]));
        assert!(session.is_new().unwrap());
        assert_eq!(site.layer.finish(&mut session).unwrap().cookie(), None);
    }
}

#[test]
fn invariant_3_destroyed_sessions_never_come_back() {
    let site = site();
    let (header, id) = site.visitor();
    let mut slow = site.layer.load(RequestHead::new([&header]));
    slow.insert("page", "/inbox").unwrap();
    let mut logout = site.layer.load(RequestHead::new([&header]));
    logout.log_out().unwrap();

    assert_eq!(site.store.touch(&id, &Lease::new(MINUTE)).unwrap(), Outcome::Gone);
    let finished = site.layer.finish(&mut slow).unwrap();
    assert_eq!((finished.saved(), finished.cookie()), (Saved::Gone, None));
    assert!(site.store.get(&id).unwrap().is_none());
    assert_eq!(site.store.len().unwrap(), 0);
}

#[test]
fn invariant_4_parallel_saves_all_survive() {
    let site = site();
    let (_, id) = site.visitor();
    let sessions = Sessions::new(site.store.clone());
    thread::scope(|scope| {
        for number in 0..8 {
            let sessions = &sessions;
            scope.spawn(move || {
                for round in 0..50 {
                    let mut session = sessions.load(&id).unwrap().unwrap();
                    save_value(&mut session, &format!("key {number} {round}"), &round);
                    session.modify("count", |count: &mut Option<u32>| *count.get_or_insert(0) += 1).unwrap().unwrap();
                }
            });
        }
    });
    let session = sessions.load(&id).unwrap().unwrap();
    // The user, the count, and the keys of all threads.
    assert_eq!((session.len().unwrap(), session.get("count").unwrap()), (402, Some(400)));
}

#[test]
fn invariant_5_user_code_runs_without_locks() {
    let site = site();
    let (_, id) = site.visitor();
    let sessions = Sessions::new(site.store.clone());
    let (done, finished) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut session = sessions.load(&id).unwrap().unwrap();
        let inner = sessions.clone();
        let result = session.modify("count", |count: &mut Option<u32>| {
            // Under a lock of the store, this call would deadlock.
            let mut other = inner.load(&id).unwrap().unwrap();
            if count.is_none() {
                save_value(&mut other, "count", &41);
            }
            *count = Some(count.unwrap_or(0) + 1);
        });
        done.send((result.unwrap(), session.get::<u32>("count").unwrap())).unwrap();
    });
    assert_eq!(finished.recv_timeout(Duration::from_secs(30)).expect("a deadlock"), (Some(()), Some(42)));
}

#[test]
fn invariant_6_bytes_are_exact_and_bounded() {
    let site = site();
    for number in 0..2_000_usize {
        let id = SessionId::derive(&(number % 700).to_string());
        let record: Record = [("data", "x".repeat(number * 37 % 900))].into_iter().collect();
        site.store.set(&id, record, MINUTE).unwrap();
        let version = site.store.get(&id).unwrap().unwrap().record.version();
        let mut commit = Commit::merge(version).unwrap();
        commit.changes.insert("", "more", &"y".repeat(number % 300)).unwrap();
        assert!(site.store.commit(&id, &commit, &Lease::new(MINUTE)).unwrap().is_done());
        assert!(site.store.bytes() <= 64 * 1024);
        site.store.validate().unwrap();
    }
    assert!(site.store.stats().evicted > 100);
    site.store.clear().unwrap();
    assert_eq!(site.store.bytes(), 0);
}

#[test]
fn invariant_7_expired_sessions_are_invisible_at_once() {
    let site = site();
    let (_, id) = site.visitor();
    site.time.advance(59 * MINUTE + Duration::from_nanos(59_999_999_999));
    assert!(site.store.get(&id).unwrap().is_some());
    site.time.advance(Duration::from_nanos(1));
    assert!(site.store.get(&id).unwrap().is_none());
    assert_eq!(site.store.stats().sessions, 1, "nothing has purged it");
}

#[test]
fn invariant_8_unchanged_requests_write_at_most_one_touch() {
    let site = site();
    let (header, _) = site.visitor();
    let before = site.store.stats();
    for _ in 0..12 {
        site.time.advance(MINUTE / 4);
        let mut session = site.layer.load(RequestHead::new([&header]));
        assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
        let looked = site.store.stats();
        assert_eq!(site.layer.finish(&mut session).unwrap().cookie(), None);
        assert_eq!(site.store.stats(), looked, "the end of a request writes nothing");
    }
    let after = site.store.stats();
    assert_eq!((after.touched - before.touched, after.saved, after.created), (3, before.saved, before.created));
}

#[test]
fn invariant_9_new_empty_sessions_are_not_stored() {
    let site = site();
    let mut session = site.layer.load(RequestHead::default());
    session.insert("gone", &1).unwrap();
    session.remove("gone").unwrap();
    let finished = site.layer.finish(&mut session).unwrap();
    assert_eq!((finished.saved(), finished.cookie()), (Saved::Unchanged, None));
    assert_eq!(site.store.len().unwrap(), 0);
}

#[test]
fn invariant_10_the_secret_is_only_in_the_cookie() {
    // `tests/it/source/secrets.rs` searches the whole public interface.
    let site = site();
    let (header, id) = site.visitor();
    let session = site.layer.load(RequestHead::new([&header]));
    session.is_new().unwrap();
    let printed = format!("{id:?} {session:?} {:?} {:?} {:?}", site.store, site.layer, RequestHead::new([&header]));
    assert!(printed.contains(&id.handle().to_string()));
    assert!(!printed.contains(&id.expose()[11..]));
}

#[test]
fn invariant_11_commits_are_atomic_with_the_id() {
    let site = site();
    let (_, id) = site.visitor();
    let sessions = Sessions::new(site.store.clone());
    let (mut login, mut beside) = (sessions.load(&id).unwrap().unwrap(), sessions.load(&id).unwrap().unwrap());
    save_value(&mut beside, "cart", "tea");
    login.log_in("user-42").unwrap();
    assert!(sessions.load(&id).unwrap().is_some(), "nothing has changed before the commit");
    assert_eq!(login.save().unwrap(), Saved::Written);
    assert!(sessions.load(&id).unwrap().is_none(), "the old id is dead");
    beside.insert("cart", "coffee").unwrap();
    assert_eq!(beside.save().unwrap(), Saved::Gone);
    let session = sessions.load(&login.id().unwrap()).unwrap().unwrap();
    assert_eq!((session.owner().unwrap(), session.get_str("cart").unwrap().as_deref()), (Some("user-42"), Some("tea")));
}

#[test]
fn invariant_12_panics_do_not_stop_the_server() {
    let site = site();
    let (header, _) = site.visitor();
    drop((site.store.events(), site.store.errors(), site.layer.events(), site.layer.errors()));
    let handler = || {
        let mut session = site.layer.load(RequestHead::new([&header]));
        session.insert("user", "mallory").unwrap();
        panic!("in a handler");
    };
    assert!(catch_unwind(AssertUnwindSafe(handler)).is_err());
    let mut session = site.layer.load(RequestHead::new([&header]));
    assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
    session.log_out().unwrap();
    assert!(site.layer.finish(&mut session).unwrap().cookie().is_some());
    site.store.validate().unwrap();
}

#[test]
fn invariant_13_anonymous_sessions_evict_no_owned_ones() {
    let site = site();
    let sessions = Sessions::new(site.store.clone());
    let mut owned = sessions.generate().unwrap();
    save_login(&mut owned, "user-42");
    for _ in 0..2_000 {
        site.visitor();
    }
    assert!(site.store.stats().evicted > 0);
    assert!(sessions.load(&owned.id().unwrap()).unwrap().is_some());
}

#[test]
fn invariant_14_get_returns_what_insert_accepted() {
    let site = site();
    let mut session = Sessions::new(site.store).generate().unwrap();
    for text in ["ada", "Ada \"Countess\"", "", "\u{0}\u{1F375}\\"] {
        session.insert("name", text).unwrap();
        assert_eq!(session.get::<String>("name").unwrap().as_deref(), Some(text));
        session.save().unwrap();
        assert_eq!(session.get_str("name").unwrap().as_deref(), Some(text));
    }
    session.insert("referrer", &None::<String>).unwrap();
    assert_eq!(session.get::<String>("referrer").unwrap(), None);
    session.insert("number", &u128::MAX).unwrap();
    assert!(session.insert("number", &f64::NAN).unwrap_err().is_value());
    assert!(session.insert("number", &Some(None::<u8>)).unwrap_err().is_value());
    assert_eq!(session.get::<u128>("number").unwrap(), Some(u128::MAX));
}

#[test]
fn invariant_15_refusals_write_nothing() {
    let site = site();
    let (_, id) = site.visitor();
    let sessions = Sessions::new(site.store.clone());
    let before = site.store.get(&id).unwrap().unwrap();
    let mut large = sessions.load(&id).unwrap().unwrap();
    large.log_in("user-42").unwrap();
    large.insert("big", &"x".repeat(1 << 20)).unwrap();
    let error = large.save().unwrap_err();
    assert!(error.is_size() && !error.is_unknown());
    let mut revoked = sessions.load(&id).unwrap().unwrap();
    let begun = sessions.owner("user-42").unwrap().epoch().unwrap();
    sessions.owner("user-42").unwrap().destroy_all().unwrap();
    revoked.log_in_since("user-42", begun).unwrap();
    assert_eq!(revoked.save().unwrap(), Saved::Gone);
    assert_eq!(site.store.get(&id).unwrap().unwrap(), before);
    assert_eq!(site.store.len().unwrap(), 1);
}
