//! Stores that get time wrong, or the end of a session.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lembro::{Changes, Clock, Error, Expected, Handle, Listed, Outcome, Record, SessionId, Store, Stored};

use super::Wrong;
use super::wrap::{Memory, current};

/// The least there is.
const TICK: Duration = Duration::from_nanos(1);

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        name: "a store that expires sessions after their deadline, not at it",
        spoil: |store| {
            store.create = Box::new(|right, id, record, ttl| right.create(id, record, ttl.saturating_add(TICK)));
            store.get = Box::new(|right, id| {
                Ok(right.get(id)?.map(|stored| Stored::new(stored.record, stored.ttl.saturating_sub(TICK))))
            });
        },
        caught_by: &["a session is gone for every method at the instant of its deadline"],
    },
    Wrong {
        name: "a store that keeps seconds and rounds them down",
        spoil: |store| {
            let early = Duration::from_secs(1);
            store.create = Box::new(move |right, id, record, ttl| right.create(id, record, ttl.saturating_sub(early)));
        },
        caught_by: &["a session lives until the last moment", "the time left runs down"],
    },
    Wrong {
        name: "a store that never expires anything",
        spoil: |store| {
            store.create = Box::new(|right, id, record, ttl| right.create(id, record, ttl * 1000));
        },
        caught_by: &[
            "a session is gone for every method once its time is over",
            "create takes the handle of an expired session",
            "expired sessions are not counted",
            "expired sessions are not listed",
        ],
    },
    Wrong {
        name: "a store that goes by another clock than it says",
        spoil: |store| store.clock = Clock::system(),
        caught_by: &["the clock is the one the store goes by"],
    },
    Wrong {
        name: "a get that prolongs",
        spoil: |store| {
            store.get = Box::new(|right, id| {
                let stored = right.get(id)?;
                if let Some(stored) = &stored {
                    let _ = right.touch(id, stored.ttl + Duration::from_secs(60))?;
                }
                Ok(stored)
            });
        },
        caught_by: &["get does not prolong"],
    },
    Wrong {
        name: "a touch that never shortens",
        spoil: |store| {
            store.touch =
                Box::new(|right, id, ttl| right.touch(id, right.get(id)?.map_or(ttl, |stored| stored.ttl.max(ttl))));
        },
        caught_by: &["touch sets a shorter time", "touch for no time ends the session"],
    },
    Wrong {
        name: "a touch that never prolongs",
        spoil: |store| {
            store.touch =
                Box::new(|right, id, ttl| right.touch(id, right.get(id)?.map_or(ttl, |stored| stored.ttl.min(ttl))));
        },
        caught_by: &["touch sets a longer time"],
    },
    Wrong {
        name: "a touch that bumps the version",
        spoil: |store| {
            store.touch = Box::new(|right, id, ttl| match right.get(id)? {
                Some(seen) => right.save(id, &Changes::new(), ttl, Expected::Incarnation(seen.record.version())),
                None => Ok(Outcome::Gone),
            });
        },
        caught_by: &["touch leaves data and version alone", "save exactly is done if nothing changed"],
    },
    Wrong {
        name: "a touch that creates",
        spoil: |store| {
            store.touch = Box::new(|right, id, ttl| match right.touch(id, ttl)? {
                Outcome::Gone => right.create(id, Record::new(), ttl),
                done => Ok(done),
            });
        },
        caught_by: &[
            "touch never creates",
            "a destroyed session is gone for every method",
            "no save or touch under way brings a destroyed session back",
        ],
    },
    Wrong {
        name: "a touch that revives what is expired",
        spoil: |store| {
            let made: Memory<Record> = Memory::default();
            let (touched, destroyed) = (Memory::clone(&made), Memory::clone(&made));
            store.create = Box::new(move |right, id, record, ttl| {
                made.lock().unwrap().insert(id.handle(), record.clone());
                right.create(id, record, ttl)
            });
            store.destroy = Box::new(move |right, id| {
                destroyed.lock().unwrap().remove(&id.handle());
                right.destroy(id)
            });
            store.touch = Box::new(move |right, id, ttl| match right.touch(id, ttl)? {
                Outcome::Gone => match touched.lock().unwrap().get(&id.handle()) {
                    Some(expired) => right.create(id, expired.clone(), ttl),
                    None => Ok(Outcome::Gone),
                },
                done => Ok(done),
            });
        },
        caught_by: &["a session is gone for every method once its time is over"],
    },
    Wrong {
        name: "a save that keeps the time",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let ttl = right.get(id)?.map_or(ttl, |stored| stored.ttl);
                right.save(id, changes, ttl, expected)
            });
        },
        caught_by: &["save sets the time", "save for no time ends the session"],
    },
    Wrong {
        name: "a store for which no time is a little time",
        spoil: |store| {
            let little = Duration::from_secs(1);
            store.create = Box::new(move |right, id, record, ttl| right.create(id, record, ttl.max(little)));
            store.set = Box::new(move |right, id, record, ttl| right.set(id, record, ttl.max(little)));
            store.touch = Box::new(move |right, id, ttl| right.touch(id, ttl.max(little)));
            store.save =
                Box::new(move |right, id, changes, ttl, expected| right.save(id, changes, ttl.max(little), expected));
        },
        caught_by: &[
            "create for no time is done and leaves nothing",
            "set for no time leaves nothing",
            "touch for no time ends the session",
            "save for no time ends the session",
            "no save or touch under way brings back a session that was touched to its end",
        ],
    },
    Wrong {
        name: "a store whose time ends with the calendar",
        spoil: |store| {
            store.touch = Box::new(|right, id, ttl| match right.clock().wall().checked_add(ttl) {
                Some(_) => right.touch(id, ttl),
                None => Err(Error::store("no such date")),
            });
        },
        caught_by: &["a time beyond every clock never ends"],
    },
];

/// And those that get the end of a session wrong.
pub(crate) const ENDING: &[Wrong] = &[
    Wrong {
        name: "a destroy that does nothing",
        spoil: |store| store.destroy = Box::new(|_, _| Ok(Outcome::Done)),
        caught_by: &[
            "a destroyed session is gone for every method",
            "destroy frees the handle",
            "an id in its grace destroys",
            "of destroys at once exactly one is done",
        ],
    },
    Wrong {
        name: "a destroy that takes two calls",
        spoil: |store| {
            let calls: Memory<()> = Memory::default();
            store.destroy = Box::new(move |right, id| match calls.lock().unwrap().insert(id.handle(), ()) {
                None => Ok(Outcome::Done),
                Some(()) => right.destroy(id),
            });
        },
        caught_by: &["a destroyed session is gone for every method", "destroy ends one session and no other"],
    },
    Wrong {
        name: "a destroy that asks for no secret",
        spoil: |store| {
            store.destroy = Box::new(|right, id| right.destroy(&current(right, id.handle()).unwrap_or(*id)));
        },
        caught_by: &["the right handle with a wrong secret opens nothing", "the old id is dead for every method"],
    },
    Wrong {
        name: "a destroy that ends another session too",
        spoil: |store| {
            store.destroy = Box::new(|right, id| {
                let done = right.destroy(id)?;
                if let Some(other) = right.all()?.next() {
                    let _ = right.destroy(&other?.id.unwrap())?;
                }
                Ok(done)
            });
        },
        caught_by: &["destroy ends one session and no other"],
    },
    Wrong {
        name: "a destroy that is always done",
        spoil: |store| store.destroy = Box::new(|right, id| right.destroy(id).map(|_| Outcome::Done)),
        caught_by: &["an unknown id is a value and not an error", "a destroyed session is gone for every method"],
    },
    Wrong {
        name: "a len that counts every create",
        spoil: |store| {
            let created: Memory<()> = Memory::default();
            let counted = Memory::clone(&created);
            store.create = Box::new(move |right, id, record, ttl| {
                created.lock().unwrap().insert(id.handle(), ());
                right.create(id, record, ttl)
            });
            store.len = Box::new(move |_| Ok(counted.lock().unwrap().len()));
        },
        caught_by: &["len counts the live sessions", "expired sessions are not counted"],
    },
    Wrong {
        name: "an all that lists what is expired",
        spoil: |store| {
            let created: Memory<Record> = Memory::default();
            let listed = Memory::clone(&created);
            store.create = Box::new(move |right, id, record, ttl| {
                created.lock().unwrap().insert(id.handle(), record.clone());
                right.create(id, record, ttl)
            });
            store.all = Box::new(move |_| {
                let every = listed.lock().unwrap().clone();
                let stored = |record| Stored::new(record, Duration::ZERO);
                Ok(Box::new(every.into_iter().map(move |(handle, record)| Ok(Listed::new(handle, stored(record))))))
            });
        },
        caught_by: &["expired sessions are not listed", "all lists every live session once"],
    },
    Wrong {
        name: "an all that lists one session twice",
        spoil: |store| store.all = Box::new(|right| Ok(Box::new(right.all()?.chain(right.all()?.take(1))))),
        caught_by: &["all lists every live session once"],
    },
    Wrong {
        name: "an all that leaves one session out",
        spoil: |store| store.all = Box::new(|right| Ok(Box::new(right.all()?.skip(1)))),
        caught_by: &["all lists every live session once", "expired sessions are not listed"],
    },
    Wrong {
        name: "an all that gives out ids from before a rotation",
        spoil: |store| {
            let first: Memory<SessionId> = Memory::default();
            let listed = Memory::clone(&first);
            store.create = Box::new(move |right, id, record, ttl| {
                first.lock().unwrap().insert(id.handle(), *id);
                right.create(id, record, ttl)
            });
            store.all = Box::new(move |right| {
                let first = listed.lock().unwrap().clone();
                let first = move |handle: Handle| first[&handle];
                Ok(Box::new(right.all()?.map(move |one| one.map(|one| Listed::with_id(first(one.handle), one.stored)))))
            });
        },
        caught_by: &["all lists every live session once"],
    },
    Wrong {
        name: "a clear that forgets one",
        spoil: |store| {
            let calls = AtomicUsize::new(0);
            store.clear = Box::new(move |right| {
                let skipped = calls.fetch_add(1, Ordering::Relaxed) + 7;
                let ids: Vec<SessionId> = right.all()?.map(|one| one.unwrap().id.unwrap()).collect();
                for (_, id) in ids.iter().enumerate().filter(|(n, _)| *n != skipped) {
                    let _ = right.destroy(id)?;
                }
                Ok(())
            });
        },
        caught_by: &["clear destroys every session"],
    },
];
