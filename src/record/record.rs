//! The record: one session's data, immutable, in one block of bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::block::{Block, StoreState};
use super::body::{self, Body};
use super::entries::{RecordEntry, parse, parse_str};
use super::frame::{Frame, SecondSecret, Version};
use super::head::{self, Head, Times, calendar_time};
use super::limits;
use super::merge::Merge;
use crate::error::Result;

/// One stored session.
///
/// A record is immutable. A commit builds a new record from the stored one and its
/// [`Changes`](crate::Changes), and copies the unchanged entries as bytes. A record is one block of
/// memory with a reference count, so a clone copies no data. Every value is JSON, and reading a
/// value parses only that value.
///
/// `==` and serde use the session's data only, not the store's part of a row.
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
        Merge::new(Body::EMPTY).to_record(None, StoreState::default(), &Frame::default())
    }

    /// Builds a record from its parts, if they are within the limits. The entries may be in any
    /// order; no two may have the same name.
    pub(crate) fn from_parts(
        head: &Head<'_>,
        state: StoreState,
        frame: &Frame,
        mut entries: Vec<RecordEntry<'_>>,
    ) -> Result<Self> {
        limits::check_parts(head, &entries)?;
        entries.sort_unstable_by_key(RecordEntry::name);
        Ok(Self::from_sorted(head, state, frame, entries))
    }

    /// Builds a record from sorted entries, without a check of the limits.
    pub(super) fn from_sorted<'a>(
        head: &Head<'a>,
        state: StoreState,
        frame: &Frame,
        entries: impl IntoIterator<Item = RecordEntry<'a>>,
    ) -> Self {
        let mut merge = Merge::new(Body::EMPTY);
        entries.into_iter().for_each(|entry| merge.put(entry.component, entry.key, Some(entry.value)));
        merge.to_record(Some(head), state, frame)
    }

    /// Checks a body from outside the process, and builds a record from it.
    pub(crate) fn from_body(bytes: &[u8], state: StoreState, frame: &Frame) -> Result<Self> {
        Ok(Merge::new(limits::validate(bytes)?).to_record(None, state, frame))
    }

    /// Reads the bytes that [`as_bytes`](Self::as_bytes) returned.
    ///
    /// # Errors
    ///
    /// [`Error::is_corrupt`](crate::Error::is_corrupt) when they are not a record. No input panics.
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
        Self::from_body(bytes, StoreState::default(), &Frame::default())
    }

    /// The record as bytes, without its version and secrets.
    /// [`Entry::to_bytes`](crate::Entry::to_bytes) writes these, too.
    pub fn as_bytes(&self) -> &[u8] {
        self.block.body()
    }

    /// The value of `key`, read as `T`; `None` if there is no such key or its value is JSON null.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`](crate::Error::is_value) when the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.get_in("", key)
    }

    /// The value of `key` in a component: see [`get`](Self::get).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_in<T: DeserializeOwned>(&self, component: &str, key: &str) -> Result<Option<T>> {
        self.raw(component, key).map_or(Ok(None), |value| parse(key, value))
    }

    /// The text of `key`, borrowed from the record if the text needs no unescaping; `None` if there
    /// is no such key or its value is JSON null.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`](crate::Error::is_value) when the value is not a text.
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
    /// As [`get_str`](Self::get_str).
    pub fn get_str_in(&self, component: &str, key: &str) -> Result<Option<Cow<'_, str>>> {
        self.raw(component, key).map_or(Ok(None), |value| parse_str(key, value))
    }

    /// Every entry as component (`""` for the session's own keys), key and value. The entries are
    /// sorted by the bytes of component and key.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, &RawValue)> {
        self.raw_entries().filter_map(|entry| {
            let value = serde_json::from_slice(entry.value).ok()?;
            Some((entry.component, entry.key, value))
        })
    }

    /// The number of entries, over all components.
    pub fn len(&self) -> usize {
        head::count(self.as_bytes())
    }

    /// Returns true if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the session was created, to the millisecond; `None` before a store has stored the
    /// record.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.body().head().created_at()
    }

    /// The session's own idle timeout; `None` if the policy's timeout applies.
    pub fn timeout(&self) -> Option<Duration> {
        self.body().head().timeout()
    }

    /// The owner: the user who is logged in; `None` for an anonymous session.
    pub fn owner(&self) -> Option<&str> {
        self.body().head().owner.map(|owner| owner.name)
    }

    /// When the owner logged in, to the millisecond; `None` for an anonymous session.
    pub fn owner_since(&self) -> Option<SystemTime> {
        self.body().head().owner.and_then(|owner| calendar_time(owner.since_ms))
    }

    /// When the session got its id, to the millisecond. A change of the id records this time only
    /// if the lease renews ids. If none is recorded, returns the time of creation.
    pub fn id_since(&self) -> Option<SystemTime> {
        let head = self.body().head();
        head.id_since_ms.and_then(calendar_time).or(head.created_at())
    }

    /// The name of the session in the owner's list, such as "Firefox on Linux". Escape this text in
    /// a page, because it may come from the client.
    pub fn label(&self) -> Option<&str> {
        self.body().head().label
    }

    /// Returns true if the session is remembered. A [`Lease`](crate::Lease) can have other limits
    /// for remembered sessions.
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

    /// Returns true if there is an owner.
    pub(crate) fn is_owned(&self) -> bool {
        head::has_owner(self.as_bytes())
    }

    /// The version, which a [`Commit`](crate::Commit) compares with the stored one.
    pub fn version(&self) -> Version {
        self.block.version()
    }

    /// The memory that the record takes, in bytes, without the store's table and indexes.
    pub fn size(&self) -> usize {
        self.block.size()
    }

    /// Prepares a record for `set`: checks the limits, gives the record a version, and sets the
    /// time of creation to `now_ms` if there is none.
    pub(crate) fn prepare(self, version: Version, now_ms: u64) -> Result<Self> {
        self.check()?;
        let mut head = self.head();
        if head.created_ms == 0 {
            head.created_ms = now_ms;
        }
        Ok(self.rewrite(Some(&head), StoreState::default(), &Frame::of(version)))
    }

    /// Returns an error if the record is beyond the limits.
    pub(crate) fn check(&self) -> Result<()> {
        limits::check_body(self.body())
    }

    /// The same entries with another state and frame, and another head if one is given.
    pub(crate) fn rewrite(&self, head: Option<&Head<'_>>, state: StoreState, frame: &Frame) -> Self {
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

    pub(crate) fn raw_entries(&self) -> impl Iterator<Item = RecordEntry<'_>> + Clone {
        self.body().iter()
    }

    pub(crate) fn state(&self) -> &StoreState {
        self.block.state()
    }

    /// The same data with another store state. If other clones of the record exist, the block is
    /// copied first.
    #[must_use]
    pub(crate) fn with_state(mut self, update: impl FnOnce(&mut StoreState)) -> Self {
        self.block.update_state(update);
        self
    }

    pub(crate) fn same_block(&self, other: &Self) -> bool {
        self.block.is(&other.block)
    }

    pub(super) fn body(&self) -> Body<'_> {
        Body::new(self.block.body())
    }
}

impl Merge<'_> {
    /// Writes the resulting record in one allocation. Every record is built here.
    pub(super) fn to_record(&self, head: Option<&Head<'_>>, state: StoreState, frame: &Frame) -> Record {
        let second = frame.second.as_ref();
        self.write(head, frame, |bytes| Record { block: Block::new(state, second, bytes) })
    }
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
    /// Collects entries; of two with the same key the later one stays.
    ///
    /// Unlike [`Changes::insert`](crate::Changes::insert), this does not check the values, and a
    /// float that is not finite becomes `null`, because `serde_json` has converted it before. A
    /// store refuses a record with too many or too long keys. Only the first 65,535 keys are kept,
    /// and every store refuses so many.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value.into().to_string()));
        let entries: BTreeMap<String, String> = entries.collect();
        // A body counts its entries in a `u16`, so a body with more entries would be unreadable.
        let entries = entries.iter().take(usize::from(u16::MAX));
        let entries = entries.map(|(key, value)| RecordEntry { component: "", key, value: value.as_bytes() });
        Self::from_sorted(&Head::default(), StoreState::default(), &Frame::default(), entries)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys only, because values are private.
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
