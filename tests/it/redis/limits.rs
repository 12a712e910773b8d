//! Promise: a session is never larger than its limits, however it came to be, and any text fits
//! into it.

use std::collections::{BTreeMap, BTreeSet};

use lembro::redis::RedisOptions;
use lembro::{Changes, Commit, Error, Login, Record, SessionId, Store, Version};
use redis::Connection;

use crate::redis::behind::{
    HOUR, asked, create_at, done, everything, forget_what_was_asked, lease, log_in, owner, put, save, seen, store, with,
};
use crate::redis::server::Server;

/// What the meta field says the entries take and how many there are, and what is so.
fn sizes(link: &mut Connection, id: &SessionId) -> ([usize; 2], [usize; 2]) {
    let key = format!("lembro:{{{}}}", id.handle());
    let fields: BTreeMap<Vec<u8>, Vec<u8>> = redis::cmd("HGETALL").arg(key).query(link).unwrap();
    let meta = &fields[b"m".as_slice()];
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let entries: Vec<_> = fields.iter().filter(|(field, _)| field[0] == b'k').collect();
    let bytes = entries.iter().map(|(field, value)| field.len() + value.len()).sum();
    ([number(&meta[57..61]), number(&meta[61..63])], [bytes, entries.len()])
}

const MOST: usize = 700;

#[test]
fn what_a_session_takes_is_never_more_than_is_known_and_never_refused_without_being_counted() {
    let server = Server::start();
    // About what the mixture below takes at most: now and then a save is refused.
    let (store, link) = (with(&server, RedisOptions::new().max_session_size(MOST as u64)), &mut server.connect());
    let id = SessionId::random().unwrap();
    done(create_at(&store, &id, &[("first", "é")].into_iter().collect()).unwrap());
    let expected = seen(&store, &id);
    // Any mixture of everything, the same one each time.
    let mut dice = 7_u32;
    let mut roll = |sides: u32| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 16) % sides
    };
    let (mut sizes_seen, mut refused, mut guessed) = (BTreeSet::new(), 0, 0);
    let mut model = store.get(&id).unwrap().unwrap().record;
    for round in 0..2_000 {
        let mut changes = Changes::new();
        match roll(12) {
            0 => changes.clear(),
            1 | 2 => changes.clear_component("basket"),
            _ => {}
        }
        for _ in 0..roll(5) {
            let (component, key) = (["", "basket", "b"][roll(3) as usize], format!("key {}", roll(9)));
            if roll(3) == 0 {
                changes.remove(component, &key).unwrap();
            } else {
                changes.insert(component, &key, &"ß".repeat(roll(40) as usize)).unwrap();
            }
        }
        let next = changes.apply(&model).unwrap();
        let takes: usize =
            next.entries().map(|(component, key, json)| 2 + component.len() + key.len() + json.get().len()).sum();
        match save(&store, &id, &changes, expected) {
            Ok(outcome) => {
                assert!(outcome.is_done() && takes <= MOST, "round {round}: {takes} bytes, {changes:?}");
                model = next;
            }
            Err(error) => {
                assert!(error.is_size() && takes > MOST, "round {round}: {takes} bytes, {error}");
                refused += 1;
            }
        }
        let (said, is) = sizes(link, &id);
        assert!(said[0] >= is[0] && said[1] >= is[1] && said[0] <= MOST, "round {round}: {said:?} {is:?}");
        assert_eq!(store.get(&id).unwrap().unwrap().record, model, "round {round}");
        guessed += usize::from(said != is);
        sizes_seen.insert(is);
    }
    assert!(sizes_seen.len() > 100);
    assert!(refused > 20 && guessed > 200, "{refused} refused, {guessed} not known exactly");
}

#[test]
fn neither_a_small_nor_a_large_session_is_counted_again_and_again() {
    let server = Server::start();
    let (store, link) = (with(&server, RedisOptions::new().max_session_size(10_000)), &mut server.connect());
    // How often it was counted, and how often something in it was measured.
    for (length, counted, measured) in [(10, 0..=4, 0..=0), (8_000, 1..=2, 300..=500)] {
        let id = SessionId::random().unwrap();
        let record: Record = [("large", "x".repeat(length))].into_iter().collect();
        done(create_at(&store, &id, &record).unwrap());
        let expected = seen(&store, &id);
        forget_what_was_asked(link);
        for n in 1_000..1_500 {
            done(save(&store, &id, &put("seen", &n.to_string()), expected).unwrap());
        }
        let asked = asked(link);
        let times = |name| asked.get(name).copied().unwrap_or(0);
        assert!(counted.contains(&times("hgetall")), "{length}: {asked:?}");
        assert!(measured.contains(&times("hstrlen")), "{length}: {asked:?}");
    }
}

#[test]
fn a_session_over_max_session_size_is_refused_by_save_create_and_set_and_what_is_stored_stays() {
    let server = Server::start();
    let (store, link) = (with(&server, RedisOptions::new().max_session_size(300)), &mut server.connect());
    let id = SessionId::random().unwrap();
    let other = SessionId::random().unwrap();
    // 2 bytes for the field, 3 for the key, 2 for the quotes.
    let record = |length: usize| -> Record { [("key", "x".repeat(length))].into_iter().collect() };
    done(create_at(&store, &id, &record(293)).unwrap());
    assert_eq!(sizes(link, &id), ([300, 1], [300, 1]));
    let before = everything(link);
    forget_what_was_asked(link);
    let large = put("key", &"x".repeat(294));
    let expected = Version::from_u64(1 << 32);
    let commit = |id: &SessionId, commit: Commit| -> Error {
        let login = commit.with(large.clone()).log_in(Login::new(owner("ada")));
        store.commit(id, &login.identity(lembro::Identity::Replace(*id)), &lease()).unwrap_err()
    };
    for refused in [
        create_at(&store, &other, &record(294)).unwrap_err(),
        store.set(&id, record(294), HOUR).unwrap_err(),
        save(&store, &id, &large, expected).unwrap_err(),
        commit(&other, Commit::create().unwrap()),
        commit(&id, Commit::merge(expected).unwrap()),
    ] {
        assert!(refused.is_size(), "{refused}");
        assert!(!refused.to_string().contains("xxx"), "{refused}");
    }
    assert!(!asked(link).contains_key("evalsha"), "something was sent: {:?}", asked(link));
    // What only the server can know.
    let expected = seen(&store, &id);
    let refused = save(&store, &id, &put("k", ""), expected).unwrap_err();
    assert!(refused.is_size(), "{refused}");
    assert_eq!(everything(link).into_keys().collect::<Vec<_>>(), before.into_keys().collect::<Vec<_>>());
    assert_eq!(store.get(&id).unwrap().unwrap().record.get::<String>("key").unwrap().unwrap().len(), 293);
    // Smaller, and it fits.
    let mut changes = put("k", "");
    changes.insert("", "key", &"x".repeat(288)).unwrap();
    done(save(&store, &id, &changes, expected).unwrap());
    assert_eq!(sizes(link, &id), ([300, 2], [300, 2]));
}

#[test]
fn many_small_saves_do_not_get_past_max_session_size_or_the_number_of_keys() {
    let server = Server::start();
    let store = with(&server, RedisOptions::new().max_session_size("1M"));
    let id = SessionId::random().unwrap();
    done(create_at(&store, &id, &Record::new()).unwrap());
    let expected = seen(&store, &id);
    // With everything in it that is not an entry.
    let mut changes = Changes::new();
    changes.set_timeout(Some(HOUR));
    changes.set_label(Some("a phone")).unwrap();
    done(save(&store, &id, &changes, expected).unwrap());
    let fifty = |from: usize| {
        let mut changes = Changes::new();
        (from..from + 50).for_each(|n| changes.insert("", &format!("{n}"), &n).unwrap());
        changes
    };
    for from in (0..1_000).step_by(50) {
        done(save(&store, &id, &fifty(from), expected).unwrap());
    }
    assert!(save(&store, &id, &fifty(1_000), expected).unwrap_err().is_size());
    let mut changes = Changes::new();
    (1_000..lembro::MAX_KEYS).for_each(|n| changes.insert("", &format!("{n}"), &n).unwrap());
    done(save(&store, &id, &changes, expected).unwrap());
    assert!(save(&store, &id, &put("one more", ""), expected).unwrap_err().is_size());
    // One goes, another comes; one is replaced; all are.
    let mut changes = put("one more", "");
    changes.remove("", "7").unwrap();
    done(save(&store, &id, &changes, expected).unwrap());
    done(save(&store, &id, &put("one more", "x"), expected).unwrap());
    assert_eq!(store.get(&id).unwrap().unwrap().record.len(), lembro::MAX_KEYS);
    let mut changes = Changes::new();
    changes.clear();
    (0..lembro::MAX_KEYS).for_each(|n| changes.insert("b", &format!("{n}"), &n).unwrap());
    done(save(&store, &id, &changes, expected).unwrap());
    assert_eq!(store.get(&id).unwrap().unwrap().record.len(), lembro::MAX_KEYS);
}

#[test]
fn more_keys_than_there_can_be_are_removed_in_one_save() {
    let server = Server::start();
    let store = store(&server);
    let id = SessionId::random().unwrap();
    let record: Record = [("kept", 1), ("key 7", 2), ("key 9999", 3)].into_iter().collect();
    done(create_at(&store, &id, &record).unwrap());
    let mut changes = put("new", "");
    (0..10_000).for_each(|n| changes.remove("", &format!("key {n}")).unwrap());
    done(save(&store, &id, &changes, seen(&store, &id)).unwrap());
    let record = store.get(&id).unwrap().unwrap().record;
    assert_eq!(record.entries().map(|(_, key, _)| key).collect::<Vec<_>>(), ["kept", "new"]);
}

#[test]
fn any_text_is_a_key_a_component_a_value_and_an_owner() {
    let server = Server::start();
    let store = store(&server);
    let long = "é".repeat(127);
    let odd = [
        "k",
        "kk",
        "v",
        "f",
        "s",
        "{x}",
        "a\0b",
        "\u{1}k",
        "\u{7f}",
        "日本語",
        "🍵\r\n$3\r\n",
        "\"'\\",
        "%00",
        long.as_str(),
    ];
    let id = SessionId::random().unwrap();
    done(create_at(&store, &id, &Record::new()).unwrap());
    let expected = seen(&store, &id);
    let mut changes = Changes::new();
    for component in odd.into_iter().chain([""]) {
        for key in odd {
            changes.insert(component, key, &format!("{component}/{key}")).unwrap();
        }
    }
    changes.insert("", "", "no name").unwrap();
    done(save(&store, &id, &changes, expected).unwrap());
    let mut cleared = Changes::new();
    cleared.clear_component("k");
    cleared.remove("kk", "k").unwrap();
    done(save(&store, &id, &cleared, expected).unwrap());
    let record = store.get(&id).unwrap().unwrap().record;
    for component in odd.into_iter().chain([""]) {
        for key in odd {
            let kept = component != "k" && (component, key) != ("kk", "k");
            let value = record.get_in::<String>(component, key).unwrap();
            assert_eq!(value, kept.then(|| format!("{component}/{key}")), "{component:?} {key:?}");
        }
    }
    assert_eq!(record.len(), odd.len() * odd.len() + 1 - 1);
    let owners = store.owners().unwrap();
    let mut id = id;
    for name in odd {
        let (new, outcome) = log_in(&store, &id, Login::new(owner(name))).unwrap();
        done(outcome);
        id = new;
        assert_eq!(store.get(&id).unwrap().unwrap().record.owner(), Some(name));
        assert_eq!(owners.count(&owner(name)).unwrap(), 1, "{name:?}");
    }
    assert_eq!(owners.destroy_all(&owner(odd[0]), None).unwrap(), 0);
    assert_eq!(owners.destroy_all(&owner(odd[odd.len() - 1]), None).unwrap(), 1);
}
