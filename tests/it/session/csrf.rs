//! CSRF tokens, from the page to its form.

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;

use crate::support::session::{
    load_again, manual_session, manual_sessions, probed_session, save_login, stored_session,
};
use lembro::{Saved, Session, Sessions, Store};

fn form(session: &mut Session) -> String {
    session.csrf_token().unwrap()
}

fn checks(session: &Session, token: &str) -> bool {
    session.check_csrf(token).unwrap()
}

#[test]
fn csrf_tokens_differ_and_all_are_valid() {
    let (sessions, mut session, ..) = manual_session();
    let tokens: HashSet<String> = (0..100).map(|_| form(&mut session)).collect();
    assert_eq!(tokens.len(), 100);
    let mut again = load_again(&sessions, &session);
    for token in &tokens {
        assert_eq!(token.len(), 43);
        assert!(checks(&session, token) && checks(&again, token));
    }
    assert!(checks(&session, &form(&mut again)));
}

#[test]
fn foreign_and_malformed_csrf_tokens_are_refused() {
    let (sessions, ..) = manual_sessions();
    let (mut session, mut other) = (stored_session(&sessions), stored_session(&sessions));
    let (token, foreign) = (form(&mut session), form(&mut other));
    let flipped = |place: usize| {
        let mut bytes = token.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    for place in 0..token.len() {
        assert!(!checks(&session, &flipped(place)), "{place}");
    }
    let long = "A".repeat(1 << 20);
    for text in ["", "A", &token[1..], &format!("{token}A"), &format!("{token}="), &foreign, &"A".repeat(43), &long] {
        assert!(!checks(&session, text), "{text:.50}");
    }
    // A session without a key has no valid token.
    let without = stored_session(&sessions);
    for text in ["", &token, &"A".repeat(43)] {
        assert!(!checks(&without, text));
    }
}

#[test]
fn first_csrf_token_stores_a_new_session() {
    let (sessions, store, _) = manual_sessions();
    let mut visitor = sessions.generate().unwrap();
    let token = form(&mut visitor);
    let other = form(&mut visitor);
    assert!(visitor.is_changed() && checks(&visitor, &token) && checks(&visitor, &other));
    assert_eq!(store.len().unwrap(), 0, "only the save stores it");
    assert_eq!(visitor.save().unwrap(), Saved::Written);
    assert!(checks(&load_again(&sessions, &visitor), &token));
    assert!(checks(&visitor, &token));
}

#[test]
fn only_a_login_replaces_the_csrf_key() {
    let (sessions, mut session, ..) = manual_session();
    let before = form(&mut session);
    session.regenerate().unwrap();
    session.save().unwrap();
    assert!(checks(&load_again(&sessions, &session), &before));

    session.log_in("ada").unwrap();
    assert!(checks(&session, &before), "the login's own form has the old token");
    let during = form(&mut session);
    session.save().unwrap();
    let mut again = load_again(&sessions, &session);
    assert!(!checks(&again, &before));
    assert!(checks(&again, &during), "the login's response has a page");
    save_login(&mut session, "ada");
    assert!(!checks(&load_again(&sessions, &session), &during));
    assert!(!checks(&load_again(&sessions, &session), &form(&mut again)));
}

#[test]
fn race_parallel_pages_agree_on_the_csrf_key() {
    for _ in 0..50 {
        let (sessions, session, ..) = manual_session();
        let (id, start) = (session.id().unwrap(), Barrier::new(4));
        let page = |sessions: &Sessions| {
            let mut page = sessions.load(&id).unwrap().unwrap();
            page.insert("unsaved", &true).unwrap();
            start.wait();
            page.csrf_token().unwrap()
        };
        let tokens: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| page(&sessions))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let again = load_again(&sessions, &session);
        assert!(tokens.iter().all(|token| checks(&again, token)));
        assert_eq!(again.get::<bool>("unsaved").unwrap(), None, "only the key was committed");
    }
}

#[test]
fn only_the_first_csrf_token_writes() {
    let (sessions, mut session, probe, ..) = probed_session();
    probe.calls.take();
    let _ = form(&mut session);
    assert_eq!(probe.calls.happened(), [("peek", 1), ("commit", 1)]);
    probe.calls.take();
    let mut again = load_again(&sessions, &session);
    let _ = (form(&mut session), form(&mut again));
    assert_eq!(probe.calls.happened(), [("visit", 1)]);
}

#[test]
fn csrf_key_is_out_of_the_applications_reach() {
    let (sessions, mut session, store, ..) = manual_session();
    let token = form(&mut session);
    session.clear().unwrap();
    session.save().unwrap();
    let again = load_again(&sessions, &session);
    assert!(checks(&again, &token) && again.is_empty().unwrap());
    let record = store.get(&session.id().unwrap()).unwrap().unwrap().record;
    assert_eq!(record.entries().count(), 0);
    assert!(!serde_json::to_string(&record).unwrap().contains("csrf"));
}

#[test]
fn ended_session_has_no_valid_csrf_token() {
    let (sessions, mut session, probe, ..) = probed_session();
    probe.break_down(true);
    assert!(session.csrf_token().unwrap_err().is_store());
    probe.break_down(false);
    let token = form(&mut session);
    let mut late = load_again(&sessions, &session);
    session.log_out().unwrap();
    assert!(!checks(&session, &token));
    assert!(!checks(&session, &form(&mut late)));
    assert!(!session.is_changed() && !late.is_changed());
}
