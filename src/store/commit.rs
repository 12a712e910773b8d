//! The commit: everything that a request did to its session, applied in one atomic step.

use std::time::Duration;

use super::owners::{Epoch, Limit, Owner};
use crate::error::Result;
use crate::id::{SessionId, random_number};
use crate::record::{Changes, Record, Version};

/// An action that a [`Store`](crate::Store) carries out on one session.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Apply everything that a request did.
    Commit(&'a Commit),
    /// Prolong the session that the id opens, without changing its data. If a version is given, an
    /// id that was renewed since still opens the session of that incarnation.
    Touch(Option<Version>),
    /// Store a record with this time to live, in place of the session that the id opens if there is
    /// one. A time of zero stores nothing.
    Put(&'a Record, Duration),
    /// End the session that the id opens. If a version is given, an id that was renewed since still
    /// opens the session of that incarnation.
    End(Option<Version>),
}

impl Action<'_> {
    /// The login in this action, if there is one. A store with [`Owners`](crate::Owners) then reads
    /// the owner's epoch and applies the login's limit, in the same step.
    pub fn login(&self) -> Option<&Login> {
        match self {
            Self::Commit(commit) => commit.login.as_ref(),
            Self::Touch(_) | Self::Put(..) | Self::End(_) => None,
        }
    }
}

/// Everything that a request did to its session, applied in one atomic step: keys set and removed,
/// a new id, a login.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lembro::{Commit, Lease, LembroStore, SessionId, Store};
///
/// let (store, id) = (LembroStore::new()?, SessionId::random()?);
/// let lease = Lease::new(Duration::from_secs(3600));
/// let mut create = Commit::create()?;
/// create.changes.insert("", "cart", &["tea"])?;
/// assert!(store.commit(&id, &create, &lease)?.is_done());
///
/// let stored = store.get(&id)?.expect("created above");
/// let mut merge = Commit::merge(stored.record.version())?;
/// merge.changes.insert("", "theme", "dark")?;
/// assert!(store.commit(&id, &merge, &lease)?.is_done());
/// # Ok::<(), lembro::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Commit {
    pub(crate) expect: Expect,
    /// The changed keys, timeout, label and "remembered".
    pub changes: Changes,
    pub(crate) identity: Identity,
    pub(crate) login: Option<Login>,
    pub(crate) nonce: u64,
    pub(crate) is_repeated: bool,
}

/// The state of a session that a commit requires. In any other state the commit writes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No live session under this handle. The commit creates one.
    Absent,
    /// A session of this version's incarnation. The changes are merged into the stored session,
    /// even if there were other commits since.
    Incarnation(Version),
    /// A session of exactly this version: compare and swap.
    Exactly(Version),
}

/// The id of a session after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The id stays.
    Keep,
    /// A timed renewal begins, if one is due. The id that is derived from the current one and this
    /// random seed opens the session too. It becomes the current one when it is first presented.
    Renew(u64),
    /// This id, with the same handle, takes the current one's place at once.
    Replace(SessionId),
}

/// A login: the owner, and the conditions on which it succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The owner of the session from this commit on.
    pub owner: Owner,
    /// The owner's epoch when the login began, before the password was checked. If all of the
    /// owner's sessions were ended since, the login is revoked. `None`: the login begins with the
    /// commit.
    pub begun: Option<Epoch>,
    /// The limit on the owner's sessions, this one included; `None`: no limit.
    pub limit: Option<Limit>,
}

impl Login {
    /// A login that begins with the commit, without a limit.
    pub fn new(owner: Owner) -> Self {
        Self { owner, begun: None, limit: None }
    }
}

impl Commit {
    /// Creates a session.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`](crate::Error::is_store) when the system's random source fails.
    pub fn create() -> Result<Self> {
        Self::new(Expect::Absent)
    }

    /// Merges changes into the session, if it is still the incarnation of this version.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn merge(version: Version) -> Result<Self> {
        Self::new(Expect::Incarnation(version))
    }

    /// Changes the session only if it still has this version (compare and swap).
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn exactly(version: Version) -> Result<Self> {
        Self::new(Expect::Exactly(version))
    }

    fn new(expect: Expect) -> Result<Self> {
        let nonce = random_number()?;
        let (changes, identity) = (Changes::new(), Identity::Keep);
        Ok(Self { expect, changes, identity, login: None, nonce, is_repeated: false })
    }

    /// The same commit with these changes.
    #[must_use]
    pub fn with(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }

    /// The same commit with a new id, a timed renewal, or neither. A commit that creates a session
    /// ignores it, because the session has a new id anyway.
    #[must_use]
    pub fn with_identity(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// The same commit with a login. On a stored session a login needs a new id:
    /// [`Identity::Replace`]. If another owner was logged in, none of that owner's data stays.
    #[must_use]
    pub fn log_in(self, login: Login) -> Self {
        Self { login: Some(login), ..self }
    }

    /// The same commit, marked as sent again because its first outcome is unknown. If the store has
    /// carried it out, the outcome is `Done`, and it is not carried out twice.
    #[must_use]
    pub fn repeated(self) -> Self {
        Self { is_repeated: true, ..self }
    }

    /// Returns true if the commit is sent again.
    pub fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// The state of the session that the commit requires.
    pub fn expect(&self) -> Expect {
        self.expect
    }

    /// The first version of the incarnation that this commit begins; `None` if it begins none.
    pub(crate) fn begins(&self) -> Option<Version> {
        let begins = self.expect == Expect::Absent || matches!(self.identity, Identity::Replace(_));
        begins.then(|| Version::first(self.nonce))
    }
}

/// The nonces of the commits that made the last versions of a row, newest last. They prove that a
/// repeated commit was carried out before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nonces {
    last: [u64; Self::MOST],
    len: usize,
}

impl Nonces {
    pub(crate) const MOST: usize = 4;

    /// No nonces, as in a store that does not keep them.
    pub(crate) const NONE: Self = Self { last: [0; Self::MOST], len: 0 };

    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.last[..self.len]
    }

    pub(super) fn contains(&self, nonce: u64) -> bool {
        self.as_slice().contains(&nonce)
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }

    /// The nonces after one more commit. The oldest one is dropped if there are too many.
    pub(crate) fn push(mut self, nonce: u64) -> Self {
        if self.len == Self::MOST {
            self.last.rotate_left(1);
            self.len -= 1;
        }
        self.last[self.len] = nonce;
        self.len += 1;
        self
    }
}
