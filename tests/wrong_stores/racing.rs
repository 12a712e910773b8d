//! Stores that are right as long as nobody else is there: they look, and then act.

use std::thread::sleep;
use std::time::Duration;

use lembro::{Fit, Outcome, Store};

use super::Wrong;
use super::wrap::{current, replace};

/// Between the look and the act: long enough that somebody comes in between every time.
fn meanwhile() {
    sleep(Duration::from_millis(1));
}

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        name: "a save that reads, merges and writes back",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let Some(stored) = right.get(id)? else { return Ok(Outcome::Gone) };
                match expected.fits(&stored.record) {
                    Fit::Another => return Ok(Outcome::Gone),
                    Fit::Changed => return Ok(Outcome::Conflict),
                    Fit::Yes => {}
                }
                let next = changes.apply(&stored.record)?;
                meanwhile();
                // Somebody else may be at the same: then both have done it.
                replace(right, id, next, ttl).map(|_| Outcome::Done)
            });
        },
        caught_by: &[
            "saves of different keys at once all survive",
            "saves exactly at once add up",
            "no acknowledged save is lost beside rotations",
            "no save or touch under way brings a destroyed session back",
            "no save or touch under way brings back a session that was touched to its end",
        ],
    },
    Wrong {
        name: "a touch that reads and writes back",
        spoil: |store| {
            store.touch = Box::new(|right, id, ttl| {
                let Some(stored) = right.get(id)? else { return Ok(Outcome::Gone) };
                meanwhile();
                right.set(id, stored.record, ttl).map(|()| Outcome::Done)
            });
        },
        caught_by: &["no save or touch under way brings a destroyed session back"],
    },
    Wrong {
        name: "a create that looks whether the handle is free",
        spoil: |store| {
            store.create = Box::new(|right, id, record, ttl| {
                if current(right, id.handle()).is_some() {
                    return Ok(Outcome::Conflict);
                }
                meanwhile();
                replace(right, id, record, ttl).map(|_| Outcome::Done)
            });
        },
        caught_by: &["of creates at once exactly one is done"],
    },
    Wrong {
        name: "a rotate that reads, destroys and creates",
        spoil: |store| {
            store.rotate = Box::new(|right, id, new, _| {
                let Some(stored) = right.get(id)? else { return Ok(Outcome::Gone) };
                meanwhile();
                let _ = right.destroy(id)?;
                right.create(new, stored.record, stored.ttl).map(|_| Outcome::Done)
            });
        },
        caught_by: &["no acknowledged save is lost beside rotations", "of rotations at once exactly one is done"],
    },
    Wrong {
        name: "a destroy that looks whether there is something to destroy",
        spoil: |store| {
            store.destroy = Box::new(|right, id| {
                if right.get(id)?.is_none() {
                    return Ok(Outcome::Gone);
                }
                meanwhile();
                right.destroy(id).map(|_| Outcome::Done)
            });
        },
        caught_by: &["of destroys at once exactly one is done"],
    },
];
