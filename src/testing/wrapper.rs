//! Wrappers of a store: a macro that turns every call into a call of one method.

/// Implements [`Store`](crate::Store) and [`Owners`](crate::Owners) for a type with the methods
/// `has_owners`, `inner_clock` and `on(&self, Call, one, run)`. `on` calls `run` with the inner
/// store. If the call can change only one session, `one` is its handle.
macro_rules! wrap_store {
    (impl[$($generics:tt)*] for $wrapper:ty) => {
        impl<$($generics)*> Store for $wrapper {
            fn look(&self, id: &SessionId, how: Look, lease: &Lease) -> Result<Lookup> {
                let call = if how == Look::Visit { Call::Visit } else { Call::Peek };
                self.on(call, None, |store| store.look(id, how, lease))
            }
            fn apply(&self, id: &SessionId, action: &Action<'_>, lease: &Lease) -> Result<Outcome> {
                self.on(Call::of_action(action), Some(id.handle()), |store| store.apply(id, action, lease))
            }
            fn all(&self) -> Result<Listing<'_>> {
                let listed: Vec<_> = self.on(Call::Whole, None, |store| Ok(store.all()?.collect()))?;
                Ok(Box::new(listed.into_iter()))
            }
            fn len(&self) -> Result<usize> {
                self.on(Call::Whole, None, |store| store.len())
            }
            fn clear(&self) -> Result<()> {
                self.on(Call::Whole, None, |store| store.clear())
            }
            fn owners(&self) -> Option<&dyn Owners> {
                self.has_owners().then_some(self)
            }
            fn clock(&self) -> Clock {
                self.inner_clock()
            }
        }

        impl<$($generics)*> Owners for $wrapper {
            fn epoch(&self, owner: &Owner) -> Result<Epoch> {
                self.on(Call::Owners, None, |store| owners(store)?.epoch(owner))
            }
            fn list(&self, owner: &Owner) -> Result<Vec<Listed>> {
                self.on(Call::Owners, None, |store| owners(store)?.list(owner))
            }
            fn count(&self, owner: &Owner) -> Result<usize> {
                self.on(Call::Owners, None, |store| owners(store)?.count(owner))
            }
            fn destroy_handle(&self, handle: Handle, owner: Option<&Owner>, reason: EndReason) -> Result<Outcome> {
                self.on(Call::Owners, Some(handle), |store| owners(store)?.destroy_handle(handle, owner, reason))
            }
            fn destroy_all(&self, owner: &Owner, except: Option<Handle>) -> Result<usize> {
                self.on(Call::Owners, None, |store| owners(store)?.destroy_all(owner, except))
            }
            fn end_reason(&self, id: &SessionId) -> Result<Option<EndReason>> {
                self.on(Call::Owners, None, |store| owners(store)?.end_reason(id))
            }
        }
    };
}
pub(super) use wrap_store;

use crate::error::{Error, Result};
use crate::store::{Action, Owners, Store};

/// A kind of call to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A look that does not prolong, such as `get`.
    Peek,
    /// A look that prolongs.
    Visit,
    /// A commit.
    Commit,
    /// A touch.
    Touch,
    /// A record stored in place of the session: `set`.
    Put,
    /// The end of one session: `destroy`.
    End,
    /// `all`, `len` or `clear`.
    Whole,
    /// Any call to the store's [`Owners`].
    Owners,
}

impl Call {
    pub(super) fn of_action(action: &Action<'_>) -> Self {
        match action {
            Action::Commit(_) => Self::Commit,
            Action::Touch(_) => Self::Touch,
            Action::Put(..) => Self::Put,
            Action::End(_) => Self::End,
        }
    }
}

pub(super) fn owners(store: &dyn Store) -> Result<&dyn Owners> {
    store.owners().ok_or_else(|| Error::unsupported("owners"))
}
