//! The optional powers of a store over all the sessions of one owner: list them, count them, end
//! them, and hold logins to a limit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Listed, Outcome};
use crate::error::{Error, Result};
use crate::id::{Handle, SessionId};
use crate::record::{Owned, check_owner};

/// The user that a session belongs to: a checked name of 1 to 255 bytes.
///
/// Use what never changes, a number in a users' table, say, and not a spelling of a name.
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
        // Not the name: it is the user's.
        f.write_str("Owner(..)")
    }
}

/// Which login period of an owner: it grows whenever all of the owner's sessions are ended. Opaque.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
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

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.0)
    }
}

/// How many sessions an owner may have at once, and what happens beyond that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub max: usize,
    /// What happens at a login beyond that.
    pub at_limit: AtLimit,
}

/// What happens when an owner logs in once more than the policy allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtLimit {
    /// The session that has been logged in the longest is ended.
    #[default]
    EndOldest,
    /// The new one is refused.
    RefuseNewest,
}

impl Limit {
    /// Which of an owner's sessions end so that one more login is within the limit, the session with
    /// this handle; `None`: that login is refused.
    ///
    /// A store asks it in the step that carries out the login.
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

/// What a store can do with the sessions of one owner: of one user, say, who is logged in on several
/// devices.
///
/// A session gets its owner by a [commit that logs in](crate::Commit::log_in). These powers are apart
/// from [`Store`](crate::Store) because a store is complete without them; one that has them says so
/// in [`Store::owners`](crate::Store::owners), passes the owner's epoch to
/// [`Entry::apply`](crate::Entry::apply), and holds logins to their [`Limit`].
///
/// # The contract
///
/// **Ending is final.** When [`destroy_all`](Self::destroy_all) returns, no session that the owner had
/// is found again. A login that was under way is not let in either: each `destroy_all` gives the
/// owner a new [`Epoch`], and a login that [began](crate::Login) in an older one is
/// [`Outcome::LoginRevoked`].
///
/// **Epochs never go back**, not by a restart either, and are kept for at least as long as a login
/// can take: a day is enough.
///
/// **Only live sessions count.** An expired session is not listed and not counted.
///
/// **No id gets out.** A list names sessions by [`Handle`], which opens nothing; a store that keeps
/// whole ids leaves them out of these lists.
pub trait Owners: Send + Sync {
    /// The owner's epoch now. Asked for before the password is checked: what ends all of the owner's
    /// sessions after that ends this login too.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn epoch(&self, owner: &Owner) -> Result<Epoch>;

    /// The live sessions of an owner, in no particular order; none is an empty list.
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

    /// Ends one session, named by its handle and for this reason, if it is live and belongs to
    /// `owner`; `None`: whoever owns it. The owner is compared in the step that ends it.
    ///
    /// # Errors
    ///
    /// When the store failed: the session may still be there.
    fn destroy(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome>;

    /// Ends all sessions of an owner but the one that `except` opens: "log out everywhere", "log out
    /// all other devices". How many there were.
    ///
    /// # Errors
    ///
    /// When the store failed: some may still be there.
    fn destroy_all(&self, owner: &Owner, except: Option<&SessionId>) -> Result<usize>;

    /// Why the session that this id opened was ended by one of the above, if the store still
    /// remembers. It answers the holder of the id's secret only.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn why_ended(&self, id: &SessionId) -> Result<Option<EndReason>>;
}

/// Why a session was ended by another request than its user's logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// Its owner logged out everywhere, or everywhere else.
    Everywhere,
    /// It was ended by its handle: from another device, or by an administrator.
    Named,
    /// Its owner logged in once more than the [policy](crate::Policy::max_per_owner) allows.
    Limit,
}
