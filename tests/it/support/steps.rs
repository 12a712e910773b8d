//! Steps of tests on any store, in one line each.

use std::time::Duration;

use lembro::{
    Changes, Commit, Identity, Lease, Login, Outcome, Owner, Owners, Presented, Record, Result, SessionId, Store,
    Stored, Version,
};

/// A new id.
pub(crate) fn new_id() -> SessionId {
    SessionId::random().unwrap()
}

/// The same handle with another secret.
pub(crate) fn renewed(id: &SessionId) -> SessionId {
    id.renewed(&new_id())
}

pub(crate) fn owner(name: &str) -> Owner {
    Owner::new(name).unwrap()
}

pub(crate) fn login(name: &str) -> Login {
    Login::new(owner(name))
}

/// The operations of a store on the sessions of one owner.
pub(crate) fn owners(store: &impl Store) -> &dyn Owners {
    store.owners().unwrap()
}

/// A commit that creates a session with these entries.
pub(crate) fn creation(record: &Record) -> Commit {
    Commit::create().unwrap().with(Changes::from(record))
}

/// A commit that merges changes into the session that had this version.
pub(crate) fn merge(changes: &Changes, version: Version) -> Commit {
    Commit::merge(version).unwrap().with(changes.clone())
}

/// Creates a session.
pub(crate) fn create(store: &impl Store, id: &SessionId, record: &Record, ttl: Duration) -> Result<Outcome> {
    store.commit(id, &creation(record), &Lease::new(ttl))
}

/// Creates a session that has an owner.
pub(crate) fn create_owned(
    store: &impl Store,
    id: &SessionId,
    record: &Record,
    name: &str,
    ttl: Duration,
) -> Result<Outcome> {
    store.commit(id, &creation(record).log_in(login(name)), &Lease::new(ttl))
}

/// Creates a session, with an owner or without.
pub(crate) fn create_for(
    store: &impl Store,
    id: &SessionId,
    record: &Record,
    name: Option<&str>,
    ttl: Duration,
) -> Result<Outcome> {
    match name {
        Some(name) => create_owned(store, id, record, name, ttl),
        None => create(store, id, record, ttl),
    }
}

/// Merges changes into the session that had this version.
pub(crate) fn save(
    store: &impl Store,
    id: &SessionId,
    changes: &Changes,
    ttl: Duration,
    version: Version,
) -> Result<Outcome> {
    store.commit(id, &merge(changes, version), &Lease::new(ttl))
}

/// Compares and swaps.
pub(crate) fn exactly(
    store: &impl Store,
    id: &SessionId,
    changes: &Changes,
    ttl: Duration,
    version: Version,
) -> Result<Outcome> {
    store.commit(id, &Commit::exactly(version).unwrap().with(changes.clone()), &Lease::new(ttl))
}

/// Prolongs a session.
pub(crate) fn touch(store: &impl Store, id: &SessionId, ttl: Duration) -> Result<Outcome> {
    store.touch(id, &Lease::new(ttl))
}

/// The commit that gives the session that had this version a new id, as `regenerate` does.
pub(crate) fn replacement(version: Version, new: &SessionId) -> Commit {
    Commit::merge(version).unwrap().with_identity(Identity::Replace(*new))
}

/// Replaces the id of a session at once.
pub(crate) fn replace(store: &impl Store, id: &SessionId, new: &SessionId, lease: &Lease) -> Result<Outcome> {
    store.commit(id, &replacement(version_of(store, id), new), lease)
}

/// Logs an owner in to the session that an id opens, with a new id.
pub(crate) fn log_in(
    store: &impl Store,
    id: &SessionId,
    new: &SessionId,
    name: &str,
    lease: &Lease,
) -> Result<Outcome> {
    store.commit(id, &replacement(version_of(store, id), new).log_in(login(name)), lease)
}

/// A lease under which the ids of owned sessions are renewed as soon as a grace has passed.
pub(crate) const fn renewing(ttl: Duration, grace: Duration) -> Lease {
    Lease { renew_after: Some(Duration::ZERO), grace, ..Lease::new(ttl) }
}

/// Begins a timed renewal, and returns the new id for the client.
pub(crate) fn renew(store: &impl Store, id: &SessionId, lease: &Lease) -> SessionId {
    let commit = Commit::merge(version_of(store, id)).unwrap().with_identity(Identity::Renew(7));
    store.commit(id, &commit, lease).unwrap().receipt().unwrap().announce.expect("a renewal is due")
}

/// The session that an id opens.
pub(crate) fn found(store: &impl Store, id: &SessionId) -> Stored {
    store.get(id).unwrap().unwrap()
}

pub(crate) fn is_there(store: &impl Store, id: &SessionId) -> bool {
    store.get(id).unwrap().is_some()
}

pub(crate) fn version_of(store: &impl Store, id: &SessionId) -> Version {
    found(store, id).record.version()
}

pub(crate) fn presented(store: &impl Store, id: &SessionId) -> Presented {
    found(store, id).presented
}
