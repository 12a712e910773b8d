//! lembro measured beside its peers: the same session work, interleaved in pairs, in processes of their own.

pub mod child;
pub mod map;
pub mod pairs;
pub mod rows;
pub mod stores;
pub mod suite;
pub mod work;
pub mod workloads;

