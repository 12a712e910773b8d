//! Promise: an owner has as many sessions as the limit allows, whatever became of the logins
//! before.
#![cfg(feature = "testing")]

use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{
    AtLimit, Clock, Commit, EndReason, Identity, Lease, Limit, Login, ManualClock, Outcome, SessionId, Store, Version,
};

use crate::redis::behind::{HOUR, done, lease, owner, with};
use crate::redis::server::Server;

const SECOND: Duration = Duration::from_secs(1);

fn store(server: &Server) -> (RedisStore, ManualClock) {
    let clock = Clock::manual();
    (with(server, RedisOptions::new().clock(&clock)), clock)
}

/// A login of ada's.
fn at_most(max: usize, at_limit: AtLimit) -> Login {
    Login { limit: Some(Limit { max, at_limit }), ..Login::new(owner("ada")) }
}

/// A new session that begins with a login.
fn create(store: &RedisStore, login: Login) -> (SessionId, Outcome) {
    let id = SessionId::random().unwrap();
    (id, store.commit(&id, &Commit::create().unwrap().log_in(login), &lease()).unwrap())
}

fn is_there(store: &RedisStore, id: &SessionId) -> bool {
    store.get(id).unwrap().is_some()
}

#[test]
fn beyond_the_limit_the_one_that_logged_in_first_is_ended_and_told_why() {
    let server = Server::start();
    let (store, clock) = store(&server);
    let owners = store.owners().unwrap();
    let [first, second] = [(), ()].map(|()| {
        clock.advance(SECOND);
        create(&store, at_most(2, AtLimit::EndOldest)).0
    });
    // The first logs in once more: now the second is the oldest.
    clock.advance(SECOND);
    let (first, outcome) = crate::redis::behind::log_in(&store, &first, at_most(2, AtLimit::EndOldest)).unwrap();
    done(outcome);
    assert!(is_there(&store, &second), "the session that logs in counts once");
    // Even if the calendar was set back.
    clock.set_wall(Clock::from(&clock).wall() - 100 * SECOND);
    let (third, _) = create(&store, at_most(2, AtLimit::EndOldest));
    assert_eq!([first, second, third].map(|id| is_there(&store, &id)), [true, false, true]);
    assert_eq!(owners.why_ended(&second).unwrap(), Some(EndReason::Limit));
    let (fourth, _) = create(&store, at_most(1, AtLimit::EndOldest));
    assert_eq!([first, third, fourth].map(|id| is_there(&store, &id)), [false, false, true]);
    assert_eq!(owners.count(&owner("ada")).unwrap(), 1);
}

#[test]
fn a_login_that_is_refused_leaves_everything_as_it_is() {
    let server = Server::start();
    let (store, _clock) = store(&server);
    let (first, _) = create(&store, at_most(1, AtLimit::RefuseNewest));
    let anonymous = crate::redis::behind::create(&store);
    let before = store.get(&anonymous).unwrap().unwrap().record;
    for _ in 0..3 {
        assert_eq!(create(&store, at_most(1, AtLimit::RefuseNewest)).1, Outcome::AtLimit);
        let (new, outcome) =
            crate::redis::behind::log_in(&store, &anonymous, at_most(1, AtLimit::RefuseNewest)).unwrap();
        assert_eq!(outcome, Outcome::AtLimit);
        assert!(!is_there(&store, &new));
    }
    let stored = store.get(&anonymous).unwrap().unwrap();
    assert_eq!((stored.record.version(), &stored.record), (before.version(), &before));
    assert!(is_there(&store, &first));
}

#[test]
fn sessions_that_ended_expired_or_are_another_owners_do_not_count() {
    let server = Server::start();
    let (store, clock) = store(&server);
    let login = || at_most(1, AtLimit::RefuseNewest);
    let (id, _) = create(&store, login());
    done(store.destroy(&id).unwrap());
    let (id, outcome) = create(&store, login());
    done(outcome);
    let (_, outcome) = crate::redis::behind::log_in(&store, &id, Login::new(owner("bob"))).unwrap();
    done(outcome);
    done(create(&store, login()).1);
    clock.advance(HOUR);
    done(create(&store, login()).1);
    assert_eq!(create(&store, login()).1, Outcome::AtLimit);
    assert_eq!(store.owners().unwrap().destroy_all(&owner("ada"), None).unwrap(), 1);
    done(create(&store, login()).1);
}

#[test]
fn a_login_that_is_not_carried_out_keeps_no_place() {
    let server = Server::start();
    let (store, _clock) = store(&server);
    let id = SessionId::random().unwrap();
    let new = Identity::Replace(id.renewed(&SessionId::random().unwrap()));
    let commit =
        Commit::merge(Version::from_u64(1 << 32)).unwrap().identity(new).log_in(at_most(1, AtLimit::EndOldest));
    assert_eq!(store.commit(&id, &commit, &lease()).unwrap(), Outcome::Gone);
    let (first, outcome) = create(&store, at_most(1, AtLimit::RefuseNewest));
    done(outcome);
    // Nor does it end a session, or take the place of the one that it is about.
    let again = store.commit(&id, &commit, &lease()).unwrap();
    assert_eq!(again, Outcome::Gone);
    let new = Identity::Replace(first.renewed(&SessionId::random().unwrap()));
    let stale = Commit::merge(Version::from_u64(1 << 32)).unwrap().identity(new).log_in(at_most(1, AtLimit::EndOldest));
    assert_eq!(store.commit(&first, &stale, &lease()).unwrap(), Outcome::Gone);
    assert!(is_there(&store, &first));
    assert_eq!(create(&store, at_most(1, AtLimit::RefuseNewest)).1, Outcome::AtLimit);
    assert_eq!(store.owners().unwrap().destroy_all(&owner("ada"), None).unwrap(), 1);
}

#[test]
fn a_place_is_kept_for_half_a_minute_for_a_login_whose_process_died() {
    let server = Server::start();
    let (store, clock) = store(&server);
    done(create(&store, Login::new(owner("bob"))).1);
    // As its script leaves it.
    let key = "lembro:{owner:616461}:logins";
    redis::cmd("HSET").arg(key).arg("AAAAAAAAAAA").arg("r1000000000000:").exec(&mut server.connect()).unwrap();
    assert_eq!(create(&store, at_most(1, AtLimit::RefuseNewest)).1, Outcome::AtLimit);
    clock.advance(29 * SECOND);
    assert_eq!(create(&store, at_most(1, AtLimit::RefuseNewest)).1, Outcome::AtLimit);
    clock.advance(2 * SECOND);
    done(create(&store, at_most(1, AtLimit::RefuseNewest)).1);
}

#[test]
fn a_process_that_died_before_it_ended_the_surplus_leaves_that_to_the_next_login() {
    let server = Server::start();
    let (store, clock) = store(&server);
    let (first, _) = create(&store, at_most(2, AtLimit::EndOldest));
    clock.advance(SECOND);
    // As its script leaves it.
    let key = "lembro:{owner:616461}:logins";
    let handle = first.handle().to_string();
    redis::cmd("HSET").arg(key).arg(handle).arg("x1000000001000").exec(&mut server.connect()).unwrap();
    assert!(is_there(&store, &first));
    let (second, _) = create(&store, at_most(2, AtLimit::EndOldest));
    assert_eq!([first, second].map(|id| is_there(&store, &id)), [false, true]);
    assert_eq!(store.owners().unwrap().why_ended(&first).unwrap(), Some(EndReason::Limit));
}

#[test]
fn a_renewal_whose_id_was_not_presented_yet_is_told_why_it_ended_under_both_ids() {
    let server = Server::start();
    let (store, _clock) = store(&server);
    let (id, outcome) = create(&store, Login::new(owner("ada")));
    let renewing = Lease { renew_after: Some(Duration::ZERO), grace: Duration::ZERO, ..lease() };
    let renew = Commit::merge(done(outcome).version).unwrap().identity(Identity::Renew(7));
    let new = done(store.commit(&id, &renew, &renewing).unwrap()).announce.unwrap();
    let owners = store.owners().unwrap();
    assert_eq!(owners.destroy_handle(id.handle(), Some(&owner("bob")), EndReason::Named).unwrap(), Outcome::Gone);
    done(owners.destroy_handle(id.handle(), Some(&owner("ada")), EndReason::Named).unwrap());
    for id in [id, new] {
        assert_eq!(owners.why_ended(&id).unwrap(), Some(EndReason::Named));
    }
    assert_eq!(owners.why_ended(&id.renewed(&SessionId::random().unwrap())).unwrap(), None, "a guess");
}
