//! Sessions for blocking, thread-per-request servers: `rouille`, `tiny_http`, and servers that
//! use the types of the `http` crate. The sessions are kept in memory, within a limit, or on Redis.
//!
#![cfg_attr(feature = "rouille", doc = "```")]
#![cfg_attr(not(feature = "rouille"), doc = "```ignore")]
//! use lembro::web::SessionLayer;
//! use lembro::LembroStore;
//! use rouille::{Request, Response};
//!
//! // Once, at the start of the server:
//! let layer = SessionLayer::new(LembroStore::new()?);
//!
//! // For each request:
//! let serve = |request: &Request| {
//!     layer.rouille(request, |session| {
//!         let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
//!         session.insert("visits", &visits)?;
//!         Ok(Response::text(format!("Visit number {visits}")))
//!     })
//! };
//! let response = serve(&Request::fake_http("GET", "/", vec![], vec![]));
//! assert!(response.headers.iter().any(|(name, value)| name == "Set-Cookie" &&
//! value.starts_with("id=")));
//! # Ok::<(), lembro::Error>(())
//! ```
//!
#![cfg_attr(feature = "web", doc = "[`web`] shows the same for the other servers.")]
#![cfg_attr(not(feature = "web"), doc = "The module `web` (feature `web`) shows the same for the other servers.")]
//! Without a server, a program uses [`Sessions`]:
//!
//! ```
//! use lembro::{LembroStore, Sessions};
//!
//! let sessions = Sessions::new(LembroStore::new()?);
//! let mut session = sessions.generate()?;
//! session.insert("cart", &["tea", "cups"])?;
//! session.log_in("user-42")?; // takes effect in the save: owner, new id and data in one step
//! session.save()?;
//!
//! let mut session = sessions.load(&session.id()?)?.expect("saved above");
//! session.modify("visits", |visits: &mut Option<u32>| *visits.get_or_insert(0) += 1)?;
//! assert_eq!(sessions.owner("user-42")?.count()?, 1);
//! session.log_out()?;
//! # Ok::<(), lembro::Error>(())
//! ```
//!
//! # What it promises
//!
//! - **Memory is bounded.** A [`LembroStore`] stays within [`max_size`](LembroOptions::max_size).
//!   If it is full, sessions without an owner are evicted first, down to their
//!   [share](LembroOptions::anonymous_share), and only then sessions of users who are logged in.
//! - **Expired sessions are removed** at an [`interval`](LembroOptions::interval). Once a
//!   session has expired, no request finds it, even before it is removed.
//! - **Parallel requests lose nothing.** A request saves its changes in one [`Commit`], which
//!   merges the changed keys into the stored session. [`modify`](Session::modify) is an atomic
//!   read-modify-write.
//! - **A logout is final.** After [`log_out`](Session::log_out), a request that was under way
//!   stores nothing, and the loss of its changes is [reported](Event::LostChange).
//! - **All or nothing.** Changed keys, a new id and a login take effect in one step. If a request
//!   fails before that step, the client's cookie still works. If the [outcome of a commit is
//!   unknown](Error::is_unknown), the commit can be sent again, and is not carried out twice.
//! - **Ids are safe.** An id that a client made up is never adopted. The 128 secret bits of an id
//!   are compared in constant time and are in no log, error, event or file.
//! - **Failures are visible.** Calls return a [`Result`]. Background errors arrive on the channel
//!   [`errors`](Sessions::errors), and events, such as an eviction, on the channel
//!   [`events`](Sessions::events).
//!
#![cfg_attr(
    any(doc, doctest),
    doc = "[`architecture`] shows a request's path, the modules, and the fifteen invariants with their tests."
)]
//!
//! # Where to go on
//!
//! | for | read |
//! |---|---|
//! | the data of one user: keys, login, "remember me", CSRF token | [`Session`] |
//! | the sessions of a server, and those of one user: list, end, log out everywhere | [`Sessions`], [`OwnerSessions`] |
//! | how long sessions live, how many a user may have | [`Policy`] |
//! | the store in memory: size, interval, [files](LembroOptions::persist) that outlive the process | [`LembroOptions`] |
//! | all options from a configuration file, with serde | `Config` (feature `web`) |
//! | a store of your own: a backend of three methods, or the whole trait, with a contract suite | [`KeyValue`], [`Store`] |
//! | tests that never sleep | [`Clock::manual`], `testing::Browser` |
#![cfg_attr(
    all(any(doc, doctest), feature = "web"),
    doc = "| recipes: password change, polling, API clients, a clean stop … | [`cookbook`] |"
)]
#![cfg_attr(
    any(doc, doctest),
    doc = "| which store to choose; what a session takes in memory | [`which_store`], [`capacity`] |"
)]
#![cfg_attr(
    all(any(doc, doctest), feature = "web"),
    doc = "| the names of other session libraries, and their equivalents here | [`coming_from`] |"
)]
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | none | [`LembroStore`], [`Sessions`], events and errors |
//! | `web` | the cookie layer for any server: `lembro::web` |
//! | `rouille`, `tiny_http`, `http` | an adapter for that server or crate; `http` is for `touche`, `feather`, `axum` and others |
//! | `redis`, `redis_tls` | `lembro::redis`: sessions on Redis or Valkey, for several processes; over TLS |
//! | `log`, `metrics` | errors and events in the log; figures for Prometheus |
//! | `testing` | for `[dev-dependencies]`: the contract suite, a store that fails on purpose, a browser without a socket |
//! | `full` | all of these but `redis` and `redis_tls` |
//!
//! # What it is not
//!
//! lembro is not a cache, it is not async, and its own store is not distributed: a [`LembroStore`]
//! belongs to one process.

#![cfg_attr(docsrs, feature(doc_cfg))]
// No panic may be reachable from a request, and a library does not print. Tests and examples may do
// both.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo, clippy::dbg_macro))]
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod clock;
#[cfg(feature = "web")]
mod config;
mod context;
mod error;
mod event;
mod id;
mod key_value;
mod lifecycle;
#[cfg(feature = "log")]
pub mod log;
mod memory;
#[cfg(feature = "metrics")]
pub mod metrics;
mod policy;
mod record;
#[cfg(feature = "redis")]
pub mod redis;
mod session;
mod store;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod units;
#[cfg(feature = "web")]
pub mod web;

#[cfg(any(doc, doctest))]
#[doc = include_str!("architecture.md")]
pub mod architecture {}

// Most recipes use the cookie layer.
#[cfg(all(any(doc, doctest), feature = "web"))]
#[doc = include_str!("cookbook.md")]
pub mod cookbook {}

#[cfg(any(doc, doctest))]
#[doc = include_str!("capacity.md")]
pub mod capacity {}

#[cfg(any(doc, doctest))]
#[doc = include_str!("which_store.md")]
pub mod which_store {}

#[cfg(any(doc, doctest))]
#[doc = include_str!("store_in_a_database.md")]
pub mod store_in_a_database {}

// Half of the page compares features of the cookie layer.
#[cfg(all(any(doc, doctest), feature = "web"))]
#[doc = include_str!("coming_from.md")]
pub mod coming_from {}

pub use self::clock::{Clock, ManualClock};
#[cfg(feature = "web")]
pub use self::config::{Config, ConfiguredStore};
pub use self::error::{Error, Result};
pub use self::event::Event;
pub use self::id::{Handle, SessionId};
pub use self::key_value::{KeyValue, KeyValueStore};
pub use self::lifecycle::{OwnedSession, OwnerSessions, Sessions};
pub use self::memory::{
    FileSync, LembroOptions, LembroStore, OnDamage, OnWriteError, Purge, Restored, Snapshot, Stats, WhenFull,
};
pub use self::policy::{Policy, StoreDown};
pub use self::record::{Change, Changes, MAX_KEY_BYTES, MAX_KEYS, Record, Version};
pub use self::session::{Component, Saved, Session, Step};
pub use self::store::{
    Action, AtLimit, Commit, EndReason, Entry, Epoch, Expect, Identity, Lease, Limit, Listed, Listing, Login, Look,
    Lookup, Now, Outcome, Owner, Owners, Presented, Receipt, Store, Stored, Write,
};
pub use self::units::Setting;

/// The code in the README is compiled and run as a test, like the code in the documentation.
#[cfg(all(doctest, feature = "tiny_http", feature = "rouille"))]
#[doc = include_str!("../README.md")]
struct Readme;
