//! The options of a `LembroStore`, and their check.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::persist::{FileSync, OnDamage, OnWriteError, PersistConfig};
use super::queue::OVERHEAD;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::record::Record;
use crate::units::{Input, Setting, choice, getters, or_none};

/// The least size of a shard by default, so that one large session does not evict all others.
const SHARD_BYTES: u64 = 256 * 1024;

const MAX_SHARDS: usize = 64;
const MAX_SIZE: u64 = 1 << 20;
const ANONYMOUS_SHARE: usize = 10;

/// With a larger `max_size`, a shard could have more slots than a `u32` counts.
const MAX_MAX_SIZE: u64 = 16 << 40;

/// The options of a [`LembroStore`](crate::LembroStore). Each has a default.
///
/// | option | what it is | default |
/// |---|---|---|
/// | [`interval`](Self::interval) | time between purges of expired sessions | 60 s |
/// | [`max_size`](Self::max_size) | maximum memory of all sessions | 1M |
/// | [`max_session_size`](Self::max_session_size) | maximum memory of one session | 64K |
/// | [`shards`](Self::shards) | number of locks | from `max_size` |
/// | [`anonymous_share`](Self::anonymous_share) | guaranteed share of sessions without an owner | 10 % |
/// | [`when_full`](Self::when_full) | whether sessions without an owner evict others or are refused | evict |
/// | [`persist`](Self::persist) | file for sessions that outlive the process | none |
/// | [`sync`](Self::sync) | when changes are flushed to the disk | every second |
/// | [`on_damage`](Self::on_damage) | what a start does with damaged files | an error |
/// | [`on_write_error`](Self::on_write_error) | what happens while the files cannot be written | refuse |
/// | [`clock`](Self::clock) | the clock | the machine's |
///
/// serde reads these names, and their camel-case forms such as `maxSize`; it refuses unknown names.
/// Getters such as `get_max_size` return an option's value, or its default if its text is invalid.
/// Options can be made before a process forks; make the store [after the fork](crate::LembroStore).
///
/// # Examples
///
/// ```
/// use lembro::{LembroOptions, LembroStore};
///
/// let json = r#"{"interval": 360000, "maxSize": "4M"}"#;
/// let options: LembroOptions = serde_json::from_str(json).unwrap();
/// let store = LembroStore::with_options(options)?;
/// assert_eq!(store.stats().max_size, 4 * 1024 * 1024);
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawOptions")]
#[must_use]
pub struct LembroOptions {
    raw: RawOptions,
    clock: Clock,
}

/// The options as they were set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawOptions {
    #[serde(deserialize_with = "or_none")]
    interval: Input<Option<Duration>>,
    #[serde(alias = "maxSize")]
    max_size: Input<u64>,
    #[serde(alias = "maxSessionSize")]
    max_session_size: Input<u64>,
    shards: Input<usize>,
    #[serde(alias = "anonymousShare")]
    anonymous_share: Input<usize>,
    #[serde(alias = "whenFull")]
    when_full: WhenFull,
    persist: Option<PathBuf>,
    sync: Option<FileSync>,
    #[serde(alias = "onDamage")]
    on_damage: Option<OnDamage>,
    #[serde(alias = "onWriteError")]
    on_write_error: Option<OnWriteError>,
}

/// The reaction of a full store to a session without an owner that is new or has grown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The store stores it and evicts others: sessions without an owner, or sessions with an owner
    /// if those without one use less than the [`anonymous_share`](LembroOptions::anonymous_share).
    #[default]
    Evict,
    /// The store refuses it with [`Error::is_full`](crate::Error::is_full) if there is no room
    /// after expired sessions were removed. No session is evicted, and the stored session, if there
    /// is one, stays. Sessions with an owner evict others in either case.
    RefuseAnonymous,
}

choice!(WhenFull, "when_full", ["evict" => Evict, "refuse_anonymous" => RefuseAnonymous]);

impl LembroOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time between two background purges of expired sessions: a [`Duration`], a number of
    /// milliseconds, or a text such as `"5m"`. With zero or `None` there is no reaper thread.
    /// Sessions still expire on time, but their memory is freed only when the store is full or by
    /// [`purge`](crate::LembroStore::purge). Default: 60 seconds.
    ///
    /// A shorter interval frees memory earlier, a longer one wakes the thread less often. A purge
    /// examines each session. It also notices that the machine was suspended: the
    /// [clock](crate::Clock) counts that time from the next purge on.
    pub fn interval(mut self, interval: impl Into<Setting>) -> Self {
        self.raw.interval = Input::from(interval.into()).zero_is_none();
        self
    }

    /// The maximum memory of all sessions: bytes, or a text such as `"4M"`. K, M and G alone are
    /// 1024-based; every other unit is as written ("4MB", "4MiB"). Default: 1M, a mebibyte, enough
    /// for 2,500 sessions with 300 bytes of JSON each.
    ///
    /// Each session counts its own bytes and a fixed share of the table and the queues. The sum is
    /// within 8 % of the allocated memory. Set `max_size` to the memory that the server can spare.
    /// A full store removes expired sessions first, then sessions that were not visited again.
    #[doc(alias = "maxSize")]
    pub fn max_size(mut self, max_size: impl Into<Setting>) -> Self {
        self.raw.max_size = max_size.into().into();
        self
    }

    /// The maximum memory of one session, counted as for `max_size`: bytes or a text. A larger
    /// session is refused with an error, and the stored session, if there is one, stays. Default:
    /// 64K, or a shard's share of `max_size` if that is less.
    pub fn max_session_size(mut self, max_session_size: impl Into<Setting>) -> Self {
        self.raw.max_session_size = max_session_size.into().into();
        self
    }

    /// The number of shards, each with its own lock: a power of two up to 64. Default: one for
    /// every 256K of `max_size`, which is enough for many threads on a few cores.
    pub fn shards(mut self, shards: usize) -> Self {
        self.raw.shards = Input::new(shards);
        self
    }

    /// The share of `max_size` that is guaranteed to sessions without an owner, in percent.
    /// Default: 10.
    ///
    /// Above this share, sessions without an owner are evicted before any session with an owner,
    /// however recently they were used, so a flood of visitors logs no user out. Below this share,
    /// sessions with an owner are evicted, least recently used first. The share exists so that
    /// visitors can begin a session, and log in, when sessions with an owner fill the store.
    ///
    /// The session being stored counts for the share, too. If it has no owner, is larger than the
    /// share of its shard, and sessions with an owner fill the rest, it is refused with
    /// [`Error::is_full`](crate::Error::is_full). A session with an owner is never refused: if it
    /// does not fit otherwise, it evicts other sessions with an owner, and then those without one.
    /// Evictions of sessions with an owner are reported on [`errors`](crate::LembroStore::errors).
    pub fn anonymous_share(mut self, percent: usize) -> Self {
        self.raw.anonymous_share = Input::new(percent);
        self
    }

    /// The reaction of a full store to a session without an owner that is new or has grown.
    /// Default:
    /// [`WhenFull::Evict`].
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.raw.when_full = when_full;
        self
    }

    /// The file that keeps the sessions over a restart, a crash or `kill -9`: no user is logged
    /// out, and ended sessions stay ended. Default: no file, and sessions end with the process.
    ///
    /// The file is a snapshot. Beside it are a journal of the changes since the snapshot
    /// (`.journal.1`) and a lock file (`.lock`). Use an existing folder to which only the server's
    /// account may write. Only the files' owner may read them (mode 0600, on Unix). They contain
    /// the users' data but **no usable id**: of each secret they contain half of the SHA-256.
    ///
    /// A commit, a login, a logout and every other change is in the journal before its method
    /// returns; [`sync`](Self::sync) says when it is on the disk. A look that prolongs the session
    /// writes the new deadline, without waiting; other looks write nothing. When the journal is
    /// longer than both the snapshot and one mebibyte, and at [`close`](crate::LembroStore::close),
    /// a new snapshot is written in the background and the next journal begins.
    ///
    /// The store reads the snapshot and the journal when it starts. Cookies still work; data,
    /// owners, labels, timeouts and the order of eviction are the same; counters begin at zero.
    /// Sessions that expired, also while the server was down, are left out. If the sessions do not
    /// all fit, the usual rules evict some. An incomplete last change is left out, because it was
    /// not acknowledged. Other damage is treated by [`on_damage`](Self::on_damage).
    ///
    /// Making a store checks the path. It fails if the folder is missing, if the path is a link to
    /// nothing, if the file cannot be replaced, or if another store uses the same path.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lembro::{LembroOptions, LembroStore, Record, SessionId, Store};
    ///
    /// # let name = format!("lembro-doc-persist-{}", std::process::id());
    /// # let folder = std::env::temp_dir().join(name);
    /// # std::fs::create_dir(&folder).unwrap();
    /// # let path = folder.join("sessions");
    /// let options = LembroOptions::new().persist(&path);
    /// let (store, id) = (LembroStore::with_options(options.clone())?, SessionId::random()?);
    /// store.set(&id, [("user", "ada")].into_iter().collect(), Duration::from_secs(3600))?;
    /// drop(store);
    ///
    /// // The next process.
    /// let store = LembroStore::with_options(options)?;
    /// let stored = store.get(&id)?.expect("the cookie still opens it");
    /// assert_eq!(stored.record.get_str("user")?.as_deref(), Some("ada"));
    /// store.close()?;
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("restore", "snapshot", "dump", "journal"))]
    pub fn persist(mut self, path: impl Into<PathBuf>) -> Self {
        self.raw.persist = Some(path.into());
        self
    }

    /// When changes are flushed to the disk, with [`persist`](Self::persist). Default:
    /// [`FileSync::EverySecond`].
    pub fn sync(mut self, sync: FileSync) -> Self {
        self.raw.sync = Some(sync);
        self
    }

    /// The behaviour of a store's start if the files of [`persist`](Self::persist) have damage that
    /// no crash causes. Default: [`OnDamage::Refuse`].
    pub fn on_damage(mut self, what: OnDamage) -> Self {
        self.raw.on_damage = Some(what);
        self
    }

    /// The treatment of requests while the files of [`persist`](Self::persist) cannot be written,
    /// as when the disk is full. Default: [`OnWriteError::Refuse`].
    ///
    /// A commit that could not be written to the files is in memory, and its error [is
    /// unknown](crate::Error::is_unknown). The store tries again, first after one second and later
    /// every eight seconds, and reports the reason on [`errors`](crate::LembroStore::errors).
    /// Requests succeed again as soon as the store has written a whole snapshot.
    pub fn on_write_error(mut self, what: OnWriteError) -> Self {
        self.raw.on_write_error = Some(what);
        self
    }

    /// The clock. Default: the machine's. Tests use a [`manual`](Clock::manual) one.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    getters! { options:
        get_interval interval -> Option<Duration> { options.raw.interval.or(Some(Duration::from_secs(60))) }
        get_max_size max_size -> usize { to_usize(options.raw.max_size.or(MAX_SIZE)) }
        get_max_session_size max_session_size -> usize {
            let default = session_size_of(options.raw.max_size.or(MAX_SIZE), options.get_shards());
            to_usize(options.raw.max_session_size.or(default))
        }
        get_shards shards -> usize { options.raw.shards.or(shards_of(options.raw.max_size.or(MAX_SIZE))) }
        get_anonymous_share anonymous_share -> usize { options.raw.anonymous_share.or(ANONYMOUS_SHARE) }
        get_when_full when_full -> WhenFull { options.raw.when_full }
        get_persist persist -> Option<&Path> { options.raw.persist.as_deref() }
        get_sync sync -> FileSync { options.raw.sync.unwrap_or_default() }
        get_on_damage on_damage -> OnDamage { options.raw.on_damage.unwrap_or_default() }
        get_on_write_error on_write_error -> OnWriteError { options.raw.on_write_error.unwrap_or_default() }
        get_clock clock -> &Clock { &options.clock }
    }

    pub(super) fn persist_config(&self) -> Option<PersistConfig> {
        let (sync, on_damage, on_write_error) = (self.get_sync(), self.get_on_damage(), self.get_on_write_error());
        self.raw.persist.clone().map(|path| PersistConfig { path, sync, on_damage, on_write_error })
    }

    pub(super) fn check(&self) -> Result<()> {
        let raw = &self.raw;
        raw.interval.check("interval", None)?;
        let max_size = raw.max_size.check("max_size", MAX_SIZE)?;
        if max_size > MAX_MAX_SIZE {
            let problem = format!("{max_size} bytes is more than the 16 TiB a store can manage");
            return Err(Error::option("max_size", problem));
        }
        let shards = raw.shards.check("shards", shards_of(max_size))?;
        if !shards.is_power_of_two() || shards > MAX_SHARDS {
            return Err(Error::option("shards", format!("{shards} is not a power of two from 1 to {MAX_SHARDS}")));
        }
        let shard_size = max_size / shards as u64;
        let max_session_size = raw.max_session_size.check("max_session_size", session_size_of(max_size, shards))?;
        if max_session_size > shard_size {
            let problem =
                format!("{max_session_size} bytes do not fit into a shard of {shard_size} (max_size / shards)");
            return Err(Error::option("max_session_size", problem));
        }
        let minimum = (Record::new().size() + OVERHEAD) as u64;
        if max_session_size < minimum {
            let option = if raw.max_session_size == Input::default() { "max_size" } else { "max_session_size" };
            let problem = format!("{max_session_size} bytes is less than an empty session takes ({minimum})");
            return Err(Error::option(option, problem));
        }
        let anonymous_share = raw.anonymous_share.check("anonymous_share", ANONYMOUS_SHARE)?;
        if anonymous_share > 100 {
            return Err(Error::option("anonymous_share", format!("{anonymous_share} is not a percentage")));
        }
        if usize::try_from(max_size).is_err() {
            return Err(Error::option("max_size", "more than this machine can address"));
        }
        let without_files = [
            ("sync", raw.sync.is_some()),
            ("on_damage", raw.on_damage.is_some()),
            ("on_write_error", raw.on_write_error.is_some()),
        ];
        match (&raw.persist, without_files.iter().find(|(_, is_set)| *is_set)) {
            (Some(path), _) if path.file_name().is_none() => {
                Err(Error::option("persist", "the path does not end in a file's name"))
            }
            (None, Some((option, _))) => Err(Error::option(*option, "it has no effect without persist")),
            _ => Ok(()),
        }
    }
}

/// The default number of shards.
fn shards_of(max_size: u64) -> usize {
    to_usize(max_size / SHARD_BYTES).clamp(1, MAX_SHARDS).next_power_of_two()
}

/// The default bound of one session.
fn session_size_of(max_size: u64, shards: usize) -> u64 {
    (max_size / shards.max(1) as u64).min(64 * 1024)
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl TryFrom<RawOptions> for LembroOptions {
    type Error = Error;

    fn try_from(raw: RawOptions) -> Result<Self> {
        let options = Self { raw, clock: Clock::system() };
        options.check()?;
        Ok(options)
    }
}
