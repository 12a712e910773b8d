//! The data on the server: it holds no secret, expires by itself, and keeps to its prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use lembro::redis::RedisOptions;
use lembro::{SessionId, Store};

use crate::redis::fixture::{
    command_counts, create, create_owned, done, dump, lease, one_of_each, owner, put, reset_counts, save, served,
    store, store_with, version_of,
};
use crate::redis::server::Server;

/// The forms in which the secret of an id could be written.
fn forms(id: &SessionId) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let text = id.expose();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&text).unwrap();
    let secret = &bytes[8..];
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    // A third of the secret counts, too. The first eleven characters of the text are the handle.
    let parts = [secret, &secret[..6], &secret[10..], hex.as_bytes(), &hex.as_bytes()[..12], text.as_bytes()];
    let tail = [&text.as_bytes()[11..], &text.as_bytes()[16..24]];
    parts.into_iter().chain(tail).map(<[u8]>::to_vec).collect()
}

fn holds(database: &BTreeMap<Vec<u8>, Vec<Vec<u8>>>, form: &[u8]) -> bool {
    let texts = database.iter().flat_map(|(key, parts)| std::iter::once(key).chain(parts));
    texts.into_iter().any(|text| text.windows(form.len()).any(|part| part == form))
}

#[test]
fn dump_holds_no_secret_in_any_form() {
    let server = Server::start();
    let ids = one_of_each(&store(&server));
    let database = dump(&server);
    assert!(database.len() > 10, "{}", database.len());
    for id in &ids {
        for form in forms(id) {
            assert!(!holds(&database, &form), "{}", String::from_utf8_lossy(&form));
        }
    }
    // The search finds each form that is written.
    for (number, form) in forms(&ids[0]).iter().enumerate() {
        redis::cmd("SET").arg(format!("leak {number}")).arg(form).exec(&mut server.connect()).unwrap();
    }
    let database = dump(&server);
    assert!(forms(&ids[0]).iter().all(|form| holds(&database, form)));
}

#[test]
fn every_key_has_the_prefix_and_an_expiry() {
    let server = Server::start();
    one_of_each(&store_with(&server, RedisOptions::new().prefix("shop:sessions/")));
    let mut kinds = BTreeSet::new();
    for (key, parts) in dump(&server) {
        let key = String::from_utf8(key).unwrap();
        let rest = key.strip_prefix("shop:sessions/").expect("the prefix");
        let ends: i64 = server.query(&["PTTL", &key]);
        assert!(ends > 0, "{key} has no expiry");
        if rest.starts_with("{index") || rest.ends_with("sessions") {
            kinds.insert(if rest.starts_with("{index") { "index" } else { "sessions" });
            let last = parts[..parts.len() - 1].chunks(2).map(|pair| String::from_utf8(pair[1].clone()).unwrap());
            let last = last.map(|score| score.parse::<i64>().unwrap()).max().unwrap();
            let at: i64 = server.query::<(i64, i64)>(&["TIME"]).0 * 1_000 + ends;
            assert!(at >= last - 2_000, "{key} expires before its last member");
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
fn index_drops_expired_sessions_as_new_ones_come() {
    let (server, store) = served();
    let link = &mut server.connect();
    // Members that expired long ago.
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
fn related_keys_share_a_hash_slot() {
    let server = Server::start();
    let clustered = Server::with(&["--cluster-enabled", "yes"]);
    let store = store(&server);
    one_of_each(&store);
    store.owners().unwrap().destroy_all(&owner("{}x{bob}é\0"), None).unwrap();
    let link = &mut clustered.connect();
    let mut together: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for key in dump(&server).into_keys() {
        let key = String::from_utf8(key).unwrap();
        let hash_tag = key.split_once('{').unwrap().1.split_once('}').unwrap().0;
        let slot: u16 = redis::cmd("CLUSTER").arg("KEYSLOT").arg(&key).query(link).unwrap();
        together.entry(hash_tag.to_owned()).or_default().insert(slot);
    }
    assert!(together.values().all(|slots| slots.len() == 1), "{together:?}");
    let all: BTreeSet<u16> = together.values().flatten().copied().collect();
    assert!(all.len() > together.len() / 2, "most keys are in one slot: {together:?}");
}

#[test]
fn clear_removes_only_its_own_prefix() {
    let server = Server::start();
    let (ours, theirs) = (store(&server), store_with(&server, RedisOptions::new().prefix("lembro:b:")));
    server.run(&["SET", "lembro:mine", "of the application"]);
    server.run(&["SET", "else", "of the application"]);
    let ids = one_of_each(&theirs);
    let before = dump(&server);
    for _ in 0..100 {
        drop(one_of_each(&ours));
    }
    assert!(ours.len().unwrap() >= 200);
    ours.clear().unwrap();
    assert_eq!(ours.len().unwrap(), 0);
    // Epochs are kept, and the handles of ended sessions expire.
    let expires = |key: &[u8]| key.starts_with(b"lembro:{owner:") || key.starts_with(b"lembro:{index:");
    let left = dump(&server).into_iter().filter(|(key, _)| !expires(key));
    assert!(left.eq(before));
    assert!(theirs.get(&ids[0]).unwrap().is_some());
}

#[test]
fn database_is_never_scanned_or_flushed() {
    let (server, store) = served();
    reset_counts(&server);
    one_of_each(&store);
    assert_eq!(store.all().unwrap().count(), store.len().unwrap());
    store.owners().unwrap().list(&owner("ada")).unwrap();
    store.clear().unwrap();
    let counts = command_counts(&server);
    assert!(counts["evalsha"] > 20, "{counts:?}");
    let never = ["keys", "scan", "hscan", "zscan", "sscan", "randomkey", "flushdb", "flushall", "select", "watch"];
    assert!(never.iter().all(|name| !counts.contains_key(*name)), "{counts:?}");
}

#[test]
fn index_is_written_once_in_the_life_of_a_session() {
    let (server, store) = served();
    for id in [create(&store), create_owned(&store, "ada")] {
        reset_counts(&server);
        for n in 0..100 {
            done(store.touch(&id, &lease()).unwrap());
            done(save(&store, &id, &put("seen", &n.to_string()), version_of(&store, &id)).unwrap());
        }
        let counts = command_counts(&server);
        // Scripts that are new to the server are sent twice.
        assert!((200..210).contains(&counts["evalsha"]), "{counts:?}");
        assert!(!counts.contains_key("zadd"), "{counts:?}");
    }
}

#[test]
fn looks_read_the_server_clock_once_a_second() {
    let (server, store) = served();
    let id = create(&store);
    reset_counts(&server);
    let start = Instant::now();
    for _ in 0..100 {
        assert!(store.get(&id).unwrap().is_some());
    }
    let (counts, seconds) = (command_counts(&server), usize::try_from(start.elapsed().as_secs()).unwrap());
    assert_eq!(counts["hgetall"], 100);
    // Slow readings are not kept, and a busy machine makes some slow.
    assert!(counts["time"] <= seconds + 20, "{counts:?}");
}
