//! What requests send in rules: ids, changes, logins, and commits for a session that they have
//! seen.

use serde::Serialize;

use super::fixture::Checked;
use crate::id::SessionId;
use crate::record::{Changes, Version};
use crate::store::{Commit, Identity};

/// Changes that set one key.
pub(super) fn put<T: Serialize + ?Sized>(key: &str, value: &T) -> Checked<Changes> {
    let mut changes = Changes::new();
    changes.insert("", key, value)?;
    Ok(changes)
}

/// Another id with the same handle.
pub(super) fn other_secret(id: &SessionId) -> Checked<SessionId> {
    Ok(id.renewed(&SessionId::random()?))
}

/// A session in the store: its id, and the version that a request has seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) version: Version,
}

impl Session {
    /// A commit that merges these changes into it.
    pub(super) fn merge(&self, changes: Changes) -> Checked<Commit> {
        Ok(Commit::merge(self.version)?.with(changes))
    }

    /// A commit that sets one key.
    pub(super) fn put<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Checked<Commit> {
        self.merge(put(key, value)?)
    }

    /// A commit that sets one key if the version is still the one that was seen.
    pub(super) fn exactly<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Checked<Commit> {
        Ok(Commit::exactly(self.version)?.with(put(key, value)?))
    }

    /// A new id, and a commit that puts it in the place of the present one.
    pub(super) fn replace(&self) -> Checked<(SessionId, Commit)> {
        let new = other_secret(&self.id)?;
        Ok((new, Commit::merge(self.version)?.with_identity(Identity::Replace(new))))
    }
}
