//! A component of a session: the same map, for keys of its own.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Session;
use crate::error::Result;

/// The keys of one component, from [`Session::component`].
///
/// Every method does what the one of the same name on [`Session`] does, for this component's keys
/// alone, with the same errors.
pub struct Component<'s> {
    session: &'s mut Session,
    name: &'s str,
}

impl<'s> Component<'s> {
    pub(super) fn new(session: &'s mut Session, name: &'s str) -> Self {
        Self { session, name }
    }

    /// The value of `key`, read as `T`: see [`Session::get`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.session.get_in(self.name, key)
    }

    /// The text of `key`: see [`Session::get_str`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_str(&self, key: &str) -> Result<Option<Cow<'_, str>>> {
        self.session.get_str_in(self.name, key)
    }

    /// Sets `key`: see [`Session::insert`].
    ///
    /// # Errors
    ///
    /// As there; the name of a component has the same limit as a key.
    #[doc(alias = "set")]
    pub fn insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        self.session.insert_in(self.name, key, value)
    }

    /// Removes `key`: see [`Session::remove`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn remove(&mut self, key: &str) -> Result<bool> {
        self.session.remove_in(self.name, key)
    }

    /// Removes `key` and returns its value: see [`Session::take`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        self.session.take_in(self.name, key)
    }

    /// Removes `key` from the store and returns its value, atomically: see [`Session::consume`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn consume<T: DeserializeOwned + Serialize>(&mut self, key: &str) -> Result<Option<T>> {
        self.session.consume_in(self.name, key)
    }

    /// Changes the value of `key` in the store, atomically: see [`Session::modify`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn modify<T, R>(&mut self, key: &str, change: impl FnMut(&mut Option<T>) -> R) -> Result<Option<R>>
    where
        T: DeserializeOwned + Serialize,
    {
        self.session.modify_in(self.name, key, change)
    }

    /// Whether there is a value for `key`: see [`Session::contains_key`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn contains_key(&self, key: &str) -> Result<bool> {
        Ok(self.session.raw(self.name, key)?.is_some())
    }

    /// The component's keys, sorted: see [`Session::keys`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn keys(&self) -> Result<impl Iterator<Item = &str>> {
        self.session.keys_in(self.name)
    }

    /// The component's keys and values: see [`Session::iter`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn iter(&self) -> Result<impl Iterator<Item = (&str, &RawValue)>> {
        self.session.iter_in(self.name)
    }

    /// How many keys the component has: see [`Session::len`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn len(&self) -> Result<usize> {
        Ok(self.session.entries(self.name)?.len())
    }

    /// Whether the component has no keys: see [`Session::is_empty`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.session.entries(self.name)?.is_empty())
    }

    /// Removes all of this component's keys, and no others: see [`Session::clear`].
    ///
    /// # Errors
    ///
    /// As there.
    #[doc(alias = "removeAll")]
    pub fn clear(&mut self) -> Result<()> {
        self.session.clear_in(self.name)
    }
}

impl fmt::Debug for Component<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component").field("name", &self.name).field("session", &self.session).finish()
    }
}
