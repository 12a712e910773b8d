//! The options of a `LembroStore`, from code or from a configuration file, checked in one place.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::snapshot::BadSnapshot;
use super::weight::OVERHEAD;
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
/// | [`restore`](Self::restore) | the file to begin with | none: empty |
/// | [`on_bad_snapshot`](Self::on_bad_snapshot) | what happens if that file is damaged | an error |
/// | [`snapshot_on_close`](Self::snapshot_on_close) | the file that `close` writes | none |
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
    restore: Option<PathBuf>,
    #[serde(default, alias = "onBadSnapshot")]
    on_bad_snapshot: BadSnapshot,
    #[serde(alias = "snapshotOnClose")]
    snapshot_on_close: Option<PathBuf>,
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

    /// The file whose sessions the store begins with, as [`snapshot`](crate::LembroStore::snapshot)
    /// wrote it. If there is no such file, as at the first start, the store is empty. Default:
    /// none.
    ///
    /// Cookies go on working. Sessions that have expired by now are left out; the time that the
    /// server was down counts. If there is no room for all, the usual rules evict
    /// ([`Restored`](crate::Restored) says how many). The file is read, never written or removed.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{BadSnapshot, LembroOptions, LembroStore};
    ///
    /// # let name = format!("lembro-doc-restore-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let options = LembroOptions::new()
    ///     .restore(&path)
    ///     .on_bad_snapshot(BadSnapshot::StartEmpty)
    ///     .snapshot_on_close(&path);
    /// let store = LembroStore::with_options(options.clone())?;
    /// // ... serve until the server is stopped ...
    /// store.close()?;
    /// let again = LembroStore::with_options(options)?;
    /// assert!(again.stats().restored.is_some());
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn restore(mut self, path: impl Into<PathBuf>) -> Self {
        self.raw.restore = Some(path.into());
        self
    }

    /// What happens when the file to [`restore`](Self::restore) exists but is truncated, damaged,
    /// of another format or not readable. The file stays as it is in any case. Default:
    /// [`BadSnapshot::Refuse`].
    pub fn on_bad_snapshot(mut self, what: BadSnapshot) -> Self {
        self.raw.on_bad_snapshot = what;
        self
    }

    /// The file that [`close`](crate::LembroStore::close) writes a snapshot to; the same one as for
    /// [`restore`](Self::restore), as a rule. Default: none.
    pub fn snapshot_on_close(mut self, path: impl Into<PathBuf>) -> Self {
        self.raw.snapshot_on_close = Some(path.into());
        self
    }

    /// The clock. Default: the machine's. Tests give it a [`manual`](Clock::manual) one.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    pub(super) fn resolve(self) -> Result<Config> {
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
        for (option, path) in [("restore", &raw.restore), ("snapshot_on_close", &raw.snapshot_on_close)] {
            if path.as_ref().is_some_and(|path| path.file_name().is_none()) {
                return Err(Error::option(option, "the path does not end in a file's name"));
            }
        }
        Ok(Config {
            interval: (!interval.is_zero()).then_some(interval),
            max_size: bytes(max_size)?,
            max_session_size: bytes(max_session_size)?,
            shards: bytes(shards)?,
            // Of one shard.
            anonymous_share: bytes(shard_size / 100 * anonymous_share)?,
            refuse_anonymous: raw.when_full == WhenFull::RefuseAnonymous,
            restore: raw.restore,
            on_bad_snapshot: raw.on_bad_snapshot,
            snapshot_on_close: raw.snapshot_on_close,
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
pub(super) struct Config {
    pub(super) interval: Option<Duration>,
    pub(super) max_size: usize,
    pub(super) max_session_size: usize,
    pub(super) shards: usize,
    pub(super) anonymous_share: usize,
    pub(super) refuse_anonymous: bool,
    pub(super) restore: Option<PathBuf>,
    pub(super) on_bad_snapshot: BadSnapshot,
    pub(super) snapshot_on_close: Option<PathBuf>,
    pub(super) clock: Clock,
}
