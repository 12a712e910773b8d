//! Persistence: a snapshot of all sessions, and a journal of what was committed and ended since, so
//! that a restart or a crash logs no user out and brings no ended session back.
//!
//! Every change is queued under the lock of its shard, so the queue has the changes of a session in
//! their order. After the lock was released, the request *settles*: one of the waiting threads
//! writes all that is queued, with one system call, and the others find their changes written.
//!
//! A compaction begins a new journal, writes a snapshot, and removes the journals before. All
//! changes that the snapshot can have seen are in the snapshot or in the new journal, in order and
//! as whole rows. So a start reads the snapshot, carries out the journals after it, and has the
//! sessions as they were.
//!
//! If the journal cannot be written, a part of the changes is in memory only. The store is *failing*
//! until a compaction has succeeded: the snapshot that it writes has those changes, too.

mod format;
mod journal;
mod place;
mod reader;
mod replay;
mod writer;

use std::fs::{self, File};
use std::io;
use std::mem;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use self::format::Noon;
use self::journal::Journal;
pub(super) use self::journal::Mutation;
use self::place::{Place, Problem};
use self::reader::Contents;
use self::replay::{Pool, Replay, Touches};
use self::writer::Writer;
use super::shard::Kept;
use super::shards::Shards;
use super::stats::unix_millis;
use crate::clock::{Clock, stopwatch};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::sync::{Arc, AtomicU8, AtomicU64, Mutex, Ordering};

/// A journal is compacted when it is longer than the snapshot and than this.
const MIN_COMPACTION: u64 = 1 << 20;

/// How often the journal's thread looks after it.
pub(super) const UPKEEP: Duration = Duration::from_secs(1);

/// The longest pause between two attempts to write again, in turns of the upkeep.
const MAX_PAUSE: u64 = 8;

/// The compaction of a store's files: the snapshot that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// When it began. serde writes milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub at: SystemTime,
    /// How long it took. serde writes seconds and nanoseconds.
    pub took: Duration,
    /// How many sessions the snapshot holds.
    pub sessions: usize,
    /// The size of the snapshot.
    pub bytes: u64,
}

/// What became of the sessions in the files that a store began with: see
/// [`LembroOptions::persist`](crate::LembroOptions::persist).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Restored {
    /// When the snapshot was taken. serde writes milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub taken_at: SystemTime,
    /// How long reading the files took. serde writes seconds and nanoseconds.
    pub took: Duration,
    /// How many sessions are in the store again.
    pub sessions: usize,
    /// How many changes since the snapshot were read from the journal.
    pub changes: u64,
    /// How many sessions of the snapshot had expired.
    pub expired: usize,
    /// How many were evicted, because `max_size` is less than what the files hold.
    pub evicted: usize,
    /// How many are larger than `max_session_size` is now.
    pub refused: usize,
}

/// When a change is flushed to the disk: the option [`sync`](crate::LembroOptions::sync).
///
/// Whatever it says, a change is handed to the operating system before the request that made it is
/// answered, so a crash of the process, `kill -9` included, loses nothing that was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileSync {
    /// When the operating system likes, usually within half a minute. If the computer loses its
    /// power, the changes since then are lost, logouts included.
    Never,
    /// Once a second, in the background. If the computer loses its power, the changes of the last
    /// second or two are lost, logouts included.
    #[default]
    EverySecond,
    /// Before the request that made the change is answered. What was acknowledged survives a loss
    /// of power, if the disk keeps what it says it has.
    Always,
}

/// What happens at the start if the files of a store are damaged: the option
/// [`on_damage`](crate::LembroOptions::on_damage).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnDamage {
    /// No store is made: [`with_options`](crate::LembroStore::with_options) returns the error, and
    /// the files stay as they are.
    #[default]
    Refuse,
    /// The store begins with what is whole. The damaged files are copied to a folder beside them,
    /// and the first subscriber to [`errors`](crate::LembroStore::errors) is told. Changes that were
    /// in the damaged part are lost, logouts among them.
    Salvage,
}

/// What happens to requests while the files of a store cannot be written: the option
/// [`on_write_error`](crate::LembroOptions::on_write_error).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnWriteError {
    /// Commits and logouts fail with [`Error::is_store`] before they change anything. Looks go on.
    #[default]
    Refuse,
    /// Sessions change in memory alone. If the process ends before the files can be written again,
    /// these changes are lost, logouts among them.
    Continue,
}

pub(super) struct PersistConfig {
    pub(super) path: PathBuf,
    pub(super) sync: FileSync,
    pub(super) on_damage: OnDamage,
    pub(super) on_write_error: OnWriteError,
}

const WHOLE: u8 = 0;
const FAILING: u8 = 1;
const CLOSED: u8 = 2;

pub(super) struct Persist {
    place: Place,
    path: PathBuf,
    sync: FileSync,
    on_write_error: OnWriteError,
    clock: Clock,
    /// The process that may write.
    process: u32,
    /// [`WHOLE`], [`FAILING`] or [`CLOSED`].
    health: AtomicU8,
    queue: Mutex<Queue>,
    /// The number of the last change that was queued.
    queued: AtomicU64,
    /// All changes up to this number are in the files.
    written: AtomicU64,
    /// `None` before the first compaction.
    journal: Mutex<Option<Journal>>,
    /// The last generation that has a journal.
    generation: AtomicU64,
    /// Held by a compaction.
    turn: Mutex<Retry>,
    /// The present length of the journal and of the snapshot.
    lengths: [AtomicU64; 2],
}

#[derive(Default)]
struct Queue {
    changes: Vec<Mutation>,
    /// False while the journal cannot be written: the next compaction writes what is in memory.
    is_open: bool,
}

/// When a failing store tries again.
#[derive(Default)]
struct Retry {
    pause: u64,
    wait: u64,
}

/// A change is in memory and not in the files.
pub(super) struct NotWritten {
    /// The error, if this call was the first to meet it.
    pub(super) found: Option<Error>,
}

impl Persist {
    /// Claims the files, fills a new store with their sessions, and begins to write.
    pub(super) fn open(shards: &Shards, config: PersistConfig) -> Result<Self> {
        let refuse = |problem: Problem| Error::persist(&config.path, problem);
        let place = Place::claim(&config.path).map_err(refuse)?;
        let elapsed = stopwatch();
        let (damage, last) = load(shards, &place, config.on_damage == OnDamage::Salvage, elapsed).map_err(refuse)?;
        if let Some(problem) = damage {
            let aside =
                place.keep_aside().map_err(|error| refuse(format!("{problem}, and no copy can be kept: {error}")))?;
            let kept =
                format!("{problem}; what is whole was read, and the files as they were are in {}", aside.display());
            shards.errors.leave(refuse(kept));
        }
        let persist = Self {
            place,
            sync: config.sync,
            on_write_error: config.on_write_error,
            clock: shards.clock.clone(),
            process: std::process::id(),
            health: AtomicU8::new(FAILING),
            queue: Mutex::default(),
            queued: AtomicU64::new(0),
            written: AtomicU64::new(0),
            journal: Mutex::new(None),
            generation: AtomicU64::new(last),
            turn: Mutex::default(),
            lengths: [const { AtomicU64::new(0) }; 2].map(|length| length),
            path: config.path,
        };
        // This tries the place: a snapshot is written, and takes the place of the old one.
        if let Err(error) = persist.compact(shards) {
            if config.on_write_error == OnWriteError::Refuse {
                return Err(error);
            }
            shards.errors.leave(error);
        }
        Ok(persist)
    }

    /// Queues a change. Called under the lock of its shard if the order matters.
    pub(super) fn queue(&self, change: Mutation) {
        let mut queue = self.queue.lock();
        self.queued.fetch_add(1, Ordering::SeqCst);
        if queue.is_open {
            queue.changes.push(change);
        }
    }

    /// Refuses a change while it could not be written.
    pub(super) fn check(&self) -> Result<()> {
        if self.health.load(Ordering::SeqCst) == WHOLE || self.on_write_error == OnWriteError::Continue {
            return Ok(());
        }
        let problem = if self.health.load(Ordering::SeqCst) == CLOSED {
            "the store is closed, so nothing more is written"
        } else {
            "they cannot be written at present, so no session is changed"
        };
        Err(Error::persist(&self.path, problem))
    }

    /// Waits until everything that is queued so far is in the journal, and on the disk if `sync`
    /// asks for it.
    pub(super) fn settle(&self) -> std::result::Result<(), NotWritten> {
        let queued = self.queued.load(Ordering::SeqCst);
        if self.written.load(Ordering::SeqCst) >= queued {
            return Ok(());
        }
        let mut journal = self.journal.lock();
        if self.written.load(Ordering::SeqCst) >= queued {
            return Ok(());
        }
        self.write(&mut journal, self.sync == FileSync::Always)
    }

    /// Writes what is queued if no other thread does so already, and flushes nothing.
    pub(super) fn settle_later(&self) -> std::result::Result<(), NotWritten> {
        self.journal.try_lock().map_or(Ok(()), |mut journal| self.write(&mut journal, false))
    }

    fn write(&self, journal: &mut Option<Journal>, sync: bool) -> std::result::Result<(), NotWritten> {
        let unwritten = || NotWritten { found: None };
        let Some(journal) = journal.as_mut().filter(|_| self.health.load(Ordering::SeqCst) != CLOSED) else {
            return Err(unwritten());
        };
        let (changes, queued) = {
            let mut queue = self.queue.lock();
            (mem::replace(&mut queue.changes, mem::take(&mut journal.spare)), self.queued.load(Ordering::SeqCst))
        };
        journal.is_dirty |= !changes.is_empty();
        let mut written = Ok(());
        if !changes.is_empty() {
            written = self.is_ours().and_then(|()| journal.append(&changes, Noon::of(&self.clock)));
            self.lengths[0].store(journal.length, Ordering::Relaxed);
        }
        if sync && journal.is_dirty {
            written = written.and_then(|()| journal.file().sync_data());
            journal.is_dirty = false;
        }
        if let Err(error) = written {
            return Err(NotWritten { found: self.fail(&error) });
        }
        journal.keep(changes);
        if self.health.load(Ordering::SeqCst) != WHOLE {
            // Changes before these are in memory alone.
            return Err(unwritten());
        }
        if self.sync != FileSync::Always || !journal.is_dirty {
            self.written.store(queued, Ordering::SeqCst);
        }
        Ok(())
    }

    /// A child of the process that made the store has the same file open.
    fn is_ours(&self) -> io::Result<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(io::Error::other("the store was made before this process was forked: make it after that"))
    }

    /// From now on the store is failing. Returns the error if it was not before.
    fn fail(&self, error: &io::Error) -> Option<Error> {
        let mut queue = self.queue.lock();
        (queue.is_open, queue.changes) = (false, Vec::new());
        let before = self.health.compare_exchange(WHOLE, FAILING, Ordering::SeqCst, Ordering::SeqCst);
        let then = match self.on_write_error {
            OnWriteError::Refuse => "until they can be written again, no session is changed",
            OnWriteError::Continue => "until they can be written again, sessions change in memory alone",
        };
        before.is_ok().then(|| Error::persist(&self.path, format!("they cannot be written: {error}; {then}")))
    }

    /// Begins the next journal, writes a snapshot, and removes the journals before.
    fn compact(&self, shards: &Shards) -> Result<()> {
        let (elapsed, at) = (stopwatch(), self.clock.wall());
        let unwritable = |error: io::Error| Error::persist(&self.path, format!("they cannot be written: {error}"));
        self.is_ours().map_err(unwritable)?;
        let (old, queued) = self.begin_journal(shards).map_err(unwritable)?;
        let generation = self.generation.load(Ordering::SeqCst);
        if let Some(old) = old {
            // What it has is read at the next start if this snapshot is not finished.
            old.sync_data().map_err(unwritable)?;
        }
        let (sessions, bytes) = self
            .place
            .write_snapshot(|file| write_snapshot(shards, file, Noon::of(&self.clock), generation))
            .map_err(unwritable)?;
        // What the snapshot has seen must be in the journal before the snapshot counts.
        self.flush_all().map_err(unwritable)?;
        self.place.publish_snapshot().map_err(unwritable)?;
        self.lengths[1].store(bytes, Ordering::Relaxed);
        {
            let queue = self.queue.lock();
            if queue.is_open && self.health.compare_exchange(FAILING, WHOLE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            {
                self.written.fetch_max(queued, Ordering::SeqCst);
            }
        }
        self.place.remove_journals_before(generation);
        let snapshot = Snapshot { at, took: elapsed(), sessions, bytes };
        *shards.last_snapshot.lock() = Some(snapshot);
        shards.events.publish(|| Event::Snapshot { sessions, bytes, took: snapshot.took });
        Ok(())
    }

    /// Writes what is queued to the old journal and begins the next one, unless the old one was
    /// begun by an attempt that failed later. Returns the old one, and the number of the last change
    /// before.
    fn begin_journal(&self, shards: &Shards) -> io::Result<(Option<Arc<File>>, u64)> {
        let is_begun = || self.health.load(Ordering::SeqCst) == FAILING && self.queue.lock().is_open;
        if is_begun() {
            return Ok((None, self.queued.load(Ordering::SeqCst)));
        }
        let generation = self.generation.load(Ordering::SeqCst) + 1;
        let mut next = Journal::create(&self.place, generation)?;
        let mut journal = self.journal.lock();
        if journal.is_some() {
            // If it fails, the snapshot has these changes.
            let _ = self.write(&mut journal, self.sync == FileSync::Always);
        }
        next.begin(journal.as_ref().map_or(0, |journal| journal.length))?;
        let old = journal.replace(next).map(|old| old.file());
        self.generation.store(generation, Ordering::SeqCst);
        let queued = {
            let mut queue = self.queue.lock();
            queue.is_open = true;
            self.queued.load(Ordering::SeqCst)
        };
        if let Some(next) = &mut *journal {
            // What is remembered from here on is queued, too.
            if let Err(error) = next.append(&remembered(shards), Noon::of(&self.clock)) {
                let _ = self.fail(&error);
                return Err(error);
            }
            next.is_dirty = true;
            self.lengths[0].store(next.length, Ordering::Relaxed);
        }
        Ok((old, queued))
    }

    /// Writes and flushes what is queued.
    fn flush_all(&self) -> io::Result<()> {
        let mut journal = self.journal.lock();
        let _ = self.write(&mut journal, false);
        if !self.queue.lock().is_open {
            return Err(io::Error::other("the journal failed again"));
        }
        drop(journal);
        self.flush()
    }

    /// Flushes the journal, without its lock: requests go on meanwhile.
    fn flush(&self) -> io::Result<()> {
        let file = self.journal.lock().as_mut().filter(|journal| journal.is_dirty).map(|journal| {
            // With `sync: always` it stays dirty for the requests that wait for it.
            journal.is_dirty = self.sync == FileSync::Always;
            journal.file()
        });
        file.map_or(Ok(()), |file| file.sync_data())
    }

    /// Writes what is queued, flushes it if that is due, compacts a long journal, and tries again
    /// after a failure.
    pub(super) fn upkeep(&self, shards: &Shards) {
        let mut turn = self.turn.lock();
        let done = match self.health.load(Ordering::SeqCst) {
            CLOSED => return,
            FAILING if turn.wait > 0 => {
                turn.wait -= 1;
                return;
            }
            FAILING => self.compact(shards),
            _ => self.tidy(shards),
        };
        match done {
            Ok(()) => *turn = Retry::default(),
            Err(error) => {
                let pause = (turn.pause * 2).clamp(1, MAX_PAUSE);
                *turn = Retry { pause, wait: pause - 1 };
                shards.errors.publish(|| error);
            }
        }
    }

    fn tidy(&self, shards: &Shards) -> Result<()> {
        if let Err(NotWritten { found: Some(error) }) = self.settle() {
            return Err(error);
        }
        let flushed = match self.sync {
            FileSync::EverySecond => self.flush(),
            FileSync::Never | FileSync::Always => Ok(()),
        };
        if let Err(error) = flushed.and_then(|()| self.find_journal()) {
            return self.fail(&error).map_or(Ok(()), Err);
        }
        let [journal, snapshot] = self.lengths.each_ref().map(|length| length.load(Ordering::Relaxed));
        if journal > snapshot.max(MIN_COMPACTION) { self.compact(shards) } else { Ok(()) }
    }

    /// A journal that was removed, perhaps with its folder, can be written on, and is not found at
    /// the next start.
    fn find_journal(&self) -> io::Result<()> {
        fs::metadata(self.place.journal(self.generation.load(Ordering::SeqCst)))
            .map(drop)
            .map_err(|error| io::Error::new(error.kind(), format!("the journal is not where it was: {error}")))
    }

    /// Compacts once more and lets go of the files. From then on nothing is written.
    pub(super) fn close(&self, shards: &Shards) -> Result<()> {
        let _turn = self.turn.lock();
        if self.health.load(Ordering::SeqCst) == CLOSED {
            return Ok(());
        }
        let compacted = self.compact(shards);
        let mut journal = self.journal.lock();
        // What was committed since, by requests that were still under way.
        let _ = self.write(&mut journal, true);
        self.health.store(CLOSED, Ordering::SeqCst);
        self.queue.lock().is_open = false;
        *journal = None;
        // A child of a fork has the same lock.
        if self.is_ours().is_ok() {
            self.place.release();
        }
        compacted
    }

    /// The length of the journal, in bytes, and whether the files cannot be written at present.
    pub(super) fn state(&self) -> (u64, bool) {
        (self.lengths[0].load(Ordering::Relaxed), self.health.load(Ordering::SeqCst) == FAILING)
    }

    pub(super) fn goes_on(&self) -> bool {
        self.on_write_error == OnWriteError::Continue
    }
}

impl Drop for Persist {
    fn drop(&mut self) {
        // Touches may still be queued. There is no caller to tell of an error.
        let _ = self.settle();
    }
}

/// What a store remembers of ended sessions, for the first frame of a journal.
fn remembered(shards: &Shards) -> Vec<Mutation> {
    let (others, owners) = shards.epochs.known();
    let others = (others > 0 || !owners.is_empty()).then_some(Mutation::Others(others));
    let epochs = owners.into_iter().map(|(owner, epoch)| Mutation::Epoch(owner, epoch));
    let whys = shards.endings.all().into_iter();
    let whys = whys.map(|(handle, secret, reason)| Mutation::Why(handle, secret.digest(), reason));
    others.into_iter().chain(epochs).chain(whys).collect()
}

fn write_snapshot(shards: &Shards, file: &File, noon: Noon, base: u64) -> io::Result<(usize, u64)> {
    let mut writer = Writer::begin(file, noon, base)?;
    shards.copies(|shard| writer.shard(shard))?;
    // The epoch is read last, because one that is too high is safe.
    writer.finish(shards.epochs.current().to_u64())
}

/// Fills a new store with the sessions of the files. Returns what is wrong with them, if `salvage`
/// reads on all the same, and the generation of the last journal.
fn load(
    shards: &Shards,
    place: &Place,
    salvage: bool,
    elapsed: impl Fn() -> Duration,
) -> Result<(Option<Problem>, u64), Problem> {
    let generations = place.journals().map_err(|error| format!("its folder cannot be read: {error}"))?;
    let mut noon = Noon::of(&shards.clock);
    let (mut found, mut touches) = (Vec::new(), Touches::new(noon.wall));
    for generation in &generations {
        let journal = journal::read(&place.journal(*generation), *generation, |frame| touches.frame(frame));
        // If the calendar was set back since, that prolongs no session.
        noon.wall = noon.wall.max(journal.wall);
        found.push((*generation, journal));
    }
    let mut pool = Pool::new(shards.max_size);
    let contents = read_snapshot(place, noon, &touches, |kept| pool.add(kept));
    noon.wall = noon.wall.max(contents.as_ref().map_or(0, |contents| contents.taken_at));
    let last = generations.last().copied().unwrap_or(0).max(contents.as_ref().map_or(0, |contents| contents.base));
    found.retain(|(generation, _)| contents.as_ref().is_none_or(|contents| *generation >= contents.base));
    let damage = damage(contents.as_ref(), &found);
    if let Some(problem) = damage.clone().filter(|_| !salvage) {
        return Err(problem);
    }
    let Some(contents) = contents.or_else(|| damage.as_ref().map(|_| Contents::default())) else {
        return Ok((None, last));
    };
    shards.epochs.resume(contents.epoch.unwrap_or(0));
    shards.note_evicted(pool.evicted);
    shards.begin_load();
    let done = shards.readmit(pool.kept);
    let mut replay = Replay::new(shards, noon, &touches);
    for (generation, _) in &found {
        journal::read(&place.journal(*generation), *generation, |frame| replay.frame(frame));
    }
    let damage =
        damage.or_else(|| (!replay.is_sound).then(|| "its journal holds something that is no change".to_owned()));
    if let Some(problem) = damage.clone().filter(|_| !salvage) {
        return Err(problem);
    }
    if damage.is_some() {
        // A lost epoch is replaced by a later one, which is safe.
        shards.epochs.resume(noon.wall.min(format::MAX_COUNT));
    }
    let surplus = shards.end_load();
    let restored = Restored {
        taken_at: UNIX_EPOCH.checked_add(Duration::from_nanos(contents.taken_at)).unwrap_or(UNIX_EPOCH),
        took: elapsed(),
        sessions: shards.len(),
        changes: replay.done.changes,
        expired: contents.expired,
        evicted: pool.evicted + done.evicted + replay.done.evicted + surplus,
        refused: done.refused + replay.done.refused,
    };
    *shards.restored.lock() = Some(restored);
    let Restored { sessions, expired, evicted, refused, took, .. } = restored;
    shards.events.leave(Event::Restored { sessions, expired, evicted, refused, took });
    Ok((damage, last))
}

/// The first thing that is wrong with the files that a store begins with.
fn damage(contents: Option<&Contents>, journals: &[(u64, journal::Found)]) -> Option<Problem> {
    if let Some(problem) = contents.and_then(|contents| contents.damage.as_ref()) {
        return Some(format!("the snapshot: {problem}"));
    }
    let first = contents.map_or(1, |contents| contents.base);
    for (expected, (number, (generation, found))) in (first..).zip(journals.iter().enumerate()) {
        if *generation != expected {
            return Some(format!("journal {expected} is missing"));
        }
        if let Some(problem) = &found.damage {
            return Some(format!("journal {generation}: {problem}"));
        }
        if let Some((next, after)) = journals.get(number + 1).filter(|(_, after)| after.before > found.length) {
            return Some(format!(
                "journal {generation}: it is shorter than it was when journal {next} began ({} bytes)",
                after.before
            ));
        }
        if contents.is_none() && found.wall > 0 {
            return Some("its journal is there, and the snapshot is missing".to_owned());
        }
    }
    match contents {
        Some(contents) if journals.is_empty() => Some(format!("journal {} is missing", contents.base)),
        _ => None,
    }
}

/// `None`: the file does not exist, as at the first start.
fn read_snapshot(place: &Place, noon: Noon, touches: &Touches, keep: impl FnMut(Kept)) -> Option<Contents> {
    let unreadable =
        |error: &io::Error| Contents { damage: Some(format!("it cannot be read: {error}")), ..Contents::default() };
    match fs::metadata(place.target()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(unreadable(&error)),
        Ok(_) => {}
    }
    let opened = File::open(place.target()).and_then(|file| Ok((file.metadata()?.len(), file)));
    Some(match opened {
        Err(error) => unreadable(&error),
        // Most of the file is read in chunks that are larger than the buffer and bypass it.
        Ok((size, file)) => reader::read(io::BufReader::new(file), size, noon, touches, keep),
    })
}
