//! Stores with wrong operations on owners, or wrong logins.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lembro::{
    AtLimit, Changes, Commit, EndReason, Epoch, Handle, Identity, Lease, Limit, Listed, Login, Outcome, Owner,
    Owners as _, Result, SessionId, Store as _,
};

use super::wrap::{Memory, Right, Wrap, base, is_create, login, replaces};
use super::{Wrong, wrong, wrong_commit, wrong_everywhere};

/// Replaces every login.
fn other_login(store: &mut Wrap, other: fn(&Right, &Commit, Login) -> Login) {
    store.commit = Box::new(move |right, id, commit, lease| match login(commit) {
        Some(login) => right.commit(id, &commit.clone().log_in(other(right, commit, login)), lease),
        None => right.commit(id, commit, lease),
    });
}

/// Replaces the list of an owner's sessions.
fn other_list(store: &mut Wrap, other: fn(&Right, &Owner) -> Result<Vec<Listed>>) {
    store.list = Box::new(other);
    store.count = Box::new(move |right, owner| Ok(other(right, owner)?.len()));
}

/// Omits a session from its owner's list as soon as `leaves` returns true.
fn leaving(store: &mut Wrap, leaves: fn(&Commit) -> bool) {
    let left = Memory::<()>::default();
    let asked = Memory::clone(&left);
    store.commit = Box::new(move |right, id, commit, lease| {
        let outcome = right.commit(id, commit, lease)?;
        if outcome.is_done() && leaves(commit) {
            left.lock().unwrap().insert(id.handle(), ());
        }
        Ok(outcome)
    });
    store.list = Box::new(move |right, owner| {
        let asked = asked.lock().unwrap();
        Ok(right.store.list(owner)?.into_iter().filter(|one| !asked.contains_key(&one.handle)).collect())
    });
}

fn is_owned_by(listed: &Listed, owner: &Owner) -> bool {
    listed.stored.record.owner() == Some(owner.as_str())
}

fn end_all(right: &Right, handles: impl IntoIterator<Item = Handle>) -> usize {
    let end = |handle| right.named(handle, None, EndReason::LoggedOutEverywhere).unwrap().is_done();
    handles.into_iter().filter(|handle| end(*handle)).count()
}

pub(crate) const WRONG: &[Wrong] = &[
    wrong("a list that looks at the beginning of the name", |store| {
        other_list(store, |right, owner| {
            let is_theirs =
                |one: &Listed| one.stored.record.owner().is_some_and(|name| name.starts_with(owner.as_str()));
            Ok(right.all()?.into_iter().filter(is_theirs).collect())
        });
    })
    .caught_by(&["list has the live sessions of an owner and no others"]),
    wrong("a list for which ada is Ada", |store| {
        other_list(store, |right, owner| {
            let name = owner.as_str();
            let is_theirs =
                |one: &Listed| one.stored.record.owner().is_some_and(|other| other.eq_ignore_ascii_case(name));
            Ok(right.all()?.into_iter().filter(is_theirs).collect())
        });
    })
    .caught_by(&["list has the live sessions of an owner and no others"]),
    wrong("a list that is cut at 50", |store| {
        other_list(store, |right, owner| Ok(right.store.list(owner)?.into_iter().take(50).collect()));
    })
    .caught_by(&["list has the live sessions of an owner and no others"]),
    wrong("a count of all sessions", |store| store.count = Box::new(|right, _| right.store.len()))
        .caught_by(&["list has the live sessions of an owner and no others"]),
    wrong("a list of sessions with whole ids", |store| {
        other_list(store, |right, owner| {
            let whole = |one: Listed| Listed::with_id(right.opens(one.handle).unwrap(), one.stored);
            Ok(right.store.list(owner)?.into_iter().map(whole).collect())
        });
    })
    .caught_by(&["lists give out the ids that open the sessions, or none, and those of owners none"]),
    wrong("an index that a session is entered in once and never leaves", |store| {
        let entered = Memory::<Owner>::default();
        let asked = Memory::clone(&entered);
        store.commit = Box::new(move |right, id, commit, lease| {
            let outcome = right.commit(id, commit, lease)?;
            if let (true, Some(login)) = (outcome.is_done(), login(commit)) {
                entered.lock().unwrap().entry(id.handle()).or_insert(login.owner);
            }
            Ok(outcome)
        });
        store.list = Box::new(move |right, owner| {
            let asked = asked.lock().unwrap();
            Ok(right.all()?.into_iter().filter(|one| asked.get(&one.handle) == Some(owner)).collect())
        });
    })
    .caught_by(&["an owner comes with a login and changes with another", "an owner comes and goes with set"]),
    wrong("an index that a clear takes a session out of", |store| {
        leaving(store, |commit| commit.changes.clears_everything());
    })
    .caught_by(&["a session stays its owner's, whatever else happens to it"]),
    wrong("an index by secret, which a new id falls out of", |store| {
        leaving(store, |commit| replaces(commit) && login(commit).is_none());
    })
    .caught_by(&["a session stays its owner's, whatever else happens to it"]),
    wrong("a list that keeps what is expired", |store| {
        // The list keeps expired sessions as they were listed last.
        let ever: Mutex<Vec<Listed>> = Mutex::default();
        store.list = Box::new(move |right, owner| {
            let mut ever = ever.lock().unwrap();
            for session in right.store.list(owner)? {
                ever.retain(|known| known.handle != session.handle);
                ever.push(session);
            }
            Ok(ever.iter().filter(|session| is_owned_by(session, owner)).cloned().collect())
        });
    })
    .caught_by(&["sessions that ended have no owner"]),
    wrong("a destroy_all that ends one session", |store| {
        store.everywhere =
            Box::new(|right, owner, _| Ok(end_all(right, right.store.list(owner)?.first().map(|one| one.handle))));
    })
    .caught_by(&["destroy_all ends all sessions of an owner and no others"]),
    wrong_everywhere("a destroy_all that ends 50 sessions", |right, owner, _| {
        Ok(end_all(right, right.store.list(owner)?.iter().take(50).map(|one| one.handle)))
    })
    .caught_by(&["destroy_all ends all sessions of an owner and no others"]),
    wrong_everywhere("a destroy_all that ends all sessions there are", |right, owner, except| {
        let sessions = right.store.destroy_all(owner, except)?;
        right.store.clear()?;
        Ok(sessions)
    })
    .caught_by(&["destroy_all ends all sessions of an owner and no others"]),
    wrong_everywhere("a destroy_all that counts what it finds in its index", |right, owner, kept| {
        Ok(right.store.destroy_all(owner, kept)? + 1)
    })
    .caught_by(&[
        "destroy_all ends all sessions of an owner and no others",
        "sessions that ended have no owner",
        "destroy_all spares the owner's session with the excepted handle",
    ]),
    wrong("a destroy_all that hides sessions and still commits to them", |store| {
        // The epoch is compared at looks, but not at commits.
        let hidden = Memory::<()>::default();
        let looked = Memory::clone(&hidden);
        store.everywhere = Box::new(move |right, owner, _| {
            let sessions = right.store.list(owner)?;
            let fresh = sessions.iter().filter(|one| hidden.lock().unwrap().insert(one.handle, ()).is_none());
            Ok(fresh.count())
        });
        store.look = Box::new(move |right, id, how, lease| {
            let is_hidden = looked.lock().unwrap().contains_key(&id.handle());
            if is_hidden { Ok(lembro::Lookup::Missing) } else { right.look(id, how, lease) }
        });
    })
    .caught_by(&["destroy_all ends all sessions of an owner and no others"]),
    wrong_everywhere("a destroy_all that spares no session", |right, owner, _| right.store.destroy_all(owner, None))
        .caught_by(&[
            "destroy_all spares the owner's session with the excepted handle",
            "a renewed session is spared with both its ids and ends with them",
        ]),
    wrong("a destroy_all that spares a login under way of the excepted handle", |store| {
        let spared = Memory::<()>::default();
        let asked = Memory::clone(&spared);
        store.everywhere = Box::new(move |right, owner, except| {
            spared.lock().unwrap().extend(except.map(|handle| (handle, ())));
            right.store.destroy_all(owner, except)
        });
        store.commit = Box::new(move |right, id, commit, lease| match login(commit) {
            Some(login) if asked.lock().unwrap().contains_key(&id.handle()) => {
                right.commit(id, &commit.clone().log_in(Login { begun: None, ..login }), lease)
            }
            _ => right.commit(id, commit, lease),
        });
    })
    .caught_by(&["destroy_all spares the owner's session with the excepted handle"]),
    wrong_everywhere("a destroy_all that prolongs the spared session", |right, owner, except| {
        let sessions = right.store.destroy_all(owner, except)?;
        if let Some(id) = except.and_then(|handle| right.opens(handle)) {
            let _ = right.touch(&id, &Lease::UNLIMITED)?;
        }
        Ok(sessions)
    })
    .caught_by(&["destroy_all spares the owner's session with the excepted handle"]),
    wrong("a destroy by handle that ends all of the owner's sessions", |store| {
        store.named = Box::new(|right, handle, owner, reason| {
            let outcome = right.named(handle, owner, reason)?;
            if let Some(owner) = owner {
                right.store.destroy_all(owner, None)?;
            }
            Ok(outcome)
        });
    })
    .caught_by(&["destroy by handle ends one session"]),
    wrong("a destroy by handle for owned sessions only", |store| {
        store.named = Box::new(|right, handle, owner, reason| {
            let mut all = right.all()?.into_iter();
            let is_owned = all.any(|one| one.handle == handle && one.stored.record.owner().is_some());
            if is_owned { right.named(handle, owner, reason) } else { Ok(Outcome::Gone) }
        });
    })
    .caught_by(&["destroy by handle ends one session"]),
    wrong("a destroy by handle that compares no owner", |store| {
        store.named = Box::new(|right, handle, _, reason| right.named(handle, None, reason));
    })
    .caught_by(&["destroy by handle compares the owner"]),
    wrong("a destroy by handle that never frees the handle", |store| {
        let used = Memory::<()>::default();
        let asked = Memory::clone(&used);
        store.named = Box::new(move |right, handle, owner, reason| {
            used.lock().unwrap().insert(handle, ());
            right.named(handle, owner, reason)
        });
        store.commit = Box::new(move |right, id, commit, lease| {
            let is_used = is_create(commit) && asked.lock().unwrap().contains_key(&id.handle());
            if is_used { Ok(Outcome::Taken) } else { right.commit(id, commit, lease) }
        });
    })
    .caught_by(&["destroy by handle and destroy_all free the handle"]),
    wrong("a store that tells every id of a handle why its session ended", |store| {
        store.why = Box::new(|right, id| right.store.end_reason(&right.current(id)));
    })
    .caught_by(&["why a session ended is told to its id and to no other"]),
    wrong("a store that knows one reason", |store| {
        store.named = Box::new(|right, handle, owner, _| right.named(handle, owner, EndReason::LoggedOutEverywhere));
    })
    .caught_by(&["why a session ended is told to its id and to no other"]),
    wrong("a store that says why a live session ended", |store| {
        store.why = Box::new(|right, id| Ok(right.store.end_reason(id)?.or(Some(EndReason::Revoked))));
    })
    .caught_by(&["why a session ended is told to its id and to no other"]),
    wrong("a login that knows no epoch", |store| other_login(store, |_, _, login| Login { begun: None, ..login }))
        .caught_by(&[
            "a login that began before destroy_all is revoked",
            "epochs never go back",
            "the store does with owners what the rule says",
        ]),
    wrong("a create that knows no epoch", |store| {
        other_login(store, |_, commit, login| Login { begun: login.begun.filter(|_| !is_create(commit)), ..login });
    })
    .caught_by(&["a login that began before destroy_all is revoked", "epochs never go back"]),
    wrong("a login that is let in to the epoch it began in and to no later one", |store| {
        store.epoch = Box::new(|right, owner| Ok(Epoch::from_u64(right.store.epoch(owner)?.to_u64() / 2)));
    })
    .caught_by(&["a login that began after destroy_all is let in", "epochs never go back"]),
    wrong_commit("a login that stores first and looks at the epoch afterwards", |right, id, commit, lease| match right
        .commit(
        id, commit, lease,
    )? {
        Outcome::LoginRevoked => {
            let late = commit.clone().log_in(Login::new(login(commit).unwrap().owner));
            right.commit(id, &late, lease).map(|_| Outcome::LoginRevoked)
        }
        outcome => Ok(outcome),
    })
    .caught_by(&["a login that began before destroy_all is revoked"]),
    wrong_commit("a refused login that leaves its other changes behind", |right, id, commit, lease| {
        match right.commit(id, commit, lease)? {
            refused @ (Outcome::LoginRevoked | Outcome::AtLimit) if !is_create(commit) => {
                right.merge(id, commit.changes.clone(), lease).map(|_| refused)
            }
            outcome => Ok(outcome),
        }
    })
    .caught_by(&[
        "a login that began before destroy_all is revoked",
        "a login at the limit is refused if the newest is",
    ]),
    wrong("one epoch for all owners", |store| {
        let ended = Arc::new(AtomicU64::new(0));
        let (now, late) = (Arc::clone(&ended), Arc::clone(&ended));
        store.epoch = Box::new(move |_, _| Ok(Epoch::from_u64(now.load(Ordering::SeqCst))));
        store.everywhere = Box::new(move |right, owner, except| {
            ended.fetch_add(1, Ordering::SeqCst);
            right.store.destroy_all(owner, except)
        });
        store.commit = Box::new(move |right, id, commit, lease| match login(commit) {
            Some(Login { begun: Some(begun), .. }) if begun.to_u64() < late.load(Ordering::SeqCst) => {
                Ok(Outcome::LoginRevoked)
            }
            Some(login) => right.commit(id, &commit.clone().log_in(Login { begun: None, ..login }), lease),
            None => right.commit(id, commit, lease),
        });
    })
    .caught_by(&["a login that began before destroy_all is revoked"]),
    wrong("epochs that go 0, 1, 0", |store| {
        let is_odd = |epoch: Epoch| Epoch::from_u64(epoch.to_u64() % 2);
        store.epoch = Box::new(move |right, owner| right.store.epoch(owner).map(is_odd));
    })
    .caught_by(&["epochs never go back"]),
    wrong_everywhere("an epoch that a destroy_all without sessions does not end", |right, owner, except| {
        if right.store.list(owner)?.is_empty() { Ok(0) } else { right.store.destroy_all(owner, except) }
    })
    .caught_by(&["a login that began before destroy_all is revoked", "epochs never go back"]),
    wrong_commit("a login that begins with an empty session", |right, id, commit, lease| {
        if login(commit).is_none() {
            return right.commit(id, commit, lease);
        }
        let mut changes = Changes::new();
        changes.clear();
        right.commit(id, &commit.clone().with(changes), lease)
    })
    .caught_by(&["a login keeps what an anonymous session holds"]),
    wrong_commit("a login over another owner that keeps that owner's data", |right, id, commit, lease| {
        let stored = right.stored(id)?.unwrap_or_default();
        let is_over = login(commit).is_some_and(|login| stored.owner() != Some(login.owner.as_str()));
        let changes = if is_over { Changes::from(&stored) } else { commit.changes.clone() };
        right.commit(id, &commit.clone().with(changes), lease)
    })
    .caught_by(&["a login over another owner leaves nothing of that owner"]),
    wrong_commit("a login that another login of the same owner leaves as it was", |right, id, commit, lease| {
        let stored = right.stored(id)?.unwrap_or_default();
        match (login(commit), base(commit)) {
            (Some(login), Some(base)) if stored.owner() == Some(login.owner.as_str()) => {
                let new = id.renewed(&SessionId::random()?);
                let again = Commit::merge(base)?.with_identity(Identity::Replace(new));
                right.commit(id, &again.with(commit.changes.clone()), lease)
            }
            _ => right.commit(id, commit, lease),
        }
    })
    .caught_by(&["a login notes its time", "a session that logs in again counts once"]),
    wrong("a store that knows no limit of logins", |store| {
        other_login(store, |_, _, login| Login { limit: None, ..login });
    })
    .caught_by(&[
        "a login at the limit ends the session that was logged in first",
        "a login at the limit is refused if the newest is",
        "logins at once never exceed the limit",
    ]),
    wrong("a limit that counts a session that logs in again twice", |store| {
        other_login(store, |right, commit, login| {
            let again = right
                .store
                .list(&login.owner)
                .unwrap()
                .iter()
                .any(|one| base(commit).is_some_and(|base| one.stored.record.version() == base));
            let lower = |limit: Limit| Limit { max: limit.max.saturating_sub(usize::from(again)), ..limit };
            Login { limit: login.limit.map(lower), ..login }
        });
    })
    .caught_by(&["a session that logs in again counts once"]),
    wrong("a limit that always ends the oldest", |store| {
        other_login(store, |_, _, login| Login {
            limit: login.limit.map(|limit| Limit { at_limit: AtLimit::EndOldest, ..limit }),
            ..login
        });
    })
    .caught_by(&["a login at the limit is refused if the newest is"]),
    wrong_commit("a limit that ends the session that was logged in last", |right, id, commit, lease| {
        let Some(limit) = login(commit).and_then(|login| login.limit) else {
            return right.commit(id, commit, lease);
        };
        let login = login(commit).unwrap();
        let mut sessions = right.store.list(&login.owner)?;
        sessions.sort_by_key(|one| std::cmp::Reverse(one.stored.record.owner_since()));
        let surplus = (sessions.len() + 1).saturating_sub(limit.max);
        for one in sessions.iter().filter(|one| one.handle != id.handle()).take(surplus) {
            let _ = right.named(one.handle, None, EndReason::Limit)?;
        }
        right.commit(id, &commit.clone().log_in(Login { limit: None, ..login }), lease)
    })
    .caught_by(&["a login at the limit ends the session that was logged in first"]),
    wrong("a limit that does not say why it ended a session", |store| {
        store.why = Box::new(|right, id| Ok(right.store.end_reason(id)?.filter(|why| *why != EndReason::Limit)));
    })
    .caught_by(&["a login at the limit ends the session that was logged in first"]),
];
