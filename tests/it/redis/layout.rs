//! Promise: what is in the database opens nothing, lapses by itself and keeps to its prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use lembro::redis::RedisOptions;
use lembro::{SessionId, Store};

use crate::redis::behind::{
    asked, create, create_owned, done, everything, forget_what_was_asked, lease, one_of_each, owner, put, save, seen,
    store, with,
};
use crate::redis::server::Server;

/// The forms in which the secret of an id could be written.
fn forms(id: &SessionId) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let text = id.expose();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&text).unwrap();
    let secret = &bytes[8..];
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    // A third of it would be too much, too. The first eleven characters of the text are the handle.
    let parts = [secret, &secret[..6], &secret[10..], hex.as_bytes(), &hex.as_bytes()[..12], text.as_bytes()];
    let tail = [&text.as_bytes()[11..], &text.as_bytes()[16..24]];
    parts.into_iter().chain(tail).map(<[u8]>::to_vec).collect()
}

fn holds(database: &BTreeMap<Vec<u8>, Vec<Vec<u8>>>, form: &[u8]) -> bool {
    let texts = database.iter().flat_map(|(key, parts)| std::iter::once(key).chain(parts));
    texts.into_iter().any(|text| text.windows(form.len()).any(|part| part == form))
}

#[test]
fn a_dump_of_the_whole_database_holds_no_secret_in_any_form() {
    let server = Server::start();
    let ids = one_of_each(&store(&server));
    let link = &mut server.connect();
    let database = everything(link);
    assert!(database.len() > 10, "{}", database.len());
    for id in &ids {
        for form in forms(id) {
            assert!(!holds(&database, &form), "{}", String::from_utf8_lossy(&form));
        }
    }
    // The search itself: what is put there in any of these forms is found.
    for (number, form) in forms(&ids[0]).iter().enumerate() {
        let _: () = redis::cmd("SET").arg(format!("leak {number}")).arg(form).query(link).unwrap();
    }
    let database = everything(link);
    assert!(forms(&ids[0]).iter().all(|form| holds(&database, form)));
}

#[test]
fn every_key_has_the_prefix_and_an_end_and_no_index_member_outlives_its_key() {
    let server = Server::start();
    one_of_each(&with(&server, RedisOptions::new().prefix("shop:sessions/")));
    let link = &mut server.connect();
    let mut kinds = BTreeSet::new();
    for (key, parts) in everything(link) {
        let key = String::from_utf8(key).unwrap();
        let rest = key.strip_prefix("shop:sessions/").expect("the prefix");
        let ends: i64 = redis::cmd("PTTL").arg(&key).query(link).unwrap();
        assert!(ends > 0, "{key} has no end");
        if rest.starts_with("{index") || rest.ends_with("sessions") {
            kinds.insert(if rest.starts_with("{index") { "index" } else { "sessions" });
            let last = parts[..parts.len() - 1].chunks(2).map(|pair| String::from_utf8(pair[1].clone()).unwrap());
            let last = last.map(|score| score.parse::<i64>().unwrap()).max().unwrap();
            let at: i64 = redis::cmd("TIME").query::<(i64, i64)>(link).unwrap().0 * 1_000 + ends;
            assert!(at >= last - 2_000, "{key} ends before its last member");
        } else {
            kinds.insert(
                ["epoch", "next", "logins", "why"].into_iter().find(|end| rest.ends_with(end)).unwrap_or("session"),
            );
        }
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["epoch", "index", "logins", "next", "session", "sessions", "why"]
    );
}

#[test]
fn an_index_forgets_sessions_that_are_over_as_others_come() {
    let server = Server::start();
    let store = store(&server);
    let link = &mut server.connect();
    // As if it had known these until a moment ago.
    for part in 0..16 {
        let key = format!("lembro:{{index:{part}}}");
        for member in 0..100 {
            let _: () = redis::cmd("ZADD").arg(&key).arg(1_000).arg(format!("gone{member}")).query(link).unwrap();
        }
    }
    for _ in 0..1_000 {
        create(&store);
    }
    let known: Vec<usize> =
        (0..16).map(|part| redis::cmd("ZCARD").arg(format!("lembro:{{index:{part}}}")).query(link).unwrap()).collect();
    assert_eq!(known.iter().sum::<usize>(), 1_000, "{known:?}");
}

#[test]
fn the_keys_of_a_session_and_those_of_an_owner_are_in_one_slot_each() {
    let server = Server::start();
    let clustered = Server::with(&["--cluster-enabled", "yes"]);
    let store = store(&server);
    one_of_each(&store);
    store.owners().unwrap().destroy_all(&owner("{}x{bob}é\0"), None).unwrap();
    let (link, slots) = (&mut server.connect(), &mut clustered.connect());
    let mut together: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for key in everything(link).into_keys() {
        let key = String::from_utf8(key).unwrap();
        let whose = key.split_once('{').unwrap().1.split_once('}').unwrap().0;
        let slot: u16 = redis::cmd("CLUSTER").arg("KEYSLOT").arg(&key).query(slots).unwrap();
        together.entry(whose.to_owned()).or_default().insert(slot);
    }
    assert!(together.values().all(|slots| slots.len() == 1), "{together:?}");
    let all: BTreeSet<u16> = together.values().flatten().copied().collect();
    assert!(all.len() > together.len() / 2, "nearly everything is in one slot: {together:?}");
}

#[test]
fn clear_takes_its_own_prefix_and_nothing_else() {
    let server = Server::start();
    let (ours, theirs) = (store(&server), with(&server, RedisOptions::new().prefix("lembro:b:")));
    let link = &mut server.connect();
    let _: () = redis::cmd("SET").arg("lembro:mine").arg("of the application").query(link).unwrap();
    let _: () = redis::cmd("SET").arg("else").arg("of the application").query(link).unwrap();
    let ids = one_of_each(&theirs);
    let before = everything(link);
    for _ in 0..100 {
        drop(one_of_each(&ours));
    }
    assert!(ours.len().unwrap() >= 200);
    ours.clear().unwrap();
    assert_eq!(ours.len().unwrap(), 0);
    // Whose logins are over is not forgotten, and handles of sessions that had ended lapse.
    let lapses = |key: &[u8]| key.starts_with(b"lembro:{owner:") || key.starts_with(b"lembro:{index:");
    let left = everything(link).into_iter().filter(|(key, _)| !lapses(key));
    assert!(left.eq(before));
    assert!(theirs.get(&ids[0]).unwrap().is_some());
}

#[test]
fn the_whole_database_is_never_searched_or_emptied() {
    let server = Server::start();
    let (store, link) = (store(&server), &mut server.connect());
    forget_what_was_asked(link);
    one_of_each(&store);
    assert_eq!(store.all().unwrap().count(), store.len().unwrap());
    store.owners().unwrap().list(&owner("ada")).unwrap();
    store.clear().unwrap();
    let asked = asked(link);
    assert!(asked["evalsha"] > 20, "{asked:?}");
    let never = ["keys", "scan", "hscan", "zscan", "sscan", "randomkey", "flushdb", "flushall", "select", "watch"];
    assert!(never.iter().all(|name| !asked.contains_key(*name)), "{asked:?}");
}

#[test]
fn the_indexes_are_written_once_in_the_life_of_a_session_and_not_at_every_visit() {
    let server = Server::start();
    let (store, link) = (store(&server), &mut server.connect());
    for id in [create(&store), create_owned(&store, "ada")] {
        forget_what_was_asked(link);
        for n in 0..100 {
            done(store.touch(&id, &lease()).unwrap());
            done(save(&store, &id, &put("seen", &n.to_string()), seen(&store, &id)).unwrap());
        }
        let asked = asked(link);
        // Scripts that the server had not seen were sent twice.
        assert!((200..210).contains(&asked["evalsha"]), "{asked:?}");
        assert!(!asked.contains_key("zadd"), "{asked:?}");
    }
}

#[test]
fn looks_ask_for_the_servers_clock_once_in_a_second() {
    let server = Server::start();
    let (store, link) = (store(&server), &mut server.connect());
    let id = create(&store);
    forget_what_was_asked(link);
    let start = Instant::now();
    for _ in 0..100 {
        assert!(store.get(&id).unwrap().is_some());
    }
    let (asked, seconds) = (asked(link), usize::try_from(start.elapsed().as_secs()).unwrap());
    assert_eq!(asked["hgetall"], 100);
    // A reading that took long is not kept: some may have, on a busy machine.
    assert!(asked["time"] <= seconds + 20, "{asked:?}");
}
