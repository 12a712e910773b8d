//! The options of a `LembroStore`, from code or from a configuration file, checked in one place.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::persist::{FileSync, OnDamage, OnWriteError, PersistConfig};
use super::queue::OVERHEAD;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::record::Record;
use crate::units::Setting;

/// The least size of a shard by default, so that one large session does not empty it.
const SHARD_BYTES: u64 = 256 * 1024;

const MAX_SHARDS: u64 = 64;

/// A larger `max_size` could need more slots in a shard than a `u32` counts.
const MAX_MAX_SIZE: u64 = 16 << 40;

/// The options of a [`LembroStore`](crate::LembroStore). Each of them has a default.
///
/// | option | what it is | default |
/// |---|---|---|
/// | [`interval`](Self::interval) | time between purges of expired sessions | 60 s |
/// | [`max_size`](Self::max_size) | bound of the memory that sessions take | 1M |
/// | [`max_session_size`](Self::max_session_size) | bound of one session | 64K |
/// | [`shards`](Self::shards) | number of locks | from `max_size` |
/// | [`anonymous_share`](Self::anonymous_share) | what sessions without an owner are sure of | 10 % |
/// | [`when_full`](Self::when_full) | whether those evict others or are refused | evict |
/// | [`persist`](Self::persist) | the file that sessions outlive the process in | none |
/// | [`sync`](Self::sync) | when changes are flushed to the disk | every second |
/// | [`on_damage`](Self::on_damage) | what happens if the files are damaged | an error |
/// | [`on_write_error`](Self::on_write_error) | what happens while they cannot be written | refuse |
/// | [`clock`](Self::clock) | where the time comes from | the machine |
///
/// serde reads these names, and their camel-case forms such as `maxSize`; it refuses unknown ones.
///
/// Options can be made before a process forks, a store [only afterwards](crate::LembroStore).
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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "RawOptions")]
#[must_use]
pub struct LembroOptions {
    raw: RawOptions,
    clock: Clock,
}

/// The options as they were given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOptions {
    #[serde(default, deserialize_with = "or_none")]
    interval: Option<Setting>,
    #[serde(alias = "maxSize")]
    max_size: Option<Setting>,
    #[serde(alias = "maxSessionSize")]
    max_session_size: Option<Setting>,
    shards: Option<Setting>,
    #[serde(alias = "anonymousShare")]
    anonymous_share: Option<Setting>,
    #[serde(default, alias = "whenFull")]
    when_full: WhenFull,
    persist: Option<PathBuf>,
    sync: Option<FileSync>,
    #[serde(alias = "onDamage")]
    on_damage: Option<OnDamage>,
    #[serde(alias = "onWriteError")]
    on_write_error: Option<OnWriteError>,
}

/// What happens to a session without an owner that is new, or has grown, when the store is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It is stored, and others are evicted: others without an owner, and below the
    /// [`anonymous_share`](LembroOptions::anonymous_share) those with one.
    #[default]
    Evict,
    /// It is refused with [`Error::is_full`](crate::Error::is_full) if there is no room after
    /// expired sessions were removed. It evicts no session, and what was stored stays: for a store
    /// whose users are all known. Sessions with an owner are stored and evict as always.
    RefuseAnonymous,
}

/// A missing interval is the default, an interval of null is none.
fn or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Setting>, D::Error> {
    Option::deserialize(deserializer).map(|given| given.or(Some(Setting::Whole(0))))
}

impl LembroOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often expired sessions are purged in the background: a [`Duration`], a number of
    /// milliseconds, or a text such as `"5m"`. Zero: there is no reaper thread. Sessions then
    /// expire just as punctually, but their memory is freed only when room is needed or by
    /// [`purge`](crate::LembroStore::purge). Default: 60 seconds.
    ///
    /// A shorter interval frees memory earlier, a longer one wakes the thread less often. A purge
    /// costs one short look at each session, plus what it frees. It also notices that the machine
    /// was suspended: the [clock](crate::Clock) counts that time from the next purge on.
    pub fn interval(mut self, interval: impl Into<Setting>) -> Self {
        self.raw.interval = Some(interval.into());
        self
    }

    /// The most memory that sessions may take: bytes, or a text such as `"4M"`. K, M and G alone
    /// are 1024-based; every other unit is as written ("4MB", "4MiB"). Default: 1M, a mebibyte,
    /// enough for 2,500 sessions with 300 bytes of JSON each.
    ///
    /// The sum is approximate because it counts a fixed share of table and queues for each session;
    /// it is within 8 % of what the allocator gives out. Set it to what the server can spare.
    /// Beyond it, expired sessions are removed first, then sessions that were not visited again.
    #[doc(alias = "maxSize")]
    pub fn max_size(mut self, max_size: impl Into<Setting>) -> Self {
        self.raw.max_size = Some(max_size.into());
        self
    }

    /// The most memory that one session may take, as it counts for `max_size`: bytes or a text. A
    /// larger one is refused with an error, and what is stored stays. Default: 64K, or a shard's
    /// share of `max_size` if that is less.
    pub fn max_session_size(mut self, max_session_size: impl Into<Setting>) -> Self {
        self.raw.max_session_size = Some(max_session_size.into());
        self
    }

    /// How many parts the store is split into, each with a lock of its own: a power of two up to
    /// 64. Default: one for every 256K of `max_size`, which is enough for many threads on a few
    /// cores and leaves each shard room.
    pub fn shards(mut self, shards: u64) -> Self {
        self.raw.shards = Some(shards.into());
        self
    }

    /// How many percent of `max_size` sessions without an owner are sure of. Default: 10.
    ///
    /// Above this share, sessions without an owner are evicted before any session with an owner,
    /// however recently they were used, so a flood of visitors logs no user out. Below this share,
    /// sessions with an owner are evicted, least recently used first: without a share, no visitor
    /// could begin a session, not even to log in, once sessions with an owner fill the store.
    ///
    /// The session being stored counts, too. One without an owner that is larger than the share of
    /// its shard, while sessions with an owner fill the rest, is refused with
    /// [`Error::is_full`](crate::Error::is_full), and what was stored of it stays. One with an
    /// owner is never refused: if it does not fit otherwise, it evicts others with an owner, and
    /// then those without one. Evictions of sessions with an owner are reported on
    /// [`errors`](crate::LembroStore::errors).
    pub fn anonymous_share(mut self, percent: u64) -> Self {
        self.raw.anonymous_share = Some(percent.into());
        self
    }

    /// What happens to a session without an owner that is new, or has grown, when the store is
    /// full. Default: [`WhenFull::Evict`].
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.raw.when_full = when_full;
        self
    }

    /// The file that sessions are kept in, so that a restart, a crash or `kill -9` logs no user out
    /// and brings no ended session back. Default: none, sessions end with the process.
    ///
    /// The file is a snapshot. Beside it are a journal of what was committed and ended since
    /// (`.journal.1`) and a lock file (`.lock`): give the server a folder of its own that exists
    /// and that no other account may write to. Only the files' owner may read them (mode 0600, on
    /// Unix). They hold the users' data but **no usable id**: of each secret they have half of the
    /// SHA-256.
    ///
    /// A commit, a login, a logout and every other change is in the journal before its method
    /// returns; [`sync`](Self::sync) says when it is on the disk. A look writes nothing, except
    /// that it hands on the new deadline of a session that it prolonged, without waiting. When the
    /// journal is longer than the snapshot and a megabyte, and at
    /// [`close`](crate::LembroStore::close), a new snapshot is written in the background and the
    /// next journal begins.
    ///
    /// At the start the store reads both. Cookies go on working, data, owners, labels, timeouts and
    /// the order of eviction are as they were. Sessions that expired in the meantime are left out;
    /// the time that the server was down counts. If there is not room for all, the usual rules
    /// evict. A last change that was not written completely was not acknowledged, and is left out.
    /// Any other damage is for [`on_damage`](Self::on_damage). Counters
    /// begin at zero.
    ///
    /// The place is tried when the store is made. A missing folder, a link that leads nowhere, a
    /// file that cannot be replaced and a second store with the same path are errors then.
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

    /// What happens at the start if the files of [`persist`](Self::persist) are damaged, otherwise
    /// than by a crash. Default: [`OnDamage::Refuse`].
    pub fn on_damage(mut self, what: OnDamage) -> Self {
        self.raw.on_damage = Some(what);
        self
    }

    /// What happens to requests while the files of [`persist`](Self::persist) cannot be written, as
    /// when the disk is full. Default: [`OnWriteError::Refuse`].
    ///
    /// A commit whose writing failed is in memory, and its error
    /// [is unknown](crate::Error::is_unknown). The store tries again by itself, at first every
    /// second and then every eight, and says on [`errors`](crate::LembroStore::errors) why it
    /// failed. It goes on as soon as it has written a whole snapshot.
    pub fn on_write_error(mut self, what: OnWriteError) -> Self {
        self.raw.on_write_error = Some(what);
        self
    }

    /// The clock. Default: the machine's. Tests give it a [`manual`](Clock::manual) one.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    pub(super) fn resolve(self) -> Result<ResolvedOptions> {
        let raw = self.raw;
        let interval = raw.interval.map_or(Ok(Duration::from_secs(60)), |setting| setting.duration("interval"))?;
        let max_size = raw.max_size.map_or(Ok(1 << 20), |setting| setting.bytes("max_size"))?;
        if max_size > MAX_MAX_SIZE {
            let problem = format!("{max_size} bytes is more than the 16 TiB a store can manage");
            return Err(Error::option("max_size", problem));
        }
        let enough = (max_size / SHARD_BYTES).clamp(1, MAX_SHARDS).next_power_of_two();
        let shards = raw.shards.map_or(Ok(enough), |setting| setting.count("shards"))?;
        if !shards.is_power_of_two() || shards > MAX_SHARDS {
            return Err(Error::option("shards", format!("{shards} is not a power of two from 1 to {MAX_SHARDS}")));
        }
        let shard_size = max_size / shards;
        let (option, max_session_size) = match raw.max_session_size {
            None => ("max_size", shard_size.min(64 * 1024)),
            Some(setting) => ("max_session_size", setting.bytes("max_session_size")?),
        };
        if max_session_size > shard_size {
            let problem =
                format!("{max_session_size} bytes do not fit into a shard of {shard_size} (max_size / shards)");
            return Err(Error::option("max_session_size", problem));
        }
        let minimum = (Record::new().size() + OVERHEAD) as u64;
        if max_session_size < minimum {
            let problem = format!("{max_session_size} bytes is less than an empty session takes ({minimum})");
            return Err(Error::option(option, problem));
        }
        let anonymous_share = raw.anonymous_share.map_or(Ok(10), |setting| setting.count("anonymous_share"))?;
        if anonymous_share > 100 {
            return Err(Error::option("anonymous_share", format!("{anonymous_share} is not a percentage")));
        }
        let bytes = |size: u64| {
            usize::try_from(size).map_err(|_| Error::option("max_size", "more than this machine can address"))
        };
        if raw.persist.as_ref().is_some_and(|path| path.file_name().is_none()) {
            return Err(Error::option("persist", "the path does not end in a file's name"));
        }
        let without_files = [
            ("sync", raw.sync.is_some()),
            ("on_damage", raw.on_damage.is_some()),
            ("on_write_error", raw.on_write_error.is_some()),
        ];
        if let (None, Some((option, _))) = (&raw.persist, without_files.iter().find(|(_, is_set)| *is_set)) {
            return Err(Error::option(*option, "it has no effect without persist"));
        }
        Ok(ResolvedOptions {
            interval: (!interval.is_zero()).then_some(interval),
            max_size: bytes(max_size)?,
            max_session_size: bytes(max_session_size)?,
            shards: bytes(shards)?,
            // Of one shard.
            anonymous_share: bytes(shard_size / 100 * anonymous_share)?,
            refuse_anonymous: raw.when_full == WhenFull::RefuseAnonymous,
            persist: raw.persist.map(|path| PersistConfig {
                path,
                sync: raw.sync.unwrap_or_default(),
                on_damage: raw.on_damage.unwrap_or_default(),
                on_write_error: raw.on_write_error.unwrap_or_default(),
            }),
            clock: self.clock,
        })
    }
}

impl TryFrom<RawOptions> for LembroOptions {
    type Error = Error;

    fn try_from(raw: RawOptions) -> Result<Self> {
        let options = Self { raw, clock: Clock::system() };
        // A wrong value is reported where the configuration is read, not when the store is made.
        options.clone().resolve()?;
        Ok(options)
    }
}

/// The options, checked.
pub(super) struct ResolvedOptions {
    pub(super) interval: Option<Duration>,
    pub(super) max_size: usize,
    pub(super) max_session_size: usize,
    pub(super) shards: usize,
    pub(super) anonymous_share: usize,
    pub(super) refuse_anonymous: bool,
    pub(super) persist: Option<PersistConfig>,
    pub(super) clock: Clock,
}
