//! The record: one session's data, with what the crate notes about it, in one flat block.

mod block;
mod body;
mod changes;
mod exact;
mod json;
#[cfg(feature = "redis")]
mod parts;
mod version;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use self::block::{Block, FRONT_BYTES, SECOND_BYTES};
pub(crate) use self::block::{Class, Frame, NEVER, SecondSecret, StoreState};
pub(crate) use self::body::check_owner;
use self::body::{Body, Entry, Merge};
pub(crate) use self::body::{CsrfKey, Head, MAX_MILLIS, Owned, Times, calendar_time};
pub use self::changes::{Change, Changes};
#[cfg(feature = "redis")]
pub(crate) use self::parts::RecordParts;
pub use self::version::Version;
use crate::error::{Error, Result};

/// The longest key and the longest component name, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// The most keys a session may have, over all its components.
pub const MAX_KEYS: usize = 1024;

/// One stored session.
///
/// A record never changes: a commit makes the next one out of it and some [`Changes`]. It is one
/// block of bytes behind one pointer, with every value as JSON. So its size is its size in memory,
/// a clone is an increment, and a commit copies what it did not change. Reading a value parses that
/// value and nothing else.
///
/// `Clone`, `==` and serde see the session's data, never what a store keeps beside it.
///
/// # Examples
///
/// ```
/// use lembro::Record;
/// use serde_json::json;
///
/// let record: Record = [("user", json!("ada")), ("visits", json!(3))].into_iter().collect();
/// assert_eq!(record.get_str("user")?.as_deref(), Some("ada"));
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
    /// An empty record.
    pub fn new() -> Self {
        Self::framed(StoreState::default(), &Frame::default(), body::EMPTY)
    }

    /// A record with this body, this state and this frame.
    fn framed(state: StoreState, frame: &Frame, body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(body.len() + FRONT_BYTES + SECOND_BYTES);
        frame.write_front(&mut bytes);
        bytes.extend_from_slice(body);
        frame.write_back(&mut bytes);
        Self { block: Block::new(state, frame.second.as_ref(), &bytes) }
    }

    /// A record of entries that are in their order.
    fn written<'a>(head: &Head<'a>, version: Version, entries: impl IntoIterator<Item = Entry<'a>>) -> Self {
        let mut merge = Merge::new(Body::EMPTY);
        entries.into_iter().for_each(|Entry { component, key, value }| merge.put(component, key, Some(value)));
        merge.to_record(Some(head), StoreState::default(), &Frame::of(version))
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
        Ok(Self::framed(StoreState::default(), &Frame::default(), bytes))
    }

    /// The record as bytes, without the other parts of a row: version and secrets.
    /// [`Entry::to_bytes`](crate::Entry::to_bytes) writes the whole row.
    pub fn as_bytes(&self) -> &[u8] {
        self.block.body()
    }

    /// The value of `key`, read as `T`. JSON null is `None`, whatever `T` is.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`] when the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.get_in("", key)
    }

    /// The value of `key` in a component, read as `T`. JSON null is `None`, whatever `T` is.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`] when the value is not a `T`.
    pub fn get_in<T: DeserializeOwned>(&self, component: &str, key: &str) -> Result<Option<T>> {
        self.raw(component, key).map_or(Ok(None), |value| parse(key, value))
    }

    /// The text of `key`. It borrows from the record if the text needs no unescaping, and is
    /// `None` if the value is JSON null.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`] when the value is not a text.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::Record;
    /// use std::borrow::Cow;
    ///
    /// let record: Record = [("user", "ada"), ("title", "\"Countess\"")].into_iter().collect();
    /// assert!(matches!(record.get_str("user")?, Some(Cow::Borrowed("ada"))));
    /// assert_eq!(record.get_str("title")?.as_deref(), Some("\"Countess\""));
    /// assert_eq!(record.get_str("absent")?, None);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn get_str(&self, key: &str) -> Result<Option<Cow<'_, str>>> {
        self.get_str_in("", key)
    }

    /// The text of `key` in a component: see [`get_str`](Self::get_str).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_str_in(&self, component: &str, key: &str) -> Result<Option<Cow<'_, str>>> {
        self.raw(component, key).map_or(Ok(None), |value| parse_str(key, value))
    }

    /// Every entry: component (`""` for the session's own keys), key and value, sorted by their
    /// bytes.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, &RawValue)> {
        self.raw_entries().filter_map(|entry| {
            let value = serde_json::from_slice(entry.value).ok()?;
            Some((entry.component, entry.key, value))
        })
    }

    /// How many entries there are, over all components.
    pub fn len(&self) -> usize {
        body::count(self.as_bytes())
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the session was created, to the millisecond; `None` before a store has stored the
    /// record.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.body().head().created_at()
    }

    /// The session's own idle timeout, which replaces the policy's.
    pub fn timeout(&self) -> Option<Duration> {
        self.body().head().timeout()
    }

    /// The owner: the user who is logged in; `None` for an anonymous session.
    pub fn owner(&self) -> Option<&str> {
        self.body().head().owner.map(|owner| owner.by)
    }

    /// When the owner logged in, to the millisecond; `None` for an anonymous session.
    pub fn owner_since(&self) -> Option<SystemTime> {
        self.body().head().owner.and_then(|owner| calendar_time(owner.since_ms))
    }

    /// When the session got its id, to the millisecond. It is noted when the id changes under a
    /// lease that renews ids; without a note the id is as old as the session.
    pub fn id_since(&self) -> Option<SystemTime> {
        let head = self.body().head();
        head.id_since_ms.and_then(calendar_time).or(head.created_at())
    }

    /// The name that the owner's list of sessions shows, such as "Firefox on Linux". It comes from
    /// outside: escape it in a page.
    pub fn label(&self) -> Option<&str> {
        self.body().head().label
    }

    /// Returns true if the session is remembered: a [`Lease`](crate::Lease) can have other limits
    /// for it.
    pub fn is_remembered(&self) -> bool {
        self.times().remembered
    }

    #[inline]
    pub(crate) fn times(&self) -> Times {
        self.block.times()
    }

    pub(crate) fn head(&self) -> Head<'_> {
        self.body().head()
    }

    /// Returns true if there is an owner. Reads only the flag.
    pub(crate) fn is_owned(&self) -> bool {
        body::has_owner(self.as_bytes())
    }

    /// The version, for a [`Commit`](crate::Commit).
    pub fn version(&self) -> Version {
        self.block.version()
    }

    /// The memory of the record's block in bytes, without the structures of a store that find it.
    pub fn size(&self) -> usize {
        self.block.size()
    }

    /// Prepares a record for `set`: checks the limits, gives the record a version, and notes
    /// `now_ms` as the time of creation if none is noted.
    pub(crate) fn prepare(self, version: Version, now_ms: u64) -> Result<Self> {
        self.check()?;
        let mut prepared = Self::framed(StoreState::default(), &Frame::of(version), self.as_bytes());
        if !body::is_created(self.as_bytes()) {
            prepared.block.set_created_ms(now_ms);
        }
        Ok(prepared)
    }

    /// Checks the limits.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`] when there are too many keys, or a name is too long.
    pub(crate) fn check(&self) -> Result<()> {
        body::check_limits(self.body())
    }

    /// The same entries with another head, state and frame.
    pub(crate) fn rewritten(&self, head: Option<&Head<'_>>, state: StoreState, frame: &Frame) -> Self {
        Merge::new(self.body()).to_record(head, state, frame)
    }

    /// The second secret of a session that was rotated.
    #[inline]
    pub(crate) fn second(&self) -> Option<SecondSecret> {
        self.block.second()
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

    /// The same data with another store state. The block is changed in place if this is the only
    /// pointer to it, else on a copy.
    #[must_use]
    pub(crate) fn with_state(mut self, stamp: impl FnOnce(&mut StoreState)) -> Self {
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

impl Merge<'_> {
    /// Writes the resulting record in one allocation.
    fn to_record(&self, head: Option<&Head<'_>>, state: StoreState, frame: &Frame) -> Record {
        let second = frame.second.as_ref();
        self.write(head, frame, |bytes| Record { block: Block::new(state, second, bytes) })
    }
}

/// Reads one value: `None` if it is JSON null. The key is for the message of an error.
pub(crate) fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<Option<T>> {
    serde_json::from_slice(value).map_err(|source| Error::read_value(key, source))
}

/// Reads one text: `None` if the value is JSON null. It borrows if the text needs no unescaping.
pub(crate) fn parse_str<'a>(key: &str, value: &'a [u8]) -> Result<Option<Cow<'a, str>>> {
    if let [b'"', text @ .., b'"'] = value
        && !text.contains(&b'\\')
        && let Ok(text) = str::from_utf8(text)
    {
        return Ok(Some(Cow::Borrowed(text)));
    }
    Ok(parse::<String>(key, value)?.map(Cow::Owned))
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
    /// Collects entries; of two with the same key the later one stays. A value is kept as it is and
    /// not checked as by [`Changes::insert`]; `serde_json` makes `null` of a float that is not
    /// finite before it comes here. A store refuses a record
    /// with too many or too long keys. Of more than 65,535 keys, only the first 65,535 are kept,
    /// which a store refuses all the same.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value.into()));
        let entries: BTreeMap<String, Value> = entries.collect();
        // A body that holds more than it can count would be unreadable.
        let entries = entries.into_iter().take(usize::from(u16::MAX));
        let entries: Vec<_> = entries.map(|(key, value)| (key, value.to_string())).collect();
        let entries = entries.iter().map(|(key, value)| Entry { component: "", key, value: value.as_bytes() });
        Self::written(&Head::default(), Version::default(), entries)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys only, because values are the user's.
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
