//! The life of a session: reload, save, touch, destroy.

use super::live::{self, Live};
use super::{Session, Stage, State};
use crate::error::Result;
use crate::id::SessionId;
use crate::record::{Changes, Expected, Record};
use crate::store::Outcome;

/// How often a save insists on what it was worked out on, before it leaves the merge to the store.
const EXACT_SAVES: u32 = 8;

/// What a [`save`](Session::save) or [`touch`](Session::touch) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It was written to the store.
    Written,
    /// There was nothing to write.
    Unchanged,
    /// The session ended elsewhere, or here; nothing was written.
    Gone,
    /// The store failed, and the [policy](crate::Policy::store_down) says to go on without a session; nothing was written.
    Nowhere,
}

impl Session {
    /// Reads what is stored now; changes that were not saved are discarded.
    ///
    /// For a handle that lives long, such as a WebSocket's: `reload` before a message is handled, `save` after it.
    /// `Gone` when the session ended in the meantime.
    ///
    /// # Errors
    ///
    /// When the store failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions, Outcome};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// # session.insert("theme", "light")?;
    /// # session.save()?;
    /// let mut elsewhere = sessions.load(&session.id()?)?.expect("saved");
    /// elsewhere.insert("theme", "dark")?;
    /// elsewhere.save()?;
    ///
    /// assert_eq!(session.get::<&str>("theme")?, Some("light"));
    /// assert_eq!(session.reload()?, Outcome::Done);
    /// assert_eq!(session.get::<&str>("theme")?, Some("dark"));
    ///
    /// elsewhere.destroy()?;
    /// assert_eq!(session.reload()?, Outcome::Gone);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias = "load")]
    pub fn reload(&mut self) -> Result<Outcome> {
        let state = self.state()?;
        let gone = match &state.stage {
            Stage::Live(_) => !self.look_again()?,
            Stage::Gone { .. } => true,
            Stage::New | Stage::Without(_) => false,
        };
        self.changes = Changes::new();
        Ok(if gone { Outcome::Gone } else { Outcome::Done })
    }

    /// Merges the changed keys into what is stored, and prolongs the session. Done by the cookie layer at the end of a
    /// request, and by hand wherever it is needed earlier.
    ///
    /// Nothing changed: nothing is written. A new session that holds nothing is not stored. A session that ended
    /// elsewhere says [`Saved::Gone`] and stays ended; what was unsaved is discarded with it.
    ///
    /// # Errors
    ///
    /// [`Error::is_limit`](crate::Error::is_limit) when the session would be too large; when the store failed. The
    /// changes stay, so it can be tried again.
    pub fn save(&mut self) -> Result<Saved> {
        if !self.is_loaded() && !self.changed() {
            return Ok(Saved::Unchanged);
        }
        let stored = self.stored_record()?.and_then(Record::owner);
        let Some(owner) = self.changes.owner().flatten().filter(|owner| stored != Some(owner)).map(str::to_owned)
        else {
            return self.save_changes();
        };
        self.prepare_login(&owner)?;
        match self.save_changes()? {
            Saved::Written => self.keep_limit(&owner),
            other => Ok(other),
        }
    }

    fn save_changes(&mut self) -> Result<Saved> {
        let state = self.state()?;
        let id = state.id;
        match &state.stage {
            Stage::Gone { .. } => Ok(Saved::Gone),
            Stage::Without(_) => Ok(Saved::Nowhere),
            Stage::New => self.create(id),
            Stage::Live(_) if !self.changed() => Ok(Saved::Unchanged),
            Stage::Live(live) => {
                let record = live.record().clone();
                self.merge(id, record)
            }
        }
    }

    /// Stores a new session, if it holds anything and there is a store to hold it.
    pub(super) fn create(&mut self, id: SessionId) -> Result<Saved> {
        if matches!(self.state()?.stage, Stage::Without(_)) {
            return Ok(Saved::Nowhere);
        }
        let Some(record) = self.shared.begin(&self.changes)? else { return Ok(Saved::Unchanged) };
        let begun = self.changes.login().map(|(_, begun)| begun);
        match self.shared.create(id, &record, begun) {
            Ok(Some(id)) => {
                let ttl = self.shared.ttl(record.times());
                self.became(id, Live::new(record, self.shared.clock.now(), ttl));
                Ok(Saved::Written)
            }
            Ok(None) => Ok(self.ended(id)),
            Err(error) if error.is_store() && self.shared.policy.goes_on_without() && !self.is_login() => {
                self.enter(id, Stage::Without(error));
                Ok(Saved::Nowhere)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether somebody is about to be logged in with this handle.
    fn is_login(&self) -> bool {
        self.regenerated || self.changes.owner().is_some()
    }

    /// Saves the changes to a stored session that was last seen as `stored`.
    ///
    /// The time that the session has depends on what is stored: another request may have given it a timeout of its own.
    /// So the save is worked out on what we know and must find just that; if it does not, it is worked out anew. After
    /// some defeats the store merges it into whatever it finds, so nobody starves.
    fn merge(&mut self, id: SessionId, mut stored: Record) -> Result<Saved> {
        for attempt in 0.. {
            live::check(&self.changes, &stored)?;
            let ttl = self.shared.ttl(self.changes.times(&stored));
            if ttl.is_zero() {
                break;
            }
            let version = stored.version();
            let exactly = attempt < EXACT_SAVES;
            let expected = if exactly { Expected::Exactly(version) } else { Expected::Incarnation(version) };
            match self.shared.seen(self.shared.store.save(&id, &self.changes, ttl, expected))? {
                Outcome::Done => {
                    let saved = std::mem::take(&mut self.changes);
                    self.became(id, Live::new(stored, self.shared.clock.now(), ttl).with(saved));
                    return Ok(Saved::Written);
                }
                Outcome::Gone => break,
                Outcome::Conflict => match self.newest()? {
                    Some((_, Some(newer))) => stored = newer,
                    Some((_, None)) | None => break,
                },
            }
        }
        Ok(self.ended(id))
    }

    /// Prolongs the session now, whatever the policy's `touch_after` says, without writing its data.
    ///
    /// # Errors
    ///
    /// When the store failed.
    #[doc(alias("update", "resetMaxAge"))]
    pub fn touch(&mut self) -> Result<Saved> {
        let state = self.state()?;
        let id = state.id;
        match &state.stage {
            Stage::New => Ok(Saved::Unchanged),
            Stage::Gone { .. } => Ok(Saved::Gone),
            Stage::Without(_) => Ok(Saved::Nowhere),
            Stage::Live(live) => {
                let ttl = self.shared.ttl(live.times());
                // Over: its lifetime ended while we held it.
                if !ttl.is_zero() && self.shared.seen(self.shared.store.touch(&id, ttl))?.is_done() {
                    let seen_at = self.shared.clock.now();
                    if let Some(State { stage: Stage::Live(live), .. }) = self.state.get_mut() {
                        (live.seen_at, live.ttl) = (seen_at, ttl);
                    }
                    return Ok(Saved::Written);
                }
                Ok(self.ended(id))
            }
        }
    }

    /// Ends the session: log out. Its data is gone from the store when this returns, its unsaved changes are
    /// discarded, and no request that is still under way can bring it back.
    ///
    /// # Errors
    ///
    /// When the store failed: the session may still be there.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Saved, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// # session.insert("user", "ada")?;
    /// # session.save()?;
    /// let mut slow_request = sessions.load(&session.id()?)?.expect("saved");
    /// slow_request.insert("last_page", "/inbox")?;
    ///
    /// session.destroy()?;
    /// assert_eq!(session.get::<&str>("user")?, None);
    /// assert_eq!(slow_request.save()?, Saved::Gone);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("logout", "flush"))]
    pub fn destroy(&mut self) -> Result<()> {
        let state = self.insist()?;
        let id = state.id;
        if matches!(state.stage, Stage::Live(_)) {
            let (Outcome::Done | Outcome::Gone | Outcome::Conflict) =
                self.shared.seen(self.shared.store.destroy(&id))?;
        }
        self.changes = Changes::new();
        self.enter(id, Stage::Gone { asked: true });
        Ok(())
    }

    /// The session ended elsewhere. What was unsaved belonged to it: nothing of it is to be read, or to turn up in the
    /// session that is begun next.
    pub(super) fn ended(&mut self, id: SessionId) -> Saved {
        self.changes = Changes::new();
        self.enter(id, Stage::Gone { asked: false });
        Saved::Gone
    }

    /// The session was stored a moment ago, and nothing is unsaved.
    pub(super) fn became(&mut self, id: SessionId, live: Live) {
        self.changes = Changes::new();
        let live = live.in_grace(self.in_grace());
        self.enter(id, Stage::Live(live));
    }
}
