//! The readers of input from outside: one function for each, which panics if a promise is broken.
//!
//! `tests/it/input/bytes.rs` calls them for a moment at every commit, and `tests/fuzz` for any
//! time.
#![allow(dead_code, unreachable_pub, reason = "tests take a part of it, the fuzz targets have it as a library")]

pub mod attributes;
pub mod cookie;
pub mod entry;
pub mod forwarded;
pub mod journal;
pub mod options;
pub mod record;
pub mod record_json;
pub mod snapshot;
pub mod token;

/// One reader.
#[derive(Debug)]
pub struct Target {
    pub name: &'static str,
    /// Passes bytes to the reader, and panics if it breaks a promise.
    pub check: fn(&[u8]),
    /// Seeds: bytes that lead far into the reader.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub const TARGETS: &[Target] = &[
    Target { name: "attributes", check: attributes::check, seeds: attributes::seeds },
    Target { name: "cookie", check: cookie::check, seeds: cookie::seeds },
    Target { name: "entry", check: entry::check, seeds: entry::seeds },
    Target { name: "forwarded", check: forwarded::check, seeds: forwarded::seeds },
    Target { name: "journal", check: journal::check, seeds: journal::seeds },
    Target { name: "options", check: options::check, seeds: options::seeds },
    Target { name: "record", check: record::check, seeds: record::seeds },
    Target { name: "record_json", check: record_json::check, seeds: record_json::seeds },
    Target { name: "snapshot", check: snapshot::check, seeds: snapshot::seeds },
    Target { name: "token", check: token::check, seeds: token::seeds },
];
