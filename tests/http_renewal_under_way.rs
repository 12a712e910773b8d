//! Renewal beside other requests of the same client: they finish their work, and none brings the old id back.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod session_support;

use std::time::Duration;

use lembro::http::{CookieLifetime, CookieOptions, Finished, RequestHead};
use lembro::{Policy, Saved, Session, Store};
use session_support::site::{
    AGE, Site, assert_silent, id_of, look, reasons_to_rewrite, renewing, renewing_site, sent_back,
};
use session_support::{HOUR, MINUTE, SECOND, validate};

/// What somebody does with a session.
type Use = fn(&mut Session);

#[test]
fn requests_under_way_finish_their_work_and_none_of_their_responses_brings_the_old_id_back() {
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
            let site = Site::new(before.clone(), renewing());
            let old = site.visitor();
            let site = site.with_cookie(options.clone());
            site.time.advance(AGE);

            // Five at once: one has not looked yet when the id changes, one has, one looks when it has changed,
            // and one ends on the grace's last nanosecond.
            let head = || RequestHead::new([old.as_str()]);
            let (mut unseen, mut seen, mut last) =
                (site.layer.load(head()), site.layer.load(head()), site.layer.load(head()));
            look(&mut seen);
            look(&mut last);
            let new = sent_back(&site.request(&old, look));
            assert_silent(&site.request(&old, use_it));
            for session in [&mut unseen, &mut seen] {
                use_it(session);
            }
            for session in [unseen, seen] {
                assert_silent(&site.layer.finish(session, head()).unwrap());
            }
            site.time.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
            last.insert("last", &2).unwrap();
            let finished = site.layer.finish(last, head()).unwrap();
            assert_silent(&finished);
            assert_eq!(finished.saved(), Saved::Written);

            assert_eq!(site.value(&new, "slow"), (what != "looks").then_some(1), "{why}, {what}");
            assert_eq!(site.value(&new, "last"), Some(2), "{why}, {what}");
            assert_eq!(site.user(&new).as_deref(), Some("ada"));
            validate(&site.store);
        }
    }
}

#[test]
fn an_id_that_was_changed_by_hand_beside_a_request_is_not_announced_either() {
    let changes: [(&str, Use); 3] = [
        ("renew", |session| assert!(session.renew(MINUTE).unwrap().is_done())),
        ("regenerate", |session| session.regenerate().unwrap()),
        ("destroy", |session| session.destroy().unwrap()),
    ];
    for (why, before, options) in reasons_to_rewrite() {
        for (what, change) in changes {
            for work in [look as Use, |session| session.insert("slow", &1).unwrap()] {
                let site = Site::new(before.clone(), Policy::new());
                let old = site.visitor();
                let site = site.with_cookie(options.clone());
                site.time.advance(2 * MINUTE);
                let finished = site.request(&old, |session| {
                    look(session);
                    assert_ne!(sent_back(&site.request(&old, change)), old, "{why}, {what}");
                    work(session);
                });
                assert_silent(&finished);
                validate(&site.store);
            }
        }
    }
}

#[test]
fn of_many_requests_that_are_due_one_renews_and_the_others_say_nothing() {
    for (why, before, options) in reasons_to_rewrite() {
        let site = Site::new(before, renewing());
        let old = site.visitor();
        let site = site.with_cookie(options);
        site.time.advance(AGE);
        let head = || RequestHead::new([old.as_str()]);
        let sessions: Vec<_> = (0..6).map(|_| site.layer.load(head())).collect();
        for (number, session) in sessions.iter().enumerate() {
            session.contains_key("user").unwrap_or_else(|error| panic!("{number}: {error}"));
        }
        let finished = sessions.into_iter().map(|session| site.layer.finish(session, head()).unwrap());
        let cookies: Vec<_> = finished.filter_map(|finished| finished.cookie().map(|_| sent_back(&finished))).collect();
        assert_eq!(cookies.len(), 1, "{why}");
        assert_eq!(site.user(&cookies[0]).as_deref(), Some("ada"));
    }
}

#[test]
fn a_request_between_the_two_steps_of_a_renewal_does_not_announce_the_id_that_is_on_its_way_out() {
    for (why, before, options) in reasons_to_rewrite() {
        let site = Site::new(before, renewing());
        let old = site.visitor();
        let site = site.with_cookie(options);
        site.time.advance(AGE);
        let (layer, cookie) = (site.layer.clone(), old.clone());
        // The renewal is noted, and the id not yet changed.
        site.probe.before_next_rotate(move || {
            let head = RequestHead::new([cookie.as_str()]);
            let mut session = layer.load(head.clone());
            look(&mut session);
            assert_silent(&layer.finish(session, head).unwrap());
        });
        let new = sent_back(&site.request(&old, look));
        assert_ne!(id_of(&new), id_of(&old), "{why}");
    }
}

#[test]
fn a_cookie_is_written_again_but_never_within_a_grace_of_a_renewal() {
    for (why, before, options) in reasons_to_rewrite().into_iter().skip(1) {
        let site = Site::new(before, renewing());
        let old = site.visitor();
        let site = site.with_cookie(options);
        // A response with this id that is still on its way when the next request renews it would arrive after the new one.
        site.time.advance(14 * MINUTE);
        assert_silent(&site.request(&old, look));
        site.time.advance(MINUTE.saturating_sub(SECOND));
        assert_silent(&site.request(&old, look));
        site.time.advance(SECOND);
        let second = sent_back(&site.request(&old, look));
        assert_ne!(id_of(&second), id_of(&old), "{why}");

        let site = Site::new(CookieOptions::new(), renewing());
        let old = site.visitor();
        let site = site.with_cookie(CookieOptions::new().lifetime(CookieLifetime::Persistent));
        site.time.advance(MINUTE);
        let again = sent_back(&site.request(&old, look));
        assert_eq!(id_of(&again), id_of(&old), "{why}");
        assert_ne!(again, old, "{why}");
    }
}

#[test]
fn a_persistent_cookie_never_ends_before_the_session_of_somebody_who_is_there() {
    for timeout in [10 * SECOND, 90 * SECOND, 5 * MINUTE, HOUR] {
        for age in [SECOND, MINUTE, AGE, 3 * HOUR] {
            let policy = Policy::new().timeout(timeout).renew_after(age);
            let site = Site::new(CookieOptions::new().lifetime(CookieLifetime::Persistent), policy);
            let max_age = |finished: &Finished| {
                let cookie = finished.cookie().expect("a Set-Cookie");
                let seconds = cookie.split("; Max-Age=").nth(1).unwrap().split(';').next().unwrap();
                Duration::from_secs(seconds.parse().unwrap())
            };
            let first = site.request("", |session| session.insert("user", "ada").unwrap());
            let (mut cookie, mut left) = (sent_back(&first), max_age(&first));
            for _ in 0..2_000 {
                site.time.advance(SECOND);
                left = left.checked_sub(SECOND).expect("the browser has dropped the cookie");
                let finished = site.request(&cookie, look);
                if finished.cookie().is_some() {
                    (cookie, left) = (sent_back(&finished), max_age(&finished));
                }
            }
            assert_eq!(site.user(&cookie).as_deref(), Some("ada"), "{timeout:?}, {age:?}");
        }
    }
}

#[test]
fn a_logout_elsewhere_before_the_rotation_is_final() {
    let site = renewing_site();
    let old = site.visitor();
    site.time.advance(AGE);
    let (store, id) = (site.store.clone(), id_of(&old));
    site.probe.before_next_rotate(move || assert!(store.destroy(&id).unwrap().is_done()));
    assert_silent(&site.request(&old, look));
    assert_eq!((site.user(&old), site.store.len().unwrap()), (None, 0));
}

#[test]
fn a_store_that_fails_between_the_save_and_the_new_id_leaves_the_old_cookie_good() {
    let site = renewing_site();
    let cookie = site.visitor();
    site.time.advance(AGE);
    let probe = site.probe.clone();
    site.probe.before_next_rotate(move || probe.break_down(true));
    let errors = site.layer.errors();
    assert_silent(&site.request(&cookie, |session| session.insert("cart", &3).unwrap()));
    assert!(errors.try_recv().unwrap().is_store());

    site.probe.break_down(false);
    assert_silent(&site.request(&cookie, look));
    assert_eq!((site.user(&cookie).as_deref(), site.value(&cookie, "cart")), (Some("ada"), Some(3)));
    site.time.advance(AGE);
    let renewed = sent_back(&site.request(&cookie, look));
    assert_eq!(site.user(&renewed).as_deref(), Some("ada"), "it is tried again, an age later");
}

#[test]
fn an_id_is_not_renewed_before_the_one_before_it_is_dead() {
    let site = Site::new(CookieOptions::new(), Policy::new().renew_after(10 * SECOND));
    let first = site.visitor();
    site.time.advance(MINUTE);
    let second = sent_back(&site.request(&first, look));
    for _ in 0..5 {
        site.time.advance(10 * SECOND);
        assert_silent(&site.request(&second, look));
        assert_eq!(site.user(&first).as_deref(), Some("ada"), "the whole grace");
    }
    site.time.advance(10 * SECOND);
    assert_ne!(sent_back(&site.request(&second, look)), second);
}
