//! Rules of finding: what create and set store is what a look gives out, and only to the right id.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::fixture::{
    Checked, Fixture, Session, broken, data, done, holds, new_id, other_secret, owner, put, record, refused, same,
};
use crate::error::Error;
use crate::record::{Changes, MAX_KEY_BYTES, MAX_KEYS, Record};
use crate::store::{Commit, Login, Outcome};

super::table![
    a_created_session_is_found_with_its_data_and_its_time,
    every_kind_of_json_comes_back_as_it_went_in,
    any_text_up_to_255_bytes_is_a_key,
    keys_of_components_stay_apart_and_no_component_is_special,
    what_is_noted_about_a_session_comes_back,
    create_and_set_note_when_the_session_was_made,
    a_receipt_has_the_version_and_the_time_that_get_finds,
    create_says_taken_for_a_live_handle_and_leaves_that_session_alone,
    create_for_no_time_is_done_and_leaves_nothing,
    each_created_session_is_an_incarnation_of_its_own,
    create_and_set_refuse_a_record_over_the_limits_and_leave_what_is_stored,
    set_makes_a_session,
    set_replaces_all_of_a_session,
    a_commit_for_a_session_that_set_replaced_is_gone,
    set_refuses_the_handle_of_a_live_session_with_another_secret,
    set_for_no_time_leaves_nothing,
    an_unknown_id_is_a_value_and_not_an_error,
    the_right_handle_with_a_wrong_secret_opens_nothing,
    a_record_given_to_two_ids_makes_two_sessions,
];

fn a_created_session_is_found_with_its_data_and_its_time(p: &Fixture<'_>) -> Checked {
    let (one, two) = (p.session(json!({"user": "ada", "visits": 1}))?, p.session(json!({}))?);
    p.holds(&one.id, json!({"user": "ada", "visits": 1}))?;
    p.left("its time left", p.found("the id of the first", &one.id)?.ttl, p.long())?;
    p.holds(&two.id, json!({}))
}

fn every_kind_of_json_comes_back_as_it_went_in(p: &Fixture<'_>) -> Checked {
    let entries = json!({
        "null": null, "true": true, "false": false,
        "zero": 0, "negative": -1, "largest": u64::MAX, "smallest": i64::MIN, "fraction": 0.1, "tiny": 1e-300,
        "empty text": "", "text": "tea \u{1F375} \u{0} \n \" \\ \u{2028} \u{00e9}", "long text": "x".repeat(4000),
        "empty list": [], "list": [1, "two", null, [3.5, {}]],
        "empty map": {}, "map": {"": {"deep": [{"er": true}]}, "z": 1, "a": 2},
    });
    p.holds(&p.session(entries.clone())?.id, entries)
}

fn any_text_up_to_255_bytes_is_a_key(p: &Fixture<'_>) -> Checked {
    let (longest, wide) = ("k".repeat(MAX_KEY_BYTES), "\u{00e9}".repeat(MAX_KEY_BYTES / 2));
    let keys = ["", " ", "a b", "a\nb", "a\u{0}b", "\u{0}", "\u{7f}", "\u{1F375}", "\"'`$*{}[]:;\\", "0", "-1"];
    let keys: Vec<&str> = keys.into_iter().chain([&*longest, &*wide]).collect();
    let entries: Value = keys.iter().enumerate().map(|(n, key)| (key.to_string(), json!(n))).collect();
    p.holds(&p.session(entries.clone())?.id, entries.clone())?;
    // And one by one, by merging, which may write keys in another way.
    let other = p.session(json!({}))?;
    for (n, key) in keys.iter().enumerate() {
        p.done(&other.id, &other.put(key, &n)?)?;
    }
    p.holds(&other.id, entries)
}

fn keys_of_components_stay_apart_and_no_component_is_special(p: &Fixture<'_>) -> Checked {
    let longest = "c".repeat(MAX_KEY_BYTES);
    // Names that are one and the same if a store just writes them one after the other; and names that
    // a store may have taken for itself.
    let names = [("", "ab"), ("a", "b"), ("ab", ""), ("a", ""), ("", ""), ("a:", "b"), ("a", ":b"), ("\u{0}", "a")];
    let own = [("", "\u{0}a"), ("lembro", "label"), ("lembro", "owner"), ("", "owner"), (&*longest, &*longest)];
    let mut changes = Changes::new();
    for (n, (component, key)) in names.into_iter().chain(own).enumerate() {
        changes.insert(component, key, &n)?;
    }
    let expected = data(&changes.apply(&Record::new())?)?;
    let (created, merged) = (new_id()?, p.session(json!({}))?);
    p.done(&created, &Commit::create()?.with(changes.clone()))?;
    p.done(&merged.id, &merged.merge(changes)?)?;
    for id in [created, merged.id] {
        let found = data(&p.found("the id", &id)?.record)?;
        same("the record", (&found["entries"], &found["owner"]), (&expected["entries"], &Value::Null))?;
    }
    Ok(())
}

fn what_is_noted_about_a_session_comes_back(p: &Fixture<'_>) -> Checked {
    let mut changes = put("user", "ada")?;
    changes.set_timeout(Some(p.long() + Duration::from_millis(567)));
    changes.set_label(Some("Firefox \u{1F375}"))?;
    changes.remember(true);
    let ada = Login::new(owner("ada \u{1F375}")?);
    let create = Commit::create()?.with(changes).log_in(ada.clone());
    let session = Session { id: new_id()?, version: p.done(&new_id()?, &create)?.version };
    p.done(&session.id, &create)?;
    let session = p.logged_in(&session, ada)?;
    p.done(&session.id, &session.merge(cleared("later")?)?)?;
    let stored = p.found("the id", &session.id)?;
    holds("the entries after a clear", &stored.record, json!({"later": 1}))?;
    let noted = (stored.record.owner(), stored.record.label(), stored.record.is_remembered());
    same("owner, label and remembered", noted, (Some("ada \u{1F375}"), Some("Firefox \u{1F375}"), true))?;
    same("the timeout", stored.record.timeout(), Some(p.long() + Duration::from_millis(567)))?;
    same("whether owner_since is noted", stored.record.owner_since().is_some(), true)?;
    // All of it moves with the record, from another store, say.
    let moved = new_id()?;
    p.store.set(&moved, stored.record.clone(), p.long())?;
    same("the record that was set", data(&p.found("the id", &moved)?.record)?, data(&stored.record)?)
}

/// Changes that clear all and set one key.
pub(super) fn cleared(key: &str) -> Checked<Changes> {
    let mut changes = Changes::new();
    changes.clear();
    changes.insert("", key, &1)?;
    Ok(changes)
}

fn create_and_set_note_when_the_session_was_made(p: &Fixture<'_>) -> Checked {
    let now = p.store.clock().wall();
    let (created, set) = (p.session(json!({}))?.id, new_id()?);
    p.store.set(&set, Record::new(), p.long())?;
    for id in [created, set] {
        let made = p.found("the id", &id)?.record.created_at().unwrap_or(UNIX_EPOCH);
        // A database may go by a clock of its own.
        let apart = made.duration_since(now).or_else(|_| now.duration_since(made)).unwrap_or(Duration::MAX);
        if apart > Duration::from_secs(60) {
            return broken(format!("created_at of a stored session: expected {now:?}, found {made:?}"));
        }
    }
    Ok(())
}

fn a_receipt_has_the_version_and_the_time_that_get_finds(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({}))?;
    let (new, replace) = session.replace()?;
    let mut version = session.version;
    for (id, commit) in [(session.id, session.put("a", &1)?), (session.id, session.put("a", &1)?), (new, replace)] {
        let receipt = p.done(&session.id, &commit)?;
        let stored = p.found("the id", &id)?;
        same("the version", stored.record.version(), receipt.version)?;
        p.left("the time in the receipt", receipt.ttl, stored.ttl)?;
        same("whether the version is another one", receipt.version == version, false)?;
        version = receipt.version;
    }
    Ok(())
}

fn create_says_taken_for_a_live_handle_and_leaves_that_session_alone(p: &Fixture<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?.id;
    let (seen, other) = (p.found("the id", &id)?, other_secret(&id)?);
    for id in [&id, &other] {
        p.says(id, &Commit::create()?.with(put("user", "eve")?), Outcome::Taken)?;
    }
    p.unchanged("the first session", &id, &seen)?;
    p.nothing("the refused id", &other)
}

fn create_for_no_time_is_done_and_leaves_nothing(p: &Fixture<'_>) -> Checked {
    let id = p.session_for(json!({"user": "ada"}), Duration::ZERO)?.id;
    p.nothing("the id", &id)?;
    p.done(&id, &Commit::create()?.with(put("user", "bob")?))?;
    p.holds(&id, json!({"user": "bob"}))
}

fn each_created_session_is_an_incarnation_of_its_own(p: &Fixture<'_>) -> Checked {
    let (id, create) = (new_id()?, || Commit::create().and_then(|create| Ok(create.with(Changes::new()))));
    let first = Session { id, version: p.done(&id, &create()?)?.version };
    done("destroy", p.store.destroy(&id))?;
    p.done(&id, &create()?)?;
    let second = p.found("the id", &id)?;
    p.says(&id, &first.put("user", "eve")?, Outcome::Gone)?;
    p.unchanged("the second session", &id, &second)
}

fn create_and_set_refuse_a_record_over_the_limits_and_leave_what_is_stored(p: &Fixture<'_>) -> Checked {
    let many: Record = (0..=MAX_KEYS).map(|n| (n.to_string(), n)).collect();
    let long: Record = [("k".repeat(MAX_KEY_BYTES + 1), 1)].into_iter().collect();
    let (new, there) = (new_id()?, p.session(json!({"user": "ada"}))?.id);
    let seen = p.found("the id", &there)?;
    let create = p.commit(&new, &Commit::create()?.with(Changes::from(&many)));
    refused("create with 1,025 keys", create, Error::is_size, "is_size")?;
    p.nothing("the refused id", &new)?;
    for (what, record) in [("1,025 keys", many), ("a key of 256 bytes", long)] {
        let set = p.store.set(&there, record, p.units(1));
        refused(&format!("set with {what}"), set, Error::is_size, "is_size")?;
        p.unchanged("the session that was there", &there, &seen)?;
    }
    Ok(())
}

fn set_makes_a_session(p: &Fixture<'_>) -> Checked {
    let id = new_id()?;
    p.store.set(&id, record(json!({"user": "ada"})), p.long())?;
    p.holds(&id, json!({"user": "ada"}))?;
    p.left("its time left", p.found("the id", &id)?.ttl, p.long())
}

fn set_replaces_all_of_a_session(p: &Fixture<'_>) -> Checked {
    let session = p.session_of("ada")?;
    let mut noted = put("timeout", &1)?;
    noted.set_timeout(Some(p.long()));
    p.done(&session.id, &session.merge(noted)?)?;
    p.store.set(&session.id, record(json!({"user": "bob"})), p.long() * 2)?;
    let stored = p.found("the id", &session.id)?;
    holds("the entries", &stored.record, json!({"user": "bob"}))?;
    same("owner and timeout", (stored.record.owner(), stored.record.timeout()), (None::<&str>, None::<Duration>))?;
    p.left("the time left", stored.ttl, p.long() * 2)
}

fn a_commit_for_a_session_that_set_replaced_is_gone(p: &Fixture<'_>) -> Checked {
    let session = p.session(json!({"user": "ada"}))?;
    // The very record that is stored: even that is another session from now on.
    p.store.set(&session.id, p.found("the id", &session.id)?.record, p.long())?;
    let second = p.found("the id", &session.id)?;
    p.says(&session.id, &session.put("user", "eve")?, Outcome::Gone)?;
    p.unchanged("the session in its place", &session.id, &second)
}

fn set_refuses_the_handle_of_a_live_session_with_another_secret(p: &Fixture<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?.id;
    let (seen, other) = (p.found("the id", &id)?, other_secret(&id)?);
    for ttl in [p.units(1), Duration::ZERO] {
        let set = p.store.set(&other, record(json!({"user": "eve"})), ttl);
        refused("set with another secret", set, Error::is_taken, "is_taken")?;
    }
    p.unchanged("the session that was there", &id, &seen)?;
    p.nothing("the refused id", &other)
}

fn set_for_no_time_leaves_nothing(p: &Fixture<'_>) -> Checked {
    for id in [new_id()?, p.session(json!({"user": "ada"}))?.id] {
        p.store.set(&id, record(json!({"user": "bob"})), Duration::ZERO)?;
        p.nothing("the id", &id)?;
    }
    Ok(())
}

fn an_unknown_id_is_a_value_and_not_an_error(p: &Fixture<'_>) -> Checked {
    let seen = p.session(json!({}))?;
    p.dead("an id that no session has", &Session { id: new_id()?, ..seen }, Outcome::Gone)
}

fn the_right_handle_with_a_wrong_secret_opens_nothing(p: &Fixture<'_>) -> Checked {
    let (session, another) = (p.session(json!({"user": "ada"}))?, p.session(json!({}))?);
    let seen = p.found("the id", &session.id)?;
    // A client that guesses secrets has not seen the session's version either.
    p.dead("a wrong secret", &Session { id: other_secret(&session.id)?, ..another }, Outcome::Gone)?;
    p.unchanged("the session", &session.id, &seen)
}

fn a_record_given_to_two_ids_makes_two_sessions(p: &Fixture<'_>) -> Checked {
    let (one, two, shared) = (new_id()?, new_id()?, record(json!({"user": "ada"})));
    for id in [&one, &two] {
        p.store.set(id, shared.clone(), p.long())?;
    }
    let (first, seen) = (p.found("the first id", &one)?, p.found("the second id", &two)?);
    done("touch of the first", p.store.touch(&one, &p.lease(p.long() * 2)))?;
    p.unchanged("the second session, after the first was touched", &two, &seen)?;
    let first = Session { id: one, version: first.record.version() };
    p.done(&one, &first.put("user", "bob")?)?;
    p.says(&two, &first.put("user", "bob")?, Outcome::Gone)?;
    done("destroy of the first", p.store.destroy(&one))?;
    p.unchanged("the second session, after all that", &two, &seen)?;
    holds("the record that was given", &shared, json!({"user": "ada"}))
}
