//! Promise: a request costs one round trip to load its session and at most one to finish, whoever it is.
#![cfg(feature = "redis")]

mod redis_server;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Outcome, Saved, Session, SessionId, Sessions};

use self::redis_server::Server;

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
fn warm(between: &Between) -> Sessions {
    let options = RedisOptions::new().url(format!("redis://127.0.0.1:{}", between.port)).connections(1).timeout("10s");
    let sessions = Sessions::new(RedisStore::with_options(options).unwrap());
    for owner in [None, Some("ada")] {
        let id = stored(&sessions, owner);
        let mut session = sessions.load(&id).unwrap().unwrap();
        session.insert("n", &1).unwrap();
        assert_eq!(session.save().unwrap(), Saved::Written);
        assert_eq!(session.touch().unwrap(), Saved::Written);
        session.regenerate().unwrap();
        session.save().unwrap();
        session.destroy().unwrap();
    }
    stored(&sessions, Some("ada"));
    sessions.destroy_of("ada", None).unwrap();
    sessions
}

fn begin(sessions: &Sessions, owner: Option<&str>) -> Session {
    let mut session = sessions.generate().unwrap();
    session.insert("cart", &["tea"]).unwrap();
    session.set_owner(owner).unwrap();
    session
}

fn stored(sessions: &Sessions, owner: Option<&str>) -> SessionId {
    let mut session = begin(sessions, owner);
    assert_eq!(session.save().unwrap(), Saved::Written);
    session.id().unwrap()
}

#[test]
fn a_request_takes_one_round_trip_to_load_and_one_to_save_to_touch_or_to_log_out() {
    let server = Server::start();
    let between = Between::stand(&server);
    let sessions = warm(&between);
    for owner in [None, Some("ada")] {
        let id = stored(&sessions, owner);
        let (session, cost) = between.cost(|| sessions.load(&id).unwrap().unwrap());
        assert_eq!(cost, 1, "to load");
        let mut session = session;
        let (cart, cost) = between.cost(|| session.get::<Vec<String>>("cart").unwrap());
        assert_eq!((cart.unwrap().len(), cost), (1, 0), "to read");
        session.insert("cart", &["tea", "milk"]).unwrap();
        session.insert("seen", &1).unwrap();
        assert_eq!(between.cost(|| session.save().unwrap()), (Saved::Written, 1), "to save");
        assert_eq!(between.cost(|| session.touch().unwrap()), (Saved::Written, 1), "to touch");
        assert_eq!(between.cost(|| session.save().unwrap()), (Saved::Unchanged, 0), "to save nothing");
        assert_eq!(between.cost(|| session.destroy().unwrap()).1, 1, "to log out");
        assert_eq!(between.cost(|| sessions.load(&id).unwrap().is_none()), (true, 1), "to find nothing");
    }
}

#[test]
fn a_new_session_takes_one_round_trip() {
    let server = Server::start();
    let between = Between::stand(&server);
    let sessions = warm(&between);
    let mut session = begin(&sessions, None);
    assert_eq!(between.cost(|| session.save().unwrap()), (Saved::Written, 1));
}

/// The price of a logout everywhere that is final, paid once in a login: the guide says so, too.
#[test]
fn a_login_takes_four_round_trips_and_log_out_everywhere_three() {
    let server = Server::start();
    let between = Between::stand(&server);
    let sessions = warm(&between);
    let mut session = begin(&sessions, Some("ada"));
    let (_, cost) = between.cost(|| session.save().unwrap());
    assert_eq!(cost, 4, "to begin with a login");
    let mut session = sessions.load(&stored(&sessions, None)).unwrap().unwrap();
    session.set_owner("ada").unwrap();
    let (_, cost) = between.cost(|| session.save().unwrap());
    assert_eq!(cost, 4, "to log in");
    let id = session.id().unwrap();
    let (ended, cost) = between.cost(|| sessions.destroy_of("ada", None).unwrap());
    assert_eq!((ended, cost), (2, 3));
    assert!(sessions.load(&id).unwrap().is_none());
}

#[test]
fn a_session_that_nobody_has_confirmed_is_looked_into_once() {
    let server = Server::start();
    let between = Between::stand(&server);
    let sessions = warm(&between);
    let id = stored(&sessions, Some("ada"));
    let key = format!("lembro:{{{}}}", id.handle());
    // The first time the server learns the script.
    for expected in [6, 5] {
        // As if its process had died in the middle of the login.
        let link = &mut server.connect();
        let mut meta: Vec<u8> = redis::cmd("HGET").arg(&key).arg("m").query(link).unwrap();
        assert_eq!(meta[1], b's');
        meta[1] = b'u';
        redis::cmd("HSET").arg(&key).arg("m").arg(meta).exec(link).unwrap();
        let (found, cost) = between.cost(|| sessions.load(&id).unwrap().is_some());
        assert_eq!((found, cost), (true, expected));
    }
    let (found, cost) = between.cost(|| sessions.load(&id).unwrap().is_some());
    assert!(found && cost == 1, "{cost}");
    assert_eq!(sessions.store().destroy(&id).unwrap(), Outcome::Done);
}
