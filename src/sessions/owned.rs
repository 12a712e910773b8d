//! The sessions of one owner, as the application shows and ends them.

use std::time::SystemTime;

use super::Sessions;
use crate::error::Result;
use crate::id::{Handle, SessionId};
use crate::store::{EndReason, Epoch, Lease, Listed, Outcome, Owner, Owners};

/// One of an owner's sessions, for a list of devices. It names the session and opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedSession {
    /// What [`destroy_handle_of`](Sessions::destroy_handle_of) takes.
    pub handle: Handle,
    /// When the session began.
    pub created_at: Option<SystemTime>,
    /// When its owner logged in.
    pub since: Option<SystemTime>,
    /// When it was last used, as far as that was noted: see
    /// [`touch_after`](crate::Policy::touch_after). Once its lifetime will end it before its idle
    /// timeout can, visits leave no trace, and this is the earliest that the last can have been.
    pub last_seen: SystemTime,
    /// What the application called it: [`set_label`](crate::Session::set_label). Text from outside:
    /// escape it.
    pub label: Option<String>,
}

impl Sessions {
    /// The live sessions of an owner, the latest login first.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`](crate::Error::is_unsupported) when the store has no
    /// [powers](Owners) over owners; when it failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut here = sessions.generate()?;
    /// # here.log_in("user-42")?;
    /// # here.save()?;
    /// for device in sessions.sessions_of("user-42")? {
    ///     println!("{}, last seen {:?}", device.label.unwrap_or_default(), device.last_seen);
    ///     if device.handle != here.handle()? {
    ///         let _ended = sessions.destroy_handle_of("user-42", device.handle)?;
    ///     }
    /// }
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn sessions_of(&self, owner: &str) -> Result<Vec<OwnedSession>> {
        let listed = self.owners()?.list(&Owner::new(owner)?)?;
        let mut sessions: Vec<_> = listed.iter().map(|session| self.described(session)).collect();
        sessions.sort_by_key(|session| (std::cmp::Reverse(session.since), session.handle));
        Ok(sessions)
    }

    /// How many live sessions an owner has.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`](crate::Error::is_unsupported) when the store has no powers over
    /// owners; when it failed.
    pub fn count_of(&self, owner: &str) -> Result<usize> {
        self.owners()?.count(&Owner::new(owner)?)
    }

    /// Ends all sessions of an owner but the one that `except` opens: log out everywhere. How many
    /// there were.
    ///
    /// Final when it returns: a request under way saves nothing any more, and a login under way is
    /// not let in. For "everywhere else", from within a session, see
    /// [`destroy_others`](crate::Session::destroy_others).
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`](crate::Error::is_unsupported) when the store has no powers over
    /// owners; when it failed.
    pub fn destroy_of(&self, owner: &str, except: Option<&SessionId>) -> Result<usize> {
        self.owners()?.destroy_all(&Owner::new(owner)?, except)
    }

    /// Ends one session by its handle, of any owner or none: for administrators, and for what an
    /// [event](crate::Event) named. For a user's choice from a list of devices there is
    /// [`destroy_handle_of`](Self::destroy_handle_of).
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`](crate::Error::is_unsupported) when the store has no powers over
    /// owners; when it failed.
    pub fn destroy_handle(&self, handle: Handle) -> Result<Outcome> {
        self.owners()?.destroy(handle, None, EndReason::Named)
    }

    /// Ends one of an owner's sessions by its handle: a device that its user picked from a list.
    /// `Gone` when the owner has no such session, for a handle that comes from a form may be that
    /// of any session.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`](crate::Error::is_unsupported) when the store has no powers over
    /// owners; when it failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Outcome, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut phone = sessions.generate()?;
    /// # phone.log_in("user-42")?;
    /// # phone.save()?;
    /// # let from_form = phone.handle()?.to_string();
    /// let handle = from_form.parse()?;
    /// assert_eq!(sessions.destroy_handle_of("user-43", handle)?, Outcome::Gone);
    /// assert!(sessions.destroy_handle_of("user-42", handle)?.is_done());
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn destroy_handle_of(&self, owner: &str, handle: Handle) -> Result<Outcome> {
        self.owners()?.destroy(handle, Some(&Owner::new(owner)?), EndReason::Named)
    }

    /// The owner's epoch, for [`log_in_since`](crate::Session::log_in_since).
    ///
    /// # Errors
    ///
    /// [`Error::is_unsupported`](crate::Error::is_unsupported) when the store has no powers over
    /// owners; when it failed.
    pub fn epoch_of(&self, owner: &str) -> Result<Epoch> {
        self.owners()?.epoch(&Owner::new(owner)?)
    }

    fn owners(&self) -> Result<&dyn Owners> {
        self.context.owners("the sessions of one owner")
    }

    fn described(&self, session: &Listed) -> OwnedSession {
        let (record, now) = (&session.stored.record, self.context.clock.wall());
        // The last visit gave it its idle timeout, or what was left of its lifetime: then it was
        // later than this says.
        let idle = Lease { lifetime: None, ..self.context.lease() }.ttl(record, self.context.now());
        let seen = now.checked_sub(idle.saturating_sub(session.stored.ttl)).unwrap_or(now);
        let since = record.owner_since();
        OwnedSession {
            handle: session.handle,
            created_at: record.created_at(),
            since,
            last_seen: since.or(record.created_at()).map_or(seen, |begun| seen.max(begun)).min(now),
            label: record.label().map(str::to_owned),
        }
    }
}
