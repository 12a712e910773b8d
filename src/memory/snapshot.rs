//! Snapshots: all sessions in one file, and a store that begins with them, so that a restart logs
//! no user out.

mod draft;
mod format;
mod reader;
mod writer;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use self::draft::Draft;
use self::format::Noon;
use self::reader::{Contents, unreadable};
use self::writer::Writer;
use super::shards::Shards;
use super::stats::unix_millis;
use crate::clock::stopwatch;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::sync::Mutex;

/// One snapshot, from [`LembroStore::snapshot`](crate::LembroStore::snapshot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// When it began. serde writes milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub at: SystemTime,
    /// How long it took. serde writes seconds and nanoseconds.
    pub took: Duration,
    /// How many sessions the file holds.
    pub sessions: usize,
    /// The size of the file.
    pub bytes: u64,
}

/// What became of the sessions in the file that a store began with: see
/// [`LembroOptions::restore`](crate::LembroOptions::restore).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Restored {
    /// When the snapshot was taken. serde writes milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub taken_at: SystemTime,
    /// How long reading it took. serde writes seconds and nanoseconds.
    pub took: Duration,
    /// How many sessions are in the store again.
    pub sessions: usize,
    /// How many had expired since they were written.
    pub expired: usize,
    /// How many were evicted, because `max_size` is less than what the file holds.
    pub evicted: usize,
    /// How many are larger than `max_session_size` is now.
    pub refused: usize,
}

/// What happens when the file to [restore](crate::LembroOptions::restore) exists but is not a
/// whole, sound snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BadSnapshot {
    /// No store is made: [`with_options`](crate::LembroStore::with_options) returns the error.
    #[default]
    Refuse,
    /// The store begins empty, and the first subscriber to [`errors`](crate::LembroStore::errors)
    /// receives the error.
    StartEmpty,
}

/// The snapshots of a store: the last one written, and the one it began with.
#[derive(Default)]
pub(super) struct Log {
    /// Held while a snapshot is written, so that an older one never replaces a newer one.
    turn: Mutex<()>,
    pub(super) last: Mutex<Option<Snapshot>>,
    pub(super) restored: Mutex<Option<Restored>>,
}

/// Writes all live sessions to a file.
pub(super) fn write(shards: &Shards, path: &Path) -> Result<Snapshot> {
    let _turn = shards.snapshots.turn.lock();
    let elapsed = stopwatch();
    let at = shards.clock.wall();
    let written = write_file(shards, path);
    let (sessions, bytes) = written.map_err(|error| Error::snapshot(path, format!("it cannot be written: {error}")))?;
    Draft::sweep(path, at);
    let snapshot = Snapshot { at, took: elapsed(), sessions, bytes };
    *shards.snapshots.last.lock() = Some(snapshot);
    shards.events.publish(|| Event::Snapshot { sessions, bytes, took: snapshot.took });
    Ok(snapshot)
}

fn write_file(shards: &Shards, path: &Path) -> io::Result<(usize, u64)> {
    let draft = Draft::of(path)?;
    let mut writer = Writer::begin(draft.file(), Noon::of(&shards.clock))?;
    shards.copies(|shard| writer.shard(shard))?;
    // The epoch is read last, because one that is too high is safe.
    let figures = writer.finish(shards.epochs.current().to_u64())?;
    draft.publish()?;
    Ok(figures)
}

/// Fills a new store with the sessions of a file, if the file exists.
pub(super) fn restore(shards: &Shards, path: &Path, bad: BadSnapshot) -> Result<()> {
    let elapsed = stopwatch();
    let contents = match read_file(path, Noon::of(&shards.clock)) {
        Ok(Some(contents)) => contents,
        Ok(None) => return Ok(()),
        Err(problem) => {
            let error = Error::snapshot(path, problem);
            if bad == BadSnapshot::Refuse {
                return Err(error);
            }
            shards.errors.leave(error);
            return Ok(());
        }
    };
    shards.epochs.resume(contents.epoch);
    let expired = contents.expired;
    let taken_at = UNIX_EPOCH.checked_add(Duration::from_nanos(contents.taken_at)).unwrap_or(UNIX_EPOCH);
    let done = shards.readmit(contents.sessions);
    let (sessions, evicted, refused, took) = (done.sessions, done.evicted, done.refused, elapsed());
    *shards.snapshots.restored.lock() = Some(Restored { taken_at, took, sessions, expired, evicted, refused });
    shards.events.leave(Event::Restored { sessions, expired, evicted, refused, took });
    Ok(())
}

/// `None`: the file does not exist, as at the first start.
fn read_file(path: &Path, noon: Noon) -> Result<Option<Contents>, reader::Problem> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
        // A pipe is not opened, because opening it waits for a writer.
        Ok(found) if !found.is_file() => return Err("it is not a file".to_owned()),
        Ok(_) => {}
    }
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let size = file.metadata().map_err(|error| unreadable(&error))?.len();
    // Most of the file is read in chunks that are larger than the buffer and bypass it.
    reader::read(io::BufReader::new(file), size, noon).map(Some)
}
