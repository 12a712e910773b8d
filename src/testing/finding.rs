//! Rules of finding: what create and set store is what get gives out, and only to the right id.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::probe::{
    Checked, Probe, broken, conflict, data, done, gone, holds, new_id, other_secret, put, record, refused, same, to,
};
use crate::error::Error;
use crate::record::{Changes, MAX_KEY_BYTES, MAX_KEYS, Record};

super::table![
    a_created_session_is_found_with_its_data_and_its_time,
    every_kind_of_json_comes_back_as_it_went_in,
    any_text_up_to_255_bytes_is_a_key,
    keys_of_components_stay_apart,
    timeout_owner_and_creation_time_come_back,
    create_and_set_note_when_the_session_was_made,
    create_keeps_the_version_of_an_admitted_record,
    create_says_conflict_for_a_taken_handle_and_leaves_that_session_alone,
    create_for_no_time_is_done_and_leaves_nothing,
    each_created_session_is_an_incarnation_of_its_own,
    create_and_set_refuse_a_record_over_the_limits_and_leave_what_is_stored,
    set_makes_a_session,
    set_replaces_all_of_a_session,
    a_save_for_a_session_that_set_replaced_is_gone,
    set_refuses_the_handle_of_a_live_session_with_another_secret,
    set_for_no_time_leaves_nothing,
    an_unknown_id_is_a_value_and_not_an_error,
    the_right_handle_with_a_wrong_secret_opens_nothing,
    a_record_given_to_two_ids_makes_two_sessions,
];

fn a_created_session_is_found_with_its_data_and_its_time(p: &Probe<'_>) -> Checked {
    let (one, two) = (p.session(json!({"user": "ada", "visits": 1}))?, p.session(json!({}))?);
    let stored = p.found("the id of the first", &one)?;
    holds("its entries", &stored.record, json!({"user": "ada", "visits": 1}))?;
    p.left("its time left", stored.ttl, p.long())?;
    holds("the entries of a session without any", &p.found("the id of the second", &two)?.record, json!({}))
}

fn every_kind_of_json_comes_back_as_it_went_in(p: &Probe<'_>) -> Checked {
    let entries = json!({
        "null": null, "true": true, "false": false,
        "zero": 0, "negative": -1, "largest": u64::MAX, "smallest": i64::MIN, "fraction": 0.1, "tiny": 1e-300,
        "empty text": "", "text": "tea \u{1F375} \u{0} \n \" \\ \u{2028} \u{00e9}", "long text": "x".repeat(4000),
        "empty list": [], "list": [1, "two", null, [3.5, {}]],
        "empty map": {}, "map": {"": {"deep": [{"er": true}]}, "z": 1, "a": 2},
    });
    let id = p.session(entries.clone())?;
    holds("the entries", &p.found("the id", &id)?.record, entries)
}

fn any_text_up_to_255_bytes_is_a_key(p: &Probe<'_>) -> Checked {
    let longest = "k".repeat(MAX_KEY_BYTES);
    let wide = "\u{00e9}".repeat(MAX_KEY_BYTES / 2);
    let keys = [
        "",
        " ",
        "a b",
        "a\nb",
        "a\u{0}b",
        "\u{0}",
        "\u{7f}",
        "\u{1F375}",
        "\"'`$*{}[]:;\\",
        "0",
        "-1",
        &longest,
        &wide,
    ];
    let entries: Value = keys.iter().enumerate().map(|(n, key)| (key.to_string(), json!(n))).collect();
    let id = p.session(entries.clone())?;
    holds("the entries", &p.found("the id", &id)?.record, entries.clone())?;
    // And one by one, through save, which may write keys in another way.
    let other = p.session(json!({}))?;
    for (n, key) in keys.iter().enumerate() {
        let seen = p.found("the id", &other)?;
        done("save of one key", p.store.save(&other, &put(key, &n)?, p.long(), to(&seen.record)))?;
    }
    holds("the entries, saved one by one", &p.found("the id", &other)?.record, entries)
}

fn keys_of_components_stay_apart(p: &Probe<'_>) -> Checked {
    // Names that are one and the same if a store just writes them one after the other.
    let longest = "c".repeat(MAX_KEY_BYTES);
    let names = [
        ("", "ab"),
        ("a", "b"),
        ("ab", ""),
        ("a", ""),
        ("", ""),
        ("a:", "b"),
        ("a", ":b"),
        ("\u{0}", "a"),
        ("", "\u{0}a"),
    ];
    let mut changes = Changes::new();
    for (n, (component, key)) in names.into_iter().chain([(longest.as_str(), longest.as_str())]).enumerate() {
        changes.insert(component, key, &n)?;
    }
    let begun = changes.apply(&Record::new())?;
    let (created, saved) = (new_id()?, p.session(json!({}))?);
    done("create", p.store.create(&created, begun.clone(), p.long()))?;
    let seen = p.found("the id", &saved)?;
    done("save", p.store.save(&saved, &changes, p.long(), to(&seen.record)))?;
    for (whose, id) in [("the created session's id", created), ("the saved session's id", saved)] {
        same("the entries", &data(&p.found(whose, &id)?.record)?["entries"], &data(&begun)?["entries"])?;
    }
    Ok(())
}

fn timeout_owner_and_creation_time_come_back(p: &Probe<'_>) -> Checked {
    let mut changes = put("user", "ada")?;
    changes.set_timeout(Some(Duration::from_millis(1_234_567)));
    changes.set_owner(Some("ada \u{1F375}"))?;
    let made = UNIX_EPOCH + Duration::from_millis(981_173_106_789);
    let given = changes.apply(&Record::new().admit(made)?)?;
    for set in [false, true] {
        let id = new_id()?;
        if set {
            p.store.set(&id, given.clone(), p.long())?;
        } else {
            done("create", p.store.create(&id, given.clone(), p.long()))?;
        }
        same("the record", data(&p.found("the id", &id)?.record)?, data(&given)?)?;
    }
    Ok(())
}

fn create_and_set_note_when_the_session_was_made(p: &Probe<'_>) -> Checked {
    let now = p.store.clock().wall();
    let (created, set) = (p.session(json!({}))?, new_id()?);
    p.store.set(&set, Record::new(), p.long())?;
    for id in [created, set] {
        let Some(made) = p.found("the id", &id)?.record.created_at() else {
            return broken("created_at of a stored session: expected the time of the store's clock, found none");
        };
        // A database may go by a clock of its own.
        let apart = made.duration_since(now).or_else(|_| now.duration_since(made)).unwrap_or(Duration::MAX);
        if apart > Duration::from_secs(60) {
            return broken(format!("created_at of a stored session: expected {now:?}, found {made:?}"));
        }
    }
    Ok(())
}

fn create_keeps_the_version_of_an_admitted_record(p: &Probe<'_>) -> Checked {
    let id = new_id()?;
    let admitted = record(json!({"user": "ada"})).admit(p.store.clock().wall())?;
    done("create", p.store.create(&id, admitted.clone(), p.long()))?;
    same("the version", p.found("the id", &id)?.record.version(), admitted.version())
}

fn create_says_conflict_for_a_taken_handle_and_leaves_that_session_alone(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?;
    let (seen, other) = (p.found("the id", &id)?, other_secret(&id)?);
    for ttl in [p.units(1), Duration::ZERO] {
        conflict("create with the same id", p.store.create(&id, record(json!({"user": "eve"})), ttl))?;
        conflict("create with the same handle", p.store.create(&other, record(json!({"user": "eve"})), ttl))?;
    }
    p.unchanged("the first session", &id, &seen)?;
    p.nothing("the refused id", &other)
}

fn create_for_no_time_is_done_and_leaves_nothing(p: &Probe<'_>) -> Checked {
    let id = p.session_for(json!({"user": "ada"}), Duration::ZERO)?;
    p.nothing("the id", &id)?;
    done("create again", p.store.create(&id, record(json!({"user": "bob"})), p.long()))?;
    holds("the entries", &p.found("the id", &id)?.record, json!({"user": "bob"}))
}

fn each_created_session_is_an_incarnation_of_its_own(p: &Probe<'_>) -> Checked {
    for begun in [record(json!({"user": "ada"})), put("user", "ada")?.apply(&Record::new())?] {
        let id = new_id()?;
        done("create", p.store.create(&id, begun.clone(), p.long()))?;
        let first = p.found("the id", &id)?.record;
        done("destroy", p.store.destroy(&id))?;
        done("create again", p.store.create(&id, begun, p.long()))?;
        let second = p.found("the id", &id)?;
        gone("save for the first session", p.store.save(&id, &put("user", "eve")?, p.long(), to(&first)))?;
        p.unchanged("the second session", &id, &second)?;
    }
    Ok(())
}

fn create_and_set_refuse_a_record_over_the_limits_and_leave_what_is_stored(p: &Probe<'_>) -> Checked {
    let many: Record = (0..=MAX_KEYS).map(|n| (n.to_string(), n)).collect();
    let long: Record = [("k".repeat(MAX_KEY_BYTES + 1), 1)].into_iter().collect();
    for (what, record) in [("a record of 1,025 keys", many), ("a record with a key of 256 bytes", long)] {
        let (new, there) = (new_id()?, p.session(json!({"user": "ada"}))?);
        let seen = p.found("the id", &there)?;
        let create = p.store.create(&new, record.clone(), p.long());
        refused(&format!("create with {what}"), create, Error::is_limit, "is_limit")?;
        p.nothing("the refused id", &new)?;
        let set = p.store.set(&there, record, p.units(1));
        refused(&format!("set with {what}"), set, Error::is_limit, "is_limit")?;
        p.unchanged("the session that was there", &there, &seen)?;
    }
    Ok(())
}

fn set_makes_a_session(p: &Probe<'_>) -> Checked {
    let id = new_id()?;
    p.store.set(&id, record(json!({"user": "ada"})), p.long())?;
    let stored = p.found("the id", &id)?;
    holds("its entries", &stored.record, json!({"user": "ada"}))?;
    p.left("its time left", stored.ttl, p.long())
}

fn set_replaces_all_of_a_session(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada", "cart": [1]}))?;
    let mut owned = put("timeout", &1)?;
    owned.set_owner(Some("ada"))?;
    owned.set_timeout(Some(p.long()));
    let seen = p.found("the id", &id)?;
    done("save", p.store.save(&id, &owned, p.long(), to(&seen.record)))?;
    p.store.set(&id, record(json!({"user": "bob"})), p.long() * 2)?;
    let stored = p.found("the id", &id)?;
    holds("the entries", &stored.record, json!({"user": "bob"}))?;
    same("the owner", stored.record.owner(), None::<&str>)?;
    same("the timeout", stored.record.timeout(), None::<Duration>)?;
    p.left("the time left", stored.ttl, p.long() * 2)
}

fn a_save_for_a_session_that_set_replaced_is_gone(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?;
    let first = p.found("the id", &id)?.record;
    // The very record that is stored: even that is another session from now on.
    p.store.set(&id, first.clone(), p.long())?;
    let second = p.found("the id", &id)?;
    gone("save for the replaced session", p.store.save(&id, &put("user", "eve")?, p.units(1), to(&first)))?;
    p.unchanged("the session in its place", &id, &second)
}

fn set_refuses_the_handle_of_a_live_session_with_another_secret(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?;
    let (seen, other) = (p.found("the id", &id)?, other_secret(&id)?);
    for ttl in [p.units(1), Duration::ZERO] {
        let set = p.store.set(&other, record(json!({"user": "eve"})), ttl);
        refused("set with another secret", set, Error::is_conflict, "is_conflict")?;
    }
    p.unchanged("the session that was there", &id, &seen)?;
    p.nothing("the refused id", &other)
}

fn set_for_no_time_leaves_nothing(p: &Probe<'_>) -> Checked {
    let (new, there) = (new_id()?, p.session(json!({"user": "ada"}))?);
    for id in [new, there] {
        p.store.set(&id, record(json!({"user": "bob"})), Duration::ZERO)?;
        p.nothing("the id", &id)?;
    }
    Ok(())
}

fn an_unknown_id_is_a_value_and_not_an_error(p: &Probe<'_>) -> Checked {
    let seen = Record::new().admit(p.store.clock().wall())?;
    p.dead("an id that nobody has", &new_id()?, &seen)
}

fn the_right_handle_with_a_wrong_secret_opens_nothing(p: &Probe<'_>) -> Checked {
    let id = p.session(json!({"user": "ada"}))?;
    let seen = p.found("the id", &id)?;
    p.dead("a wrong secret", &other_secret(&id)?, &seen.record)?;
    p.unchanged("the session", &id, &seen)
}

fn a_record_given_to_two_ids_makes_two_sessions(p: &Probe<'_>) -> Checked {
    let (one, two) = (new_id()?, new_id()?);
    let shared = record(json!({"user": "ada"})).admit(p.store.clock().wall())?;
    for id in [&one, &two] {
        done("create", p.store.create(id, shared.clone(), p.long()))?;
    }
    let seen = p.found("the second id", &two)?;
    done("touch of the first", p.store.touch(&one, p.long() * 2))?;
    p.unchanged("the second session, after the first was touched", &two, &seen)?;
    done("save to the first", p.store.save(&one, &put("user", "bob")?, p.long(), to(&shared)))?;
    p.unchanged("the second session, after the first was saved", &two, &seen)?;
    done("destroy of the first", p.store.destroy(&one))?;
    p.unchanged("the second session, after the first was destroyed", &two, &seen)?;
    holds("the record that was given", &shared, json!({"user": "ada"}))
}
