//! The tests that need no process of their own. They are one binary, because most of the time goes
//! into linking.
#![cfg_attr(
    not(all(feature = "full", feature = "redis_tls")),
    allow(dead_code, unused_imports, reason = "each feature's tests use a part of the helpers")
)]

mod support {
    pub(crate) mod doors;
    #[cfg(all(feature = "rouille", feature = "testing"))]
    pub(crate) mod flows;
    #[cfg(all(feature = "web", feature = "testing"))]
    pub(crate) mod from_outside;
    #[cfg(feature = "testing")]
    pub(crate) mod key_values;
    pub(crate) mod request_target;
    pub(crate) mod scratch;
    pub(crate) mod session;
    #[cfg(feature = "web")]
    pub(crate) mod site;
    pub(crate) mod steps;
    pub(crate) mod values;
    #[cfg(feature = "web")]
    pub(crate) mod wire;
}
mod source {
    mod api;
    mod architecture;
    mod circles;
    mod prose;
    mod secrets;
    mod security_rules;
}
mod input {
    mod bytes;
    #[cfg(feature = "web")]
    mod config;
    mod extremes;
    mod limits;
    mod option_secrets;
    mod options;
    mod texts;
}
mod record {
    mod bytes;
    mod id;
    mod model;
    mod values;
}
mod rules {
    mod invariants;
    mod model;
    mod row;
}
mod store {
    mod clock;
    mod contract;
    mod events;
    mod fault;
    mod metrics;
    mod sqlite;
    mod wrong_stores;
}
#[cfg(feature = "testing")]
mod key_value {
    mod model;
    mod store;
}
#[cfg(feature = "testing")]
mod memory {
    mod accounting;
    mod allocations;
    mod classes;
    mod eviction;
    mod expiry;
    mod floods;
    mod model;
    mod persist;
    mod persist_faults;
    mod persist_file;
    mod persist_kill;
}
mod session {
    mod component;
    mod csrf;
    mod handles;
    mod lifecycle;
    mod map;
    mod modify;
    mod owners;
    mod owners_model;
    mod panics;
    mod policy;
    mod races;
    mod renewal;
    mod save;
    mod seed_defects;
    mod sessions;
    mod unknown;
}
#[cfg(feature = "web")]
mod web {
    mod caching;
    mod cookie;
    mod cves;
    mod decision;
    mod devices;
    mod flows;
    mod grammar;
    mod http;
    #[cfg(feature = "testing")]
    mod lifetime;
    mod lost_change;
    mod model;
    mod options;
    mod renewal;
    mod renewal_under_way;
    mod responses;
    mod rouille;
    mod secure;
    mod servers;
    mod signing;
    mod store_down;
    mod testing_browser;
    mod tiny_http;
    mod token;
    mod truth_table;
    mod websocket;
    mod wire;
}
#[cfg(feature = "redis")]
mod redis {
    mod acl;
    mod cluster;
    mod connections;
    mod contract;
    mod faults;
    pub(crate) mod fixture;
    mod full;
    mod layout;
    mod limits;
    mod logins;
    mod options;
    mod races;
    mod restarts;
    mod round_trips;
    mod rule;
    mod sentinel;
    pub(crate) mod server;
    mod sessions;
}
#[cfg(all(feature = "rouille", feature = "tiny_http", feature = "http"))]
mod examples {
    mod attacks;
    mod fuzz;
    mod server;
    mod visitor;
    mod visits;
}
