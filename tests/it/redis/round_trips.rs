//! Promise: a page that reads costs one round trip, one that changes two, a login three, a logout
//! one more.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{AtLimit, Commit, Identity, Lease, Limit, Login, SessionId, Store};

use crate::redis::behind::{HOUR, create, create_owned, done, lease, log_in, owner, put, save, seen};
use crate::redis::server::Server;

/// Stands between a store and its server, and counts how often the store waits for an answer.
struct Between {
    port: u16,
    turns: Arc<AtomicUsize>,
}

impl Between {
    fn stand(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, turns, behind) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default(), server.port);
        let counted = Arc::clone(&turns);
        thread::spawn(move || {
            for link in listener.incoming() {
                let (asks, answers) = (link.unwrap(), TcpStream::connect(("127.0.0.1", behind)).unwrap());
                let counted = Arc::clone(&counted);
                let answered = Arc::new(AtomicBool::new(true));
                let (from, to, was_answered) =
                    (asks.try_clone().unwrap(), answers.try_clone().unwrap(), Arc::clone(&answered));
                thread::spawn(move || {
                    pass_on(from, to, || {
                        if answered.swap(false, Ordering::SeqCst) {
                            counted.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                });
                thread::spawn(move || pass_on(answers, asks, || was_answered.store(true, Ordering::SeqCst)));
            }
        });
        Self { port, turns }
    }

    /// What this costs, in round trips.
    fn cost<T>(&self, of: impl FnOnce() -> T) -> (T, usize) {
        let before = self.turns.load(Ordering::SeqCst);
        let done = of();
        (done, self.turns.load(Ordering::SeqCst) - before)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, count: impl Fn()) {
    let mut bytes = [0; 16 * 1024];
    loop {
        match from.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(length) => {
                count();
                if to.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A store whose connection and scripts are there already.
fn warm(between: &Between) -> RedisStore {
    let options = RedisOptions::new().url(format!("redis://127.0.0.1:{}", between.port)).connections(1).timeout("10s");
    let store = RedisStore::with_options(options).unwrap();
    for _ in 0..2 {
        let id = create(&store);
        done(save(&store, &id, &put("n", "1"), seen(&store, &id)).unwrap());
        assert!(store.visit(&id, &lease()).unwrap().found().is_some());
        done(store.touch(&id, &lease()).unwrap());
        let limit = Some(Limit { max: 1, at_limit: AtLimit::EndOldest });
        done(log_in(&store, &id, Login { limit, ..Login::new(owner("warm")) }).unwrap().1);
        create_owned(&store, "warm");
    }
    store.owners().unwrap().destroy_all(&owner("warm"), None).unwrap();
    done(store.destroy(&create(&store)).unwrap());
    store
}

#[test]
fn a_page_that_reads_costs_one_round_trip_one_that_changes_two_and_a_logout_one_more() {
    let server = Server::start();
    let between = Between::stand(&server);
    let store = warm(&between);
    for id in [create(&store), create_owned(&store, "ada")] {
        // Each visit prolongs, so that each is noted.
        let (found, cost) = between.cost(|| store.visit(&id, &Lease::new(HOUR / 2)).unwrap().found().unwrap());
        assert_eq!(cost, 1, "to visit");
        let version = found.record.version();
        let merge = Commit::merge(version).unwrap().with(put("seen", "1")).identity(Identity::Renew(1));
        let renewing =
            Lease { renew_after: Some(std::time::Duration::ZERO), grace: std::time::Duration::ZERO, ..lease() };
        let (receipt, cost) = between.cost(|| done(store.commit(&id, &merge, &renewing).unwrap()));
        assert_eq!(cost, 1, "to commit");
        let id = receipt.announce.unwrap_or(id);
        let (found, cost) = between.cost(|| store.visit(&id, &lease()).unwrap().found().is_some());
        assert_eq!((found, cost), (true, 1), "to confirm a new id");
        assert_eq!(between.cost(|| store.get(&id).unwrap().is_some()), (true, 1), "to peek");
        assert_eq!(between.cost(|| store.touch(&id, &lease()).unwrap().is_done()), (true, 1), "to touch");
        assert_eq!(between.cost(|| store.destroy(&id).unwrap().is_done()), (true, 1), "to log out");
        assert_eq!(
            between.cost(|| store.visit(&id, &lease()).unwrap().found().is_none()),
            (true, 1),
            "to find nothing"
        );
    }
    assert_eq!(between.cost(|| create(&store)).1, 1, "to begin");
}

/// The visit is the third.
#[test]
fn a_login_costs_two_round_trips_a_limit_two_more_and_log_out_everywhere_three() {
    let server = Server::start();
    let between = Between::stand(&server);
    let store = warm(&between);
    assert_eq!(between.cost(|| create_owned(&store, "ada")).1, 2, "to begin with a login");
    let (anonymous, limit) = (create(&store), Some(Limit { max: 1, at_limit: AtLimit::EndOldest }));
    let log_in = |id: &SessionId, limit| {
        let new = id.renewed(&SessionId::random().unwrap());
        let login = Login { limit, ..Login::new(owner("ada")) };
        let commit = Commit::merge(seen(&store, id)).unwrap().identity(Identity::Replace(new)).log_in(login);
        let (receipt, cost) = between.cost(|| done(store.commit(id, &commit, &lease()).unwrap()));
        (receipt.announce.unwrap(), cost)
    };
    let (id, cost) = log_in(&anonymous, None);
    assert_eq!(cost, 2, "to log in");
    let (id, cost) = log_in(&id, limit);
    assert_eq!(cost, 4, "to log in where another session has to end");
    assert_eq!(store.owners().unwrap().count(&owner("ada")).unwrap(), 1);
    let (id, cost) = log_in(&id, limit);
    assert_eq!(cost, 2, "to log in within the limit");
    let (ended, cost) = between.cost(|| store.owners().unwrap().destroy_all(&owner("ada"), None).unwrap());
    assert_eq!((ended, cost), (1, 3));
    assert!(store.get(&id).unwrap().is_none());
}

#[test]
fn a_login_that_was_not_confirmed_is_looked_into_once() {
    let server = Server::start();
    let between = Between::stand(&server);
    let store = warm(&between);
    let id = create_owned(&store, "ada");
    let key = format!("lembro:{{{}}}", id.handle());
    let unsure = || {
        // As a login in a cluster is.
        let link = &mut server.connect();
        let mut meta: Vec<u8> = redis::cmd("HGET").arg(&key).arg("m").query(link).unwrap();
        assert_eq!(meta[1], b's');
        meta[1] = b'u';
        redis::cmd("HSET").arg(&key).arg("m").arg(meta).exec(link).unwrap();
    };
    // The first time the server learns the scripts.
    for expected in [6, 4] {
        unsure();
        let (found, cost) = between.cost(|| store.visit(&id, &lease()).unwrap().found().is_some());
        assert_eq!((found, cost), (true, expected));
    }
    let (found, cost) = between.cost(|| store.visit(&id, &lease()).unwrap().found().is_some());
    assert!(found && cost == 1, "{cost}");
    // One whose owner logged out everywhere is ended, whatever looks at it first.
    let looks: [fn(&RedisStore, &SessionId) -> bool; 4] = [
        |store, id| store.visit(id, &lease()).unwrap().found().is_some(),
        |store, id| store.get(id).unwrap().is_some(),
        |store, id| store.touch(id, &lease()).unwrap().is_done(),
        |store, _| store.owners().unwrap().list(&owner("ada")).unwrap().len() > 1,
    ];
    for is_found in looks {
        let id = create_owned(&store, "ada");
        let key = format!("lembro:{{{}}}", id.handle());
        let link = &mut server.connect();
        let meta: Vec<u8> = redis::cmd("HGET").arg(&key).arg("m").query(link).unwrap();
        let meta = [b"2u", &meta[2..]].concat();
        redis::cmd("HSET").arg(&key).arg("m").arg(meta).exec(link).unwrap();
        let epoch = store.owners().unwrap().epoch(&owner("ada")).unwrap().to_u64() + 1;
        redis::cmd("SET").arg("lembro:{owner:616461}:epoch").arg(epoch).exec(link).unwrap();
        assert!(!is_found(&store, &id));
        assert!(!redis::cmd("EXISTS").arg(&key).query::<bool>(link).unwrap());
    }
}
