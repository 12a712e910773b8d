//! The draft: the changes to a session that a request has not committed yet.

use crate::context::Context;
use crate::error::Result;
use crate::id::{SessionId, random_number};
use crate::record::{Changes, Record};
use crate::store::{Commit, Expect, Identity, Login};

/// The effect of the next commit on the session.
#[derive(Clone, Default)]
pub(super) struct Draft {
    pub(super) changes: Changes,
    pub(super) identity: NextId,
    pub(super) login: Option<Login>,
}

/// The id of the session after the next commit.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum NextId {
    #[default]
    Same,
    /// The id stays the same, and the commit begins a timed renewal.
    Renewal,
    /// The commit gives the session a new id at once, for a login or `regenerate`.
    New,
}

impl Draft {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.identity == NextId::Same && self.login.is_none()
    }

    /// Returns true if a new session with these changes and this draft's login would be empty. An
    /// empty new session is not stored.
    pub(super) fn is_empty_with(&self, changes: &Changes) -> bool {
        self.login.is_none() && changes.csrf().is_none() && changes.keys().all(|change| change.value.is_none())
    }

    /// Returns true if the commit discards the record's data, because it logs in a different owner.
    pub(super) fn discards(&self, record: &Record) -> bool {
        let Some(login) = &self.login else { return false };
        record.owner().is_some_and(|owner| owner != login.owner.as_str())
    }

    /// Gives a commit the id and the login of this draft.
    pub(super) fn complete(&self, commit: &mut Commit, id: &SessionId, context: &Context) -> Result<()> {
        commit.identity = match self.identity {
            _ if commit.expect() == Expect::Absent => Identity::Keep,
            NextId::Same => Identity::Keep,
            NextId::Renewal => Identity::Renew(random_number()?),
            NextId::New => Identity::Replace(id.renewed(&(context.ids)()?)),
        };
        commit.login.clone_from(&self.login);
        Ok(())
    }

    /// Merges two drafts. If both set the same part, the value of `later` counts.
    pub(super) fn then(self, later: Self) -> Self {
        let identity = if later.identity == NextId::Same { self.identity } else { later.identity };
        Self { changes: self.changes.then(&later.changes), identity, login: later.login.or(self.login) }
    }
}

/// A commit whose outcome is unknown.
pub(super) struct UnknownCommit {
    pub(super) commit: Commit,
    /// The draft that the commit was made from. If the commit was not carried out, this draft is
    /// merged back into the session's draft.
    pub(super) draft: Draft,
    /// The record as the commit would leave it. Reads see this record until the outcome is known.
    pub(super) record: Record,
}
