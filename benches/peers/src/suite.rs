//! The whole: which workloads there are, and which stores take part in each.

use crate::child::measure;
use crate::rows::Row;
use crate::workloads::create;

/// A workload by its name on the command line.
pub type Workload = (&'static str, fn() -> Vec<Row>);

/// All of them, in the order of the results.
pub const WORKLOADS: [Workload; 4] = [("get", get), ("cycle", cycle), ("create", create), ("growth", growth)];

const ROUNDS: usize = 9;
const SMALL: usize = 100_000;
const LARGE: usize = 1_000_000;

fn get() -> Vec<Row> {
    let stores = ["bare HashMap", "dashmap", "quick_cache", "moka"];
    [SMALL, LARGE]
        .into_iter()
        .flat_map(|sessions| stores.into_iter().flat_map(move |store| measure("get", store, &[sessions, ROUNDS])))
        .collect()
}

fn cycle() -> Vec<Row> {
    let stores = ["dashmap", "dashmap in place", "quick_cache", "moka"];
    stores.into_iter().flat_map(|store| measure("cycle", store, &[SMALL, ROUNDS])).collect()
}

fn create() -> Vec<Row> {
    let stores = ["dashmap", "quick_cache", "moka"];
    [1, 2]
        .into_iter()
        .flat_map(|threads| stores.into_iter().flat_map(move |store| create::compared(store, threads, ROUNDS)))
        .collect()
}

fn growth() -> Vec<Row> {
    let stores = ["lembro", "dashmap", "quick_cache", "moka"];
    stores.into_iter().flat_map(|store| measure("growth", store, &[LARGE])).collect()
}
