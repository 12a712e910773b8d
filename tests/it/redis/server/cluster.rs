//! A real cluster for one test, which ends with the value.

use std::thread;
use std::time::{Duration, Instant};

use super::Server;

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    /// Starts a cluster of so many nodes, each with an equal share of the 16,384 hash slots.
    pub(crate) fn start(count: u16) -> Self {
        // The cluster bus listens 10,000 ports higher. A node whose port is too high for that does
        // not start, and `Server` tries another port.
        let arguments =
            ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "20000"];
        let cluster = Self { nodes: (0..count).map(|_| Server::with(&arguments)).collect() };
        let share = 16_384_u16.div_ceil(count);
        for (number, node) in (0..count).zip(&cluster.nodes) {
            let (first, last) = (number * share, ((number + 1) * share).min(16_384) - 1);
            node.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            node.run(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            node.run(&["CLUSTER", "MEET", "127.0.0.1", &cluster.nodes[0].port.to_string()]);
        }
        let began = Instant::now();
        while !cluster.nodes.iter().all(|node| is_complete(node, count)) {
            assert!(began.elapsed() < Duration::from_secs(30), "the nodes do not become a cluster");
            thread::sleep(Duration::from_millis(20));
        }
        cluster
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }

    pub(crate) fn empty(&self) {
        self.nodes.iter().for_each(Server::empty);
    }
}

/// Returns true if the node knows all slots and all nodes.
fn is_complete(node: &Server, count: u16) -> bool {
    let info: String = node.query(&["CLUSTER", "INFO"]);
    let nodes = format!("cluster_known_nodes:{count}");
    ["cluster_state:ok", "cluster_slots_ok:16384", &nodes].iter().all(|line| info.lines().any(|one| one == *line))
}
