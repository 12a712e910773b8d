//! The end of a request: the writes to the store, the cookie for the client, and the cases without
//! either.

use std::time::Duration;

use crate::support::session::{save_login, save_value};
use lembro::web::{CookieOptions, Finished, RequestHead};
use lembro::{Policy, Record, Saved, Session, SessionId, Store};

use crate::support::site::{Site, assert_silent, id_of, look, sent_back};

fn site() -> Site {
    Site::new(CookieOptions::new())
}

/// The sessions created, saved and touched.
fn writes(site: &Site) -> (u64, u64, u64) {
    let stats = site.store.stats();
    (stats.created, stats.saved, stats.touched)
}

#[track_caller]
fn set_cookie(finished: &Finished) -> &str {
    finished.cookie().expect("a Set-Cookie")
}

// Invariant 9.
#[test]
fn new_empty_session_leaves_no_trace() {
    let site = site();
    assert_silent(&site.visit("", look));
    // A key that is inserted and removed again leaves nothing to save.
    let finished = site.visit("", |session| {
        session.insert("user", "ada").unwrap();
        session.remove("user").unwrap();
        assert!(session.is_changed());
    });
    assert_silent(&finished);
    assert_eq!(finished.saved(), Saved::Unchanged);
    assert_eq!(writes(&site), (0, 0, 0));
}

#[test]
fn new_session_with_data_is_announced() {
    let site = site();
    let finished = site.visit("", |session| session.insert("user", "ada").unwrap());
    assert_eq!(finished.saved(), Saved::Written);
    let stored = site.store.get(&id_of(&sent_back(&finished))).unwrap().expect("stored");
    assert_eq!(stored.record.get_str("user").unwrap().as_deref(), Some("ada"));
}

// Invariant 8.
#[test]
fn unchanged_request_writes_one_touch_at_most() {
    let site = site();
    let cookie = site.visitor();
    assert_eq!(writes(&site), (1, 0, 0));
    for _ in 0..10 {
        assert_silent(&site.visit(&cookie, look));
    }
    assert_eq!(writes(&site), (1, 0, 0), "within touch_after");

    site.time.advance(Duration::from_secs(60));
    let first = site.visit(&cookie, look);
    assert_silent(&first);
    assert_eq!(first.saved(), Saved::Unchanged, "the touch was at the first look");
    for _ in 0..10 {
        assert_silent(&site.visit(&cookie, look));
    }
    assert_eq!(writes(&site), (1, 0, 1), "one touch");
}

#[test]
fn session_without_a_look_costs_nothing() {
    let site = site();
    let cookie = site.visitor();
    site.time.advance(Duration::from_secs(600));
    let before = site.store.stats();
    assert_silent(&site.visit(&cookie, |_| {}));
    assert_eq!(site.store.stats(), before);
}

#[test]
fn known_id_is_not_announced_again() {
    let site = site();
    let cookie = site.visitor();
    let finished = site.visit(&cookie, |session| session.insert("theme", "dark").unwrap());
    assert_silent(&finished);
    assert_eq!(finished.saved(), Saved::Written);
    assert_eq!(writes(&site), (1, 1, 0));
}

#[test]
fn early_save_is_still_announced() {
    let site = site();
    let finished = site.visit("", |session| {
        save_value(session, "user", "ada");
    });
    let cookie = sent_back(&finished);
    assert!(site.store.get(&id_of(&cookie)).unwrap().is_some());

    let finished = site.visit("", |session| {
        session.modify("visits", |visits: &mut Option<u32>| *visits = Some(1)).unwrap();
    });
    assert!(site.store.get(&id_of(&sent_back(&finished))).unwrap().is_some());
}

#[test]
fn regenerated_id_is_announced() {
    let site = site();
    for change in [false, true] {
        let before = site.visitor();
        let finished = site.visit(&before, |session| {
            session.regenerate().unwrap();
            if change {
                session.insert("user", "ada").unwrap();
            }
        });
        let after = sent_back(&finished);
        assert_ne!(after, before);
        assert!(site.store.get(&id_of(&after)).unwrap().is_some());
        assert!(site.store.get(&id_of(&before)).unwrap().is_none());
    }
}

#[test]
fn logout_removes_only_a_known_cookie() {
    let site = site();
    let cookie = site.visitor();
    let finished = site.visit(&cookie, |session| session.log_out().unwrap());
    let removal = set_cookie(&finished);
    assert!(removal.starts_with("id=;"), "{removal}");
    assert!(removal.contains("; Max-Age=0;"), "{removal}");
    assert_eq!(finished.saved(), Saved::Gone);

    let nobody = site.visit("", |session| {
        save_value(session, "user", "ada");
        session.log_out().unwrap();
    });
    assert_silent(&nobody);
    assert_eq!(site.store.len().unwrap(), 0);
}

#[test]
fn logout_then_login_announces_the_new_id() {
    let site = site();
    let before = site.visitor();
    let finished = site.visit(&before, |session| {
        session.log_out().unwrap();
        session.regenerate().unwrap();
        session.insert("cart", "tea").unwrap();
    });
    let after = sent_back(&finished);
    assert_ne!(id_of(&after).handle(), id_of(&before).handle());
    let stored = site.store.get(&id_of(&after)).unwrap().unwrap();
    assert_eq!(stored.record.get_str("cart").unwrap().as_deref(), Some("tea"));
    assert_eq!(stored.record.get_str("user").unwrap(), None);
}

// Invariant 3.
#[test]
fn destroyed_session_never_comes_back() {
    for write in [false, true] {
        let site = site();
        let cookie = site.visitor();
        site.time.advance(Duration::from_secs(300));
        let finished = site.visit(&cookie, |session| {
            look(session);
            // Another request of the same client logs out at this moment.
            let _ = site.visit(&cookie, |other| other.log_out().unwrap());
            if write {
                session.insert("last_page", "/inbox").unwrap();
            }
        });
        assert_silent(&finished);
        assert_eq!(finished.saved(), if write { Saved::Gone } else { Saved::Unchanged });
        assert_eq!(site.store.len().unwrap(), 0);
    }
}

#[test]
fn session_found_gone_sets_no_cookie() {
    let site = site();
    let cookie = site.visitor();
    let finished = site.visit(&cookie, |session| {
        look(session);
        let _ = site.store.destroy(&id_of(&cookie)).unwrap();
        session.insert("a", "b").unwrap();
        assert_eq!(session.save().unwrap(), Saved::Gone);
    });
    assert_silent(&finished);
    assert_eq!(finished.saved(), Saved::Gone);
}

// Invariant 1.
#[test]
fn client_id_is_never_adopted() {
    let site = site();
    let unknown = SessionId::random().unwrap();
    let cookie = format!("id={}", unknown.expose());
    assert_silent(&site.visit(&cookie, look));
    let finished = site.visit(&cookie, |session| session.insert("user", "eve").unwrap());
    let given = id_of(&sent_back(&finished));
    assert_ne!(given.handle(), unknown.handle());
    assert!(site.store.get(&unknown).unwrap().is_none());

    // Expired.
    site.time.advance(Duration::from_secs(60 * 60));
    let cookie = format!("id={}", given.expose());
    let finished = site.visit(&cookie, |session| {
        assert_eq!(session.get_str("user").unwrap().as_deref(), None);
        session.insert("user", "ada").unwrap();
    });
    assert_ne!(id_of(&sent_back(&finished)).handle(), given.handle());
}

#[test]
fn cookie_is_rewritten_once_per_touch_after() {
    let site = Site::persistent();
    let finished = site.visit("", |session| session.insert("user", "ada").unwrap());
    assert!(set_cookie(&finished).contains("; Max-Age=3600"), "{finished:?}");
    let mut cookie = sent_back(&finished);
    let count = |visits: &mut Option<u32>| *visits = Some(visits.unwrap_or(0) + 1);
    let uses: [&dyn Fn(&mut Session); 4] = [
        &look,
        &|session| session.insert("theme", "dark").unwrap(),
        &|session| assert_eq!(session.touch().unwrap(), Saved::Written),
        &|session| assert!(session.modify("visits", count).unwrap().is_some()),
    ];
    for handler in uses {
        for _ in 0..6 {
            assert_silent(&site.visit(&cookie, handler));
            site.time.advance(Duration::from_secs(10));
        }
        let renewed = site.visit(&cookie, handler);
        assert!(set_cookie(&renewed).contains("; Max-Age=3600"), "{}", set_cookie(&renewed));
        assert_eq!(id_of(&sent_back(&renewed)), id_of(&cookie));
        cookie = sent_back(&renewed);
    }
}

#[test]
fn cookie_is_rewritten_beside_a_busy_socket() {
    let site = Site::persistent();
    let cookie = site.visitor();
    for _ in 0..12 {
        site.time.advance(Duration::from_secs(5));
        let mut socket = site.layer.sessions().load(&id_of(&cookie)).unwrap().unwrap();
        assert_eq!(socket.touch().unwrap(), Saved::Written);
    }
    assert!(set_cookie(&site.visit(&cookie, look)).contains("; Max-Age=3600"));
}

#[test]
fn max_age_is_rounded_down_but_never_zero() {
    let site = Site::persistent();
    let max_age = |timeout: Duration| {
        let finished = site.visit("", |session| {
            session.set_timeout(timeout).unwrap();
            session.insert("user", "ada").unwrap();
        });
        let cookie = set_cookie(&finished).to_owned();
        let seconds = cookie.split("; ").find_map(|part| part.strip_prefix("Max-Age=")).unwrap();
        seconds.parse::<u64>().unwrap()
    };
    assert_eq!(max_age(Duration::from_millis(59_999)), 59);
    assert_eq!(max_age(Duration::from_millis(1)), 1, "0 would delete it");
    // The lifetime ends the cookie as it ends the session.
    let cookie = sent_back(&site.visit("", |session| {
        session.set_timeout(Duration::from_secs(24 * 60 * 60)).unwrap();
        session.insert("user", "ada").unwrap();
    }));
    site.time.advance(Duration::from_secs(23 * 60 * 60));
    assert!(set_cookie(&site.visit(&cookie, look)).contains("; Max-Age=3600"));
}

#[test]
fn new_id_prolongs_session_and_cookie() {
    let site = Site::persistent();
    let cookie = site.visitor();
    site.time.advance(Duration::from_secs(30));
    let finished = site.visit(&cookie, |session| session.regenerate().unwrap());
    assert!(set_cookie(&finished).contains("; Max-Age=3600"), "{}", set_cookie(&finished));
}

#[test]
fn request_beside_a_login_leaves_no_trace() {
    for looks_before in [false, true] {
        for writes in [false, true] {
            let site = site();
            let cookie = site.visitor();
            let mut beside = site.layer.load(RequestHead::new([cookie.as_str()]));
            if looks_before {
                look(&mut beside);
            }
            let login = sent_back(&site.visit(&cookie, |session| session.log_in("user-42").unwrap()));
            let before = site.store.get(&id_of(&login)).unwrap().unwrap();
            look(&mut beside);
            if writes {
                beside.insert("late", &1).unwrap();
            }
            assert_silent(&site.layer.finish(&mut beside).unwrap());
            // A request by the old id, within the grace.
            site.time.advance(Duration::from_secs(59));
            assert_silent(&site.visit(&cookie, |session| session.insert("late", &2).unwrap()));
            assert_eq!(site.store.get(&id_of(&login)).unwrap().unwrap().record, before.record);
            assert_eq!(site.store.len().unwrap(), 1);
            // After the grace, a client that lost the login's response is not locked out.
            site.time.advance(Duration::from_secs(1));
            let anew = sent_back(&site.visit(&cookie, |session| session.insert("late", &3).unwrap()));
            assert_ne!(id_of(&anew).handle(), id_of(&login).handle());
        }
    }
}

#[test]
fn second_login_by_the_old_id_starts_over() {
    let site = site();
    let cookie = site.visitor();
    let first = sent_back(&site.visit(&cookie, |session| session.log_in("ada").unwrap()));
    let second = sent_back(&site.visit(&cookie, |session| {
        session.log_in("bob").unwrap();
        session.insert("theme", "dark").unwrap();
    }));
    assert_ne!(id_of(&first).handle(), id_of(&second).handle());
    let stored = site.store.get(&id_of(&second)).unwrap().unwrap().record;
    assert_eq!((stored.owner(), stored.get_str("user").unwrap().as_deref(), stored.len()), (Some("bob"), None, 1));
}

#[test]
fn live_id_wins_over_a_superseded_one() {
    let site = site();
    let old = site.visitor();
    let new = sent_back(&site.visit(&old, |session| session.log_in("ada").unwrap()));
    let finished = site.request(&RequestHead::new([old.as_str(), new.as_str()]), |session| {
        assert_eq!(session.owner().unwrap(), Some("ada"));
        session.insert("theme", "dark").unwrap();
    });
    assert_eq!((finished.saved(), finished.cookie()), (Saved::Written, None));
}

#[test]
fn failed_request_owes_only_a_committed_id() {
    type Act = fn(&mut Session);
    let site = site();
    let cookie = site.visitor();
    let early: [(&str, Act); 3] = [
        ("login", |session| session.log_in("ada").unwrap()),
        ("regenerate", |session| session.regenerate().unwrap()),
        ("neither", |session| session.insert("theme", "dark").unwrap()),
    ];
    let mut cookie = cookie;
    for (what, act) in early {
        for saves in [false, true] {
            let mut session = site.layer.load(RequestHead::new([cookie.as_str()]));
            act(&mut session);
            if saves {
                assert_eq!(session.save().unwrap(), Saved::Written);
            }
            let owed = site.layer.fail(&mut session);
            assert_eq!(owed.cookie().is_some(), saves && what != "neither", "{what}, {saves}");
            if owed.cookie().is_some() {
                cookie = sent_back(&owed);
            }
            assert!(site.store.get(&id_of(&cookie)).unwrap().is_some(), "{what}: the client's cookie works");
        }
    }
    // A session that a failed request has stored.
    let mut session = site.layer.load(RequestHead::default());
    save_login(&mut session, "ada");
    let owed = sent_back(&site.layer.fail(&mut session));
    assert_eq!(id_of(&owed), session.id().unwrap());
}

#[test]
fn attached_session_is_announced() {
    let site = site();
    let old_id = SessionId::derive("s:from-another-system");
    let data: Record = [("user", "ada")].into_iter().collect();
    let created = site.layer.sessions().create_session(&old_id, data).unwrap();
    let loaded = site.layer.sessions().load(&old_id).unwrap().expect("created above");
    for other in [created, loaded] {
        let mut session = site.layer.load(RequestHead::default());
        session.insert("unsaved", &true).unwrap();
        session.attach(other).unwrap();
        assert_eq!(session.get::<bool>("unsaved").unwrap(), None);
        let finished = site.layer.finish(&mut session).unwrap();
        assert_eq!(id_of(&sent_back(&finished)), old_id);
    }
    assert_eq!(site.store.len().unwrap(), 1);
}

#[test]
fn layer_policy_decides_when_visits_count() {
    let site = site();
    let policy = Policy::new().touch_after(Duration::ZERO).timeout(Duration::from_secs(600));
    let site = site.policy(policy.clone());
    assert_eq!(site.layer.sessions().policy(), &policy);
    let cookie = site.visitor();
    site.time.advance(Duration::from_millis(4));
    let _ = site.visit(&cookie, look);
    assert_eq!(writes(&site), (1, 0, 1));
    site.time.advance(Duration::from_secs(600));
    let finished = site.visit(&cookie, |session| assert!(session.is_new().unwrap()));
    assert_silent(&finished);
    assert!(site.layer.policy(Policy::new().timeout(Duration::ZERO)).unwrap_err().is_option());
}

#[test]
fn debug_shows_no_secret() {
    let site = site();
    let cookie = site.visitor();
    let secret = &cookie["id=".len()..];
    let head = RequestHead::new([cookie.as_str()]);
    let finished = site.visit(&cookie, |session| session.regenerate().unwrap());
    let new_secret = sent_back(&finished)["id=".len()..].to_owned();
    let shown = format!("{:?} {head:?} {finished:?}", site.layer);
    assert!(!shown.contains(secret) && !shown.contains(&new_secret), "{shown}");
}
