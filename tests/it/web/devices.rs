//! The sessions of one owner over the cookie layer: their list, their end, and the reason that
//! their browsers get.

use crate::support::session::{HOUR, MINUTE};
use crate::support::site::{AGE, Site, assert_silent, look, renewing, sent_back};
use lembro::web::{CookieOptions, RequestHead};
use lembro::{EndReason, OwnedSession, Policy, Saved};

fn site(policy: Policy) -> Site {
    Site::new(CookieOptions::new()).policy(policy)
}

/// A login on a named device. Returns the cookie that its browser sends from then on.
fn log_in(site: &Site, user: &str, device: &str) -> String {
    sent_back(&site.visit("", |session| {
        session.log_in(user).unwrap();
        session.set_label(device).unwrap();
    }))
}

/// The user that this browser is logged in as.
fn owner(site: &Site, cookie: &str) -> Option<String> {
    let mut owner = None;
    let _ = site.visit(cookie, |session| owner = session.owner().unwrap().map(str::to_owned));
    owner
}

fn end_all_others(site: &Site, cookie: &str) -> usize {
    let mut ended = 0;
    let _ = site.visit(cookie, |session| ended = session.destroy_others().unwrap());
    ended
}

/// The reason that a browser with this cookie gets for the end of its session.
fn why(site: &Site, cookie: &str) -> Option<EndReason> {
    let mut reason = None;
    let _ = site.visit(cookie, |session| reason = session.end_reason().unwrap());
    reason
}

// Rule 10.
#[test]
fn logout_everywhere_reaches_every_request() {
    let site = site(renewing());
    let phone = log_in(&site, "ada", "phone");
    site.time.advance(AGE);
    let renewed = sent_back(&site.visit(&phone, look));
    let (laptop, library) = (log_in(&site, "ada", "laptop"), log_in(&site, "ada", "library"));
    let another_users = log_in(&site, "grace", "laptop");

    // Two devices have requests under way, one of them by the id from before its renewal.
    let head = |cookie| RequestHead::new([cookie]);
    let (mut reading, mut writing) = (site.layer.load(head(library.as_str())), site.layer.load(head(phone.as_str())));
    look(&mut reading);
    writing.insert("draft", "text").unwrap();

    assert_eq!(end_all_others(&site, &laptop), 2);
    for (mut session, saved) in [(writing, Saved::Gone), (reading, Saved::Unchanged)] {
        let finished = site.layer.finish(&mut session).unwrap();
        assert_eq!((finished.saved(), finished.cookie()), (saved, None));
    }
    for cookie in [&phone, &renewed, &library] {
        assert_eq!(owner(&site, cookie), None);
    }
    assert_eq!(owner(&site, &laptop).as_deref(), Some("ada"));
    assert_eq!(owner(&site, &another_users).as_deref(), Some("grace"));
    assert_silent(&site.visit(&laptop, look));
}

// Rule 11.
#[test]
fn device_list_shows_no_id() {
    let site = site(Policy::new());
    let laptop = log_in(&site, "ada", "laptop");
    site.time.advance(10 * MINUTE);
    let phone = log_in(&site, "ada", "phone");
    let another_users = log_in(&site, "grace", "laptop");

    // As text for the page, as JSON, and as `Debug` in a log.
    let listed: Vec<OwnedSession> = site.layer.sessions().owner("ada").unwrap().list().unwrap();
    let handles: Vec<_> = listed.iter().map(|device| device.handle).collect();
    let shown = format!("{listed:?} {} {}", handles[0], serde_json::to_string(&handles).unwrap());
    for cookie in [&laptop, &phone] {
        let (handle, secret) = cookie["id=".len()..].split_at(11);
        assert!(!shown.contains(&secret[1..]), "{shown}");
        assert!(shown.contains(&handle[..10]), "the handle names it");
    }
    assert!(!shown.contains(&another_users[3..13]), "no other user's is in it");
}

#[test]
fn only_the_ended_browser_is_told_why() {
    let site = site(Policy::new().max_per_owner(2));
    let named = log_in(&site, "ada", "phone");
    let listed = site.layer.sessions().owner("ada").unwrap().list().unwrap();
    // The handle that the page's form sends back.
    let handle = listed[0].handle.to_string().parse().unwrap();
    assert!(site.layer.sessions().destroy(handle).unwrap().is_done());
    let oldest = log_in(&site, "ada", "library");
    site.time.advance(MINUTE);
    let other = log_in(&site, "ada", "desk");
    site.time.advance(MINUTE);
    let here = log_in(&site, "ada", "laptop");
    assert_eq!(end_all_others(&site, &here), 1);

    let reasons = [(&named, EndReason::Revoked), (&oldest, EndReason::Limit), (&other, EndReason::LoggedOutEverywhere)];
    for (cookie, reason) in reasons {
        assert_eq!(why(&site, cookie), Some(reason));
        let (own, secret) = (&cookie[..14], &here[14..]);
        assert_eq!(why(&site, &format!("{own}{secret}")), None, "the handle alone is no answer");
    }
    assert_eq!((why(&site, &here), why(&site, "")), (None, None));
    site.time.advance(HOUR);
    assert_eq!(why(&site, &here), None, "it expired, no request ended it");
}

#[test]
fn ended_early_login_sets_no_cookie() {
    let site = site(Policy::new());
    for fails in [false, true] {
        let mut session = site.layer.load(RequestHead::default());
        session.log_in("user-42").unwrap();
        assert_eq!(session.save().unwrap(), Saved::Written);
        assert_eq!(site.layer.sessions().owner("user-42").unwrap().destroy_all().unwrap(), 1);
        let finished = if fails { site.layer.fail(&mut session) } else { site.layer.finish(&mut session).unwrap() };
        // The browser may have logged in again since. A removal would delete that login's cookie.
        assert_silent(&finished);
    }
}

#[test]
fn logout_after_revoked_login_ends_session() {
    let site = site(Policy::new());
    let cookie = log_in(&site, "user-1", "phone");
    let _ = site.visit(&cookie, |session| {
        let owner = site.layer.sessions().owner("user-42").unwrap();
        let begun = owner.epoch().unwrap();
        assert_eq!(owner.destroy_all().unwrap(), 0);
        session.log_in_since("user-42", begun).unwrap();
        assert_eq!(session.save().unwrap(), Saved::Gone);
        session.log_out().unwrap();
    });
    assert_eq!(owner(&site, &cookie), None);
}
