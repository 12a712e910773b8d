//! The wrapper of a store: a macro that turns every call into a call of one method.

/// Implements [`Store`](crate::Store) and [`Owners`](crate::Owners) for a type with the methods
/// `on(&self, Call, lost, run)`, which gives `run` the store below, `has_owners` and `below_clock`.
/// `lost`: the error if the call was carried out and its answer is lost.
macro_rules! wrap_store {
    (impl[$($generics:tt)*] for $wrapper:ty) => {
        impl<$($generics)*> Store for $wrapper {
            fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
                self.on(Call::of_look(how), lost_answer, |store| store.look(id, how, lease))
            }
            fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
                let lost = || Error::unknown(id.handle());
                self.on(Call::of_action(action), lost, |store| store.apply(id, action, lease))
            }
            fn all(&self) -> Result<Listing<'_>> {
                let listed: Vec<_> = self.on(Call::Whole, lost_answer, |store| Ok(store.all()?.collect()))?;
                Ok(Box::new(listed.into_iter()))
            }
            fn len(&self) -> Result<usize> {
                self.on(Call::Whole, lost_answer, |store| store.len())
            }
            fn clear(&self) -> Result<()> {
                self.on(Call::Whole, lost_answer, |store| store.clear())
            }
            fn owners(&self) -> Option<&dyn Owners> {
                self.has_owners().then_some(self)
            }
            fn clock(&self) -> Clock {
                self.below_clock()
            }
        }

        impl<$($generics)*> Owners for $wrapper {
            fn epoch(&self, owner: &Owner) -> Result<Epoch> {
                self.on(Call::Owners, lost_answer, |store| owners(store)?.epoch(owner))
            }
            fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
                self.on(Call::Owners, lost_answer, |store| owners(store)?.list(owner))
            }
            fn count(&self, owner: &Owner) -> Result<usize> {
                self.on(Call::Owners, lost_answer, |store| owners(store)?.count(owner))
            }
            fn destroy(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
                let lost = || Error::unknown(handle);
                self.on(Call::Owners, lost, |store| owners(store)?.destroy(handle, owner, reason))
            }
            fn destroy_all(&self, owner: &Owner, except: Option<&SessionId>) -> Result<usize> {
                self.on(Call::Owners, lost_answer, |store| owners(store)?.destroy_all(owner, except))
            }
            fn why_ended(&self, id: &SessionId) -> Result<Option<EndReason>> {
                self.on(Call::Owners, lost_answer, |store| owners(store)?.why_ended(id))
            }
        }
    };
}
pub(super) use wrap_store;

use crate::error::{Error, Result};
use crate::store::{Action, Look, Owners, Store};

/// A kind of call to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A look that prolongs nothing: `get`.
    Peek,
    /// A look that prolongs.
    Visit,
    /// A commit.
    Commit,
    /// A touch.
    Touch,
    /// A record that is put in the place of a session: `set`.
    Put,
    /// The end of one session: `destroy`.
    End,
    /// `all`, `len` or `clear`.
    Whole,
    /// Any call to the store's [`Owners`].
    Owners,
}

impl Call {
    pub(super) fn of_look(how: Look) -> Self {
        if how == Look::Visit { Self::Visit } else { Self::Peek }
    }

    pub(super) fn of_action(action: &Action<'_>) -> Self {
        match action {
            Action::Commit(_) => Self::Commit,
            Action::Touch(_) => Self::Touch,
            Action::Put(..) => Self::Put,
            Action::End(_) => Self::End,
        }
    }
}

/// The error of a read, or of a change to several sessions, whose answer is lost.
pub(super) fn lost_answer() -> Error {
    Error::store("the answer was lost")
}

pub(super) fn owners(store: &dyn Store) -> Result<&dyn Owners> {
    store.owners().ok_or_else(|| Error::unsupported("owners"))
}
