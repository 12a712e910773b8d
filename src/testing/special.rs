//! Rules that `contract.txt` cannot express: the values and keys that a store takes, and its clock.

use serde_json::json;

use super::fixture::CodeRule;
use super::verdict::{broken, same};
use crate::id::SessionId;
use crate::record::{Changes, MAX_KEY_BYTES, MAX_KEYS, Record};
use crate::store::Commit;

pub(super) const RULES: &[CodeRule] = &[
    CodeRule::new("every kind of JSON comes back as it went in", |fixture| {
        let numbers = json!([0, -1, u64::MAX, i64::MIN, 0.1, 1e-300]);
        let texts = json!(["", "tea \u{1F375} \u{0} \n \" \\ \u{2028} \u{00e9}", "x".repeat(4000)]);
        let nested = json!({"": {"deep": [{"er": true}]}, "z": [], "a": {}});
        let values = [json!(null), json!(true), numbers, texts, nested];
        fixture.session(&["null", "yes", "numbers", "texts", "nested"].into_iter().zip(values).collect()).map(drop)
    }),
    CodeRule::new("any text up to 255 bytes is a key", |fixture| {
        let (longest, wide) = ("k".repeat(MAX_KEY_BYTES), "\u{00e9}".repeat(MAX_KEY_BYTES / 2));
        let keys = ["", " ", "a b", "a\nb", "a\u{0}b", "\u{0}", "\u{7f}", "\u{1F375}", "\"'`$*{}[]:;\\", "0", "-1"];
        let keys: Vec<&str> = keys.into_iter().chain([&*longest, &*wide]).collect();
        fixture.session(&keys.iter().enumerate().map(|(n, key)| (key.to_string(), n)).collect())?;
        // A merge may write keys in another way than a create.
        let other = fixture.session(&Record::new())?;
        keys.iter().try_for_each(|key| fixture.commit(&other.id, &other.put(key, key)?).map(drop))
    }),
    CodeRule::new("keys of components stay apart, and no component is special", |fixture| {
        // `alike`: pairs that are equal if a store joins component and key to one text. `own`:
        // pairs that a store may use for its own fields.
        let longest = "c".repeat(MAX_KEY_BYTES);
        let alike = [("", "ab"), ("a", "b"), ("ab", ""), ("a", ""), ("", ""), ("a:", "b"), ("a", ":b"), ("\u{0}", "a")];
        let own = [("", "\u{0}a"), ("lembro", "label"), ("lembro", "owner"), ("", "owner"), (&*longest, &*longest)];
        let mut changes = Changes::new();
        alike.into_iter().chain(own).try_for_each(|(component, key)| changes.insert(component, key, &[component]))?;
        fixture.commit(&SessionId::random()?, &Commit::create()?.with(changes.clone()))?;
        let session = fixture.session(&Record::new())?;
        fixture.commit(&session.id, &session.merge(changes)?).map(drop)
    }),
    CodeRule::new("set refuses a record over the limits and leaves what is stored", |fixture| {
        let many: Record = (0..=MAX_KEYS).map(|n| (n.to_string(), n)).collect();
        let there = fixture.session(&Record::new())?.id;
        match fixture.store.set(&there, many, fixture.units(1)) {
            Err(error) if error.is_size() => fixture.get(&there).map(drop),
            found => broken(format!("set with 1,025 keys: expected an error with `is_size`, found {found:?}")),
        }
    }),
    CodeRule::new("the clock is the one the store goes by", |fixture| {
        fixture.clock()?;
        let clock = fixture.store.clock();
        let (now, wall) = (clock.now() + fixture.units(1), clock.wall() + fixture.units(1));
        fixture.pass(1);
        same("the store's clock, a minute later", (clock.now(), clock.wall()), (now, wall))
    }),
];
