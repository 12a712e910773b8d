//! One stored session: created when, its own timeout, its owner, and its entries as raw JSON in one flat block.

mod block;
mod body;
mod changes;
mod epoch;
mod json;
#[cfg(feature = "redis")]
mod parts;
mod version;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use self::block::Block;
pub(crate) use self::block::{Class, StoreState};
use self::body::{Body, Entry, Head, Merge};
pub use self::changes::{Change, Changes};
pub use self::epoch::Epoch;
#[cfg(feature = "redis")]
pub(crate) use self::parts::RecordParts;
pub use self::version::{Expected, Fit, Version};
use crate::error::{Error, Result};

/// The longest key and the longest component name, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// The most keys a session may have, over all its components.
pub const MAX_KEYS: usize = 1024;

/// When a session was created, and the idle timeout that it has of its own.
pub(crate) type Times = (Option<SystemTime>, Option<Duration>);

/// One stored session.
///
/// A record never changes: a save makes the next one out of it and some [`Changes`]. Inside is one block of bytes behind
/// one pointer, with every value as the JSON it came as, so that its size is its size in memory, a clone is a
/// counter, and a save copies what it did not change. Reading a value parses that value and nothing else.
///
/// `Clone`, `==` and serde see the session's data and never what a store noted beside it.
///
/// # Examples
///
/// ```
/// use lembro::Record;
/// use serde_json::json;
///
/// let record: Record = [("user", json!("ada")), ("visits", json!(3))].into_iter().collect();
/// assert_eq!(record.get::<&str>("user")?, Some("ada"));
/// assert_eq!(record.get::<u32>("visits")?, Some(3));
/// assert_eq!(record.get::<u32>("absent")?, None);
/// assert_eq!(record.len(), 2);
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone)]
pub struct Record {
    block: Block,
}

impl Record {
    /// A record without entries.
    pub fn new() -> Self {
        Self { block: Block::new(StoreState::default(), body::EMPTY) }
    }

    /// A record without entries that was created at `now`.
    pub(crate) fn created(now: SystemTime) -> Self {
        let mut record = Self::new();
        record.block.patch(|body| body::set_created_at(body, now));
        record
    }

    /// A record of entries in their order.
    fn written<'a>(head: &Head<'a>, entries: impl IntoIterator<Item = Entry<'a>>) -> Self {
        let mut merge = Merge::new(Body::EMPTY);
        entries.into_iter().for_each(|Entry { component, key, value }| merge.put(component, key, Some(value)));
        merge.write(Some(head), |bytes| Self { block: Block::new(StoreState::default(), bytes) })
    }

    /// Reads the bytes that [`as_bytes`](Self::as_bytes) gave.
    ///
    /// # Errors
    ///
    /// [`Error::is_corrupt`] when the bytes are anything else. No input panics.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::Record;
    /// let record: Record = [("user", "ada")].into_iter().collect();
    /// assert_eq!(Record::from_bytes(record.as_bytes())?, record);
    /// assert!(Record::from_bytes(b"what?").unwrap_err().is_corrupt());
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        body::validate(bytes)?;
        Ok(Self { block: Block::new(StoreState::default(), bytes) })
    }

    /// The record as bytes, for a store that writes them somewhere. The version is not part of them: it is kept
    /// beside them, and [`with_version`](Self::with_version) puts it back.
    pub fn as_bytes(&self) -> &[u8] {
        self.block.body()
    }

    /// The value of `key`, read as `T`. `&str` borrows from the record, if the text needs no unescaping.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`] when the value is not a `T`.
    pub fn get<'a, T: Deserialize<'a>>(&'a self, key: &str) -> Result<Option<T>> {
        self.get_in("", key)
    }

    /// The value of `key` in a component, read as `T`.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`] when the value is not a `T`.
    pub fn get_in<'a, T: Deserialize<'a>>(&'a self, component: &str, key: &str) -> Result<Option<T>> {
        self.raw(component, key).map(|value| parse(key, value)).transpose()
    }

    /// Every entry: component (`""` for the session's own keys), key and value, in the order of their bytes.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, &RawValue)> {
        self.raw_entries().filter_map(|entry| {
            let value = serde_json::from_slice(entry.value).ok()?;
            Some((entry.component, entry.key, value))
        })
    }

    /// How many entries there are, over all components.
    pub fn len(&self) -> usize {
        self.body().count()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the session was created, to the millisecond; `None` for a record that no store has had yet.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.body().head().created_at()
    }

    /// The idle timeout this session has of its own, in place of the policy's.
    pub fn timeout(&self) -> Option<Duration> {
        self.body().head().timeout()
    }

    /// When it was created, and the idle timeout that it has of its own.
    pub(crate) fn times(&self) -> Times {
        let head = self.body().head();
        (head.created_at(), head.timeout())
    }

    /// Whose session it is, if somebody is logged in.
    pub fn owner(&self) -> Option<&str> {
        self.body().head().owner
    }

    /// Whether it has an owner, without reading who.
    pub(crate) fn is_owned(&self) -> bool {
        body::has_owner(self.as_bytes())
    }

    /// The version, for [`Expected`].
    pub fn version(&self) -> Version {
        self.block.state().version
    }

    /// The memory that the record takes, in bytes: its block, without what a store needs to find it.
    pub fn size(&self) -> usize {
        self.block.size()
    }

    /// What every store does to a record that it is given to `create`, before it keeps it: checks the limits, draws a
    /// version if the record has none yet, and notes `now` as the time of creation if there is none yet.
    ///
    /// # Errors
    ///
    /// [`Error::is_limit`] for more than [`MAX_KEYS`] keys or a key longer than [`MAX_KEY_BYTES`];
    /// [`Error::is_store`] when the system's random source fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{Changes, Clock, Record};
    ///
    /// let now = Clock::system().wall();
    /// let record = Record::new();
    /// assert_eq!(record.created_at(), None);
    /// let (one, two) = (record.clone().admit(now)?, record.admit(now)?);
    /// assert!(one.created_at().is_some());
    /// assert_ne!(one.version(), two.version());
    /// assert_eq!(one.clone().admit(now)?.version(), one.version());
    /// assert_ne!(one.clone().admit_anew(now)?.version(), one.version());
    ///
    /// // A record that was changed before any store had it is no exception.
    /// let changed = Changes::new().apply(&Record::new())?;
    /// assert_ne!(changed.clone().admit(now)?.version(), changed.admit(now)?.version());
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn admit(self, now: SystemTime) -> Result<Self> {
        let version = if self.version().is_unset() { Version::first()? } else { self.version() };
        self.admit_as(version, now)
    }

    /// What every store does to a record that it is given to `set`: as [`admit`](Self::admit), but the version is a new one
    /// in any case, so that saves made for the session that is replaced do not land in this one.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit).
    pub fn admit_anew(self, now: SystemTime) -> Result<Self> {
        self.admit_as(Version::first()?, now)
    }

    fn admit_as(self, version: Version, now: SystemTime) -> Result<Self> {
        body::check_limits(self.body())?;
        if body::is_created(self.as_bytes()) {
            return Ok(self.stamped(|state| state.version = version));
        }
        let mut admitted = self.stamped(|state| *state = StoreState::versioned(version));
        admitted.block.patch(|body| body::set_created_at(body, now));
        Ok(admitted)
    }

    /// The record under the version that a store kept for it beside its bytes or its keys.
    ///
    /// # Examples
    ///
    /// A store that keeps each part in a field of its own puts a record together from them:
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use lembro::{Changes, Record, Version};
    ///
    /// let mut parts = Changes::new();
    /// parts.insert("", "user", "ada")?;
    /// parts.set_owner(Some("ada"))?;
    /// let (version, created_at) = (Version::from_u64(0x1234_5678_0000_0002), UNIX_EPOCH + Duration::from_secs(1));
    ///
    /// let record = parts.apply(&Record::new())?.with_version(version).admit(created_at)?;
    /// assert_eq!(record.version(), version);
    /// assert_eq!(record.created_at(), Some(created_at));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[must_use]
    pub fn with_version(self, version: Version) -> Self {
        self.stamped(|state| state.version = version)
    }

    pub(crate) fn raw(&self, component: &str, key: &str) -> Option<&[u8]> {
        body::find(self.as_bytes(), component, key)
    }

    pub(crate) fn raw_entries(&self) -> impl Iterator<Item = Entry<'_>> + Clone {
        self.body().entries()
    }

    pub(crate) fn state(&self) -> &StoreState {
        self.block.state()
    }

    /// The same data with other store state: in place if nobody else has the block, else on a copy.
    #[must_use]
    pub(crate) fn stamped(mut self, stamp: impl FnOnce(&mut StoreState)) -> Self {
        self.block.stamp(stamp);
        self
    }

    pub(crate) fn same_block(&self, other: &Self) -> bool {
        self.block.is(&other.block)
    }

    fn body(&self) -> Body<'_> {
        Body::new(self.block.body())
    }
}

/// Reads one value. The key is for the message.
pub(crate) fn parse<'a, T: Deserialize<'a>>(key: &str, value: &'a [u8]) -> Result<T> {
    serde_json::from_slice(value).map_err(|source| Error::read_value(key, source))
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Record {}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Record {
    /// Collects entries; of two with the same key the later one stays. Too many or too long keys are refused by the
    /// store that is given the record; of more than 65,535 keys it gets no more than that to refuse.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value.into()));
        let entries: BTreeMap<String, Value> = entries.collect();
        // More than a body can count would make it unreadable.
        let entries = entries.into_iter().take(usize::from(u16::MAX));
        let entries: Vec<_> = entries.map(|(key, value)| (key, value.to_string())).collect();
        let entries = entries.iter().map(|(key, value)| Entry { component: "", key, value: value.as_bytes() });
        Self::written(&Head::default(), entries)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys only: values are the user's.
        let keys: Vec<_> = self.raw_entries().map(|entry| (entry.component, entry.key)).collect();
        f.debug_struct("Record")
            .field("created_at", &self.created_at())
            .field("timeout", &self.timeout())
            .field("has_owner", &self.owner().is_some())
            .field("version", &self.version())
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}
