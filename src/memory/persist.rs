//! Persistence: a snapshot of all sessions, and a journal of the changes since.
//!
//! With it, a restart or a crash logs no user out and restores no ended session.
//!
//! Every change is queued under the lock of its shard, so the queue keeps the order of a session's
//! changes. After the release of the lock, the request waits until its change is written: one of
//! the waiting threads writes everything that is queued, with one system call (group commit).
//!
//! A compaction begins a new journal, writes a snapshot, and removes the earlier journals. Requests
//! change sessions while the snapshot is written, so some changes are in both the snapshot and the
//! new journal. A start may apply them twice, because a journal has whole rows: it replays the
//! journals in order after the snapshot, so the last row of every session counts.
//!
//! If the journal cannot be written, some changes are in memory only, and the store is *failing*.
//! The store is failing until a compaction succeeds, because only a new snapshot has those changes.

pub(super) mod commit_log;
pub(super) mod compaction;
pub(super) mod encoding;
mod files;
mod journal;
mod recovery;
mod replay;
mod snapshot;

use std::path::PathBuf;

use crate::units::choice;

/// When a change is flushed to the disk: the option [`sync`](crate::LembroOptions::sync).
///
/// With every value, a change is handed to the operating system before the request that made it is
/// answered. So a crash of the process, `kill -9` included, loses no acknowledged change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileSync {
    /// When the operating system chooses, usually within half a minute. If the computer loses its
    /// power, the changes since then are lost, logouts included.
    Never,
    /// Once a second, in the background. If the computer loses its power, the changes of the last
    /// second or two are lost, logouts included.
    #[default]
    EverySecond,
    /// Before the request that made the change is answered. An acknowledged change survives a loss
    /// of power, if the disk keeps what it reports as flushed.
    Always,
}

choice!(FileSync, "sync", ["never" => Never, "every_second" => EverySecond, "always" => Always]);

/// The behaviour of a start if the files of a store are damaged: the option
/// [`on_damage`](crate::LembroOptions::on_damage).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDamage {
    /// [`with_options`](crate::LembroStore::with_options) returns an error, and the files stay as
    /// they are.
    #[default]
    Refuse,
    /// The store starts with the undamaged part. The damaged files are copied to a folder beside
    /// them, and the first subscriber to [`errors`](crate::LembroStore::errors) gets an error.
    /// Changes in the damaged part are lost, logouts included.
    Salvage,
}

choice!(OnDamage, "on_damage", ["refuse" => Refuse, "salvage" => Salvage]);

/// The treatment of changes while a store's files cannot be written: the option
/// [`on_write_error`](crate::LembroOptions::on_write_error).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnWriteError {
    /// Commits and logouts fail with [`Error::is_store`](crate::Error::is_store) before they change
    /// anything. Looks still succeed.
    #[default]
    Refuse,
    /// Sessions change in memory alone. If the process ends before the files can be written again,
    /// these changes are lost, logouts included.
    Continue,
}

choice!(OnWriteError, "on_write_error", ["refuse" => Refuse, "continue" => Continue]);

pub(super) struct PersistConfig {
    pub(super) path: PathBuf,
    pub(super) sync: FileSync,
    pub(super) on_damage: OnDamage,
    pub(super) on_write_error: OnWriteError,
}
