//! Atomic change of one key: read, change, compare and swap, and again if somebody was faster.

use crossbeam_utils::Backoff;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::live::{self, Live};
use super::map::OWN;
use super::{Saved, Session, Stage};
use crate::error::{Error, Result};
use crate::id::SessionId;
use crate::record::{Changes, Expected, Record, parse};
use crate::store::Outcome;

/// After so many defeats in a row something other than bad luck is at work. Each one means that somebody else's save
/// succeeded.
const MAX_ATTEMPTS: u32 = 1_000;

impl Session {
    /// Changes the value of `key` in the store, atomically, together with everything unsaved.
    ///
    /// `change` is given what is stored at that moment (or an unsaved change of the same key) and leaves behind what is
    /// to be stored; leaving `None` removes the key. If another request saves in between, it runs again on the
    /// newer value, so it must not do anything else that counts. Returns what `change` returned, or `None` if the session
    /// is gone. For counters, lists, anything that is made from its old value; a plain
    /// [`insert`](Self::insert) would lose one of two increments.
    ///
    /// # Errors
    ///
    /// [`Error::is_conflict`] after a thousand defeats in a row; [`Error::is_value`] when the stored value is not a `T`;
    /// [`Error::is_limit`] when the session would be too large; when the store failed. Nothing is written then, and what was
    /// unsaved stays unsaved.
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
    /// assert!(!session.changed()); // it is stored already
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("update", "compare_and_swap"))]
    pub fn modify<T, R>(&mut self, key: &str, change: impl FnMut(&mut Option<T>) -> R) -> Result<Option<R>>
    where
        T: DeserializeOwned + Serialize,
    {
        self.modify_in(OWN, key, change)
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
        // A login goes first, and by itself: it may be refused.
        if self.changes.owner().flatten().is_some() && self.save()? == Saved::Gone {
            return Ok(None);
        }
        let backoff = Backoff::new();
        for _ in 0..MAX_ATTEMPTS {
            let Some((id, stored)) = self.newest()? else { return Ok(None) };
            // Worked out aside: a panic in `change` leaves the session as it was.
            let (changes, result) = self.changed_by(stored.as_ref(), component, key, &mut change)?;
            let Some(stored) = stored else {
                // Kept, even if there is nothing to store: what the change removed must not come back with the next save.
                let before = std::mem::replace(&mut self.changes, changes);
                let saved = self.create(id).inspect_err(|_| self.changes = before)?;
                return Ok((saved != Saved::Gone).then_some(result));
            };
            live::check(&changes, &stored)?;
            let (ttl, expected) = (self.shared.ttl(changes.times(&stored)), Expected::Exactly(stored.version()));
            match self.shared.seen(self.shared.store.save(&id, &changes, ttl, expected))? {
                Outcome::Done => {
                    self.became(id, Live::new(stored, self.shared.clock.now(), ttl).with(changes));
                    return Ok(Some(result));
                }
                Outcome::Gone => {
                    self.ended(id);
                    return Ok(None);
                }
                Outcome::Conflict => backoff.snooze(),
            }
        }
        Err(Error::contention(self.handle()?, MAX_ATTEMPTS))
    }

    /// The session's id and what is stored of it at this moment: `Some((id, None))` if it is new, `None` if it is gone.
    pub(super) fn newest(&mut self) -> Result<Option<(SessionId, Option<Record>)>> {
        let newer = match &self.state()?.stage {
            Stage::Gone { .. } => return Ok(None),
            Stage::New | Stage::Without(_) => None,
            Stage::Live(_) => {
                if !self.look_again()? {
                    return Ok(None);
                }
                self.stored_record()?.cloned()
            }
        };
        Ok(Some((self.id()?, newer)))
    }

    /// The unsaved changes with `change` on top, as it comes out on what is stored.
    fn changed_by<T, R>(
        &self,
        stored: Option<&Record>,
        component: &str,
        key: &str,
        change: &mut impl FnMut(&mut Option<T>) -> R,
    ) -> Result<(Changes, R)>
    where
        T: DeserializeOwned + Serialize,
    {
        let mut changes = self.changes.clone();
        let current = match changes.find(component, key) {
            Some(unsaved) => unsaved,
            None if changes.clears(component) => None,
            None => stored.and_then(|record| record.raw(component, key)),
        };
        let mut value = current.map(|value| parse(key, value)).transpose()?;
        let result = change(&mut value);
        match &value {
            Some(value) => changes.insert(component, key, value)?,
            None => changes.remove(component, key)?,
        }
        Ok((changes, result))
    }
}
