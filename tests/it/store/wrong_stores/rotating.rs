//! Stores with wrong new ids, or a wrong timed renewal.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lembro::{Action, Changes, Commit, Lease, Look, Lookup, Outcome, Presented, SessionId, Store as _};

use super::wrap::{Memory, Right, Wrap, base, login, renews, replaces};
use super::{Wrong, wrong, wrong_commit, wrong_lease, wrong_look};

/// Replaces the id that a commit announces.
fn other_announcement(store: &mut Wrap, other: fn(&Right, &SessionId, &Commit, &Lease) -> Option<SessionId>) {
    store.commit = Box::new(move |right, id, commit, lease| match right.commit(id, commit, lease)? {
        Outcome::Done(mut receipt) => {
            receipt.announce = other(right, id, commit, lease).or(receipt.announce);
            Ok(Outcome::Done(receipt))
        }
        outcome => Ok(outcome),
    });
}

fn another(id: &SessionId) -> SessionId {
    id.renewed(&SessionId::random().unwrap())
}

/// Returns true if this id opens the session, but is not its current one.
fn is_previous(right: &Right, id: &SessionId) -> bool {
    right.store.get(id).unwrap().is_some_and(|stored| stored.presented == Presented::Previous)
}

pub(crate) const WRONG: &[Wrong] = &[
    wrong("a new id that does nothing", |store| {
        store.commit =
            Box::new(
                |right, id, commit, lease| {
                    if replaces(commit) { right.touch(id, lease) } else { right.commit(id, commit, lease) }
                },
            );
    })
    .caught_by(&[
        "a new id takes the place of the old one at once",
        "a new id and the changes with it are one commit",
        "of new ids at once exactly one is done",
    ]),
    wrong_commit("a new id without the changes that came with it", |right, id, commit, lease| {
        let changes = if replaces(commit) { Changes::new() } else { commit.changes.clone() };
        right.commit(id, &commit.clone().with(changes), lease)
    })
    .caught_by(&["a new id and the changes with it are one commit"]),
    wrong_commit("an old id that a commit makes the session's id again", |right, id, commit, lease| {
        match right.commit(id, commit, lease)? {
            Outcome::Superseded => {
                let record = right.stored(id)?.unwrap_or_default();
                let _ = right.end(&right.current(id))?;
                right.put(id, &record, lease.idle)
            }
            outcome => Ok(outcome),
        }
    })
    .caught_by(&[
        "a superseded id opens nothing, and every method says that it is superseded",
        "a superseded id is recent for its grace",
    ]),
    wrong("a destroy that asks for no secret", |store| store.end = Box::new(|right, id| right.end(&right.current(id))))
        .caught_by(&[
            "the right handle with a wrong secret opens nothing",
            "a superseded id opens nothing, and every method says that it is superseded",
        ]),
    wrong_lease("a grace that ends after its last instant", |lease| Lease {
        grace: lease.grace.saturating_add(Duration::from_nanos(1)),
        ..lease
    })
    .caught_by(&["the grace of a superseded id ends at its instant"]),
    wrong_lease("a grace that never ends", |lease| Lease { grace: Duration::MAX, ..lease }).caught_by(&[
        "a superseded id is recent for its grace",
        "the old id ends a grace after the new one was presented",
    ]),
    wrong_commit("a new id that begins no new incarnation", |right, id, commit, lease| {
        match right.commit(id, commit, lease)? {
            Outcome::Gone if right.store.get(id)?.is_some() => right.merge(id, commit.changes.clone(), lease),
            outcome => Ok(outcome),
        }
    })
    .caught_by(&["a new id begins a new incarnation", "a commit for another incarnation is gone and writes nothing"]),
    wrong_commit("a new id that may have another handle", |right, id, commit, lease| {
        right.commit(id, commit, lease).or_else(|_| right.merge(id, commit.changes.clone(), lease))
    })
    .caught_by(&["a new id has the same handle", "a login on a session needs a new id"]),
    wrong_commit("a new id that creates", |right, id, commit, lease| match right.commit(id, commit, lease)? {
        Outcome::Gone if replaces(commit) => right.commit(id, &Commit::create()?, lease),
        outcome => Ok(outcome),
    })
    .caught_by(&["a new id never creates"]),
    wrong("superseded ids kept in a list of their own, which nothing ever ends", |store| {
        let old: Arc<Mutex<Vec<SessionId>>> = Arc::default();
        let looked = Arc::clone(&old);
        store.commit = Box::new(move |right, id, commit, lease| {
            let outcome = right.commit(id, commit, lease)?;
            if replaces(commit) && outcome.is_done() {
                old.lock().unwrap().push(*id);
            }
            Ok(outcome)
        });
        store.look = Box::new(move |right, id, how, lease| match right.look(id, how, lease)? {
            Lookup::Missing if looked.lock().unwrap().contains(id) => Ok(Lookup::Superseded { recent: false }),
            found => Ok(found),
        });
    })
    .caught_by(&["an id superseded twice is unknown", "a superseded id ends with its session"]),
    wrong_commit("a new id that compares nothing", |right, id, commit, lease| {
        match right.commit(id, commit, lease)? {
            Outcome::Changed => right.merge(id, commit.changes.clone(), lease),
            outcome => Ok(outcome),
        }
    })
    .caught_by(&["compare and swap says Changed if something changed and writes nothing"]),
    wrong_lease("a store that does not note how old an id is", |lease| Lease { renew_after: None, ..lease }).caught_by(
        &[
            "the age of a new id is noted under a lease that renews ids",
            "what is noted about a session comes back, and a clear leaves it",
        ],
    ),
    wrong_commit("a login that leaves the id as it is", |right, id, commit, lease| match login(commit) {
        Some(login) if !replaces(commit) && base(commit).is_some() => {
            let (new, version) = (another(id), base(commit).unwrap_or_default());
            let identity = lembro::Identity::Replace(new);
            right.commit(id, &Commit::merge(version)?.with_identity(identity).log_in(login), lease)
        }
        _ => right.commit(id, commit, lease),
    })
    .caught_by(&["a login on a session needs a new id"]),
    wrong_commit("a renewal that takes effect at once", |right, id, commit, lease| {
        let outcome = right.commit(id, commit, lease)?;
        if let Some(new) = outcome.receipt().and_then(|receipt| receipt.announce).filter(|_| renews(commit)) {
            right.look(&new, Look::Visit, lease)?;
        }
        Ok(outcome)
    })
    .caught_by(&[
        "a renewal leaves both ids open until the new one is presented",
        "a peek with the new id confirms nothing",
        "a renewal ends with its session",
    ]),
    wrong("renewals that each announce another id", |store| {
        other_announcement(store, |_, id, commit, _| Some(another(id)).filter(|_| renews(commit)));
    })
    .caught_by(&[
        "every response to the old id announces the same new one",
        "renewals at once agree on the new id",
        "only the id of an owned session that is old enough is renewed",
        "an id in its grace begins no renewal",
    ]),
    wrong_look("a renewal that is announced once", |right, id, how, lease| {
        let mut found = right.look(id, how, lease)?;
        if let Lookup::Found(stored) = &mut found
            && matches!(stored.presented, Presented::Renewing(_))
        {
            stored.presented = Presented::Current;
        }
        Ok(found)
    })
    .caught_by(&[
        "every response to the old id announces the same new one",
        "a renewal leaves both ids open until the new one is presented",
    ]),
    wrong_look("a peek that confirms a renewal", |right, id, how, lease| {
        let lease = Lease { touch_after: Duration::MAX, ..*lease };
        let how = if lease.grace == Duration::from_secs(120) { Look::Visit } else { how };
        right.look(id, how, &lease)
    })
    .caught_by(&["a peek with the new id confirms nothing"]),
    wrong_look("a new id that is never confirmed", |right, id, how, lease| {
        if how == Look::Visit {
            let _ = right.touch(id, lease)?;
        }
        right.look(id, Look::Peek, lease)
    })
    .caught_by(&[
        "the first visit with the new id makes it the current one",
        "the old id ends some time after it was told the new one for the second time",
        "an id that was renewed is renewed again",
    ]),
    wrong("an id in its grace that only looks", |store| {
        store.touch = Box::new(
            |right, id, lease| {
                if is_previous(right, id) { Ok(Outcome::Superseded) } else { right.touch(id, lease) }
            },
        );
        store.end = Box::new(|right, id| if is_previous(right, id) { Ok(Outcome::Superseded) } else { right.end(id) });
    })
    .caught_by(&[
        "an id in its grace looks, commits, touches, and puts a new one in its place",
        "an id in its grace destroys",
    ]),
    wrong_look("a store that knows sessions by their ids only", |right, id, how, lease| {
        right.look(id, if matches!(how, Look::Held(_)) { Look::Peek } else { how }, lease)
    })
    .caught_by(&[
        "a session that was seen is looked at, touched and ended by its incarnation after its id was renewed",
    ]),
    wrong("a store that touches and ends sessions by their ids only", |store| {
        store.held = Box::new(|right, id, action, lease| match action {
            Action::Touch(_) => right.touch(id, lease),
            _ => right.end(id),
        });
    })
    .caught_by(&[
        "a session that was seen is looked at, touched and ended by its incarnation after its id was renewed",
    ]),
    wrong("a store that takes any session under a handle for the one that was seen", |store| {
        store.held = Box::new(|right, id, action, lease| right.store.apply(&right.current(id), action, lease));
    })
    .caught_by(&["a session that was seen is another one after a login or its end"]),
    wrong_look("a renewal without a grace", |right, id, how, lease| {
        right.look(id, how, &Lease { grace: Duration::ZERO, ..*lease })
    })
    .caught_by(&[
        "the first visit with the new id makes it the current one",
        "the old id ends a grace after the new one was presented",
        "an id in its grace looks, commits, touches, and puts a new one in its place",
    ]),
    wrong_commit("a store that renews every id, however young", |right, id, commit, lease| {
        let renew_after = lease.renew_after.map(|_| Duration::ZERO);
        right.commit(id, commit, &Lease { renew_after, grace: Duration::ZERO, ..*lease })
    })
    .caught_by(&["only the id of an owned session that is old enough is renewed"]),
    wrong("a store that renews an id once", |store| {
        let renewed: Memory<()> = Memory::default();
        store.commit = Box::new(move |right, id, commit, lease| {
            let is_second = renews(commit) && renewed.lock().unwrap().contains_key(&id.handle());
            let lease = Lease { renew_after: lease.renew_after.filter(|_| !is_second), ..*lease };
            let outcome = right.commit(id, commit, &lease)?;
            if outcome.receipt().is_some_and(|receipt| receipt.announce.is_some()) {
                renewed.lock().unwrap().insert(id.handle(), ());
            }
            Ok(outcome)
        });
    })
    .caught_by(&["an id that was renewed is renewed again"]),
    wrong("ids that open a session for as long as it lives, once they did", |store| {
        let known: Arc<Mutex<Vec<SessionId>>> = Arc::default();
        store.look = Box::new(move |right, id, how, lease| match right.look(id, how, lease)? {
            Lookup::Found(stored) => {
                known.lock().unwrap().push(*id);
                Ok(Lookup::Found(stored))
            }
            _ if known.lock().unwrap().contains(id) => right.look(&right.current(id), how, lease),
            found => Ok(found),
        });
    })
    .caught_by(&[
        "a new id at once ends a renewal and its grace",
        "an id superseded twice is unknown",
        "a superseded id is recent for its grace",
    ]),
];
