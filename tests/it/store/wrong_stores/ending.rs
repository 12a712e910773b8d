//! Stores with a wrong end of sessions, or wrong methods on all sessions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lembro::{EndReason, Listed, Outcome, SessionId, Store as _, Stored};

use super::wrap::{Memory, is_create};
use super::{Wrong, wrong, wrong_end};

pub(crate) const WRONG: &[Wrong] = &[
    wrong_end("a destroy that does nothing", |right, id| right.touch(id, &lembro::Lease::UNLIMITED)).caught_by(&[
        "a destroyed session is gone for every method",
        "destroy frees the handle",
        "an id in its grace destroys",
        "a renewal ends with its session",
        "a superseded id ends with its session",
        "of destroys at once exactly one is done",
    ]),
    wrong("a destroy that takes two calls", |store| {
        let calls: Memory<()> = Memory::default();
        store.end = Box::new(move |right, id| match calls.lock().unwrap().insert(id.handle(), ()) {
            None => right.touch(id, &lembro::Lease::UNLIMITED),
            Some(()) => right.end(id),
        });
    })
    .caught_by(&["a destroyed session is gone for every method", "destroy ends one session and no other"]),
    wrong_end("a destroy that ends another session too", |right, id| {
        let done = right.end(id)?;
        if let Some(other) = right.all()?.first().and_then(|other| right.opens(other.handle)) {
            let _ = right.end(&other)?;
        }
        Ok(done)
    })
    .caught_by(&["destroy ends one session and no other"]),
    wrong_end("a destroy that is always done", |right, id| {
        let _ = right.end(id)?;
        right.store.commit(&SessionId::random()?, &lembro::Commit::create()?, &lembro::Lease::new(Duration::ZERO))
    })
    .caught_by(&["an unknown id is a value and not an error", "a destroyed session is gone for every method"]),
    wrong("an all that lists what is expired", |store| {
        let created: Memory<Stored> = Memory::default();
        let listed = Memory::clone(&created);
        store.commit = Box::new(move |right, id, commit, lease| {
            let outcome = right.commit(id, commit, lease)?;
            created.lock().unwrap().extend(right.store.get(id)?.map(|stored| (id.handle(), stored)));
            Ok(outcome)
        });
        store.all = Box::new(move |_| {
            let every = listed.lock().unwrap().clone();
            Ok(every.into_iter().map(|(handle, stored)| Listed::new(handle, stored)).collect())
        });
    })
    .caught_by(&[
        "expired sessions are neither counted nor listed",
        "all lists and len counts every live session once",
    ]),
    wrong("a len that counts every create", |store| {
        let created = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&created);
        store.commit = Box::new(move |right, id, commit, lease| {
            created.fetch_add(usize::from(is_create(commit)), Ordering::Relaxed);
            right.commit(id, commit, lease)
        });
        store.len = Box::new(move |_| Ok(counted.load(Ordering::Relaxed)));
    })
    .caught_by(&[
        "all lists and len counts every live session once",
        "expired sessions are neither counted nor listed",
        "sessions that their owner ended are neither counted nor listed",
    ]),
    wrong("an all that lists sessions that their owner ended", |store| {
        let ended: Arc<Mutex<Vec<Listed>>> = Arc::default();
        let (listed, named) = (Arc::clone(&ended), Arc::clone(&ended));
        store.everywhere = Box::new(move |right, owner, except| {
            ended.lock().unwrap().extend(right.store.owners().unwrap().list(owner)?);
            right.store.owners().unwrap().destroy_all(owner, except)
        });
        store.named = Box::new(move |right, handle, owner, reason| {
            named.lock().unwrap().extend(right.all()?.into_iter().filter(|one| one.handle == handle));
            right.named(handle, owner, reason)
        });
        store.all = Box::new(move |right| Ok([right.all()?, listed.lock().unwrap().clone()].concat()));
    })
    .caught_by(&["sessions that their owner ended are neither counted nor listed"]),
    wrong("a len that counts sessions that their owner ended", |store| {
        let ended = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ended);
        store.everywhere = Box::new(move |right, owner, except| {
            let sessions = right.store.owners().unwrap().destroy_all(owner, except)?;
            ended.fetch_add(sessions, Ordering::Relaxed);
            Ok(sessions)
        });
        store.len = Box::new(move |right| Ok(right.store.len()? + counted.load(Ordering::Relaxed)));
    })
    .caught_by(&["sessions that their owner ended are neither counted nor listed"]),
    wrong("an all that lists one session twice", |store| {
        store.all = Box::new(|right| Ok([right.all()?, right.all()?.into_iter().take(1).collect()].concat()));
    })
    .caught_by(&["all lists and len counts every live session once"]),
    wrong("an all that leaves one session out", |store| {
        store.all = Box::new(|right| Ok(right.all()?.into_iter().skip(1).collect()));
    })
    .caught_by(&["all lists and len counts every live session once"]),
    wrong("an all that is cut at 50", |store| {
        store.all = Box::new(|right| Ok(right.all()?.into_iter().take(50).collect()));
    })
    .caught_by(&["all lists and len counts every live session once"]),
    wrong("an all that gives out ids from before a login", |store| {
        let first: Memory<SessionId> = Memory::default();
        let listed = Memory::clone(&first);
        store.commit = Box::new(move |right, id, commit, lease| {
            first.lock().unwrap().entry(id.handle()).or_insert(*id);
            right.commit(id, commit, lease)
        });
        store.all = Box::new(move |right| {
            let first = listed.lock().unwrap().clone();
            let whole = |one: Listed| Listed::with_id(first[&one.handle], one.stored);
            Ok(right.all()?.into_iter().map(whole).collect())
        });
    })
    .caught_by(&["lists give out the ids that open the sessions, or none, and those of owners none"]),
    wrong("a clear that forgets one", |store| {
        store.clear = Box::new(|right| {
            for one in right.all()?.iter().skip(1) {
                let _ = right.named(one.handle, None, EndReason::Revoked)?;
            }
            Ok(())
        });
    })
    .caught_by(&["clear destroys every session"]),
    wrong("a clear that does nothing", |store| store.clear = Box::new(|_| Ok(())))
        .caught_by(&["clear destroys every session"]),
    wrong_end("a destroy that answers with another version", |right, id| match right.end(id)? {
        Outcome::Done(mut receipt) => {
            receipt.version = lembro::Version::default();
            Ok(Outcome::Done(receipt))
        }
        outcome => Ok(outcome),
    })
    .caught_by(&["destroy ends one session and no other"]),
];
