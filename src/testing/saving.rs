//! Rules of saving: it merges into what is stored now, compares when asked to, and never brings a session back.

use std::time::Duration;

use serde_json::json;

use super::probe::{Checked, Probe, conflict, data, done, gone, holds, new_id, put, record, refused, same, to};
use crate::error::Error;
use crate::record::{Changes, Expected, MAX_KEYS, Record};

super::table![
    save_changes_the_keys_it_names_and_no_others,
    save_merges_into_what_is_stored_now,
    the_last_save_of_a_key_wins,
    save_removes_keys,
    save_clears_everything_and_then_sets,
    save_clears_one_component_and_no_other,
    save_sets_and_takes_away_timeout_and_owner,
    every_save_gives_the_next_version,
    save_exactly_is_done_if_nothing_changed,
    save_exactly_says_conflict_if_something_changed_and_writes_nothing,
    save_into_another_incarnation_is_gone_and_writes_nothing,
    save_never_creates,
    save_fills_a_session_up_to_the_limit,
    save_over_the_limit_is_an_error_and_the_session_stays,
];

/// Saves, merging, and expects it to be done.
fn save(p: &Probe<'_>, id: &crate::SessionId, changes: &Changes, seen: &Record) -> Checked {
    done("save", p.store.save(id, changes, p.long(), to(seen)))
}

fn save_changes_the_keys_it_names_and_no_others(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"a": 1, "c": 3, "e": 5}))?;
    let seen = p.found("the id", &id)?.record;
    let mut changes = Changes::new();
    for key in ["", "b", "c", "z"] {
        changes.insert("", key, "new")?;
    }
    save(p, &id, &changes, &seen)?;
    let after = p.found("the id", &id)?.record;
    holds("the entries", &after, json!({"": "new", "a": 1, "b": "new", "c": "new", "e": 5, "z": "new"}))?;
    same("created_at", after.created_at(), seen.created_at())
}

fn save_merges_into_what_is_stored_now(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"theme": "light", "user": "ada"}))?;
    // Two requests read the same state and change different keys.
    let seen = p.found("the id", &id)?.record;
    save(p, &id, &put("theme", "dark")?, &seen)?;
    save(p, &id, &put("cart", &[1])?, &seen)?;
    let after = p.found("the id", &id)?.record;
    holds("the entries after two saves", &after, json!({"theme": "dark", "user": "ada", "cart": [1]}))
}

fn the_last_save_of_a_key_wins(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"theme": "light"}))?;
    let seen = p.found("the id", &id)?.record;
    for theme in ["dark", "sepia"] {
        save(p, &id, &put("theme", theme)?, &seen)?;
    }
    holds("the entries", &p.found("the id", &id)?.record, json!({"theme": "sepia"}))
}

fn save_removes_keys(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"a": 1, "b": 2}))?;
    let seen = p.found("the id", &id)?.record;
    let mut changes = Changes::new();
    changes.remove("", "a")?;
    changes.remove("", "never there")?;
    changes.remove("component", "b")?;
    save(p, &id, &changes, &seen)?;
    holds("the entries", &p.found("the id", &id)?.record, json!({"b": 2}))
}

/// A session with keys of its own and of two components.
fn with_components(p: &Probe<'_>) -> Checked<(crate::SessionId, Record)> {
    let mut changes = put("own", &1)?;
    for component in ["cart", "cartoon"] {
        changes.insert(component, "one", &1)?;
        changes.insert(component, "two", &2)?;
    }
    let id = new_id()?;
    done("create", p.store.create(&id, changes.apply(&Record::new())?, p.long()))?;
    Ok((id, p.found("the id", &id)?.record))
}

fn save_clears_everything_and_then_sets(p: &Probe<'_>) -> Checked {
    let (id, seen) = with_components(p)?;
    // Stored after this request read the session: cleared all the same.
    save(p, &id, &put("later", &1)?, &seen)?;
    let mut changes = Changes::new();
    changes.clear();
    changes.insert("", "kept", &1)?;
    save(p, &id, &changes, &seen)?;
    holds("the entries", &p.found("the id", &id)?.record, json!({"kept": 1}))
}

fn save_clears_one_component_and_no_other(p: &Probe<'_>) -> Checked {
    let (id, seen) = with_components(p)?;
    let mut changes = Changes::new();
    changes.clear_component("cart");
    changes.insert("cart", "three", &3)?;
    save(p, &id, &changes, &seen)?;
    let entries = json!({"": {"own": 1}, "cart": {"three": 3}, "cartoon": {"one": 1, "two": 2}});
    same("the entries", &data(&p.found("the id", &id)?.record)?["entries"], &entries)?;
    // The session's own keys are the component without a name.
    let mut changes = Changes::new();
    changes.clear_component("");
    save(p, &id, &changes, &seen)?;
    let entries = json!({"cart": {"three": 3}, "cartoon": {"one": 1, "two": 2}});
    same("the entries", &data(&p.found("the id", &id)?.record)?["entries"], &entries)
}

fn save_sets_and_takes_away_timeout_and_owner(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"a": 1}))?;
    let seen = p.found("the id", &id)?.record;
    let timeout = Duration::from_millis(90_001);
    let mut login = Changes::new();
    login.set_timeout(Some(timeout));
    login.set_owner(Some("ada"))?;
    let mut logout = Changes::new();
    logout.set_timeout(None);
    logout.set_owner(None)?;
    let other = put("b", &2)?;
    for (what, changes, expected) in [
        ("after both were set", login, Some((timeout, "ada"))),
        ("after a save of something else", other, Some((timeout, "ada"))),
        ("after both were taken away", logout, None),
    ] {
        save(p, &id, &changes, &seen)?;
        let found = p.found("the id", &id)?.record;
        same(&format!("timeout and owner {what}"), found.timeout().zip(found.owner()), expected)?;
    }
    holds("the entries", &p.found("the id", &id)?.record, json!({"a": 1, "b": 2}))
}

fn every_save_gives_the_next_version(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({}))?;
    for changes in [put("a", &1)?, put("a", &1)?, Changes::new()] {
        let before = p.found("the id", &id)?.record;
        save(p, &id, &changes, &before)?;
        let next = changes.apply(&before)?.version();
        same("the version after a save", p.found("the id", &id)?.record.version(), next)?;
    }
    Ok(())
}

fn save_exactly_is_done_if_nothing_changed(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"n": 0}))?;
    for n in 1..=3 {
        let seen = p.found("the id", &id)?.record;
        // Neither of these is a change.
        done("touch", p.store.touch(&id, p.long()))?;
        let exactly = Expected::Exactly(seen.version());
        done("save exactly", p.store.save(&id, &put("n", &n)?, p.long(), exactly))?;
    }
    holds("the entries", &p.found("the id", &id)?.record, json!({"n": 3}))
}

fn save_exactly_says_conflict_if_something_changed_and_writes_nothing(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"n": 0}))?;
    let old = Expected::Exactly(p.found("the id", &id)?.record.version());
    done("save exactly", p.store.save(&id, &put("n", &1)?, p.long(), old))?;
    let seen = p.found("the id", &id)?;
    conflict("save exactly of an old version", p.store.save(&id, &put("n", &2)?, p.units(1), old))?;
    p.unchanged("the session", &id, &seen)
}

fn save_into_another_incarnation_is_gone_and_writes_nothing(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?;
    let first = p.found("the id", &id)?.record;
    done("destroy", p.store.destroy(&id))?;
    done("create again", p.store.create(&id, record(json!({"user": "bob"})), p.long()))?;
    let second = p.found("the id", &id)?;
    let changes = put("user", "eve")?;
    gone("save for the first session", p.store.save(&id, &changes, p.units(1), to(&first)))?;
    let exactly = Expected::Exactly(first.version());
    gone("save exactly for the first session", p.store.save(&id, &changes, p.units(1), exactly))?;
    p.unchanged("the second session", &id, &second)
}

fn save_never_creates(p: &Probe<'_>) -> Checked {
    let (unknown, destroyed) = (new_id()?, p.session(json!({}))?);
    let seen = p.found("the id", &destroyed)?.record;
    done("destroy", p.store.destroy(&destroyed))?;
    for (whose, id) in [("an unknown id", unknown), ("a destroyed id", destroyed)] {
        gone(&format!("save with {whose}"), p.store.save(&id, &put("a", &1)?, p.long(), to(&seen)))?;
        p.nothing(whose, &id)?;
    }
    Ok(())
}

/// Changes that set so many keys.
fn keys(range: std::ops::Range<usize>) -> Checked<Changes> {
    let mut changes = Changes::new();
    for n in range {
        changes.insert("", &n.to_string(), &n)?;
    }
    Ok(changes)
}

fn save_fills_a_session_up_to_the_limit(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({}))?;
    let seen = p.found("the id", &id)?.record;
    save(p, &id, &keys(0..MAX_KEYS - 1)?, &seen)?;
    // Some are there already, one takes another's place: 1,024 in the end.
    let mut changes = keys(MAX_KEYS - 10..MAX_KEYS + 1)?;
    changes.remove("", "0")?;
    save(p, &id, &changes, &seen)?;
    same("the number of keys", p.found("the id", &id)?.record.len(), MAX_KEYS)?;
    // None of the old ones counts after a clear.
    let mut changes = Changes::new();
    changes.clear();
    changes.insert("", "only", &1)?;
    save(p, &id, &changes, &seen)?;
    holds("the entries", &p.found("the id", &id)?.record, json!({"only": 1}))
}

fn save_over_the_limit_is_an_error_and_the_session_stays(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?;
    let seen = p.found("the id", &id)?;
    let mut changes = keys(0..MAX_KEYS)?;
    changes.set_owner(Some("eve"))?;
    let saved = p.store.save(&id, &changes, p.units(1), to(&seen.record));
    refused("save of a 1,025th key", saved, Error::is_limit, "is_limit")?;
    p.unchanged("the session", &id, &seen)
}
