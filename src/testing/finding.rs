//! Rules of finding: what create and set store is what a look gives out, and only to the right id.

use std::time::Duration;

use serde_json::{Value, json};

use super::Rule;
use super::fixture::{Session, broken, cleared, new_id, noted, other_secret, same};
use crate::record::{Changes, MAX_KEY_BYTES, MAX_KEYS, Record};
use crate::store::Commit;

pub(super) const RULES: &[Rule] = &[
    Rule::new("a created session is found with its data and its time", |p| {
        p.session(json!({"user": "ada", "visits": 1}))?;
        p.session(json!({})).map(drop)
    }),
    Rule::new("every kind of JSON comes back as it went in", |p| {
        let numbers = json!([0, -1, u64::MAX, i64::MIN, 0.1, 1e-300]);
        let texts = json!(["", "tea \u{1F375} \u{0} \n \" \\ \u{2028} \u{00e9}", "x".repeat(4000)]);
        let nested = json!({"": {"deep": [{"er": true}]}, "z": [], "a": {}});
        let entries = json!({"null": null, "yes": true, "numbers": numbers, "texts": texts, "nested": nested});
        p.session(entries).map(drop)
    }),
    Rule::new("any text up to 255 bytes is a key", |p| {
        let (longest, wide) = ("k".repeat(MAX_KEY_BYTES), "\u{00e9}".repeat(MAX_KEY_BYTES / 2));
        let keys = ["", " ", "a b", "a\nb", "a\u{0}b", "\u{0}", "\u{7f}", "\u{1F375}", "\"'`$*{}[]:;\\", "0", "-1"];
        let keys: Vec<&str> = keys.into_iter().chain([&*longest, &*wide]).collect();
        p.session(keys.iter().enumerate().map(|(n, key)| (key.to_string(), json!(n))).collect::<Value>())?;
        // And one by one, by merging, which may write keys in another way.
        let other = p.session(json!({}))?;
        keys.iter().try_for_each(|key| p.commit(&other.id, &other.put(key, key)?).map(drop))
    }),
    Rule::new("keys of components stay apart, and no component is special", |p| {
        // Names that are one and the same if a store just writes them one after the other; and names that
        // a store may want for itself.
        let longest = "c".repeat(MAX_KEY_BYTES);
        let alike = [("", "ab"), ("a", "b"), ("ab", ""), ("a", ""), ("", ""), ("a:", "b"), ("a", ":b"), ("\u{0}", "a")];
        let own = [("", "\u{0}a"), ("lembro", "label"), ("lembro", "owner"), ("", "owner"), (&*longest, &*longest)];
        let mut changes = Changes::new();
        alike.into_iter().chain(own).try_for_each(|(component, key)| changes.insert(component, key, &[component]))?;
        p.commit(&new_id()?, &Commit::create()?.with(changes.clone()))?;
        p.merge(&p.session(json!({}))?, changes).map(drop)
    }),
    Rule::new("what is noted about a session comes back, and a clear leaves it", |p| {
        let session = p.session_of("ada \u{1F375}")?;
        p.merge(&session, noted(Some(p.long() + Duration::from_millis(567)), Some("Firefox \u{1F375}"), true)?)?;
        p.merge(&session, cleared("later")?)?;
        let (_, replace) = session.replace()?;
        p.committed(&session.id, &replace, &p.renews(p.short())).map(drop)
    }),
    Rule::new("what is noted about a session moves with its record", |p| {
        let session = p.session_of("ada")?;
        p.merge(&session, noted(Some(p.long()), Some("a phone"), true)?)?;
        p.set(&new_id()?, &p.found(&session.id)?, p.long()).map(drop)
    }),
    Rule::new("create and set note when the session was made", |p| {
        let now = p.store.clock().wall();
        let (created, set) = (p.session(json!({}))?.id, new_id()?);
        p.set(&set, &Record::new(), p.long())?;
        for id in [created, set] {
            let made = p.found(&id)?.created_at();
            // A database may go by a clock of its own.
            let apart = made.map(|made| made.duration_since(now).or_else(|_| now.duration_since(made)));
            same(
                "whether it was made now",
                apart.is_some_and(|apart| apart.is_ok_and(|apart| apart.as_secs() < 60)),
                true,
            )?;
        }
        Ok(())
    }),
    Rule::new("create says Taken for a live handle and leaves that session alone", |p| {
        let id = p.session(json!({"user": "ada"}))?.id;
        for id in [id, other_secret(&id)?, id] {
            p.commit(&id, &Commit::create()?)?;
        }
        Ok(())
    }),
    Rule::new("create for no time is done and leaves nothing", |p| {
        let id = p.session_for(json!({"user": "ada"}), Duration::ZERO)?.id;
        p.committed(&id, &Commit::create()?, &p.lease(p.long())).map(drop)
    }),
    Rule::new("each created session is an incarnation of its own", |p| {
        let first = p.session(json!({}))?;
        p.destroy(&first.id)?;
        p.commit(&first.id, &Commit::create()?)?;
        p.everything(&first)
    }),
    Rule::new("create and set refuse a record over the limits and leave what is stored", |p| {
        let many: Record = (0..=MAX_KEYS).map(|n| (n.to_string(), n)).collect();
        let there = p.session(json!({"user": "ada"}))?.id;
        p.commit(&new_id()?, &Commit::create()?.with(Changes::from(&many)))?;
        match p.store.set(&there, many, p.units(1)) {
            Err(error) if error.is_size() => p.get(&there).map(drop),
            found => broken(format!("set with 1,025 keys: expected an error with `is_size`, found {found:?}")),
        }
    }),
    Rule::new("set makes a session", |p| {
        p.set(&new_id()?, &[("user", "ada")].into_iter().collect(), p.long()).map(drop)
    }),
    Rule::new("set replaces all of a session", |p| {
        let session = p.session_of("ada")?;
        p.merge(&session, noted(Some(p.long()), Some("a phone"), true)?)?;
        p.set(&session.id, &[("user", "bob")].into_iter().collect(), p.long() * 2).map(drop)
    }),
    Rule::new("a commit for a session that set replaced is gone", |p| {
        let session = p.session(json!({"user": "ada"}))?;
        // The very record that is stored: even that is another session from now on.
        p.set(&session.id, &p.found(&session.id)?, p.long())?;
        p.commit(&session.id, &session.put("user", "eve")?)?;
        p.commit(&session.id, &session.exactly("user", "eve")?).map(drop)
    }),
    Rule::new("set says Taken for the handle of a live session with another secret", |p| {
        let id = p.session(json!({"user": "ada"}))?.id;
        for ttl in [p.units(1), Duration::ZERO] {
            p.set(&other_secret(&id)?, &Record::new(), ttl)?;
            p.get(&id)?;
        }
        Ok(())
    }),
    Rule::new("set for no time leaves nothing", |p| {
        p.set(&new_id()?, &Record::new(), Duration::ZERO)?;
        p.set(&p.session(json!({"user": "ada"}))?.id, &Record::new(), Duration::ZERO).map(drop)
    }),
    Rule::new("an unknown id is a value and not an error", |p| {
        let seen = p.session(json!({}))?;
        p.everything(&Session { id: new_id()?, ..seen })
    }),
    Rule::new("the right handle with a wrong secret opens nothing", |p| {
        let session = p.session(json!({"user": "ada"}))?;
        // A client that guesses secrets has not seen the session's version either.
        p.everything(&Session { id: other_secret(&session.id)?, ..p.session(json!({}))? })?;
        p.get(&session.id).map(drop)
    }),
    Rule::new("a record given to two ids makes two sessions", |p| {
        let (one, two, shared) = (new_id()?, new_id()?, p.found(&p.session(json!({"user": "ada"}))?.id)?);
        p.set(&one, &shared, p.long())?;
        p.set(&two, &shared, p.long())?;
        let first = Session { id: one, version: p.found(&one)?.version() };
        for changed in [&first, &Session { id: two, ..first }] {
            p.everything(changed)?;
            p.get(&two)?;
        }
        Ok(())
    }),
];
