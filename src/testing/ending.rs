//! Rules of ending: destroy is final; and of the optional methods that see all sessions at once.

use std::collections::BTreeMap;

use serde_json::json;

use super::probe::{Checked, Probe, broken, data, done, gone, holds, optional, other_secret, put, record, same, to};

super::table![
    a_destroyed_session_is_gone_for_every_method,
    destroy_ends_one_session_and_no_other,
    destroy_frees_the_handle,
    len_counts_the_live_sessions,
    all_lists_every_live_session_once,
    clear_destroys_every_session,
];

fn a_destroyed_session_is_gone_for_every_method(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?;
    let seen = p.found("the id", &id)?.record;
    done("destroy", p.store.destroy(&id))?;
    p.dead("a destroyed id", &id, &seen)
}

fn destroy_ends_one_session_and_no_other(p: &Probe<'_>) -> Checked {
    let (one, two) = (p.session(json!({"user": "ada"}))?, p.session(json!({"user": "bob"}))?);
    let seen = p.found("the second id", &two)?;
    done("destroy", p.store.destroy(&one))?;
    p.nothing("the destroyed id", &one)?;
    p.unchanged("the other session", &two, &seen)
}

fn destroy_frees_the_handle(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?;
    done("destroy", p.store.destroy(&id))?;
    let other = other_secret(&id)?;
    done("create with the handle of a destroyed session", p.store.create(&other, record(json!({"n": 1})), p.long()))?;
    holds("the entries", &p.found("the new id", &other)?.record, json!({"n": 1}))?;
    p.nothing("the destroyed id", &id)
}

fn len_counts_the_live_sessions(p: &Probe<'_>) -> Checked {
    let count = |when: &str, expected: usize| {
        same(&format!("len {when}"), optional(p.store.len())?, expected)?;
        same(&format!("is_empty {when}"), optional(p.store.is_empty())?, expected == 0)
    };
    count("of an empty store", 0)?;
    let ids: Vec<_> = (0..20).map(|n| p.session(json!({"n": n}))).collect::<Checked<_>>()?;
    count("of a store with 20 sessions", 20)?;
    // The same sessions, changed in every way there is.
    let seen = p.found("the id", &ids[0])?;
    done("save", p.store.save(&ids[0], &put("a", &1)?, p.long(), to(&seen.record)))?;
    done("touch", p.store.touch(&ids[1], p.long()))?;
    done("rotate", p.store.rotate(&ids[2], &other_secret(&ids[2])?, p.long()))?;
    p.store.set(&ids[3], record(json!({})), p.long())?;
    count("of a store with 20 sessions, some changed", 20)?;
    done("destroy", p.store.destroy(&ids[4]))?;
    count("after one was destroyed", 19)
}

fn all_lists_every_live_session_once(p: &Probe<'_>) -> Checked {
    optional(p.store.all().map(drop))?;
    let mut expected = BTreeMap::new();
    for n in 0..20 {
        let id = p.session(json!({"n": n}))?;
        // Half of them got another id since; they are listed under the one that opens them.
        let new = other_secret(&id)?;
        if n % 2 == 0 {
            done("rotate", p.store.rotate(&id, &new, p.long()))?;
        }
        expected.insert(id.handle(), (n, if n % 2 == 0 { new } else { id }));
    }
    done("destroy", p.store.destroy(&p.session(json!({}))?))?;
    for listed in p.store.all()? {
        let listed = listed?;
        let Some((n, id)) = expected.remove(&listed.handle) else {
            return broken(format!("all: expected every live session once, found {} too often", listed.handle));
        };
        holds("the entries of a listed session", &listed.stored.record, json!({"n": n}))?;
        p.left("the time left of a listed session", listed.stored.ttl, p.long())?;
        let stored = p.found("the id of a listed session", &id)?;
        same("the version of a listed session", listed.stored.record.version(), stored.record.version())?;
        if listed.id.is_some_and(|listed| listed != id) {
            return broken("all: expected the id that opens the session, or none, found another one");
        }
    }
    same("the sessions that all left out", expected.into_keys().collect::<Vec<_>>(), Vec::new())
}

fn clear_destroys_every_session(p: &Probe<'_>) -> Checked {
    let ids: Vec<_> = (0..40).map(|n| p.session(json!({"n": n}))).collect::<Checked<_>>()?;
    let seen: Vec<_> = ids.iter().map(|id| p.found("the id", id)).collect::<Checked<_>>()?;
    optional(p.store.clear())?;
    for (id, seen) in ids.iter().zip(&seen) {
        p.nothing("an id from before clear", id)?;
        gone("save with an id from before clear", p.store.save(id, &put("a", &1)?, p.long(), to(&seen.record)))?;
        p.nothing("an id from before clear, after a save", id)?;
    }
    let id = p.session(json!({"after": true}))?;
    same(
        "a session made after clear",
        &data(&p.found("the id", &id)?.record)?["entries"],
        &json!({"": {"after": true}}),
    )
}
