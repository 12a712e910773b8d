//! Stores whose create, set or get is wrong.

use std::time::Duration;

use lembro::{Changes, Error, Expected, MAX_KEYS, Outcome, Record, Store, Stored};
use serde_json::Value;

use super::Wrong;
use super::wrap::{Memory, Wrap, current, distort, replace};

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        name: "a get that ignores the secret",
        spoil: |store| {
            store.get = Box::new(|right, id| right.get(&current(right, id.handle()).unwrap_or(*id)));
        },
        caught_by: &[
            "the right handle with a wrong secret opens nothing",
            "the old id is dead for every method",
            "create says conflict for a taken handle and leaves that session alone",
        ],
    },
    Wrong {
        name: "a get that loses a key",
        spoil: |store| {
            distort(store, |record| rebuilt(record, |name, value| (name != "user").then_some((name, value))));
        },
        caught_by: &["a created session is found with its data and its time", "set makes a session"],
    },
    Wrong {
        name: "a get for which every number is a float",
        spoil: |store| {
            distort(store, |record| {
                let float = |value: Value| value.as_f64().map_or(value, Value::from);
                rebuilt(record, |name, value| Some((name, float(value))))
            });
        },
        caught_by: &["every kind of json comes back as it went in"],
    },
    Wrong {
        name: "a get that ends keys at a NUL",
        spoil: |store| {
            distort(store, |record| rebuilt(record, |name, value| Some((name.split('\0').next()?.to_owned(), value))));
        },
        caught_by: &["any text up to 255 bytes is a key"],
    },
    Wrong {
        name: "a get that writes component and key one after the other",
        spoil: |store| {
            distort(store, |record| {
                record.entries().map(|(c, k, json)| (format!("{c}{k}"), parse(json.get()))).collect()
            });
        },
        caught_by: &["keys of components stay apart"],
    },
    Wrong {
        name: "a get that forgets what is not an entry",
        spoil: |store| distort(store, |record| rebuilt(record, |name, value| Some((name, value)))),
        caught_by: &[
            "timeout owner and creation time come back",
            "create and set note when the session was made",
            "save sets and takes away timeout and owner",
        ],
    },
    Wrong {
        name: "a create that draws a version of its own",
        spoil: |store| {
            store.create =
                Box::new(|right, id, record, ttl| right.create(id, record.admit_anew(right.clock().wall())?, ttl));
        },
        caught_by: &["create keeps the version of an admitted record"],
    },
    Wrong {
        name: "a create that overwrites",
        spoil: |store| {
            store.create = Box::new(|right, id, record, ttl| {
                if let Some(taken) = current(right, id.handle()) {
                    let _ = right.destroy(&taken)?;
                }
                right.create(id, record, ttl)
            });
        },
        caught_by: &[
            "create says conflict for a taken handle and leaves that session alone",
            "of creates at once exactly one is done",
        ],
    },
    Wrong {
        name: "a create and a set that cut off what is over the limit",
        spoil: |store| {
            let cut = |record: &Record| rebuilt(record, |name, value| (name.len() < 4).then_some((name, value)));
            store.create = Box::new(move |right, id, record, ttl| {
                right.create(id, if record.len() > MAX_KEYS { cut(&record) } else { record }, ttl)
            });
            store.set = Box::new(move |right, id, record, ttl| {
                right.set(id, if record.len() > MAX_KEYS { cut(&record) } else { record }, ttl)
            });
        },
        caught_by: &["create and set refuse a record over the limits and leave what is stored"],
    },
    Wrong {
        name: "a set that replaces the session before it looks at the limits",
        spoil: |store| {
            store.set = Box::new(|right, id, record, ttl| {
                let _ = right.destroy(id)?;
                right.set(id, record, ttl)
            });
        },
        caught_by: &["create and set refuse a record over the limits and leave what is stored"],
    },
    Wrong {
        name: "a set that does not insert",
        spoil: |store| {
            store.set = Box::new(
                |right, id, record, ttl| if right.get(id)?.is_some() { right.set(id, record, ttl) } else { Ok(()) },
            );
        },
        caught_by: &["set makes a session", "set takes the handle of an expired session"],
    },
    Wrong {
        name: "a set that merges",
        spoil: |store| {
            store.set = Box::new(|right, id, record, ttl| {
                let Some(stored) = right.get(id)? else { return right.set(id, record, ttl) };
                let mut changes = Changes::new();
                for (component, key, value) in record.entries() {
                    changes.insert(component, key, value)?;
                }
                right.set(id, changes.apply(&stored.record)?, ttl)
            });
        },
        caught_by: &["set replaces all of a session"],
    },
    Wrong {
        name: "a set that keeps the old time",
        spoil: |store| {
            store.set = Box::new(|right, id, record, ttl| {
                right.set(id, record, right.get(id)?.map_or(ttl, |stored| stored.ttl))
            });
        },
        caught_by: &["set replaces all of a session", "set for no time leaves nothing"],
    },
    Wrong {
        name: "a set that keeps the old incarnation",
        spoil: |store| {
            store.set = Box::new(|right, id, record, ttl| replace(right, id, record, ttl).map(drop));
        },
        caught_by: &["a save for a session that set replaced is gone"],
    },
    Wrong {
        name: "a set that takes a handle from another secret",
        spoil: |store| {
            store.set = Box::new(|right, id, record, ttl| {
                if let Some(taken) = current(right, id.handle()) {
                    let _ = right.destroy(&taken)?;
                }
                right.set(id, record, ttl)
            });
        },
        caught_by: &["set refuses the handle of a live session with another secret"],
    },
    Wrong {
        name: "a store for which an unknown id is an error",
        spoil: |store| {
            store.get = Box::new(|right, id| match right.get(id)? {
                None => Err(Error::store("no such session")),
                stored => Ok(stored),
            });
        },
        caught_by: &["an unknown id is a value and not an error"],
    },
    Wrong {
        name: "a store that keeps a record once, however many ids it was given to",
        spoil: |store| {
            store.touch = Box::new(|right, id, ttl| {
                let Some(stored) = right.get(id)? else { return Ok(Outcome::Gone) };
                for listed in right.all()? {
                    let listed = listed?;
                    if listed.stored.record.version() == stored.record.version() {
                        let _ = right.touch(&listed.id.unwrap(), ttl)?;
                    }
                }
                Ok(Outcome::Done)
            });
        },
        caught_by: &["a record given to two ids makes two sessions"],
    },
    Wrong {
        name: "a store that never frees a handle",
        spoil: |store| {
            let used = Memory::default();
            let also = Memory::clone(&used);
            store.create =
                Box::new(move |right, id, record, ttl| match used.lock().unwrap().insert(id.handle(), *id) {
                    Some(_) => Ok(Outcome::Conflict),
                    None => right.create(id, record, ttl),
                });
            store.set = Box::new(move |right, id, record, ttl| match also.lock().unwrap().insert(id.handle(), *id) {
                Some(used) if used != *id => Err(Error::conflict(id.handle())),
                _ => right.set(id, record, ttl),
            });
        },
        caught_by: &[
            "create takes the handle of an expired session",
            "destroy frees the handle",
            "create for no time is done and leaves nothing",
        ],
    },
    Wrong {
        name: "a set that takes an expired session for a live one",
        spoil: |store| {
            let used = Memory::default();
            let also = Memory::clone(&used);
            store.create = Box::new(move |right, id, record, ttl| {
                used.lock().unwrap().insert(id.handle(), *id);
                right.create(id, record, ttl)
            });
            store.set = Box::new(move |right, id, record, ttl| match also.lock().unwrap().get(&id.handle()) {
                Some(used) if used != id => Err(Error::conflict(id.handle())),
                _ => right.set(id, record, ttl),
            });
        },
        caught_by: &["set takes the handle of an expired session"],
    },
    Wrong {
        name: "a store that counts incarnations from the same number each time",
        spoil: |store: &mut Wrap| {
            // As if every incarnation were the same: what a save expects is never looked at.
            store.save = Box::new(|right, id, changes, ttl, _| match right.get(id)? {
                Some(stored) => right.save(id, changes, ttl, Expected::Incarnation(stored.record.version())),
                None => Ok(Outcome::Gone),
            });
        },
        caught_by: &[
            "each created session is an incarnation of its own",
            "a save for a session that set replaced is gone",
            "save into another incarnation is gone and writes nothing",
            "save exactly says conflict if something changed and writes nothing",
        ],
    },
    Wrong {
        name: "a store that says the same time is left whenever it is asked",
        spoil: |store| {
            store.get = Box::new(|right, id| {
                Ok(right.get(id)?.map(|stored| Stored::new(stored.record, Duration::from_secs(60_000))))
            });
        },
        caught_by: &["the time left runs down", "touch sets a shorter time"],
    },
];

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// A record made anew of the session's own entries, with nothing but these.
fn rebuilt(record: &Record, entry: impl Fn(String, Value) -> Option<(String, Value)>) -> Record {
    record.entries().filter_map(|(_, key, json)| entry(key.to_owned(), parse(json.get()))).collect()
}
