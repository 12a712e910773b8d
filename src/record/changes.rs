//! Changes: which keys a request set and removed, and how they merge into a record. Pure: no clock, no store.

mod keys;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use self::keys::Keys;
use super::body::{self, Body, Head, Merge};
use super::{Block, Epoch, Record, StoreState, Times};
use crate::error::Result;

/// What a request did to a session: keys set and removed, cleared or not, a new timeout, a new owner.
///
/// Applying it to a record gives the next one. Keys it does not name stay as they are, which is why two requests that
/// change different keys at once both keep their work. For each key the last thing done counts: "remove, then insert"
/// inserts, "clear, then insert" leaves that one key.
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
    keys: Keys,
    cleared: Cleared,
    timeout: Option<Option<Duration>>,
    owner: Option<Option<Box<str>>>,
    epoch: Option<Epoch>,
}

#[derive(Clone, Default, PartialEq, Eq)]
enum Cleared {
    #[default]
    Nothing,
    Components(Vec<Box<str>>),
    Everything,
}

impl Cleared {
    fn covers(&self, component: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Components(components) => components.iter().any(|cleared| **cleared == *component),
            Self::Everything => true,
        }
    }
}

/// One changed key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// The component, `""` for the session's own keys.
    pub component: &'a str,
    /// The key.
    pub key: &'a str,
    /// The new value as JSON; `None`: the key is removed.
    pub value: Option<&'a [u8]>,
}

impl Changes {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether applying this would change nothing but the version.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets a key. The value is written as JSON now, so nothing of the user's runs later.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`](crate::Error::is_value) when the value cannot be written as JSON;
    /// [`Error::is_limit`](crate::Error::is_limit) when the key is too long, or the value as JSON 4 GiB or more.
    pub fn insert<T: Serialize + ?Sized>(&mut self, component: &str, key: &str, value: &T) -> Result<()> {
        self.keys.insert(component, key, value)
    }

    /// Removes a key.
    ///
    /// # Errors
    ///
    /// [`Error::is_limit`](crate::Error::is_limit) when the key is longer than any key can be.
    pub fn remove(&mut self, component: &str, key: &str) -> Result<()> {
        self.keys.remove(component, key)
    }

    /// Removes every key of every component that is stored when the changes are applied.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.cleared = Cleared::Everything;
    }

    /// Removes every key of one component that is stored when the changes are applied.
    pub fn clear_component(&mut self, component: &str) {
        self.keys.clear_component(component);
        match &mut self.cleared {
            Cleared::Everything => {}
            Cleared::Components(components) if components.iter().any(|one| **one == *component) => {}
            Cleared::Components(components) => components.push(component.into()),
            Cleared::Nothing => self.cleared = Cleared::Components(vec![component.into()]),
        }
    }

    /// Gives the session an idle timeout of its own, or takes it away. Kept to the millisecond.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = Some(timeout);
    }

    /// Notes whose session it is, or that it is nobody's any more.
    ///
    /// # Errors
    ///
    /// [`Error::is_limit`](crate::Error::is_limit) when the name is empty or longer than 255 bytes.
    pub fn set_owner(&mut self, owner: Option<&str>) -> Result<()> {
        owner.map_or(Ok(()), body::check_owner)?;
        self.owner = Some(owner.map(Into::into));
        self.epoch = None;
        Ok(())
    }

    /// Makes the new owner depend on this still being the owner's epoch when the changes are saved.
    pub fn expect_epoch(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
    }

    /// The changed keys, in the order of their bytes. They come after whatever was cleared.
    pub fn keys(&self) -> impl Iterator<Item = Change<'_>> {
        self.keys.iter()
    }

    /// Whether all stored keys of all components are removed first.
    pub fn clears_everything(&self) -> bool {
        self.cleared == Cleared::Everything
    }

    /// Whether all stored keys of this component are removed first.
    pub fn clears(&self, component: &str) -> bool {
        self.cleared.covers(component)
    }

    /// The components that are cleared one by one; none when [everything](Self::clears_everything) is.
    pub fn cleared_components(&self) -> impl Iterator<Item = &str> {
        let components: &[Box<str>] = match &self.cleared {
            Cleared::Components(components) => components,
            Cleared::Nothing | Cleared::Everything => &[],
        };
        components.iter().map(|component| &**component)
    }

    /// The new timeout of the session's own, if it changes; `Some(None)` takes it away.
    pub fn timeout(&self) -> Option<Option<Duration>> {
        self.timeout
    }

    /// The new owner, if it changes; `Some(None)` takes it away.
    pub fn owner(&self) -> Option<Option<&str>> {
        self.owner.as_ref().map(Option::as_deref)
    }

    /// The new owner, if there is one and it depends on an epoch.
    pub fn login(&self) -> Option<(&str, Epoch)> {
        Some((self.owner()??, self.epoch?))
    }

    /// The record that results: what `stored` holds, with these changes on top and the next version.
    ///
    /// # Errors
    ///
    /// [`Error::is_limit`](crate::Error::is_limit) when there would be more than [`MAX_KEYS`](crate::MAX_KEYS) keys.
    pub fn apply(&self, stored: &Record) -> Result<Record> {
        // Clearing is rare: what it leaves is written out first, and then it is a merge like any other.
        let kept = (self.cleared != Cleared::Nothing).then(|| self.kept_of(stored));
        let old = kept.as_ref().unwrap_or(stored).body();
        let mut merge = Merge::new(old);
        for Change { component, key, value } in self.keys.iter() {
            merge.put(component, key, value);
        }
        body::check_count(merge.count())?;
        let state = StoreState::versioned(stored.version().next());
        Ok(merge.write(self.new_head(old).as_ref(), |bytes| Record { block: Block::new(state, bytes) }))
    }

    /// The head that results, unless it is the one of before.
    fn new_head<'a>(&'a self, old: Body<'a>) -> Option<Head<'a>> {
        if self.timeout.is_none() && self.owner.is_none() {
            return None;
        }
        let head = old.head();
        let head = head.with_timeout(self.timeout.unwrap_or(head.timeout()));
        Some(head.with_owner(self.owner().unwrap_or(head.owner)))
    }

    /// When the record that results was created, and the idle timeout that it has of its own.
    pub(crate) fn times(&self, stored: &Record) -> Times {
        let (created_at, own_timeout) = stored.times();
        (created_at, self.timeout.unwrap_or(own_timeout))
    }

    /// What of a record was not cleared.
    fn kept_of(&self, stored: &Record) -> Record {
        let kept = stored.raw_entries().filter(|entry| !self.cleared.covers(entry.component));
        Record::written(&stored.body().head(), kept)
    }

    /// What was last done to a key: `None` if nothing, else its new value or `Some(None)` for "removed".
    pub(crate) fn find(&self, component: &str, key: &str) -> Option<Option<&[u8]>> {
        self.keys.find(component, key)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys only: values are the user's.
        let keys: Vec<_> = self.keys().map(|change| ((change.component, change.key), change.value.is_some())).collect();
        f.debug_struct("Changes")
            .field("keys", &keys)
            .field("clears_everything", &self.clears_everything())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.value.is_some() { "set" } else { "removed" };
        write!(f, "{:?}.{:?} {verb}", self.component, self.key)
    }
}
