//! Atomic change of one key: read, change, compare and swap, and again after a lost race.

use crossbeam_utils::Backoff;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::commit::Next;
use super::map::OWN;
use super::{Saved, Session, Stage};
use crate::error::{Error, Result};
use crate::record::{Changes, parse};
use crate::store::Commit;

/// The most lost races in a row. Each one means that another request's commit succeeded.
const MAX_ATTEMPTS: u32 = 1_000;

impl Session {
    /// Changes the value of `key` in the store, atomically, together with everything unsaved, a
    /// [login](Self::log_in) too.
    ///
    /// `change` receives what is stored at that moment (or an unsaved change of the same key) and
    /// leaves the new value; `None` removes the key. If another request commits in between, it runs
    /// again on the newer value, so it must have no other effect. Returns what `change` returned,
    /// or `None` if the session is gone. Use it for counters, lists and other values that are made
    /// from the old one; a plain [`insert`](Self::insert) would lose one of two increments.
    ///
    /// # Errors
    ///
    /// [`Error::is_contention`] after a thousand lost races in a row; [`Error::is_value`] when the
    /// stored value is not a `T`; [`Error::is_size`] when the session would be too large; otherwise
    /// as [`save`](Self::save). Nothing was written then, and unsaved changes stay. If it [is
    /// unknown](Error::is_unknown) whether the change was carried out, the next commit of this
    /// session finds out first, so it is not carried out twice.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let mut session = Sessions::new(LembroStore::new()?).generate()?;
    /// let visits = session.modify("visits", |visits: &mut Option<u64>| {
    ///     let visits = visits.get_or_insert(0);
    ///     *visits += 1;
    ///     *visits
    /// })?;
    /// assert_eq!(visits, Some(1));
    /// assert!(!session.is_changed()); // it is stored already
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("update", "compare_and_swap"))]
    pub fn modify<T, R>(&mut self, key: &str, change: impl FnMut(&mut Option<T>) -> R) -> Result<Option<R>>
    where
        T: DeserializeOwned + Serialize,
    {
        self.modify_in(OWN, key, change)
    }

    /// Removes `key` from the store and returns its value, atomically: of several requests of the
    /// session that consume it, one gets the value. For tokens that work once, such as one of a
    /// password reset or of an OAuth `state`. Everything unsaved is committed with it.
    /// [`take`](Self::take) is for what may be seen twice.
    ///
    /// # Errors
    ///
    /// As [`modify`](Self::modify).
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// session.insert("state", "af0ifjsldkj")?;
    /// session.save()?;
    /// let mut other_tab = sessions.load(&session.id()?)?.expect("saved");
    /// assert_eq!(session.consume::<String>("state")?.as_deref(), Some("af0ifjsldkj"));
    /// assert_eq!(other_tab.consume::<String>("state")?, None);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn consume<T: DeserializeOwned + Serialize>(&mut self, key: &str) -> Result<Option<T>> {
        self.consume_in(OWN, key)
    }

    pub(super) fn consume_in<T>(&mut self, component: &str, key: &str) -> Result<Option<T>>
    where
        T: DeserializeOwned + Serialize,
    {
        // What is not there needs no commit, unless one is not settled.
        if self.sent.is_none() && self.raw(component, key)?.is_none() {
            return Ok(None);
        }
        Ok(self.modify_in(component, key, Option::take)?.flatten())
    }

    pub(super) fn modify_in<T, R>(
        &mut self,
        component: &str,
        key: &str,
        mut change: impl FnMut(&mut Option<T>) -> R,
    ) -> Result<Option<R>>
    where
        T: DeserializeOwned + Serialize,
    {
        if let Some(outcome) = self.settle()? {
            self.conclude(outcome)?;
        }
        let backoff = Backoff::new();
        for _ in 0..MAX_ATTEMPTS {
            self.state()?;
            if let Some(ending) = self.look_again()? {
                self.outlive(ending)?;
            }
            let version = match &self.state()?.stage {
                Stage::Ended(_) => return Ok(None),
                Stage::New | Stage::Without(_) => None,
                Stage::Live(live) => Some(live.version),
            };
            // The result is kept apart, so that a panic in `change` leaves the session as it was.
            let (changes, result) = self.changed_by(component, key, &mut change)?;
            let Some(version) = version else {
                return Ok((self.create_with(changes)? != Saved::Gone).then_some(result));
            };
            let outcome = self.send(Commit::exactly(version)?, Some(changes))?;
            match self.conclude(outcome)? {
                Next::Saved(saved) => return Ok((saved != Saved::Gone).then_some(result)),
                Next::Again => backoff.snooze(),
            }
        }
        Err(Error::contention(self.handle()?, MAX_ATTEMPTS))
    }

    /// Stores a new session with these changes in place of the unsaved ones, unless it would be
    /// empty or the store is down.
    fn create_with(&mut self, changes: Changes) -> Result<Saved> {
        let is_hollow = self.draft.is_hollow(&changes);
        let saved = match self.state()?.stage {
            Stage::Without(_) => Saved::Nowhere,
            _ if is_hollow => Saved::Unchanged,
            _ => self.create(Some(&changes))?,
        };
        if matches!(saved, Saved::Nowhere | Saved::Unchanged) {
            // Kept even if nothing is stored: a removed key must not come back with the next save.
            self.draft.changes = changes;
        }
        Ok(saved)
    }

    /// The unsaved changes with the result of `change` on top.
    fn changed_by<T, R>(
        &self,
        component: &str,
        key: &str,
        change: &mut impl FnMut(&mut Option<T>) -> R,
    ) -> Result<(Changes, R)>
    where
        T: DeserializeOwned + Serialize,
    {
        let stored = self.stored_record()?;
        let mut changes = self.draft.changes.clone();
        let current = match changes.find(component, key) {
            Some(unsaved) => unsaved,
            None if changes.clears(component) => None,
            None => stored.and_then(|record| record.raw(component, key)),
        };
        let mut value = current.map_or(Ok(None), |value| parse(key, value))?;
        let result = change(&mut value);
        match &value {
            Some(value) => changes.insert(component, key, value)?,
            None => changes.remove(component, key)?,
        }
        Ok((changes, result))
    }
}
