//! `KeyValue` on an `SQLite` table, and the contract suite run against it.
//!
//! Run `cargo run --example kv_sqlite --features testing`. Copy `Sqlite` into your server for
//! sessions that outlive one process.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lembro::{Clock, Error, KeyValue, KeyValueStore, Result, testing};
use rusqlite::{Connection, OptionalExtension as _, Params, params};

/// A table of entries, for one process at a time. Several processes need the transactions of
/// `examples/store_sqlite.rs`.
pub(crate) struct Sqlite(Mutex<Connection>);

impl Sqlite {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let table = "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, bytes BLOB, until INTEGER)";
        let connection = Connection::open(path).map_err(Error::store)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(Error::store)?;
        connection.execute_batch(table).map_err(Error::store)?;
        Ok(Self(Mutex::new(connection)))
    }

    /// Removes expired entries. Call it from time to time.
    #[allow(dead_code, reason = "called by a server and by the tests")]
    pub(crate) fn purge(&self) -> Result<usize> {
        self.write("DELETE FROM entries WHERE until <= ?1", [seconds(Duration::ZERO)])
    }

    fn write(&self, sql: &str, values: impl Params) -> Result<usize> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connection.prepare_cached(sql).and_then(|mut sql| sql.execute(values)).map_err(Error::store)
    }
}

/// A moment after now, in seconds since 1970.
fn seconds(from_now: Duration) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from((since + from_now).as_secs()).unwrap_or(i64::MAX)
}

impl KeyValue for Sqlite {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = connection.prepare_cached("SELECT bytes FROM entries WHERE key = ?1");
        sql.and_then(|mut sql| sql.query_row([key], |row| row.get(0)).optional()).map_err(Error::store)
    }

    fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<()> {
        self.write("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3)", params![key, bytes, seconds(ttl)]).map(drop)
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.write("DELETE FROM entries WHERE key = ?1", [key]).map(drop)
    }
}

fn main() {
    let time = Clock::manual();
    let store = || KeyValueStore::with_clock(Sqlite::open(Path::new(":memory:")).expect("it opens"), &time);
    let report = testing::check(&time, store);
    println!("{report}");
    assert!(report.is_kept());
}
