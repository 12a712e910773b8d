//! Promise: a server whose memory is full takes no new session, and ends those that there are as ever.
#![cfg(feature = "redis")]

mod redis_behind;
mod redis_server;

use std::error::Error as _;

use lembro::{Changes, EndReason, Outcome, Record, SessionId, Sessions, Store};

use self::redis_behind::{HOUR, everything, one_of_each, put, seen, store};
use self::redis_server::Server;

#[test]
fn a_full_server_takes_no_new_session_and_lets_everybody_log_out() {
    let server = Server::start();
    let (store, link) = (store(&server), &mut server.connect());
    let mut ids = one_of_each(&store);
    let here = ids.pop().unwrap();
    let cart = SessionId::random().unwrap();
    let record = [("a", 1), ("b", 2)].into_iter().collect();
    assert_eq!(store.create(&cart, record, HOUR).unwrap(), Outcome::Done);
    let expected = seen(&store, &cart);
    let sessions = Sessions::new(store.clone());
    let mut there = sessions.generate().unwrap();
    there.set_owner("ada").unwrap();
    there.save().unwrap();
    let _: () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").query(link).unwrap();
    let before = everything(link).len();
    for refused in [
        store.create(&SessionId::random().unwrap(), Record::new(), HOUR).map(drop).unwrap_err(),
        store.set(&SessionId::random().unwrap(), Record::new(), HOUR).unwrap_err(),
        store.save(&cart, &put("a", "more"), HOUR, expected).map(drop).unwrap_err(),
        store.save(&cart, &Changes::new(), HOUR * 9, expected).map(drop).unwrap_err(),
    ] {
        let why = refused.source().unwrap().to_string();
        assert!(why.contains("OOM"), "{why}");
    }
    assert_eq!(everything(link).len(), before);
    let cart_now = store.get(&cart).unwrap().unwrap();
    assert_eq!(cart_now.record.get::<u8>("a").unwrap(), Some(1));
    // Visits go on, and sessions become smaller.
    assert_eq!(store.touch(&cart, HOUR).unwrap(), Outcome::Done);
    let mut smaller = Changes::new();
    smaller.remove("", "a").unwrap();
    assert_eq!(store.save(&cart, &smaller, HOUR, expected).unwrap(), Outcome::Done);
    assert_eq!(store.get(&cart).unwrap().unwrap().record.len(), 1);
    let owners = store.owners().unwrap();
    assert_eq!(owners.destroy_of("ada", Some(&here)).unwrap(), 1);
    assert!(store.get(&there.id().unwrap()).unwrap().is_none());
    assert_eq!(owners.why_ended(&there.id().unwrap()).unwrap(), Some(EndReason::Everywhere));
    assert!(store.get(&here).unwrap().is_some());
    assert_eq!(owners.destroy_handle(ids[4].handle(), EndReason::Named).unwrap(), Outcome::Done);
    assert_eq!(owners.destroy_of("ada", None).unwrap(), 1);
    assert_eq!(store.destroy(&cart).unwrap(), Outcome::Done);
}
