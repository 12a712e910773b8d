//! Rules of saving: a commit merges into what is stored now, compares when asked to, and never brings a
//! session back.

use std::time::Duration;

use serde_json::json;

use super::Rule;
use super::fixture::{Checked, Fixture, Session, cleared, keys, new_id, noted, other_secret, put};
use crate::record::{Changes, MAX_KEYS};
use crate::store::{Commit, Identity};

pub(super) const RULES: &[Rule] = &[
    Rule::new("a commit changes the keys it names and no others", |p| {
        let session = p.session(json!({"a": 1, "c": 3, "e": 5}))?;
        p.merge(&session, keys(json!({"": "new", "b": "new", "c": "new", "z": "new"}))).map(drop)
    }),
    Rule::new("a commit merges into what is stored now", |p| {
        // Two requests read the same state and change different keys.
        let session = p.session(json!({"theme": "light", "user": "ada"}))?;
        p.merge(&session, put("theme", "dark")?)?;
        p.merge(&session, put("cart", &[1])?).map(drop)
    }),
    Rule::new("the last commit of a key wins", |p| {
        let session = p.session(json!({"theme": "light"}))?;
        p.merge(&session, put("theme", "dark")?)?;
        p.merge(&session, put("theme", "sepia")?).map(drop)
    }),
    Rule::new("a commit removes keys", |p| {
        let (session, mut changes) = (p.session(json!({"a": 1, "b": 2}))?, Changes::new());
        changes.remove("", "a")?;
        changes.remove("", "never there")?;
        changes.remove("component", "b")?;
        p.merge(&session, changes).map(drop)
    }),
    Rule::new("a commit clears everything and then sets", |p| {
        let session = with_components(p)?;
        // Stored after this request read the session: cleared all the same.
        p.merge(&session, put("later", &1)?)?;
        p.merge(&session, cleared("kept")?).map(drop)
    }),
    Rule::new("a commit clears one component and no other", |p| {
        let session = with_components(p)?;
        // The session's own keys are the component without a name.
        for component in ["cart", ""] {
            let mut changes = Changes::new();
            changes.clear_component(component);
            changes.insert("cart", "three", &3)?;
            p.merge(&session, changes)?;
        }
        Ok(())
    }),
    Rule::new("a commit sets and takes away timeout, label and remembered", |p| {
        let (session, timeout) = (p.session(json!({"a": 1}))?, Some(p.long() + Duration::from_millis(1)));
        let (set, taken) = (noted(timeout, Some("a phone"), true)?, noted(None, None, false)?);
        for changes in [set, put("b", &2)?, taken] {
            p.merge(&session, changes)?;
        }
        Ok(())
    }),
    Rule::new("every commit gives the next version", |p| {
        let session = p.session(json!({}))?;
        for changes in [put("a", &1)?, put("a", &1)?, Changes::new()] {
            p.merge(&session, changes)?;
        }
        Ok(())
    }),
    Rule::new("compare and swap is done if nothing changed", |p| {
        let mut session = p.session(json!({"n": 0}))?;
        for n in 1..=3 {
            // This is no change.
            p.touch(&session.id, &p.lease(p.long()))?;
            session = p.committed(&session.id, &session.exactly("n", &n)?, &p.lease(p.long()))?;
        }
        Ok(())
    }),
    Rule::new("compare and swap says Changed if something changed and writes nothing", |p| {
        let session = p.session(json!({"n": 0}))?;
        p.commit(&session.id, &session.exactly("n", &1)?)?;
        p.commit_for(&session.id, &session.exactly("n", &2)?, &p.lease(p.units(1)))?;
        let (_, replace) = Session { id: session.id, ..session }.replace()?;
        p.commit(&session.id, &replace).map(drop)
    }),
    Rule::new("a commit for another incarnation is gone and writes nothing", |p| {
        let first = p.session(json!({"user": "ada"}))?;
        p.destroy(&first.id)?;
        p.commit(&first.id, &Commit::create()?.with(put("user", "bob")?))?;
        let merge = first.put("user", "eve")?;
        for commit in [merge.clone(), merge.repeated(), first.exactly("user", "eve")?, first.replace()?.1] {
            p.commit_for(&first.id, &commit, &p.lease(p.units(1)))?;
        }
        Ok(())
    }),
    Rule::new("a commit never creates what it is to change", |p| {
        let destroyed = p.session(json!({}))?;
        p.destroy(&destroyed.id)?;
        for id in [new_id()?, destroyed.id] {
            for commit in [destroyed.put("a", &1)?, destroyed.put("a", &1)?.repeated(), destroyed.exactly("a", &1)?] {
                p.commit(&id, &commit)?;
            }
        }
        Ok(())
    }),
    Rule::new("a commit is accepted by its incarnation, whatever the secret", |p| {
        // The work of a request is not lost when its id has ended.
        let session = p.session(json!({}))?;
        let ended = Session { id: other_secret(&session.id)?, ..session };
        p.commit(&ended.id, &ended.put("a", &1)?)?;
        p.commit_for(&ended.id, &ended.put("b", &2)?.identity(Identity::Renew(7)), &p.renews(p.short()))?;
        p.get(&session.id).map(drop)
    }),
    Rule::new("a commit fills a session up to the limit", |p| {
        let session = p.session(json!({}))?;
        p.merge(&session, many(0..MAX_KEYS - 1)?)?;
        // Some are there already, one takes another's place: 1,024 in the end.
        let mut changes = many(MAX_KEYS - 10..MAX_KEYS + 1)?;
        changes.remove("", "0")?;
        p.merge(&session, changes)?;
        // None of the old ones counts after a clear.
        p.merge(&session, cleared("only")?).map(drop)
    }),
    Rule::new("a commit over the limit is an error and the session stays", |p| {
        let session = p.session(json!({"user": "ada"}))?;
        let (new, replace) = session.replace()?;
        for commit in [session.merge(many(0..MAX_KEYS)?)?, replace.with(many(0..MAX_KEYS)?)] {
            p.commit_for(&session.id, &commit, &p.lease(p.units(1)))?;
        }
        p.get(&new).map(drop)
    }),
];

/// A session with keys of its own and of two components.
fn with_components(p: &Fixture<'_>) -> Checked<Session> {
    let (session, mut changes) = (p.session(json!({}))?, put("own", &1)?);
    for component in ["cart", "cartoon"] {
        changes.insert(component, "one", &1)?;
        changes.insert(component, "two", &2)?;
    }
    p.merge(&session, changes).map(|_| session)
}

/// Changes that set so many keys.
fn many(range: std::ops::Range<usize>) -> Checked<Changes> {
    let mut changes = Changes::new();
    range.into_iter().try_for_each(|n| changes.insert("", &n.to_string(), &n))?;
    Ok(changes)
}
