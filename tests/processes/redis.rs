//! Forks of a process with a store on Redis: parent and child use separate connections, and neither
//! waits for the other.
//!
//! The child inherits idle connections, permits of requests in threads that it does not have, the
//! state of the breaker, and hints.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{SessionId, Sessions, Store};

use crate::alone;
use crate::forked::forked;
use crate::redis_server::{Server, soon};

const TTL: Duration = Duration::from_secs(60);

fn store(server: &Server, connections: usize) -> RedisStore {
    RedisStore::with_options(RedisOptions::new().url(server.url()).timeout("10s").connections(connections)).unwrap()
}

/// Stores a unique value and reads it back.
fn write_and_read(store: &RedisStore) {
    let id = SessionId::random().unwrap();
    store.set(&id, [("own", id.expose())].into_iter().collect(), TTL).unwrap();
    let found = store.get(&id).unwrap().unwrap().record;
    assert_eq!(found.get_str("own").unwrap().as_deref(), Some(id.expose().as_str()));
    assert!(store.destroy(&id).unwrap().is_done());
}

/// The number of connections to the server, without the one that asks.
fn connections(server: &Server) -> usize {
    server.query::<String>(&["CLIENT", "LIST"]).lines().count() - 1
}

#[test]
fn race_fork_reads_only_its_own_answers() {
    let _alone = alone();
    let server = Server::start();
    for idle in [1, 3] {
        let store = store(&server, idle);
        // Open so many connections before the fork.
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
fn connections_of_the_parent_outlive_the_child() {
    let _alone = alone();
    let server = Server::start();
    let store = store(&server, 1);
    write_and_read(&store);
    let number = |list: String| list.lines().next().map(|line| line.split(' ').next().unwrap().to_owned());
    let ids = || number(server.query(&["CLIENT", "LIST"]));
    let before = ids();
    let parent = std::process::id();
    let halves = forked(|| {
        if std::process::id() != parent {
            write_and_read(&store);
        }
        vec![connections(&server).to_string()]
    });
    assert_eq!(halves[0], ["2"], "one of the parent's and one of the child's");
    soon("the child's connection is closed", || connections(&server) == 1);
    write_and_read(&store);
    assert_eq!(ids(), before);
}

#[test]
fn child_waits_for_no_connection_of_the_parent() {
    let _alone = alone();
    let server = Server::start();
    let store = store(&server, 1);
    write_and_read(&store);
    let frozen = Mutex::new(Some(server.freeze()));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| write_and_read(&store));
        // Nothing shows when the thread has begun to wait for its answer.
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
fn parent_and_child_save_the_same_session() {
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
