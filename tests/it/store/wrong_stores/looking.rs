//! Stores with wrong looks, or with wrong times.

use std::time::{Duration, SystemTime};

use lembro::{Clock, Error, Lease, Look, Lookup, Outcome, Presented, Record, Store as _, Stored};

use super::wrap::{Memory, Wrap, is_create, other_lease};
use super::{Wrong, wrong, wrong_commit, wrong_lease, wrong_look, wrong_touch};

/// The shortest time.
const TICK: Duration = Duration::from_nanos(1);

/// Replaces the result of every look.
fn other_lookup(store: &mut Wrap, other: fn(Lookup) -> Lookup) {
    store.look = Box::new(move |right, id, how, lease| right.look(id, how, lease).map(other));
}

fn other_stored(store: &mut Wrap, other: fn(&mut Stored)) {
    store.look = Box::new(move |right, id, how, lease| {
        let mut found = right.look(id, how, lease)?;
        if let Lookup::Found(stored) = &mut found {
            other(stored);
        }
        Ok(found)
    });
}

pub(crate) const WRONG: &[Wrong] = &[
    wrong_look("a look that ignores the secret", |right, id, how, lease| right.look(&right.current(id), how, lease))
        .caught_by(&[
            "the right handle with a wrong secret opens nothing",
            "a superseded id opens nothing, and every method says that it is superseded",
            "a new id takes the place of the old one at once",
        ]),
    wrong_look("a store for which an unknown id is an error", |right, id, how, lease| {
        match right.look(id, how, lease)? {
            Lookup::Missing => Err(Error::store("no such session")),
            found => Ok(found),
        }
    })
    .caught_by(&["an unknown id is a value and not an error"]),
    wrong("a look for which a superseded id is an unknown one", |store| {
        other_lookup(store, |found| match found {
            Lookup::Superseded { .. } => Lookup::Missing,
            found => found,
        });
    })
    .caught_by(&["a superseded id is recent for its grace", "a new id takes the place of the old one at once"]),
    wrong("a look for which every superseded id is a theft", |store| {
        other_lookup(store, |found| match found {
            Lookup::Superseded { .. } => Lookup::Superseded { recent: false },
            found => found,
        });
    })
    .caught_by(&["a superseded id is recent for its grace", "the grace of a superseded id ends at its instant"]),
    wrong("a look that does not tell how an id stands", |store| {
        other_stored(store, |stored| stored.presented = Presented::Current);
    })
    .caught_by(&[
        "every response to the old id announces the same new one",
        "the first visit with the new id makes it the current one",
    ]),
    wrong("a store that says the same time is left whenever it is asked", |store| {
        other_stored(store, |stored| stored.ttl = Duration::from_secs(60_000));
    })
    .caught_by(&["the time left runs down", "touch and visit set a shorter time"]),
    wrong("a look that gives out another version", |store| {
        other_stored(store, |stored| stored.record = lembro::Changes::new().apply(&stored.record).unwrap());
    })
    .caught_by(&["a created session is found with its data and its time", "every commit gives the next version"]),
    wrong("a store that expires sessions after their deadline, not at it", |store| {
        other_lease(store, |lease| Lease { idle: lease.idle.saturating_add(TICK), ..lease });
        store.look = Box::new(|right, id, how, lease| {
            let mut found = right.look(id, how, lease)?;
            if let Lookup::Found(stored) = &mut found {
                stored.ttl = stored.ttl.saturating_sub(TICK);
            }
            Ok(found)
        });
    })
    .caught_by(&["a session is gone for every method at the instant of its deadline"]),
    wrong_lease("a store that keeps seconds and rounds them down", |lease| Lease {
        idle: lease.idle.saturating_sub(Duration::from_secs(1)),
        ..lease
    })
    .caught_by(&["a session lives until the last moment", "the time left runs down"]),
    wrong_commit("a store that never expires anything", |right, id, commit, lease| {
        right.commit(id, commit, &Lease { idle: lease.idle.saturating_mul(1000), ..*lease })
    })
    .caught_by(&[
        "a session is gone for every method once its time is over",
        "create takes the handle of an expired session",
        "set takes the handle of an expired session",
        "expired sessions are neither counted nor listed",
    ]),
    wrong("a store that goes by another clock than it says", |store| store.clock = Clock::system())
        .caught_by(&["the clock is the one the store goes by"]),
    wrong_look("a peek that prolongs", |right, id, how, lease| {
        let how = if lease.idle == Duration::MAX { how } else { Look::Visit };
        right.look(id, how, lease)
    })
    .caught_by(&["a peek does not prolong", "a peek with the new id confirms nothing"]),
    wrong_look("a visit that does not prolong", |right, id, _, lease| right.look(id, Look::Peek, lease))
        .caught_by(&["a visit prolongs", "touch and visit set a shorter time"]),
    wrong_lease("a visit that is noted every time", |lease| Lease { touch_after: Duration::ZERO, ..lease }).caught_by(
        &["a visit is noted once per touch_after, and at half of the time", "the store does what the rule says"],
    ),
    wrong_look("a visit that is not noted at half of the time", |right, id, how, lease| {
        let left = right.look(id, Look::Peek, lease)?.found().map_or(lease.idle, |stored| stored.ttl);
        let is_due = lease.idle.saturating_sub(left) >= lease.touch_after;
        right.look(id, if is_due { how } else { Look::Peek }, lease)
    })
    .caught_by(&["a visit is noted once per touch_after, and at half of the time"]),
    wrong_look("a look that removes a session that has no time left by this lease", |right, id, how, lease| {
        let found = right.look(id, how, lease)?;
        if found == Lookup::Missing {
            let _ = right.end(id)?;
        }
        Ok(found)
    })
    .caught_by(&["a session without time left is not found and not removed"]),
    wrong_lease("a store that knows no lifetime", |lease| Lease {
        lifetime: None,
        remembered: lease.remembered.map(|(idle, _)| (idle, None)),
        ..lease
    })
    .caught_by(&[
        "no session outlives its lifetime",
        "a timeout of its own takes the place of the idle timeout, within the lifetime",
    ]),
    wrong_look("a lifetime that does not begin again at a login", |right, id, how, lease| {
        let record = right.stored(id)?.unwrap_or_default();
        let begun = |at: Option<SystemTime>| at.unwrap_or(SystemTime::UNIX_EPOCH);
        let lost = begun(record.owner_since()).duration_since(begun(record.created_at())).unwrap_or_default();
        let lifetime = lease.lifetime.map(|lifetime| lifetime.saturating_sub(lost));
        right.look(id, how, &Lease { lifetime, ..*lease })
    })
    .caught_by(&["the lifetime begins again at a login"]),
    wrong_lease("a store that knows no remembered sessions", |lease| Lease { remembered: None, ..lease })
        .caught_by(&["a remembered session has limits of its own"]),
    wrong_touch("a touch that computes the time from what this request has read", |right, id, lease| {
        right.touch(id, &Lease { remembered: None, ..*lease })
    })
    .caught_by(&["the time is computed from what is stored now"]),
    wrong_touch("a touch that never shortens", |right, id, lease| {
        let left = right.store.get(id)?.map_or(Duration::ZERO, |stored| stored.ttl);
        right.touch(id, &Lease { idle: lease.idle.max(left), ..*lease })
    })
    .caught_by(&["touch and visit set a shorter time"]),
    wrong_touch("a touch that never prolongs", |right, id, lease| {
        let left = right.store.get(id)?.map_or(lease.idle, |stored| stored.ttl);
        right.touch(id, &Lease { idle: lease.idle.min(left), ..*lease })
    })
    .caught_by(&["touch sets a longer time"]),
    wrong_touch("a touch that gives the next version", |right, id, lease| match right.touch(id, lease)? {
        Outcome::Done(_) => right.merge(id, lembro::Changes::new(), lease),
        outcome => Ok(outcome),
    })
    .caught_by(&["touch leaves data and version alone", "compare and swap is done if nothing changed"]),
    wrong_touch("a touch that creates", |right, id, lease| match right.touch(id, lease)? {
        Outcome::Gone => right.put(id, &Record::new(), lease.idle),
        done => Ok(done),
    })
    .caught_by(&[
        "touch never creates",
        "a destroyed session is gone for every method",
        "no commit, touch or visit under way brings a destroyed session back",
    ]),
    wrong("a touch that revives what is expired", |store| {
        let made: Memory<Record> = Memory::default();
        let (touched, destroyed) = (Memory::clone(&made), Memory::clone(&made));
        store.commit = Box::new(move |right, id, commit, lease| {
            let outcome = right.commit(id, commit, lease)?;
            made.lock().unwrap().extend(right.stored(id)?.map(|record| (id.handle(), record)));
            Ok(outcome)
        });
        store.end = Box::new(move |right, id| {
            destroyed.lock().unwrap().remove(&id.handle());
            right.end(id)
        });
        store.touch = Box::new(move |right, id, lease| match right.touch(id, lease)? {
            Outcome::Gone => match touched.lock().unwrap().get(&id.handle()) {
                Some(expired) => right.put(id, expired, lease.idle),
                None => Ok(Outcome::Gone),
            },
            done => Ok(done),
        });
    })
    .caught_by(&["a session is gone for every method once its time is over"]),
    wrong_commit("a commit that keeps the time", |right, id, commit, lease| {
        let left = right.store.get(id)?.map_or(lease.idle, |stored| stored.ttl);
        right.commit(id, commit, &Lease { idle: left, ..*lease })
    })
    .caught_by(&["a commit sets the time"]),
    wrong("a store for which no time is a little time", |store| {
        let little = Duration::from_secs(1);
        store.put = Box::new(move |right, id, record, ttl| right.put(id, record, ttl.max(little)));
        store.commit = Box::new(move |right, id, commit, lease| {
            right.commit(id, commit, &Lease { idle: lease.idle.max(little), ..*lease })
        });
    })
    .caught_by(&[
        "create for no time is done and leaves nothing",
        "set for no time leaves nothing",
        "a session without time left is not found and not removed",
    ]),
    wrong_commit("a store whose time ends with the calendar", |right, id, commit, lease| {
        match right.store.clock().wall().checked_add(lease.idle) {
            Some(_) => right.commit(id, commit, lease),
            None => Err(Error::store("no such date")),
        }
    })
    .caught_by(&["a time beyond every clock never ends"]),
    wrong("a store that never frees a handle", |store| {
        let used = Memory::default();
        store.commit = Box::new(move |right, id, commit, lease| {
            let is_used = is_create(commit) && used.lock().unwrap().insert(id.handle(), *id).is_some();
            if is_used && right.stored(id)?.is_none() { Ok(Outcome::Taken) } else { right.commit(id, commit, lease) }
        });
    })
    .caught_by(&[
        "create takes the handle of an expired session",
        "destroy frees the handle",
        "destroy by handle and destroy_all free the handle",
    ]),
    wrong_look("a store that notes the time of nothing", |right, id, how, lease| {
        let found = right.look(id, how, lease)?;
        let Lookup::Found(mut stored) = found else { return Ok(found) };
        let mut json = serde_json::to_value(&stored.record).unwrap();
        for time in ["created_at", "owner_since", "id_since"] {
            json.as_object_mut().unwrap().remove(time);
        }
        stored.record = serde_json::from_value(json).unwrap();
        Ok(Lookup::Found(stored))
    })
    .caught_by(&["a login notes its time", "the age of a new id is noted under a lease that renews ids"]),
];
