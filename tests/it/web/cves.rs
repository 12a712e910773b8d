//! Flaws that other session libraries had, each as the request or the call that would show it here.
//!
//! Two more are held by longer tests: CVE-2024-38513 (any id a client sends is adopted) by `suite`,
//! `an_id_sent_by_a_client_is_never_adopted`; CVE-2025-46336 (a slow request stores a session again
//! after its logout) by `suite`,
//! `a_destroyed_session_never_comes_back_and_that_response_sets_no_cookie`, and `session/races`.

use crate::support::session::site::{AGE, Site, id_of, look, renewing, sent_back};
use crate::support::session::{HOUR, MINUTE, manual_store};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lembro::web::{CookieLifetime, CookieOptions, Finished};
use lembro::{Commit, Lease, Outcome, Policy, Record, SessionId, Store};

/// Rack looked sessions up by the whole secret id, so that the time it took told how much of a
/// guess was right.
#[test]
fn cve_2019_16782_the_secret_of_an_id_is_no_part_of_the_look_up() {
    let (store, _) = manual_store();
    let (id, lease) = (SessionId::random().unwrap(), Lease::new(HOUR));
    let create = |id: &SessionId| store.commit(id, &Commit::create().unwrap(), &lease).unwrap();
    assert!(create(&id).is_done());
    for _ in 0..100 {
        let guess = id.renewed(&SessionId::random().unwrap());
        // It is found by its handle alone: otherwise the guess would be an id like any other, and
        // free.
        assert_eq!(create(&guess), Outcome::Taken);
        assert!(store.set(&guess, Record::new(), HOUR).unwrap_err().is_taken());
        // And the secret decides: the right session was found, and not opened.
        assert!(store.get(&guess).unwrap().is_none());
        assert_eq!(store.touch(&guess, &lease).unwrap(), Outcome::Gone);
        assert_eq!(store.destroy(&guess).unwrap(), Outcome::Gone);
    }
    assert!(store.get(&id).unwrap().is_some());
    // In constant time: that cannot be measured here, but it can be read.
    let source = include_str!("../../../src/id.rs");
    let secret = source.split("impl PartialEq for Secret").nth(1).unwrap();
    assert!(secret.split("impl ").next().unwrap().contains("is_same("), "secrets are compared as digests are");
    let source = include_str!("../../../src/id/secret_check.rs");
    let digest = source.split("fn is_same(").nth(1).unwrap();
    assert!(digest.split("\nfn ").next().unwrap().contains(".ct_eq("), "digests are compared by `subtle`");
}

/// Rack's cookie was decrypted, and if that failed read another way: so a cookie that was written
/// the other way was let in.
#[test]
fn cve_2026_39324_a_cookie_that_fails_its_check_is_not_read_another_way() {
    let plain = Site::new(CookieOptions::new(), Policy::new());
    let unsigned = plain.visitor();
    let events = plain.store.events();
    // The id is right, and before there were keys it was enough.
    let site = Site { layer: plain.layer.clone().cookie(CookieOptions::new().keys([[1; 32]])).unwrap(), ..plain };
    let id = id_of(&unsigned).expose();
    let other_key = sent_back(
        &Site::new(CookieOptions::new().keys([[2; 32]]), Policy::new())
            .request("", |session| session.insert("user", "mallory").unwrap()),
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
        let finished = site.request(&cookie, |session| assert!(session.is_new().unwrap(), "{cookie}"));
        assert_eq!(finished.cookie(), None, "{cookie}");
    }
    assert_eq!(site.probe.calls.happened(), [], "the store was not even asked");
    assert_eq!(events.try_iter().count(), 0);
}

/// Flask sent the session cookie again with responses that did not say `Vary: Cookie`, because no
/// handler had looked at the session: a cache between gave one user's cookie to the next.
#[test]
fn cve_2023_30861_every_response_with_a_cookie_says_that_it_is_for_one_client_alone() {
    fn check(what: &str, finished: &Finished) -> bool {
        // What a handler says for a page that it takes to be the same for all.
        let mut headers = vec![("Cache-Control".to_owned(), "public, max-age=600, s-maxage=600".to_owned())];
        finished.write_to(&mut headers);
        let value = |name: &str| headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
        if value("Set-Cookie").is_none() {
            return false;
        }
        assert_eq!((value("Vary"), value("Cache-Control")), (Some("Cookie"), Some("no-store")), "{what}");
        true
    }

    // Everything that leads to a cookie: a first visit, its refresh by time, a new id, a renewal, a
    // logout.
    let site = Site::new(CookieOptions::new().lifetime(CookieLifetime::Persistent), renewing());
    let first = site.request("", |session| {
        session.insert("user", "ada").unwrap();
        session.log_in("user-42").unwrap();
    });
    assert!(check("a first visit", &first));
    let cookie = sent_back(&first);
    site.time.advance(2 * MINUTE);
    assert!(check("a refresh", &site.request(&cookie, look)));
    let login = site.request(&cookie, |session| session.regenerate().unwrap());
    assert!(check("a new id", &login));
    site.time.advance(AGE);
    let renewal = site.request(&sent_back(&login), look);
    assert!(check("a renewal", &renewal));
    // Flask's own case: the cookie is stale, and no handler looks. Here that response has no
    // cookie.
    let cookie = sent_back(&renewal);
    site.time.advance(2 * MINUTE);
    assert!(!check("no look", &site.request(&cookie, |_| {})));
    assert!(check("a logout", &site.request(&cookie, |session| session.log_out().unwrap())));
}
