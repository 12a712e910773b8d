//! A server whose memory is full: it refuses growth, and sessions still get smaller and end.

use lembro::{Changes, EndReason, Error, Lease, Store};

use crate::redis::fixture::{
    HOUR, create, create_at, create_owned, done, dump, is_live, key_of, lease, new_id, one_of_each, owner, put, record,
    save, store, version_of,
};
use crate::redis::server::{Server, text_of};

#[track_caller]
fn assert_refused(error: &Error) {
    assert!(error.is_store() && text_of(error).contains("OOM"), "{}", text_of(error));
}

#[test]
fn full_server_refuses_growth_and_lets_users_log_out() {
    let server = Server::with(&["--maxmemory-policy", "noeviction"]);
    let store = store(&server);
    let owners = store.owners().unwrap();
    let mut ids = one_of_each(&store);
    let here = ids.pop().unwrap();
    let (cart, by_handle) = (new_id(), create(&store));
    done(create_at(&store, &cart, &[("a", 1), ("b", 2)].into_iter().collect()).unwrap());
    let expected = version_of(&store, &cart);
    let there = create_owned(&store, "ada");
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let before = dump(&server);
    for _ in 0..10 {
        assert_refused(&create_at(&store, &new_id(), &record()).unwrap_err());
        assert_refused(&store.set(&new_id(), record(), HOUR).unwrap_err());
        assert_refused(&save(&store, &cart, &put("a", "more"), expected).unwrap_err());
        // The sets would have to hold the session for longer.
        assert_refused(&store.touch(&cart, &Lease::new(HOUR * 9)).unwrap_err());
    }
    let after = dump(&server);
    assert!(after.keys().eq(before.keys()), "a refused write left a key");
    assert_eq!(after[key_of(&cart).as_bytes()], before[key_of(&cart).as_bytes()], "a refused write left a field");

    done(store.touch(&cart, &lease()).unwrap());
    assert!(store.visit(&cart, &lease()).unwrap().found().is_some());
    let mut smaller = Changes::new();
    smaller.remove("", "a").unwrap();
    done(save(&store, &cart, &smaller, expected).unwrap());
    assert_eq!(store.get(&cart).unwrap().unwrap().record.len(), 1);

    done(store.destroy(&cart).unwrap());
    for handle in [ids[4].handle(), by_handle.handle()] {
        done(owners.destroy_handle(handle, None, EndReason::Revoked).unwrap());
    }
    assert_eq!(owners.destroy_all(&owner("ada"), Some(here.handle())).unwrap(), 1);
    assert_eq!(owners.end_reason(&there).unwrap(), Some(EndReason::LoggedOutEverywhere));
    assert_eq!([cart, by_handle, there, here].map(|id| is_live(&store, &id)), [false, false, false, true]);
    assert_eq!(owners.destroy_all(&owner("ada"), None).unwrap(), 1);

    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    create(&store);
}
