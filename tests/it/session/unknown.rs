//! Lost requests and lost replies: a commit of unknown outcome is repeated first, and done once.

use crate::support::session::{Fault, Probe, RowStore, increment, load_again, save_value, stored_session};
use lembro::{Error, Saved, Session, Sessions};

const LOST: [Fault; 2] = [Fault::RequestLost, Fault::ReplyLost];

/// A session over a store whose next commits have these faults.
fn session_before(faults: impl IntoIterator<Item = Fault>) -> (Session, Sessions, Probe) {
    let (sessions, probe) = RowStore::probed_sessions();
    let session = stored_session(&sessions);
    probe.fail_next_commits(faults);
    (session, sessions, probe)
}

#[track_caller]
fn assert_unknown<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.unwrap_err();
    assert!(error.is_unknown() && error.is_store(), "{error}");
}

#[test]
fn unknown_save_is_carried_out_once() {
    for lost in LOST {
        let (mut session, sessions, _) = session_before([lost]);
        session.insert("page", "/").unwrap();
        assert_unknown(session.save());
        assert!(session.is_changed(), "{lost:?}");
        assert_eq!(session.get_str("page").unwrap().as_deref(), Some("/"), "{lost:?}");
        let mut other = load_again(&sessions, &session);
        save_value(&mut other, "page", "/theirs");

        assert_eq!(session.save().unwrap(), Saved::Written);
        assert!(!session.is_changed());
        // The last commit wins. One that was carried out before is not carried out again.
        let last = if lost == Fault::ReplyLost { "/theirs" } else { "/" };
        assert_eq!(load_again(&sessions, &session).get_str("page").unwrap().as_deref(), Some(last), "{lost:?}");
    }
}

#[test]
fn changes_after_an_unknown_save_follow_it() {
    for lost in LOST {
        let (mut session, sessions, _) = session_before([lost]);
        session.insert("first", &1).unwrap();
        session.remove("user").unwrap();
        assert_unknown(session.save());
        session.insert("second", &2).unwrap();
        session.remove("first").unwrap();
        assert_eq!(session.keys().unwrap().collect::<Vec<_>>(), ["second"], "{lost:?}");
        assert_eq!(session.save().unwrap(), Saved::Written);
        assert_eq!(load_again(&sessions, &session).keys().unwrap().collect::<Vec<_>>(), ["second"], "{lost:?}");
    }
}

#[test]
fn unknown_modify_counts_at_most_once() {
    for lost in LOST {
        let (mut session, sessions, _) = session_before([lost]);
        session.insert("unsaved", &1).unwrap();
        assert_unknown(session.modify("count", increment));
        // The first one is sent again before the second one, so both are counted.
        assert_eq!(session.modify("count", increment).unwrap(), Some(2), "{lost:?}");
        let again = load_again(&sessions, &session);
        assert_eq!((again.get("count").unwrap(), again.get("unsaved").unwrap()), (Some(2), Some(1)), "{lost:?}");
    }
}

#[test]
fn lost_and_overtaken_modify_keeps_the_draft() {
    let (mut session, sessions, _) = session_before([Fault::RequestLost]);
    session.insert("unsaved", &1).unwrap();
    assert_unknown(session.modify("count", increment));
    let mut other = load_again(&sessions, &session);
    other.modify("count", |count: &mut Option<u64>| *count = Some(40)).unwrap();

    session.insert("later", &2).unwrap();
    session.set_label("laptop").unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    let again = load_again(&sessions, &session);
    assert_eq!(again.get("later").unwrap(), Some(2));
    let record = sessions.store().get(&session.id().unwrap()).unwrap().unwrap().record;
    assert_eq!(record.label(), Some("laptop"));
    assert_eq!((again.get("count").unwrap(), again.get("unsaved").unwrap()), (Some(40), Some(1)));
    assert_eq!(session.modify("count", increment).unwrap(), Some(41));
}

#[test]
fn overtaken_modify_is_known_by_its_nonce() {
    let (mut session, sessions, _) = session_before([Fault::ReplyLost]);
    assert_unknown(session.modify("count", increment));
    let mut other = load_again(&sessions, &session);
    assert_eq!(other.modify("count", increment).unwrap(), Some(2));
    assert_eq!(session.modify("count", increment).unwrap(), Some(3), "nothing is counted twice");
}

#[test]
fn forgotten_nonce_stays_unknown() {
    let (mut session, sessions, _) = session_before([Fault::ReplyLost]);
    assert_unknown(session.modify("count", increment));
    let mut other = load_again(&sessions, &session);
    for _ in 0..5 {
        other.modify("count", increment).unwrap();
    }
    for _ in 0..3 {
        assert_unknown(session.save());
    }
    assert!(session.reload().unwrap(), "the unknown commit is discarded, its caller has the error");
    assert!(!session.is_changed());
    assert_eq!(session.get::<u64>("count").unwrap(), Some(6));
    assert_eq!(session.modify("count", increment).unwrap(), Some(7));
}

#[test]
fn unknown_login_is_finished_under_the_same_id() {
    for lost in LOST {
        let (mut session, sessions, probe) = session_before([lost]);
        let old = session.id().unwrap();
        session.log_in("user-42").unwrap();
        assert_unknown(session.save());
        assert_eq!(session.owner().unwrap(), Some("user-42"), "{lost:?}");
        probe.calls.take();
        assert_eq!(session.save().unwrap(), Saved::Written);
        assert_eq!(probe.calls.happened(), [("commit", 1)], "{lost:?}");
        assert_ne!(session.id().unwrap(), old);
        assert!(sessions.load(&old).unwrap().is_none());
        assert_eq!(load_again(&sessions, &session).owner().unwrap(), Some("user-42"));
    }
}

#[test]
fn unknown_creation_is_carried_out_once() {
    for lost in LOST {
        let (sessions, probe) = RowStore::probed_sessions();
        let mut session = sessions.generate().unwrap();
        let id = session.id().unwrap();
        session.insert("user", "ada").unwrap();
        probe.fail_next_commits([lost, lost]);
        assert_unknown(session.save());
        assert_unknown(session.save());
        assert!(session.is_new().unwrap() && session.is_changed());
        assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
        assert_eq!((session.save().unwrap(), session.id().unwrap()), (Saved::Written, id), "{lost:?}");
        assert_eq!(sessions.store().len().unwrap(), 1);
        assert_eq!(load_again(&sessions, &session).get_str("user").unwrap().as_deref(), Some("ada"));
    }
}

#[test]
fn unknown_outcome_is_never_called_unwritten() {
    let (mut session, _, probe) = session_before([Fault::ReplyLost, Fault::Refused]);
    session.insert("page", "/").unwrap();
    assert_unknown(session.save());
    assert_unknown(session.save());
    probe.break_down(true);
    assert_unknown(session.save());
    assert_unknown(session.touch());
    assert_unknown(session.modify("count", increment));
    probe.break_down(false);
    assert_eq!(session.save().unwrap(), Saved::Written);
}

#[test]
fn logout_after_an_unknown_login_ends_it() {
    for lost in LOST {
        let (mut session, sessions, _) = session_before([lost]);
        session.log_in("user-42").unwrap();
        assert_unknown(session.save());
        session.log_out().unwrap();
        assert_eq!(sessions.store().len().unwrap(), 0, "{lost:?}");

        let (sessions, probe) = RowStore::probed_sessions();
        let mut new = sessions.generate().unwrap();
        new.insert("user", "ada").unwrap();
        probe.fail_next_commits([lost]);
        assert_unknown(new.save());
        new.log_out().unwrap();
        assert_eq!(sessions.store().len().unwrap(), 0, "{lost:?}");
    }
}

#[test]
fn session_ended_after_an_unknown_save_stays_ended() {
    for lost in LOST {
        let (mut session, sessions, _) = session_before([lost]);
        let mut logout = load_again(&sessions, &session);
        session.insert("page", "/").unwrap();
        assert_unknown(session.save());
        logout.log_out().unwrap();
        session.insert("more", &1).unwrap();
        assert_eq!(session.save().unwrap(), Saved::Gone, "{lost:?}");
        assert!(session.is_gone().unwrap() && !session.is_changed());
        assert_eq!(sessions.store().len().unwrap(), 0);
    }
}

#[test]
fn csrf_token_after_an_unknown_login_is_the_logins() {
    for lost in LOST {
        for has_one in [false, true] {
            let (mut session, sessions, probe) = session_before([]);
            if has_one {
                session.csrf_token().unwrap();
            }
            session.log_in("ada").unwrap();
            probe.fail_next_commits([lost]);
            assert_unknown(session.save());
            let token = session.csrf_token().unwrap();
            session.save().unwrap();
            let again = load_again(&sessions, &session);
            assert_eq!(again.owner().unwrap(), Some("ada"), "{lost:?}");
            assert!(again.check_csrf(&token).unwrap(), "{lost:?}, {has_one}");
        }
    }
}
