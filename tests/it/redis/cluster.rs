//! Promise: on a cluster of three nodes a store keeps the whole contract, and its sessions are
//! spread over all of them.
#![cfg(feature = "testing")]

use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{SessionId, Store, testing};

use crate::redis::behind::{create, create_owned, owner};
use crate::redis::cluster_nodes::Cluster;

fn store(cluster: &Cluster) -> RedisStore {
    RedisStore::with_options(RedisOptions::new().cluster(cluster.urls()).timeout("5s")).unwrap()
}

#[test]
#[ignore = "needs a cluster; .ci/full runs it"]
fn a_store_on_a_cluster_keeps_the_contract() {
    let cluster = Cluster::start();
    let report = testing::check(Duration::from_millis(100), || {
        cluster.empty();
        store(&cluster)
    });
    println!("{report}");
    assert!(report.is_kept(), "{report}");
    // Rules that stop time.
    assert_eq!(report.skipped().count(), 6, "{report}");
}

#[test]
#[ignore = "needs a cluster; .ci/full runs it"]
fn the_sessions_of_one_owner_are_on_all_nodes_and_found_and_ended_from_any() {
    const LOGINS: usize = 120;
    let cluster = Cluster::start();
    let store = store(&cluster);
    let ids: Vec<SessionId> = (0..LOGINS).map(|_| create_owned(&store, "ada")).collect();
    for node in cluster.nodes() {
        let keys: usize = redis::cmd("DBSIZE").query(&mut node.connect()).unwrap();
        assert!(keys > LOGINS / 6, "{keys} keys on one of three nodes");
    }
    // Another process, which knows one of the nodes.
    let other = RedisStore::with_options(RedisOptions::new().cluster(&cluster.urls()[..1]).timeout("5s")).unwrap();
    assert_eq!(other.len().unwrap(), LOGINS);
    assert_eq!(other.all().unwrap().map(Result::unwrap).count(), LOGINS);
    let owners = other.owners().unwrap();
    assert_eq!(owners.count(&owner("ada")).unwrap(), LOGINS);
    assert_eq!(owners.destroy_all(&owner("ada"), Some(ids[7].handle())).unwrap(), LOGINS - 1);
    let left: Vec<bool> = ids.iter().map(|id| store.get(id).unwrap().is_some()).collect();
    assert_eq!(left.iter().filter(|there| **there).count(), 1);
    assert!(left[7]);
}

#[test]
#[ignore = "needs a cluster; .ci/full runs it"]
fn clearing_reaches_all_nodes() {
    let cluster = Cluster::start();
    let store = store(&cluster);
    for _ in 0..100 {
        create(&store);
    }
    store.clear().unwrap();
    assert_eq!(store.len().unwrap(), 0);
    for node in cluster.nodes() {
        let keys: usize = redis::cmd("DBSIZE").query(&mut node.connect()).unwrap();
        assert_eq!(keys, 0);
    }
}
