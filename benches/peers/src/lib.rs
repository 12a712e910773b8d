//! lembro measured beside its peers: the same session work, interleaved in pairs, in processes of their own.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml                  # all of it: under ten minutes on two cores
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- get cycle     # some of it; nothing is written
//! ```
//!
//! Prints one line for each goal, fails if one is missed, and writes figures, a table and plots to `results/`.
//!
//! # What is compared
//!
//! Every peer is set up as its documentation recommends and given what makes it fast: a fast hasher, sessions behind an `Arc`, so
//! that a request gets a snapshot without copying it, a time to live that is prolonged where it lies. Ids are 32 characters of text, as
//! in the cookie; lembro has them as `SessionId`. A store that replaces sessions estimates their size as it does so, because a store that
//! is to be bounded has to; who changes them in place does not. Nobody is optimized beyond cargo's release profile.

pub mod child;
pub mod goals;
pub mod map;
pub mod pairs;
pub mod plot;
pub mod report;
pub mod rows;
pub mod stores;
pub mod suite;
pub mod work;
pub mod workloads;
