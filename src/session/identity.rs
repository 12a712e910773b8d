//! The id of a session over its life: a new one at login, a new one from time to time, and how old it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Session, Stage};
use crate::error::Result;
use crate::id::SessionId;
use crate::record::{Expected, Fit};
use crate::store::Outcome;

/// The component in which the crate keeps what it must know of a session itself.
pub(crate) const LEMBRO: &str = "lembro";

/// Since when the session has had its id, in milliseconds since 1970. Kept under a policy that renews ids, from the
/// first new id on; until then the id is as old as the session.
const ID_SINCE: &str = "id_since";

impl Session {
    /// Gives the session a new id and kills the old one, in one step, keeping the data and the unsaved changes.
    ///
    /// Call it whenever somebody logs in or gains rights, so that an id planted or seen before is worth nothing
    /// (OWASP ASVS 5.0, 7.2.4). It happens at once, not at the end of the request. The handle, the creation time and so
    /// the absolute lifetime stay.
    ///
    /// On a session that is gone, or turns out to be, it begins a new one: log out, then log in, in one request. So does
    /// an id that another request rotated away: in its grace it may finish what it began, and no more.
    ///
    /// # Errors
    ///
    /// When the store or the random source failed: the old id is still the session's.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// session.insert("cart", &["tea"])?;
    /// session.save()?;
    /// let before = session.id()?;
    ///
    /// session.regenerate()?;
    /// session.insert("user", "ada")?;
    /// session.save()?;
    ///
    /// assert!(sessions.load(&before)?.is_none());
    /// assert_eq!(session.get::<Vec<&str>>("cart")?.unwrap(), ["tea"]);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("generate", "cycle_id", "RenewToken"))]
    pub fn regenerate(&mut self) -> Result<()> {
        let state = self.insist()?;
        let (id, is_live, fresh) = (state.id, matches!(state.stage, Stage::Live(_)), (self.shared.ids)()?);
        self.regenerated = true;
        if is_live && self.rotate(id, id.renewed(&fresh), Duration::ZERO)?.is_done() {
            return self.note_new_id();
        }
        self.enter(fresh, Stage::New);
        Ok(())
    }

    /// Gives the session a new id and leaves the old one usable for `grace`, so that requests under way can finish: the
    /// renewal from time to time that bounds what a stolen id is worth. Not for logins: that is
    /// [`regenerate`](Self::regenerate).
    ///
    /// In its grace the old id reads, saves, touches and destroys; it is never renewed or announced again. After it,
    /// its use is reported as [`DeadIdUsed`](crate::Event::DeadIdUsed) and finds no session. In a server
    /// [`Policy::renew_after`](crate::Policy::renew_after) does this by itself.
    ///
    /// [`Outcome::Conflict`] when the id of this request was renewed by another and is in its grace: nothing to do, the
    /// client has the new one or is about to. [`Outcome::Gone`] when the session ended. A new session keeps its id: nobody
    /// knows it yet.
    ///
    /// # Errors
    ///
    /// When the store or the random source failed: the old id is still the session's.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lembro::{Outcome, LembroStore, Sessions};
    ///
    /// let sessions = Sessions::new(LembroStore::new()?);
    /// let mut session = sessions.generate()?;
    /// session.insert("user", "ada")?;
    /// session.save()?;
    /// let mut slow_request = sessions.load(&session.id()?)?.expect("saved");
    ///
    /// assert_eq!(session.renew(Duration::from_secs(60))?, Outcome::Done);
    /// slow_request.insert("last_page", "/inbox")?;
    /// slow_request.save()?; // loses nothing
    /// assert_eq!(slow_request.renew(Duration::from_secs(60))?, Outcome::Conflict);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn renew(&mut self, grace: Duration) -> Result<Outcome> {
        let renewed = self.renew_id(grace)?;
        // Not for a new session, which has the id it had; and with a note in it, it would be stored for nothing.
        if renewed.is_done() && !self.is_new()? {
            self.note_new_id()?;
        }
        Ok(renewed)
    }

    /// The same without a note of when.
    pub(super) fn renew_id(&mut self, grace: Duration) -> Result<Outcome> {
        let state = self.insist()?;
        let id = state.id;
        match &state.stage {
            Stage::New | Stage::Without(_) => Ok(Outcome::Done),
            Stage::Gone { .. } => Ok(Outcome::Gone),
            Stage::Live(live) if live.in_grace => Ok(Outcome::Conflict),
            Stage::Live(_) => {
                let fresh = (self.shared.ids)()?;
                if self.rotate(id, id.renewed(&fresh), grace)?.is_done() {
                    return Ok(Outcome::Done);
                }
                // The store refused: another request was first, or the session ended.
                Ok(if self.look_again()? { Outcome::Conflict } else { Outcome::Gone })
            }
        }
    }

    /// Notes, among the unsaved changes, that the id is new. Without a policy that asks for it nothing is kept.
    pub(super) fn note_new_id(&mut self) -> Result<()> {
        if !self.shared.policy.renews() {
            return Ok(());
        }
        let now = self.shared.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.insert_in(LEMBRO, ID_SINCE, &u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }

    /// Since when the session has its id, as far as is known.
    pub(super) fn id_since(&self) -> Result<Option<SystemTime>> {
        let Some(record) = self.stored_record()? else { return Ok(None) };
        // If somebody else has put something there that is no time, the session's own counts.
        let noted = self.get_in::<u64>(LEMBRO, ID_SINCE).ok().flatten();
        let since = noted.and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
        Ok(since.or(record.created_at()))
    }

    /// Sees what is stored now, beside the unsaved changes. `false`: the session ended.
    pub(super) fn look_again(&mut self) -> Result<bool> {
        let state = self.state()?;
        let Stage::Live(live) = &state.stage else { return Ok(false) };
        let (id, expected) = (state.id, Expected::Incarnation(live.record().version()));
        // Another session under the same id is not the one we held.
        let found = self.find(&id)?.filter(|found| expected.fits(found.record()) == Fit::Yes);
        let there = found.is_some();
        match found {
            Some(found) => self.enter(id, Stage::Live(found)),
            None => drop(self.ended(id)),
        }
        Ok(there)
    }

    /// Puts `new` in the place of this live session's id.
    fn rotate(&mut self, id: SessionId, new: SessionId, grace: Duration) -> Result<Outcome> {
        let Stage::Live(live) = &self.state()?.stage else { return Ok(Outcome::Gone) };
        if self.shared.ttl(live.times()).is_zero() {
            return Ok(Outcome::Gone);
        }
        let rotated = self.shared.seen(self.shared.store.rotate(&id, &new, grace))?;
        if rotated.is_done() {
            if let Some(state) = self.state.get_mut() {
                state.id = new;
            }
            self.rotated = true;
        }
        Ok(rotated)
    }
}
