//! Renewal beside other requests of the same client: they finish their work, and no response brings
//! the old id back.

use std::time::Duration;

use crate::support::session::{Fault, HOUR, MINUTE, SECOND, validate};
use crate::support::site::{AGE, Site, assert_silent, due_site, id_of, look, reasons_to_rewrite, renewing, sent_back};
use lembro::web::{CookieLifetime, CookieOptions, Finished, RequestHead};
use lembro::{Policy, Saved, Session, Store};

/// A handler.
type Use = fn(&mut Session);

/// Asserts that the response announces no other id than this one.
#[track_caller]
fn assert_brings_only(finished: &Finished, new: &str) {
    if finished.cookie().is_some() {
        assert_eq!(id_of(&sent_back(finished)), id_of(new));
    }
}

#[test]
fn no_response_brings_the_old_id_back() {
    let uses: [(&str, Use); 4] = [
        ("looks", look),
        ("inserts", |session| session.insert("slow", &1).unwrap()),
        ("saves by hand", |session| {
            session.insert("slow", &1).unwrap();
            assert_eq!(session.save().unwrap(), Saved::Written);
        }),
        ("modifies", |session| {
            session.modify("slow", |slow: &mut Option<u32>| *slow = Some(1)).unwrap().expect("alive");
        }),
    ];
    for (why, before, options) in reasons_to_rewrite() {
        for (what, use_it) in uses {
            let site = Site::new(before.clone()).policy(renewing());
            let old = site.log_in();
            let site = site.cookie(options.clone());
            site.time.advance(AGE);

            // Requests at once: one looks before the id changes, one after it, and one ends in the
            // grace's last nanosecond.
            let head = || RequestHead::new([old.as_str()]);
            let (mut unseen, mut seen, mut last) =
                (site.layer.load(head()), site.layer.load(head()), site.layer.load(head()));
            look(&mut seen);
            look(&mut last);
            let new = sent_back(&site.visit(&old, look));
            assert_eq!(id_of(&sent_back(&site.visit(&old, use_it))), id_of(&new), "{why}, {what}: repeated");
            // This request confirms the new id.
            assert_silent(&site.visit(&new, look));
            assert_silent(&site.visit(&old, use_it));
            for session in [&mut unseen, &mut seen] {
                use_it(session);
            }
            for mut session in [unseen, seen] {
                assert_brings_only(&site.layer.finish(&mut session).unwrap(), &new);
            }
            site.time.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
            last.insert("last", &2).unwrap();
            let finished = site.layer.finish(&mut last).unwrap();
            assert_brings_only(&finished, &new);
            assert_eq!(finished.saved(), Saved::Written);

            assert_eq!(site.value(&new, "slow"), (what != "looks").then_some(1), "{why}, {what}");
            assert_eq!(site.value(&new, "last"), Some(2), "{why}, {what}");
            assert_eq!(site.user(&new).as_deref(), Some("ada"));
            validate(&site.store);
        }
    }
}

#[test]
fn id_replaced_beside_a_request_is_not_announced() {
    let changes: [(&str, Use); 3] = [
        ("log in", |session| session.log_in("user-42").unwrap()),
        ("regenerate", |session| session.regenerate().unwrap()),
        ("destroy", |session| session.log_out().unwrap()),
    ];
    for (why, before, options) in reasons_to_rewrite() {
        for (what, change) in changes {
            for work in [look as Use, |session| session.insert("slow", &1).unwrap()] {
                let site = Site::new(before.clone());
                let old = site.log_in();
                let site = site.cookie(options.clone());
                site.time.advance(2 * MINUTE);
                let finished = site.visit(&old, |session| {
                    look(session);
                    assert_ne!(sent_back(&site.visit(&old, change)), old, "{why}, {what}");
                    work(session);
                });
                assert_silent(&finished);
                validate(&site.store);
            }
        }
    }
}

#[test]
fn login_within_the_grace_reaches_the_client() {
    let changes: [Use; 2] = [|session| session.log_in("user-7").unwrap(), |session| session.regenerate().unwrap()];
    for change in changes {
        let (site, old) = due_site();
        let new = sent_back(&site.visit(&old, look));
        assert_silent(&site.visit(&new, look));
        let sent = sent_back(&site.visit(&old, change));
        assert!(site.store.get(&id_of(&sent)).unwrap().is_some());
        assert!(site.store.get(&id_of(&new)).unwrap().is_none(), "without the response the client is locked out");
    }
}

#[test]
fn parallel_renewals_agree_on_the_id() {
    for (why, before, options) in reasons_to_rewrite() {
        let site = Site::new(before).policy(renewing());
        let old = site.log_in();
        let site = site.cookie(options);
        site.time.advance(AGE);
        let head = || RequestHead::new([old.as_str()]);
        let sessions: Vec<_> = (0..6).map(|_| site.layer.load(head())).collect();
        for (number, session) in sessions.iter().enumerate() {
            session.contains_key("user").unwrap_or_else(|error| panic!("{number}: {error}"));
        }
        let finished = sessions.into_iter().map(|mut session| site.layer.finish(&mut session).unwrap());
        let ids: Vec<_> = finished.map(|finished| id_of(&sent_back(&finished))).collect();
        assert!(ids.iter().all(|id| *id == ids[0] && *id != id_of(&old)), "{why}");
        assert!(site.store.get(&ids[0]).unwrap().is_some(), "{why}");
    }
}

#[test]
fn overtaking_request_brings_the_same_id() {
    for (why, before, options) in reasons_to_rewrite() {
        let site = Site::new(before).policy(renewing());
        let old = site.log_in();
        let site = site.cookie(options);
        site.time.advance(AGE);
        let (layer, cookie) = (site.layer.clone(), old.clone());
        let (sender, brought) = std::sync::mpsc::channel();
        site.probe.before_next_commit(move || {
            let mut session = layer.load(RequestHead::new([cookie.as_str()]));
            look(&mut session);
            sender.send(sent_back(&layer.finish(&mut session).unwrap())).unwrap();
        });
        let new = sent_back(&site.visit(&old, look));
        assert_ne!(id_of(&new), id_of(&old), "{why}");
        assert_eq!(id_of(&brought.recv().unwrap()), id_of(&new), "{why}");
    }
}

#[test]
fn no_rewrite_within_a_grace_of_a_renewal() {
    for (why, before, options) in reasons_to_rewrite().into_iter().skip(1) {
        let site = Site::new(before).policy(renewing());
        let old = site.log_in();
        let site = site.cookie(options);
        // If the next request renews the id, a late response with the old one would arrive after
        // it.
        site.time.advance(14 * MINUTE);
        assert_silent(&site.visit(&old, look));
        site.time.advance(MINUTE.saturating_sub(SECOND));
        assert_silent(&site.visit(&old, look));
        site.time.advance(SECOND);
        let second = sent_back(&site.visit(&old, look));
        assert_ne!(id_of(&second), id_of(&old), "{why}");

        let site = Site::new(CookieOptions::new()).policy(renewing());
        let old = site.log_in();
        let site = site.cookie(CookieOptions::new().lifetime(CookieLifetime::Persistent));
        site.time.advance(MINUTE);
        let again = sent_back(&site.visit(&old, look));
        assert_eq!(id_of(&again), id_of(&old), "{why}");
        assert_ne!(again, old, "{why}");
    }
}

// The first request by each new id is also the last one before most of the cookie's time is over.
#[test]
fn rare_visits_rewrite_the_cookie() {
    let site = Site::persistent().policy(renewing());
    let mut cookie = site.log_in();
    for visit in 1..10 {
        // The timeout is two hours.
        site.time.advance(90 * MINUTE);
        let ada =
            |session: &mut Session| assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"), "{visit}");
        let finished = site.visit(&cookie, ada);
        assert!(finished.cookie().is_some_and(|cookie| cookie.contains("; Max-Age=7200")), "{visit}");
        cookie = sent_back(&finished);
    }
}

#[test]
fn cookie_lasts_while_the_session_is_used() {
    for timeout in [10 * SECOND, 90 * SECOND, 5 * MINUTE, HOUR] {
        for age in [SECOND, MINUTE, AGE, 3 * HOUR] {
            let policy = Policy::new().timeout(timeout).renew_after(age);
            let site = Site::persistent().policy(policy);
            let max_age = |finished: &Finished| {
                let cookie = finished.cookie().expect("a Set-Cookie");
                let seconds = cookie.split("; Max-Age=").nth(1).unwrap().split(';').next().unwrap();
                Duration::from_secs(seconds.parse().unwrap())
            };
            let first = site.visit("", |session| {
                session.insert("user", "ada").unwrap();
                session.log_in("user-42").unwrap();
            });
            let (mut cookie, mut left) = (sent_back(&first), max_age(&first));
            for _ in 0..2_000 {
                site.time.advance(SECOND);
                left = left.checked_sub(SECOND).expect("the browser has dropped the cookie");
                let finished = site.visit(&cookie, look);
                if finished.cookie().is_some() {
                    (cookie, left) = (sent_back(&finished), max_age(&finished));
                }
            }
            assert_eq!(site.user(&cookie).as_deref(), Some("ada"), "{timeout:?}, {age:?}");
        }
    }
}

#[test]
fn logout_before_the_renewal_is_final() {
    let (site, old) = due_site();
    let (store, id) = (site.store.clone(), id_of(&old));
    site.probe.before_next_commit(move || assert!(store.destroy(&id).unwrap().is_done()));
    assert_silent(&site.visit(&old, look));
    assert_eq!((site.user(&old), site.store.len().unwrap()), (None, 0));
}

#[test]
fn failed_renewal_costs_no_page() {
    for fault in [Fault::Refused, Fault::RequestLost, Fault::ReplyLost] {
        let (site, cookie) = due_site();
        site.probe.fail_next_commits([fault]);
        let errors = site.layer.errors();
        let finished = site.visit(&cookie, look);
        assert_silent(&finished);
        assert_eq!(finished.saved(), Saved::Unchanged, "{fault:?}");
        assert!(errors.try_recv().unwrap().is_store() && errors.is_empty(), "{fault:?}");
        // The handler's change must not seem saved.
        site.probe.fail_next_commits([Fault::Refused]);
        assert!(
            site.try_request(RequestHead::new([cookie.as_str()]), |session| session.insert("cart", &3).unwrap())
                .unwrap_err()
                .is_store()
        );

        let renewed = sent_back(&site.visit(&cookie, look));
        assert_eq!(site.user(&cookie).as_deref(), Some("ada"), "{fault:?}");
        assert_eq!(site.user(&renewed).as_deref(), Some("ada"), "{fault:?}");
        assert_eq!(site.value(&renewed, "cart"), None, "{fault:?}");
    }
}

#[test]
fn no_renewal_within_a_grace() {
    let site = Site::new(CookieOptions::new()).policy(Policy::new().renew_after(10 * SECOND));
    let first = site.log_in();
    site.time.advance(MINUTE);
    let second = sent_back(&site.visit(&first, look));
    assert_silent(&site.visit(&second, look));
    for _ in 0..5 {
        site.time.advance(10 * SECOND);
        assert_silent(&site.visit(&second, look));
        assert_eq!(site.user(&first).as_deref(), Some("ada"), "the whole grace");
    }
    site.time.advance(10 * SECOND);
    assert_ne!(sent_back(&site.visit(&second, look)), second);
}
