//! Handles on one session: forks, steps, values that are consumed once, peeks, and several cookies.
#![cfg(feature = "web")]

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::support::session::{
    Fault, HOUR, MINUTE, load_again, manual_session, manual_sessions, probed_session, probed_sessions, save_value,
    stored_session,
};
use crate::support::site::{Site, id_of, look, sent_back};
use lembro::web::{CookieOptions, RequestHead};
use lembro::{Event, Policy, Record, Saved, Session, SessionId, Step, Store};

const AGE: Duration = Duration::from_secs(15 * 60);

#[test]
fn fork_saves_first_and_both_handles_work() {
    let (sessions, ..) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    session.insert("before", &1).unwrap();
    let mut own = session.fork().unwrap().expect("it is stored");
    assert!(!session.is_changed() && !own.is_changed());
    own.insert("socket", &2).unwrap();
    session.insert("page", &3).unwrap();
    assert_eq!((own.save().unwrap(), session.save().unwrap()), (Saved::Written, Saved::Written));
    let again = load_again(&sessions, &session);
    assert_eq!(again.keys().unwrap().collect::<Vec<_>>(), ["before", "page", "socket"]);
}

#[test]
fn unstored_session_has_no_fork() {
    let (sessions, store, _) = manual_sessions();
    assert!(sessions.generate().unwrap().fork().unwrap().is_none());
    let mut ended = stored_session(&sessions);
    let mut late = load_again(&sessions, &ended);
    ended.log_out().unwrap();
    assert!(ended.fork().unwrap().is_none());
    late.insert("late", &1).unwrap();
    assert!(late.fork().unwrap().is_none());
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn new_id_without_a_response_is_an_error() {
    let site = Site::new(CookieOptions::new());
    let cookie = site.visitor();
    let mut session = site.layer.load(RequestHead::new([cookie.as_str()]));
    let mut own = session.fork().unwrap().unwrap();
    let late = |session: &mut Session, what: &str| {
        let other = site.layer.sessions().generate().unwrap();
        let epoch = site.layer.sessions().owner("bob").unwrap().epoch().unwrap();
        for error in [
            session.regenerate().unwrap_err(),
            session.log_in("bob").unwrap_err(),
            session.log_in_since("bob", epoch).unwrap_err(),
            session.attach(other).unwrap_err(),
        ] {
            assert!(error.is_late(), "{what}: {error}");
            assert!(
                error
                    .to_string()
                    .ends_with("on a handle that no response follows: the client would never learn its id")
            );
        }
        assert!(!session.is_changed());
    };
    late(&mut own, "a fork");
    let _ = site.layer.finish(&mut session).unwrap();
    late(&mut session, "after finish");
    let mut failed = site.layer.load(RequestHead::new([cookie.as_str()]));
    let _ = site.layer.fail(&mut failed);
    late(&mut failed, "after fail");

    // A fork can still change and end the session.
    save_value(&mut own, "socket", &1);
    assert_eq!(own.id().unwrap(), id_of(&cookie));
    own.log_out().unwrap();
    assert_eq!(site.user(&cookie), None);
}

#[test]
fn race_one_request_consumes_a_value() {
    for _ in 0..100 {
        let (sessions, mut session, ..) = manual_session();
        session.insert("state", "once").unwrap();
        session.component("oauth").insert("state", &7).unwrap();
        session.save().unwrap();
        let (id, start) = (session.id().unwrap(), Barrier::new(4));
        let consume = || {
            let mut request = sessions.load(&id).unwrap().unwrap();
            start.wait();
            let own = request.consume::<String>("state").unwrap();
            (own, request.component("oauth").consume::<u32>("state").unwrap())
        };
        let got: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(consume)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(got.iter().filter_map(|(own, _)| own.as_deref()).collect::<Vec<_>>(), ["once"]);
        assert_eq!(got.iter().filter_map(|(_, component)| *component).collect::<Vec<_>>(), [7]);
        assert!(!load_again(&sessions, &session).contains_key("state").unwrap());
    }
}

#[test]
fn consume_of_an_absent_key_or_another_type() {
    let (sessions, mut session, probe, ..) = probed_session();
    probe.calls.take();
    assert_eq!(session.consume::<u32>("absent").unwrap(), None);
    assert_eq!(probe.calls.happened(), []);
    assert!(session.consume::<u32>("user").unwrap_err().is_value());
    assert_eq!(load_again(&sessions, &session).get::<String>("user").unwrap().as_deref(), Some("ada"));
}

#[test]
fn peek_does_not_prolong_and_other_looks_do() {
    let polls = |session: &mut Session| drop(session.peek().get::<String>("user").unwrap());
    for (visits, ends) in [(false, true), (true, false)] {
        let site = Site::new(CookieOptions::new());
        let cookie = site.visitor();
        for _ in 0..61 {
            site.time.advance(MINUTE);
            let finished = if visits { site.visit(&cookie, look) } else { site.visit(&cookie, polls) };
            assert_eq!(finished.cookie(), None);
        }
        assert_eq!(site.user(&cookie).is_none(), ends, "visits: {visits}");
    }
}

#[test]
fn peek_with_a_change_or_a_touch_prolongs() {
    let acts: [fn(&mut Session); 3] = [
        |session| session.peek().insert("seen", &true).unwrap(),
        |session| assert_eq!(session.peek().touch().unwrap(), Saved::Written),
        |session| {
            look(session);
            look(session.peek());
        },
    ];
    for act in acts {
        let site = Site::new(CookieOptions::new());
        let cookie = site.visitor();
        site.time.advance(59 * MINUTE);
        let _ = site.visit(&cookie, act);
        site.time.advance(59 * MINUTE);
        assert!(site.user(&cookie).is_some());
    }
}

#[test]
fn peek_neither_renews_nor_rewrites_the_cookie() {
    let policy = Policy::new().renew_after(AGE).grace(MINUTE);
    let site = Site::persistent();
    let site = site.policy(policy);
    let cookie = sent_back(&site.visit("", |session| session.log_in("ada").unwrap()));
    site.time.advance(AGE + MINUTE);
    let polled = site.visit(&cookie, |session| look(session.peek()));
    assert_eq!((polled.saved(), polled.cookie()), (Saved::Unchanged, None));
    let visited = site.visit(&cookie, look);
    assert_eq!(visited.saved(), Saved::Written);
    assert_ne!(id_of(&sent_back(&visited)), id_of(&cookie), "the visit renews it");
}

#[test]
fn logout_ends_every_session_presented() {
    let site = Site::new(CookieOptions::new());
    let (one, other, elsewhere) = (site.visitor(), site.visitor(), site.visitor());
    for header in [format!("{one}; {other}"), format!("id=stale; {one}; {other}")] {
        let cookies = [site.visitor(), site.visitor()];
        let header = header.replace(&one, &cookies[0]).replace(&other, &cookies[1]);
        let finished = site.visit(&header, |session| session.log_out().unwrap());
        assert!(finished.cookie().unwrap().starts_with("id=; "));
        for cookie in &cookies {
            assert_eq!(site.user(cookie), None);
        }
    }
    // The right handle with a wrong secret ends nothing.
    let guess = id_of(&elsewhere).expose().replace(&id_of(&elsewhere).expose()[16..], &"A".repeat(16));
    let _ = site.visit(&format!("{one}; id={guess}"), |session| session.log_out().unwrap());
    assert_eq!(site.user(&elsewhere).as_deref(), Some("ada"));
}

#[test]
fn live_session_wins_among_several_cookies() {
    let site = Site::new(CookieOptions::new());
    let (ended, live) = (site.visitor(), site.visitor());
    let old = site.visitor();
    let _ = site.visit(&ended, |session| session.log_out().unwrap());
    let _ = site.visit(&old, |session| session.regenerate().unwrap());
    for header in [format!("{ended}; {old}; {live}"), format!("{old}; {live}; {ended}"), format!("{live}; {old}")] {
        let finished = site.visit(&header, |session| session.insert("page", &1).unwrap());
        assert_eq!((finished.saved(), finished.cookie()), (Saved::Written, None), "{header}");
    }
}

#[test]
fn created_at_and_logged_in_at() {
    let site = Site::new(CookieOptions::new());
    let begun = site.layer.sessions().clock().wall();
    let cookie = site.visitor();
    site.time.advance(HOUR / 2);
    let now = begun + HOUR / 2;
    let mut cookie = cookie;
    let finished = site.visit(&cookie, |session| {
        assert_eq!((session.created_at().unwrap(), session.logged_in_at().unwrap()), (Some(begun), None));
        session.log_in("ada").unwrap();
        assert_eq!(session.logged_in_at().unwrap(), Some(now));
    });
    cookie = sent_back(&finished);
    site.time.advance(HOUR / 4);
    let _ = site.visit(&cookie, |session| {
        assert_eq!((session.created_at().unwrap(), session.logged_in_at().unwrap()), (Some(begun), Some(now)));
    });
    assert_eq!(site.layer.sessions().generate().unwrap().created_at().unwrap(), None);
}

#[test]
fn layer_events_include_the_stores() {
    let site = Site::new(CookieOptions::new());
    let (events, dropped) = (site.layer.events(), site.layer.events());
    drop(dropped);
    let cookie = site.visitor();
    let handle = id_of(&cookie).handle();
    let _ = site.visit(&cookie, |session| session.log_out().unwrap());
    let _ = site.visit(&cookie, look);
    let expired = id_of(&site.visitor()).handle();
    site.time.advance(2 * HOUR);
    site.store.purge();
    let heard: Vec<_> = events.try_iter().collect();
    let [
        Event::Destroyed { handle: destroyed, .. },
        Event::UnknownId { handle: unknown },
        Event::Expired { handle: gone, .. },
        Event::Purged { sessions: 1, .. },
    ] = heard[..]
    else {
        panic!("{heard:?}")
    };
    assert_eq!((destroyed, unknown, gone), (handle, handle, expired));
}

#[test]
fn step_reloads_first_and_saves_last() {
    let (_, mut session, ..) = manual_session();
    let mut own = session.fork().unwrap().unwrap();
    for number in 1..4 {
        save_value(&mut session, "page", &number);
        let seen = own.step(|own| {
            own.insert("socket", &number)?;
            own.get::<u32>("page")
        });
        assert_eq!(seen.unwrap(), Step::Done(Some(number)));
        assert!(session.reload().unwrap());
        assert_eq!(session.get::<u32>("socket").unwrap(), Some(number));
    }
}

#[test]
fn step_of_an_ended_session_changes_nothing() {
    let (sessions, mut session, store, time) = manual_session();
    let mut own = session.fork().unwrap().unwrap();
    let during = own.step(|own| {
        session.log_out()?;
        own.insert("late", &1)
    });
    assert_eq!(during.unwrap(), Step::Ended);
    assert_eq!(own.step(|_| -> lembro::Result<()> { panic!("it is not begun") }).unwrap(), Step::Ended);
    assert_eq!(store.len().unwrap(), 0);

    let mut own = stored_session(&sessions).fork().unwrap().unwrap();
    assert_eq!(own.step(Session::log_out).unwrap().done(), None, "its own logout ends it too");
    let mut own = stored_session(&sessions).fork().unwrap().unwrap();
    time.advance(2 * HOUR);
    assert_eq!(own.step(|_| Ok(1)).unwrap(), Step::Ended, "its time has run out");
}

#[test]
fn step_that_only_reads_does_not_prolong() {
    let (_, mut session, store, time) = manual_session();
    let id = session.id().unwrap();
    let mut own = session.fork().unwrap().unwrap();
    time.advance(MINUTE);
    assert_eq!(own.step(|own| own.get_str("user").map(|user| user.is_some())).unwrap(), Step::Done(true));
    assert_eq!(store.get(&id).unwrap().unwrap().ttl + MINUTE, HOUR);
    own.step(|own| own.touch().map(drop)).unwrap().done().unwrap();
    assert_eq!(store.get(&id).unwrap().unwrap().ttl, HOUR);
}

#[test]
fn failed_step_saves_only_its_own_commits() {
    let (sessions, ..) = manual_sessions();
    let mut own = stored_session(&sessions).fork().unwrap().unwrap();
    let failed = own.step(|own| {
        own.modify("counter", |counter: &mut Option<u32>| *counter.get_or_insert(0) += 1)?;
        own.insert("half", &1)?;
        own.get::<bool>("user")
    });
    assert!(failed.unwrap_err().is_value());
    assert!(!own.is_changed());
    assert_eq!(own.save().unwrap(), Saved::Unchanged);
    let seen = own.step(|own| Ok((own.get::<u32>("counter")?, own.contains_key("half")?)));
    assert_eq!(seen.unwrap(), Step::Done((Some(1), false)));
}

#[test]
fn next_step_settles_an_unknown_save() {
    for fault in [Fault::RequestLost, Fault::ReplyLost] {
        let (sessions, probe, _) = probed_sessions();
        let mut own = stored_session(&sessions).fork().unwrap().unwrap();
        probe.fail_next_commits([fault]);
        assert!(own.step(|own| own.insert("message", &1)).unwrap_err().is_unknown());
        assert_eq!(own.step(|own| own.get::<u32>("message")).unwrap(), Step::Done(Some(1)), "{fault:?}");
    }
}

#[test]
fn unread_session_never_reads_the_store() {
    let site = Site::new(CookieOptions::new());
    let header = format!("id={}", SessionId::derive("stale").expose());
    let mut session = site.layer.load(RequestHead::new([header.as_str()]));
    assert!(!session.is_changed() && format!("{session:?}").contains("unloaded"));
    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    drop(session);
    assert_eq!(site.reads(), 0);
}

#[test]
fn insert_under_a_stale_id_goes_into_a_new_session() {
    let site = Site::new(CookieOptions::new());
    let stale = SessionId::derive("stale");
    let mut session = site.layer.load(RequestHead::new([format!("id={}", stale.expose()).as_str()]));
    session.insert("cart", &["tea"]).unwrap();
    assert!(session.is_new().unwrap() && !session.is_gone().unwrap());
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_ne!(session.handle().unwrap(), stale.handle());
    let sessions = site.layer.sessions();
    assert!(sessions.load(&stale).unwrap().is_none());
    assert_eq!(load_again(sessions, &session).get::<Vec<String>>("cart").unwrap().unwrap(), ["tea"]);
    assert_eq!(site.store.len().unwrap(), 1);
}

#[test]
fn first_id_that_opens_a_session_counts() {
    let site = Site::new(CookieOptions::new());
    let ids = ["stale", "first", "second"].map(SessionId::derive);
    for id in &ids[1..] {
        site.layer.sessions().create_session(id, Record::new()).unwrap();
    }
    let header = ids.map(|id| format!("id={}", id.expose())).join("; ");
    let session = site.layer.load(RequestHead::new([header.as_str()]));
    assert_eq!((session.id().unwrap(), site.reads()), (ids[1], 2));
}
