//! The sessions of one user: they can be listed without showing an id, and ended one by one or all but the current one.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod session_support;

use std::time::SystemTime;

use lembro::http::{CookieOptions, RequestHead};
use lembro::{Handle, LembroStore, Listed, Outcome, Policy, Saved, Session, SessionId, Store};
use session_support::site::{AGE, Site, assert_silent, id_of, look, renewing_site, sent_back};
use session_support::{HOUR, MINUTE};

/// A login, on a device that the user has a name for; what its browser sends from then on.
fn log_in(site: &Site, user: &str, device: &str) -> String {
    sent_back(&site.request("", |session| {
        session.insert("user", user).unwrap();
        session.insert("device", device).unwrap();
    }))
}

fn sessions_of(store: &LembroStore, user: &str) -> Vec<Listed> {
    let all = store.all().unwrap().map(Result::unwrap);
    all.filter(|listed| listed.stored.record.get("user").unwrap() == Some(user)).collect()
}

/// What an application does after a password change.
fn end_all_others(store: &LembroStore, session: &Session) -> usize {
    let (user, current) = (session.get::<String>("user").unwrap().unwrap(), session.id().unwrap());
    let theirs = sessions_of(store, &user).into_iter().filter_map(|listed| listed.id);
    let others = theirs.filter(|id| id.handle() != current.handle());
    others.filter(|id| store.destroy(id).unwrap().is_done()).count()
}

/// What a page of devices is made from.
fn page(store: &LembroStore, user: &str) -> Vec<(Handle, String, SystemTime)> {
    let line = |listed: Listed| {
        let record = &listed.stored.record;
        (listed.handle, record.get("device").unwrap().unwrap(), record.created_at().unwrap())
    };
    let mut lines: Vec<_> = sessions_of(store, user).into_iter().map(line).collect();
    lines.sort_by_key(|(_, _, created)| *created);
    lines
}

// Rule 10.
#[test]
fn every_other_session_of_a_user_can_be_ended() {
    let site = Site::new(CookieOptions::new(), Policy::new());
    let [laptop, phone, library] = ["laptop", "phone", "library"].map(|device| log_in(&site, "ada", device));
    let somebody_else = log_in(&site, "grace", "laptop");

    // Two of them have requests under way.
    let head = |cookie| RequestHead::new([cookie]);
    let (mut reading, mut writing) = (site.layer.load(head(phone.as_str())), site.layer.load(head(library.as_str())));
    look(&mut reading);
    writing.insert("draft", "text").unwrap();

    let mut ended = 0;
    assert_silent(&site.request(&laptop, |session| ended = end_all_others(&site.store, session)));
    assert_eq!(ended, 2);
    site.time.advance(MINUTE);
    for (session, cookie) in [(reading, &phone), (writing, &library)] {
        let finished = site.layer.finish(session, head(cookie.as_str())).unwrap();
        assert_eq!((finished.saved(), finished.cookie()), (Saved::Gone, None));
        assert_eq!(site.user(cookie), None);
    }
    assert_eq!(site.user(&laptop).as_deref(), Some("ada"));
    assert_eq!(site.user(&somebody_else).as_deref(), Some("grace"));
    assert_eq!(site.store.len().unwrap(), 2);
}

#[test]
fn an_id_that_was_renewed_does_not_escape_whichever_of_its_ids_is_used() {
    let site = renewing_site();
    let phone = log_in(&site, "ada", "phone");
    site.time.advance(AGE);
    let renewed = sent_back(&site.request(&phone, look));
    let laptop = log_in(&site, "ada", "laptop");
    let mut ended = 0;
    let _ = site.request(&laptop, |session| ended = end_all_others(&site.store, session));
    assert_eq!((ended, site.user(&phone), site.user(&renewed)), (1, None, None));

    // Nor does the asking session end itself when it came by an id in its grace.
    site.time.advance(AGE);
    let _ = site.request(&laptop, look);
    let _ = site.request(&laptop, |session| ended = end_all_others(&site.store, session));
    assert_eq!((ended, site.user(&laptop).as_deref()), (0, Some("ada")));
}

// Rule 11.
#[test]
fn the_list_of_a_users_sessions_shows_no_id() {
    let site = Site::new(CookieOptions::new(), Policy::new());
    let began = site.layer.sessions().clock().wall();
    let laptop = log_in(&site, "ada", "laptop");
    site.time.advance(10 * MINUTE);
    let phone = log_in(&site, "ada", "phone");
    let somebody_else = log_in(&site, "grace", "laptop");

    let lines = page(&site.store, "ada");
    let expected = [
        (id_of(&laptop).handle(), "laptop".to_owned(), began),
        (id_of(&phone).handle(), "phone".to_owned(), began + 10 * MINUTE),
    ];
    assert_eq!(lines, expected);
    let left: Vec<_> = sessions_of(&site.store, "ada").iter().map(|listed| listed.stored.ttl).collect();
    assert!(left.contains(&(50 * MINUTE)) && left.contains(&HOUR), "when each was last seen: {left:?}");

    // However it is shown: as text for the page, as JSON, or by somebody who prints everything there is.
    let handles: Vec<_> = lines.iter().map(|(handle, ..)| handle).collect();
    let records: Vec<_> = sessions_of(&site.store, "ada").into_iter().map(|listed| listed.stored.record).collect();
    let shown = format!(
        "{lines:?} {} {} {} {:?}",
        lines[0].0,
        serde_json::to_string(&handles).unwrap(),
        serde_json::to_string(&records).unwrap(),
        sessions_of(&site.store, "ada"),
    );
    for cookie in [&laptop, &phone] {
        let (handle, secret) = cookie["id=".len()..].split_at(11);
        assert!(!shown.contains(&secret[1..]), "{shown}");
        assert!(shown.contains(&handle[..10]), "the handle names it");
    }
    assert!(!shown.contains(&somebody_else[3..13]), "nobody else's is in it");
}

// Rule 11, and an administrator's half of rule 10.
#[test]
fn one_session_can_be_ended_by_the_handle_that_the_list_shows() {
    let site = Site::new(CookieOptions::new(), Policy::new());
    let (laptop, phone) = (log_in(&site, "ada", "laptop"), log_in(&site, "ada", "phone"));
    let chosen = page(&site.store, "ada").into_iter().find(|(_, device, _)| device == "phone").unwrap().0;
    // What the form sends back.
    let chosen: Handle = chosen.to_string().parse().unwrap();
    let listed = sessions_of(&site.store, "ada").into_iter().find(|listed| listed.handle == chosen).unwrap();
    assert_eq!(site.store.destroy(&listed.id.unwrap()).unwrap(), Outcome::Done);
    assert_eq!((site.user(&phone), site.user(&laptop).as_deref()), (None, Some("ada")));
    // A handle opens nothing by itself.
    let made_up = id_of(&laptop).renewed(&SessionId::random().unwrap());
    assert_eq!(site.user(&format!("id={}", made_up.expose())), None);
}
