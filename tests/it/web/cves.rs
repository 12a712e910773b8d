//! Flaws of other session libraries, each as the request or the call that would show it here.
//!
//! Two more have longer tests: CVE-2024-38513 (the server adopts any id of a client) in `suite`,
//! `socket_client_id_is_never_adopted`; CVE-2025-46336 (a slow request stores a session again after
//! its logout) in `suite`, `socket_destroyed_session_never_comes_back`, and in `session/races`.

use crate::support::session::{HOUR, MINUTE, manual_store};
use crate::support::site::{AGE, Site, id_of, look, renewing, sent_back};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lembro::web::{CookieOptions, Finished};
use lembro::{Commit, Lease, Outcome, Record, SessionId, Store};

/// Rack looked sessions up by the whole secret id, so the time of a lookup revealed how much of a
/// guess was right.
#[test]
fn cve_2019_16782_lookup_by_handle_alone() {
    let (store, _) = manual_store();
    let (id, lease) = (SessionId::random().unwrap(), Lease::new(HOUR));
    let create = |id: &SessionId| store.commit(id, &Commit::create().unwrap(), &lease).unwrap();
    assert!(create(&id).is_done());
    for _ in 0..100 {
        let guess = id.renewed(&SessionId::random().unwrap());
        // The session is found by its handle alone. Otherwise the guess would be an unused id.
        assert_eq!(create(&guess), Outcome::Taken);
        assert!(store.set(&guess, Record::new(), HOUR).unwrap_err().is_taken());
        // The secret does not match, so the session is not opened.
        assert!(store.get(&guess).unwrap().is_none());
        assert_eq!(store.touch(&guess, &lease).unwrap(), Outcome::Gone);
        assert_eq!(store.destroy(&guess).unwrap(), Outcome::Gone);
    }
    assert!(store.get(&id).unwrap().is_some());
    // A test cannot measure constant time, but it can read the code.
    let source = include_str!("../../../src/id.rs");
    let secret = source.split("impl PartialEq for Secret").nth(1).unwrap();
    assert!(secret.split("impl ").next().unwrap().contains("is_same("), "secrets are compared as digests are");
    let source = include_str!("../../../src/id/secret_check.rs");
    let digest = source.split("fn is_same(").nth(1).unwrap();
    assert!(digest.split("\nfn ").next().unwrap().contains(".ct_eq("), "digests are compared by `subtle`");
}

/// If decrypting failed, Rack read the cookie by a fallback, and so accepted a forged cookie.
#[test]
fn cve_2026_39324_failed_check_has_no_fallback() {
    let plain = Site::new(CookieOptions::new());
    let unsigned = plain.log_in();
    let events = plain.store.events();
    // The id is right, and without keys it would be enough.
    let site = plain.cookie(CookieOptions::new().keys([[1; 32]]));
    let id = id_of(&unsigned).expose();
    let other_key = sent_back(
        &Site::new(CookieOptions::new().keys([[2; 32]]))
            .visit("", |session| session.insert("user", "mallory").unwrap()),
    );
    let signature = other_key.rsplit_once('.').unwrap().1;
    let forms = [
        id.clone(),
        format!("{id}."),
        format!("{id}.1000000000"),
        format!("{id}.{signature}"),
        format!("{id}.1000000000.{signature}"),
        format!("{id}.{}", URL_SAFE_NO_PAD.encode([0; 32])),
        format!("{id}.{}", URL_SAFE_NO_PAD.encode(&id)),
        // express-session's form, a JSON text, and the encodings of others.
        format!("s:{id}.{signature}"),
        format!("s%3A{id}.{signature}"),
        format!("j:{{\"id\":\"{id}\"}}"),
        format!("\"{id}\""),
        STANDARD.encode(&id),
        format!("{}--{signature}", STANDARD.encode(format!("{{\"session_id\":\"{id}\"}}"))),
    ];
    site.probe.calls.take();
    for form in forms {
        let cookie = format!("id={form}");
        let finished = site.visit(&cookie, |session| assert!(session.is_new().unwrap(), "{cookie}"));
        assert_eq!(finished.cookie(), None, "{cookie}");
    }
    assert_eq!(site.probe.calls.happened(), [], "the store was not even asked");
    assert_eq!(events.try_iter().count(), 0);
}

/// If no handler had looked at the session, Flask sent its cookie again without `Vary: Cookie`, and
/// a cache gave one user's cookie to the next.
#[test]
fn cve_2023_30861_cookie_responses_are_private() {
    fn check(what: &str, finished: &Finished) -> bool {
        // The headers of a handler that considers its page the same for every client.
        let mut headers = vec![("Cache-Control".to_owned(), "public, max-age=600, s-maxage=600".to_owned())];
        finished.write_to(&mut headers);
        let value = |name: &str| headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
        if value("Set-Cookie").is_none() {
            return false;
        }
        assert_eq!((value("Vary"), value("Cache-Control")), (Some("Cookie"), Some("no-store")), "{what}");
        true
    }

    // Every response with a cookie: a first visit, a rewritten cookie, a new id, a renewal, a
    // logout.
    let site = Site::persistent().policy(renewing());
    let first = site.visit("", |session| {
        session.insert("user", "ada").unwrap();
        session.log_in("user-42").unwrap();
    });
    assert!(check("a first visit", &first));
    let cookie = sent_back(&first);
    site.time.advance(2 * MINUTE);
    assert!(check("a refresh", &site.visit(&cookie, look)));
    let login = site.visit(&cookie, |session| session.regenerate().unwrap());
    assert!(check("a new id", &login));
    site.time.advance(AGE);
    let renewal = site.visit(&sent_back(&login), look);
    assert!(check("a renewal", &renewal));
    // Flask's case: the cookie is stale, and no handler looks. Here the response has no cookie.
    let cookie = sent_back(&renewal);
    site.time.advance(2 * MINUTE);
    assert!(!check("no look", &site.visit(&cookie, |_| {})));
    assert!(check("a logout", &site.visit(&cookie, |session| session.log_out().unwrap())));
}
