//! Promise: live sessions move from memory to a server, and cookies go on working.

use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Commit, EndReason, LembroOptions, LembroStore, Login, SessionId, Store, Stored};

use crate::redis::behind::{done, lease, owner, put};
use crate::redis::server::Server;
use crate::support::scratch::Folder;

const MINUTE: Duration = Duration::from_secs(60);

fn login(store: &impl Store, user: &str) -> SessionId {
    let id = SessionId::random().unwrap();
    let mut commit = Commit::create().unwrap().log_in(Login::new(owner(user)));
    commit.changes.set_label(Some("Firefox on Linux")).unwrap();
    commit.changes.insert("cart", "items", &["tea", "ä\u{0}"]).unwrap();
    commit.changes.set_timeout(Some(30 * MINUTE));
    commit.changes.remember(true);
    done(store.commit(&id, &commit, &lease()).unwrap());
    id
}

/// Whether an id opens the session with all that it had.
fn is_whole(store: &impl Store, id: &SessionId, before: &Stored) {
    let stored = store.get(id).unwrap().expect("the cookie goes on working");
    assert_eq!(stored.record, before.record);
    assert_eq!(stored.record.version(), before.record.version());
    assert_eq!(serde_json::to_value(&stored.record).unwrap(), serde_json::to_value(&before.record).unwrap());
    assert!(stored.ttl.abs_diff(before.ttl) < Duration::from_secs(5), "{:?} {:?}", stored.ttl, before.ttl);
}

#[test]
fn sessions_from_memory_go_on_under_their_ids() {
    let server = Server::start();
    let memory = LembroStore::new().unwrap();
    let [ada, bob] = ["ada", "bob"].map(|user| login(&memory, user));
    let ended = login(&memory, "ada");
    done(memory.destroy(&ended).unwrap());

    let redis = RedisStore::new(&server.url()).unwrap();
    assert_eq!(redis.take_over(memory.all().unwrap()).unwrap(), 2);
    for id in [&ada, &bob] {
        is_whole(&redis, id, &memory.get(id).unwrap().unwrap());
    }
    assert!(redis.get(&ended).unwrap().is_none());
    // Their owners' powers came along.
    let owners = redis.owners().unwrap();
    assert_eq!(owners.list(&owner("ada")).unwrap()[0].stored.record.label(), Some("Firefox on Linux"));
    assert_eq!(owners.destroy_all(&owner("ada"), None).unwrap(), 1);
    assert!(redis.get(&ada).unwrap().is_none());
    assert_eq!(owners.why_ended(&ada).unwrap(), Some(EndReason::Everywhere));
}

#[test]
fn sessions_from_the_file_of_a_process_that_stopped_go_on_too_though_their_secrets_are_not_known() {
    let (server, folder) = (Server::start(), Folder::new());
    let path = folder.join("sessions");
    let memory = LembroStore::with_options(LembroOptions::new().persist(&path)).unwrap();
    let id = login(&memory, "ada");
    memory.close().unwrap();

    let restored = LembroStore::with_options(LembroOptions::new().persist(&path)).unwrap();
    let redis = RedisStore::with_options(RedisOptions::new().url(server.url())).unwrap();
    assert_eq!(redis.take_over(restored.all().unwrap()).unwrap(), 1);
    is_whole(&redis, &id, &memory.get(&id).unwrap().unwrap());
    let guess = id.renewed(&SessionId::random().unwrap());
    assert!(redis.get(&guess).unwrap().is_none());

    // Once more takes nothing over and changes nothing.
    let version = redis.get(&id).unwrap().unwrap().record.version();
    let commit = Commit::merge(version).unwrap().with(put("theme", "dark"));
    done(redis.commit(&id, &commit, &lease()).unwrap());
    assert_eq!(redis.take_over(restored.all().unwrap()).unwrap(), 0);
    let record = redis.get(&id).unwrap().unwrap().record;
    assert_eq!(record.get_str("theme").unwrap().as_deref(), Some("dark"));
}
