//! A server that lost its data or its scripts, became a replica, or holds foreign data.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Commit, EndReason, Error, Identity, Login, Outcome, Result, SessionId, Store, Version};

use crate::redis::fixture::{
    create, create_at, done, key_of, lease, log_in, new_id, owner, put, record, renewed, save, served_with, version_of,
};
use crate::redis::server::{Server, StopOnDrop, soon, text_of};

const TTL: Duration = Duration::from_secs(600);

fn store_on(server: &Server) -> RedisStore {
    RedisStore::with_options(RedisOptions::new().url(server.url()).retry_after("100ms")).unwrap()
}

fn save_more(store: &RedisStore, id: &SessionId, version: Version) -> Result<Outcome> {
    save(store, id, &put("more", "x"), version)
}

/// Gives the session a new id.
fn replace(store: &RedisStore, id: &SessionId, version: Version) -> Result<Outcome> {
    let new = Identity::Replace(renewed(id));
    store.commit(id, &Commit::merge(version)?.with_identity(new), &lease())
}

#[test]
fn no_session_returns_after_the_server_lost_its_data() {
    let mut server = Server::start();
    let store = store_on(&server);
    let id = create(&store);
    let version = version_of(&store, &id);

    server.kill();
    server.restart();
    soon("the store recovers", || store.ping().is_ok());
    assert!(store.get(&id).unwrap().is_none());
    assert_eq!(store.touch(&id, &lease()).unwrap(), Outcome::Gone);
    assert_eq!(save_more(&store, &id, version).unwrap(), Outcome::Gone);
    assert_eq!(replace(&store, &id, version).unwrap(), Outcome::Gone);
    assert_eq!(store.destroy(&id).unwrap(), Outcome::Gone);
    assert_eq!(server.query::<Vec<String>>(&["KEYS", "*"]), Vec::<String>::new());
    create(&store);
}

#[test]
fn flushed_scripts_are_sent_again() {
    let (server, store) = served_with(RedisOptions::new().retry_after("100ms"));
    let owners = store.owners().unwrap();
    let forget = || server.run(&["SCRIPT", "FLUSH"]);
    forget();
    let (id, other) = (create(&store), create(&store));
    forget();
    let version = version_of(&store, &id);
    forget();
    assert!(save_more(&store, &id, version).unwrap().is_done());
    forget();
    let (_, outcome) = log_in(&store, &id, Login::new(owner("ada"))).unwrap();
    done(outcome);
    forget();
    assert_eq!(store.all().unwrap().map(Result::unwrap).count(), 2);
    forget();
    assert_eq!(owners.list(&owner("ada")).unwrap().len(), 1);
    forget();
    assert_eq!(owners.destroy_all(&owner("ada"), None).unwrap(), 1);
    forget();
    assert!(store.destroy(&other).unwrap().is_done());
    forget();
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn race_scripts_are_flushed_at_any_moment() {
    let (server, store) = served_with(RedisOptions::new().retry_after("100ms"));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopOnDrop(&is_over);
        scope.spawn(|| {
            let mut link = server.connect();
            while !is_over.load(Ordering::SeqCst) {
                redis::cmd("SCRIPT").arg("FLUSH").exec(&mut link).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        });
        let workers = [(); 4].map(|()| {
            scope.spawn(|| {
                for _ in 0..100 {
                    let id = create(&store);
                    assert!(store.get(&id).unwrap().is_some());
                    assert!(store.destroy(&id).unwrap().is_done());
                }
            })
        });
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[track_caller]
fn refused(error: &Error) {
    assert!(error.is_store());
    assert!(text_of(error).contains("ReadOnly: You can't write against a read only replica"), "{}", text_of(error));
}

#[test]
fn replica_serves_reads_until_it_is_promoted() {
    // Without this delay of 0 the primary waits for further replicas.
    let mut primary = Server::with(&["--repl-diskless-sync-delay", "0"]);
    let id = create(&store_on(&primary));
    let replica = Server::start();
    replica.run(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    let store = store_on(&replica);
    soon("the replica has it", || store.get(&id).is_ok_and(|found| found.is_some()));

    let version = version_of(&store, &id);
    for _ in 0..3 {
        refused(&save_more(&store, &id, version).unwrap_err());
        refused(&store.touch(&id, &lease()).unwrap_err());
        refused(&store.destroy(&id).unwrap_err());
        refused(&create_at(&store, &new_id(), &record()).unwrap_err());
        assert!(store.get(&id).unwrap().is_some());
    }
    primary.kill();
    replica.run(&["REPLICAOF", "NO", "ONE"]);
    assert!(save_more(&store, &id, version).unwrap().is_done(), "from the next request on");
    assert!(store.destroy(&id).unwrap().is_done());
    create(&store);
}

/// The dump of a key.
fn stored(server: &Server, key: &str) -> Vec<u8> {
    redis::cmd("DUMP").arg(key).query(&mut server.connect()).unwrap()
}

/// Checks that each method fails on this session, with this error.
#[track_caller]
fn assert_fails(store: &RedisStore, id: &SessionId, version: Version, is_expected: impl Fn(&Error) -> bool) {
    let owners = store.owners().unwrap();
    let errors: BTreeMap<&str, Error> = [
        ("get", store.get(id).unwrap_err()),
        ("touch", store.touch(id, &lease()).unwrap_err()),
        ("visit", store.visit(id, &lease()).unwrap_err()),
        ("merge", save_more(store, id, version).unwrap_err()),
        ("create", create_at(store, id, &record()).unwrap_err()),
        ("set", store.set(id, record(), TTL).unwrap_err()),
        ("replace", replace(store, id, version).unwrap_err()),
        ("destroy", store.destroy(id).unwrap_err()),
        ("destroy by handle", owners.destroy_handle(id.handle(), None, EndReason::Revoked).unwrap_err()),
    ]
    .into();
    for (method, error) in errors {
        assert!(is_expected(&error), "{method}: {}", text_of(&error));
    }
}

#[test]
fn unknown_layout_is_reported_and_left_alone() {
    let (server, store) = served_with(RedisOptions::new().retry_after("100ms"));
    // So many that some are in the same part of the index.
    let (id, others) = (create(&store), [(); 100].map(|()| create(&store)));
    let version = version_of(&store, &id);
    let key = key_of(&id);
    redis::cmd("HSET").arg(&key).arg(&["m", "3 and whatever comes then"]).exec(&mut server.connect()).unwrap();
    let before = stored(&server, &key);
    let text =
        format!("stored record: session {} has layout 3, and this version of lembro knows layout 2 only", id.handle());
    assert_fails(&store, &id, version, |error| error.is_corrupt() && text_of(error) == text);
    assert_eq!(stored(&server, &key), before);
    assert!(store.get(&others[0]).unwrap().is_some(), "the others are as they were");
    let listed: Vec<_> = store.all().unwrap().collect();
    assert!(listed.iter().any(|listed| listed.as_ref().is_err_and(|error| text_of(error) == text)));
    assert_eq!(listed.iter().filter(|listed| listed.is_ok()).count(), others.len());

    for meta in ["", "2", "2s and so on"] {
        redis::cmd("HSET").arg(&key).arg("m").arg(meta).exec(&mut server.connect()).unwrap();
        let text = format!("stored record: session {} is not what lembro wrote", id.handle());
        assert_fails(&store, &id, version, |error| error.is_corrupt() && text_of(error) == text);
    }
    // `clear` removes the unreadable session, too.
    store.clear().unwrap();
    assert_eq!(redis::cmd("EXISTS").arg(&key).query::<u64>(&mut server.connect()).unwrap(), 0);
}

#[test]
fn foreign_value_is_reported_and_left_alone() {
    let (server, store) = served_with(RedisOptions::new().retry_after("100ms"));
    let id = create(&store);
    let version = version_of(&store, &id);
    let key = key_of(&id);
    redis::cmd("SET").arg(&key).arg("foreign").exec(&mut server.connect()).unwrap();
    let before = stored(&server, &key);
    assert_fails(&store, &id, version, |error| error.is_store() && text_of(error).contains("WRONGTYPE"));
    assert_eq!(stored(&server, &key), before);
    create(&store);
}

#[test]
fn foreign_entries_make_a_session_corrupt() {
    let (server, store) = served_with(RedisOptions::new().retry_after("100ms"));
    for (field, value) in [("o", ""), ("k\0key", "{"), ("k\u{7f}key", "1")] {
        let id = create(&store);
        redis::cmd("HSET").arg(key_of(&id)).arg(&[field, value]).exec(&mut server.connect()).unwrap();
        let error = store.get(&id).unwrap_err();
        assert!(error.is_corrupt());
        let expected = format!("stored record: session {} is not what lembro wrote", id.handle());
        assert_eq!(text_of(&error), expected, "{field:?}");
        assert!(store.destroy(&id).unwrap().is_done());
    }
}
