//! Owners: the operations of a store on all sessions of one owner, and the limit on logins.

use std::fmt;
use std::str::FromStr;

use super::outcome::{Listed, Outcome};
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::record::check_owner;
use crate::units::choice;

/// The user that a session belongs to: a checked text of 1 to 255 bytes.
///
/// Use a value that never changes, such as the user's number in the database, and not a user name,
/// which can change.
///
/// # Examples
///
/// ```
/// use lembro::Owner;
///
/// let owner = Owner::new("user-42")?;
/// assert_eq!(owner.as_str(), "user-42");
/// assert!(Owner::new("").unwrap_err().is_size());
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Box<str>);

impl Owner {
    /// Checks the text `name`, and makes an owner of it.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`] when it is empty or longer than 255 bytes.
    pub fn new(name: &str) -> Result<Self> {
        check_owner(name)?;
        Ok(Self(name.into()))
    }

    /// The text that the owner was made from.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = Error;

    /// # Errors
    ///
    /// As [`new`](Self::new).
    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the name, because it is private.
        f.write_str("Owner(..)")
    }
}

/// The login period of an owner. Ending all of the owner's sessions begins a later epoch. The value
/// is opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch as a number, for a store outside the process. A later one is larger.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The epoch of a number that [`to_u64`](Self::to_u64) returned.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

/// The limit on an owner's sessions, and the treatment of a login beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The most sessions that an owner may have at once.
    pub max: usize,
    /// The treatment of a login beyond the limit.
    pub at_limit: AtLimit,
}

/// The treatment of a login beyond an owner's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtLimit {
    /// The session with the oldest login is ended.
    #[default]
    EndOldest,
    /// The new login is refused.
    RefuseNewest,
}

choice!(AtLimit, "at_limit", ["end_oldest" => EndOldest, "refuse_newest" => RefuseNewest]);

impl Limit {
    /// The sessions of an owner that must end so that the login of the session with the handle
    /// `login` is within the limit. `None`: that login is refused.
    ///
    /// A store calls this in the step that carries out the login.
    pub fn surplus(&self, sessions: Vec<Listed>, login: Handle) -> Option<Vec<Handle>> {
        let mut others = sessions;
        others.retain(|session| session.handle != login);
        let surplus = (others.len() + 1).saturating_sub(self.max);
        if surplus > 0 && self.at_limit == AtLimit::RefuseNewest {
            return None;
        }
        others.sort_by_key(|session| (session.stored.record.owner_since(), session.handle));
        Some(others.into_iter().take(surplus).map(|session| session.handle).collect())
    }
}

/// The operations of a store on all sessions of one owner, such as those of a user's devices.
///
/// A session gets its owner by a [commit that logs in](crate::Commit::log_in). The trait is
/// separate from [`Store`](crate::Store) because a store is complete without it. A store that
/// supports owners returns an implementation from [`Store::owners`](crate::Store::owners). In
/// [`Store::apply`](crate::Store::apply), such a store passes the owner's epoch to
/// [`Entry::apply`](crate::Entry::apply) and applies the login's [`Limit`].
///
/// # The contract
///
/// **Ending is final.** After [`destroy_all`](Self::destroy_all) has returned, no session that the
/// owner had is found again, and no login that was under way succeeds. Each `destroy_all` gives the
/// owner a new [`Epoch`], and a login that [began](crate::Login) in an older epoch gets
/// [`Outcome::LoginRevoked`].
///
/// **Epochs never go back**, not even at a restart. A store keeps them for at least as long as a
/// login can take: a day is enough.
///
/// **Only live sessions count.** Expired sessions are neither listed nor counted.
///
/// **No id leaves the store.** A list names sessions by [`Handle`], which opens nothing; a store
/// that keeps whole ids leaves them out of these lists.
pub trait Owners: Send + Sync {
    /// The owner's present epoch. Read it before the password is checked. If all of the owner's
    /// sessions are ended after that, the login is revoked.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn epoch(&self, owner: &Owner) -> Result<Epoch>;

    /// The live sessions of an owner, in no particular order.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn list(&self, owner: &Owner) -> Result<Vec<Listed>>;

    /// The number of an owner's live sessions.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn count(&self, owner: &Owner) -> Result<usize> {
        Ok(self.list(owner)?.len())
    }

    /// Ends one live session by its handle, and keeps the reason. If `owner` is given, the same
    /// step compares it with the session's owner. If they differ, the outcome is [`Outcome::Gone`].
    ///
    /// # Errors
    ///
    /// When the store failed: the session may still be there.
    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome>;

    /// Ends all sessions of an owner but the one with the handle `except`, for "log out everywhere"
    /// and "log out all other devices", and returns how many it ended. If `except` is not a session
    /// of the owner, it is ignored.
    ///
    /// # Errors
    ///
    /// When the store failed: some may still be there.
    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize>;

    /// Why one of the methods above, or a login beyond the limit, ended the session that this id
    /// opened. `None` if the id's secret is wrong, or the store no longer has the reason.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>>;
}

/// Why a session was ended, other than by its user's logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// The owner logged out everywhere, or everywhere else.
    LoggedOutEverywhere,
    /// It was ended by its handle: from another device, or by an administrator.
    Revoked,
    /// The owner logged in once more than the [policy](crate::Policy::max_per_owner) allows.
    Limit,
}

choice!(EndReason, "end_reason", [
    "logged_out_everywhere" => LoggedOutEverywhere,
    "revoked" => Revoked,
    "limit" => Limit,
]);
