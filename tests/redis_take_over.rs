//! Promise: live sessions move from memory to a server, and cookies go on working.
#![cfg(feature = "redis")]
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod redis_server;
mod scratch;

use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{EndReason, LembroOptions, LembroStore, Saved, Session, SessionId, Sessions, Store};

use self::redis_server::Server;
use self::scratch::Folder;

const MINUTE: Duration = Duration::from_secs(60);

fn login(sessions: &Sessions, user: &str) -> Session {
    let mut session = sessions.generate().unwrap();
    session.set_owner(user).unwrap();
    session.set_label("Firefox on Linux").unwrap();
    session.component("cart").insert("items", &["tea", "ä\u{0}"]).unwrap();
    session.set_timeout(30 * MINUTE).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    session
}

/// Whether an id opens the session with all that it had.
fn is_whole(sessions: &Sessions, id: &SessionId, before: &Session) {
    let mut session = sessions.load(id).unwrap().expect("the cookie goes on working");
    assert_eq!(session.owner().unwrap(), before.owner().unwrap());
    assert_eq!(session.timeout().unwrap(), 30 * MINUTE);
    assert_eq!(session.component("cart").get::<Vec<String>>("items").unwrap().unwrap(), ["tea", "ä\u{0}"]);
    let ends = |session: &Session| session.expires_at().unwrap().unwrap();
    let apart = ends(before).duration_since(ends(&session)).unwrap_or_else(|ahead| ahead.duration());
    assert!(apart < Duration::from_secs(5), "{apart:?}");
}

#[test]
fn sessions_from_memory_go_on_under_their_ids() {
    let server = Server::start();
    let memory = Sessions::new(LembroStore::new().unwrap());
    let [ada, bob] = ["ada", "bob"].map(|user| login(&memory, user));
    let mut ended = login(&memory, "ada");
    ended.destroy().unwrap();

    let redis = RedisStore::new(&server.url()).unwrap();
    assert_eq!(redis.take_over(memory.store().all().unwrap()).unwrap(), 2);
    let sessions = Sessions::new(redis.clone());
    for before in [&ada, &bob] {
        is_whole(&sessions, &before.id().unwrap(), before);
    }
    assert!(sessions.load(&ended.id().unwrap()).unwrap().is_none());
    // Their owners' powers came along.
    assert_eq!(sessions.sessions_of("ada").unwrap()[0].label.as_deref(), Some("Firefox on Linux"));
    assert_eq!(sessions.destroy_of("ada", None).unwrap(), 1);
    let loaded = sessions.load(&ada.id().unwrap()).unwrap();
    assert!(loaded.is_none());
    assert_eq!(redis.owners().unwrap().why_ended(&ada.id().unwrap()).unwrap(), Some(EndReason::Everywhere));
}

#[test]
fn sessions_from_the_file_of_a_process_that_stopped_go_on_too_though_nobody_knows_their_secrets() {
    let (server, folder) = (Server::start(), Folder::new());
    let path = folder.join("sessions");
    let memory = LembroStore::new().unwrap();
    let before = login(&Sessions::new(memory.clone()), "ada");
    memory.snapshot(&path).unwrap();

    let memory = LembroStore::with_options(LembroOptions::new().restore(&path)).unwrap();
    let redis = RedisStore::with_options(RedisOptions::new().url(server.url())).unwrap();
    assert_eq!(redis.take_over(memory.all().unwrap()).unwrap(), 1);
    let (sessions, id) = (Sessions::new(redis.clone()), before.id().unwrap());
    is_whole(&sessions, &id, &before);
    let guess = id.renewed(&SessionId::random().unwrap());
    assert!(sessions.load(&guess).unwrap().is_none());

    // Once more takes nothing over and changes nothing.
    let mut session = sessions.load(&id).unwrap().unwrap();
    session.insert("theme", "dark").unwrap();
    session.save().unwrap();
    assert_eq!(redis.take_over(memory.all().unwrap()).unwrap(), 0);
    assert_eq!(sessions.load(&id).unwrap().unwrap().get::<&str>("theme").unwrap(), Some("dark"));
}
