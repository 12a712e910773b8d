//! Stores with a wrong commit or a wrong `set`.

use std::collections::HashMap;
use std::sync::Mutex;

use lembro::{Changes, Commit, Error, Expect, MAX_KEYS, Outcome, Record, Store as _, Version};
use serde_json::{Value, json};

use super::wrap::{Memory, Wrap, base, copy_keys, is_create, keys_only, login, only, replaces, unkeyed};
use super::{Wrong, wrong, wrong_changes, wrong_commit, wrong_put, wrong_touch};

/// Replaces every value that is set.
fn other_values(store: &mut Wrap, other: fn(Value) -> Value) {
    store.commit = Box::new(move |right, id, commit, lease| {
        let mut changes = unkeyed(&commit.changes);
        for change in commit.changes.keys() {
            match change.value {
                Some(json) => {
                    let value = other(serde_json::from_slice(json).unwrap());
                    changes.insert(change.component, change.key, &value)?;
                }
                None => changes.remove(change.component, change.key)?,
            }
        }
        right.commit(id, &commit.clone().with(changes), lease)
    });
}

/// Renames every key.
fn other_names(store: &mut Wrap, other: fn(String, String) -> (String, String)) {
    store.commit = Box::new(move |right, id, commit, lease| {
        let mut changes = unkeyed(&commit.changes);
        copy_keys(&commit.changes, &mut changes, other, |_, _| true);
        right.commit(id, &commit.clone().with(changes), lease)
    });
}

fn integers_as_floats(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(integers_as_floats).collect(),
        value => value.as_f64().map_or(value, Value::from),
    }
}

pub(crate) const WRONG: &[Wrong] = &[
    wrong_changes("a create that loses a key", |changes, _| only(changes, |key, _| key != "user"))
        .caught_by(&["a created session is found with its data and its time"]),
    wrong("a store for which every number is a float", |store| other_values(store, integers_as_floats))
        .caught_by(&["every kind of JSON comes back as it went in"]),
    wrong("a store that ends keys at a NUL", |store| {
        other_names(store, |component, key| (component, key.split('\0').next().unwrap_or_default().to_owned()));
    })
    .caught_by(&["any text up to 255 bytes is a key"]),
    wrong("a store that writes component and key one after the other", |store| {
        other_names(store, |component, key| {
            if component.len() < 9 { (String::new(), format!("{component}{key}")) } else { (component, key) }
        });
    })
    .caught_by(&["keys of components stay apart, and no component is special"]),
    wrong_commit("a store that keeps its notes in a component", |right, id, commit, lease| {
        let mut changes = commit.changes.clone();
        changes.remove("lembro", "label")?;
        right.commit(id, &commit.clone().with(changes), lease)
    })
    .caught_by(&["keys of components stay apart, and no component is special"]),
    wrong_changes("a store that keeps nothing but entries", |changes, _| keys_only(changes)).caught_by(&[
        "what is noted about a session comes back, and a clear leaves it",
        "a commit sets and takes away timeout, label and remembered",
        "a commit clears everything and then sets",
    ]),
    wrong_changes("a clear that clears the notes", |changes, _| {
        let mut all = changes.clone();
        if changes.clears_everything() {
            all.set_label(None).unwrap();
            all.set_timeout(None);
        }
        all
    })
    .caught_by(&["what is noted about a session comes back, and a clear leaves it"]),
    wrong_put("a set that keeps nothing but entries", |right, id, record, ttl| {
        let bare = record.entries().map(|(_, key, json)| (key.to_owned(), json!(json))).collect::<Record>();
        right.put(id, &bare, ttl)
    })
    .caught_by(&["what is noted about a session moves with its record"]),
    wrong_commit("a create that overwrites", |right, id, commit, lease| {
        if is_create(commit) {
            let _ = right.end(&right.current(id))?;
        }
        right.commit(id, commit, lease)
    })
    .caught_by(&[
        "create says Taken for a live handle and leaves that session alone",
        "a repeated create is done and not carried out twice",
        "of creates at once exactly one is done",
    ]),
    wrong_commit("a store that cuts off what is over the limit", |right, id, commit, lease| {
        if commit.changes.keys().count() <= MAX_KEYS {
            return right.commit(id, commit, lease);
        }
        right.commit(id, &commit.clone().with(only(&commit.changes, |key, _| key.len() < 4)), lease)
    })
    .caught_by(&["create refuses more keys than a session may have"]),
    wrong("a set of its own that cuts off what is over the limit", |store| store.cuts = true)
        .caught_by(&["set refuses a record over the limits and leaves what is stored"]),
    wrong_put("a set that does not insert", |right, id, record, ttl| match right.stored(id)? {
        Some(_) => right.put(id, record, ttl),
        None => Ok(Outcome::Gone),
    })
    .caught_by(&["set makes a session", "set takes the handle of an expired session"]),
    wrong_put("a set that merges", |right, id, record, ttl| match right.stored(id)? {
        Some(stored) => right.put(id, &Changes::from(record).apply(&stored)?, ttl),
        None => right.put(id, record, ttl),
    })
    .caught_by(&["set replaces all of a session"]),
    wrong_put("a set that keeps the old time", |right, id, record, ttl| {
        let left = right.store.get(id)?.map_or(ttl, |stored| stored.ttl);
        right.put(id, record, left)
    })
    .caught_by(&["set replaces all of a session", "set for no time leaves nothing"]),
    wrong("a set that keeps the old incarnation", |store| {
        let replaced: Memory<Vec<Version>> = Memory::default();
        let known = Memory::clone(&replaced);
        store.put = Box::new(move |right, id, record, ttl| {
            let before = right.stored(id)?.map(|stored| stored.version());
            replaced.lock().unwrap().entry(id.handle()).or_default().extend(before);
            right.put(id, record, ttl)
        });
        store.commit = Box::new(move |right, id, commit, lease| {
            let known = known.lock().unwrap().get(&id.handle()).cloned().unwrap_or_default();
            if base(commit).is_some_and(|base| known.contains(&base)) {
                return right.merge(id, commit.changes.clone(), lease);
            }
            right.commit(id, commit, lease)
        });
    })
    .caught_by(&["a commit for a session that set replaced is gone"]),
    wrong_put("a set that takes a handle from another secret", |right, id, record, ttl| {
        let _ = right.end(&right.current(id))?;
        right.put(id, record, ttl)
    })
    .caught_by(&["set says Taken for the handle of a live session with another secret"]),
    wrong_touch("a store that keeps a record once, however many ids it was given to", |right, id, lease| {
        let Some(stored) = right.stored(id)? else { return right.touch(id, lease) };
        let alike = right.all()?.into_iter().filter(|one| one.stored.record == stored);
        for one in alike.filter(|one| one.handle != id.handle()) {
            if let Some(other) = right.opens(one.handle) {
                let _ = right.touch(&other, lease)?;
            }
        }
        right.touch(id, lease)
    })
    .caught_by(&["a record given to two ids makes two sessions"]),
    wrong_commit("a store for which every incarnation is the same", |right, id, commit, lease| match base(commit) {
        Some(_) if !replaces(commit) && login(commit).is_none() => right.merge(id, commit.changes.clone(), lease),
        _ => right.commit(id, commit, lease),
    })
    .caught_by(&[
        "each created session is an incarnation of its own",
        "a commit for a session that set replaced is gone",
        "a commit for another incarnation is gone and writes nothing",
        "compare and swap says Changed if something changed and writes nothing",
        "a new id begins a new incarnation",
    ]),
    wrong_commit("a commit that upserts", |right, id, commit, lease| match right.commit(id, commit, lease)? {
        Outcome::Gone => right.commit(id, &Commit::create()?.with(commit.changes.clone()), lease),
        outcome => Ok(outcome),
    })
    .caught_by(&[
        "a commit never creates what it is to change",
        "a new id never creates",
        "a destroyed session is gone for every method",
        "a session is gone for every method once its time is over",
        "clear destroys every session",
        "no commit, touch or visit under way brings a destroyed session back",
    ]),
    wrong_commit("a commit that replaces instead of merging", |right, id, commit, lease| {
        let mut all = Changes::new();
        all.clear();
        copy_keys(&commit.changes, &mut all, |component, key| (component, key), |_, removed| !removed);
        right.commit(id, &commit.clone().with(all), lease)
    })
    .caught_by(&["a commit changes the keys it names and no others", "commits of different keys at once all survive"]),
    wrong("a commit that merges into what the request has read", |store| {
        let read: Mutex<HashMap<u64, Record>> = Mutex::default();
        store.commit = Box::new(move |right, id, commit, lease| {
            let (Some(stored), Some(base)) = (right.stored(id)?, base(commit)) else {
                return right.commit(id, commit, lease);
            };
            let seen = read.lock().unwrap().entry(base.to_u64()).or_insert(stored).clone();
            let mut all = Changes::from(&seen);
            all.clear();
            copy_keys(&Changes::from(&seen), &mut all, |component, key| (component, key), |_, _| true);
            copy_keys(&commit.changes, &mut all, |component, key| (component, key), |_, _| true);
            right.commit(id, &commit.clone().with(all), lease)
        });
    })
    .caught_by(&["a commit merges into what is stored now"]),
    wrong_changes("a commit that keeps what is there", |changes, stored| {
        let stored = stored.unwrap_or_default();
        only(changes, |key, removed| removed || !matches!(stored.get::<Value>(key), Ok(Some(_))))
    })
    .caught_by(&["the last commit of a key wins", "a commit changes the keys it names and no others"]),
    wrong_changes("a commit that removes nothing", |changes, _| only(changes, |_, removed| !removed))
        .caught_by(&["a commit removes keys", "a commit fills a session up to the limit"]),
    wrong_changes("a commit that clears what this request has read, not what is stored", |changes, stored| {
        if !changes.clears_everything() {
            return changes.clone();
        }
        let (mut removing, stored) = (keys_only(changes), stored.unwrap_or_default());
        stored.entries().filter(|(_, key, _)| *key != "later").for_each(|(component, key, _)| {
            removing.remove(component, key).unwrap();
        });
        copy_keys(changes, &mut removing, |component, key| (component, key), |_, _| true);
        removing
    })
    .caught_by(&["a commit clears everything and then sets"]),
    wrong_changes("a commit that clears every component whose name begins alike", |changes, stored| {
        let (mut more, stored) = (unkeyed(changes), stored.unwrap_or_default());
        for cleared in changes.cleared_components() {
            let alike = stored.entries().filter(|(component, ..)| component.starts_with(cleared));
            alike.for_each(|(component, ..)| more.clear_component(component));
        }
        copy_keys(changes, &mut more, |component, key| (component, key), |_, _| true);
        more
    })
    .caught_by(&["a commit clears one component and no other"]),
    wrong_changes("a commit that forgets the timeout when none is given", |changes, _| {
        let mut forgetting = changes.clone();
        forgetting.set_timeout(changes.timeout().flatten());
        forgetting
    })
    .caught_by(&["a commit sets and takes away timeout, label and remembered"]),
    wrong_commit("a commit that counts itself twice", |right, id, commit, lease| {
        match right.commit(id, commit, lease)? {
            Outcome::Done(receipt) if receipt.announce.is_none() => right.merge(id, Changes::new(), lease),
            outcome => Ok(outcome),
        }
    })
    .caught_by(&["every commit gives the next version"]),
    wrong_commit("a compare and swap that never swaps", |right, id, commit, lease| match commit.expect() {
        Expect::Exactly(_) if right.stored(id)?.is_some() => Ok(Outcome::Changed),
        _ => right.commit(id, commit, lease),
    })
    .caught_by(&["compare and swap is done if nothing changed"]),
    wrong_commit("a compare and swap that never compares", |right, id, commit, lease| match commit.expect() {
        Expect::Exactly(version) => right.commit(id, &Commit::merge(version)?.with(commit.changes.clone()), lease),
        _ => right.commit(id, commit, lease),
    })
    .caught_by(&[
        "compare and swap says Changed if something changed and writes nothing",
        "a repeated compare and swap is not carried out twice",
    ]),
    wrong_commit("a commit that writes and then compares", |right, id, commit, lease| {
        let outcome = right.commit(id, commit, lease)?;
        if matches!(outcome, Outcome::Changed | Outcome::Gone) {
            let _ = right.merge(id, commit.changes.clone(), lease)?;
        }
        Ok(outcome)
    })
    .caught_by(&[
        "compare and swap says Changed if something changed and writes nothing",
        "a commit for another incarnation is gone and writes nothing",
    ]),
    wrong_commit("a commit that asks for the secret", |right, id, commit, lease| {
        match (base(commit), right.store.get(id)?) {
            (Some(_), None) => Ok(Outcome::Gone),
            _ => right.commit(id, commit, lease),
        }
    })
    .caught_by(&[
        "a commit is accepted by its incarnation, whatever the secret",
        "work that began before a renewal is committed after it",
    ]),
    wrong_commit(
        "a commit that counts old and new keys to see whether the limit is kept",
        |right, id, commit, lease| {
            let stored = right.stored(id)?.map_or(0, |stored| stored.len());
            if stored + commit.changes.keys().count() > MAX_KEYS {
                return Err(Error::size("too many keys"));
            }
            right.commit(id, commit, lease)
        },
    )
    .caught_by(&["a commit fills a session up to the limit"]),
    wrong("a commit that knows no limit", |store| {
        store.commit =
            Box::new(|right, id, commit, lease| right.commit(id, commit, lease).or_else(|_| right.touch(id, lease)));
    })
    .caught_by(&["a commit over the limit is an error and the session stays"]),
    wrong_commit("a commit that prolongs before it looks at the limit", |right, id, commit, lease| {
        let committed = right.commit(id, commit, lease);
        if committed.is_err() {
            let _ = right.touch(id, lease)?;
        }
        committed
    })
    .caught_by(&["a commit over the limit is an error and the session stays"]),
    wrong_commit("a repeat that is carried out again", |right, id, commit, lease| match base(commit) {
        Some(version) if commit.is_repeated() && login(commit).is_none() => {
            right.commit(id, &Commit::merge(version)?.with(commit.changes.clone()), lease)
        }
        _ => right.commit(id, commit, lease),
    })
    .caught_by(&[
        "a repeated merge is not carried out twice",
        "a repeated compare and swap is not carried out twice",
        "a repeat of what was never carried out is carried out once, or unknown",
    ]),
    wrong_commit("a repeated compare and swap that finds what it has changed itself", |right, id, commit, lease| {
        match commit.expect() {
            Expect::Exactly(version) if right.stored(id)?.is_some_and(|stored| stored.version() != version) => {
                Ok(Outcome::Changed)
            }
            _ => right.commit(id, commit, lease),
        }
    })
    .caught_by(&["a repeated compare and swap is not carried out twice"]),
    wrong_commit("a repeat that is done, whatever became of it", |right, id, commit, lease| {
        if commit.is_repeated() && right.stored(id)?.is_some() {
            right.touch(id, lease)
        } else {
            right.commit(id, commit, lease)
        }
    })
    .caught_by(&[
        "a repeat of what was never carried out is carried out once, or unknown",
        "a repeated new id is done and not carried out twice",
    ]),
    wrong_commit("a repeated create that finds its handle taken", |right, id, commit, lease| {
        let is_taken = is_create(commit) && right.stored(id)?.is_some();
        if is_taken { Ok(Outcome::Taken) } else { right.commit(id, commit, lease) }
    })
    .caught_by(&["a repeated create is done and not carried out twice", "a repeated login is done and counts once"]),
    wrong_commit("a repeated new id that finds itself superseded", |right, id, commit, lease| {
        match right.store.get(id)? {
            None if replaces(commit) && right.stored(id)?.is_some() => Ok(Outcome::Superseded),
            _ => right.commit(id, commit, lease),
        }
    })
    .caught_by(&["a repeated new id is done and not carried out twice"]),
];
