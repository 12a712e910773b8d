//! A real cluster of three nodes on this machine, for one test, which ends with it.

use std::thread;
use std::time::{Duration, Instant};

use super::server::Server;

/// A third of the 16,384 slots for each node.
const SLOTS: [std::ops::Range<u16>; 3] = [0..5461, 5461..10922, 10922..16384];

pub(crate) struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        // The bus listens 10,000 ports further on. A node whose port is too high for that does not start, and another is tried.
        let node = |_| Server::with(&["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]);
        let cluster = Self { nodes: (0..SLOTS.len()).map(node).collect() };
        for (number, (node, slots)) in cluster.nodes.iter().zip(SLOTS).enumerate() {
            let mut link = node.connect();
            redis::cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(number + 1).exec(&mut link).unwrap();
            redis::cmd("CLUSTER").arg("ADDSLOTS").arg(slots.collect::<Vec<_>>()).exec(&mut link).unwrap();
            let first = cluster.nodes[0].port;
            redis::cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(first).exec(&mut link).unwrap();
        }
        let began = Instant::now();
        while !cluster.nodes.iter().all(is_complete) {
            assert!(began.elapsed() < Duration::from_secs(30), "the nodes do not become a cluster");
            thread::sleep(Duration::from_millis(50));
        }
        cluster
    }

    pub(crate) fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }

    pub(crate) fn empty(&self) {
        self.nodes.iter().for_each(Server::empty);
    }
}

/// Whether this node knows of all slots and of all nodes.
fn is_complete(node: &Server) -> bool {
    let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut node.connect()).unwrap();
    let says = |line: &str| info.lines().any(|told| told == line);
    says("cluster_state:ok") && says("cluster_slots_ok:16384") && says("cluster_known_nodes:3")
}
