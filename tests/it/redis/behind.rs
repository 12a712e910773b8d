//! What tests see behind the store's back: all that is in the database, and what the server was
//! asked to do.

use std::collections::BTreeMap;
use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{
    Changes, Commit, EndReason, Identity, Lease, Login, Outcome, Owner, Receipt, Record, Result, SessionId, Store,
    Version,
};
use redis::Connection;

use super::server::Server;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn store(server: &Server) -> RedisStore {
    with(server, RedisOptions::new())
}

pub(crate) fn with(server: &Server, options: RedisOptions) -> RedisStore {
    RedisStore::with_options(options.url(server.url()).timeout("10s")).unwrap()
}

/// All that is in the database: each key with what it holds, in whatever form.
pub(crate) fn everything(link: &mut Connection) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
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

/// An hour from each visit.
pub(crate) fn lease() -> Lease {
    Lease::new(HOUR)
}

pub(crate) fn put(key: &str, value: &str) -> Changes {
    let mut changes = Changes::new();
    changes.insert("", key, value).unwrap();
    changes
}

pub(crate) fn owner(name: &str) -> Owner {
    Owner::new(name).unwrap()
}

/// Creates a session with what a record has.
pub(crate) fn create_at(store: &RedisStore, id: &SessionId, record: &Record) -> Result<Outcome> {
    store.commit(id, &Commit::create()?.with(record.into()), &lease())
}

pub(crate) fn create(store: &RedisStore) -> SessionId {
    let id = SessionId::random().unwrap();
    assert!(create_at(store, &id, &[("key", "value")].into_iter().collect()).unwrap().is_done());
    id
}

/// Merges changes into the session that has this version.
pub(crate) fn save(store: &RedisStore, id: &SessionId, changes: &Changes, version: Version) -> Result<Outcome> {
    store.commit(id, &Commit::merge(version)?.with(changes.clone()), &lease())
}

pub(crate) fn seen(store: &RedisStore, id: &SessionId) -> Version {
    store.get(id).unwrap().unwrap().record.version()
}

pub(crate) fn done(outcome: Outcome) -> Receipt {
    outcome.receipt().unwrap_or_else(|| panic!("{outcome:?}"))
}

/// A new session of this owner.
pub(crate) fn create_owned(store: &RedisStore, name: &str) -> SessionId {
    let id = SessionId::random().unwrap();
    let login = Commit::create().unwrap().with(put("cart", "tea")).log_in(Login::new(owner(name)));
    done(store.commit(&id, &login, &lease()).unwrap());
    id
}

/// Logs in with a session that is there; the new id.
pub(crate) fn log_in(store: &RedisStore, id: &SessionId, login: Login) -> Result<(SessionId, Outcome)> {
    let new = id.renewed(&SessionId::random()?);
    let version = store.get(id)?.map(|stored| stored.record.version()).unwrap_or_default();
    let commit = Commit::merge(version)?.identity(Identity::Replace(new)).log_in(login);
    Ok((new, store.commit(id, &commit, &lease())?))
}

/// One session of each kind: a visitor's, a user's, one that logged in, one whose renewal is
/// pending, and some that were ended. All ids that there were; the last one is the user's who is
/// logged in.
pub(crate) fn one_of_each(store: &RedisStore) -> Vec<SessionId> {
    let mut ids = vec![create(store)];
    ids.extend(["ada", "bob", "ada", "eve"].map(|name| create_owned(store, name)));
    let (new, outcome) = log_in(store, &ids[1], Login::new(owner("ada"))).unwrap();
    done(outcome);
    ids.push(new);
    let renew = Commit::merge(seen(store, &ids[4])).unwrap().identity(Identity::Renew(7));
    let always = Lease { renew_after: Some(Duration::ZERO), grace: Duration::ZERO, ..lease() };
    ids.push(done(store.commit(&ids[4], &renew, &always).unwrap()).announce.unwrap());
    let owners = store.owners().unwrap();
    assert!(owners.destroy_all(&owner("ada"), Some(new.handle())).unwrap() > 0);
    done(owners.destroy_handle(ids[2].handle(), Some(&owner("bob")), EndReason::Named).unwrap());
    let last = ids.len() - 1;
    ids.swap(5, last);
    ids
}

/// What the server was asked to do, by name, since the counts were set back.
pub(crate) fn asked(link: &mut Connection) -> BTreeMap<String, usize> {
    let info: String = redis::cmd("INFO").arg("commandstats").query(link).unwrap();
    let lines = info.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    lines.map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().parse().unwrap())).collect()
}

pub(crate) fn forget_what_was_asked(link: &mut Connection) {
    let _: () = redis::cmd("CONFIG").arg("RESETSTAT").query(link).unwrap();
}
