//! Rules of ending: destroy is final; and of the optional methods that see all sessions at once.

use std::collections::BTreeMap;

use serde_json::json;

use super::fixture::{Checked, Fixture, broken, done, gone, holds, optional, other_secret, owner, put, record, same};
use crate::store::{Commit, EndReason, Look, Lookup, Outcome};

super::table![
    a_destroyed_session_is_gone_for_every_method,
    destroy_ends_one_session_and_no_other,
    destroy_frees_the_handle,
    len_counts_the_live_sessions,
    all_lists_every_live_session_once,
    clear_destroys_every_session,
];

fn a_destroyed_session_is_gone_for_every_method(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"user": "ada"}))?;
    same("the version of an ended session", done("destroy", p.store.destroy(&session.id))?.version, session.version)?;
    same("a visit with a destroyed id", p.look(&session.id, Look::Visit)?, Lookup::Missing)?;
    p.dead("a destroyed id", &session, Outcome::Gone)
}

fn destroy_ends_one_session_and_no_other(p: &Fixture<'_>) -> Checked {
    let (one, two) = (p.session(json!({"user": "ada"}))?.id, p.session(json!({"user": "bob"}))?.id);
    let seen = p.found("the second id", &two)?;
    done("destroy", p.store.destroy(&one))?;
    p.nothing("the destroyed id", &one)?;
    p.unchanged("the other session", &two, &seen)
}

fn destroy_frees_the_handle(p: &Fixture<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?.id;
    done("destroy", p.store.destroy(&id))?;
    let other = other_secret(&id)?;
    p.done(&other, &Commit::create()?.with(put("n", &1)?))?;
    p.holds(&other, json!({"n": 1}))?;
    p.nothing("the destroyed id", &id)
}

fn len_counts_the_live_sessions(p: &Fixture<'_>) -> Checked {
    let count = |when: &str, expected: usize| {
        same(&format!("len {when}"), optional(p.store.len())?, expected)?;
        same(&format!("is_empty {when}"), optional(p.store.is_empty())?, expected == 0)
    };
    count("of an empty store", 0)?;
    let sessions = (0..20).map(|n| p.session(json!({"n": n}))).collect::<Checked<Vec<_>>>()?;
    count("of a store with 20 sessions", 20)?;
    // The same sessions, changed in every way there is.
    p.done(&sessions[0].id, &sessions[0].put("a", &1)?)?;
    done("touch", p.store.touch(&sessions[1].id, &p.lease(p.long())))?;
    p.replaced(&sessions[2])?;
    p.store.set(&sessions[3].id, record(json!({})), p.long())?;
    p.look(&sessions[4].id, Look::Visit)?;
    count("of a store with 20 sessions, some changed", 20)?;
    done("destroy", p.store.destroy(&sessions[5].id))?;
    count("after one was destroyed", 19)?;
    let Some(owners) = p.store.owners() else { return Ok(()) };
    let (_, named) = (p.session_of("ada")?, p.session_of("bob")?);
    owners.destroy_all(&owner("ada")?, None)?;
    done("destroy by handle", owners.destroy(named.id.handle(), None, EndReason::Named))?;
    count("after two more were ended by their owners", 19)
}

fn all_lists_every_live_session_once(p: &Fixture<'_>) -> Checked {
    optional(p.store.all().map(drop))?;
    let mut expected = BTreeMap::new();
    for n in 0..120 {
        let mut session = p.session(json!({"n": n}))?;
        // Some of them got another id since; they are listed under the one that opens them.
        if n % 8 == 0 {
            session = p.replaced(&session)?;
        }
        expected.insert(session.id.handle(), (n, session));
    }
    done("destroy", p.store.destroy(&p.session(json!({}))?.id))?;
    if let Some(owners) = p.store.owners() {
        p.session_of("ada")?;
        owners.destroy_all(&owner("ada")?, None)?;
        done("destroy by handle", owners.destroy(p.session_of("bob")?.id.handle(), None, EndReason::Named))?;
    }
    for listed in p.store.all()? {
        let listed = listed?;
        let Some((n, session)) = expected.remove(&listed.handle) else {
            return broken(format!("all: expected every live session once, found {} too often", listed.handle));
        };
        holds("the entries of a listed session", &listed.stored.record, json!({"n": n}))?;
        p.left("the time left of a listed session", listed.stored.ttl, p.long())?;
        same("the version of a listed session", listed.stored.record.version(), session.version)?;
        if listed.id.is_some_and(|listed| listed != session.id) {
            return broken("all: expected the id that opens the session, or none, found another one");
        }
    }
    same("the sessions that all left out", expected.into_keys().collect::<Vec<_>>(), Vec::new())
}

fn clear_destroys_every_session(p: &Fixture<'_>) -> Checked {
    let sessions = (0..40).map(|n| p.session(json!({"n": n}))).collect::<Checked<Vec<_>>>()?;
    optional(p.store.clear())?;
    for session in &sessions {
        p.nothing("an id from before clear", &session.id)?;
        gone("a commit from before clear", p.commit(&session.id, &session.put("a", &1)?))?;
        p.nothing("an id from before clear, after a commit", &session.id)?;
    }
    p.holds(&p.session(json!({"after": true}))?.id, json!({"after": true}))
}
