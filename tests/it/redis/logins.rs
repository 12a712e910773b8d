//! The limit on an owner's sessions, and the slots that logins take under it.
#![cfg(feature = "testing")]

use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{
    AtLimit, Clock, Commit, EndReason, Identity, Lease, Limit, Login, ManualClock, Outcome, SessionId, Store, Version,
};

use crate::redis::fixture::{
    self, HOUR, create_logged_in, done, is_live, lease, log_in, new_id, owner, renewed, served_with,
};
use crate::redis::server::Server;

const SECOND: Duration = Duration::from_secs(1);

fn served() -> (Server, RedisStore, ManualClock) {
    let clock = Clock::manual();
    let (server, store) = served_with(RedisOptions::new().clock(&clock));
    (server, store, clock)
}

/// A login of ada with a limit.
fn at_most(max: usize, at_limit: AtLimit) -> Login {
    Login { limit: Some(Limit { max, at_limit }), ..Login::new(owner("ada")) }
}

/// Creates a session by a login.
fn create(store: &RedisStore, login: Login) -> (SessionId, Outcome) {
    let id = new_id();
    (id, create_logged_in(store, &id, login))
}

#[test]
fn over_the_limit_the_oldest_login_is_ended() {
    let (_server, store, clock) = served();
    let owners = store.owners().unwrap();
    let [first, second] = [(), ()].map(|()| {
        clock.advance(SECOND);
        create(&store, at_most(2, AtLimit::EndOldest)).0
    });
    // The first session logs in again, so the second login is the oldest.
    clock.advance(SECOND);
    let (first, outcome) = log_in(&store, &first, at_most(2, AtLimit::EndOldest)).unwrap();
    done(outcome);
    assert!(is_live(&store, &second), "the session that logs in counts once");
    // The order stays if the calendar is set back.
    clock.set_wall(Clock::from(&clock).wall() - 100 * SECOND);
    let (third, _) = create(&store, at_most(2, AtLimit::EndOldest));
    assert_eq!([first, second, third].map(|id| is_live(&store, &id)), [true, false, true]);
    assert_eq!(owners.end_reason(&second).unwrap(), Some(EndReason::Limit));
    let (fourth, _) = create(&store, at_most(1, AtLimit::EndOldest));
    assert_eq!([first, third, fourth].map(|id| is_live(&store, &id)), [false, false, true]);
    assert_eq!(owners.count(&owner("ada")).unwrap(), 1);
}

#[test]
fn refused_login_changes_nothing() {
    let (_server, store, _clock) = served();
    let (first, _) = create(&store, at_most(1, AtLimit::RefuseNewest));
    let anonymous = fixture::create(&store);
    let before = store.get(&anonymous).unwrap().unwrap().record;
    for _ in 0..3 {
        assert_eq!(create(&store, at_most(1, AtLimit::RefuseNewest)).1, Outcome::AtLimit);
        let (new, outcome) = log_in(&store, &anonymous, at_most(1, AtLimit::RefuseNewest)).unwrap();
        assert_eq!(outcome, Outcome::AtLimit);
        assert!(!is_live(&store, &new));
    }
    let stored = store.get(&anonymous).unwrap().unwrap();
    assert_eq!((stored.record.version(), &stored.record), (before.version(), &before));
    assert!(is_live(&store, &first));
}

#[test]
fn only_live_sessions_of_the_owner_count() {
    let (_server, store, clock) = served();
    let login = || at_most(1, AtLimit::RefuseNewest);
    let (id, _) = create(&store, login());
    done(store.destroy(&id).unwrap());
    let (id, outcome) = create(&store, login());
    done(outcome);
    let (_, outcome) = log_in(&store, &id, Login::new(owner("bob"))).unwrap();
    done(outcome);
    done(create(&store, login()).1);
    clock.advance(HOUR);
    done(create(&store, login()).1);
    assert_eq!(create(&store, login()).1, Outcome::AtLimit);
    assert_eq!(store.owners().unwrap().destroy_all(&owner("ada"), None).unwrap(), 1);
    done(create(&store, login()).1);
}

#[test]
fn failed_login_keeps_no_slot() {
    let (_server, store, _clock) = served();
    let id = new_id();
    let new = Identity::Replace(renewed(&id));
    let commit =
        Commit::merge(Version::from_u64(1 << 32)).unwrap().with_identity(new).log_in(at_most(1, AtLimit::EndOldest));
    assert_eq!(store.commit(&id, &commit, &lease()).unwrap(), Outcome::Gone);
    let (first, outcome) = create(&store, at_most(1, AtLimit::RefuseNewest));
    done(outcome);
    // Nor does it end a session, or take the slot of its own session.
    let again = store.commit(&id, &commit, &lease()).unwrap();
    assert_eq!(again, Outcome::Gone);
    let new = Identity::Replace(renewed(&first));
    let stale =
        Commit::merge(Version::from_u64(1 << 32)).unwrap().with_identity(new).log_in(at_most(1, AtLimit::EndOldest));
    assert_eq!(store.commit(&first, &stale, &lease()).unwrap(), Outcome::Gone);
    assert!(is_live(&store, &first));
    assert_eq!(create(&store, at_most(1, AtLimit::RefuseNewest)).1, Outcome::AtLimit);
    assert_eq!(store.owners().unwrap().destroy_all(&owner("ada"), None).unwrap(), 1);
}

#[test]
fn reservation_of_a_dead_process_expires() {
    let (server, store, clock) = served();
    done(create(&store, Login::new(owner("bob"))).1);
    // A slot reserved by OWNER_ADD.
    server.run(&["HSET", "lembro:{owner:616461}:logins", "AAAAAAAAAAA", "r1000000000000:"]);
    assert_eq!(create(&store, at_most(1, AtLimit::RefuseNewest)).1, Outcome::AtLimit);
    clock.advance(29 * SECOND);
    assert_eq!(create(&store, at_most(1, AtLimit::RefuseNewest)).1, Outcome::AtLimit);
    clock.advance(2 * SECOND);
    done(create(&store, at_most(1, AtLimit::RefuseNewest)).1);
}

#[test]
fn next_login_ends_the_surplus_of_a_dead_process() {
    let (server, store, clock) = served();
    let (first, _) = create(&store, at_most(2, AtLimit::EndOldest));
    clock.advance(SECOND);
    // A slot taken by OWNER_ADD.
    let handle = first.handle().to_string();
    server.run(&["HSET", "lembro:{owner:616461}:logins", &handle, "x1000000001000"]);
    assert!(is_live(&store, &first));
    let (second, _) = create(&store, at_most(2, AtLimit::EndOldest));
    assert_eq!([first, second].map(|id| is_live(&store, &id)), [false, true]);
    assert_eq!(store.owners().unwrap().end_reason(&first).unwrap(), Some(EndReason::Limit));
}

#[test]
fn end_reason_is_known_under_both_ids_of_a_renewal() {
    let (_server, store, _clock) = served();
    let (id, outcome) = create(&store, Login::new(owner("ada")));
    let renewing = Lease { renew_after: Some(Duration::ZERO), grace: Duration::ZERO, ..lease() };
    let renew = Commit::merge(done(outcome).version).unwrap().with_identity(Identity::Renew(7));
    let new = done(store.commit(&id, &renew, &renewing).unwrap()).announce.unwrap();
    let owners = store.owners().unwrap();
    assert_eq!(owners.destroy_handle(id.handle(), Some(&owner("bob")), EndReason::Revoked).unwrap(), Outcome::Gone);
    done(owners.destroy_handle(id.handle(), Some(&owner("ada")), EndReason::Revoked).unwrap());
    for id in [id, new] {
        assert_eq!(owners.end_reason(&id).unwrap(), Some(EndReason::Revoked));
    }
    assert_eq!(owners.end_reason(&renewed(&id)).unwrap(), None, "a guess");
}
