//! Production-ready sessions for blocking, thread-per-request servers: sharded `RwLock`'d hash
//! tables with a reaper and a byte budget, sessions that merge what they changed, and channels to
//! hear about it. No async, no callbacks.
//!
//! ```
//! use lembro::{LembroStore, Sessions};
//!
//! let sessions = Sessions::new(LembroStore::new()?);
//!
//! let mut session = sessions.generate()?;
//! session.insert("user", "ada")?;
//! session.insert("cart", &["tea", "cups"])?;
//! session.save()?;
//!
//! // In another request, with the id from the cookie:
//! let mut session = sessions.load(&session.id()?)?.expect("saved above");
//! assert_eq!(session.get_str("user")?.as_deref(), Some("ada"));
//! session.modify("visits", |visits: &mut Option<u32>| *visits.get_or_insert(0) += 1)?;
//! session.log_out()?;
//! # Ok::<(), lembro::Error>(())
//! ```
//!
//! In a server the cookie layer does the loading and saving, in one call around the handler, for
//! `rouille`, for `tiny_http`, and for servers that speak the types of the `http` crate. See
#![cfg_attr(feature = "web", doc = "[`web`] for the whole of it.")]
#![cfg_attr(not(feature = "web"), doc = "the module `web` (feature `web`) for the whole of it.")]
//!
//! # What it does for you
//!
//! - **Bounded.** A [`LembroStore`] stays within [`max_size`](LembroOptions::max_size), counted by
//!   serialized size and compared with the heap by a test. Beyond it the expired go first, then
//!   sessions that were not visited again, and those with an owner last, except that visitors keep
//!   a [share](LembroOptions::anonymous_share): a flood of bots does not log your users out.
//! - **Purged.** A reaper thread removes expired sessions at an
//!   [`interval`](LembroOptions::interval), 64 under one lock at most. Without the reaper a session
//!   ends just as punctually.
//! - **Nothing lost.** A [`Commit`] merges the changed keys into what is stored at that moment, so
//!   requests of one user that run side by side keep all their work; of two that set the same key
//!   the last one wins, and [`Session::modify`] is an atomic read-modify-write.
//! - **A logout is final.** [`Session::log_out`] ends every session whose id the request presented.
//!   A request that was under way then cannot bring one back, and what it loses is
//!   [reported](Event::LostChange).
//! - **All or nothing.** Changed keys, a new id and a login take effect in one step. A request that
//!   fails before it leaves the client a cookie that works; a commit whose [outcome is
//!   unknown](Error::is_unknown) is sent again and not carried out twice.
//! - **Owners.** [`Session::log_in`], and [`Sessions::owner`] has a [list of
//!   devices](OwnerSessions::list), a [log out everywhere](OwnerSessions::destroy_all) that is just
//!   as final, and an [epoch](OwnerSessions::epoch) for logins under way. There is a
//!   [limit](Policy::max_per_owner), an [answer](Session::end_reason) for a user who was logged out,
//!   the [time of the login](Session::logged_in_at), and a [longer life](Session::remember) for
//!   sessions of users who tick "remember me".
//! - **Forms and polls.** [`Session::csrf_token`] and [`check_csrf`](Session::check_csrf) keep
//!   other sites' forms out, [`peek`](Session::peek) is a look that is no visit, and
//!   [`consume`](Session::consume) gives a value to one request alone.
//! - **Sessions that outlive the process.** [`persist`](LembroOptions::persist): after a restart, a
//!   crash or a `kill -9` every acknowledged change is there, and no session that ended is back.
//!   The files hold no id that can be used.
//! - **Safe ids.** 128 random bits of secret, compared in constant time, never in a log; an id that
//!   a client made up is never adopted; [`Session::log_in`] gives a new one in the step that logs
//!   in, [`Policy::renew_after`] from time to time, and a later request with the old one is
//!   [reported](Event::SupersededId).
//! - **A cookie that is checked.** Options that contradict each other or the standard are refused
//!   when the server starts; a response that sets the cookie says `no-store`; keys for its
//!   signature can be changed without a logout.
//! - **Plain results.** Everything returns [`Result`]; what fails in the background arrives on [a
//!   channel](LembroStore::errors), and what happens to sessions on [another](LembroStore::events).
//! - **In your log.** Feature `log` forwards errors, and the events you choose, to the `log`
//!   facade, and feature `metrics` publishes figures.
//! - **Any store.** A backend that gets, sets and removes bytes is a [`KeyValue`];
//!   [`KeyValueStore`] is a whole store on it, owners included, for one process. [`Store`] is a
//!   trait of two methods around one pure [rule](Entry), with a contract suite as code (feature
//!   `testing`) to run against your own.
//! - **Time under control.** [`Clock::manual`] is turned by hand: your tests never sleep. And
//!   `testing::Browser` (features `testing` and `web`) keeps cookies as browsers do, without a
//!   socket.
//!
//! # A request on its way
//!
//! ```text
//!  Cookie: id=…            ┌───────────────────────── SessionLayer::load ────────────────────────┐
//!  ───────────────────────▶│ at most 4 ids in cookies of our name → signature → strict SessionId │
//!                          └──────────────────────────────┬──────────────────────────────────────┘
//!                                                         ▼   nothing is read yet
//!   handler ── get, insert, modify … ────────────────▶ Session ── first look ──▶ Store::look
//!                                                         │   found: a visit, noted if it is due;
//!                                                         │          a peek notes nothing
//!                                                         │   missing: a new session, a new id
//!                          ┌──────────────────────────────▼──────────────────────────────────────┐
//!                          │ SessionLayer::finish: one pure decision, at most one commit         │
//!                          │   unchanged  → nothing                                              │
//!                          │   changed    → Store::commit: keys, new id, login, in one step      │
//!  Set-Cookie: id=…        │   old id     → a timed renewal begins in the same commit            │
//!  Cache-Control: no-store │   new, empty → nothing stored, no cookie                            │
//!  ◀───────────────────────│   gone       → nothing stored, no cookie; Event::LostChange         │
//!                          │   logged out → the cookie is removed                                │
//!                          │ SessionLayer::fail, after an error or a panic: nothing is saved     │
//!                          └─────────────────────────────────────────────────────────────────────┘
//!  inside LembroStore:  handle → shard → read lock → row → the rule (expired? which secret?)
//!                       → a clone of a pointer
//! ```
//!
//! A request looks when its handler first reads or writes the session; a handler that does neither
//! costs the store nothing, and is no visit.
//!
//! # The modules, from the request down
//!
//! | file | what it is | knows |
//! |---|---|---|
//! | `web/` | `SessionLayer`: cookie in, `Set-Cookie` out; adapters (feature `web`) | sessions |
//! | `metrics.rs` | `Metrics`: a store's figures for Prometheus (feature `metrics`) | memory |
//! | `lifecycle.rs` `lifecycle/` | [`Sessions`]: generate, load, create, list and end an owner's, on any store | session |
//! | `session/` | [`Session`]: one user's data, a commit in the making, its life | context |
//! | `context.rs` | store + policy + ids + clock, behind one `Arc`; reports what fails | policy, store |
//! | `policy.rs` | [`Policy`]: how long sessions live; pure; makes the [`Lease`] | store |
//! | `memory/` | [`LembroStore`]: shards, queues, indexes, reaper, files | store |
//! | `key_value/` | [`KeyValueStore`]: a whole store on a [`KeyValue`], a backend of three methods | store |
//! | `redis/` | `RedisStore`: the rule in Lua, rows, connections (feature `redis`) | store |
//! | `store/` | [`Store`]: the trait, and the pure [rule](Entry) that decides what becomes of a session | record |
//! | `store/owners.rs` | [`Owners`]: what a store may be able to do with all the sessions of one owner | record |
//! | `testing/` | the contract as code (feature `testing`) | store |
//! | `record/` | [`Record`], [`Changes`]: one flat block and how it is merged; pure | |
//! | `id.rs` `clock.rs` `event.rs` `error.rs` `units.rs` `sync.rs` | the ground all of it stands on | |
//!
//! Arrows point down only; `tests/architecture.rs` reads the `crate::` paths and fails on one that
//! points up.
//!
//! # Invariants
//!
//! Fifteen sentences that hold at all times. Each has a test named after it in
//! `tests/invariants.rs` (`invariant_1_…`), and the longer ones that are named here, by their files
//! in `tests/`. "Contract" is the suite of `lembro::testing`, which `tests/contract.rs`,
//! `tests/key_value.rs`, `tests/store_sqlite.rs` and `tests/redis_contract.rs` run.
//!
//! 1. An id sent by a client is never adopted: if it is unknown, expired or malformed, and an id is
//!    needed, the server draws one. (`suite`, `web_decision`)
//! 2. A malformed or oversized cookie, once or many times over, means "no session": no error, no
//!    panic, no log line with the value. (`web_cookie`)
//! 3. A destroyed session never comes back: a request under way stores nothing and its response
//!    sets no cookie, and a restart does not bring it back. (`session_races`, `suite`,
//!    `web_lost_change`, `schedules`, `memory_persist_kill`, contract)
//! 4. Parallel commits of different keys all survive. Of commits of the same key the last one wins;
//!    `modify` never loses one. (`session_modify`, `schedules`, contract)
//! 5. No lock is held while user code runs (handlers, serde impls, id sources); never two shard
//!    locks at once. The methods of a [`KeyValue`] are called under its store's locks: they are the
//!    backend, as the driver of a database is. (`session_panics`; for the second, `schedules` would
//!    find a deadlock)
//! 6. `bytes()` equals the sum over the sessions at every unlock, and never exceeds `max_size` but
//!    for the time of one insert. (`memory_model`, `memory_eviction`, `memory_accounting`)
//! 7. An expired session is invisible from the instant it expires, with or without the reaper.
//!    (`memory_expiry`, contract)
//! 8. A request that changed nothing writes at most one touch per `touch_after`, at its first look.
//!    If ids are renewed, one renewal adds three writes at most: its beginning, the next visit by
//!    the old id, and the first visit by the new one. (`web_decision`, `web_renewal`)
//! 9. A new session without data and owner is neither stored nor announced to the client.
//!    (`web_decision`)
//! 10. The secret part of an id appears in no Debug, error, event, log, dump or file; only in
//!     the cookie, or in the token. (`secrets`, `web_token`, `memory_persist_file`,
//!     `redis_layout`)
//! 11. A commit is atomic on its session, id included. After a login or `regenerate` only the new
//!     id opens it; after a timed renewal the old one too, for as long as [`Policy::renew_after`]
//!     says. (`session_races`, `session_lifecycle`, `session_renewal`)
//! 12. A panic in a handler, a failed store, a subscriber that is gone, a panic in the reaper: the
//!     server keeps serving, and what was acknowledged is kept; on Redis as far as its replication
//!     keeps it. (`suite`, `web_store_down`, `events`, `redis_faults`, `memory/reaper.rs`)
//! 13. Sessions without an owner never push out one with an owner beyond their share, or the size
//!     of one session where that is more. (`memory_eviction`, `floods`)
//! 14. What `insert` accepts, `get` gives back, read as the type that was inserted; what JSON
//!     writes as `null` is read as `None`. (`record_values`, `session_map`)
//! 15. When an outcome or an error says that nothing was written, nothing was written to that
//!     session. (`session_unknown`, `redis_faults`, `key_value_model`)
//!
//! # Observability
//!
//! | to learn | there is | what it costs requests |
//! |---|---|---|
//! | how things stand, now | [`LembroStore::stats`]: sessions, bytes, hits, misses, how many were evicted; serde writes them | nothing: the counters are there |
//! | how they develop | `metrics::Metrics` (feature `metrics`): the same for Prometheus, with a histogram of purges, in one line | nothing |
//! | what a store does to which session | [`LembroStore::events`]: expired, evicted, destroyed, refused | a message each, while there is a subscriber |
//! | which ids open no session, which changes are lost | [`Sessions::events`], on every store: unknown and superseded ids, lost changes, and the store's own | the same |
//! | what fails | [`Sessions::errors`]: of any store, in the background and on its way to the caller | nothing |
//!
//! No figure, event or error has the secret part of an id in it. `examples/observe.rs` prints all
//! of them under a load; `examples/dashboard.rs` draws them, and has a button that lets the bots
//! in.
//!
//! # Capacity
//!
//! A session of 300 bytes of JSON takes about 418 bytes in all, a million of them 418 MB.
#![cfg_attr(
    any(doc, doctest),
    doc = "[`capacity`] has the formula, a table, and what to set `max_size` and `interval` to; [`which_store`] compares the stores."
)]
//!
//! # Features
//!
//! - **default**: nothing but the store, sessions, events and errors.
//! - **`web`**: the cookie layer, for any server that can hand over headers.
//! - **`tiny_http`**, **`rouille`**: its adapters; **`http`**: the one for servers that speak the
//!   types of the `http` crate, such as `touche`, `feather` and `axum`.
//! - **`redis`**: `lembro::redis`, sessions on Redis or Valkey for more than one process;
//!   **`redis_tls`**: over TLS. They need a server, in tests too.
//! - **`metrics`**: a store's figures for Prometheus, or for any other recorder of the `metrics`
//!   crate.
//! - **`testing`**: the contract suite for stores of your own, and `LembroStore::validate`. For
//!   `[dev-dependencies]`.
//! - **`full`**: all of these but `redis` and `redis_tls`.
//!
//! # What it is not
//!
//! Not a cache, not async, not generic over a type of session (a value may be of any type), and not
//! a cluster of its own: a [`LembroStore`] is for one process, and its sessions end with it unless
//! they [persist](LembroOptions::persist). For more than one process there is `RedisStore`,
//! which keeps the same promises.
//!
//! ## Why is there no `save_uninitialized`, `resave` or `rolling`?
//!
//! Because their right values are known. A new session without data and owner is never stored, an
//! unchanged one never rewritten, and a visit prolongs it, noted at most once per
//! [`touch_after`](Policy::touch_after).
//!
//! ## Why does a stale cookie not give an error?
//!
//! Because it is every visitor's first request after a restart, unless sessions persist. The
//! session is new, under an id of ours, and keeps what the handler puts in. *Gone* is said only of
//! a session that ended while the request held it, and of a request that comes with the id of
//! before a login or `regenerate` that happened a moment ago.
//!
//! ## Why does logging out with an id from before a `regenerate` end no session?
//!
//! Because that id is dead, for this too: a thief, or an attacker who planted it, must not be able
//! to end the session it was exchanged for. The response removes the cookie of the browser that
//! asked, and nothing else. Log out in the session that the client has now.
//!
//! ## Why can reading a key fail?
//!
//! Because the store is asked at the first look, and a store may be a machine elsewhere. With a
//! [`LembroStore`] two failures are left: a value of another type than the one asked for, and,
//! where a new session needs an id, a random source that fails.

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
#[doc = include_str!("capacity.md")]
pub mod capacity {}

#[cfg(any(doc, doctest))]
#[doc = include_str!("which_store.md")]
pub mod which_store {}

#[cfg(any(doc, doctest))]
#[doc = include_str!("store_in_a_database.md")]
pub mod store_in_a_database {}

// Half of what it compares is the cookie layer's.
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

/// The README's code is compiled and run with the documentation's.
#[cfg(all(doctest, feature = "tiny_http", feature = "rouille"))]
#[doc = include_str!("../README.md")]
struct Readme;
