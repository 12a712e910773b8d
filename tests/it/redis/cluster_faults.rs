//! Promise: in a cluster, too, every request has an answer in time, slots may move, and nothing is
//! done twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Commit, SessionId, Store};

use crate::redis::behind::{done, lease, put, save};
use crate::redis::server::{Over, Server, soon, told};

const TIMEOUT: Duration = Duration::from_millis(800);
const IN_TIME: Duration = Duration::from_millis(800 + 80 + 250);

/// Two nodes with half of the slots each.
fn cluster() -> [Server; 2] {
    let nodes = [(), ()].map(|()| Server::with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "20000"]));
    for (node, slots) in nodes.iter().zip([["0", "8191"], ["8192", "16383"]]) {
        redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(&slots).exec(&mut node.connect()).unwrap();
    }
    redis::cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(nodes[1].port).exec(&mut nodes[0].connect()).unwrap();
    soon("the cluster is one", || {
        nodes.iter().all(|node| {
            let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut node.connect()).unwrap();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2")
        })
    });
    nodes
}

fn store_on(nodes: &[Server]) -> RedisStore {
    let options = RedisOptions::new().cluster(nodes.iter().map(Server::url)).timeout(TIMEOUT).retry_after("100ms");
    RedisStore::with_options(options).unwrap()
}

fn slot(node: &Server, id: &SessionId) -> u16 {
    let key = format!("{{{}}}", id.handle());
    redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query(&mut node.connect()).unwrap()
}

/// A stored session, and the numbers of the node that has it and of the other.
fn create(nodes: &[Server], store: &RedisStore) -> (SessionId, usize, usize) {
    let id = crate::redis::behind::create(store);
    if slot(&nodes[0], &id) <= 8191 { (id, 0, 1) } else { (id, 1, 0) }
}

fn is_there(store: &RedisStore, id: &SessionId) -> bool {
    store.get(id).unwrap_or_else(|error| panic!("{}", told(&error))).is_some()
}

fn set_slot(node: &Server, slot: u16, words: &[&str]) {
    redis::cmd("CLUSTER").arg("SETSLOT").arg(slot).arg(words).exec(&mut node.connect()).unwrap();
}

#[test]
fn a_session_is_found_while_its_slot_moves_and_when_it_has_moved() {
    let nodes = cluster();
    let store = store_on(&nodes);
    let (id, from, to) = create(&nodes, &store);
    let names = [0, 1]
        .map(|node: usize| -> String { redis::cmd("CLUSTER").arg("MYID").query(&mut nodes[node].connect()).unwrap() });
    let slot = slot(&nodes[0], &id);
    set_slot(&nodes[to], slot, &["IMPORTING", &names[from]]);
    set_slot(&nodes[from], slot, &["MIGRATING", &names[to]]);
    assert!(is_there(&store, &id), "it has not moved yet");
    let mut link = nodes[from].connect();
    let keys: Vec<String> = redis::cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(10).query(&mut link).unwrap();
    for key in keys {
        let target = ["127.0.0.1".to_owned(), nodes[to].port.to_string(), key];
        redis::cmd("MIGRATE").arg(&target).arg(0).arg(1_000).exec(&mut link).unwrap();
    }
    // The old node sends whoever asks to the new one, for this once.
    assert!(is_there(&store, &id));
    assert!(store.touch(&id, &lease()).unwrap().is_done());
    set_slot(&nodes[to], slot, &["NODE", &names[to]]);
    set_slot(&nodes[from], slot, &["NODE", &names[to]]);
    assert!(is_there(&store, &id));
    assert!(is_there(&store, &id));
    assert!(store.destroy(&id).unwrap().is_done());
}

#[test]
fn a_node_that_hangs_ends_in_time_and_the_others_go_on() {
    let nodes = cluster();
    let store = store_on(&nodes);
    let (id, its, other) = create(&nodes, &store);
    let elsewhere = loop {
        let (id, node, _) = create(&nodes, &store);
        if node == other {
            break id;
        }
    };
    let frozen = nodes[its].freeze();
    for _ in 0..4 {
        let began = Instant::now();
        assert!(store.get(&id).unwrap_err().is_store());
        assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
        soon("the other node answers", || store.get(&elsewhere).is_ok_and(|found| found.is_some()));
    }
    drop(frozen);
    soon("it works again by itself", || store.get(&id).is_ok_and(|found| found.is_some()));
}

#[test]
fn no_commit_is_carried_out_twice_when_connections_break() {
    let nodes = cluster();
    let store = store_on(&nodes);
    let (id, its, _) = create(&nodes, &store);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let mut link = nodes[its].connect();
                redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).exec(&mut link).unwrap();
                thread::sleep(Duration::from_millis(3));
            }
        });
        let mut failed = 0;
        for round in 0..300 {
            // No other request writes: to meet another version is to have met oneself.
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
fn a_commit_that_has_no_answer_is_unknown_and_its_repeat_tells() {
    let nodes = cluster();
    let store = store_on(&nodes);
    let (id, its, _) = create(&nodes, &store);
    let version = store.get(&id).unwrap().unwrap().record.version();
    let commit = Commit::merge(version).unwrap().with(put("key", "new"));
    let frozen = nodes[its].freeze();
    assert!(store.commit(&id, &commit, &lease()).unwrap_err().is_unknown());
    drop(frozen);
    soon("it works again by itself", || store.get(&id).is_ok());
    done(store.commit(&id, &commit.repeated(), &lease()).unwrap());
    let record = store.get(&id).unwrap().unwrap().record;
    assert_eq!(record.version().to_u64() - version.to_u64(), 1, "carried out once");
    done(save(&store, &id, &put("key", "newer"), version).unwrap());
}
