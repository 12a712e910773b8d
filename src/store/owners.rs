//! Owners: the optional operations of a store on all sessions of one owner, and the limit on
//! logins.

use std::fmt;
use std::str::FromStr;

use super::{Listed, Outcome};
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::record::{Owned, check_owner};
use crate::units::choice;

/// The user that a session belongs to: a checked name of 1 to 255 bytes.
///
/// Use a value that never changes, such as a number in a users' table, not a spelling of a name.
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
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`Error::is_size`] when it is empty or longer than 255 bytes.
    pub fn new(name: &str) -> Result<Self> {
        check_owner(name)?;
        Ok(Self(name.into()))
    }

    /// The name.
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
        // Not the name, because it is the user's.
        f.write_str("Owner(..)")
    }
}

/// The login period of an owner. It grows whenever all of the owner's sessions are ended. Opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch as a number, for a store that keeps it elsewhere. A later one is larger.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The epoch that [`to_u64`](Self::to_u64) gave.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

/// How many sessions an owner may have at once, and what happens beyond that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub max: usize,
    /// What happens at a login beyond the limit.
    pub at_limit: AtLimit,
}

/// What happens at a login beyond an owner's limit.
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
    /// The sessions of an owner that must end so that one more login, of the session with this
    /// handle, is within the limit. `None`: that login is refused.
    ///
    /// A store asks this in the step that carries out the login.
    pub fn surplus(&self, sessions: Vec<Listed>, login: Handle) -> Option<Vec<Handle>> {
        let mut others = sessions;
        others.retain(|session| session.handle != login);
        let surplus = (others.len() + 1).saturating_sub(self.max);
        if surplus > 0 && self.at_limit == AtLimit::RefuseNewest {
            return None;
        }
        others.sort_by_key(|session| {
            (session.stored.record.head().owner.map(|Owned { since_ms, .. }| since_ms), session.handle)
        });
        Some(others.into_iter().take(surplus).map(|session| session.handle).collect())
    }
}

/// What a store can do with all sessions of one owner: those of one user on several devices.
///
/// A session gets its owner by a [commit that logs in](crate::Commit::log_in). The trait is
/// separate from [`Store`](crate::Store) because a store is complete without it. A store that has
/// it returns it from [`Store::owners`](crate::Store::owners), passes the owner's epoch to
/// [`Entry::apply`](crate::Entry::apply), and applies the [`Limit`] of logins.
///
/// # The contract
///
/// **Ending is final.** After [`destroy_all`](Self::destroy_all) has returned, no session that the
/// owner had is found again, and no login that was under way succeeds: each `destroy_all` gives the
/// owner a new [`Epoch`], and a login that [began](crate::Login) in an older one is
/// [`Outcome::LoginRevoked`].
///
/// **Epochs never go back**, not even at a restart. They are kept for at least as long as a login
/// can take: a day is enough.
///
/// **Only live sessions count.** Expired sessions are neither listed nor counted.
///
/// **No id leaves the store.** A list names sessions by [`Handle`], which opens nothing; a store
/// that keeps whole ids leaves them out of these lists.
pub trait Owners: Send + Sync {
    /// The owner's present epoch. Read it before the password is checked: if all of the owner's
    /// sessions are ended after that, the login is revoked too.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn epoch(&self, owner: &Owner) -> Result<Epoch>;

    /// The live sessions of an owner, in no particular order. Without any the list is empty.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn list(&self, owner: &Owner) -> Result<Vec<Listed>>;

    /// How many live sessions an owner has.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn count(&self, owner: &Owner) -> Result<usize> {
        Ok(self.list(owner)?.len())
    }

    /// Ends one live session by its handle, for this reason. With an `owner`, only if it belongs to
    /// that owner; the owner is compared in the step that ends it.
    ///
    /// # Errors
    ///
    /// When the store failed: the session may still be there.
    fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome>;

    /// Ends all sessions of an owner but the one with the handle `except`, and returns how many:
    /// "log out everywhere", "log out all other devices". A handle of no session of the owner is no
    /// exception.
    ///
    /// # Errors
    ///
    /// When the store failed: some may still be there.
    fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize>;

    /// Why one of the methods above ended the session that this id opened, if the store still
    /// remembers. It answers only if the id's secret is right.
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
    Everywhere,
    /// It was ended by its handle: from another device, or by an administrator.
    Named,
    /// The owner logged in once more than the [policy](crate::Policy::max_per_owner) allows.
    Limit,
}

choice!(EndReason, "end_reason", ["everywhere" => Everywhere, "named" => Named, "limit" => Limit]);
