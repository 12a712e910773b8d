//! The owner of a session: logging in, and the operations on the owner's other sessions.

use super::{Ending, Saved, Session, Stage};
use crate::error::Result;
use crate::record::Record;
use crate::store::{EndReason, Epoch, Login, Owner, Store};

impl Session {
    /// The owner: the user who is logged in; `None` for an anonymous session.
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn owner(&self) -> Result<Option<&str>> {
        Ok(match &self.draft.login {
            Some(login) => Some(login.owner.as_str()),
            None => self.stored_record()?.and_then(Record::owner),
        })
    }

    /// Logs a user in, with the next commit: the session belongs to this owner, has a new id, and
    /// its lifetime begins again, all in one step. Until the next [`save`](Self::save),
    /// [`modify`](Self::modify) or end of the request nothing has changed. To log out,
    /// [log out](Self::log_out).
    ///
    /// `owner` is a value that never changes, such as a number in a users' table, not a spelling of
    /// a name. An anonymous session keeps its data. If another owner was logged in, none of that
    /// owner's data stays: the session holds what this request puts in.
    ///
    /// A session with an owner is listed and ended by [`owner`](crate::Sessions::owner), counted
    /// against [`max_per_owner`](crate::Policy::max_per_owner), and the last to be evicted. Where a
    /// password is checked, use [`log_in_since`](Self::log_in_since).
    ///
    /// # Errors
    ///
    /// [`Error::is_size`](crate::Error::is_size) when the owner is empty or longer than 255 bytes;
    /// [`Error::is_unsupported`](crate::Error::is_unsupported) when the policy has a limit and the
    /// store no [powers](crate::Owners) over owners; when the store failed.
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

    /// Logs a user in whose login began in this [epoch](crate::Owners::epoch), before the password
    /// was checked. If all of the owner's sessions were ended since, the login is revoked: the
    /// commit returns [`Saved::Gone`].
    ///
    /// # Errors
    ///
    /// As [`log_in`](Self::log_in).
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
            self.begin()?;
        }
        self.draft.login = Some(Login { owner, begun, limit });
        Ok(())
    }

    /// Sets the name that the owner's list of sessions shows, such as "Firefox on Linux". It comes
    /// from outside: escape it in a page.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`](crate::Error::is_size) when it is longer than 255 bytes; when the store
    /// failed.
    pub fn set_label(&mut self, label: &str) -> Result<()> {
        self.state()?;
        self.draft.changes.set_label(Some(label))
    }

    /// Ends all other sessions of this one's owner and returns how many: "log out everywhere else",
    /// as after a change of password (OWASP ASVS 5.0, 7.4.3). Ends none if this session has no
    /// owner or has ended itself.
    ///
    /// Unsaved changes of this session are saved first.
    /// [`destroy_all`](crate::OwnerSessions::destroy_all) would end a login that is not saved yet
    /// together with the others, because that session is not stored yet.
    ///
    /// # Errors
    ///
    /// As for [`save`](Self::save); [`Error::is_unsupported`](crate::Error::is_unsupported) when
    /// the store has no [powers](crate::Owners) over owners. If the store fails after the save,
    /// what was unsaved is saved, and some of the other sessions may have ended.
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
    /// new.log_in("user-42")?; // signed in, and nowhere else from now on
    /// assert_eq!(new.destroy_others()?, 1);
    /// assert_eq!(sessions.owner("user-42")?.count()?, 1);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn destroy_others(&mut self) -> Result<usize> {
        self.insist()?;
        let Some(owner) = self.owner()?.map(str::to_owned) else { return Ok(0) };
        // A session that was logged out elsewhere must not end others.
        if self.save()? != Saved::Written && self.touch()? != Saved::Written {
            return Ok(0);
        }
        let here = self.handle()?;
        self.context.owners("the sessions of one owner")?.destroy_all(&Owner::new(&owner)?, Some(here))
    }

    /// Why another request ended the session of the client's cookie, if one did and the store
    /// remembers it: for "you were logged out because ...".
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn end_reason(&self) -> Result<Option<EndReason>> {
        let state = self.state()?;
        let held = matches!(state.stage, Stage::Ended(Ending::Elsewhere | Ending::Superseded)).then_some(state.id);
        let Some(owners) = self.context.store.owners() else { return Ok(None) };
        if matches!(state.stage, Stage::Live(_) | Stage::Without(_)) {
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
