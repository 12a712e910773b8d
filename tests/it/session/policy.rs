//! The policy: the life of sessions under it, and its values from code and from a file.

use std::time::Duration;

use crate::support::session::{
    HOUR, MINUTE, SECOND, load_again, manual_store, save_login, save_value, stored_session, validate,
};
use lembro::{Clock, LembroStore, ManualClock, Policy, Record, Saved, SessionId, Sessions, Store};

fn sessions_with(policy: Policy) -> (Sessions, LembroStore, ManualClock) {
    let (store, time) = manual_store();
    (Sessions::with_policy(store.clone(), policy).unwrap(), store, time)
}

#[test]
fn idle_timeout_slides_with_saves_and_touches() {
    let (sessions, store, time) = sessions_with(Policy::new().timeout(10 * MINUTE));
    let mut session = stored_session(&sessions);
    let clock = Clock::from(&time);
    for round in 0..6 {
        time.advance(9 * MINUTE);
        if round % 2 == 0 {
            // An explicit touch ignores `touch_after`.
            assert_eq!(session.touch().unwrap(), Saved::Written);
        } else {
            save_value(&mut session, "round", &round);
        }
        assert_eq!(session.expires_at().unwrap(), Some(clock.wall() + 10 * MINUTE));
        assert_eq!(store.get(&session.id().unwrap()).unwrap().unwrap().ttl, 10 * MINUTE);
    }
    time.advance(10 * MINUTE);
    assert_eq!(session.touch().unwrap(), Saved::Gone);
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn load_is_a_visit_and_a_reload_is_not() {
    let (sessions, store, time) = sessions_with(Policy::new());
    let mut session = stored_session(&sessions);
    let left = || store.get(&session.id().unwrap()).unwrap().unwrap().ttl;
    time.advance(MINUTE.saturating_sub(SECOND));
    load_again(&sessions, &session);
    assert_eq!(left(), 59 * MINUTE + SECOND, "not due");
    time.advance(SECOND);
    load_again(&sessions, &session);
    assert_eq!(left(), HOUR, "noted at the first look");
    time.advance(59 * MINUTE);
    assert!(session.reload().unwrap() && session.contains_key("user").unwrap());
    time.advance(MINUTE);
    assert!(!session.reload().unwrap());
}

#[test]
fn slow_request_saves_after_its_visit() {
    let (sessions, _, time) = sessions_with(Policy::new().timeout(15 * MINUTE));
    let session = stored_session(&sessions);
    time.advance(14 * MINUTE);
    let mut slow = load_again(&sessions, &session);
    time.advance(2 * MINUTE);
    save_value(&mut slow, "report", "done");
}

#[test]
fn explicit_touches_are_always_written() {
    let (sessions, probe, time) = crate::support::session::probed_sessions();
    let mut session = stored_session(&sessions);
    probe.calls.take();
    for _ in 0..3 {
        time.advance(Duration::from_millis(1));
        assert_eq!(session.touch().unwrap(), Saved::Written);
    }
    assert_eq!(probe.calls.happened(), [("touch", 3)]);
}

#[test]
fn nothing_prolongs_beyond_the_lifetime() {
    let (sessions, store, time) = sessions_with(Policy::new().timeout(HOUR).lifetime(3 * HOUR));
    let mut session = stored_session(&sessions);
    let end = Clock::from(&time).wall() + 3 * HOUR;
    session.set_timeout(3 * HOUR).unwrap();
    session.save().unwrap();
    for round in 0..5 {
        time.advance(30 * MINUTE);
        session.regenerate().unwrap();
        assert_eq!(session.touch().unwrap(), Saved::Written);
        save_value(&mut session, "round", &round);
        session.modify("count", |count: &mut Option<u32>| *count = Some(round)).unwrap().unwrap();
        assert_eq!(session.expires_at().unwrap(), Some(end));
    }
    time.advance((30 * MINUTE).saturating_sub(SECOND));
    assert_eq!(session.touch().unwrap(), Saved::Written);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_some());
    time.advance(SECOND);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());
    assert_eq!(session.touch().unwrap(), Saved::Gone);
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn lifetime_counts_from_creation_or_login() {
    let (sessions, store, time) = sessions_with(Policy::new().lifetime(3 * HOUR));
    let old = stored_session(&sessions);
    let data = store.get(&old.id().unwrap()).unwrap().unwrap().record;
    time.advance(2 * HOUR + 30 * MINUTE);
    // A record that comes from another store keeps its time of creation.
    let moved = SessionId::derive("moved");
    store.set(&moved, data.clone(), HOUR).unwrap();
    let expires = |session: &lembro::Session| session.expires_at().unwrap();
    let found = sessions.load(&moved).unwrap().unwrap();
    assert_eq!(expires(&found), Some(Clock::from(&time).wall() + 30 * MINUTE));
    time.advance(30 * MINUTE);
    assert!(sessions.load(&moved).unwrap().is_none());
    // A session that is created from data is a new one.
    let mut session = sessions.create_session(&SessionId::derive("created"), data).unwrap();
    for _ in 0..5 {
        time.advance(30 * MINUTE);
        assert_eq!(session.touch().unwrap(), Saved::Written);
    }
    assert_eq!(expires(&session), Some(Clock::from(&time).wall() + 30 * MINUTE));
    save_login(&mut session, "user-42");
    assert_eq!(expires(&session), Some(Clock::from(&time).wall() + HOUR));
    for _ in 0..5 {
        time.advance(30 * MINUTE);
        assert_eq!(session.touch().unwrap(), Saved::Written);
    }
    assert_eq!(expires(&session), Some(Clock::from(&time).wall() + 30 * MINUTE), "counted from the login");
}

#[test]
fn without_lifetime_only_idleness_ends_it() {
    let (sessions, _, time) = sessions_with(Policy::new().lifetime(None));
    let mut session = stored_session(&sessions);
    for _ in 0..24 * 30 {
        time.advance(59 * MINUTE);
        assert_eq!(session.touch().unwrap(), Saved::Written);
    }
}

#[test]
fn stricter_policy_applies_at_once() {
    let (sessions, store, time) = sessions_with(Policy::new());
    let session = stored_session(&sessions);
    let clock = Clock::from(&time);
    time.advance(30 * MINUTE);
    let id = session.id().unwrap();

    let policy = Policy::new().timeout(10 * MINUTE).lifetime(35 * MINUTE);
    let strict = Sessions::with_policy(store.clone(), policy).unwrap();
    let mut held = strict.load(&id).unwrap().unwrap();
    assert_eq!(held.timeout().unwrap(), 10 * MINUTE);
    assert_eq!(held.expires_at().unwrap(), Some(clock.wall() + 5 * MINUTE));
    assert_eq!(held.touch().unwrap(), Saved::Written);
    assert_eq!(store.get(&id).unwrap().unwrap().ttl, 5 * MINUTE);

    let stricter = Sessions::with_policy(store, Policy::new().timeout(10 * MINUTE).lifetime(30 * MINUTE)).unwrap();
    assert!(stricter.load(&id).unwrap().is_none());
}

#[test]
fn calendar_set_back_prolongs_nothing() {
    let (sessions, store, time) = sessions_with(Policy::new().timeout(HOUR).lifetime(3 * HOUR));
    let session = stored_session(&sessions);
    time.set_wall(Clock::from(&time).wall() - 1000 * HOUR);
    let mut again = load_again(&sessions, &session);
    assert_eq!(again.touch().unwrap(), Saved::Written);
    time.advance(HOUR.saturating_sub(SECOND));
    assert!(store.get(&session.id().unwrap()).unwrap().is_some());
    time.advance(SECOND);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());
}

#[test]
fn calendar_set_forward_ends_lifetimes_only() {
    let (sessions, _, time) = sessions_with(Policy::new().timeout(HOUR).lifetime(3 * HOUR));
    let session = stored_session(&sessions);
    time.set_wall(Clock::from(&time).wall() + 2 * HOUR);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_some());
    time.set_wall(Clock::from(&time).wall() + HOUR);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());

    let (sessions, _, time) = sessions_with(Policy::new().lifetime(None));
    let session = stored_session(&sessions);
    time.set_wall(Clock::from(&time).wall() + 1000 * HOUR);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_some());
}

#[test]
fn handle_beyond_the_lifetime_is_gone() {
    // By the store's own deadline the session still lives; by the calendar its lifetime is over.
    type Use = fn(&mut lembro::Session) -> bool;
    let uses: [(&str, Use); 4] = [
        ("save", |session| session.insert("a", &1).and_then(|()| session.save()).unwrap() == Saved::Gone),
        ("touch", |session| session.touch().unwrap() == Saved::Gone),
        ("modify", |session| session.modify("a", |a: &mut Option<u8>| *a = Some(1)).unwrap().is_none()),
        ("reload", |session| !session.reload().unwrap()),
    ];
    for (name, is_told) in uses {
        let (sessions, store, time) = sessions_with(Policy::new().lifetime(3 * HOUR));
        let mut session = stored_session(&sessions);
        time.set_wall(Clock::from(&time).wall() + 3 * HOUR);
        assert!(is_told(&mut session), "{name}");
        assert!(session.is_gone().unwrap(), "{name}");
        assert!(sessions.load(&session.id().unwrap()).unwrap().is_none(), "{name}");
        validate(&store);
    }
    let (sessions, _, time) = sessions_with(Policy::new().lifetime(3 * HOUR));
    let mut session = stored_session(&sessions);
    time.set_wall(Clock::from(&time).wall() + 3 * HOUR);
    session.regenerate().unwrap();
    assert_eq!(session.save().unwrap(), Saved::Unchanged);
    assert!(session.is_new().unwrap(), "regenerate");
}

#[test]
fn session_may_have_its_own_timeout() {
    let (sessions, _, time) = sessions_with(Policy::new());
    let mut session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    session.set_timeout(8 * HOUR).unwrap();
    assert_eq!(session.timeout().unwrap(), 8 * HOUR);
    session.save().unwrap();
    time.advance(7 * HOUR);
    let mut again = load_again(&sessions, &session);
    assert_eq!(again.timeout().unwrap(), 8 * HOUR);
    assert_eq!(again.touch().unwrap(), Saved::Written);
    time.advance(7 * HOUR);

    let mut again = load_again(&sessions, &session);
    again.set_timeout(None).unwrap();
    assert_eq!(again.timeout().unwrap(), HOUR);
    again.save().unwrap();
    time.advance(HOUR);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());
}

#[test]
fn own_timeout_counts_from_the_save() {
    // S9 and T8, of the models: an hour became 41 days, a day became a thousand.
    let (sessions, store, time) = sessions_with(Policy::new());
    let mut session = stored_session(&sessions);
    session.set_timeout(Duration::from_millis(1_500)).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(store.get(&session.id().unwrap()).unwrap().unwrap().ttl, Duration::from_millis(1_500));
    assert_eq!(session.expires_at().unwrap(), Some(Clock::from(&time).wall() + Duration::from_millis(1_500)));
    time.advance(Duration::from_millis(1_500));
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());
}

#[test]
fn own_timeout_of_zero_is_refused() {
    let (sessions, _, _) = sessions_with(Policy::new());
    let mut session = stored_session(&sessions);
    for zero in [Duration::ZERO, Duration::from_nanos(999_999)] {
        let error = session.set_timeout(zero).unwrap_err();
        assert_eq!(error.to_string(), "timeout: a session's own timeout is at least a millisecond");
    }
    assert!(!session.is_changed());
    session.set_timeout(Duration::from_millis(1)).unwrap();
}

#[test]
fn longest_timeouts_end_in_a_century() {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    let (sessions, store, time) = sessions_with(Policy::new().timeout(Duration::MAX).lifetime(Duration::MAX));
    let mut session = stored_session(&sessions);
    assert_eq!(store.get(&session.id().unwrap()).unwrap().unwrap().ttl, CENTURY);
    assert_eq!(session.expires_at().unwrap(), Some(Clock::from(&time).wall() + CENTURY));
    session.set_timeout(Duration::MAX).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    time.advance(CENTURY.saturating_sub(SECOND));
    assert!(store.get(&session.id().unwrap()).unwrap().is_some());
    time.advance(SECOND);
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_none());
}

#[test]
fn created_empty_session_lives_as_long_as_others() {
    let (sessions, _, time) = sessions_with(Policy::new());
    let session = sessions.create_session(&SessionId::derive("a"), Record::new()).unwrap();
    time.advance(HOUR.saturating_sub(SECOND));
    assert!(sessions.load(&session.id().unwrap()).unwrap().is_some());
}

#[test]
fn policy_from_a_file_equals_one_from_code() {
    let cases = [
        ("{}", Policy::new()),
        (r#"{"timeout": "15m"}"#, Policy::new().timeout(15 * MINUTE)),
        (r#"{"timeout": "30s"}"#, Policy::new().timeout(30 * SECOND)),
        (r#"{"timeout": 900000}"#, Policy::new().timeout(15 * MINUTE)),
        (r#"{"timeout": 9e5}"#, Policy::new().timeout(15 * MINUTE)),
        (r#"{"timeout": "1h 30m", "touch_after": "90s"}"#, Policy::new().timeout(90 * MINUTE).touch_after(90 * SECOND)),
        (r#"{"lifetime": "12h", "touch_after": 0}"#, Policy::new().lifetime(12 * HOUR).touch_after(Duration::ZERO)),
        (r#"{"lifetime": null}"#, Policy::new().lifetime(None)),
        (r#"{"lifetime": 0}"#, Policy::new().lifetime(None)),
        (r#"{"lifetime": "0s"}"#, Policy::new().lifetime(None)),
        (r#"{"timeout": null, "touch_after": null}"#, Policy::default()),
    ];
    for (text, expected) in cases {
        assert_eq!(serde_json::from_str::<Policy>(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn wrong_policy_values_are_refused_in_a_sentence() {
    let cases = [
        (r#"{"timeout": 0}"#, "timeout: 0 would end every session at once"),
        (r#"{"timeout": "0s"}"#, "timeout: 0 would end every session at once"),
        (r#"{"timeout": "soon"}"#, r#"timeout: "soon" is not a duration such as "5m" or "1h 30m""#),
        (r#"{"timeout": "900"}"#, r#"timeout: "900" is not a duration such as "5m" or "1h 30m""#),
        (r#"{"timeout": ""}"#, r#"timeout: "" is not a duration such as "5m" or "1h 30m""#),
        (r#"{"lifetime": -5}"#, "lifetime: -5 is not a whole number of milliseconds from 0 to 9007199254740992"),
        (
            r#"{"touch_after": 0.5}"#,
            "touch_after: 0.5 is not a whole number of milliseconds from 0 to 9007199254740992",
        ),
        (
            r#"{"timeout": 1e30}"#,
            "timeout: 1000000000000000000000000000000 is not a whole number of milliseconds from 0 to 9007199254740992",
        ),
        (r#"{"timeout": true}"#, r#"timeout: neither a number of milliseconds nor a text such as "5m""#),
        (r#"{"lifetime": ["1h"]}"#, r#"lifetime: neither a number of milliseconds nor a text such as "5m""#),
        (
            r#"{"idle": 5}"#,
            "unknown field `idle`, expected one of `timeout`, `lifetime`, `remember`, `touch_after`, `renew_after`, `grace`, `max_per_owner`, `at_limit`, `store_down`",
        ),
    ];
    for (text, expected) in cases {
        let error = serde_json::from_str::<Policy>(text).unwrap_err().to_string();
        // serde_json may add the place of the error.
        assert_eq!(error.split(" at line ").next(), Some(expected), "{text}");
    }
}

// Each kind of contradiction: a lifetime below the timeout, of plain and of remembered sessions; a
// remembered timeout below the plain one; a touch interval, a grace or an age of renewal beyond the
// life of every session. Equal times and defaults are accepted.
#[test]
fn contradictory_times_are_refused() {
    let lengthen =
        "which no session would reach: lengthen the lifetime, shorten the timeout, or take None for no limit";
    let days = |days: u32| days * 24 * HOUR;
    let cases = [
        (
            Policy::new().timeout(HOUR).lifetime(30 * MINUTE),
            r#"{"timeout": "1h", "lifetime": "30m"}"#,
            format!("lifetime: a lifetime of 30m is below the timeout of 1h, {lengthen}"),
        ),
        (
            Policy::new().timeout(days(14)),
            r#"{"timeout": "14d"}"#,
            format!("lifetime: a lifetime of 1d is below the timeout of 14d, {lengthen}"),
        ),
        (
            Policy::new().lifetime(HOUR.saturating_sub(SECOND)),
            r#"{"lifetime": "59m 59s"}"#,
            format!("lifetime: a lifetime of 59m 59s is below the timeout of 1h, {lengthen}"),
        ),
        (
            Policy::new().remember(days(14), 36 * HOUR),
            r#"{"remember": {"timeout": "14d", "lifetime": "36h"}}"#,
            format!("remember: a lifetime of 1d 12h is below the timeout of 14d, {lengthen}"),
        ),
        (
            Policy::new().remember(5 * MINUTE, None),
            r#"{"remember": {"timeout": "5m"}}"#,
            "remember: a timeout of 5m is below the one of sessions that are not remembered, 1h: lengthen it"
                .to_owned(),
        ),
        (
            Policy::new().touch_after(2 * HOUR),
            r#"{"touch_after": "2h"}"#,
            "touch_after: 2h is beyond the timeout, 1h: shorten it".to_owned(),
        ),
        (
            Policy::new().grace(2 * HOUR),
            r#"{"grace": "2h"}"#,
            "grace: 2h is beyond the timeout, 1h: shorten it".to_owned(),
        ),
        (
            Policy::new().renew_after(days(1)),
            r#"{"renew_after": "24h"}"#,
            "renew_after: 1d is not below the lifetime, 1d, so no id would be renewed: shorten it".to_owned(),
        ),
        (
            Policy::new().remember(days(2), days(3)).renew_after(days(3)),
            r#"{"renew_after": "3d", "remember": {"timeout": "2d", "lifetime": "3d"}}"#,
            "renew_after: 3d is not below the lifetime, 3d, so no id would be renewed: shorten it".to_owned(),
        ),
    ];
    for (policy, text, expected) in cases {
        let error = Sessions::with_policy(LembroStore::new().unwrap(), policy).unwrap_err();
        assert!(error.is_option());
        assert_eq!(error.to_string(), expected);
        let error = serde_json::from_str::<Policy>(text).unwrap_err().to_string();
        assert_eq!(error.split(" at line ").next(), Some(&*expected), "{text}");
    }
    for policy in [
        Policy::new().timeout(HOUR).lifetime(HOUR),
        Policy::new().timeout(days(14)).lifetime(None),
        Policy::new().timeout(SECOND),
        Policy::new().timeout(30 * SECOND),
        Policy::new().remember(HOUR, HOUR),
        Policy::new().timeout(15 * MINUTE).remember(days(14), days(90)).touch_after(HOUR).grace(HOUR),
        Policy::new().touch_after(HOUR).grace(HOUR),
        Policy::new().remember(days(2), None).renew_after(days(30)),
        Policy::new().timeout(30 * SECOND).renew_after(10 * MINUTE),
    ] {
        Sessions::with_policy(LembroStore::new().unwrap(), policy).unwrap();
    }
}

#[test]
fn zero_times_are_refused_from_code() {
    let cases = [
        (Policy::new().timeout(Duration::ZERO), "timeout: 0 would end every session at once"),
        (Policy::new().lifetime(Duration::ZERO), "lifetime: 0 would end every session at once; None means no limit"),
    ];
    for (policy, expected) in cases {
        let error = Sessions::with_policy(LembroStore::new().unwrap(), policy).unwrap_err();
        assert!(error.is_option());
        assert_eq!(error.to_string(), expected);
    }
}
