//! Components of a session: maps like the session's, each with keys of its own.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Session;
use crate::error::Result;

/// The keys of one component, from [`Session::component`].
///
/// Every method does what the method of the same name on [`Session`] does, for this component's
/// keys alone, and returns the same errors. The name of a component has the same limit as a key.
///
/// # Examples
///
/// ```
/// # use lembro::{LembroStore, Sessions};
/// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
/// let mut cart = session.component("cart");
/// cart.insert("items", &["tea"])?;
/// assert_eq!(cart.len()?, 1);
/// cart.clear()?;
/// assert!(cart.is_empty()?);
/// # Ok::<(), lembro::Error>(())
/// ```
pub struct Component<'s> {
    session: &'s mut Session,
    name: &'s str,
}

#[expect(clippy::missing_errors_doc, reason = "the type's page says which errors there are")]
impl<'s> Component<'s> {
    pub(super) fn new(session: &'s mut Session, name: &'s str) -> Self {
        Self { session, name }
    }

    /// The value of `key`, read as `T`: see [`Session::get`].
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.session.get_in(self.name, key)
    }

    /// The text of `key`: see [`Session::get_str`].
    pub fn get_str(&self, key: &str) -> Result<Option<Cow<'_, str>>> {
        self.session.get_str_in(self.name, key)
    }

    /// Sets `key`: see [`Session::insert`].
    #[doc(alias = "set")]
    pub fn insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        self.session.insert_in(self.name, key, value)
    }

    /// Removes `key`: see [`Session::remove`].
    pub fn remove(&mut self, key: &str) -> Result<bool> {
        self.session.remove_in(self.name, key)
    }

    /// Removes `key` and returns its value: see [`Session::take`].
    pub fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        self.session.take_in(self.name, key)
    }

    /// Removes `key` from the store and returns its value, atomically: see [`Session::consume`].
    pub fn consume<T: DeserializeOwned + Serialize>(&mut self, key: &str) -> Result<Option<T>> {
        self.session.consume_in(self.name, key)
    }

    /// Changes the value of `key` in the store, atomically: see [`Session::modify`].
    pub fn modify<T, R>(&mut self, key: &str, change: impl FnMut(&mut Option<T>) -> R) -> Result<Option<R>>
    where
        T: DeserializeOwned + Serialize,
    {
        self.session.modify_in(self.name, key, change)
    }

    /// Returns true if `key` has a value: see [`Session::contains_key`].
    pub fn contains_key(&self, key: &str) -> Result<bool> {
        Ok(self.session.raw(self.name, key)?.is_some())
    }

    /// The component's keys, sorted: see [`Session::keys`].
    pub fn keys(&self) -> Result<impl Iterator<Item = &str>> {
        self.session.keys_in(self.name)
    }

    /// The component's keys and values: see [`Session::iter`].
    pub fn iter(&self) -> Result<impl Iterator<Item = (&str, &RawValue)>> {
        self.session.iter_in(self.name)
    }

    /// The number of the component's keys: see [`Session::len`].
    pub fn len(&self) -> Result<usize> {
        Ok(self.session.entries(self.name)?.len())
    }

    /// Returns true if the component has no keys: see [`Session::is_empty`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.session.entries(self.name)?.is_empty())
    }

    /// Removes all of this component's keys, and no others.
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
