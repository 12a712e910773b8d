//! Limits: no session exceeds them, any text fits within them, and oversized texts are never sent.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::session::save_value;
use allocation_counter::measure;
use lembro::redis::RedisOptions;
use lembro::{Changes, Commit, Error, Login, Record, Session, SessionId, Sessions, Store, Version};

use crate::redis::fixture::{
    HOUR, command_counts, create_at, done, dump, key_of, lease, log_in, new_id, owner, put, reset_counts, save, served,
    served_with, store, version_of,
};
use crate::redis::server::Server;
use crate::support::doors::{Door, FINDING_NOTHING, MIB, REFUSED_IF_EMPTY, REFUSING};

/// The size and number of the entries: as the meta field says, and as they are.
fn sizes(server: &Server, id: &SessionId) -> ([usize; 2], [usize; 2]) {
    let fields: BTreeMap<Vec<u8>, Vec<u8>> = server.query(&["HGETALL", &key_of(id)]);
    let meta = &fields[b"m".as_slice()];
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let entries: Vec<_> = fields.iter().filter(|(field, _)| field[0] == b'k').collect();
    let bytes = entries.iter().map(|(field, value)| field.len() + value.len()).sum();
    ([number(&meta[57..61]), number(&meta[61..63])], [bytes, entries.len()])
}

/// Near the largest size that the random changes produce, so that some saves are refused.
const MOST: usize = 700;

#[test]
fn stored_size_is_an_upper_bound_of_the_real_one() {
    let (server, store) = served_with(RedisOptions::new().max_session_size(MOST as u64));
    let id = new_id();
    done(create_at(&store, &id, &[("first", "é")].into_iter().collect()).unwrap());
    let expected = version_of(&store, &id);
    // The same random changes each time.
    let mut dice = 7_u32;
    let mut roll = |sides: u32| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 16) % sides
    };
    let (mut sizes_seen, mut refused, mut inexact) = (BTreeSet::new(), 0, 0);
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
        let (stored, real) = sizes(&server, &id);
        assert!(
            stored[0] >= real[0] && stored[1] >= real[1] && stored[0] <= MOST,
            "round {round}: {stored:?} {real:?}"
        );
        assert_eq!(store.get(&id).unwrap().unwrap().record, model, "round {round}");
        inexact += usize::from(stored != real);
        sizes_seen.insert(real);
    }
    assert!(sizes_seen.len() > 100);
    assert!(refused > 20 && inexact > 200, "{refused} refused, {inexact} inexact");
}

#[test]
fn sessions_are_rarely_counted_again() {
    let (server, store) = served_with(RedisOptions::new().max_session_size(10_000));
    // How often all entries were counted, and how often one entry was measured.
    for (length, counted, measured) in [(10, 0..=4, 0..=0), (8_000, 1..=2, 300..=500)] {
        let id = new_id();
        let record: Record = [("large", "x".repeat(length))].into_iter().collect();
        done(create_at(&store, &id, &record).unwrap());
        let expected = version_of(&store, &id);
        reset_counts(&server);
        for n in 1_000..1_500 {
            done(save(&store, &id, &put("seen", &n.to_string()), expected).unwrap());
        }
        let counts = command_counts(&server);
        let times = |name| counts.get(name).copied().unwrap_or(0);
        assert!(counted.contains(&times("hgetall")), "{length}: {counts:?}");
        assert!(measured.contains(&times("hstrlen")), "{length}: {counts:?}");
    }
}

#[test]
fn oversized_session_is_refused_and_the_stored_one_stays() {
    let (server, store) = served_with(RedisOptions::new().max_session_size(300));
    let id = new_id();
    let other = new_id();
    // 2 bytes for the field, 3 for the key, 2 for the quotes.
    let record = |length: usize| -> Record { [("key", "x".repeat(length))].into_iter().collect() };
    done(create_at(&store, &id, &record(293)).unwrap());
    assert_eq!(sizes(&server, &id), ([300, 1], [300, 1]));
    let before = dump(&server);
    reset_counts(&server);
    let large = put("key", &"x".repeat(294));
    let expected = Version::from_u64(1 << 32);
    let commit = |id: &SessionId, commit: Commit| -> Error {
        let login = commit.with(large.clone()).log_in(Login::new(owner("ada")));
        store.commit(id, &login.with_identity(lembro::Identity::Replace(*id)), &lease()).unwrap_err()
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
    assert!(!command_counts(&server).contains_key("evalsha"), "a script was sent: {:?}", command_counts(&server));
    // Only the server knows that this exceeds the limit.
    let expected = version_of(&store, &id);
    let refused = save(&store, &id, &put("k", ""), expected).unwrap_err();
    assert!(refused.is_size(), "{refused}");
    assert_eq!(dump(&server).into_keys().collect::<Vec<_>>(), before.into_keys().collect::<Vec<_>>());
    assert_eq!(store.get(&id).unwrap().unwrap().record.get::<String>("key").unwrap().unwrap().len(), 293);
    // Smaller, so it fits.
    let mut changes = put("k", "");
    changes.insert("", "key", &"x".repeat(288)).unwrap();
    done(save(&store, &id, &changes, expected).unwrap());
    assert_eq!(sizes(&server, &id), ([300, 2], [300, 2]));
}

#[test]
fn many_small_saves_do_not_exceed_the_limits() {
    let (_server, store) = served_with(RedisOptions::new().max_session_size("1M"));
    let id = new_id();
    done(create_at(&store, &id, &Record::new()).unwrap());
    let expected = version_of(&store, &id);
    // Timeout and label do not count as entries.
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
    // Exchange one entry, replace one, replace all.
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
fn one_save_removes_more_keys_than_a_session_has() {
    let (_server, store) = served();
    let id = new_id();
    let record: Record = [("kept", 1), ("key 7", 2), ("key 9999", 3)].into_iter().collect();
    done(create_at(&store, &id, &record).unwrap());
    let mut changes = put("new", "");
    (0..10_000).for_each(|n| changes.remove("", &format!("key {n}")).unwrap());
    done(save(&store, &id, &changes, version_of(&store, &id)).unwrap());
    let record = store.get(&id).unwrap().unwrap().record;
    assert_eq!(record.entries().map(|(_, key, _)| key).collect::<Vec<_>>(), ["kept", "new"]);
}

#[test]
fn any_text_is_a_valid_key_component_value_and_owner() {
    let (_server, store) = served();
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
    let id = new_id();
    done(create_at(&store, &id, &Record::new()).unwrap());
    let expected = version_of(&store, &id);
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

/// More than a door's own requests take, and much less than a mebibyte.
const LITTLE: u64 = MIB as u64 / 8;

struct Visit {
    result: Result<bool, Error>,
    allocated: u64,
    sent: u64,
    /// The session has unsaved changes.
    is_changed: bool,
    /// The data on the server did not change.
    is_same: bool,
}

fn received_bytes(server: &Server) -> u64 {
    let info: String = server.query(&["INFO", "stats"]);
    let bytes = info.lines().find_map(|line| line.strip_prefix("total_net_input_bytes:"));
    bytes.unwrap().parse().unwrap()
}

/// Calls a door with a new stored session.
fn visit(sessions: &Sessions, server: &Server, enter: Door, text: &str) -> Visit {
    let mut session: Session = sessions.generate().unwrap();
    save_value(&mut session, "user", "ada");
    // So that the connection is open and the server knows the scripts.
    assert!(session.contains_key("user").unwrap());
    let (before, sent) = (dump(server), received_bytes(server));
    let mut result = None;
    let cost = measure(|| result = Some(enter(sessions, &mut session, text)));
    let sent = received_bytes(server) - sent;
    let is_same = dump(server) == before;
    Visit { result: result.unwrap(), allocated: cost.bytes_max, sent, is_changed: session.is_changed(), is_same }
}

#[test]
fn oversized_text_is_refused_and_never_sent() {
    let server = Server::start();
    let (sessions, long) = (Sessions::new(store(&server)), "x".repeat(MIB));
    for (door, enter) in REFUSING.iter().chain(&FINDING_NOTHING) {
        let visit = visit(&sessions, &server, *enter, &long);
        if REFUSING.iter().any(|(refusing, _)| refusing == door) {
            let error = visit.result.expect_err(door);
            assert!(error.is_size() || error.is_id(), "{door}: {error}");
            assert!(error.to_string().len() < 200, "{door}: {error:.300}");
        } else {
            assert!(!visit.result.expect(door), "{door}");
        }
        assert!(visit.allocated < LITTLE && visit.sent < LITTLE, "{door}: {}, {}", visit.allocated, visit.sent);
        assert!(!visit.is_changed && visit.is_same, "{door}");
    }
}

#[test]
fn empty_text_is_refused_where_it_is_invalid() {
    let server = Server::start();
    let sessions = Sessions::new(store(&server));
    for (door, enter) in REFUSING {
        let visit = visit(&sessions, &server, enter, "");
        assert_eq!(visit.result.is_err(), REFUSED_IF_EMPTY.contains(&door), "{door}");
        assert!(visit.is_same || door == "modify", "{door}");
    }
    for (door, enter) in FINDING_NOTHING {
        let visit = visit(&sessions, &server, enter, "");
        assert!(!visit.result.expect(door) && visit.is_same, "{door}");
    }
}
