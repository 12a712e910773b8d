//! lembro beside its peers: the same session work for each store, measured in pairs.
//!
//! [`stores`] adapts each store, [`times`], [`survival`] and [`footprint`] are the workloads, and
//! [`report`] writes the results. The README says how to run it and what is compared.

pub mod footprint;
pub mod map;
pub mod measure;
pub mod peer;
pub mod report;
pub mod sessions;
pub mod stores;
pub mod survival;
pub mod times;
