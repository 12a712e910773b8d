//! Rules of saving: a commit merges into what is stored now, compares when asked to, and never brings a
//! session back.

use std::time::Duration;

use serde_json::{Value, json};

use super::finding::cleared;
use super::fixture::{Checked, Fixture, Session, data, done, holds, new_id, put, refused, same};
use crate::error::Error;
use crate::record::{Changes, MAX_KEYS};
use crate::store::{Commit, Identity, Outcome};

super::table![
    a_commit_changes_the_keys_it_names_and_no_others,
    a_commit_merges_into_what_is_stored_now,
    the_last_commit_of_a_key_wins,
    a_commit_removes_keys,
    a_commit_clears_everything_and_then_sets,
    a_commit_clears_one_component_and_no_other,
    a_commit_sets_and_takes_away_timeout_label_and_remembered,
    every_commit_gives_the_next_version,
    compare_and_swap_is_done_if_nothing_changed,
    compare_and_swap_says_changed_if_something_changed_and_writes_nothing,
    a_commit_for_another_incarnation_is_gone_and_writes_nothing,
    a_commit_never_creates_what_it_is_to_change,
    a_commit_is_accepted_by_incarnation,
    a_commit_fills_a_session_up_to_the_limit,
    a_commit_over_the_limit_is_an_error_and_the_session_stays,
];

/// Merges changes into a session.
fn save(p: &Fixture<'_>, session: &Session, changes: Changes) -> Checked {
    p.done(&session.id, &session.merge(changes)?).map(drop)
}

fn a_commit_changes_the_keys_it_names_and_no_others(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"a": 1, "c": 3, "e": 5}))?;
    let seen = p.found("the id", &session.id)?.record;
    let mut changes = Changes::new();
    for key in ["", "b", "c", "z"] {
        changes.insert("", key, "new")?;
    }
    save(p, &session, changes)?;
    let after = p.found("the id", &session.id)?.record;
    holds("the entries", &after, json!({"": "new", "a": 1, "b": "new", "c": "new", "e": 5, "z": "new"}))?;
    same("created_at", after.created_at(), seen.created_at())
}

fn a_commit_merges_into_what_is_stored_now(p: &Fixture<'_>) -> Checked {
    // Two requests read the same state and change different keys.
    let session = p.session(json!({"theme": "light", "user": "ada"}))?;
    save(p, &session, put("theme", "dark")?)?;
    save(p, &session, put("cart", &[1])?)?;
    p.holds(&session.id, json!({"theme": "dark", "user": "ada", "cart": [1]}))
}

fn the_last_commit_of_a_key_wins(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"theme": "light"}))?;
    for theme in ["dark", "sepia"] {
        save(p, &session, put("theme", theme)?)?;
    }
    p.holds(&session.id, json!({"theme": "sepia"}))
}

fn a_commit_removes_keys(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"a": 1, "b": 2}))?;
    let mut changes = Changes::new();
    changes.remove("", "a")?;
    changes.remove("", "never there")?;
    changes.remove("component", "b")?;
    save(p, &session, changes)?;
    p.holds(&session.id, json!({"b": 2}))
}

/// A session with keys of its own and of two components.
fn with_components(p: &Fixture<'_>) -> Checked<Session> {
    let mut changes = put("own", &1)?;
    for component in ["cart", "cartoon"] {
        changes.insert(component, "one", &1)?;
        changes.insert(component, "two", &2)?;
    }
    let session = p.session(json!({}))?;
    save(p, &session, changes)?;
    Ok(session)
}

fn a_commit_clears_everything_and_then_sets(p: &Fixture<'_>) -> Checked {
    let session = with_components(p)?;
    // Stored after this request read the session: cleared all the same.
    save(p, &session, put("later", &1)?)?;
    save(p, &session, cleared("kept")?)?;
    p.holds(&session.id, json!({"kept": 1}))
}

fn a_commit_clears_one_component_and_no_other(p: &Fixture<'_>) -> Checked {
    let session = with_components(p)?;
    let entries = || -> Checked<Value> { Ok(data(&p.found("the id", &session.id)?.record)?["entries"].clone()) };
    let mut changes = Changes::new();
    changes.clear_component("cart");
    changes.insert("cart", "three", &3)?;
    save(p, &session, changes)?;
    let expected = json!({"": {"own": 1}, "cart": {"three": 3}, "cartoon": {"one": 1, "two": 2}});
    same("the entries", entries()?, expected)?;
    // The session's own keys are the component without a name.
    let mut changes = Changes::new();
    changes.clear_component("");
    save(p, &session, changes)?;
    same("the entries", entries()?, json!({"cart": {"three": 3}, "cartoon": {"one": 1, "two": 2}}))
}

fn a_commit_sets_and_takes_away_timeout_label_and_remembered(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"a": 1}))?;
    let noted = |timeout, label, remembered| -> Checked<Changes> {
        let mut changes = Changes::new();
        changes.set_timeout(timeout);
        changes.set_label(label)?;
        changes.remember(remembered);
        Ok(changes)
    };
    let timeout = Some(p.long() + Duration::from_millis(1));
    for (what, changes, expected) in [
        ("after all were set", noted(timeout, Some("a phone"), true)?, (timeout, Some("a phone"), true)),
        ("after a commit of something else", put("b", &2)?, (timeout, Some("a phone"), true)),
        ("after a clear", cleared("b")?, (timeout, Some("a phone"), true)),
        ("after all were taken away", noted(None, None, false)?, (None, None, false)),
    ] {
        save(p, &session, changes)?;
        let found = p.found("the id", &session.id)?.record;
        let found = (found.timeout(), found.label(), found.is_remembered());
        same(&format!("timeout, label and remembered {what}"), found, expected)?;
    }
    p.holds(&session.id, json!({"b": 1}))
}

fn every_commit_gives_the_next_version(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    for changes in [put("a", &1)?, put("a", &1)?, Changes::new()] {
        let next = changes.apply(&p.found("the id", &session.id)?.record)?.version();
        save(p, &session, changes)?;
        same("the version after a commit", p.found("the id", &session.id)?.record.version(), next)?;
    }
    Ok(())
}

fn compare_and_swap_is_done_if_nothing_changed(p: &Fixture<'_>) -> Checked {
    let mut session = p.session(json!({"n": 0}))?;
    for n in 1..=3 {
        // This is no change.
        done("touch", p.store.touch(&session.id, &p.lease(p.long())))?;
        session.version = p.done(&session.id, &session.exactly("n", &n)?)?.version;
    }
    p.holds(&session.id, json!({"n": 3}))
}

fn compare_and_swap_says_changed_if_something_changed_and_writes_nothing(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"n": 0}))?;
    p.done(&session.id, &session.exactly("n", &1)?)?;
    let seen = p.found("the id", &session.id)?;
    p.says(&session.id, &session.exactly("n", &2)?, Outcome::Changed)?;
    p.unchanged("the session", &session.id, &seen)
}

fn a_commit_for_another_incarnation_is_gone_and_writes_nothing(p: &Fixture<'_>) -> Checked {
    let first = p.session(json!({"user": "ada"}))?;
    done("destroy", p.store.destroy(&first.id))?;
    p.done(&first.id, &Commit::create()?.with(put("user", "bob")?))?;
    let second = p.found("the id", &first.id)?;
    let merge = first.put("user", "eve")?;
    for commit in [merge.clone(), first.exactly("user", "eve")?, first.replace()?.1] {
        p.says(&first.id, &commit, Outcome::Gone)?;
    }
    // It may have been carried out before the second session began.
    refused("a repeat", p.commit(&first.id, &merge.repeated()), Error::is_unknown, "is_unknown")?;
    p.unchanged("the second session", &first.id, &second)
}

fn a_commit_never_creates_what_it_is_to_change(p: &Fixture<'_>) -> Checked {
    let destroyed = p.session(json!({}))?;
    done("destroy", p.store.destroy(&destroyed.id))?;
    for id in [new_id()?, destroyed.id] {
        for commit in [destroyed.put("a", &1)?, destroyed.put("a", &1)?.repeated(), destroyed.exactly("a", &1)?] {
            p.says(&id, &commit, Outcome::Gone)?;
            p.nothing("the id", &id)?;
        }
    }
    Ok(())
}

fn a_commit_is_accepted_by_incarnation(p: &Fixture<'_>) -> Checked {
    // The work of a request is not lost when its id has ended: its incarnation is proof enough.
    let session = p.session(json!({}))?;
    let ended = Session { id: super::fixture::other_secret(&session.id)?, ..session };
    p.done(&ended.id, &ended.put("a", &1)?)?;
    p.done(&ended.id, &ended.put("b", &2)?.identity(Identity::Renew(7)))?;
    p.holds(&session.id, json!({"a": 1, "b": 2}))?;
    p.nothing("the id that the commits came with", &ended.id)
}

/// Changes that set so many keys.
fn keys(range: std::ops::Range<usize>) -> Checked<Changes> {
    let mut changes = Changes::new();
    range.into_iter().try_for_each(|n| changes.insert("", &n.to_string(), &n))?;
    Ok(changes)
}

fn a_commit_fills_a_session_up_to_the_limit(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    save(p, &session, keys(0..MAX_KEYS - 1)?)?;
    // Some are there already, one takes another's place: 1,024 in the end.
    let mut changes = keys(MAX_KEYS - 10..MAX_KEYS + 1)?;
    changes.remove("", "0")?;
    save(p, &session, changes)?;
    same("the number of keys", p.found("the id", &session.id)?.record.len(), MAX_KEYS)?;
    // None of the old ones counts after a clear.
    save(p, &session, cleared("only")?)?;
    p.holds(&session.id, json!({"only": 1}))
}

fn a_commit_over_the_limit_is_an_error_and_the_session_stays(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"user": "ada"}))?;
    let seen = p.found("the id", &session.id)?;
    let mut changes = keys(0..MAX_KEYS)?;
    changes.remember(true);
    let (new, replace) = session.replace()?;
    for commit in [session.merge(changes.clone())?, replace.with(changes)] {
        let committed = p.store.commit(&session.id, &commit, &p.lease(p.units(1)));
        refused("a commit of a 1,025th key", committed, Error::is_size, "is_size")?;
        p.unchanged("the session", &session.id, &seen)?;
    }
    p.nothing("the refused id", &new)
}
