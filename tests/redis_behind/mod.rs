//! What tests see behind the store's back: all that is in the database, and what the server was asked to do.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Changes, EndReason, Expected, Outcome, SessionId, Sessions, Store};
use redis::Connection;

use crate::redis_server::Server;

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

pub(crate) fn put(key: &str, value: &str) -> Changes {
    let mut changes = Changes::new();
    changes.insert("", key, value).unwrap();
    changes
}

pub(crate) fn seen(store: &RedisStore, id: &SessionId) -> Expected {
    Expected::Incarnation(store.get(id).unwrap().unwrap().record.version())
}

/// One session of each kind: a visitor's, a user's, a renewed one, and some that were ended. All ids that there were.
pub(crate) fn one_of_each(store: &RedisStore) -> Vec<SessionId> {
    let sessions = Sessions::new(store.clone());
    let mut ids = Vec::new();
    for owner in [None, Some("ada"), Some("bob"), Some("ada"), Some("eve")] {
        let mut session = sessions.generate().unwrap();
        session.insert("cart", &["tea"]).unwrap();
        session.set_owner(owner).unwrap();
        session.save().unwrap();
        ids.push(session.id().unwrap());
    }
    let renewed = ids[1].renewed(&SessionId::random().unwrap());
    assert_eq!(store.rotate(&ids[1], &renewed, HOUR).unwrap(), Outcome::Done);
    ids.push(renewed);
    let owners = store.owners().unwrap();
    assert!(owners.destroy_of("ada", Some(&renewed)).unwrap() > 0);
    assert_eq!(owners.destroy_handle(ids[2].handle(), EndReason::Named).unwrap(), Outcome::Done);
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
