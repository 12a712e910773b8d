//! Whose session it is: noted at login, and what follows from it.

use std::time::UNIX_EPOCH;

use super::identity::LEMBRO;
use super::{Saved, Session, Stage};
use crate::error::{Error, Result};
use crate::policy::AtLimit;
use crate::record::{Epoch, Record};
use crate::store::{EndReason, Listed, Outcome};

/// Since when the session has its owner, in milliseconds since 1970.
pub(crate) const OWNER_SINCE: &str = "owner_since";

/// What the owner calls this session in a list.
pub(crate) const LABEL: &str = "label";

impl Session {
    /// Whose session it is: the user who is logged in; `None` if nobody is.
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn owner(&self) -> Result<Option<&str>> {
        let stored = self.stored_record()?;
        Ok(match self.changes.owner() {
            Some(changed) => changed,
            None => stored.and_then(Record::owner),
        })
    }

    /// Notes whose session it is, from the next save on; `None`: nobody's. Call it at login, with
    /// [`regenerate`](Self::regenerate).
    ///
    /// A session with an owner is listed by [`sessions_of`](crate::Sessions::sessions_of), ended by
    /// [`destroy_of`](crate::Sessions::destroy_of), counted against [`max_per_owner`](crate::Policy::max_per_owner), and the last to be
    /// evicted. If the owner logs out everywhere between this call and the save, the save says [`Saved::Gone`]: a login
    /// under way is ended like every other. A check of the password that takes long should lie in between too: see
    /// [`set_owner_since`](Self::set_owner_since).
    ///
    /// # Errors
    ///
    /// [`Error::is_limit`] when the name is empty or longer than 255 bytes; when the store failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{LembroStore, Saved, Sessions};
    ///
    /// let sessions = Sessions::new(LembroStore::new()?);
    /// let mut laptop = sessions.generate()?;
    /// laptop.regenerate()?;
    /// laptop.set_owner("user-42")?;
    /// laptop.set_label("Firefox on Linux")?;
    /// laptop.save()?;
    /// assert_eq!(sessions.count_of("user-42")?, 1);
    ///
    /// sessions.destroy_of("user-42", None)?; // log out everywhere
    /// laptop.insert("last_page", "/inbox")?;
    /// assert_eq!(laptop.save()?, Saved::Gone);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn set_owner<'o>(&mut self, owner: impl Into<Option<&'o str>>) -> Result<()> {
        let Some(owner) = owner.into() else {
            self.insist()?;
            self.changes.set_owner(None)?;
            self.remove_in(LEMBRO, OWNER_SINCE)?;
            return Ok(());
        };
        let epoch = match self.shared.store.owners() {
            Some(owners) => Some(self.shared.seen(owners.epoch(owner))?),
            None => None,
        };
        self.note_owner(owner, epoch)
    }

    /// The same for a login that began in this [epoch](crate::Owners::epoch): before the password was checked.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// let begun = sessions.epoch_of("user-42")?;
    /// // ... a slow hash of the password; meanwhile the user, on another device, logs out everywhere ...
    /// session.set_owner_since("user-42", begun)?;
    /// session.save()?;
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn set_owner_since(&mut self, owner: &str, begun: Epoch) -> Result<()> {
        self.note_owner(owner, Some(begun))
    }

    /// What the owner is to call this session in a list of devices: "Firefox on Linux", say. It is text from outside:
    /// escape it where it is shown.
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn set_label(&mut self, label: &str) -> Result<()> {
        self.insert_in(LEMBRO, LABEL, label)
    }

    /// Ends all other sessions of this one's owner: log out everywhere else, after a change of password, say (OWASP ASVS 5.0,
    /// 7.4.3). How many there were; none if this one has no owner, or has ended itself.
    ///
    /// What is unsaved here is saved first. [`destroy_of`](crate::Sessions::destroy_of) would end a login that is not
    /// saved yet together with the others, for it cannot know whose that is.
    ///
    /// # Errors
    ///
    /// As for [`save`](Self::save); [`Error::is_unsupported`] when the store has no [powers](crate::Owners) over owners.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// let mut old = sessions.generate()?;
    /// old.set_owner("user-42")?;
    /// old.save()?;
    ///
    /// let mut new = sessions.generate()?;
    /// new.set_owner("user-42")?; // signed in, and nowhere else from now on
    /// assert_eq!(new.destroy_others()?, 1);
    /// assert_eq!(sessions.count_of("user-42")?, 1);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn destroy_others(&mut self) -> Result<usize> {
        let Some(owner) = self.owner()?.map(str::to_owned) else { return Ok(0) };
        // One that was itself logged out elsewhere meanwhile has nothing to say any more.
        if self.save()? != Saved::Written && self.touch()? != Saved::Written {
            return Ok(0);
        }
        let id = self.id()?;
        self.shared.seen(self.shared.owners("the sessions of one owner")?.destroy_of(&owner, Some(&id)))
    }

    /// Why the session that the client's cookie stands for was ended by somebody else, if it was and the store remembers:
    /// for "you were logged out because ...".
    ///
    /// # Errors
    ///
    /// When the store failed.
    pub fn why_ended(&self) -> Result<Option<EndReason>> {
        let state = self.state()?;
        let held = matches!(state.stage, Stage::Gone { asked: false }).then_some(state.id);
        let Some(owners) = self.shared.store.owners() else { return Ok(None) };
        if matches!(state.stage, Stage::Live(_) | Stage::Without(_)) {
            return Ok(None);
        }
        for id in held.iter().chain(self.presented.iter().flatten()) {
            if let Some(reason) = self.shared.seen(owners.why_ended(id))? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    fn note_owner(&mut self, owner: &str, begun: Option<Epoch>) -> Result<()> {
        self.insist()?;
        self.changes.set_owner(Some(owner))?;
        if let Some(begun) = begun {
            self.changes.expect_epoch(begun);
        }
        let now = self.shared.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.insert_in(LEMBRO, OWNER_SINCE, &u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }

    /// Before a login is written: refuses it if the policy's limit is reached, and puts it after those that are there, even
    /// if the clock was set back or stands still. Or it would be the one to go.
    pub(super) fn prepare_login(&mut self, owner: &str) -> Result<()> {
        let Some((max, at_limit)) = self.shared.policy.owner_limit() else { return Ok(()) };
        let handle = self.handle()?;
        let mut others = self.logged_in(owner)?;
        // Another request of this very session may have logged in already.
        others.retain(|session| session.handle != handle);
        if at_limit == AtLimit::RefuseNewest && others.len() >= max {
            return Err(refused(max));
        }
        let latest = others.last().and_then(since);
        match (latest, self.get_in::<u64>(LEMBRO, OWNER_SINCE)?) {
            (Some(latest), now) if now.is_none_or(|now| now <= latest) => {
                self.insert_in(LEMBRO, OWNER_SINCE, &latest.saturating_add(1))
            }
            _ => Ok(()),
        }
    }

    /// Holds the owner's sessions to the policy's limit, now that this one is among them. There are never more, whatever
    /// else happens at this moment: whoever sees too many acts, and of two at once at least one does. Two that are refused
    /// at once may both be.
    pub(super) fn keep_limit(&mut self, owner: &str) -> Result<Saved> {
        let Some((max, at_limit)) = self.shared.policy.owner_limit() else { return Ok(Saved::Written) };
        let sessions = self.logged_in(owner)?;
        let too_many = sessions.len().saturating_sub(max);
        let handle = self.handle()?;
        match at_limit {
            AtLimit::EndOldest => {
                let Some(owners) = self.shared.store.owners() else { return Ok(Saved::Written) };
                for oldest in &sessions[..too_many] {
                    let (Outcome::Done | Outcome::Gone | Outcome::Conflict) =
                        self.shared.seen(owners.destroy_handle(oldest.handle, EndReason::Limit))?;
                }
                let ended = sessions[..too_many].iter().any(|session| session.handle == handle);
                Ok(if ended { self.ended(self.id()?) } else { Saved::Written })
            }
            AtLimit::RefuseNewest if too_many > 0 => {
                self.destroy()?;
                Err(refused(max))
            }
            AtLimit::RefuseNewest => Ok(Saved::Written),
        }
    }

    /// The owner's sessions, in the order of their logins.
    fn logged_in(&self, owner: &str) -> Result<Vec<Listed>> {
        let mut sessions =
            self.shared.seen(self.shared.owners("limiting the sessions of one owner")?.sessions_of(owner))?;
        sessions.sort_by_key(|session| (since(session), session.handle));
        Ok(sessions)
    }
}

fn since(session: &Listed) -> Option<u64> {
    session.stored.record.get_in(LEMBRO, OWNER_SINCE).ok().flatten()
}

fn refused(max: usize) -> Error {
    Error::limit(format!("the owner is logged in {max} times already, which is as often as the policy allows"))
}
