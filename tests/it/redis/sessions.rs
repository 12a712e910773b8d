//! Sessions on Redis: their CSRF tokens, and their move from memory.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::support::session::{load_again, save_login, stored_session};
use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Commit, EndReason, LembroOptions, LembroStore, Login, SessionId, Sessions, Store, Stored};

use crate::redis::fixture::{done, is_live, lease, new_id, owner, put, renewed, store};
use crate::redis::server::Server;
use crate::support::scratch::Folder;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn csrf_token_is_valid_everywhere_until_a_login() {
    let server = Server::start();
    let (sessions, other) = (Sessions::new(store(&server)), Sessions::new(store(&server)));
    let mut visitor = sessions.generate().unwrap();
    let first = visitor.csrf_token().unwrap();
    visitor.save().unwrap();
    assert!(load_again(&other, &visitor).check_csrf(&first).unwrap());

    let mut session = stored_session(&sessions);
    let token = session.csrf_token().unwrap();
    assert!(!session.check_csrf(&first).unwrap());
    session.clear().unwrap();
    session.save().unwrap();
    session.regenerate().unwrap();
    session.save().unwrap();
    let mut elsewhere = load_again(&other, &session);
    assert!(elsewhere.check_csrf(&token).unwrap() && elsewhere.is_empty().unwrap());

    save_login(&mut elsewhere, "ada");
    assert!(!load_again(&sessions, &elsewhere).check_csrf(&token).unwrap());
    // A login as another owner whose response has a form.
    elsewhere.log_in("grace").unwrap();
    let form = elsewhere.csrf_token().unwrap();
    elsewhere.save().unwrap();
    let found = load_again(&sessions, &elsewhere);
    assert!(found.check_csrf(&form).unwrap() && found.owner().unwrap() == Some("grace"));

    // A copied record keeps its key.
    let record = sessions.store().get(&elsewhere.id().unwrap()).unwrap().unwrap().record;
    let copy = new_id();
    sessions.store().set(&copy, record, MINUTE).unwrap();
    assert!(other.load(&copy).unwrap().unwrap().check_csrf(&form).unwrap());
}

#[test]
fn race_parallel_pages_get_tokens_of_one_key() {
    let server = Server::start();
    let sessions = Sessions::new(store(&server));
    for _ in 0..50 {
        let session = stored_session(&sessions);
        let (id, start) = (session.id().unwrap(), Barrier::new(4));
        let page = || {
            let mut page = sessions.load(&id).unwrap().unwrap();
            start.wait();
            page.csrf_token().unwrap()
        };
        let tokens: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(page)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let found = load_again(&sessions, &session);
        assert!(tokens.iter().all(|token| found.check_csrf(token).unwrap()));
    }
}

fn login(store: &impl Store, user: &str) -> SessionId {
    let id = new_id();
    let mut commit = Commit::create().unwrap().log_in(Login::new(owner(user)));
    commit.changes.set_label(Some("Firefox on Linux")).unwrap();
    commit.changes.insert("cart", "items", &["tea", "ä\u{0}"]).unwrap();
    commit.changes.set_timeout(Some(30 * MINUTE));
    commit.changes.remember(true);
    done(store.commit(&id, &commit, &lease()).unwrap());
    id
}

/// Checks that the id opens the session with all that it had.
fn assert_whole(store: &impl Store, id: &SessionId, before: &Stored) {
    let stored = store.get(id).unwrap().expect("a live session");
    assert_eq!(stored.record, before.record);
    assert_eq!(stored.record.version(), before.record.version());
    assert_eq!(serde_json::to_value(&stored.record).unwrap(), serde_json::to_value(&before.record).unwrap());
    assert!(stored.ttl.abs_diff(before.ttl) < Duration::from_secs(5), "{:?} {:?}", stored.ttl, before.ttl);
}

#[test]
fn sessions_are_taken_over_from_memory() {
    let server = Server::start();
    let memory = LembroStore::new().unwrap();
    let [ada, bob] = ["ada", "bob"].map(|user| login(&memory, user));
    let ended = login(&memory, "ada");
    done(memory.destroy(&ended).unwrap());

    let redis = RedisStore::new(&server.url()).unwrap();
    assert_eq!(redis.take_over(memory.all().unwrap()).unwrap(), 2);
    for id in [&ada, &bob] {
        assert_whole(&redis, id, &memory.get(id).unwrap().unwrap());
    }
    assert!(!is_live(&redis, &ended));
    // The owners can list and end them.
    let owners = redis.owners().unwrap();
    assert_eq!(owners.list(&owner("ada")).unwrap()[0].stored.record.label(), Some("Firefox on Linux"));
    assert_eq!(owners.destroy_all(&owner("ada"), None).unwrap(), 1);
    assert!(!is_live(&redis, &ada));
    assert_eq!(owners.end_reason(&ada).unwrap(), Some(EndReason::LoggedOutEverywhere));
}

#[test]
fn sessions_are_taken_over_from_files() {
    let (server, folder) = (Server::start(), Folder::new());
    let path = folder.join("sessions");
    let memory = LembroStore::with_options(LembroOptions::new().persist(&path)).unwrap();
    let id = login(&memory, "ada");
    memory.close().unwrap();

    let restored = LembroStore::with_options(LembroOptions::new().persist(&path)).unwrap();
    let redis = RedisStore::with_options(RedisOptions::new().url(server.url())).unwrap();
    assert_eq!(redis.take_over(restored.all().unwrap()).unwrap(), 1);
    assert_whole(&redis, &id, &memory.get(&id).unwrap().unwrap());
    let guess = renewed(&id);
    assert!(!is_live(&redis, &guess));

    // A second call takes over and changes nothing.
    let version = redis.get(&id).unwrap().unwrap().record.version();
    let commit = Commit::merge(version).unwrap().with(put("theme", "dark"));
    done(redis.commit(&id, &commit, &lease()).unwrap());
    assert_eq!(redis.take_over(restored.all().unwrap()).unwrap(), 0);
    let record = redis.get(&id).unwrap().unwrap().record;
    assert_eq!(record.get_str("theme").unwrap().as_deref(), Some("dark"));
}
