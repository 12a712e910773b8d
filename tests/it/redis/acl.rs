//! The ACL of the guide: sufficient for all that a store does, and without an unused right.

use std::collections::BTreeSet;
use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{AtLimit, Commit, EndReason, Lease, Limit, Login, Record, Result, Store};

use crate::redis::fixture::{
    HOUR, command_counts, create, create_at, lease, log_in, new_id, one_of_each, owner, put, reset_counts, save,
};
use crate::redis::server::Server;

/// The words of the ACL line in the guide.
fn acl() -> Vec<&'static str> {
    let guide = include_str!("../../../src/redis/guide.md");
    guide.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap().split(' ').collect()
}

/// The commands that the ACL allows.
fn allowed() -> BTreeSet<&'static str> {
    acl().into_iter().filter_map(|word| word.strip_prefix('+')).collect()
}

/// Creates the user, without these rights.
fn create_user(server: &Server, without: &[&str]) {
    let words = acl();
    let mut command = redis::cmd(words[0]);
    command.arg(words[1]).arg(words[2]).arg("reset").arg(&words[3..]);
    without.iter().for_each(|name| _ = command.arg(format!("-{name}")));
    command.exec(&mut server.connect()).unwrap();
}

fn store_of_user(server: &Server) -> RedisStore {
    let options = RedisOptions::new().url(server.url()).username("lembro").password("PASSWORD").timeout("10s");
    RedisStore::with_options(options).unwrap()
}

#[test]
fn acl_of_the_guide_is_sufficient_and_minimal() {
    let server = Server::start();
    create_user(&server, &[]);
    reset_counts(&server);
    let store = store_of_user(&server);
    all_that_a_store_does(&store).unwrap();
    drop(one_of_each(&store));
    let counts = command_counts(&server);
    // Commands of this test, and those that need no right.
    let others = ["acl|setuser", "config|resetstat", "flushall", "info", "auth", "hello", "client|setinfo"];
    let used: BTreeSet<&str> = counts.keys().map(String::as_str).filter(|name| !others.contains(name)).collect();
    assert_eq!(used, allowed());
    let refused: Vec<redis::Value> = server.query(&["ACL", "LOG"]);
    assert!(refused.is_empty(), "the store ignored a refusal: {refused:?}");
}

/// Calls every method, so that every command of the store is sent.
fn all_that_a_store_does(store: &RedisStore) -> Result<()> {
    let id = new_id();
    let _ = create_at(store, &id, &Record::new())?;
    let seen =
        store.visit(&id, &Lease::new(HOUR / 2))?.found().map(|stored| stored.record.version()).unwrap_or_default();
    let _ = store.commit(&id, &Commit::exactly(seen)?.with(put("key", "value")), &lease())?;
    // Longer than the sets hold the session.
    let _ = store.touch(&id, &Lease::new(HOUR * 9))?;
    let mut changes = put("other", "value");
    changes.clear();
    let _ = save(store, &id, &changes, seen)?;
    // In a session of more than half the maximum size, replaced entries are measured.
    for key in ["large", "x", "x", "x"] {
        let _ = save(store, &id, &put(key, &"x".repeat(if key == "large" { 40_000 } else { 20_000 })), seen)?;
    }
    let owners = store.owners().expect("owners");
    assert!(owners.destroy_handle(create(store).handle(), None, EndReason::Revoked)?.is_done());
    let (id, outcome) = log_in(store, &id, Login::new(owner("ada")))?;
    assert!(outcome.is_done());
    let _ = store.touch(&id, &Lease::new(HOUR * 99))?;
    let limit = Some(Limit { max: 1, at_limit: AtLimit::EndOldest });
    let _ =
        store.commit(&new_id(), &Commit::create()?.log_in(Login { limit, ..Login::new(owner("ada")) }), &lease())?;
    assert_eq!(owners.count(&owner("ada"))?, 1);
    assert!(owners.end_reason(&id)?.is_some());
    assert_eq!(owners.destroy_all(&owner("ada"), None)?, 1);
    store.set(&id, Record::new(), HOUR)?;
    store.set(&id, Record::new(), Duration::ZERO)?;
    let _ = create_at(store, &id, &Record::new())?;
    assert_eq!(store.len()?, 1);
    store.clear()
}

#[test]
fn every_right_of_the_acl_is_needed() {
    let server = Server::start();
    create_user(&server, &[]);
    all_that_a_store_does(&store_of_user(&server)).unwrap();
    for name in allowed() {
        // So that EVAL is needed, too.
        server.run(&["SCRIPT", "FLUSH"]);
        server.empty();
        create_user(&server, &[name]);
        let error = all_that_a_store_does(&store_of_user(&server)).expect_err(name);
        assert!(error.is_store(), "{name}: {error}");
    }
}

#[test]
fn acl_user_sees_no_other_keys() {
    let server = Server::start();
    create_user(&server, &[]);
    let url = format!("redis://lembro:PASSWORD@127.0.0.1:{}", server.port);
    let link = &mut redis::Client::open(url).unwrap().get_connection().unwrap();
    let refused = |words: &[&str], link: &mut redis::Connection| {
        let error = redis::cmd(words[0]).arg(&words[1..]).exec(link).unwrap_err().to_string();
        assert!(error.contains("permission") || error.contains("NOPERM"), "{words:?}: {error}");
    };
    for words in [&["GET", "other"][..], &["KEYS", "*"], &["SCAN", "0"], &["FLUSHALL"], &["CONFIG", "GET", "*"]] {
        refused(words, link);
    }
    refused(&["EVAL", "return redis.call('GET', KEYS[1])", "1", "other"], link);
}
