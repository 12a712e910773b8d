//! Stores whose save is wrong.

use std::collections::HashMap;
use std::sync::Mutex;

use lembro::{Changes, Expected, Fit, LembroStore, MAX_KEYS, Outcome, Record, Result, Store};

use super::Wrong;
use super::wrap::{copy_keys, headless, only, replace};

/// What the right store does, but for the changes, which `spoil` makes others.
macro_rules! other_changes {
    ($spoil:expr) => {
        |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let Some(stored) = right.get(id)? else { return Ok(Outcome::Gone) };
                let spoil: fn(&Changes, &Record) -> Changes = $spoil;
                right.save(id, &spoil(changes, &stored.record), ttl, expected)
            });
        }
    };
}

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        name: "a save that upserts",
        spoil: |store| {
            store.save =
                Box::new(|right, id, changes, ttl, expected| match right.save(id, changes, ttl, expected)? {
                    Outcome::Gone => right.create(id, changes.apply(&Record::new())?, ttl),
                    outcome => Ok(outcome),
                });
        },
        caught_by: &[
            "save never creates",
            "a destroyed session is gone for every method",
            "a session is gone for every method once its time is over",
            "clear destroys every session",
            "no save or touch under way brings a destroyed session back",
        ],
    },
    Wrong {
        name: "a save that replaces instead of merging",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let mut all = Changes::new();
                all.clear();
                copy_keys(changes, &mut all, |_, removed| !removed);
                right.save(id, &all, ttl, expected)
            });
        },
        caught_by: &["save changes the keys it names and no others", "saves of different keys at once all survive"],
    },
    Wrong {
        name: "a save that merges into what the request has read",
        spoil: |store| {
            let read: Mutex<HashMap<u64, Record>> = Mutex::default();
            store.save = Box::new(move |right, id, changes, ttl, expected| {
                let Some(stored) = right.get(id)? else { return Ok(Outcome::Gone) };
                let (Expected::Incarnation(version) | Expected::Exactly(version)) = expected;
                let seen = read.lock().unwrap().entry(version.to_u64()).or_insert(stored.record).clone();
                replace(right, id, changes.apply(&seen)?, ttl)
            });
        },
        caught_by: &["save merges into what is stored now"],
    },
    Wrong {
        name: "a save that keeps what is there",
        spoil: other_changes!(|changes, stored| {
            only(changes, |key, removed| removed || !matches!(stored.get::<serde_json::Value>(key), Ok(Some(_))))
        }),
        caught_by: &["the last save of a key wins", "save changes the keys it names and no others"],
    },
    Wrong {
        name: "a save that removes nothing",
        spoil: other_changes!(|changes, _| only(changes, |_, removed| !removed)),
        caught_by: &["save removes keys", "save fills a session up to the limit"],
    },
    Wrong {
        name: "a save that clears nothing",
        spoil: other_changes!(|changes, _| headless(changes)),
        caught_by: &[
            "save clears everything and then sets",
            "save clears one component and no other",
            "save sets and takes away timeout and owner",
        ],
    },
    Wrong {
        name: "a save that clears what this request has read, not what is stored",
        spoil: other_changes!(|changes, stored| {
            let mut removing = only(changes, |_, _| true);
            if changes.clears_everything() {
                removing = headless(changes);
                stored.entries().filter(|(_, key, _)| *key != "later").for_each(|(component, key, _)| {
                    removing.remove(component, key).unwrap();
                });
            }
            removing
        }),
        caught_by: &["save clears everything and then sets"],
    },
    Wrong {
        name: "a save that clears every component whose name begins alike",
        spoil: other_changes!(|changes, stored| {
            let mut more = only(changes, |_, _| true);
            for cleared in changes.cleared_components() {
                let alike = stored.entries().filter(|(component, ..)| component.starts_with(cleared));
                alike.for_each(|(component, ..)| more.clear_component(component));
            }
            copy_keys(changes, &mut more, |_, _| true);
            more
        }),
        caught_by: &["save clears one component and no other"],
    },
    Wrong {
        name: "a save that forgets the timeout when none is given",
        spoil: other_changes!(|changes, _| {
            let mut forgetting = only(changes, |_, _| true);
            forgetting.set_timeout(changes.timeout().flatten());
            forgetting
        }),
        caught_by: &["save sets and takes away timeout and owner"],
    },
    Wrong {
        name: "a save that counts itself twice",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let outcome = right.save(id, changes, ttl, expected)?;
                twice(right, id, ttl, outcome)
            });
        },
        caught_by: &["every save gives the next version"],
    },
    Wrong {
        name: "a save that compares and never swaps",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| match expected {
                Expected::Exactly(_) if right.get(id)?.is_some() => Ok(Outcome::Conflict),
                _ => right.save(id, changes, ttl, expected),
            });
        },
        caught_by: &["save exactly is done if nothing changed"],
    },
    Wrong {
        name: "a save that swaps and never compares",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let (Expected::Incarnation(version) | Expected::Exactly(version)) = expected;
                right.save(id, changes, ttl, Expected::Incarnation(version))
            });
        },
        caught_by: &["save exactly says conflict if something changed and writes nothing"],
    },
    Wrong {
        name: "a save that writes and then compares",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let Some(stored) = right.get(id)? else { return Ok(Outcome::Gone) };
                let now = Expected::Incarnation(stored.record.version());
                let outcome = right.save(id, changes, ttl, now)?;
                Ok(match expected.fits(&stored.record) {
                    Fit::Yes => outcome,
                    Fit::Changed => Outcome::Conflict,
                    Fit::Another => Outcome::Gone,
                })
            });
        },
        caught_by: &[
            "save exactly says conflict if something changed and writes nothing",
            "save into another incarnation is gone and writes nothing",
        ],
    },
    Wrong {
        name: "a save that counts old and new keys to see whether the limit is kept",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let Some(stored) = right.get(id)? else { return Ok(Outcome::Gone) };
                if stored.record.len() + changes.keys().count() > MAX_KEYS {
                    return right.save(id, &too_many()?, ttl, expected);
                }
                right.save(id, changes, ttl, expected)
            });
        },
        caught_by: &["save fills a session up to the limit"],
    },
    Wrong {
        name: "a save that knows no limit",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                right.save(id, changes, ttl, expected).or(Ok(Outcome::Done))
            });
        },
        caught_by: &["save over the limit is an error and the session stays"],
    },
    Wrong {
        name: "a save that prolongs before it looks at the limit",
        spoil: |store| {
            store.save = Box::new(|right, id, changes, ttl, expected| {
                let saved = right.save(id, changes, ttl, expected);
                if saved.is_err() {
                    let _ = right.touch(id, ttl)?;
                }
                saved
            });
        },
        caught_by: &["save over the limit is an error and the session stays"],
    },
];

fn twice(right: &LembroStore, id: &lembro::SessionId, ttl: std::time::Duration, first: Outcome) -> Result<Outcome> {
    match right.get(id)? {
        Some(stored) if first.is_done() => {
            right.save(id, &Changes::new(), ttl, Expected::Incarnation(stored.record.version()))
        }
        _ => Ok(first),
    }
}

fn too_many() -> Result<Changes> {
    let mut changes = Changes::new();
    for n in 0..=MAX_KEYS {
        changes.insert("", &n.to_string(), &n)?;
    }
    Ok(changes)
}
