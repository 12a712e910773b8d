//! Stores whose rotate is wrong.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lembro::{LembroStore, Outcome, Record, SessionId, Store};

use super::Wrong;
use super::wrap::{Wrap, current, replace};

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        name: "a rotate that keeps the old secret",
        spoil: |store| {
            store.rotate =
                Box::new(|right, id, new, grace| right.rotate(id, new, grace.max(Duration::from_secs(3600))));
        },
        caught_by: &[
            "the old id is dead for every method",
            "the old id is dead for every method after its grace",
            "a rotation without grace ends an earlier grace",
        ],
    },
    Wrong {
        name: "a rotate that does nothing",
        spoil: |store| store.rotate = Box::new(|_, id, new, _| new.check_renews(id).map(|()| Outcome::Done)),
        caught_by: &[
            "rotate gives the session a new id and changes nothing else",
            "rotate never creates",
            "rotate takes the secret of the session",
            "of rotations at once exactly one is done",
        ],
    },
    Wrong {
        name: "a rotate that makes another session",
        spoil: |store| {
            store.rotate = Box::new(|right, id, new, _| {
                new.check_renews(id)?;
                let Some(stored) = right.get(id)? else { return Ok(Outcome::Gone) };
                let _ = right.destroy(id)?;
                right.create(new, stored.record.admit_anew(right.clock().wall())?, stored.ttl)
            });
        },
        caught_by: &["rotate gives the session a new id and changes nothing else"],
    },
    Wrong {
        name: "a rotate that starts the time anew",
        spoil: |store| {
            store.rotate = Box::new(|right, id, new, grace| {
                let outcome = right.rotate(id, new, grace)?;
                let _ = right.touch(new, Duration::from_secs(3600))?;
                Ok(outcome)
            });
        },
        caught_by: &["rotate gives the session a new id and changes nothing else"],
    },
    Wrong {
        name: "a get that does not tell an id in its grace",
        spoil: |store| {
            store.get = Box::new(|right, id| Ok(right.get(id)?.map(|stored| stored.in_grace(false))));
        },
        caught_by: &["an id in its grace is told from the current one"],
    },
    Wrong {
        name: "a get that takes every id for one in its grace",
        spoil: |store| {
            store.get = Box::new(|right, id| Ok(right.get(id)?.map(|stored| stored.in_grace(true))));
        },
        caught_by: &["an id in its grace is told from the current one"],
    },
    Wrong {
        name: "a rotate that moves to another handle",
        spoil: |store| {
            store.rotate = Box::new(|right, id, new, grace| {
                let Some(stored) = right.get(id)?.filter(|_| id.handle() != new.handle()) else {
                    return right.rotate(id, new, grace);
                };
                let _ = right.destroy(id)?;
                right.create(new, stored.record, stored.ttl)
            });
        },
        caught_by: &["rotate refuses an id with another handle"],
    },
    Wrong {
        name: "a rotate that asks for no secret",
        spoil: |store| {
            store.rotate =
                Box::new(|right, id, new, grace| right.rotate(&current(right, id.handle()).unwrap_or(*id), new, grace));
        },
        caught_by: &["rotate takes the secret of the session", "an id in its grace does not rotate"],
    },
    Wrong {
        name: "a rotate that creates",
        spoil: |store| {
            store.rotate = Box::new(|right, id, new, grace| match right.rotate(id, new, grace)? {
                Outcome::Gone => right.create(new, Record::new(), Duration::from_secs(60)).map(|_| Outcome::Gone),
                outcome => Ok(outcome),
            });
        },
        caught_by: &["rotate never creates", "a session is gone for every method once its time is over"],
    },
    Wrong {
        name: "a rotate that knows no grace",
        spoil: |store| store.rotate = Box::new(|right, id, new, _| right.rotate(id, new, Duration::ZERO)),
        caught_by: &[
            "an id in its grace gets saves and touches",
            "an id in its grace destroys",
            "the grace is over at the instant it ends",
        ],
    },
    Wrong {
        name: "a grace in which one can only look",
        spoil: |store| {
            store.touch = Box::new(|right, id, ttl| match current(right, id.handle()) {
                Some(current) if current == *id => right.touch(id, ttl),
                _ => Ok(Outcome::Gone),
            });
        },
        caught_by: &["an id in its grace gets saves and touches"],
    },
    Wrong {
        name: "a grace that ends after its last instant",
        spoil: |store| {
            let late = |grace: Duration| if grace.is_zero() { grace } else { grace + Duration::from_nanos(1) };
            store.rotate = Box::new(move |right, id, new, grace| right.rotate(id, new, late(grace)));
        },
        caught_by: &["the grace is over at the instant it ends"],
    },
    Wrong {
        name: "a grace that lets the old id rotate",
        spoil: |store| {
            store.rotate = Box::new(|right, id, new, grace| match (right.get(id)?, current(right, id.handle())) {
                (Some(_), Some(current)) => right.rotate(&current, new, grace),
                _ => right.rotate(id, new, grace),
            });
        },
        caught_by: &["an id in its grace does not rotate"],
    },
    Wrong {
        name: "graces kept in a list of their own, which nothing ever ends",
        spoil: graces_aside,
        caught_by: &[
            "an id two rotations old is dead",
            "a rotation without grace ends an earlier grace",
            "a grace ends with the session",
        ],
    },
    Wrong {
        name: "a save with an old id that makes it the session's id again",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let outcome = right.save(id, changes, ttl, expected)?;
                match (right.get(id)?, current(right, id.handle())) {
                    (Some(stored), Some(current)) if current != *id => {
                        let _ = right.destroy(&current)?;
                        replace(right, id, stored.record, stored.ttl)
                    }
                    _ => Ok(outcome),
                }
            });
        },
        caught_by: &["an id in its grace gets saves and touches"],
    },
];

fn graces_aside(store: &mut Wrap) {
    let old: Arc<Mutex<Vec<SessionId>>> = Arc::default();
    let resolve = {
        let old = Arc::clone(&old);
        move |right: &LembroStore, id: &SessionId| match current(right, id.handle()) {
            Some(current) if old.lock().unwrap().contains(id) => current,
            _ => *id,
        }
    };
    store.rotate = Box::new(move |right, id, new, grace| {
        let outcome = right.rotate(id, new, Duration::ZERO)?;
        if outcome.is_done() && !grace.is_zero() {
            old.lock().unwrap().push(*id);
        }
        Ok(outcome)
    });
    store.get = Box::new(move |right, id| right.get(&resolve(right, id)));
}
