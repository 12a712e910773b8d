//! `Store` and `Owners` on an `SQLite` file that several processes share, and the contract suite.
//!
//! Run `cargo run --example store_sqlite --features testing`. The page about stores in a database
//! explains each part; start your own store from a copy of this file.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use lembro::{
    Action, Clock, EndReason, Entry, Epoch, Error, Handle, Lease, Listed, Listing, Look, Lookup, Now, Outcome, Owner,
    Owners, Receipt, Result, SessionId, Store, Write, testing,
};
use rusqlite::{Connection, Params, TransactionBehavior, params};

/// Times are milliseconds since 1970. A row with an `ended` is an ended session: it stays until its
/// deadline to say why it ended.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS sessions (handle INTEGER PRIMARY KEY, owner TEXT, deadline INTEGER, ended TEXT, row BLOB);
    CREATE INDEX IF NOT EXISTS owners ON sessions (owner) WHERE owner IS NOT NULL;
    CREATE INDEX IF NOT EXISTS deadlines ON sessions (deadline);
    CREATE TABLE IF NOT EXISTS epochs (owner TEXT PRIMARY KEY, epoch INTEGER) WITHOUT ROWID;";

/// The values of `ended`, which are stored by name.
const REASONS: [EndReason; 3] = [EndReason::LoggedOutEverywhere, EndReason::Revoked, EndReason::Limit];

#[derive(Debug)]
pub(crate) struct SqliteStore {
    connection: Mutex<Connection>,
    clock: Clock,
}

impl SqliteStore {
    pub(crate) fn open(path: &Path, clock: &Clock) -> Result<Self> {
        let connection = Connection::open(path).map_err(Error::store)?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(Error::store)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(Error::store)?;
        connection.execute_batch(TABLES).map_err(Error::store)?;
        Ok(Self { connection: Mutex::new(connection), clock: clock.clone() })
    }

    /// Removes expired rows, and epochs that are more than a day old. One process calls it from
    /// time to time.
    #[allow(dead_code, reason = "called by a server and by the tests")]
    pub(crate) fn purge(&self) -> Result<usize> {
        self.step("purged", |tables| {
            tables.write("DELETE FROM epochs WHERE epoch < ?1", [tables.now_ms() - 24 * 60 * 60 * 1000])?;
            tables.write("DELETE FROM sessions WHERE deadline <= ?1", [tables.now_ms()])
        })
    }

    fn read<R>(&self, read: impl FnOnce(Tables<'_>) -> Result<R>) -> Result<R> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        read(Tables { connection: &connection, now: Now::on_calendar(&self.clock) })
    }

    /// Runs a step in one transaction. The transaction may write from its start, so no step of any
    /// process comes between its reads and its writes.
    fn step<R>(&self, what: impl std::fmt::Display, step: impl FnOnce(Tables<'_>) -> Result<R>) -> Result<R> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Error::store)?;
        // The time is read after waiting for other transactions.
        let done = step(Tables { connection: &begun, now: Now::on_calendar(&self.clock) })?;
        // Each error before the COMMIT rolls back. A COMMIT that fails may have reached the disk.
        begun.commit().map_err(|error| Error::unknown(what).caused_by(error))?;
        Ok(done)
    }
}

/// The tables at one instant.
#[derive(Clone, Copy)]
struct Tables<'a> {
    connection: &'a Connection,
    now: Now,
}

impl Tables<'_> {
    fn now_ms(self) -> i64 {
        let since = self.now.calendar().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn write(self, sql: &str, values: impl Params) -> Result<usize> {
        self.connection.prepare_cached(sql).and_then(|mut sql| sql.execute(values)).map_err(Error::store)
    }

    /// The rows that a condition selects, each with its `ended`.
    fn rows(self, condition: &str, values: impl Params) -> Result<Vec<(Handle, Entry, Option<String>)>> {
        let sql = format!("SELECT handle, row, ended FROM sessions WHERE {condition}");
        let mut sql = self.connection.prepare_cached(&sql).map_err(Error::store)?;
        let rows = sql.query_map(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(Error::store)?;
        let read = |row: rusqlite::Result<(i64, Vec<u8>, Option<String>)>| {
            let (handle, bytes, ended) = row.map_err(Error::store)?;
            Ok((Handle::from_u64(handle.cast_unsigned()), Entry::from_bytes(&bytes)?, ended))
        };
        rows.map(read).collect()
    }

    fn row(self, handle: Handle) -> Result<Option<Entry>> {
        let mut rows = self.rows("handle = ?1 AND ended IS NULL", [number(handle)])?;
        Ok(rows.pop().map(|(_, row, _)| row))
    }

    fn list(self, condition: &str, values: impl Params) -> Result<Vec<Listed>> {
        let rows = self.rows(condition, values)?;
        Ok(rows.into_iter().filter_map(|(handle, row, _)| row.listed(handle, self.now)).collect())
    }

    fn owned(self, owner: &Owner) -> Result<Vec<Listed>> {
        self.list("owner = ?1 AND ended IS NULL", [owner.as_str()])
    }

    fn epoch(self, owner: &Owner) -> Result<Epoch> {
        let sql = "SELECT coalesce(max(epoch), 0) FROM epochs WHERE owner = ?1";
        let epoch = self.connection.query_row(sql, [owner.as_str()], |row| row.get::<_, i64>(0));
        epoch.map(|epoch| Epoch::from_u64(epoch.cast_unsigned())).map_err(Error::store)
    }

    fn keep(self, handle: Handle, write: &Write) -> Result<()> {
        match write {
            Write::Nothing => Ok(()),
            Write::Remove => self.write("DELETE FROM sessions WHERE handle = ?1", [number(handle)]).map(drop),
            Write::Put(row) => {
                let values = params![number(handle), row.record().owner(), row.deadline_ms(), row.to_bytes()];
                self.write("INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3, NULL, ?4)", values).map(drop)
            }
        }
    }

    fn end(self, handle: Handle, reason: EndReason) -> Result<()> {
        let values = params![number(handle), format!("{reason:?}")];
        self.write("UPDATE sessions SET ended = ?2 WHERE handle = ?1", values).map(drop)
    }
}

/// A handle as a signed number, for the database.
fn number(handle: Handle) -> i64 {
    handle.to_u64().cast_signed()
}

fn opens(row: Option<&Entry>, id: &SessionId, now: Now) -> bool {
    Entry::look(row, id, Look::Peek, &Lease::UNLIMITED, now).0.found().is_some()
}

impl Store for SqliteStore {
    fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
        let ask = |tables: Tables<'_>| {
            let row = tables.row(id.handle())?;
            Ok(Entry::look(row.as_ref(), id, how, lease, tables.now))
        };
        // Most looks write nothing, so they need not wait for writing transactions.
        if let (lookup, Write::Nothing) = self.read(ask)? {
            return Ok(lookup);
        }
        self.step(id.handle(), |tables| {
            let (lookup, write) = ask(tables)?;
            tables.keep(id.handle(), &write).map(|()| lookup)
        })
    }

    fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
        self.step(id.handle(), |tables| {
            let (row, login) = (tables.row(id.handle())?, action.login());
            let epoch = login.map(|login| tables.epoch(&login.owner)).transpose()?;
            let (outcome, write) = Entry::apply(row.as_ref(), id, action, lease, tables.now, epoch)?;
            if let (Some(login), Write::Put(_)) = (login, &write)
                && let Some(limit) = login.limit
            {
                let Some(surplus) = limit.surplus(tables.owned(&login.owner)?, id.handle()) else {
                    return Ok(Outcome::AtLimit);
                };
                surplus.into_iter().try_for_each(|handle| tables.end(handle, EndReason::Limit))?;
            }
            tables.keep(id.handle(), &write).map(|()| outcome)
        })
    }

    fn all(&self) -> Result<Listing<'_>> {
        let live = self.read(|tables| tables.list("deadline > ?1 AND ended IS NULL", [tables.now_ms()]))?;
        Ok(Box::new(live.into_iter().map(Ok)))
    }

    fn len(&self) -> Result<usize> {
        self.all().map(Iterator::count)
    }

    fn clear(&self) -> Result<()> {
        self.step("cleared", |tables| tables.write("DELETE FROM sessions", []).map(drop))
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }
}

impl Owners for SqliteStore {
    fn epoch(&self, owner: &Owner) -> Result<Epoch> {
        self.read(|tables| tables.epoch(owner))
    }

    fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
        self.read(|tables| tables.owned(owner))
    }

    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
        self.step(handle, |tables| {
            let listed = tables.row(handle)?.and_then(|row| row.listed(handle, tables.now));
            let record = listed.map(|listed| listed.stored.record);
            match record.filter(|record| owner.is_none_or(|owner| record.owner() == Some(owner.as_str()))) {
                None => Ok(Outcome::Gone),
                Some(record) => tables.end(handle, reason).map(|()| Outcome::Done(Receipt::ended(record.version()))),
            }
        })
    }

    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
        self.step("of an owner", |tables| {
            // An epoch is a time, so it does not go back after an old one was purged.
            let sql = "INSERT INTO epochs VALUES (?1, ?2) ON CONFLICT DO UPDATE SET epoch = max(epoch + 1, ?2)";
            tables.write(sql, params![owner.as_str(), tables.now_ms()])?;
            let mut sessions = tables.owned(owner)?;
            sessions.retain(|session| Some(session.handle) != except);
            sessions.iter().try_for_each(|session| tables.end(session.handle, EndReason::LoggedOutEverywhere))?;
            Ok(sessions.len())
        })
    }

    fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
        self.read(|tables| {
            let ended = tables.rows("handle = ?1 AND ended IS NOT NULL", [number(id.handle())])?.pop();
            let ended = ended.filter(|(_, row, _)| opens(Some(row), id, tables.now)).and_then(|(_, _, ended)| ended);
            Ok(REASONS.into_iter().find(|reason| ended == Some(format!("{reason:?}"))))
        })
    }
}

/// Runs the contract suite on one store, on a store reopened before each call, and on two handles.
pub(crate) fn check(folder: &Path) -> [testing::Report; 3] {
    let (time, files) = (Clock::manual(), AtomicUsize::new(0));
    let new_file = || folder.join(format!("{}.sqlite", files.fetch_add(1, Ordering::Relaxed)));
    let open = |path: &Path, clock: &Clock| SqliteStore::open(path, clock).expect("the file opens");
    let data = || {
        let path = new_file();
        move |clock: &Clock| open(&path, clock)
    };
    [
        testing::check(&time, || open(&new_file(), &Clock::from(&time))),
        testing::check(&time, testing::reopened(&time, data)),
        testing::check(&time, testing::two_handles(&time, data)),
    ]
}

fn main() -> std::io::Result<()> {
    let folder = std::env::temp_dir().join(format!("lembro-sqlite-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let reports = check(&folder);
    std::fs::remove_dir_all(&folder)?;
    for report in reports {
        println!("{report}");
        assert!(report.is_kept());
    }
    Ok(())
}
