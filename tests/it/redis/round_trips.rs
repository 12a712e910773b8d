//! Round trips: one for a look, one for a commit, two for a login.

use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{AtLimit, Commit, Identity, Lease, Limit, Login, SessionId, Store};

use crate::redis::fixture::{
    HOUR, create, create_owned, done, key_of, lease, log_in, owner, put, renewed, save, version_of,
};
use crate::redis::server::Server;
use crate::redis::server::proxy::Proxy;

/// A store with an open connection, on a server that knows the scripts.
fn warm() -> (Server, Proxy, RedisStore) {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let options = RedisOptions::new().url(network.url()).connections(1).timeout("10s");
    let store = RedisStore::with_options(options).unwrap();
    for _ in 0..2 {
        let id = create(&store);
        done(save(&store, &id, &put("n", "1"), version_of(&store, &id)).unwrap());
        assert!(store.visit(&id, &lease()).unwrap().found().is_some());
        done(store.touch(&id, &lease()).unwrap());
        let limit = Some(Limit { max: 1, at_limit: AtLimit::EndOldest });
        done(log_in(&store, &id, Login { limit, ..Login::new(owner("warm")) }).unwrap().1);
        create_owned(&store, "warm");
    }
    store.owners().unwrap().destroy_all(&owner("warm"), None).unwrap();
    done(store.destroy(&create(&store)).unwrap());
    (server, network, store)
}

#[test]
fn looks_and_commits_cost_one_round_trip_each() {
    let (_server, network, store) = warm();
    for id in [create(&store), create_owned(&store, "ada")] {
        // Each visit prolongs, so each writes.
        let (found, cost) = network.cost(|| store.visit(&id, &Lease::new(HOUR / 2)).unwrap().found().unwrap());
        assert_eq!(cost, 1, "to visit");
        let version = found.record.version();
        let merge = Commit::merge(version).unwrap().with(put("seen", "1")).with_identity(Identity::Renew(1));
        let renewing = Lease { renew_after: Some(Duration::ZERO), grace: Duration::ZERO, ..lease() };
        let (receipt, cost) = network.cost(|| done(store.commit(&id, &merge, &renewing).unwrap()));
        assert_eq!(cost, 1, "to commit");
        let id = receipt.announce.unwrap_or(id);
        let (found, cost) = network.cost(|| store.visit(&id, &lease()).unwrap().found().is_some());
        assert_eq!((found, cost), (true, 1), "to confirm a new id");
        assert_eq!(network.cost(|| store.get(&id).unwrap().is_some()), (true, 1), "to peek");
        assert_eq!(network.cost(|| store.touch(&id, &lease()).unwrap().is_done()), (true, 1), "to touch");
        assert_eq!(network.cost(|| store.destroy(&id).unwrap().is_done()), (true, 1), "to log out");
        assert_eq!(
            network.cost(|| store.visit(&id, &lease()).unwrap().found().is_none()),
            (true, 1),
            "to find nothing"
        );
    }
    assert_eq!(network.cost(|| create(&store)).1, 1, "to begin");
}

/// The visit is the third round trip of a login.
#[test]
fn login_costs_two_round_trips_and_a_limit_two_more() {
    let (_server, network, store) = warm();
    assert_eq!(network.cost(|| create_owned(&store, "ada")).1, 2, "to begin with a login");
    let (anonymous, limit) = (create(&store), Some(Limit { max: 1, at_limit: AtLimit::EndOldest }));
    let log_in = |id: &SessionId, limit| {
        let new = renewed(id);
        let login = Login { limit, ..Login::new(owner("ada")) };
        let commit = Commit::merge(version_of(&store, id)).unwrap().with_identity(Identity::Replace(new)).log_in(login);
        let (receipt, cost) = network.cost(|| done(store.commit(id, &commit, &lease()).unwrap()));
        (receipt.announce.unwrap(), cost)
    };
    let (id, cost) = log_in(&anonymous, None);
    assert_eq!(cost, 2, "to log in");
    let (id, cost) = log_in(&id, limit);
    assert_eq!(cost, 4, "to log in where another session has to end");
    assert_eq!(store.owners().unwrap().count(&owner("ada")).unwrap(), 1);
    let (id, cost) = log_in(&id, limit);
    assert_eq!(cost, 2, "to log in within the limit");
    let (ended, cost) = network.cost(|| store.owners().unwrap().destroy_all(&owner("ada"), None).unwrap());
    assert_eq!((ended, cost), (1, 3));
    assert!(store.get(&id).unwrap().is_none());
}

/// Marks the login of a session as unconfirmed, as a cluster stores it.
fn unconfirm(server: &Server, id: &SessionId) {
    let mut meta: Vec<u8> = server.query(&["HGET", &key_of(id), "m"]);
    assert_eq!(meta[1], b's');
    meta[1] = b'u';
    redis::cmd("HSET").arg(key_of(id)).arg("m").arg(meta).exec(&mut server.connect()).unwrap();
}

#[test]
fn unconfirmed_login_is_checked_once() {
    let (server, network, store) = warm();
    let id = create_owned(&store, "ada");
    // In the first round the server does not know all scripts.
    for expected in [6, 4] {
        unconfirm(&server, &id);
        let (found, cost) = network.cost(|| store.visit(&id, &lease()).unwrap().found().is_some());
        assert_eq!((found, cost), (true, expected));
    }
    let (found, cost) = network.cost(|| store.visit(&id, &lease()).unwrap().found().is_some());
    assert!(found && cost == 1, "{cost}");
    // If the owner logged out everywhere, any look ends the session.
    let looks: [fn(&RedisStore, &SessionId) -> bool; 4] = [
        |store, id| store.visit(id, &lease()).unwrap().found().is_some(),
        |store, id| store.get(id).unwrap().is_some(),
        |store, id| store.touch(id, &lease()).unwrap().is_done(),
        |store, _| store.owners().unwrap().list(&owner("ada")).unwrap().len() > 1,
    ];
    for is_found in looks {
        let id = create_owned(&store, "ada");
        unconfirm(&server, &id);
        let epoch = store.owners().unwrap().epoch(&owner("ada")).unwrap().to_u64() + 1;
        server.run(&["SET", "lembro:{owner:616461}:epoch", &epoch.to_string()]);
        assert!(!is_found(&store, &id));
        assert!(!server.query::<bool>(&["EXISTS", &key_of(&id)]));
    }
}
