//! Atomic changes of one key: read, change, compare and swap, and repeat after a lost race.

use crossbeam_utils::Backoff;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Session;
use super::commit::{FollowUp, Saved};
use super::map::OWN;
use super::state::Stage;
use crate::error::{Error, Result};
use crate::record::Changes;
use crate::store::Commit;

/// The most lost races in a row. Each of them means that another request's commit succeeded.
const MAX_ATTEMPTS: u32 = 1_000;

impl Session {
    /// Changes the value of `key` in the store atomically. The same commit carries all unsaved
    /// changes, a [login](Self::log_in) too. Returns what `change` returned, or `None` if the
    /// session is gone.
    ///
    /// `change` receives the value that is stored at that moment, or an unsaved one, and replaces
    /// it; `None` removes the key. If another request commits in between, `change` runs again on
    /// the newer value, so it must have no other effect. Use `modify` for counters, lists and other
    /// values that are computed from the old one; a plain [`insert`](Self::insert) would lose one
    /// of two parallel increments.
    ///
    /// # Errors
    ///
    /// [`Error::is_contention`] after a thousand lost races in a row; [`Error::is_value`] if the
    /// stored value is not a `T`; otherwise those of [`save`](Self::save). Then nothing was
    /// written, and unsaved changes stay. If it [is unknown](Error::is_unknown) whether the change
    /// was carried out, the next commit of this session finds out first, so the change is not
    /// carried out twice.
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
    /// assert!(!session.is_changed()); // it is stored
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("update", "compare_and_swap"))]
    pub fn modify<T, R>(&mut self, key: &str, change: impl FnMut(&mut Option<T>) -> R) -> Result<Option<R>>
    where
        T: DeserializeOwned + Serialize,
    {
        self.modify_in(OWN, key, change)
    }

    /// Removes `key` from the store and returns its value, atomically: of several parallel requests
    /// only one gets the value. Use it for tokens that work once, such as that of a password reset
    /// or an OAuth `state`. The same commit carries all unsaved changes. For messages, which may be
    /// shown twice, there is [`take`](Self::take).
    ///
    /// # Errors
    ///
    /// Those of [`modify`](Self::modify).
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
        // A missing key needs no commit, unless the outcome of one is unknown.
        if self.unknown.is_none() && self.raw(component, key)?.is_none() {
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
        self.settle()?;
        let backoff = Backoff::new();
        for _ in 0..MAX_ATTEMPTS {
            self.state()?;
            if let Some(ending) = self.refresh()? {
                self.continue_after(ending)?;
            }
            let version = match &self.state()?.stage {
                Stage::Ended(_) => return Ok(None),
                Stage::New | Stage::StoreUnavailable(_) => None,
                Stage::Live(live) => Some(live.version),
            };
            // The changes are kept apart, so that a panic in `change` leaves the draft as it was.
            let (changes, result) = self.changed_by(component, key, &mut change)?;
            let Some(version) = version else {
                return Ok((self.create_with(changes)? != Saved::Gone).then_some(result));
            };
            let outcome = self.send(Commit::exactly(version)?, Some(changes))?;
            match self.follow(outcome)? {
                FollowUp::Finished(saved) => return Ok((saved != Saved::Gone).then_some(result)),
                FollowUp::Retry => backoff.snooze(),
            }
        }
        Err(Error::contention(self.handle()?, MAX_ATTEMPTS))
    }

    /// Stores a new session with these changes in place of the draft's, unless the session would be
    /// empty or the store is down.
    fn create_with(&mut self, changes: Changes) -> Result<Saved> {
        let is_empty = self.draft.is_empty_with(&changes);
        let saved = match self.state()?.stage {
            Stage::StoreUnavailable(_) => Saved::Skipped,
            _ if is_empty => Saved::Unchanged,
            _ => self.create(Some(&changes))?,
        };
        if matches!(saved, Saved::Skipped | Saved::Unchanged) {
            // Nothing is stored, but the next save must not store a key that `change` removed.
            self.draft.changes = changes;
        }
        Ok(saved)
    }

    /// The draft's changes with the new value on top, and what `change` returned.
    fn changed_by<T, R>(
        &self,
        component: &str,
        key: &str,
        change: &mut impl FnMut(&mut Option<T>) -> R,
    ) -> Result<(Changes, R)>
    where
        T: DeserializeOwned + Serialize,
    {
        let mut value = self.get_in(component, key)?;
        let mut changes = self.draft.changes.clone();
        let result = change(&mut value);
        match &value {
            Some(value) => changes.insert(component, key, value)?,
            None => changes.remove(component, key)?,
        }
        Ok((changes, result))
    }
}
