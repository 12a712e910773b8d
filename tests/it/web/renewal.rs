//! Timed renewal over the layer: when the id changes, which responses announce it, and when the old
//! id ends.

use std::time::Duration;

use crate::support::session::{HOUR, MINUTE, SECOND, manual_store, validate};
use crate::support::site::{AGE, Site, assert_silent, due_site, id_of, look, renewing, renewing_site, sent_back};
use lembro::web::{CookieOptions, RequestHead, SessionLayer};
use lembro::{Event, Policy, Saved, Store};

#[test]
fn id_changes_after_its_age() {
    let site = renewing_site();
    let first = site.log_in();
    site.time.advance(AGE.saturating_sub(Duration::from_millis(1)));
    assert_silent(&site.visit(&first, look));
    site.time.advance(Duration::from_millis(1));
    let renewed = site.visit(&first, look);
    let second = sent_back(&renewed);
    assert_eq!(renewed.saved(), Saved::Written);
    assert_ne!(second, first);
    assert_eq!(id_of(&second).handle(), id_of(&first).handle());
    assert_eq!(site.user(&second).as_deref(), Some("ada"));

    // The next renewal counts from the first visit by the new id.
    site.time.advance(AGE.saturating_sub(SECOND));
    assert_silent(&site.visit(&second, look));
    site.time.advance(SECOND);
    let third = sent_back(&site.visit(&second, look));
    assert_ne!(third, second);
    assert_eq!(site.store.len().unwrap(), 1);
    validate(&site.store);
}

#[test]
fn change_and_renewal_are_one_commit() {
    let site = renewing_site();
    let first = site.log_in();
    site.time.advance(AGE);
    let second = sent_back(&site.visit(&first, |session| session.insert("cart", &3).unwrap()));
    assert_eq!(site.value(&second, "cart"), Some(3));
}

#[test]
fn without_renew_after_the_id_stays() {
    let site = Site::new(CookieOptions::new()).policy(Policy::new().timeout(2 * HOUR));
    let cookie = site.log_in();
    for _ in 0..20 {
        site.time.advance(HOUR);
        assert_silent(&site.visit(&cookie, |session| session.insert("count", &1).unwrap()));
    }
}

#[test]
fn request_without_a_look_renews_nothing() {
    let (site, cookie) = due_site();
    site.probe.calls.take();
    assert_silent(&site.visit(&cookie, |_| {}));
    assert_eq!(site.probe.calls.happened(), []);
}

#[test]
fn fresh_id_costs_no_further_call() {
    let site = renewing_site();
    let cookie = site.log_in();
    site.probe.calls.take();
    assert_silent(&site.visit(&cookie, look));
    assert_eq!(site.probe.calls.happened(), [("visit", 1)]);
    site.time.advance(AGE);
    let renewed = sent_back(&site.visit(&cookie, look));
    assert_eq!(site.probe.calls.happened(), [("visit", 1), ("commit", 1)]);
    // A lost response is repeated if the id is still pending, and a visit by the new id confirms
    // it.
    assert_eq!(sent_back(&site.visit(&cookie, look)), renewed);
    assert_eq!(site.probe.calls.happened(), [("visit", 1), ("peek", 1)]);
    assert_silent(&site.visit(&renewed, look));
    assert_eq!(site.probe.calls.happened(), [("visit", 1)]);
}

#[test]
fn anonymous_session_is_not_renewed() {
    let site = renewing_site();
    let cookie = sent_back(&site.visit("", |session| session.insert("theme", "dark").unwrap()));
    for _ in 0..10 {
        site.time.advance(AGE);
        assert_silent(&site.visit(&cookie, look));
    }
}

#[test]
fn losing_every_response_keeps_the_login() {
    let site = renewing_site();
    let cookie = site.log_in();
    let mut announced = None;
    for click in 0..90 {
        site.time.advance(10 * SECOND);
        let finished = site.visit(&cookie, |session| assert_eq!(session.owner().unwrap(), Some("user-42"), "{click}"));
        // Each response announces the same id.
        if let Some(before) = announced.replace(finished.cookie().map(|_| sent_back(&finished))).flatten() {
            assert_eq!(sent_back(&finished), before);
        }
    }
    let new = announced.flatten().expect("it was due");
    assert_eq!(site.user(&new).as_deref(), Some("ada"));
}

#[test]
fn failed_request_brings_the_pending_id() {
    let (site, old) = due_site();
    let new = sent_back(&site.visit(&old, look));
    let mut failed = site.layer.load(RequestHead::new([old.as_str()]));
    assert_silent(&site.layer.fail(&mut failed));
    look(&mut failed);
    assert_eq!(sent_back(&site.layer.fail(&mut failed)), new);
}

#[test]
fn late_save_by_the_old_id_announces_nothing() {
    let (site, old) = due_site();
    let new = sent_back(&site.visit(&old, look));
    let mut slow = site.layer.load(RequestHead::new([old.as_str()]));
    look(&mut slow);
    assert_silent(&site.visit(&new, look));
    slow.insert("slow", &1).unwrap();
    assert_silent(&site.layer.finish(&mut slow).unwrap());
    assert_eq!(site.value(&new, "slow"), Some(1));
}

#[test]
fn old_id_ends_after_the_second_announcement() {
    let (site, old) = due_site();
    let new = sent_back(&site.visit(&old, look));
    let events = site.layer.events();
    site.time.advance(MINUTE);
    assert_eq!(sent_back(&site.visit(&old, look)), new);
    site.time.advance(AGE.saturating_sub(SECOND));
    assert_eq!(site.user(&old).as_deref(), Some("ada"));
    site.time.advance(SECOND);
    assert_eq!(site.user(&old), None, "a thief who polls had one age");
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [Event::SupersededId { handle: id_of(&old).handle() }]);
    assert_eq!(site.user(&new).as_deref(), Some("ada"));
}

// Rule 6.
#[test]
fn id_past_its_grace_is_reported() {
    let (site, old) = due_site();
    let new = sent_back(&site.visit(&old, look));
    assert_silent(&site.visit(&new, look));
    let events = site.layer.events();
    site.time.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
    // In its grace the old id reads the session, and no response brings the new one.
    assert_silent(&site.visit(&old, |session| assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"))));
    assert_eq!(events.try_iter().count(), 0);

    site.time.advance(Duration::from_nanos(1));
    assert_silent(&site.visit(&old, |session| assert!(session.is_new().unwrap())));
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [Event::SupersededId { handle: id_of(&old).handle() }]);
    assert_eq!(site.store.stats().superseded, 1);
    // Data of the new session is in no other session.
    let other = sent_back(&site.visit(&old, |session| session.insert("user", "eve").unwrap()));
    assert_ne!(id_of(&other).handle(), id_of(&new).handle());
    assert_eq!((site.user(&new).as_deref(), site.user(&other).as_deref()), (Some("ada"), Some("eve")));
}

#[test]
fn thief_who_renews_first_is_noticed() {
    let site = renewing_site();
    let owner = site.log_in();
    let events = site.layer.events();
    site.time.advance(AGE);
    let thief = sent_back(&site.visit(&owner, look));
    assert_silent(&site.visit(&thief, look));
    site.time.advance(MINUTE);
    assert_eq!(site.user(&owner), None);
    let Ok(Event::SupersededId { handle }) = events.try_recv() else { panic!("the owner's visit is not reported") };

    // The application can end the suspicious session.
    let suspect = site.store.all().unwrap().find(|listed| listed.as_ref().unwrap().handle == handle).unwrap().unwrap();
    assert!(site.store.destroy(&suspect.id.unwrap()).unwrap().is_done());
    assert_eq!(site.user(&thief), None);
}

#[test]
fn regenerate_restarts_the_age() {
    let site = renewing_site();
    let first = site.log_in();
    site.time.advance(AGE.saturating_sub(SECOND));
    let second = sent_back(&site.visit(&first, |session| session.regenerate().unwrap()));
    site.time.advance(AGE.saturating_sub(SECOND));
    assert_silent(&site.visit(&second, look));
    site.time.advance(SECOND);
    let third = sent_back(&site.visit(&second, look));
    assert_ne!(third, second);
    assert_silent(&site.visit(&third, look));
    // A new id in a request that is due for renewal changes the id once, and leaves the old one no
    // grace.
    site.time.advance(AGE);
    site.probe.calls.take();
    let fourth = sent_back(&site.visit(&third, |session| session.regenerate().unwrap()));
    assert_eq!(site.probe.calls.happened(), [("visit", 1), ("commit", 1)]);
    assert_eq!((site.user(&third), site.user(&fourth).as_deref()), (None, Some("ada")));
}

#[test]
fn renewals_do_not_prolong_the_lifetime() {
    let policy = Policy::new().renew_after(AGE).timeout(2 * HOUR).lifetime(3 * HOUR);
    let site = Site::persistent().policy(policy);
    let mut cookie = site.log_in();
    for _ in 0..11 {
        site.time.advance(AGE);
        cookie = sent_back(&site.visit(&cookie, look));
        assert_silent(&site.visit(&cookie, look));
    }
    site.time.advance(AGE.saturating_sub(SECOND));
    assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
    site.time.advance(SECOND);
    assert_eq!(site.user(&cookie), None, "three hours are over");
}

#[test]
fn logout_when_due_ends_every_id() {
    let (site, old) = due_site();
    site.probe.calls.take();
    let finished = site.visit(&old, |session| session.log_out().unwrap());
    assert!(finished.cookie().unwrap().starts_with("id=;"));
    assert_eq!(site.probe.calls.happened(), [("visit", 1), ("destroy", 1)]);

    // A logout by the old id ends the session, whether the new id was presented or not.
    for presented in [false, true] {
        let old = site.log_in();
        site.time.advance(AGE);
        let new = sent_back(&site.visit(&old, look));
        if presented {
            look(&mut site.layer.load(RequestHead::new([new.as_str()])));
        }
        let _ = site.visit(&old, |session| session.log_out().unwrap());
        assert_eq!((site.user(&new), site.store.len().unwrap()), (None, 0));
    }
}

#[test]
fn clearing_a_session_keeps_renewals_working() {
    let site = renewing_site();
    let mut cookie = site.log_in();
    for _ in 0..3 {
        site.time.advance(AGE);
        let finished = site.visit(&cookie, |session| {
            session.clear().unwrap();
            session.insert("user", "ada").unwrap();
        });
        cookie = sent_back(&finished);
        assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
    }
    assert_eq!(site.store.len().unwrap(), 1);
}

#[test]
fn old_sessions_and_set_clocks_still_renew() {
    let mut site = Site::new(CookieOptions::new()).policy(Policy::new().timeout(2 * HOUR));
    let old = site.log_in();
    site.time.advance(HOUR);
    site.layer = site.layer.clone().policy(renewing()).unwrap();
    // The id is as old as the session.
    let new = sent_back(&site.visit(&old, look));
    assert_silent(&site.visit(&new, look));
    // The calendar is set back. An id from the future is not due.
    let now = site.layer.sessions().clock().wall();
    site.time.set_wall(now - HOUR);
    assert_silent(&site.visit(&new, look));
    site.time.advance(HOUR + AGE);
    assert_ne!(sent_back(&site.visit(&new, look)), new);
}

#[test]
fn impossible_options_are_refused() {
    let refused = |policy: Policy| {
        let (store, _) = manual_store();
        SessionLayer::new(store).policy(policy).unwrap_err().to_string()
    };
    let never = "renew_after: 0 would change the id at every request; None means never";
    assert_eq!(refused(Policy::new().renew_after(Duration::ZERO)), never);
    let no_grace = "grace: 0 would end the requests that are under way when an id is renewed";
    assert_eq!(refused(Policy::new().renew_after(AGE).grace(Duration::ZERO)), no_grace);

    let read = |text: &str| serde_json::from_str::<Policy>(text).map_err(|error| error.to_string());
    let policy = Policy::new;
    for (text, expected) in [
        (r#"{"renew_after": "15m"}"#, policy().renew_after(AGE)),
        (r#"{"renew_after": 900000, "grace": 5000}"#, policy().renew_after(AGE).grace(5 * SECOND)),
        (r#"{"renew_after": "15m", "grace": "2m"}"#, policy().renew_after(AGE).grace(2 * MINUTE)),
        (r#"{"renew_after": 0}"#, policy().renew_after(None)),
        (r#"{"renew_after": null}"#, policy().renew_after(None)),
        (r#"{"renew_after": "15m", "grace": null}"#, policy().renew_after(AGE)),
        (r#"{"grace": 0}"#, policy().grace(Duration::ZERO)),
    ] {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
    for (text, error) in [
        (r#"{"renew_after": "15m", "grace": 0}"#, no_grace),
        (r#"{"renew_after": "often"}"#, "renew_after: \"often\""),
        (r#"{"renewAfterAll": 1}"#, "unknown field"),
    ] {
        assert!(read(text).unwrap_err().contains(error), "{text}: {:?}", read(text));
    }
}
