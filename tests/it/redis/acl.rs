//! Promise: a user with the rights in the guide can do all that a store does, and has no right that
//! is not used.

use std::collections::BTreeSet;
use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{AtLimit, Commit, EndReason, Lease, Limit, Login, Record, Result, SessionId, Store};

use crate::redis::behind::{
    HOUR, asked, create, create_at, forget_what_was_asked, lease, log_in, one_of_each, owner, put, save,
};
use crate::redis::server::Server;

/// The line of the guide, as words.
fn line() -> Vec<&'static str> {
    let guide = include_str!("../../../src/redis/guide.md");
    guide.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap().split(' ').collect()
}

/// The commands that it allows.
fn allowed() -> BTreeSet<&'static str> {
    line().into_iter().filter_map(|word| word.strip_prefix('+')).collect()
}

/// Makes the user, with these rights taken away again.
fn admit(server: &Server, without: &[&str]) {
    let words = line();
    let mut command = redis::cmd(words[0]);
    command.arg(words[1]).arg(words[2]).arg("reset").arg(&words[3..]);
    without.iter().for_each(|name| _ = command.arg(format!("-{name}")));
    command.exec(&mut server.connect()).unwrap();
}

fn as_that_user(server: &Server) -> RedisStore {
    let options = RedisOptions::new().url(server.url()).username("lembro").password("PASSWORD").timeout("10s");
    RedisStore::with_options(options).unwrap()
}

#[test]
fn with_the_rights_in_the_guide_everything_works_and_each_of_them_is_used() {
    let server = Server::start();
    admit(&server, &[]);
    let link = &mut server.connect();
    forget_what_was_asked(link);
    let store = as_that_user(&server);
    all_that_a_store_does(&store).unwrap();
    drop(one_of_each(&store));
    let asked = asked(link);
    // This test's own, and what everybody may.
    let others = ["acl|setuser", "config|resetstat", "flushall", "info", "auth", "hello", "client|setinfo"];
    let used: BTreeSet<&str> = asked.keys().map(String::as_str).filter(|name| !others.contains(name)).collect();
    assert_eq!(used, allowed());
    let refused: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query(link).unwrap();
    assert!(refused.is_empty(), "something was refused, and nobody noticed: {refused:?}");
}

/// Something of everything.
fn all_that_a_store_does(store: &RedisStore) -> Result<()> {
    let id = SessionId::random()?;
    let _ = create_at(store, &id, &Record::new())?;
    let seen =
        store.visit(&id, &Lease::new(HOUR / 2))?.found().map(|stored| stored.record.version()).unwrap_or_default();
    let _ = store.commit(&id, &Commit::exactly(seen)?.with(put("key", "value")), &lease())?;
    // Beyond what the sets know.
    let _ = store.touch(&id, &Lease::new(HOUR * 9))?;
    let mut changes = put("other", "value");
    changes.clear();
    let _ = save(store, &id, &changes, seen)?;
    // A session that needs more than half of what it may is measured.
    for key in ["large", "x", "x", "x"] {
        let _ = save(store, &id, &put(key, &"x".repeat(if key == "large" { 40_000 } else { 20_000 })), seen)?;
    }
    let owners = store.owners().expect("owners");
    assert!(owners.destroy_handle(create(store).handle(), None, EndReason::Named)?.is_done());
    let (id, outcome) = log_in(store, &id, Login::new(owner("ada")))?;
    assert!(outcome.is_done());
    let _ = store.touch(&id, &Lease::new(HOUR * 99))?;
    let limit = Some(Limit { max: 1, at_limit: AtLimit::EndOldest });
    let _ = store.commit(
        &SessionId::random()?,
        &Commit::create()?.log_in(Login { limit, ..Login::new(owner("ada")) }),
        &lease(),
    )?;
    assert_eq!(owners.count(&owner("ada"))?, 1);
    assert!(owners.why_ended(&id)?.is_some());
    assert_eq!(owners.destroy_all(&owner("ada"), None)?, 1);
    store.set(&id, Record::new(), HOUR)?;
    store.set(&id, Record::new(), Duration::ZERO)?;
    let _ = create_at(store, &id, &Record::new())?;
    assert_eq!(store.len()?, 1);
    store.clear()
}

#[test]
fn without_any_one_of_them_something_fails() {
    let server = Server::start();
    admit(&server, &[]);
    all_that_a_store_does(&as_that_user(&server)).unwrap();
    for name in allowed() {
        // EVALSHA is tried first, and EVAL when the server has not seen the script.
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut server.connect()).unwrap();
        server.empty();
        admit(&server, &[name]);
        let error = all_that_a_store_does(&as_that_user(&server)).expect_err(name);
        assert!(error.is_store(), "{name}: {error}");
    }
}

#[test]
fn that_user_sees_no_other_keys_and_can_list_and_empty_nothing() {
    let server = Server::start();
    admit(&server, &[]);
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
