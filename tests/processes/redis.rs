//! Promise: a process that is forked after its store was made goes on with connections of its own:
//! parent and child never read each other's answers, and neither waits for the other.
//!
//! What the child has of its parent: connections that lie idle, permits of calls under way in
//! threads that do not run in it, what the breaker knows, hints about sessions.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{SessionId, Sessions, Store};

use crate::alone;
use crate::forked::forked;
use crate::redis_server::{Server, soon};

const TTL: Duration = Duration::from_secs(60);

fn store(server: &Server, connections: u64) -> RedisStore {
    RedisStore::with_options(RedisOptions::new().url(server.url()).timeout("10s").connections(connections)).unwrap()
}

/// Stores a value that no other caller has, and reads it back.
fn write_and_read(store: &RedisStore) {
    let id = SessionId::random().unwrap();
    store.set(&id, [("own", id.expose())].into_iter().collect(), TTL).unwrap();
    let found = store.get(&id).unwrap().expect("it was stored a moment ago").record;
    assert_eq!(found.get_str("own").unwrap().as_deref(), Some(id.expose().as_str()));
    assert!(store.destroy(&id).unwrap().is_done());
}

/// How many connections the server has, without the one that asks.
fn connections(server: &Server) -> usize {
    let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut server.connect()).unwrap();
    list.lines().count() - 1
}

#[test]
fn parent_and_child_at_work_at_once_read_no_answer_to_the_other() {
    let _alone = alone();
    let server = Server::start();
    for idle in [1, 3] {
        let store = store(&server, idle);
        // So many connections lie idle when the process is forked.
        thread::scope(|scope| (0..idle).for_each(|_| drop(scope.spawn(|| write_and_read(&store)))));
        let halves = forked(|| {
            thread::scope(|scope| {
                (0..idle).for_each(|_| drop(scope.spawn(|| (0..300).for_each(|_| write_and_read(&store)))));
            });
            vec!["done".to_owned()]
        });
        assert_eq!(halves, [["done"], ["done"]]);
    }
}

#[test]
fn the_connections_of_the_parent_outlive_a_child_that_used_its_own_and_ended() {
    let _alone = alone();
    let server = Server::start();
    let store = store(&server, 1);
    write_and_read(&store);
    let number = |list: String| list.lines().next().map(|line| line.split(' ').next().unwrap().to_owned());
    let ids = || number(redis::cmd("CLIENT").arg("LIST").query(&mut server.connect()).unwrap());
    let before = ids();
    let parent = std::process::id();
    let halves = forked(|| {
        if std::process::id() != parent {
            write_and_read(&store);
        }
        vec![connections(&server).to_string()]
    });
    assert_eq!(halves[0], ["2"], "one of the parent's and one of the child's");
    soon("the child's is closed", || connections(&server) == 1);
    write_and_read(&store);
    assert_eq!(ids(), before);
}

#[test]
fn a_child_does_not_wait_for_connections_that_were_in_use_when_it_was_forked() {
    let _alone = alone();
    let server = Server::start();
    let store = store(&server, 1);
    write_and_read(&store);
    let frozen = Mutex::new(Some(server.freeze()));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| write_and_read(&store));
        // There is nothing to see of a thread that waits for an answer.
        thread::sleep(Duration::from_millis(100));
        let parent = std::process::id();
        let halves = forked(|| {
            drop(frozen.lock().unwrap().take());
            if std::process::id() != parent {
                (0..10).for_each(|_| write_and_read(&store));
            }
            vec!["done".to_owned()]
        });
        assert_eq!(halves, [["done"], ["done"]]);
        waiting.join().unwrap();
    });
}

#[test]
fn a_session_that_the_parent_opened_is_saved_by_both() {
    let _alone = alone();
    let server = Server::start();
    let sessions = Sessions::new(store(&server, 2));
    let mut session = sessions.generate().unwrap();
    session.insert("made", "before").unwrap();
    session.save().unwrap();
    let id = session.id().unwrap();
    let _halves = forked(|| {
        let mut own = sessions.load(&id).unwrap().unwrap();
        for number in 0..50_u32 {
            own.insert(&std::process::id().to_string(), &number).unwrap();
            own.save().unwrap();
        }
        vec![]
    });
    let after = sessions.load(&id).unwrap().unwrap();
    assert_eq!(after.iter().unwrap().count(), 3);
    assert_eq!(after.get_str("made").unwrap().as_deref(), Some("before"));
}
