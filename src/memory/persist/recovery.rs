//! Recovery: the start of a store from its files, and the search for damage in them.

use std::fs::File;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use super::commit_log::CommitLog;
use super::encoding::{ClockAnchor, MAX_COUNT};
use super::files::{Problem, StoreFiles};
use super::journal::{self, JournalSummary};
use super::replay::{LastTouches, Replay, RestorePool};
use super::snapshot::{self, SnapshotSummary};
use super::{OnDamage, OnWriteError, PersistConfig};
use crate::clock::stopwatch;
use crate::error::{Error, Result as LembroResult};
use crate::event::Event;
use crate::memory::routing::ShardedStore;
use crate::memory::shard::copy::RestoredEntry;
use crate::memory::stats::Restored;

impl CommitLog {
    /// Locks the files, fills a new store with their sessions, and begins to write.
    pub(in crate::memory) fn open(store: &ShardedStore, config: PersistConfig) -> LembroResult<Self> {
        let refuse = |problem: Problem| Error::persist(&config.path, problem);
        let files = StoreFiles::lock(&config.path).map_err(refuse)?;
        let elapsed = stopwatch();
        let salvage = config.on_damage == OnDamage::Salvage;
        let (damage, generation) = load(store, &files, salvage, elapsed).map_err(refuse)?;
        if let Some(problem) = damage {
            let folder =
                files.copy_damaged().map_err(|error| refuse(format!("{problem}, and no copy can be kept: {error}")))?;
            let text =
                format!("{problem}; the undamaged part was read, and a copy of the files is in {}", folder.display());
            store.errors.publish_early(refuse(text));
        }
        let log = Self::new(files, config, store.clock.clone(), generation);
        // The first compaction shows at once whether the files can be written.
        if let Err(error) = log.compact(store) {
            if log.config.on_write_error == OnWriteError::Refuse {
                return Err(error);
            }
            store.errors.publish_early(error);
        }
        Ok(log)
    }
}

/// Fills a new store with the sessions of the files. Returns the damage in the files, if any, and
/// the generation of the last journal. Without `salvage`, damage is an error.
fn load(
    store: &ShardedStore,
    files: &StoreFiles,
    salvage: bool,
    elapsed: impl Fn() -> Duration,
) -> Result<(Option<Problem>, u64), Problem> {
    let refuse_damage = |damage: &Option<Problem>| match damage {
        Some(problem) if !salvage => Err(problem.clone()),
        _ => Ok(()),
    };
    let generations = files.journals().map_err(|error| format!("its folder cannot be read: {error}"))?;
    let mut anchor = ClockAnchor::of(&store.clock);
    let (mut journals, mut touches) = (Vec::new(), LastTouches::new(anchor.calendar));
    for generation in &generations {
        let journal = journal::read(&files.journal(*generation), *generation, |frame| touches.frame(frame));
        // A calendar that was set back since the last frame must not prolong sessions.
        anchor.calendar = anchor.calendar.max(journal.last_written);
        journals.push((*generation, journal));
    }
    let (mut pool, mut expired) = (RestorePool::new(store.max_size), 0);
    let snapshot = read_snapshot(files, anchor, |session, anchor| {
        if touches.prolong(&session.record, anchor) {
            pool.add(session);
        } else {
            expired += 1;
        }
    });
    let (taken_at, base) = snapshot.as_ref().map_or((0, 0), |snapshot| (snapshot.taken_at, snapshot.base));
    anchor.calendar = anchor.calendar.max(taken_at);
    let last = generations.last().copied().unwrap_or(0).max(base);
    journals.retain(|(generation, _)| *generation >= base);
    let mut damage = find_damage(snapshot.as_ref(), &journals);
    refuse_damage(&damage)?;
    if snapshot.is_none() && damage.is_none() {
        return Ok((None, last));
    }
    store.epochs.resume(snapshot.and_then(|snapshot| snapshot.epoch).unwrap_or(0));
    let mut replay = Replay::begin(store, anchor, &touches);
    replay.restore(pool);
    for (generation, _) in &journals {
        journal::read(&files.journal(*generation), *generation, |frame| replay.frame(frame));
    }
    if !replay.is_sound {
        damage.get_or_insert_with(|| "its journal holds an invalid change".to_owned());
    }
    refuse_damage(&damage)?;
    if damage.is_some() {
        // The damage may have lost an epoch. The present time becomes the epoch, because an epoch
        // that is too high is safe.
        store.epochs.resume(anchor.calendar.min(MAX_COUNT));
    }
    replay.end_restore();
    let Replay { changes, evicted, refused, .. } = replay;
    let taken_at = UNIX_EPOCH.checked_add(Duration::from_nanos(taken_at)).unwrap_or(UNIX_EPOCH);
    let (took, sessions) = (elapsed(), store.count_live());
    *store.restored.lock() = Some(Restored { taken_at, took, sessions, changes, expired, evicted, refused });
    store.events.publish_early(Event::Restored { sessions, expired, evicted, refused, took });
    Ok((damage, last))
}

/// Returns the first damage in the files of a store.
fn find_damage(snapshot: Option<&SnapshotSummary>, journals: &[(u64, JournalSummary)]) -> Option<Problem> {
    if let Some(problem) = snapshot.and_then(|snapshot| snapshot.damage.as_ref()) {
        return Some(format!("the snapshot: {problem}"));
    }
    let first = snapshot.map_or(1, |snapshot| snapshot.base);
    for (expected, (index, (generation, journal))) in (first..).zip(journals.iter().enumerate()) {
        if *generation != expected {
            return Some(format!("journal {expected} is missing"));
        }
        if let Some(problem) = &journal.damage {
            return Some(format!("journal {generation}: {problem}"));
        }
        if let Some((next, after)) = journals.get(index + 1)
            && after.previous_length > journal.length
        {
            let length = after.previous_length;
            return Some(format!(
                "journal {generation}: it is shorter than it was when journal {next} began ({length} bytes)"
            ));
        }
        if snapshot.is_none() && journal.last_written > 0 {
            return Some("its journal is there, and the snapshot is missing".to_owned());
        }
    }
    match snapshot {
        Some(snapshot) if journals.is_empty() => Some(format!("journal {} is missing", snapshot.base)),
        _ => None,
    }
}

/// Reads the snapshot, and passes its sessions to `entry`. Returns `None` if there is no snapshot,
/// as at the first start.
fn read_snapshot(
    files: &StoreFiles,
    now: ClockAnchor,
    entry: impl FnMut(RestoredEntry, ClockAnchor),
) -> Option<SnapshotSummary> {
    let opened = File::open(files.snapshot()).and_then(|file| Ok((file.metadata()?.len(), file)));
    Some(match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            SnapshotSummary { damage: Some(format!("it cannot be read: {error}")), ..SnapshotSummary::default() }
        }
        // Most chunks are larger than the buffer and bypass it.
        Ok((size, file)) => snapshot::read(io::BufReader::new(file), size, now, entry),
    })
}
