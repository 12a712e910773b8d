//! The changes of a request to a session, and their merge into a record, without clock or store.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::block::StoreState;
use super::body::Body;
use super::frame::Frame;
use super::head::{CsrfKey, Head, millis};
use super::keys::{Change, ChangedKeys};
use super::limits;
use super::merge::Merge;
use super::record::Record;
use crate::error::Result;

/// The changes of a request to a session: keys to set, to remove and to clear, a new timeout, a new
/// label, and whether the session is remembered.
///
/// [`apply`](Self::apply) computes the next record from a stored one. Keys without a change stay as
/// they are, so two concurrent requests that change different keys both keep their work. For each
/// key the last change counts: "remove, then insert" inserts, "clear, then insert" leaves one key.
///
/// # Examples
///
/// ```
/// use lembro::{Changes, Record};
///
/// let record: Record = [("cart", 1), ("theme", 2)].into_iter().collect();
/// let mut changes = Changes::new();
/// changes.insert("", "cart", &3)?;
/// changes.remove("", "theme")?;
///
/// let next = changes.apply(&record)?;
/// assert_eq!(next.get::<i32>("cart")?, Some(3));
/// assert_eq!(next.get::<i32>("theme")?, None);
/// assert_eq!(record.get::<i32>("theme")?, Some(2)); // a record never changes
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Changes {
    keys: ChangedKeys,
    /// In a box, because few requests change more than keys, and changes are often moved.
    rare: Option<Box<RareChanges>>,
}

/// The changes other than keys.
#[derive(Clone, Default, PartialEq, Eq)]
struct RareChanges {
    cleared: ClearScope,
    timeout: Option<Option<Duration>>,
    remembered: Option<bool>,
    label: Option<Option<Box<str>>>,
    csrf: Option<CsrfKey>,
}

static NO_RARE_CHANGES: RareChanges =
    RareChanges { cleared: ClearScope::Nothing, timeout: None, remembered: None, label: None, csrf: None };

#[derive(Clone, Default, PartialEq, Eq)]
enum ClearScope {
    #[default]
    Nothing,
    Components(Vec<Box<str>>),
    Everything,
}

impl Changes {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns true if applying these would change nothing but the version.
    pub fn is_empty(&self) -> bool {
        self.keys.len() == 0 && self.rare.is_none()
    }

    fn rare(&self) -> &RareChanges {
        self.rare.as_deref().unwrap_or(&NO_RARE_CHANGES)
    }

    fn rare_mut(&mut self) -> &mut RareChanges {
        self.rare.get_or_insert_default()
    }

    /// The number of changed keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Sets a key. The value is written as JSON at once, so no code of the application runs later.
    ///
    /// A value is refused if its JSON would be read as another value, or not at all. `None`, `()`
    /// and all other values that are written as `null` are accepted as the whole value; they are
    /// read as `None`.
    ///
    /// `insert` cannot notice a hand-written `Deserialize` that does not accept the output of
    /// `Serialize`. The same holds for a derived one that reads through a buffer
    /// (`#[serde(untagged)]`, `#[serde(tag = "..")]`, `#[serde(flatten)]`): the buffer has no
    /// integers beyond 64 bits, rounds an `f32` twice, and has maps with text keys only.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`](crate::Error::is_value) when the value cannot be written as JSON, or the
    /// JSON would not be read as the same value. That is the case for
    ///
    /// - a float that is infinite or not a number, which would be written as `null`;
    /// - `Some` of a value that is written as `null`, which would be read as `None`;
    /// - more than 127 levels of lists and objects;
    /// - two equal keys in one object, as from a list of pairs or a flattened field;
    /// - a key in an object that begins with `$serde_json::private::`;
    /// - a [`RawValue`](serde_json::value::RawValue) whose text has one of the last three.
    ///
    /// [`Error::is_size`](crate::Error::is_size) when the key is too long, or the JSON has 4 GiB or
    /// more.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::Changes;
    /// let mut changes = Changes::new();
    /// changes.insert("", "ratio", &None::<f64>)?;
    /// assert!(changes.insert("", "ratio", &f64::NAN).unwrap_err().is_value());
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn insert<T: Serialize + ?Sized>(&mut self, component: &str, key: &str, value: &T) -> Result<()> {
        self.keys.insert(component, key, value)
    }

    /// Removes a key.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`](crate::Error::is_size) when the key is longer than a key may be.
    pub fn remove(&mut self, component: &str, key: &str) -> Result<()> {
        self.keys.remove(component, key)
    }

    /// Removes every key of every component that is stored when the changes are applied.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.rare_mut().cleared = ClearScope::Everything;
    }

    /// Removes every key of one component that is stored when the changes are applied.
    pub fn clear_component(&mut self, component: &str) {
        self.keys.clear_component(component);
        let cleared = &mut self.rare_mut().cleared;
        match cleared {
            ClearScope::Everything => {}
            ClearScope::Components(components) if components.iter().any(|one| **one == *component) => {}
            ClearScope::Components(components) => components.push(component.into()),
            ClearScope::Nothing => *cleared = ClearScope::Components(vec![component.into()]),
        }
    }

    /// Gives the session an idle timeout of its own, to the millisecond; `None` removes it.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.rare_mut().timeout = Some(timeout);
    }

    /// Sets whether the session is remembered. A [`Lease`](crate::Lease) can have other limits for
    /// remembered sessions.
    pub fn remember(&mut self, remembered: bool) {
        self.rare_mut().remembered = Some(remembered);
    }

    /// Sets the name of the session in the owner's list; `None` removes it.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`](crate::Error::is_size) when the label is longer than 255 bytes.
    pub fn set_label(&mut self, label: Option<&str>) -> Result<()> {
        label.map_or(Ok(()), limits::check_label)?;
        self.rare_mut().label = Some(label.map(Into::into));
        Ok(())
    }

    /// Gives the session a key for its CSRF tokens, if it has none yet.
    pub(crate) fn set_csrf(&mut self, key: CsrfKey) {
        self.rare_mut().csrf = Some(key);
    }

    /// The key for the CSRF tokens of a session that has none yet.
    pub(crate) fn csrf(&self) -> Option<CsrfKey> {
        self.rare().csrf
    }

    /// The changed keys, sorted by their bytes. They apply after the clears.
    pub fn keys(&self) -> impl Iterator<Item = Change<'_>> {
        self.keys.iter()
    }

    /// Returns true if all stored keys are removed before the changed keys apply.
    pub fn clears_everything(&self) -> bool {
        self.rare().cleared == ClearScope::Everything
    }

    /// Returns true if this component's stored keys are removed before the changed keys apply.
    pub fn clears(&self, component: &str) -> bool {
        match &self.rare().cleared {
            ClearScope::Nothing => false,
            ClearScope::Components(components) => components.iter().any(|cleared| **cleared == *component),
            ClearScope::Everything => true,
        }
    }

    /// The components that are cleared one by one; none if
    /// [everything](Self::clears_everything) is cleared.
    pub fn cleared_components(&self) -> impl Iterator<Item = &str> {
        let components: &[Box<str>] = match &self.rare().cleared {
            ClearScope::Components(components) => components,
            ClearScope::Nothing | ClearScope::Everything => &[],
        };
        components.iter().map(|component| &**component)
    }

    /// The session's new own timeout, if it changes; `Some(None)` removes it.
    pub fn timeout(&self) -> Option<Option<Duration>> {
        self.rare().timeout
    }

    /// Whether the session is remembered, if that changes.
    pub fn remembered(&self) -> Option<bool> {
        self.rare().remembered
    }

    /// The new label, if it changes; `Some(None)` removes it.
    pub fn label(&self) -> Option<Option<&str>> {
        self.rare().label.as_ref().map(Option::as_deref)
    }

    /// The resulting record: these changes on top of `stored`, with the next version.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`](crate::Error::is_size) when there would be more than
    /// [`MAX_KEYS`](crate::MAX_KEYS) keys.
    pub fn apply(&self, stored: &Record) -> Result<Record> {
        let head = self.changes_head().then(|| self.apply_to_head(stored.head()));
        self.write(Some(stored), head.as_ref(), StoreState::default(), &Frame::of(stored.version().next()))
    }

    /// Writes the resulting row with this state and this frame. Without a `head` the stored one
    /// stays. Without `stored` there are no entries yet.
    pub(crate) fn write(
        &self,
        stored: Option<&Record>,
        head: Option<&Head<'_>>,
        state: StoreState,
        frame: &Frame,
    ) -> Result<Record> {
        // Clearing is rare, so it may write one more record, with the entries that stay.
        let is_cleared = self.rare().cleared != ClearScope::Nothing;
        let kept = stored.filter(|_| is_cleared).map(|stored| self.without_cleared(stored));
        let mut merge = Merge::new(kept.as_ref().or(stored).map_or(Body::EMPTY, Record::body));
        for Change { component, key, value } in self.keys.iter() {
            merge.put(component, key, value);
        }
        limits::check_count(merge.count)?;
        Ok(merge.to_record(head, state, frame))
    }

    /// These changes, followed by later ones.
    #[must_use]
    pub(crate) fn then(mut self, later: &Self) -> Self {
        if later.clears_everything() {
            self.clear();
        }
        later.cleared_components().for_each(|component| self.clear_component(component));
        for Change { component, key, value } in later.keys() {
            self.keys.put_raw(component, key, value);
        }
        if let Some(later) = &later.rare {
            let rare = self.rare_mut();
            rare.timeout = later.timeout.or(rare.timeout);
            rare.remembered = later.remembered.or(rare.remembered);
            rare.label = later.label.clone().or(rare.label.take());
            rare.csrf = rare.csrf.or(later.csrf);
        }
        self
    }

    /// Returns true if these change the head of the record.
    pub(crate) fn changes_head(&self) -> bool {
        let rare = self.rare();
        rare.timeout.is_some() || rare.remembered.is_some() || rare.label.is_some() || rare.csrf.is_some()
    }

    /// The resulting head: these changes on top of `head`.
    pub(crate) fn apply_to_head<'a>(&'a self, head: Head<'a>) -> Head<'a> {
        Head {
            timeout_ms: self.timeout().map_or(head.timeout_ms, |timeout| timeout.map(millis)),
            remembered: self.remembered().unwrap_or(head.remembered),
            label: self.label().unwrap_or(head.label),
            // If two requests draw a key, the stored one stays, because a page may already use it.
            csrf: head.csrf.or(self.csrf()),
            ..head
        }
    }

    /// The record without the entries that are cleared.
    fn without_cleared(&self, stored: &Record) -> Record {
        let kept = stored.raw_entries().filter(|entry| !self.clears(entry.component));
        Record::from_sorted(&stored.head(), StoreState::default(), &Frame::default(), kept)
    }

    /// The last change of a key, if there is one: the new value, or `Some(None)` for "removed".
    pub(crate) fn find(&self, component: &str, key: &str) -> Option<Option<&[u8]>> {
        self.keys.find(component, key)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys only, because values are private.
        let keys: Vec<_> = self.keys().map(|change| ((change.component, change.key), change.value.is_some())).collect();
        f.debug_struct("Changes")
            .field("keys", &keys)
            .field("clears_everything", &self.clears_everything())
            .field("timeout", &self.timeout())
            .field("remembered", &self.remembered())
            .finish_non_exhaustive()
    }
}

impl From<&Record> for Changes {
    /// The changes that copy a record's entries, timeout, label and "remembered" to another record.
    fn from(record: &Record) -> Self {
        let head = record.head();
        let rare = RareChanges {
            timeout: head.timeout().map(Some),
            remembered: head.remembered.then_some(true),
            label: head.label.map(|label| Some(label.into())),
            ..RareChanges::default()
        };
        let mut changes = Self { rare: (rare != NO_RARE_CHANGES).then(|| Box::new(rare)), ..Self::default() };
        for entry in record.raw_entries() {
            changes.keys.put_raw(entry.component, entry.key, Some(entry.value));
        }
        changes
    }
}
