//! A cluster: sessions are spread over all nodes, hash slots may move, and every request ends in
//! time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Commit, SessionId, Store};

use crate::redis::fixture::{create, create_owned, done, is_live, key_of, lease, owner, put, save, version_of};
use crate::redis::server::cluster::Cluster;
use crate::redis::server::{Server, StopOnDrop, soon};

const TIMEOUT: Duration = Duration::from_millis(800);
const IN_TIME: Duration = Duration::from_millis(800 + 80 + 250);

fn store_on(urls: &[String], timeout: Duration) -> RedisStore {
    RedisStore::with_options(RedisOptions::new().cluster(urls).timeout(timeout).retry_after("100ms")).unwrap()
}

fn two_nodes() -> (Cluster, RedisStore) {
    let cluster = Cluster::start(2);
    let store = store_on(&cluster.urls(), TIMEOUT);
    (cluster, store)
}

fn slot(node: &Server, id: &SessionId) -> u16 {
    node.query(&["CLUSTER", "KEYSLOT", &key_of(id)])
}

/// Creates a session. Returns its id, and the positions of its node and of the other one.
fn create_on(cluster: &Cluster, store: &RedisStore) -> (SessionId, usize, usize) {
    let id = create(store);
    if slot(&cluster.nodes[0], &id) < 8192 { (id, 0, 1) } else { (id, 1, 0) }
}

#[test]
#[ignore = "takes long; .ci/full runs it"]
#[cfg(feature = "testing")]
fn contract_on_a_cluster() {
    let cluster = Cluster::start(3);
    super::contract::assert_kept(Duration::from_millis(100), super::contract::REAL_TIME_SKIPS, || {
        cluster.empty();
        store_on(&cluster.urls(), Duration::from_secs(5))
    });
}

#[test]
#[ignore = "takes long; .ci/full runs it"]
fn owner_sessions_spread_over_all_nodes() {
    const LOGINS: usize = 120;
    let cluster = Cluster::start(3);
    let store = store_on(&cluster.urls(), Duration::from_secs(5));
    let ids: Vec<SessionId> = (0..LOGINS).map(|_| create_owned(&store, "ada")).collect();
    for node in &cluster.nodes {
        let keys: usize = node.query(&["DBSIZE"]);
        assert!(keys > LOGINS / 6, "{keys} keys on one of three nodes");
    }
    // Another process whose options name one node only.
    let other = store_on(&cluster.urls()[..1], Duration::from_secs(5));
    assert_eq!(other.len().unwrap(), LOGINS);
    assert_eq!(other.all().unwrap().map(Result::unwrap).count(), LOGINS);
    let owners = other.owners().unwrap();
    assert_eq!(owners.count(&owner("ada")).unwrap(), LOGINS);
    assert_eq!(owners.destroy_all(&owner("ada"), Some(ids[7].handle())).unwrap(), LOGINS - 1);
    let live: Vec<_> = ids.iter().filter(|id| is_live(&store, id)).collect();
    assert_eq!(live, [&ids[7]]);
}

#[test]
#[ignore = "takes long; .ci/full runs it"]
fn clear_reaches_all_nodes() {
    let cluster = Cluster::start(3);
    let store = store_on(&cluster.urls(), Duration::from_secs(5));
    for _ in 0..100 {
        create(&store);
    }
    store.clear().unwrap();
    assert_eq!(store.len().unwrap(), 0);
    assert!(cluster.nodes.iter().all(|node| node.query::<usize>(&["DBSIZE"]) == 0));
}

#[test]
fn session_is_found_while_its_slot_moves() {
    let (cluster, store) = two_nodes();
    let (id, from, to) = create_on(&cluster, &store);
    let (from, to) = (&cluster.nodes[from], &cluster.nodes[to]);
    let name = |node: &Server| node.query::<String>(&["CLUSTER", "MYID"]);
    let slot = slot(from, &id).to_string();
    let set_slot = |node: &Server, state, name: &str| node.run(&["CLUSTER", "SETSLOT", &slot, state, name]);
    set_slot(to, "IMPORTING", &name(from));
    set_slot(from, "MIGRATING", &name(to));
    assert!(is_live(&store, &id), "before it moved");
    for key in from.query::<Vec<String>>(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]) {
        from.run(&["MIGRATE", "127.0.0.1", &to.port.to_string(), &key, "0", "1000"]);
    }
    // The old node redirects each request once.
    assert!(is_live(&store, &id));
    done(store.touch(&id, &lease()).unwrap());
    set_slot(to, "NODE", &name(to));
    set_slot(from, "NODE", &name(to));
    assert!(is_live(&store, &id));
    assert!(is_live(&store, &id));
    done(store.destroy(&id).unwrap());
}

#[test]
fn hanging_node_fails_in_time_and_others_serve() {
    let (cluster, store) = two_nodes();
    let (id, its, other) = create_on(&cluster, &store);
    let elsewhere = loop {
        let (id, node, _) = create_on(&cluster, &store);
        if node == other {
            break id;
        }
    };
    let frozen = cluster.nodes[its].freeze();
    for _ in 0..4 {
        let began = Instant::now();
        assert!(store.get(&id).unwrap_err().is_store());
        assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
        soon("the other node answers", || store.get(&elsewhere).is_ok_and(|found| found.is_some()));
    }
    drop(frozen);
    soon("the store recovers", || store.get(&id).is_ok_and(|found| found.is_some()));
}

#[test]
fn race_broken_connections_never_commit_twice() {
    let (cluster, store) = two_nodes();
    let (id, its, _) = create_on(&cluster, &store);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopOnDrop(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                cluster.nodes[its].close_connections();
                thread::sleep(Duration::from_millis(3));
            }
        });
        let mut failed = 0;
        for round in 0..300 {
            // No other thread writes, so another version could only be this thread's own.
            let Ok(Some(stored)) = store.get(&id) else { continue };
            let commit = Commit::exactly(stored.record.version()).unwrap().with(put("round", &round.to_string()));
            match store.commit(&id, &commit, &lease()) {
                Ok(outcome) => drop(done(outcome)),
                Err(_) => failed += 1,
            }
        }
        println!("{failed} commits had no answer");
    });
}

#[test]
fn unanswered_commit_on_cluster_is_unknown() {
    let (cluster, store) = two_nodes();
    let (id, its, _) = create_on(&cluster, &store);
    let version = version_of(&store, &id);
    let commit = Commit::merge(version).unwrap().with(put("key", "new"));
    let frozen = cluster.nodes[its].freeze();
    assert!(store.commit(&id, &commit, &lease()).unwrap_err().is_unknown());
    drop(frozen);
    soon("the store recovers", || store.get(&id).is_ok());
    done(store.commit(&id, &commit.repeated(), &lease()).unwrap());
    assert_eq!(version_of(&store, &id).to_u64() - version.to_u64(), 1, "carried out once");
    done(save(&store, &id, &put("key", "newer"), version).unwrap());
}
