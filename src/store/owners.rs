//! The optional powers of a store over all the sessions of one owner: list them, count them, end them.

use std::time::Duration;

use serde::Serialize;

use super::{Listed, Outcome};
use crate::error::Result;
use crate::id::{Handle, SessionId};
use crate::record::{Epoch, Record};

/// What a store can do with the sessions of one owner: of one user, say, who is logged in on several devices.
///
/// A session gets its owner from a [save](crate::Store::save) whose changes name one. These powers are apart from
/// [`Store`](crate::Store) because a store is complete without them; one that has them says so in
/// [`Store::owners`](crate::Store::owners).
///
/// # The contract
///
/// **Ending is final.** When [`destroy_of`](Self::destroy_of) returns, no session that the owner had is found again. A
/// login that was under way is not let in either: each `destroy_of` gives the owner a new [`Epoch`], and a save that
/// names the owner and [an older epoch](crate::Changes::expect_epoch) says [`Outcome::Gone`] and writes nothing, and so does a
/// [new session](Self::create_owned) that begins with such a login.
///
/// **Only live sessions count.** What has expired is not listed and not counted.
///
/// **No id gets out.** A list names sessions by [`Handle`], which opens nothing; a store that keeps whole ids leaves them
/// out of these lists.
pub trait Owners: Send + Sync {
    /// The owner's epoch now. To be asked before the password is checked: what ends all of the owner's sessions after that
    /// ends this login too.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn epoch(&self, owner: &str) -> Result<Epoch>;

    /// Stores a session that begins with a login: as [`Store::create`](crate::Store::create), but `Gone`, with nothing written, if
    /// `begun` is no longer the epoch of the record's owner. A record without an owner depends on no epoch.
    ///
    /// # Errors
    ///
    /// As there.
    fn create_owned(&self, id: &SessionId, record: Record, ttl: Duration, begun: Epoch) -> Result<Outcome>;

    /// The live sessions of an owner, in no particular order; none is an empty list.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn sessions_of(&self, owner: &str) -> Result<Vec<Listed>>;

    /// How many live sessions an owner has.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn count_of(&self, owner: &str) -> Result<usize> {
        Ok(self.sessions_of(owner)?.len())
    }

    /// Ends all sessions of an owner but the one that `except` opens: "log out everywhere", "log out all other devices". How
    /// many there were.
    ///
    /// # Errors
    ///
    /// When the store failed: some may still be there.
    fn destroy_of(&self, owner: &str, except: Option<&SessionId>) -> Result<usize>;

    /// Ends one session, named by its handle and for this reason: for a list of devices, and for administrators.
    ///
    /// # Errors
    ///
    /// When the store failed: the session may still be there.
    fn destroy_handle(&self, handle: Handle, reason: EndReason) -> Result<Outcome>;

    /// Why the session that this id opened was ended by one of the above, if the store still remembers. Nobody learns it
    /// without the id's secret.
    ///
    /// # Errors
    ///
    /// When the store failed.
    fn why_ended(&self, id: &SessionId) -> Result<Option<EndReason>>;
}

/// Why a session was ended by somebody other than its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// Its owner logged out everywhere, or everywhere else.
    Everywhere,
    /// It was ended by name: from another device, or by an administrator.
    Named,
    /// Its owner logged in once more than the [policy](crate::Policy::max_per_owner) allows.
    Limit,
}
