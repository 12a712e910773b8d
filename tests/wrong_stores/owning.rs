//! Stores whose powers over owners are wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use lembro::{Changes, EndReason, Epoch, LembroStore, Listed, Outcome, Owners, Store};

use super::Wrong;
use super::wrap::{Memory, current, headless, only, replace};

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        name: "a list of sessions that looks at the beginning of the name",
        spoil: |store| {
            store.sessions_of = Box::new(|right, owner| {
                let is_theirs = |listed: &Listed| listed.stored.record.owner().is_some_and(|o| o.starts_with(owner));
                Ok(listed(right).into_iter().filter(is_theirs).collect())
            });
        },
        caught_by: &["sessions of lists the live sessions of an owner and no others"],
    },
    Wrong {
        name: "a count of all sessions",
        spoil: |store| store.count_of = Box::new(|right, _| right.len()),
        caught_by: &["sessions of lists the live sessions of an owner and no others"],
    },
    Wrong {
        name: "a list of sessions with whole ids",
        spoil: |store| {
            store.sessions_of = Box::new(|right, owner| {
                let whole = right.all()?.map(Result::unwrap);
                Ok(whole.filter(|listed| listed.stored.record.owner() == Some(owner)).collect())
            });
        },
        caught_by: &["the sessions of an owner are listed without an id that opens them"],
    },
    Wrong {
        name: "an index that a session is entered in once and never leaves",
        spoil: |store| {
            let entered = Memory::<String>::default();
            let asked = Memory::clone(&entered);
            store.save = Box::new(move |right, id, changes, ttl, expected| {
                let outcome = right.save(id, changes, ttl, expected)?;
                if let (true, Some(owner)) = (outcome.is_done(), changes.owner().flatten()) {
                    entered.lock().unwrap().entry(id.handle()).or_insert(owner.to_owned());
                }
                Ok(outcome)
            });
            store.sessions_of = Box::new(move |right, owner| {
                let asked = asked.lock().unwrap();
                let is_theirs = |listed: &Listed| asked.get(&listed.handle).is_some_and(|entered| entered == owner);
                Ok(listed(right).into_iter().filter(is_theirs).collect())
            });
        },
        caught_by: &["an owner comes changes and goes with saves"],
    },
    Wrong {
        name: "an index that only a save enters sessions in",
        spoil: |store| {
            let saved = Memory::<()>::default();
            let asked = Memory::clone(&saved);
            store.save = Box::new(move |right, id, changes, ttl, expected| {
                saved.lock().unwrap().insert(id.handle(), ());
                right.save(id, changes, ttl, expected)
            });
            store.sessions_of = Box::new(move |right, owner| {
                let asked = asked.lock().unwrap();
                let listed = right.sessions_of(owner)?.into_iter();
                Ok(listed.filter(|listed| asked.contains_key(&listed.handle)).collect())
            });
        },
        caught_by: &["an owner comes changes and goes with saves"],
    },
    Wrong {
        name: "a save that forgets the owner unless it is told",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let mut all = changes.clone();
                if changes.owner().is_none() {
                    all.set_owner(None)?;
                }
                right.save(id, &all, ttl, expected)
            });
        },
        caught_by: &["a session stays its owners whatever else happens to it"],
    },
    Wrong {
        name: "a clear that clears the owner",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let mut all = changes.clone();
                if changes.clears_everything() {
                    all.set_owner(None)?;
                }
                right.save(id, &all, ttl, expected)
            });
        },
        caught_by: &["a session stays its owners whatever else happens to it"],
    },
    Wrong {
        name: "an index by secret, which a new id falls out of",
        spoil: |store| {
            let rotated = Memory::<()>::default();
            let asked = Memory::clone(&rotated);
            store.rotate = Box::new(move |right, id, new, grace| {
                rotated.lock().unwrap().insert(id.handle(), ());
                right.rotate(id, new, grace)
            });
            store.sessions_of = Box::new(move |right, owner| {
                let asked = asked.lock().unwrap();
                let listed = right.sessions_of(owner)?.into_iter();
                Ok(listed.filter(|listed| !asked.contains_key(&listed.handle)).collect())
            });
        },
        caught_by: &["a session stays its owners whatever else happens to it"],
    },
    Wrong {
        name: "a list that keeps what is expired",
        spoil: |store| {
            // As if the index knew a session's end from its login alone.
            let ever = Arc::new(Mutex::new(Vec::<Listed>::new()));
            store.sessions_of = Box::new(move |right, owner| {
                let mut ever = ever.lock().unwrap();
                for session in right.sessions_of(owner)? {
                    ever.retain(|known| known.handle != session.handle);
                    ever.push(session);
                }
                Ok(ever.iter().filter(|session| session.stored.record.owner() == Some(owner)).cloned().collect())
            });
        },
        caught_by: &["sessions that ended are nobodys"],
    },
    Wrong {
        name: "a destroy_of that ends one session",
        spoil: |store| {
            store.destroy_of = Box::new(|right, owner, _| match right.sessions_of(owner)?.first() {
                Some(listed) => right.destroy_handle(listed.handle, EndReason::Everywhere).map(|_| 1),
                None => Ok(0),
            });
        },
        caught_by: &["destroy of ends all sessions of an owner and no others"],
    },
    Wrong {
        name: "a destroy_of that ends everybody's sessions",
        spoil: |store| {
            store.destroy_of = Box::new(|right, owner, except| {
                let sessions = right.destroy_of(owner, except)?;
                right.clear()?;
                Ok(sessions)
            });
        },
        caught_by: &["destroy of ends all sessions of an owner and no others"],
    },
    Wrong {
        name: "a destroy_of that counts whatever it finds in its index",
        spoil: |store| store.destroy_of = Box::new(|right, owner, kept| Ok(right.destroy_of(owner, kept)? + 1)),
        caught_by: &[
            "destroy of ends all sessions of an owner and no others",
            "sessions that ended are nobodys",
            "destroy of spares the session that the excepted id opens",
        ],
    },
    Wrong {
        name: "a destroy_of that hides sessions and still saves them",
        spoil: |store| {
            // The epoch is looked at when a session is found, and not when it is saved.
            let ended = Memory::<()>::default();
            let (hidden, listed) = (Memory::clone(&ended), Memory::clone(&ended));
            store.destroy_of = Box::new(move |right, owner, _| {
                let sessions = right.sessions_of(owner)?;
                let fresh = sessions.iter().filter(|one| ended.lock().unwrap().insert(one.handle, ()).is_none());
                Ok(fresh.count())
            });
            store.get = Box::new(move |right, id| {
                Ok(right.get(id)?.filter(|_| !hidden.lock().unwrap().contains_key(&id.handle())))
            });
            store.sessions_of = Box::new(move |right, owner| {
                let sessions = right.sessions_of(owner)?.into_iter();
                Ok(sessions.filter(|one| !listed.lock().unwrap().contains_key(&one.handle)).collect())
            });
        },
        caught_by: &["destroy of ends all sessions of an owner and no others"],
    },
    Wrong {
        name: "a destroy_of that spares nobody",
        spoil: |store| store.destroy_of = Box::new(|right, owner, _| right.destroy_of(owner, None)),
        caught_by: &[
            "destroy of spares the session that the excepted id opens",
            "an id in its grace is spared with its session and ends with it",
        ],
    },
    Wrong {
        name: "a destroy_of that spares a handle, whatever the secret",
        spoil: |store| {
            store.destroy_of = Box::new(|right, owner, except| {
                right.destroy_of(owner, except.and_then(|id| current(right, id.handle())).as_ref())
            });
        },
        caught_by: &["destroy of spares the session that the excepted id opens"],
    },
    Wrong {
        name: "a destroy_of that spares the session by its current id alone",
        spoil: |store| {
            store.destroy_of = Box::new(|right, owner, except| {
                let is_current = |id: &&_| current(right, lembro::SessionId::handle(id)).as_ref() == Some(*id);
                right.destroy_of(owner, except.filter(is_current))
            });
        },
        caught_by: &["an id in its grace is spared with its session and ends with it"],
    },
    Wrong {
        name: "a destroy_of that writes the spared session anew",
        spoil: |store| {
            store.destroy_of = Box::new(|right, owner, except| {
                let sessions = right.destroy_of(owner, except)?;
                if let Some((id, stored)) = except.and_then(|id| Some((id, right.get(id).unwrap()?))) {
                    right.set(id, stored.record, stored.ttl)?;
                }
                Ok(sessions)
            });
        },
        caught_by: &["destroy of spares the session that the excepted id opens"],
    },
    Wrong {
        name: "a save that knows no epoch",
        spoil: |store| {
            store.save =
                Box::new(|right, id, changes, ttl, expected| right.save(id, &timeless(changes), ttl, expected));
        },
        caught_by: &["a login that began before destroy of is not let in"],
    },
    Wrong {
        name: "a create_owned that knows no epoch",
        spoil: |store| store.create_owned = Box::new(|right, id, record, ttl, _| right.create(id, record, ttl)),
        caught_by: &["a new session begins with a login that still counts or not at all"],
    },
    Wrong {
        name: "a create_owned that stores first and looks afterwards",
        spoil: |store| {
            store.create_owned = Box::new(|right, id, record, ttl, begun| {
                let owner = record.owner().unwrap_or_default().to_owned();
                let outcome = right.create(id, record, ttl)?;
                Ok(if right.epoch(&owner)? == begun { outcome } else { Outcome::Gone })
            });
        },
        caught_by: &["a new session begins with a login that still counts or not at all"],
    },
    Wrong {
        name: "a create_owned that overwrites",
        spoil: |store| {
            store.create_owned =
                Box::new(|right, id, record, ttl, begun| match right.create_owned(id, record.clone(), ttl, begun)? {
                    Outcome::Conflict => right.set(id, record, ttl).map(|()| Outcome::Done),
                    outcome => Ok(outcome),
                });
        },
        caught_by: &["a new session begins with a login that still counts or not at all"],
    },
    Wrong {
        name: "a create_owned that lives too short",
        spoil: |store| {
            store.create_owned =
                Box::new(|right, id, record, ttl, begun| right.create_owned(id, record, ttl / 2, begun));
        },
        caught_by: &["a new session begins with a login that still counts or not at all"],
    },
    Wrong {
        name: "a refused login that leaves its other changes behind",
        spoil: |store| {
            store.save =
                Box::new(|right, id, changes, ttl, expected| match right.save(id, changes, ttl, expected)? {
                    Outcome::Gone if changes.login().is_some() => {
                        right.save(id, &headless(changes), ttl, expected).map(|_| Outcome::Gone)
                    }
                    outcome => Ok(outcome),
                });
        },
        caught_by: &["a login that began before destroy of is not let in"],
    },
    Wrong {
        name: "one epoch for everybody",
        spoil: |store| {
            let ended = Arc::new(AtomicU64::new(0));
            let (now, late) = (Arc::clone(&ended), Arc::clone(&ended));
            store.epoch = Box::new(move |_, _| Ok(Epoch::from_u64(now.load(Ordering::SeqCst))));
            store.destroy_of = Box::new(move |right, owner, except| {
                ended.fetch_add(1, Ordering::SeqCst);
                right.destroy_of(owner, except)
            });
            store.save = Box::new(move |right, id, changes, ttl, expected| match changes.login() {
                Some((_, begun)) if begun.to_u64() < late.load(Ordering::SeqCst) => Ok(Outcome::Gone),
                _ => right.save(id, &timeless(changes), ttl, expected),
            });
        },
        caught_by: &["a login that began before destroy of is not let in"],
    },
    Wrong {
        name: "an epoch that never ends",
        spoil: |store| store.epoch = Box::new(|_, _| Ok(Epoch::default())),
        caught_by: &["a login that began after destroy of is let in"],
    },
    Wrong {
        name: "a destroy_handle that does nothing",
        spoil: |store| store.destroy_handle = Box::new(|_, _, _| Ok(Outcome::Done)),
        caught_by: &["destroy handle ends one session"],
    },
    Wrong {
        name: "a destroy_handle that ends all sessions of the owner",
        spoil: |store| {
            store.destroy_handle = Box::new(|right, handle, reason| {
                let id = current(right, handle);
                let owner = id.and_then(|id| right.get(&id).unwrap()?.record.owner().map(str::to_owned));
                let outcome = right.destroy_handle(handle, reason)?;
                if let Some(owner) = owner {
                    right.destroy_of(&owner, None)?;
                }
                Ok(outcome)
            });
        },
        caught_by: &["destroy handle ends one session"],
    },
    Wrong {
        name: "a destroy_handle for owned sessions only",
        spoil: |store| {
            store.destroy_handle = Box::new(|right, handle, reason| {
                let owned =
                    current(right, handle).is_some_and(|id| right.get(&id).unwrap().unwrap().record.owner().is_some());
                if owned { right.destroy_handle(handle, reason) } else { Ok(Outcome::Gone) }
            });
        },
        caught_by: &["destroy handle ends one session"],
    },
    Wrong {
        name: "a store that tells everybody why a session ended",
        spoil: |store| {
            let ended = Memory::<EndReason>::default();
            let asked = Memory::clone(&ended);
            store.destroy_handle = Box::new(move |right, handle, reason| {
                ended.lock().unwrap().insert(handle, reason);
                right.destroy_handle(handle, reason)
            });
            store.why_ended = Box::new(move |right, id| match asked.lock().unwrap().get(&id.handle()) {
                Some(reason) => Ok(Some(*reason)),
                None => right.why_ended(id),
            });
        },
        caught_by: &["why a session ended is told to its id and to no other"],
    },
    Wrong {
        name: "a store that knows one reason",
        spoil: |store| {
            store.destroy_handle = Box::new(|right, handle, _| right.destroy_handle(handle, EndReason::Everywhere));
        },
        caught_by: &["why a session ended is told to its id and to no other"],
    },
    Wrong {
        name: "a store that says why a live session ended",
        spoil: |store| {
            store.why_ended = Box::new(|right, id| Ok(right.why_ended(id)?.or(Some(EndReason::Named))));
        },
        caught_by: &["why a session ended is told to its id and to no other"],
    },
    Wrong {
        name: "a save that looks at the epoch and writes a little later",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                if changes.login().is_some_and(|(owner, begun)| right.epoch(owner).unwrap() != begun) {
                    return Ok(Outcome::Gone);
                }
                sleep(Duration::from_micros(200));
                right.save(id, &timeless(changes), ttl, expected)
            });
        },
        caught_by: &["of logins beside destroy of none is left over"],
    },
    Wrong {
        name: "a destroy_of that ends the epoch after the sessions",
        spoil: |store| {
            store.destroy_of = Box::new(|right, owner, except| {
                let mut sessions = 0;
                for session in
                    right.sessions_of(owner)?.iter().filter(|one| except.is_none_or(|id| id.handle() != one.handle))
                {
                    sessions += usize::from(right.destroy_handle(session.handle, EndReason::Everywhere)?.is_done());
                }
                sleep(Duration::from_micros(200));
                // Who came in between is in, and stays.
                let between = right.sessions_of(owner)?;
                let records: Vec<_> = between.iter().filter_map(|one| current(right, one.handle)).collect();
                let kept: Vec<_> = records.iter().filter_map(|id| Some((*id, right.get(id).unwrap()?))).collect();
                right.destroy_of(owner, except)?;
                for (id, stored) in kept {
                    let _ = replace(right, &id, stored.record, stored.ttl)?;
                }
                Ok(sessions)
            });
        },
        caught_by: &["of logins beside destroy of none is left over"],
    },
];

/// The same changes, for whatever epoch.
fn timeless(changes: &Changes) -> Changes {
    only(changes, |_, _| true)
}

/// All sessions, without their ids.
fn listed(right: &LembroStore) -> Vec<Listed> {
    right.all().unwrap().map(Result::unwrap).map(|listed| Listed::new(listed.handle, listed.stored)).collect()
}
