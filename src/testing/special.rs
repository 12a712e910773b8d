//! Rules that no script can say: which values and keys a store takes, and clocks.

use serde_json::json;

use super::Rule;
use super::fixture::{broken, same};
use crate::id::SessionId;
use crate::record::{Changes, MAX_KEY_BYTES, MAX_KEYS, Record};
use crate::store::Commit;

pub(super) const RULES: &[Rule] = &[
    Rule::new("every kind of JSON comes back as it went in", |p| {
        let numbers = json!([0, -1, u64::MAX, i64::MIN, 0.1, 1e-300]);
        let texts = json!(["", "tea \u{1F375} \u{0} \n \" \\ \u{2028} \u{00e9}", "x".repeat(4000)]);
        let nested = json!({"": {"deep": [{"er": true}]}, "z": [], "a": {}});
        let values = [json!(null), json!(true), numbers, texts, nested];
        p.session(&["null", "yes", "numbers", "texts", "nested"].into_iter().zip(values).collect()).map(drop)
    }),
    Rule::new("any text up to 255 bytes is a key", |p| {
        let (longest, wide) = ("k".repeat(MAX_KEY_BYTES), "\u{00e9}".repeat(MAX_KEY_BYTES / 2));
        let keys = ["", " ", "a b", "a\nb", "a\u{0}b", "\u{0}", "\u{7f}", "\u{1F375}", "\"'`$*{}[]:;\\", "0", "-1"];
        let keys: Vec<&str> = keys.into_iter().chain([&*longest, &*wide]).collect();
        p.session(&keys.iter().enumerate().map(|(n, key)| (key.to_string(), n)).collect())?;
        // And one by one, by merging, which may write keys in another way.
        let other = p.session(&Record::new())?;
        keys.iter().try_for_each(|key| p.commit(&other.id, &other.put(key, key)?).map(drop))
    }),
    Rule::new("keys of components stay apart, and no component is special", |p| {
        // Names that are one and the same if a store just writes them one after the other; and
        // names that a store may want for itself.
        let longest = "c".repeat(MAX_KEY_BYTES);
        let alike = [("", "ab"), ("a", "b"), ("ab", ""), ("a", ""), ("", ""), ("a:", "b"), ("a", ":b"), ("\u{0}", "a")];
        let own = [("", "\u{0}a"), ("lembro", "label"), ("lembro", "owner"), ("", "owner"), (&*longest, &*longest)];
        let mut changes = Changes::new();
        alike.into_iter().chain(own).try_for_each(|(component, key)| changes.insert(component, key, &[component]))?;
        p.commit(&SessionId::random()?, &Commit::create()?.with(changes.clone()))?;
        let session = p.session(&Record::new())?;
        p.commit(&session.id, &session.merge(changes)?).map(drop)
    }),
    Rule::new("set refuses a record over the limits and leaves what is stored", |p| {
        let many: Record = (0..=MAX_KEYS).map(|n| (n.to_string(), n)).collect();
        let there = p.session(&Record::new())?.id;
        match p.store.set(&there, many, p.units(1)) {
            Err(error) if error.is_size() => p.get(&there).map(drop),
            found => broken(format!("set with 1,025 keys: expected an error with `is_size`, found {found:?}")),
        }
    }),
    Rule::new("the clock is the one the store goes by", |p| {
        p.clock()?;
        let clock = p.store.clock();
        let (now, wall) = (clock.now() + p.units(1), clock.wall() + p.units(1));
        p.pass(1);
        same("the store's clock, a minute later", (clock.now(), clock.wall()), (now, wall))
    }),
];
