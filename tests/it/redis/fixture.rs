//! Stores, sessions and commits for tests on Redis, and what the server holds and was asked to do.

use std::collections::BTreeMap;
use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{
    Changes, Commit, EndReason, Identity, Lease, Login, Outcome, Receipt, Record, Result, SessionId, Store, Version,
};

use crate::redis::server::Server;
pub(crate) use crate::support::steps::{new_id, owner, renewed};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn store(server: &Server) -> RedisStore {
    store_with(server, RedisOptions::new())
}

/// With a timeout that a busy machine does not exceed.
pub(crate) fn store_with(server: &Server, options: RedisOptions) -> RedisStore {
    RedisStore::with_options(options.url(server.url()).timeout("10s")).unwrap()
}

/// A new server, and a store on it.
pub(crate) fn served() -> (Server, RedisStore) {
    served_with(RedisOptions::new())
}

pub(crate) fn served_with(options: RedisOptions) -> (Server, RedisStore) {
    let server = Server::start();
    let store = store_with(&server, options);
    (server, store)
}

/// Each key on the server with its value, raw and as a dump.
pub(crate) fn dump(server: &Server) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
    let link = &mut server.connect();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(link).unwrap();
    let read = |key: Vec<u8>| {
        let kind: String = redis::cmd("TYPE").arg(&key).query(link).unwrap();
        let words: &[&str] = match kind.as_str() {
            "hash" => &["HGETALL"],
            "zset" => &["ZRANGE", "0", "-1", "WITHSCORES"],
            "string" => &["GET"],
            other => panic!("a {other}"),
        };
        let mut command = redis::cmd(words[0]);
        let value: redis::Value = command.arg(&key).arg(&words[1..]).query(link).unwrap();
        let mut parts: Vec<Vec<u8>> = match value {
            redis::Value::Array(parts) => parts.iter().map(|part| redis::from_redis_value_ref(part).unwrap()).collect(),
            value => vec![redis::from_redis_value(value).unwrap()],
        };
        parts.push(redis::cmd("DUMP").arg(&key).query(link).unwrap());
        (key, parts)
    };
    keys.into_iter().map(read).collect()
}

/// How often the server ran each command since the last [`reset_counts`].
pub(crate) fn command_counts(server: &Server) -> BTreeMap<String, usize> {
    let info: String = server.query(&["INFO", "commandstats"]);
    let lines = info.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    lines.map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().parse().unwrap())).collect()
}

pub(crate) fn reset_counts(server: &Server) {
    server.run(&["CONFIG", "RESETSTAT"]);
}

/// The key of a session's hash.
pub(crate) fn key_of(id: &SessionId) -> String {
    format!("lembro:{{{}}}", id.handle())
}

/// Each visit prolongs to an hour.
pub(crate) fn lease() -> Lease {
    Lease::new(HOUR)
}

pub(crate) fn record() -> Record {
    [("key", "value")].into_iter().collect()
}

pub(crate) fn put(key: &str, value: &str) -> Changes {
    let mut changes = Changes::new();
    changes.insert("", key, value).unwrap();
    changes
}

pub(crate) fn create_at(store: &RedisStore, id: &SessionId, record: &Record) -> Result<Outcome> {
    store.commit(id, &Commit::create()?.with(record.into()), &lease())
}

pub(crate) fn create(store: &RedisStore) -> SessionId {
    let id = new_id();
    done(create_at(store, &id, &record()).unwrap());
    id
}

/// Merges changes into the session that has this version.
pub(crate) fn save(store: &RedisStore, id: &SessionId, changes: &Changes, version: Version) -> Result<Outcome> {
    store.commit(id, &Commit::merge(version)?.with(changes.clone()), &lease())
}

pub(crate) fn is_live(store: &RedisStore, id: &SessionId) -> bool {
    store.get(id).unwrap().is_some()
}

pub(crate) fn version_of(store: &RedisStore, id: &SessionId) -> Version {
    store.get(id).unwrap().unwrap().record.version()
}

#[track_caller]
pub(crate) fn done(outcome: Outcome) -> Receipt {
    outcome.receipt().unwrap_or_else(|| panic!("{outcome:?}"))
}

/// Creates a session by a login.
pub(crate) fn create_owned(store: &RedisStore, name: &str) -> SessionId {
    let id = new_id();
    done(create_logged_in(store, &id, Login::new(owner(name))));
    id
}

pub(crate) fn create_logged_in(store: &RedisStore, id: &SessionId, login: Login) -> Outcome {
    store.commit(id, &Commit::create().unwrap().with(put("cart", "tea")).log_in(login), &lease()).unwrap()
}

/// Logs in with a session. Returns the new id.
pub(crate) fn log_in(store: &RedisStore, id: &SessionId, login: Login) -> Result<(SessionId, Outcome)> {
    let new = renewed(id);
    let version = store.get(id)?.map(|stored| stored.record.version()).unwrap_or_default();
    let commit = Commit::merge(version)?.with_identity(Identity::Replace(new)).log_in(login);
    Ok((new, store.commit(id, &commit, &lease())?))
}

/// Creates sessions of each kind: without an owner, with an owner, logged in later, with a pending
/// renewal, and ended ones. Returns all ids that existed; the last one is of ada's live session.
pub(crate) fn one_of_each(store: &RedisStore) -> Vec<SessionId> {
    let mut ids = vec![create(store)];
    ids.extend(["ada", "bob", "ada", "eve"].map(|name| create_owned(store, name)));
    let (new, outcome) = log_in(store, &ids[1], Login::new(owner("ada"))).unwrap();
    done(outcome);
    ids.push(new);
    let renew = Commit::merge(version_of(store, &ids[4])).unwrap().with_identity(Identity::Renew(7));
    let always = Lease { renew_after: Some(Duration::ZERO), grace: Duration::ZERO, ..lease() };
    ids.push(done(store.commit(&ids[4], &renew, &always).unwrap()).announce.unwrap());
    let owners = store.owners().unwrap();
    assert!(owners.destroy_all(&owner("ada"), Some(new.handle())).unwrap() > 0);
    done(owners.destroy_handle(ids[2].handle(), Some(&owner("bob")), EndReason::Revoked).unwrap());
    let last = ids.len() - 1;
    ids.swap(5, last);
    ids
}
