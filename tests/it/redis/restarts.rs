//! Promise: a server that forgot, that is another one now, or that holds what lembro did not write
//! has one clear outcome each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Commit, EndReason, Error, Identity, Login, Outcome, Record, Result, SessionId, Store, Version};

use crate::redis::behind::{create, create_at, done, lease, log_in, owner, put, save};
use crate::redis::server::{Over, Server, soon, told};

const TTL: Duration = Duration::from_secs(600);

fn store_on(server: &Server) -> RedisStore {
    RedisStore::with_options(RedisOptions::new().url(server.url()).retry_after("100ms")).unwrap()
}

fn record() -> Record {
    [("key", "value")].into_iter().collect()
}

fn save_more(store: &RedisStore, id: &SessionId, version: Version) -> Result<Outcome> {
    save(store, id, &put("more", "x"), version)
}

/// The session gets a new id.
fn replace(store: &RedisStore, id: &SessionId, version: Version) -> Result<Outcome> {
    let new = Identity::Replace(id.renewed(&SessionId::random()?));
    store.commit(id, &Commit::merge(version)?.identity(new), &lease())
}

fn key_of(id: &SessionId) -> String {
    format!("lembro:{{{}}}", id.handle())
}

#[test]
fn a_server_that_lost_everything_has_no_sessions_and_none_comes_back() {
    let mut server = Server::start();
    let store = store_on(&server);
    let id = create(&store);
    let version = store.get(&id).unwrap().unwrap().record.version();

    server.kill();
    server.restart();
    soon("it works again by itself", || store.ping().is_ok());
    assert!(store.get(&id).unwrap().is_none());
    assert_eq!(store.touch(&id, &lease()).unwrap(), Outcome::Gone);
    assert_eq!(save_more(&store, &id, version).unwrap(), Outcome::Gone);
    assert_eq!(replace(&store, &id, version).unwrap(), Outcome::Gone);
    assert_eq!(store.destroy(&id).unwrap(), Outcome::Gone);
    assert_eq!(redis::cmd("KEYS").arg("*").query::<Vec<String>>(&mut server.connect()).unwrap(), Vec::<String>::new());
    create(&store);
}

#[test]
fn a_server_that_forgot_the_scripts_is_told_them_again() {
    let server = Server::start();
    let store = store_on(&server);
    let owners = store.owners().unwrap();
    let forget = || redis::cmd("SCRIPT").arg("FLUSH").exec(&mut server.connect()).unwrap();
    forget();
    let (id, other) = (create(&store), create(&store));
    forget();
    let version = store.get(&id).unwrap().unwrap().record.version();
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
fn scripts_may_be_forgotten_at_any_moment() {
    let server = Server::start();
    let store = store_on(&server);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
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
    assert!(told(error).contains("ReadOnly: You can't write against a read only replica"), "{}", told(error));
}

#[test]
fn a_replica_is_read_and_says_what_it_is_until_it_is_the_primary() {
    // By itself it would wait for others that want the same.
    let mut primary = Server::with(&["--repl-diskless-sync-delay", "0"]);
    let id = create(&store_on(&primary));
    let replica = Server::start();
    let mut link = replica.connect();
    redis::cmd("REPLICAOF").arg("127.0.0.1").arg(primary.port).exec(&mut link).unwrap();
    let store = store_on(&replica);
    soon("the replica has it", || store.get(&id).is_ok_and(|found| found.is_some()));

    let version = store.get(&id).unwrap().unwrap().record.version();
    for _ in 0..3 {
        refused(&save_more(&store, &id, version).unwrap_err());
        refused(&store.touch(&id, &lease()).unwrap_err());
        refused(&store.destroy(&id).unwrap_err());
        refused(&create_at(&store, &SessionId::random().unwrap(), &record()).unwrap_err());
        assert!(store.get(&id).unwrap().is_some());
    }
    primary.kill();
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut link).unwrap();
    assert!(save_more(&store, &id, version).unwrap().is_done(), "from the next call on");
    assert!(store.destroy(&id).unwrap().is_done());
    create(&store);
}

/// What is stored under a key, as it is.
fn stored(server: &Server, key: &str) -> Vec<u8> {
    redis::cmd("DUMP").arg(key).query(&mut server.connect()).unwrap()
}

/// Everything that a store does with a session fails, in such a way.
#[track_caller]
fn fails(store: &RedisStore, id: &SessionId, version: Version, as_told: impl Fn(&Error) -> bool) {
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
        ("destroy by handle", owners.destroy_handle(id.handle(), None, EndReason::Named).unwrap_err()),
    ]
    .into();
    for (method, error) in errors {
        assert!(as_told(&error), "{method}: {}", told(&error));
    }
}

#[test]
fn a_session_of_another_layout_is_named_and_left_as_it_is() {
    let server = Server::start();
    let store = store_on(&server);
    // So many that some share a part of the index with it.
    let (id, others) = (create(&store), [(); 100].map(|()| create(&store)));
    let version = store.get(&id).unwrap().unwrap().record.version();
    let key = key_of(&id);
    redis::cmd("HSET").arg(&key).arg(&["m", "3 and whatever comes then"]).exec(&mut server.connect()).unwrap();
    let before = stored(&server, &key);
    let text =
        format!("stored record: session {} has layout 3, and this version of lembro knows layout 2 only", id.handle());
    fails(&store, &id, version, |error| error.is_corrupt() && told(error) == text);
    assert_eq!(stored(&server, &key), before);
    assert!(store.get(&others[0]).unwrap().is_some(), "the others are as they were");
    let listed: Vec<_> = store.all().unwrap().collect();
    assert!(listed.iter().any(|listed| listed.as_ref().is_err_and(|error| told(error) == text)));
    assert_eq!(listed.iter().filter(|listed| listed.is_ok()).count(), others.len());

    for meta in ["", "2", "2s and so on"] {
        redis::cmd("HSET").arg(&key).arg("m").arg(meta).exec(&mut server.connect()).unwrap();
        let text = format!("stored record: session {} is not what lembro wrote", id.handle());
        fails(&store, &id, version, |error| error.is_corrupt() && told(error) == text);
    }
    // Whoever clears everything means everything.
    store.clear().unwrap();
    assert_eq!(redis::cmd("EXISTS").arg(&key).query::<u64>(&mut server.connect()).unwrap(), 0);
}

#[test]
fn what_is_no_session_is_told_and_left_as_it_is() {
    let server = Server::start();
    let store = store_on(&server);
    let id = create(&store);
    let version = store.get(&id).unwrap().unwrap().record.version();
    let key = key_of(&id);
    redis::cmd("SET").arg(&key).arg("somebody's").exec(&mut server.connect()).unwrap();
    let before = stored(&server, &key);
    fails(&store, &id, version, |error| error.is_store() && told(error).contains("WRONGTYPE"));
    assert_eq!(stored(&server, &key), before);
    create(&store);
}

#[test]
fn entries_that_lembro_did_not_write_are_no_session() {
    let server = Server::start();
    let store = store_on(&server);
    for (field, value) in [("o", ""), ("k\0key", "{"), ("k\u{7f}key", "1")] {
        let id = create(&store);
        redis::cmd("HSET").arg(key_of(&id)).arg(&[field, value]).exec(&mut server.connect()).unwrap();
        let error = store.get(&id).unwrap_err();
        assert!(error.is_corrupt());
        let expected = format!("stored record: session {} is not what lembro wrote", id.handle());
        assert_eq!(told(&error), expected, "{field:?}");
        assert!(store.destroy(&id).unwrap().is_done());
    }
}
