//! Rules that no script can say: which values and keys a store takes, clocks, ids in lists, epochs.

use serde_json::{Value, json};

use super::Rule;
use super::fixture::{Checked, broken, optional, same};
use super::request::{login, new_id, owner, put};
use crate::record::{Changes, MAX_KEY_BYTES, MAX_KEYS, Record};
use crate::store::{Commit, Login};

pub(super) const RULES: &[Rule] = &[
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
        keys.iter().try_for_each(|key| p.merge(&other, put(key, key)?).map(drop))
    }),
    Rule::new("keys of components stay apart, and no component is special", |p| {
        // Names that are one and the same if a store just writes them one after the other; and
        // names that a store may want for itself.
        let longest = "c".repeat(MAX_KEY_BYTES);
        let alike = [("", "ab"), ("a", "b"), ("ab", ""), ("a", ""), ("", ""), ("a:", "b"), ("a", ":b"), ("\u{0}", "a")];
        let own = [("", "\u{0}a"), ("lembro", "label"), ("lembro", "owner"), ("", "owner"), (&*longest, &*longest)];
        let mut changes = Changes::new();
        alike.into_iter().chain(own).try_for_each(|(component, key)| changes.insert(component, key, &[component]))?;
        p.commit(&new_id()?, &Commit::create()?.with(changes.clone()))?;
        p.merge(&p.session(json!({}))?, changes).map(drop)
    }),
    Rule::new("set refuses a record over the limits and leaves what is stored", |p| {
        let many: Record = (0..=MAX_KEYS).map(|n| (n.to_string(), n)).collect();
        let there = p.session(json!({"user": "ada"}))?.id;
        match p.store.set(&there, many, p.units(1)) {
            Err(error) if error.is_size() => p.get(&there).map(drop),
            found => broken(format!("set with 1,025 keys: expected an error with `is_size`, found {found:?}")),
        }
    }),
    Rule::new("create and login note when they were", |p| {
        let now = p.store.clock().wall();
        let session = p.session_of("ada")?;
        let record = p.found(&session.id)?;
        for noted in [record.created_at(), record.owner_since()] {
            // A database may go by a clock of its own.
            let apart = noted.and_then(|at| at.duration_since(now).or_else(|_| now.duration_since(at)).ok());
            same("whether it was now", apart.is_some_and(|apart| apart.as_secs() < 60), true)?;
        }
        Ok(())
    }),
    Rule::new("the clock is the one the store goes by", |p| {
        p.clock()?;
        let clock = p.store.clock();
        let (now, wall) = (clock.now() + p.units(1), clock.wall() + p.units(1));
        p.pass(1);
        same("the store's clock, a minute later", (clock.now(), clock.wall()), (now, wall))
    }),
    Rule::new("lists give out the ids that open the sessions, or none, and those of owners none", |p| {
        let session = p.session_of("ada")?;
        if let Some(owners) = p.store.owners() {
            let ids = owners.list(&owner("ada")?)?.into_iter().filter_map(|listed| listed.id);
            same("the ids in a list of an owner", ids.count(), 0)?;
        }
        for listed in optional(p.store.all())? {
            let opens = listed?.id.is_none_or(|id| id == session.id);
            same("whether an id in the list of all opens its session", opens, true)?;
        }
        Ok(())
    }),
    Rule::new("epochs never go back", |p| {
        let mut epochs = vec![p.epoch("ada")?];
        for _ in 0..4 {
            // With sessions and without, and with time in between.
            p.session_of("ada")?;
            for _ in 0..2 {
                p.destroy_all("ada", None)?;
                epochs.push(p.epoch("ada")?);
                p.pass(1);
            }
        }
        same("whether each destroy_all begins a later epoch", epochs.is_sorted_by(|one, two| one < two), true)?;
        let begun = |epoch| -> Checked<_> { Ok(Login { begun: Some(epoch), ..login("ada")? }) };
        epochs
            .into_iter()
            .try_for_each(|epoch| p.commit(&new_id()?, &Commit::create()?.log_in(begun(epoch)?)).map(drop))
    }),
];
