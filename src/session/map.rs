//! The map of a session: reads and changes of its own keys and of its components' keys. A read sees
//! unsaved changes.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Session;
use super::component::Component;
use crate::error::Result;
use crate::record::{Record, parse, parse_str};

/// The component that a session's own keys belong to.
pub(super) const OWN: &str = "";

impl Session {
    /// The value of `key`, read as `T`. JSON null is `None`, whatever `T` is.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`](crate::Error::is_value) if the value is not a `T`; or if the first look
    /// fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
    /// session.insert("user", "ada")?;
    /// assert_eq!(session.get::<String>("user")?.as_deref(), Some("ada"));
    /// assert_eq!(session.get::<String>("absent")?, None);
    /// assert!(session.get::<u32>("user").unwrap_err().is_value());
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.get_in(OWN, key)
    }

    /// The text of `key`, borrowed from the session unless its JSON has escapes. JSON null is
    /// `None`.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`](crate::Error::is_value) if the value is not a text; or if the first look
    /// fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
    /// session.insert("user", "ada")?;
    /// assert_eq!(session.get_str("user")?.as_deref(), Some("ada"));
    /// assert_eq!(session.get_str("absent")?, None);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn get_str(&self, key: &str) -> Result<Option<Cow<'_, str>>> {
        self.get_str_in(OWN, key)
    }

    /// Sets `key` to the JSON of `value`, which the next save stores. If `value` changes after this
    /// call, call `insert` again.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`](crate::Error::is_value) if the value cannot be written as JSON, or could
    /// not be read back from it; [`Error::is_size`](crate::Error::is_size) if the key is longer
    /// than [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES); or if the first look fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
    /// session.insert("cart", &["tea", "cups"])?;
    /// assert_eq!(session.get::<Vec<String>>("cart")?.unwrap(), ["tea", "cups"]);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias = "set")]
    pub fn insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        self.insert_in(OWN, key, value)
    }

    /// Removes `key`. Returns true if it had a value.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    #[doc(alias("delete", "unset"))]
    pub fn remove(&mut self, key: &str) -> Result<bool> {
        self.remove_in(OWN, key)
    }

    /// Removes `key` and returns its value. For messages that are shown once.
    ///
    /// Two parallel requests may both get the value, because the key is removed from the store at
    /// the save; [`consume`](Self::consume) gives it to one of them.
    ///
    /// # Errors
    ///
    /// [`Error::is_value`](crate::Error::is_value) if the value is not a `T`, and then the
    /// value stays; or if the first look fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
    /// session.insert("flash", "Saved.")?;
    /// assert_eq!(session.take::<String>("flash")?.as_deref(), Some("Saved."));
    /// assert_eq!(session.take::<String>("flash")?, None);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("pop", "flash"))]
    pub fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        self.take_in(OWN, key)
    }

    /// Returns true if `key` has a value.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    #[doc(alias = "has")]
    pub fn contains_key(&self, key: &str) -> Result<bool> {
        Ok(self.raw(OWN, key)?.is_some())
    }

    /// The session's own keys, sorted, without those of its components.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn keys(&self) -> Result<impl Iterator<Item = &str>> {
        self.keys_in(OWN)
    }

    /// The session's own keys and values, sorted by key.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
    /// session.insert("b", &[1, 2])?;
    /// session.insert("a", "x")?;
    /// let entries: Vec<_> = session.iter()?.map(|(key, value)| (key, value.get())).collect();
    /// assert_eq!(entries, [("a", "\"x\""), ("b", "[1,2]")]);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn iter(&self) -> Result<impl Iterator<Item = (&str, &RawValue)>> {
        self.iter_in(OWN)
    }

    /// The number of the session's own keys.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    #[doc(alias = "size")]
    pub fn len(&self) -> Result<usize> {
        Ok(self.entries(OWN)?.len())
    }

    /// Returns true if the session has no keys of its own.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.entries(OWN)?.is_empty())
    }

    /// Removes all keys that are stored at the time of the save, those of components too.
    ///
    /// The session itself stays, under its id. [`log_out`](Self::log_out) logs a user out.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn clear(&mut self) -> Result<()> {
        self.state()?;
        self.draft.changes.clear();
        Ok(())
    }

    /// The map of one component of the application, whose keys clash with no others. It is
    /// stored with the session and ends with it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
    /// session.component("cart").insert("items", &["tea"])?;
    /// assert_eq!(session.component("cart").get::<Vec<String>>("items")?.unwrap(), ["tea"]);
    /// assert!(!session.contains_key("items")?);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn component<'s>(&'s mut self, name: &'s str) -> Component<'s> {
        Component::new(self, name)
    }

    pub(super) fn get_in<T: DeserializeOwned>(&self, component: &str, key: &str) -> Result<Option<T>> {
        self.raw(component, key)?.map_or(Ok(None), |value| parse(key, value))
    }

    pub(super) fn get_str_in(&self, component: &str, key: &str) -> Result<Option<Cow<'_, str>>> {
        self.raw(component, key)?.map_or(Ok(None), |value| parse_str(key, value))
    }

    pub(super) fn insert_in<T: Serialize + ?Sized>(&mut self, component: &str, key: &str, value: &T) -> Result<()> {
        // The first look decides whether the value goes into a stored session or a new one.
        self.state()?;
        self.draft.changes.insert(component, key, value)
    }

    pub(super) fn remove_in(&mut self, component: &str, key: &str) -> Result<bool> {
        let is_present = self.raw(component, key)?.is_some();
        if is_present {
            self.draft.changes.remove(component, key)?;
        }
        Ok(is_present)
    }

    pub(super) fn take_in<T: DeserializeOwned>(&mut self, component: &str, key: &str) -> Result<Option<T>> {
        let value = self.get_in(component, key)?;
        self.remove_in(component, key)?;
        Ok(value)
    }

    pub(super) fn clear_in(&mut self, component: &str) -> Result<()> {
        self.state()?;
        self.draft.changes.clear_component(component);
        Ok(())
    }

    pub(super) fn keys_in(&self, component: &str) -> Result<impl Iterator<Item = &str> + use<'_>> {
        Ok(self.entries(component)?.into_iter().map(|(key, _)| key))
    }

    pub(super) fn iter_in(&self, component: &str) -> Result<impl Iterator<Item = (&str, &RawValue)> + use<'_>> {
        let entries = self.entries(component)?.into_iter();
        Ok(entries.filter_map(|(key, value)| Some((key, serde_json::from_slice(value).ok()?))))
    }

    /// The JSON of a key: the unsaved value if the draft changes the key, else the stored value.
    pub(super) fn raw(&self, component: &str, key: &str) -> Result<Option<&[u8]>> {
        let stored = self.stored_record()?;
        // Most reads come before the first change, so they skip the draft.
        if self.draft.changes.is_empty() {
            return Ok(stored.and_then(|record| record.raw(component, key)));
        }
        Ok(match self.draft.changes.find(component, key) {
            Some(changed) => changed,
            None if self.draft.changes.clears(component) => None,
            None => stored.and_then(|record| record.raw(component, key)),
        })
    }

    /// All entries of a component, unsaved changes included, sorted by key.
    pub(super) fn entries(&self, component: &str) -> Result<Vec<(&str, &[u8])>> {
        let cleared = self.draft.changes.clears(component);
        let stored = self.stored_record()?.filter(|_| !cleared).into_iter().flat_map(Record::raw_entries);
        let stored = stored.filter(|entry| entry.component == component).map(|entry| (entry.key, entry.value));
        let unchanged = stored.filter(|(key, _)| self.draft.changes.find(component, key).is_none());
        let changed = self.draft.changes.keys().filter(|change| change.component == component);
        let mut entries: Vec<_> =
            unchanged.chain(changed.filter_map(|change| Some((change.key, change.value?)))).collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        Ok(entries)
    }
}
