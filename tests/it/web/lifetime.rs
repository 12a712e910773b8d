//! The lifetime of the cookie in the browser, and when it is rewritten: by the options, the
//! session's own timeout, and the time in the cookie.
#![cfg(feature = "testing")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::site::{Site, attributes, id_of, look, sent_back};
use lembro::testing::{Cookie, Jar};
use lembro::web::{CookieLifetime, CookieOptions, Finished};
use lembro::{Policy, Saved, Session};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The manual clock's first calendar time.
const NOW: i64 = 1_000_000_000;

const URL: &str = "https://example.com/";

fn at(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
}

fn site(lifetime: CookieLifetime) -> Site {
    Site::new(CookieOptions::new().lifetime(lifetime))
}

/// The `Max-Age` of a response's cookie. `None` stands for the browser session.
#[track_caller]
fn max_age(finished: &Finished) -> Option<u64> {
    attributes(finished).iter().find_map(|attribute| attribute.strip_prefix("Max-Age=")).map(|age| age.parse().unwrap())
}

fn stamp(cookie: &str) -> Option<&str> {
    cookie.split_once('.').map(|(_, stamp)| stamp)
}

fn with_timeout(timeout: impl Into<Option<Duration>>) -> impl FnOnce(&mut Session) {
    let timeout = timeout.into();
    move |session| {
        session.insert("user", "ada").unwrap();
        session.set_timeout(timeout).unwrap();
    }
}

#[test]
fn no_cookie_is_kept_beyond_400_days() {
    for lifetime in [CookieLifetime::Persistent, CookieLifetime::Remembered] {
        let site = site(lifetime);
        let policy = Policy::new().lifetime(None).remember(HOUR, None);
        let site = site.policy(policy);
        for (timeout, expected) in [
            (399 * DAY, 399 * 86_400),
            (400 * DAY, 400 * 86_400),
            (400 * DAY + Duration::from_secs(1), 400 * 86_400),
            (100_000 * DAY, 400 * 86_400),
            (Duration::MAX, 400 * 86_400),
        ] {
            let finished = site.visit("", |session| {
                with_timeout(timeout)(session);
                session.remember(true).unwrap();
            });
            assert_eq!(max_age(&finished), Some(expected), "{lifetime:?}, {timeout:?}");
            let browser = Cookie::parse(finished.cookie().unwrap(), at(NOW)).unwrap();
            assert_eq!(
                browser.ends,
                Some(at(NOW) + Duration::from_secs(expected)),
                "the browser cuts off nothing more"
            );
            // The session keeps its whole timeout.
            let session = site.layer.sessions().load(&id_of(&sent_back(&finished))).unwrap().unwrap();
            assert_eq!(session.timeout().unwrap().min(DAY * 100_001), timeout.min(DAY * 100_001));
        }
    }
}

fn remembering_host() -> Site {
    let site = site(CookieLifetime::Remembered);
    let policy = Policy::new().remember(8 * HOUR, 30 * DAY);
    site.policy(policy)
}

#[test]
fn only_remembered_cookies_outlive_the_browser() {
    let site = remembering_host();
    let plain = site.visit("", |session| session.insert("user", "ada").unwrap());
    assert_eq!((max_age(&plain), stamp(&sent_back(&plain))), (None, None));
    let cookie = sent_back(&plain);
    assert_eq!(site.visit(&cookie, look).cookie(), None);

    // "Remember me" changes the cookie in the same response.
    let remembered = site.visit(&cookie, |session| session.remember(true).unwrap());
    assert_eq!((remembered.saved(), max_age(&remembered)), (Saved::Written, Some(8 * 3600)));
    let cookie = sent_back(&remembered);
    assert_eq!(stamp(&cookie), Some("1000000000"));
    assert_eq!(id_of(&cookie), id_of(&sent_back(&plain)), "the same session");
    assert_eq!(site.visit(&cookie, look).cookie(), None);
    site.time.advance(Duration::from_secs(60));
    let renewed = site.visit(&cookie, look);
    assert_eq!(max_age(&renewed), Some(8 * 3600));

    // Forgetting changes it back.
    let forgotten = site.visit(&sent_back(&renewed), |session| session.remember(false).unwrap());
    assert_eq!((max_age(&forgotten), stamp(&sent_back(&forgotten))), (None, None));
    assert_eq!(site.visit(&sent_back(&forgotten), look).cookie(), None);
    // If the client still sends its persistent cookie, the next response replaces it.
    assert_eq!(max_age(&site.visit(&cookie, look)), None);

    // A session's own timeout does not make its cookie persistent.
    let own = site.visit("", with_timeout(2 * HOUR));
    assert_eq!(max_age(&own), None);
}

#[test]
fn remembering_elsewhere_shows_at_the_next_visit() {
    let site = remembering_host();
    let cookie = site.visitor();
    let mut elsewhere = site.layer.sessions().load(&id_of(&cookie)).unwrap().unwrap();
    elsewhere.remember(true).unwrap();
    assert_eq!(elsewhere.save().unwrap(), Saved::Written);
    assert_eq!(max_age(&site.visit(&cookie, look)), Some(8 * 3600));
}

#[test]
fn remembered_session_has_limits_of_its_own() {
    let site = remembering_host();
    let remembered = site.visit("", |session| {
        session.log_in("ada").unwrap();
        session.remember(true).unwrap();
        // A timeout beyond the lifetime of remembered sessions is refused.
        assert!(session.set_timeout(31 * DAY).unwrap_err().is_option());
    });
    let mut cookie = sent_back(&remembered);
    for _ in 0..90 {
        site.time.advance(Duration::from_secs(8 * 3600 - 61));
        let finished = site.visit(&cookie, |session| assert!(session.owner().unwrap().is_some()));
        cookie = finished.cookie().map_or(cookie, |_| sent_back(&finished));
    }
    site.time.advance(7 * HOUR);
    let _ = site.visit(&cookie, |session| assert!(session.is_new().unwrap(), "30 days are over"));
}

#[test]
fn remembering_needs_limits_in_the_policy() {
    let site = site(CookieLifetime::Remembered);
    let _ = site.visit("", |session| {
        let error = session.remember(true).unwrap_err();
        let sentence = "remember: the policy has no limits for remembered sessions; set them with Policy::remember";
        assert!(error.is_option());
        assert_eq!(error.to_string(), sentence);
        session.remember(false).unwrap();
        let error = session.set_timeout(25 * HOUR).unwrap_err();
        let sentence = "timeout: 90000s is beyond the lifetime of 86400s, which would end the session before";
        assert_eq!(error.to_string(), sentence);
        assert_eq!(session.timeout().unwrap(), HOUR);
    });
    let policy = Policy::new().remember(8 * HOUR, None);
    let error =
        Site::new(CookieOptions::new().lifetime(CookieLifetime::BrowserSession)).layer.policy(policy).unwrap_err();
    assert_eq!(
        error.to_string(),
        "lifetime: BrowserSession cookies of a policy that remembers sessions: take Remembered"
    );
}

#[test]
fn cookie_follows_a_new_timeout_at_once() {
    let site = site(CookieLifetime::Persistent);
    let cookie = site.visitor();
    for timeout in [8 * HOUR, HOUR / 2] {
        let finished = site.visit(&cookie, |session| session.set_timeout(timeout).unwrap());
        assert_eq!(max_age(&finished), Some(timeout.as_secs()));
        // The same timeout again changes nothing.
        assert_eq!(site.visit(&cookie, |session| session.set_timeout(timeout).unwrap()).cookie(), None);
    }
    assert_eq!(max_age(&site.visit(&cookie, |session| session.set_timeout(None).unwrap())), Some(3600));
    assert_eq!(site.visit(&cookie, |session| session.set_timeout(None).unwrap()).cookie(), None);
}

#[test]
fn changed_options_rewrite_each_cookie_once() {
    let session = site(CookieLifetime::BrowserSession);
    let persistent = session.cookie(CookieOptions::new().lifetime(CookieLifetime::Persistent));
    for (before, after, kept) in [(&session, &persistent, Some(3600)), (&persistent, &session, None)] {
        let cookie = before.visitor();
        assert_eq!(after.visit(&cookie, |_| {}).cookie(), None, "the handler did not look");
        let finished = after.visit(&cookie, look);
        assert_eq!(max_age(&finished), kept);
        let rewritten = sent_back(&finished);
        assert_eq!((id_of(&rewritten), stamp(&rewritten).is_some()), (id_of(&cookie), kept.is_some()));
        assert_eq!(after.visit(&rewritten, look).cookie(), None);
        // While both versions of the server run, the user stays logged in on both.
        assert_eq!(before.user(&rewritten).as_deref(), Some("ada"));
    }
}

#[test]
fn ended_session_gets_no_rewritten_cookie() {
    let session = site(CookieLifetime::BrowserSession);
    let persistent = session.cookie(CookieOptions::new().lifetime(CookieLifetime::Persistent));
    let cookie = session.visitor();
    let finished = persistent.visit(&cookie, |session| {
        look(session);
        let mut elsewhere = persistent.layer.sessions().load(&id_of(&cookie)).unwrap().unwrap();
        elsewhere.log_out().unwrap();
    });
    assert_eq!(finished.cookie(), None);
}

#[test]
fn time_in_a_cookie_has_one_text() {
    let site = site(CookieLifetime::Persistent);
    let id = id_of(&site.visitor()).expose();
    let reads = site.reads();
    for stamp in [
        "",
        ".",
        "x",
        "1000000000x",
        "+1000000000",
        "-1000000000",
        " 1000000000x",
        "1e9",
        "1000000000.0",
        "01000000000",
        "00",
        "0x3b9aca00",
        "1_000_000_000",
        "١٠٠٠",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        "9223372036854775808",
        "999999999999999999999",
        &"1".repeat(60),
        &"0".repeat(60),
    ] {
        assert_eq!(site.user(&format!("id={id}.{stamp}")), None, "{stamp}");
    }
    assert_eq!(site.reads(), reads, "none of them is worth a look");
    for stamp in ["0", "1", "999999999", "1000000000", "1000000001", "253402300800"] {
        assert_eq!(site.user(&format!("id={id}.{stamp}")).as_deref(), Some("ada"), "{stamp}");
    }
}

#[test]
fn cookie_is_rewritten_by_its_own_time() {
    let site = site(CookieLifetime::Persistent);
    let id = id_of(&site.visitor()).expose();
    // Seconds before the clock's time, and whether the cookie is renewed.
    for (age, renewed) in [
        (0, false),
        (59, false),
        (60, true),
        (3_600, true),
        (NOW, true),
        // Another machine's clock is ahead, or this clock was set back.
        (-59, false),
        (-60, true),
        (-86_400, true),
        (-200_000_000_000, true),
    ] {
        let finished = site.visit(&format!("id={id}.{}", NOW - age), look);
        assert_eq!(finished.cookie().is_some(), renewed, "written {age} s ago");
        if renewed {
            assert_eq!((max_age(&finished), stamp(&sent_back(&finished))), (Some(3600), Some("1000000000")));
        }
    }
}

#[test]
fn clock_set_back_keeps_the_cookie_alive() {
    let site = site(CookieLifetime::Persistent);
    site.time.set_wall(SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000));
    let mut jar = Jar::default();
    // The browser's clock is right.
    let mut browser = at(NOW);
    jar.receive(site.visit("", |session| session.insert("user", "ada").unwrap()).cookie().unwrap(), URL, browser);
    site.time.set_wall(UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs()));
    for _ in 0..8 {
        site.time.advance(HOUR / 2);
        browser += HOUR / 2;
        let live = jar.cookies().any(|cookie| cookie.ends.is_some_and(|ends| ends > browser));
        assert!(live, "half an hour later");
        let finished = site.visit(&jar.header(URL, browser), |session| assert!(!session.is_new().unwrap()));
        assert!(jar.receive(finished.cookie().expect("renewed"), URL, browser));
    }
}

#[test]
fn time_before_1970_is_written_as_1970() {
    let site = site(CookieLifetime::Persistent);
    site.time.set_wall(UNIX_EPOCH - DAY);
    let cookie = site.visitor();
    assert_eq!(stamp(&cookie), Some("0"));
    assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
}
