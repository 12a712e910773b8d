//! Lists, counts and ends the sessions of one owner.

use std::fmt;
use std::time::SystemTime;

use crate::context::Context;
use crate::error::Result;
use crate::id::Handle;
use crate::store::{EndReason, Epoch, Lease, Listed, Outcome, Owner, Owners};

/// One of an owner's sessions, for a list of devices. It cannot be used to open the session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedSession {
    /// The argument of [`OwnerSessions::destroy`].
    pub handle: Handle,
    /// When the session was created.
    pub created_at: Option<SystemTime>,
    /// When the owner logged in.
    pub since: Option<SystemTime>,
    /// The time of the last visit that prolonged the session. A visit less than
    /// [`touch_after`](crate::Policy::touch_after) later does not change it. If the rest of the
    /// session's lifetime is shorter than its idle timeout, the last visit may have been later.
    pub last_seen: SystemTime,
    /// The name that the application gave the session with
    /// [`set_label`](crate::Session::set_label). The text comes from the client: escape it in a
    /// page.
    pub label: Option<String>,
}

/// The sessions of one owner, from [`Sessions::owner`](crate::Sessions::owner).
pub struct OwnerSessions<'s> {
    context: &'s Context,
    owners: &'s dyn Owners,
    owner: Owner,
}

impl<'s> OwnerSessions<'s> {
    pub(super) fn new(context: &'s Context, owner: &str) -> Result<Self> {
        let owner = Owner::new(owner)?;
        Ok(Self { context, owners: context.owners("the sessions of one owner")?, owner })
    }

    /// The owner's live sessions, the latest login first.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn list(&self) -> Result<Vec<OwnedSession>> {
        let listed = self.owners.list(&self.owner)?;
        let mut sessions: Vec<_> = listed.iter().map(|session| self.describe(session)).collect();
        sessions.sort_by_key(|session| (std::cmp::Reverse(session.since), session.handle));
        Ok(sessions)
    }

    /// The number of the owner's live sessions.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn count(&self) -> Result<usize> {
        self.owners.count(&self.owner)
    }

    /// Ends one of the owner's sessions by its handle, such as the device that a user picked from a
    /// list. A handle from a form may belong to another user's session, so the store checks the
    /// owner in the same step. Returns [`Outcome::Gone`] if the owner has no such session.
    ///
    /// # Errors
    ///
    /// If the store fails.
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
    /// assert_eq!(sessions.owner("user-43")?.destroy(handle)?, Outcome::Gone);
    /// assert!(sessions.owner("user-42")?.destroy(handle)?.is_done());
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn destroy(&self, handle: Handle) -> Result<Outcome> {
        self.owners.destroy_handle(handle, Some(&self.owner), EndReason::Revoked)
    }

    /// Ends all of the owner's sessions, for "log out everywhere". Returns the number of ended
    /// sessions.
    ///
    /// When this method has returned, requests in flight can no longer save to these sessions, and
    /// a login that began before is revoked if it uses
    /// [`log_in_since`](crate::Session::log_in_since). To keep one session, call its
    /// [`destroy_others`](crate::Session::destroy_others).
    ///
    /// # Errors
    ///
    /// If the store fails. Then some of the sessions may have ended.
    pub fn destroy_all(&self) -> Result<usize> {
        self.owners.destroy_all(&self.owner, None)
    }

    /// Returns the owner's current login period, for
    /// [`log_in_since`](crate::Session::log_in_since). It ends at the next `destroy_all` or
    /// `destroy_others`.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn epoch(&self) -> Result<Epoch> {
        self.owners.epoch(&self.owner)
    }

    fn describe(&self, session: &Listed) -> OwnedSession {
        let (record, now) = (&session.stored.record, self.context.clock.wall());
        // A visit gives the session its idle timeout, or the rest of its lifetime if that is less.
        // In that case the last visit was later than the computed time.
        let idle = Lease { lifetime: None, ..self.context.lease }.ttl(record, self.context.now());
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

impl fmt::Debug for OwnerSessions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerSessions").finish_non_exhaustive()
    }
}
