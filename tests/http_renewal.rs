//! Timed renewal through the layer: when an id changes, who is told, and what becomes of the one before.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod session_support;

use std::time::Duration;

use lembro::http::{CookieLifetime, CookieOptions, Finished, RequestHead, SessionLayer};
use lembro::{Event, LembroStore, ManualClock, Outcome, Policy, Result, Saved, Session, SessionId, Store};
use session_support::{HOUR, MINUTE, Probe, SECOND, manual_store, validate};

const AGE: Duration = Duration::from_secs(15 * 60);

struct Site {
    layer: SessionLayer,
    store: LembroStore,
    probe: Probe,
    time: ManualClock,
}

/// Ids are renewed after a quarter of an hour, with a minute's grace.
fn site() -> Site {
    site_with(CookieOptions::new(), Policy::new().renew_after(AGE).timeout(2 * HOUR))
}

fn site_with(cookie: CookieOptions, policy: Policy) -> Site {
    let (store, time) = manual_store();
    let probe = Probe::new(store.clone());
    let layer = SessionLayer::new(probe.clone()).policy(policy).unwrap().cookie(cookie).unwrap();
    Site { layer, store, probe, time }
}

impl Site {
    fn try_request(&self, cookie: &str, handler: impl FnOnce(&mut Session)) -> Result<Finished> {
        let head = RequestHead::new([cookie]);
        let mut session = self.layer.load(head.clone());
        handler(&mut session);
        self.layer.finish(session, head)
    }

    #[track_caller]
    fn request(&self, cookie: &str, handler: impl FnOnce(&mut Session)) -> Finished {
        self.try_request(cookie, handler).unwrap()
    }

    /// A visitor who is logged in: what the browser sends from then on.
    fn visitor(&self) -> String {
        sent_back(&self.request("", |session| session.insert("user", "ada").unwrap()))
    }

    /// Whom the server takes the sender of this cookie for.
    fn user(&self, cookie: &str) -> Option<String> {
        let mut user = None;
        let _ = self.request(cookie, |session| user = session.get("user").unwrap());
        user
    }

    fn value(&self, cookie: &str, key: &str) -> Option<u32> {
        let mut value = None;
        let _ = self.request(cookie, |session| value = session.get(key).unwrap());
        value
    }
}

/// The `name=value` that a browser makes of the response.
#[track_caller]
fn sent_back(finished: &Finished) -> String {
    let cookie = finished.cookie().expect("a Set-Cookie");
    cookie.split(';').next().unwrap().to_owned()
}

#[track_caller]
fn assert_silent(finished: &Finished) {
    assert_eq!(finished.cookie(), None);
}

fn id_of(cookie: &str) -> SessionId {
    cookie["id=".len()..].split('.').next().unwrap().parse().unwrap()
}

fn look(session: &mut Session) {
    session.contains_key("user").unwrap();
}

#[test]
fn the_id_changes_at_the_first_request_after_its_age_and_not_before() {
    let site = site();
    let first = site.visitor();
    site.time.advance(AGE.saturating_sub(Duration::from_millis(1)));
    assert_silent(&site.request(&first, look));
    site.time.advance(Duration::from_millis(1));
    let renewed = site.request(&first, look);
    let second = sent_back(&renewed);
    assert_eq!(renewed.saved(), Saved::Written);
    assert_ne!(second, first);
    assert_eq!(id_of(&second).handle(), id_of(&first).handle());
    assert_eq!(site.user(&second).as_deref(), Some("ada"));

    // And again, counted from then.
    site.time.advance(AGE.saturating_sub(SECOND));
    assert_silent(&site.request(&second, look));
    site.time.advance(SECOND);
    let third = sent_back(&site.request(&second, look));
    assert_ne!(third, second);
    assert_eq!(site.store.len().unwrap(), 1);
    validate(&site.store);
}

#[test]
fn a_request_that_changes_something_is_saved_and_renewed_at_once() {
    let site = site();
    let first = site.visitor();
    site.time.advance(AGE);
    let second = sent_back(&site.request(&first, |session| session.insert("cart", &3).unwrap()));
    assert_eq!(site.value(&second, "cart"), Some(3));
}

#[test]
fn without_renew_after_an_id_stays() {
    let site = site_with(CookieOptions::new(), Policy::new().timeout(2 * HOUR));
    let cookie = site.visitor();
    for _ in 0..20 {
        site.time.advance(HOUR);
        assert_silent(&site.request(&cookie, |session| session.insert("count", &1).unwrap()));
    }
}

#[test]
fn a_request_that_looks_at_nothing_renews_nothing() {
    let site = site();
    let cookie = site.visitor();
    site.time.advance(AGE);
    site.probe.calls.take();
    assert_silent(&site.request(&cookie, |_| {}));
    assert_eq!(site.probe.calls.happened(), []);
}

#[test]
fn an_id_in_time_costs_no_further_call_to_the_store() {
    let site = site();
    let cookie = site.visitor();
    site.probe.calls.take();
    assert_silent(&site.request(&cookie, look));
    assert_eq!(site.probe.calls.happened(), [("get", 1)]);
    site.time.advance(AGE);
    let _ = site.request(&cookie, look);
    assert_eq!(site.probe.calls.happened(), [("get", 1), ("save", 1), ("rotate", 1)]);
}

/// Every reason there is to write a cookie again: `(what, options now, options when the cookie was written)`.
fn reasons_to_rewrite() -> [(&'static str, CookieOptions, CookieOptions); 4] {
    let (plain, persistent) = (CookieOptions::new(), CookieOptions::new().lifetime(CookieLifetime::Persistent));
    let keys = |keys: &[[u8; 32]]| CookieOptions::new().keys(keys.iter());
    [
        ("none", plain.clone(), plain.clone()),
        ("a persistent cookie that is stale", persistent.clone(), persistent.clone()),
        ("a cookie for the browser session that is to be persistent", persistent, plain),
        ("a cookie that an older key has signed", keys(&[[2; 32], [1; 32]]), keys(&[[1; 32]])),
    ]
}

#[test]
fn requests_under_way_finish_their_work_and_none_of_their_responses_brings_the_old_id_back() {
    let policy = Policy::new().renew_after(AGE).timeout(2 * HOUR);
    let uses: [(&str, fn(&mut Session)); 4] = [
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
    for (why, options, before) in reasons_to_rewrite() {
        for (what, use_it) in uses {
            let mut site = site_with(before.clone(), policy);
            let old = site.visitor();
            site.layer = site.layer.clone().cookie(options.clone()).unwrap();
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
fn of_many_requests_that_are_due_one_renews_and_the_others_say_nothing() {
    for (why, options, before) in reasons_to_rewrite() {
        let mut site = site_with(before, Policy::new().renew_after(AGE).timeout(2 * HOUR));
        let old = site.visitor();
        site.layer = site.layer.clone().cookie(options).unwrap();
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
    for (why, options, before) in reasons_to_rewrite() {
        let mut site = site_with(before, Policy::new().renew_after(AGE).timeout(2 * HOUR));
        let old = site.visitor();
        site.layer = site.layer.clone().cookie(options).unwrap();
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
    for (why, options, before) in reasons_to_rewrite().into_iter().skip(1) {
        let mut site = site_with(before, Policy::new().renew_after(AGE).timeout(2 * HOUR));
        let old = site.visitor();
        site.layer = site.layer.clone().cookie(options).unwrap();
        // A response with this id that is still on its way when the next request renews it would arrive after the new one.
        site.time.advance(14 * MINUTE);
        assert_silent(&site.request(&old, look));
        site.time.advance(MINUTE.saturating_sub(SECOND));
        assert_silent(&site.request(&old, look));
        site.time.advance(SECOND);
        let second = sent_back(&site.request(&old, look));
        assert_ne!(id_of(&second), id_of(&old), "{why}");

        let mut site = site_with(CookieOptions::new(), Policy::new().renew_after(AGE).timeout(2 * HOUR));
        let old = site.visitor();
        site.layer = site.layer.clone().cookie(CookieOptions::new().lifetime(CookieLifetime::Persistent)).unwrap();
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
            let site = site_with(CookieOptions::new().lifetime(CookieLifetime::Persistent), policy);
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

// Rule 6.
#[test]
fn an_id_past_its_grace_gets_no_session_and_is_reported() {
    let site = site();
    let old = site.visitor();
    site.time.advance(AGE);
    let new = sent_back(&site.request(&old, look));
    let events = site.store.events();
    site.time.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
    assert_eq!(site.user(&old).as_deref(), Some("ada"), "in its grace");
    assert_eq!(events.try_iter().count(), 0);

    site.time.advance(Duration::from_nanos(1));
    assert_silent(&site.request(&old, |session| assert!(session.is_new().unwrap())));
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [Event::DeadIdUsed { handle: id_of(&old).handle() }]);
    assert_eq!(site.store.stats().dead_ids, 1);
    // What is put into the new session is nobody else's.
    let other = sent_back(&site.request(&old, |session| session.insert("user", "eve").unwrap()));
    assert_ne!(id_of(&other).handle(), id_of(&new).handle());
    assert_eq!((site.user(&new).as_deref(), site.user(&other).as_deref()), (Some("ada"), Some("eve")));
}

#[test]
fn a_thief_who_comes_after_the_owners_renewal_gets_nothing_and_is_noticed() {
    let site = site();
    let owner = site.visitor();
    let stolen = owner.clone();
    let events = site.store.events();
    site.time.advance(AGE);
    let owner = sent_back(&site.request(&owner, look));
    // While the grace lasts the thief sees what the owner sees, but gets no id that lasts.
    assert_silent(&site.request(&stolen, |session| {
        assert_eq!(session.get::<&str>("user").unwrap(), Some("ada"));
        assert_eq!(session.renew(HOUR).unwrap(), Outcome::Conflict);
    }));
    site.time.advance(MINUTE);
    assert_eq!(site.user(&stolen), None);
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [Event::DeadIdUsed { handle: id_of(&stolen).handle() }]);
    assert_eq!(site.user(&owner).as_deref(), Some("ada"));
}

#[test]
fn a_thief_who_renews_first_shuts_the_owner_out_who_is_noticed_and_can_be_ended_by_the_handle() {
    let site = site();
    let owner = site.visitor();
    let events = site.store.events();
    site.time.advance(AGE);
    let thief = sent_back(&site.request(&owner, look));
    site.time.advance(MINUTE);
    assert_eq!(site.user(&owner), None);
    let Ok(Event::DeadIdUsed { handle }) = events.try_recv() else { panic!("the owner's visit is not reported") };

    // What an application can do about it.
    let suspect = site.store.all().unwrap().find(|listed| listed.as_ref().unwrap().handle == handle).unwrap().unwrap();
    assert_eq!(site.store.destroy(&suspect.id.unwrap()).unwrap(), Outcome::Done);
    assert_eq!(site.user(&thief), None);
}

#[test]
fn after_regenerate_the_age_counts_from_then() {
    let site = site();
    let first = site.visitor();
    site.time.advance(AGE.saturating_sub(SECOND));
    let second = sent_back(&site.request(&first, |session| session.regenerate().unwrap()));
    site.time.advance(AGE.saturating_sub(SECOND));
    assert_silent(&site.request(&second, look));
    site.time.advance(SECOND);
    let third = sent_back(&site.request(&second, look));
    assert_ne!(third, second);
    // A login in a request that is due for a renewal changes the id once, and leaves the old one no grace.
    site.time.advance(AGE);
    site.probe.calls.take();
    let fourth = sent_back(&site.request(&third, |session| session.regenerate().unwrap()));
    assert!(site.probe.calls.happened().contains(&("rotate", 1)));
    assert_eq!((site.user(&third), site.user(&fourth).as_deref()), (None, Some("ada")));
}

#[test]
fn a_renewal_by_hand_counts_as_one() {
    let site = site();
    let first = site.visitor();
    site.time.advance(AGE);
    site.probe.calls.take();
    let second =
        sent_back(&site.request(&first, |session| assert_eq!(session.renew(10 * MINUTE).unwrap(), Outcome::Done)));
    assert!(site.probe.calls.happened().contains(&("rotate", 1)));
    site.time.advance(10 * MINUTE - SECOND);
    assert_eq!(site.user(&first).as_deref(), Some("ada"), "the grace is the one that was asked for");
    assert_silent(&site.request(&second, look));
}

#[test]
fn renewals_do_not_prolong_the_absolute_lifetime() {
    let policy = Policy::new().renew_after(AGE).timeout(2 * HOUR).lifetime(3 * HOUR);
    let site = site_with(CookieOptions::new().lifetime(CookieLifetime::Persistent), policy);
    let mut cookie = site.visitor();
    for _ in 0..11 {
        site.time.advance(AGE);
        cookie = sent_back(&site.request(&cookie, look));
    }
    site.time.advance(AGE.saturating_sub(SECOND));
    assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
    site.time.advance(SECOND);
    assert_eq!(site.user(&cookie), None, "three hours are over");
}

#[test]
fn a_logout_in_a_request_that_is_due_renews_nothing_and_ends_every_id() {
    let site = site();
    let old = site.visitor();
    site.time.advance(AGE);
    site.probe.calls.take();
    let finished = site.request(&old, |session| session.destroy().unwrap());
    assert!(finished.cookie().unwrap().starts_with("id=;"));
    assert_eq!(site.probe.calls.happened(), [("get", 1), ("destroy", 1)]);

    // By an id in its grace: the new one is dead, too.
    let old = site.visitor();
    site.time.advance(AGE);
    let new = sent_back(&site.request(&old, look));
    let _ = site.request(&old, |session| session.destroy().unwrap());
    assert_eq!((site.user(&new), site.store.len().unwrap()), (None, 0));
}

#[test]
fn a_logout_elsewhere_before_the_rotation_is_final() {
    let site = site();
    let old = site.visitor();
    site.time.advance(AGE);
    let (store, id) = (site.store.clone(), id_of(&old));
    site.probe.before_next_rotate(move || assert!(store.destroy(&id).unwrap().is_done()));
    assert_silent(&site.request(&old, look));
    assert_eq!((site.user(&old), site.store.len().unwrap()), (None, 0));
}

#[test]
fn a_store_that_fails_between_the_save_and_the_new_id_leaves_the_old_cookie_good() {
    let site = site();
    let cookie = site.visitor();
    site.time.advance(AGE);
    let probe = site.probe.clone();
    site.probe.before_next_rotate(move || probe.break_down(true));
    let error = site.try_request(&cookie, |session| session.insert("cart", &3).unwrap()).unwrap_err();
    assert!(error.is_store());

    site.probe.break_down(false);
    assert_silent(&site.request(&cookie, look));
    assert_eq!((site.user(&cookie).as_deref(), site.value(&cookie, "cart")), (Some("ada"), Some(3)));
    site.time.advance(AGE);
    let renewed = sent_back(&site.request(&cookie, look));
    assert_eq!(site.user(&renewed).as_deref(), Some("ada"), "it is tried again, an age later");
}

#[test]
fn a_handler_that_clears_the_session_does_no_harm() {
    let site = site();
    let mut cookie = site.visitor();
    for _ in 0..3 {
        site.time.advance(AGE);
        let finished = site.request(&cookie, |session| {
            session.clear().unwrap();
            session.insert("user", "ada").unwrap();
        });
        cookie = sent_back(&finished);
        assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
    }
    assert_eq!(site.store.len().unwrap(), 1);
}

#[test]
fn a_session_from_before_the_policy_and_a_clock_that_is_set_are_no_trouble() {
    let mut site = site_with(CookieOptions::new(), Policy::new().timeout(2 * HOUR));
    let old = site.visitor();
    site.time.advance(HOUR);
    site.layer = site.layer.clone().policy(Policy::new().renew_after(AGE).timeout(2 * HOUR)).unwrap();
    // As old as the session.
    let new = sent_back(&site.request(&old, look));
    // The calendar is set back: an id from the future is not old.
    let now = site.layer.sessions().clock().wall();
    site.time.set_wall(now - HOUR);
    assert_silent(&site.request(&new, look));
    site.time.advance(HOUR + AGE);
    assert_ne!(sent_back(&site.request(&new, look)), new);
}

#[test]
fn an_id_is_not_renewed_before_the_one_before_it_is_dead() {
    let site = site_with(CookieOptions::new(), Policy::new().renew_after(10 * SECOND));
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

#[test]
fn options_that_cannot_work_are_refused_and_a_configuration_file_says_the_same_as_code() {
    let refused = |policy: Policy| {
        let (store, _) = manual_store();
        SessionLayer::new(store).policy(policy).unwrap_err().to_string()
    };
    let never = "renew_after: 0 would change the id at every request; None means never";
    assert_eq!(refused(Policy::new().renew_after(Duration::ZERO)), never);
    let no_grace = "grace: 0 would end the requests that are under way when an id is renewed";
    assert_eq!(refused(Policy::new().renew_after(AGE).grace(Duration::ZERO)), no_grace);

    let read = |text: &str| serde_json::from_str::<Policy>(text).map_err(|error| error.to_string());
    let policy = Policy::new();
    for (text, expected) in [
        (r#"{"renew_after": "15m"}"#, policy.renew_after(AGE)),
        (r#"{"renew_after": 900000, "grace": 5000}"#, policy.renew_after(AGE).grace(5 * SECOND)),
        (r#"{"renew_after": "15m", "grace": "2m"}"#, policy.renew_after(AGE).grace(2 * MINUTE)),
        (r#"{"renew_after": 0}"#, policy),
        (r#"{"renew_after": null}"#, policy.renew_after(None)),
        (r#"{"renew_after": "15m", "grace": null}"#, policy.renew_after(AGE)),
        (r#"{"grace": 0}"#, policy.grace(Duration::ZERO)),
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
