//! Promise: a server whose memory is full takes no new session, and ends those that there are as
//! ever.

use std::error::Error as _;

use lembro::{Changes, EndReason, Lease, Record, SessionId, Store};

use crate::redis::behind::{
    HOUR, create_at, create_owned, done, everything, lease, one_of_each, owner, put, save, seen, store,
};
use crate::redis::server::Server;

#[test]
fn a_full_server_takes_no_new_session_and_lets_everybody_log_out() {
    let server = Server::start();
    let (store, link) = (store(&server), &mut server.connect());
    let mut ids = one_of_each(&store);
    let here = ids.pop().unwrap();
    let cart = SessionId::random().unwrap();
    done(create_at(&store, &cart, &[("a", 1), ("b", 2)].into_iter().collect()).unwrap());
    let expected = seen(&store, &cart);
    let there = create_owned(&store, "ada");
    let _: () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").query(link).unwrap();
    let before = everything(link).len();
    for refused in [
        create_at(&store, &SessionId::random().unwrap(), &Record::new()).unwrap_err(),
        store.set(&SessionId::random().unwrap(), Record::new(), HOUR).unwrap_err(),
        save(&store, &cart, &put("a", "more"), expected).unwrap_err(),
        // The sets would have to know it for longer.
        store.touch(&cart, &Lease::new(HOUR * 9)).unwrap_err(),
    ] {
        let why = refused.source().unwrap().to_string();
        assert!(why.contains("OOM"), "{why}");
    }
    assert_eq!(everything(link).len(), before);
    let cart_now = store.get(&cart).unwrap().unwrap();
    assert_eq!(cart_now.record.get::<u8>("a").unwrap(), Some(1));
    // Visits go on, and sessions become smaller.
    done(store.touch(&cart, &lease()).unwrap());
    assert!(store.visit(&cart, &lease()).unwrap().found().is_some());
    let mut smaller = Changes::new();
    smaller.remove("", "a").unwrap();
    done(save(&store, &cart, &smaller, expected).unwrap());
    assert_eq!(store.get(&cart).unwrap().unwrap().record.len(), 1);
    let owners = store.owners().unwrap();
    assert_eq!(owners.destroy_all(&owner("ada"), Some(here.handle())).unwrap(), 1);
    assert!(store.get(&there).unwrap().is_none());
    assert_eq!(owners.why_ended(&there).unwrap(), Some(EndReason::Everywhere));
    assert!(store.get(&here).unwrap().is_some());
    done(owners.destroy_handle(ids[4].handle(), None, EndReason::Named).unwrap());
    assert_eq!(owners.destroy_all(&owner("ada"), None).unwrap(), 1);
    done(store.destroy(&cart).unwrap());
}
