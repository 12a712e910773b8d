//! Logs users in, gives a session a new id, and ends the owner's other sessions.

use super::Session;
use super::commit::Saved;
use super::draft::NextId;
use super::state::{Ending, Stage};
use crate::error::{Error, Result};
use crate::record::Record;
use crate::store::{EndReason, Epoch, Login, Owner, Store};

impl Session {
    /// Returns the owner, the user who is logged in; `None` for an anonymous session.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    pub fn owner(&self) -> Result<Option<&str>> {
        Ok(match &self.draft.login {
            Some(login) => Some(login.owner.as_str()),
            None => self.stored_record()?.and_then(Record::owner),
        })
    }

    /// Logs a user in with the next commit, which is the next [`save`](Self::save),
    /// [`modify`](Self::modify) or end of the request. The commit gives the session this owner and
    /// a new id, and restarts its lifetime.
    ///
    /// `owner` is a value that never changes, such as a number in a users' table, not a spelling of
    /// a name. An anonymous session keeps its data. If another owner was logged in, the commit
    /// removes that owner's data, and the session holds only what this request puts in.
    ///
    /// [`Sessions::owner`](crate::Sessions::owner) lists and ends a user's sessions,
    /// [`max_per_owner`](crate::Policy::max_per_owner) limits their number, and a full store evicts
    /// sessions with an owner last. If the handler checks a password, use
    /// [`log_in_since`](Self::log_in_since). [`log_out`](Self::log_out) logs the user out.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`] if the owner is empty or longer than 255 bytes;
    /// [`Error::is_unsupported`] if the policy has a limit and the store does not implement
    /// [`Owners`](crate::Owners); [`Error::is_late`] as for [`regenerate`](Self::regenerate); or if
    /// the store or the random source fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{LembroStore, Saved, Sessions};
    ///
    /// let sessions = Sessions::new(LembroStore::new()?);
    /// let mut laptop = sessions.generate()?;
    /// laptop.log_in("user-42")?;
    /// laptop.set_label("Firefox on Linux")?;
    /// laptop.save()?;
    /// assert_eq!(sessions.owner("user-42")?.count()?, 1);
    ///
    /// sessions.owner("user-42")?.destroy_all()?; // log out everywhere
    /// laptop.insert("last_page", "/inbox")?;
    /// assert_eq!(laptop.save()?, Saved::Gone);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("login", "set_owner"))]
    pub fn log_in(&mut self, owner: &str) -> Result<()> {
        self.begin_login(owner, None)
    }

    /// Logs a user in as [`log_in`](Self::log_in) does, but not if all of the owner's sessions were
    /// ended while the password was checked. Read `begun`, the owner's
    /// [epoch](crate::OwnerSessions::epoch), before that check. If the epoch has changed by the
    /// commit, the login is revoked, and the commit returns [`Saved::Gone`].
    ///
    /// # Errors
    ///
    /// Those of [`log_in`](Self::log_in).
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Saved, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// let begun = sessions.owner("user-42")?.epoch()?;
    /// // While the password is hashed, the user logs out everywhere, on another device.
    /// sessions.owner("user-42")?.destroy_all()?;
    /// session.log_in_since("user-42", begun)?;
    /// assert_eq!(session.save()?, Saved::Gone);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn log_in_since(&mut self, owner: &str, begun: Epoch) -> Result<()> {
        self.begin_login(owner, Some(begun))
    }

    fn begin_login(&mut self, owner: &str, begun: Option<Epoch>) -> Result<()> {
        self.check_open("a login")?;
        let (owner, limit) = (Owner::new(owner)?, self.context.policy.limit());
        if limit.is_some() {
            self.context.owners("limiting the sessions of one owner")?;
        }
        self.regenerate()?;
        if matches!(self.state()?.stage, Stage::Ended(Ending::Superseded)) {
            self.begin_new()?;
        }
        self.draft.login = Some(Login { owner, begun, limit });
        Ok(())
    }

    /// Gives the session a new id with the next commit, which is the next [`save`](Self::save),
    /// [`modify`](Self::modify) or end of the request. The same commit supersedes the old id, which
    /// then opens no session. The session keeps its data, unsaved changes, handle, time of creation
    /// and absolute lifetime.
    ///
    /// Call it when a user gains rights, so that an id that was stolen before opens no session
    /// (OWASP ASVS 5.0, 7.2.4); [`log_in`](Self::log_in) calls it. If the request fails before the
    /// commit, the client's id still works.
    ///
    /// A new session keeps its id, which only this request knows. If the session is gone when
    /// `regenerate` is called, a new session begins. If an anonymous session ends between the call
    /// and the commit, the commit begins a new session. If an owner's session ends then, the commit
    /// discards this request's changes. If another request has superseded the id of this request,
    /// this request stores nothing.
    ///
    /// # Errors
    ///
    /// [`Error::is_late`] on a [fork](Self::fork), and after the end of the request, because no
    /// response announces the new id; or if the store or the random source fails.
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
    /// session.insert("role", "admin")?;
    /// assert_eq!(session.id()?, before);
    ///
    /// session.save()?;
    /// assert_ne!(session.id()?, before);
    /// assert!(sessions.load(&before)?.is_none());
    /// assert_eq!(session.get::<Vec<String>>("cart")?.unwrap(), ["tea"]);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[doc(alias("generate", "cycle_id", "RenewToken"))]
    pub fn regenerate(&mut self) -> Result<()> {
        self.check_open("a new id")?;
        match self.require_store()?.stage {
            Stage::Live(_) | Stage::New => {}
            Stage::Ended(Ending::Here | Ending::Elsewhere) => {
                self.begin_new()?;
            }
            Stage::Ended(Ending::Superseded) | Stage::StoreUnavailable(_) => return Ok(()),
        }
        self.draft.identity = NextId::New;
        Ok(())
    }

    /// Fails if no response can announce a new id: on a fork, and after the end of the request.
    /// `what` names the call that needs the new id.
    pub(super) fn check_open(&self, what: &'static str) -> Result<()> {
        if self.sealed { Err(Error::late(what)) } else { Ok(()) }
    }

    /// Sets the name that the owner's list of sessions shows, such as "Firefox on Linux". The text
    /// comes from the client: escape it in a page.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`] if the label is longer than 255 bytes; or if the first look fails.
    pub fn set_label(&mut self, label: &str) -> Result<()> {
        self.state()?;
        self.draft.changes.set_label(Some(label))
    }

    /// Ends all other sessions of this session's owner, as after a change of password: "log out
    /// everywhere else" (OWASP ASVS 5.0, 7.4.3). Returns the number of ended sessions, which is 0
    /// if this session has no owner or has itself ended.
    ///
    /// First saves this session's unsaved changes, including a login.
    ///
    /// # Errors
    ///
    /// Those of [`save`](Self::save); [`Error::is_unsupported`] if the store does not implement
    /// [`Owners`](crate::Owners). If the store fails after the save, this session's changes are
    /// saved, and some of the other sessions may have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// let mut old = sessions.generate()?;
    /// old.log_in("user-42")?;
    /// old.save()?;
    ///
    /// let mut new = sessions.generate()?;
    /// new.log_in("user-42")?;
    /// assert_eq!(new.destroy_others()?, 1);
    /// assert_eq!(sessions.owner("user-42")?.count()?, 1);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn destroy_others(&mut self) -> Result<usize> {
        self.require_store()?;
        let Some(owner) = self.owner()?.map(str::to_owned) else { return Ok(0) };
        // A session that was logged out elsewhere must not end others.
        if self.save()? != Saved::Written && self.touch()? != Saved::Written {
            return Ok(0);
        }
        let here = self.handle()?;
        self.context.owners("the sessions of one owner")?.destroy_all(&Owner::new(&owner)?, Some(here))
    }

    /// Returns why another request ended the session that the client's id opened, for a page that
    /// says "you were logged out because ...". Returns `None` if the session is live, expired or
    /// was logged out by its user, or if the store does not remember the reason.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn end_reason(&self) -> Result<Option<EndReason>> {
        let state = self.state()?;
        let held = matches!(state.stage, Stage::Ended(Ending::Elsewhere | Ending::Superseded)).then_some(state.id);
        let Some(owners) = self.context.store.owners() else { return Ok(None) };
        if matches!(state.stage, Stage::Live(_) | Stage::StoreUnavailable(_)) {
            return Ok(None);
        }
        for id in held.iter().chain(self.presented.iter().flatten().map(|presented| &presented.id)) {
            if let Some(reason) = owners.end_reason(id)? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }
}
