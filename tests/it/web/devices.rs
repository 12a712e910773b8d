//! The sessions of one owner over the cookie layer: what their browsers get when they are listed,
//! ended and told why.

use crate::support::session::site::{AGE, Site, assert_silent, look, renewing, sent_back};
use crate::support::session::{HOUR, MINUTE};
use lembro::web::{CookieOptions, RequestHead, SessionLayer};
use lembro::{EndReason, OwnedSession, Policy, Saved};

/// A site on the store itself: the one that counts and fails has no powers over owners.
fn site(policy: Policy) -> Site {
    let site = Site::new(CookieOptions::new(), policy);
    let layer = SessionLayer::new(site.store.clone()).policy(policy).unwrap();
    Site { layer, ..site }
}

/// A login, on a device that the user has a name for; what its browser sends from then on.
fn log_in(site: &Site, user: &str, device: &str) -> String {
    sent_back(&site.request("", |session| {
        session.log_in(user).unwrap();
        session.set_label(device).unwrap();
    }))
}

/// Who this browser is logged in as.
fn owner(site: &Site, cookie: &str) -> Option<String> {
    let mut owner = None;
    let _ = site.request(cookie, |session| owner = session.owner().unwrap().map(str::to_owned));
    owner
}

fn end_all_others(site: &Site, cookie: &str) -> usize {
    let mut ended = 0;
    let _ = site.request(cookie, |session| ended = session.destroy_others().unwrap());
    ended
}

/// What is said to a browser that comes with a cookie which leads nowhere any more.
fn why(site: &Site, cookie: &str) -> Option<EndReason> {
    let mut reason = None;
    let _ = site.request(cookie, |session| reason = session.why_ended().unwrap());
    reason
}

// Rule 10.
#[test]
fn no_request_under_way_and_no_id_in_its_grace_escapes() {
    let site = site(renewing());
    let phone = log_in(&site, "ada", "phone");
    site.time.advance(AGE);
    let renewed = sent_back(&site.request(&phone, look));
    let (laptop, library) = (log_in(&site, "ada", "laptop"), log_in(&site, "ada", "library"));
    let another_users = log_in(&site, "grace", "laptop");

    // Two of them have requests under way, one of them with the id from before.
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
    assert_silent(&site.request(&laptop, look));
}

// Rule 11.
#[test]
fn the_list_of_a_users_sessions_shows_no_id() {
    let site = site(Policy::new());
    let laptop = log_in(&site, "ada", "laptop");
    site.time.advance(10 * MINUTE);
    let phone = log_in(&site, "ada", "phone");
    let another_users = log_in(&site, "grace", "laptop");

    // However it is shown: as text for the page, as JSON, or by a log that prints everything there
    // is.
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
fn the_browser_that_was_ended_is_told_why_by_its_cookie_and_no_other_is() {
    let site = site(Policy::new().max_per_owner(2));
    let named = log_in(&site, "ada", "phone");
    let listed = site.layer.sessions().owner("ada").unwrap().list().unwrap();
    // What the form of the page sends back.
    let handle = listed[0].handle.to_string().parse().unwrap();
    assert!(site.layer.sessions().destroy(handle).unwrap().is_done());
    let oldest = log_in(&site, "ada", "library");
    site.time.advance(MINUTE);
    let other = log_in(&site, "ada", "desk");
    site.time.advance(MINUTE);
    let here = log_in(&site, "ada", "laptop");
    assert_eq!(end_all_others(&site, &here), 1);

    let reasons = [(&named, EndReason::Named), (&oldest, EndReason::Limit), (&other, EndReason::Everywhere)];
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
fn a_login_that_was_saved_early_and_ended_before_its_response_sets_no_cookie() {
    let site = site(Policy::new());
    for fails in [false, true] {
        let mut session = site.layer.load(RequestHead::default());
        session.log_in("user-42").unwrap();
        assert_eq!(session.save().unwrap(), Saved::Written);
        assert_eq!(site.layer.sessions().owner("user-42").unwrap().destroy_all().unwrap(), 1);
        let finished = if fails { site.layer.fail(&mut session) } else { site.layer.finish(&mut session).unwrap() };
        // The browser may have logged in again since, and this would take that cookie away.
        assert_silent(&finished);
    }
}

#[test]
fn a_logout_after_a_revoked_login_ends_the_session_of_the_cookie() {
    let site = site(Policy::new());
    let cookie = log_in(&site, "user-1", "phone");
    let _ = site.request(&cookie, |session| {
        let owner = site.layer.sessions().owner("user-42").unwrap();
        let begun = owner.epoch().unwrap();
        assert_eq!(owner.destroy_all().unwrap(), 0);
        session.log_in_since("user-42", begun).unwrap();
        assert_eq!(session.save().unwrap(), Saved::Gone);
        session.log_out().unwrap();
    });
    assert_eq!(owner(&site, &cookie), None);
}
